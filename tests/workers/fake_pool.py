"""`workers.pool` with the scripted trainer, and data sets that are always there."""

import workers.tasks
from app.storage.blobs import open_blobs
from tests.workers.conftest import FAKE, Folders
from workers.pool import main
from workers.rundir import RunDir
from workers.slot import Slot
from workers.tasks import settings


def make_slot() -> Slot:
    """Return a slot for tests."""
    run_dir = RunDir.of_environment(settings.work_dir)
    return Slot(settings, run_dir, open_blobs(settings.storage), Folders(settings.work_dir), FAKE)


if __name__ == "__main__":
    workers.tasks.make_slot = make_slot
    main()
