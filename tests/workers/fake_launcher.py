"""`workers.launcher` with the scripted trainer and probe."""

from app.core.logging import configure_logging
from app.core.settings import Settings
from workers.launcher import Launcher

if __name__ == "__main__":
    configure_logging("INFO")
    Launcher(Settings(), pool="tests.workers.fake_pool", probe="tests.workers.fake_probe", probe_seconds=0.3).run()
