"""What is written about, and read of, jobs. Every function takes the session first.

`edges` holds one guarded UPDATE for each edge of `app.jobs.states.EDGES`; `records` what a
running attempt reports; `queries` what is read; `retention` what is removed.
"""

from app.jobs.repository.claims import CheckpointRef, ClaimedJob, DatasetRef, claim
from app.jobs.repository.edges import (
    AttemptEnd,
    NewJob,
    Released,
    cancel,
    cancelled,
    create_job,
    fail,
    fail_orphans,
    pause,
    paused,
    release_expired,
    requeue,
    resume,
    succeed,
)
from app.jobs.repository.records import (
    Flags,
    append_event,
    heartbeat,
    prune_checkpoints,
    read_flags,
    record_attempt_start,
    record_checkpoint,
    record_metrics,
    record_progress,
    record_warnings,
)

__all__ = [
    "AttemptEnd",
    "CheckpointRef",
    "ClaimedJob",
    "DatasetRef",
    "Flags",
    "NewJob",
    "Released",
    "append_event",
    "cancel",
    "cancelled",
    "claim",
    "create_job",
    "fail",
    "fail_orphans",
    "heartbeat",
    "pause",
    "paused",
    "prune_checkpoints",
    "read_flags",
    "record_attempt_start",
    "record_checkpoint",
    "record_metrics",
    "record_progress",
    "record_warnings",
    "release_expired",
    "requeue",
    "resume",
    "succeed",
]
