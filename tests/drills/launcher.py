"""`workers.launcher` with the scripted trainer of the drills."""

from app.core.logging import configure_logging
from app.core.settings import Settings
from workers.launcher import Launcher

if __name__ == "__main__":
    settings = Settings()
    configure_logging(settings.log_level)
    Launcher(settings, pool="tests.drills.pool").run()
