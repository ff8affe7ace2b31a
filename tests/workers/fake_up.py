"""`trainyard up` with the scripted trainer."""

import sys

import app.processes
from app.core.settings import Settings

if __name__ == "__main__":
    app.processes.WORKER = "tests.workers.fake_launcher"
    sys.exit(app.processes.run_up(Settings()))
