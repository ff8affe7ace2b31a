"""What a client asks for: a new job, and the verbs `cancel`, `pause` and `resume`."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import Job, JobDataset, JobModel
from app.jobs.repository.moves import EMPTY_METRICS, UNSYNCED, lock, move, storable, write_event
from app.jobs.states import State


@dataclass(frozen=True)
class NewJob:
    """What `create_job` writes."""

    id: str
    project: str
    recipe: str | None
    request: dict[str, Any]
    resolved: dict[str, Any]
    model_name: str
    datasets: dict[str, str]
    """Data set id by role (`all`, or `train`, `validation`, `test`)."""
    warnings: list[Any] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    max_failures: int = 3
    kind: str = "train"
    retry_of: str | None = None
    owner: str = ""
    queue: str = "default"
    expected_seconds: float | None = None
    models: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Name and version by role (`base`, `model`) of the model versions that the job reads."""


def create_job(session: Session, new: NewJob) -> None:
    """Write a job in `queued`, the data sets it reads, and its first event."""
    session.execute(
        insert(Job).values(
            id=new.id,
            project=new.project,
            kind=new.kind,
            recipe=new.recipe,
            state="queued",
            priority=new.priority,
            max_failures=new.max_failures,
            created_at=db_now(),
            updated_at=db_now(),
            run_after=db_now(),
            rung_at=db_now(),
            event_seq=1,
            request=new.request,
            resolved=storable(new.resolved),
            meta=new.metadata,
            warnings=storable(new.warnings),
            metrics=EMPTY_METRICS,
            model_name=new.model_name,
            retry_of=new.retry_of,
            owner=new.owner,
            queue=new.queue,
            expected_seconds=new.expected_seconds,
        )
    )
    for role, dataset_id in new.datasets.items():
        session.execute(insert(JobDataset).values(project=new.project, job_id=new.id, role=role, dataset_id=dataset_id))
    for role, (name, version) in new.models.items():
        session.execute(
            insert(JobModel).values(project=new.project, job_id=new.id, role=role, name=name, version=version)
        )
    write_event(session, new.project, new.id, 1, "created", {"recipe": new.recipe, "retry_of": new.retry_of})


def cancel(session: Session, job_id: str, keep: str) -> State | None:
    """Ask for the end of a job: at once where it is queued or paused, else by its flag.

    Return the state now, None in a final state. Asked again, `none` overrules `best`.
    """
    for source in ("queued", "paused"):
        values = {"cancel_requested_at": db_now(), "cancel_keep": keep, "stop_reason": "cancelled"}
        data = {"model": None}
        if move(session, job_id, source, "cancelled", event="cancelled", data=data, values=values):
            return "cancelled"
    job = lock(session, job_id, state="running")
    if job is None:
        return None
    if job.cancel_requested_at is None:
        _flag(session, job, "cancel_requested", {"cancel_requested_at": db_now(), "cancel_keep": keep}, {"keep": keep})
    elif job.cancel_keep == "best" and keep == "none":
        _flag(session, job, "cancel_requested", {"cancel_keep": keep}, {"keep": keep})
    return "running"


def pause(session: Session, job_id: str) -> State | None:
    """Ask for a job to be put aside: at once where it is queued, else by its flag; None where neither fits."""
    if move(session, job_id, "queued", "paused", event="paused", values={"pause_requested_at": db_now()}):
        return "paused"
    job = lock(session, job_id, state="running")
    if job is None or job.cancel_requested_at is not None:
        return None
    if job.pause_requested_at is None:
        _flag(session, job, "pause_requested", {"pause_requested_at": db_now()}, {})
    return "running"


def resume(session: Session, job_id: str) -> bool:
    """Put a paused job back into the queue; False where it is not paused."""
    values = {"pause_requested_at": None, "run_after": db_now(), "rung_at": db_now()}
    return move(session, job_id, "paused", "queued", event="resumed", values=values)


def _flag(session: Session, job: Job, event: str, values: dict[str, Any], data: dict[str, Any]) -> None:
    seq = session.execute(
        update(Job)
        .where(Job.id == job.id)
        .values(updated_at=db_now(), event_seq=Job.event_seq + 1, **values)
        .returning(Job.event_seq),
        execution_options=UNSYNCED,
    ).scalar_one()
    write_event(session, job.project, job.id, seq, event, data)
