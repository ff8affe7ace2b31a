"""What is written about, and read of, jobs. Every function takes the session first.

Each edge of `app.jobs.states.EDGES` is one guarded UPDATE: `verbs` holds those that a client
asks for, `claims` the claim, `edges` those of a running attempt. `records` is what a running
attempt reports, `queries` what is read, `retention` what is removed.
"""

from app.jobs.repository.claims import CheckpointRef, ClaimedJob, DatasetRef, ModelRef, claim
from app.jobs.repository.edges import (
    DEVICE_LOST,
    AttemptEnd,
    Released,
    cancelled,
    fail,
    fail_orphans,
    paused,
    release_expired,
    requeue,
    succeed,
)
from app.jobs.repository.queries import attempt_outcome
from app.jobs.repository.records import (
    Flags,
    append_event,
    heartbeat,
    prune_checkpoints,
    read_flags,
    record_attempt_start,
    record_checkpoint,
    record_halving,
    record_metrics,
    record_progress,
    record_warnings,
)
from app.jobs.repository.results import Finished, NewDataset, finish
from app.jobs.repository.verbs import NewJob, cancel, create_job, pause, resume

__all__ = [
    "DEVICE_LOST",
    "AttemptEnd",
    "CheckpointRef",
    "ClaimedJob",
    "DatasetRef",
    "Finished",
    "Flags",
    "ModelRef",
    "NewDataset",
    "NewJob",
    "Released",
    "append_event",
    "attempt_outcome",
    "cancel",
    "cancelled",
    "claim",
    "create_job",
    "fail",
    "fail_orphans",
    "finish",
    "heartbeat",
    "pause",
    "paused",
    "prune_checkpoints",
    "read_flags",
    "record_attempt_start",
    "record_checkpoint",
    "record_halving",
    "record_metrics",
    "record_progress",
    "record_warnings",
    "release_expired",
    "requeue",
    "resume",
    "succeed",
]
