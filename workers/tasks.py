"""The one task, and what each pool child of Celery does when it starts."""

import signal
import threading
from typing import Any

from billiard.process import current_process
from celery.signals import setup_logging, worker_process_init

from app.core.logging import configure_logging
from app.datasets.cache import DatasetCache
from app.lifeline import die_with_parent
from app.storage.blobs import open_blobs
from workers.celery_app import TASK, app, settings
from workers.child import Program
from workers.devices import device_of, list_devices
from workers.rundir import RunDir
from workers.slot import Slot, die_of_a_fault

_slots: list[Slot] = []  # one, made in the pool child


def make_slot() -> Slot:
    """Return the slot of this pool child. Tests put one here whose trainer needs no TensorFlow."""
    blobs = open_blobs(settings.storage)
    data = DatasetCache(blobs, settings.work_dir)
    # billiard counts the children of a pool from 0, and gives a dead one's number to its successor.
    device = device_of(current_process().index, list_devices())
    program = Program(environment={} if device is None else {"CUDA_VISIBLE_DEVICES": device})
    return Slot(settings, RunDir.of_environment(settings.work_dir), blobs, data, program)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _log_as_json(**_: Any) -> None:
    configure_logging(settings.log_level)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _open_slot(**_: Any) -> None:
    die_with_parent(current_process()._parent_pid)
    # Ctrl-C in a terminal reaches the whole group; the launcher alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.excepthook = lambda hook: die_of_a_fault(hook.exc_type, hook.exc_value, hook.exc_traceback, hook.thread)
    slot = make_slot()
    slot.start()
    _slots.append(slot)


@app.task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator]
def run(job_id: str) -> None:
    """Run the job, if it still waits for a worker. Returns when it has ended."""
    _slots[0].ring(job_id)
