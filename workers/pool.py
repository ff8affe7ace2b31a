"""Celery's main process: `python -m workers.pool`, started by `workers.launcher`."""

import socket
import tempfile

from app.core.logging import configure_logging
from workers.celery_app import app, settings, worker_arguments
from workers.devices import choose_queues, list_devices
from workers.rundir import RunDir


def main() -> None:
    """Run Celery until it is told to stop."""
    configure_logging(settings.log_level)
    # The pool shares memory through files; a Celery that is killed cannot remove them, the launcher can.
    tempfile.tempdir = str(RunDir.of_environment(settings.work_dir).path)
    name = settings.worker_name or socket.gethostname()
    queues = choose_queues(settings, list_devices())
    app.worker_main(worker_arguments(f"trainyard@{name}", settings.worker_slots, queues))


if __name__ == "__main__":
    main()
