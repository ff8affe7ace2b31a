"""`workers.pool` with the scripted trainer, and data sets that are always there."""

from dataclasses import replace

from billiard.process import current_process

import workers.tasks
from app.storage.blobs import open_blobs
from tests.workers.conftest import FAKE, Folders
from workers.devices import device_of, list_devices
from workers.pool import main
from workers.rundir import RunDir
from workers.slot import Slot
from workers.tasks import settings


def make_slot() -> Slot:
    """Return a slot for tests."""
    run_dir = RunDir.of_environment(settings.work_dir)
    device = device_of(current_process().index, list_devices())
    program = replace(FAKE, environment={} if device is None else {"CUDA_VISIBLE_DEVICES": device})
    return Slot(settings, run_dir, open_blobs(settings.storage), Folders(settings.work_dir), program)


if __name__ == "__main__":
    workers.tasks.make_slot = make_slot
    main()
