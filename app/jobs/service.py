"""What a client does with jobs (API.md §4): a visible transaction, then the bell."""

from typing import Any

from app.core.errors import Conflict, NotFound, Unprocessable
from app.core.settings import Settings
from app.datasets.cache import DatasetCache
from app.db.engine import Database
from app.db.tables import Job
from app.jobs import repository
from app.jobs.events import JobEvents
from app.jobs.forecast import Forecast
from app.jobs.publishing import Publishing
from app.jobs.queue import Bell
from app.jobs.repository import queries, retention
from app.jobs.repository.queries import JobFilter
from app.jobs.requests import JobKind, parse_request
from app.jobs.schemas import (
    AttemptList,
    BatchDryRun,
    CheckpointList,
    Deleted,
    DryRun,
    EventList,
    JobList,
    JobView,
    MetricList,
)
from app.jobs.states import FINAL, SETTLED, STATES, VERBS, Verb
from app.jobs.submission import Submission, job_not_found
from app.jobs.views import attempt_view, checkpoint_view, event_view, job_view, metric_view
from app.storage.blobs import BlobStore

# A trainer's output is cut at 1 MB by the worker; no answer needs more lines than that holds.
MAX_LOG_LINES = 100_000


class JobService:
    """Submits, steers and shows jobs of a project."""

    def __init__(
        self, database: Database, blobs: BlobStore, settings: Settings, cache: DatasetCache, bell: Bell
    ) -> None:
        self.database = database
        self.blobs = blobs
        self.bell = bell
        self.forecast = Forecast(settings)
        self.submission = Submission(database, blobs, settings, cache)
        self.publishing = Publishing(database)
        self.live = JobEvents(database, self.get)

    # Submitting

    def submit(self, project: str, request: JobKind, key: str = "") -> JobView:
        """Queue a job; raise Unprocessable, NotFound or StorageFull before anything is written.

        `key`: the name of the caller's key.
        """
        job_id = self.submission.submit(project, request, key=key)
        self.bell.ring(job_id, project, request.queue)
        return self.get(project, job_id)

    def dry_run(self, project: str, request: JobKind) -> DryRun | BatchDryRun:
        """Say what the job would do; queue nothing."""
        return self.submission.dry_run(project, request)

    # Showing

    def get(self, project: str, job_id: str) -> JobView:
        """Return the job as it is now."""
        with self.database.reading() as session:
            job = queries.get_job(session, project, job_id)
            if job is None:
                raise job_not_found(job_id)
            return job_view(job, self.forecast.places(session, [job_id]).get(job_id))

    def page(self, project: str, wanted: JobFilter, *, limit: int, after: str | None, descending: bool) -> JobList:
        """Return a page of jobs."""
        with self.database.reading() as session:
            jobs, has_more = queries.list_jobs(
                session, project, wanted, limit=limit, after=after, descending=descending
            )
            places = self.forecast.places(session, [job.id for job in jobs])
        data = [job_view(job, places.get(job.id)) for job in jobs]
        return JobList(data=data, has_more=has_more, **_ends([view.id for view in data]))

    def metrics(self, project: str, job_id: str, *, limit: int, after: str | None) -> MetricList:
        """Return the figures of the epochs (and logged steps), first to last."""
        with self.database.reading() as session:
            self._require(session, project, job_id)
            rows, has_more = queries.list_metrics(session, job_id, limit=limit, after=_metric_cursor(after))
        ends = _ends([f"{row.step}:{row.epoch}:{row.split}" for row in rows])
        return MetricList(data=[metric_view(row) for row in rows], has_more=has_more, **ends)

    def events(self, project: str, job_id: str, *, limit: int, after: str | None, descending: bool) -> EventList:
        """Return a page of what happened; `after` is the id of an event."""
        with self.database.reading() as session:
            self._require(session, project, job_id)
            seq = None
            if after is not None:
                seq = queries.find_event_seq(session, job_id, after)
                if seq is None:
                    raise Unprocessable(f"after: {after[:64]!r} is no event of this job.", param="after")
            rows, has_more = queries.list_events(session, job_id, limit=limit, after=seq, descending=descending)
        data = [event_view(row) for row in rows]
        return EventList(data=data, has_more=has_more, **_ends([view.id for view in data]))

    def attempts(self, project: str, job_id: str) -> AttemptList:
        """Return every claim of the job and how it ended."""
        with self.database.reading() as session:
            self._require(session, project, job_id)
            rows = queries.list_attempts(session, job_id)
        ends = _ends([str(row.attempt) for row in rows])
        return AttemptList(data=[attempt_view(row) for row in rows], has_more=False, **ends)

    def checkpoints(self, project: str, job_id: str) -> CheckpointList:
        """Return the checkpoints that are kept."""
        with self.database.reading() as session:
            self._require(session, project, job_id)
            rows = queries.list_checkpoints(session, job_id)
        ends = _ends([f"{row.attempt}-{row.step}" for row in rows])
        return CheckpointList(data=[checkpoint_view(row) for row in rows], has_more=False, **ends)

    def evaluation(self, project: str, job_id: str) -> dict[str, Any]:
        """Return the figures on the test split; NotFound `evaluation_not_found` while there are none."""
        with self.database.reading() as session:
            job = self._require(session, project, job_id)
            evaluation = queries.get_evaluation(session, job_id)
        if evaluation is None:
            why = "was not evaluated on a test split" if job.state in FINAL else "has not been evaluated yet"
            raise NotFound(f"Job {job_id} is {job.state} and {why}.", code="evaluation_not_found")
        return evaluation

    def logs(self, project: str, job_id: str, tail: int) -> str:
        """Return the last `tail` lines of the trainer's output, over all attempts."""
        with self.database.reading() as session:
            last = self._require(session, project, job_id).attempt
        lines: list[str] = []
        for attempt in range(last, 0, -1):
            if len(lines) >= tail:
                break
            try:
                text = self.blobs.get_bytes(f"logs/{job_id}/{attempt}.txt").decode("utf-8", "replace")
            except FileNotFoundError:
                continue
            lines[:0] = text.splitlines()
        kept = lines[-tail:]
        return "\n".join(kept) + "\n" if kept else ""

    # Steering

    def cancel(self, project: str, job_id: str, keep: str) -> JobView:
        """End the job: at once where it waits, at its next control point where it runs."""
        with self.database.transaction() as session:
            job = self._require(session, project, job_id)
            if repository.cancel(session, job_id, keep) is None and job.state not in SETTLED["cancel"]:
                raise misfit("cancel", job)
        return self.get(project, job_id)

    def pause(self, project: str, job_id: str) -> JobView:
        """Put the job aside: at once where it waits, at its next control point where it runs."""
        with self.database.transaction() as session:
            job = self._require(session, project, job_id)
            if repository.pause(session, job_id) is None and job.state not in SETTLED["pause"]:
                raise misfit("pause", job)
        return self.get(project, job_id)

    def resume(self, project: str, job_id: str) -> JobView:
        """Queue a paused job again; it goes on from its newest checkpoint."""
        with self.database.transaction() as session:
            job = self._require(session, project, job_id)
            resumed = repository.resume(session, job_id)
            if not resumed and (job.state in FINAL or not queries.was_resumed(session, job_id)):
                raise misfit("resume", job)
        if resumed:
            self.bell.ring(job_id, project, job.queue)
        return self.get(project, job_id)

    def retry(self, project: str, job_id: str, key: str = "") -> JobView:
        """Queue a new job with the same request; asked again, return that job."""
        with self.database.reading() as session:
            job = self._require(session, project, job_id)
            earlier = queries.find_retry(session, project, job_id)
        if job.state not in VERBS["retry"]:
            raise misfit("retry", job)
        if earlier is not None:
            return self.get(project, earlier)
        if job.kind == "publish":
            new_id = self.publishing.repeat(project, job_id, key)
        else:
            new_id = self.submission.submit(project, parse_request(job.request), key=key, retry_of=job_id)
        self.bell.ring(new_id, project, job.queue)
        return self.get(project, new_id)

    def publish(self, project: str, job_id: str, checkpoint: str, model: str | None, key: str = "") -> JobView:
        """Queue a job that makes a version of `model` (default: the training's) from a kept checkpoint."""
        new_id = self.publishing.publish(project, job_id, checkpoint, model, key)
        view = self.get(project, new_id)
        self.bell.ring(new_id, project, view.queue)
        return view

    def delete(self, project: str, job_id: str) -> Deleted:
        """Remove an ended job with its checkpoints and logs; its models stay."""
        with self.database.transaction() as session:
            job = self._require(session, project, job_id)
            if not retention.delete_job(session, job_id):
                raise misfit("delete", job)
            lends = retention.has_read_checkpoints(session, job_id)
        # After the commit: what a crash leaves here, no row names, and the sweep removes it.
        for kind in ("logs",) if lends else ("checkpoints", "logs"):
            self.blobs.delete_tree(f"{kind}/{job_id}")
        return Deleted(id=job_id, object="job")

    def _require(self, session: Any, project: str, job_id: str) -> Job:
        job = queries.get_job(session, project, job_id)
        if job is None:
            raise job_not_found(job_id)
        return job


def misfit(verb: Verb, job: Job) -> Conflict:
    """Return the error of a verb in a state that it does not fit; it names the states that it fits."""
    fits = [state for state in STATES if state in VERBS[verb]]
    stopping = " and is being cancelled" if job.state == "running" and job.cancel_requested_at is not None else ""
    return Conflict(
        f"Job {job.id} is {job.state}{stopping}; {verb} fits jobs that are {', '.join(fits)}.",
        code="state_conflict",
        details=[{"param": "state", "message": job.state, "fits": fits}],
    )


def _ends(ids: list[str]) -> dict[str, str | None]:
    return {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}


def _metric_cursor(after: str | None) -> tuple[int, int, str] | None:
    if after is None:
        return None
    step, _, rest = after.partition(":")
    epoch, _, split = rest.partition(":")
    if not (step.isascii() and step.isdigit() and epoch.isascii() and epoch.isdigit() and split):
        raise Unprocessable("after: send the last_id of the page before.", param="after")
    return int(step), int(epoch), split
