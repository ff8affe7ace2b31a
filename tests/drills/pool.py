"""`workers.pool` with the scripted trainer of the drills; all else is as it is served."""

import os

import workers.tasks
from app.datasets.cache import DatasetCache
from app.storage.blobs import open_blobs
from tests.drills.trainer import VARIABLE
from workers.child import Program
from workers.pool import main
from workers.rundir import RunDir
from workers.slot import Slot
from workers.tasks import settings


def make_slot() -> Slot:
    """Return a slot whose trainers follow scripts."""
    blobs = open_blobs(settings.storage)
    program = Program("tests.drills.trainer", ("workers.trainer.order",), {VARIABLE: os.environ[VARIABLE]})
    run_dir = RunDir.of_environment(settings.work_dir)
    return Slot(settings, run_dir, blobs, DatasetCache(blobs, settings.work_dir), program)


if __name__ == "__main__":
    workers.tasks.make_slot = make_slot
    main()
