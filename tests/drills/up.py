"""`trainyard up` with the scripted trainer of the drills."""

import sys

import app.processes
from app.core.settings import Settings

if __name__ == "__main__":
    app.processes.WORKER = "tests.drills.launcher"
    sys.exit(app.processes.run_up(Settings()))
