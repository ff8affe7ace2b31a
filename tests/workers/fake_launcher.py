"""`workers.launcher` with the scripted trainer."""

from app.core.logging import configure_logging
from app.core.settings import Settings
from workers.launcher import Launcher

if __name__ == "__main__":
    configure_logging("INFO")
    Launcher(Settings(), pool="tests.workers.fake_pool").run()
