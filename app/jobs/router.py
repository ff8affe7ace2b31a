"""Routes of jobs (API.md §4)."""

import asyncio
import re
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from app.core.errors import Unprocessable
from app.core.http import ApiResponse, KeyNameDep, PageDep, ProjectDep, ServicesDep, make_router
from app.jobs.repository.queries import JobFilter
from app.jobs.requests import AnyJobRequest
from app.jobs.schemas import (
    AttemptList,
    BatchDryRun,
    CancelRequest,
    CheckpointList,
    Deleted,
    DryRun,
    EmptyRequest,
    EventList,
    JobList,
    JobView,
    MetricList,
    PublishRequest,
)
from app.jobs.service import MAX_LOG_LINES, JobService
from app.jobs.states import State

router = make_router("/v1/jobs", "jobs")

_METADATA = re.compile(r"metadata\[(.{1,64})\]", re.DOTALL)
_LIST_PARAMS = frozenset({"limit", "after", "order", "state", "kind", "recipe"})
_EVENT_STREAM = "text/event-stream"


async def _jobs(services: ServicesDep) -> JobService:
    service: JobService = services.jobs
    return service


Jobs = Annotated[JobService, Depends(_jobs)]
JobId = Annotated[str, Path(max_length=64, description="`job_…`")]


@router.post(
    "",
    status_code=201,
    response_model=JobView,
    responses={200: {"model": DryRun | BatchDryRun, "description": "With `dry_run=true`: what the job would do."}},
)
def submit(
    body: AnyJobRequest,
    project: ProjectDep,
    key: KeyNameDep,
    jobs: Jobs,
    response: Response,
    dry_run: Annotated[bool, Query(description="Check and estimate only; nothing is queued.")] = False,
) -> Any:
    """Queue a job: by `kind` a training, a batch prediction or an evaluation."""
    if dry_run:
        return ApiResponse(jobs.dry_run(project, body).model_dump())
    job = jobs.submit(project, body, key)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job


@router.get(
    "",
    openapi_extra={
        "x-open-query": True,
        "parameters": [
            {
                "name": "metadata",
                "in": "query",
                "style": "deepObject",
                "explode": True,
                "description": "`metadata[key]=value`: jobs whose metadata has that value; may be repeated.",
                "schema": {"type": "object", "additionalProperties": {"type": "string"}},
            }
        ],
    },
)
def list_jobs(
    request: Request,
    project: ProjectDep,
    jobs: Jobs,
    page: PageDep,
    state: Annotated[State | None, Query(description="Only jobs in this state.")] = None,
    kind: Annotated[str | None, Query(max_length=16, description="Only jobs of this kind.")] = None,
    recipe: Annotated[str | None, Query(max_length=64, description="Only jobs of this recipe.")] = None,
) -> JobList:
    """List jobs, newest first."""
    wanted = JobFilter(state=state, kind=kind, recipe=recipe, metadata=_metadata(request))
    return jobs.page(project, wanted, limit=page.limit, after=page.after, descending=page.descending)


@router.get("/{job_id}")
async def get_job(
    job_id: JobId,
    project: ProjectDep,
    jobs: Jobs,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for a change of the state.")] = 0.0,
) -> JobView:
    """Return a job; with `wait`, answer when its state changes or it has ended."""
    return await jobs.live.wait(project, job_id, wait)


@router.delete("/{job_id}")
def delete_job(job_id: JobId, project: ProjectDep, jobs: Jobs) -> Deleted:
    """Remove an ended job, its checkpoints and its logs; its models stay."""
    return jobs.delete(project, job_id)


@router.post("/{job_id}/cancel")
def cancel_job(job_id: JobId, project: ProjectDep, jobs: Jobs, body: CancelRequest | None = None) -> JobView:
    """Stop a job, with `keep: best` after publishing its best checkpoint."""
    return jobs.cancel(project, job_id, (body or CancelRequest()).keep)


@router.post("/{job_id}/pause")
def pause_job(job_id: JobId, project: ProjectDep, jobs: Jobs, body: EmptyRequest | None = None) -> JobView:
    """Put a job aside with a checkpoint, and free its device."""
    return jobs.pause(project, job_id)


@router.post("/{job_id}/resume")
def resume_job(job_id: JobId, project: ProjectDep, jobs: Jobs, body: EmptyRequest | None = None) -> JobView:
    """Queue a paused job again; it goes on from the very step."""
    return jobs.resume(project, job_id)


@router.post("/{job_id}/retry", status_code=201)
def retry_job(
    job_id: JobId,
    project: ProjectDep,
    key: KeyNameDep,
    jobs: Jobs,
    response: Response,
    body: EmptyRequest | None = None,
) -> JobView:
    """Queue a new job with the request of one that failed or was cancelled."""
    job = jobs.retry(project, job_id, key)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job


@router.get("/{job_id}/metrics")
def list_metrics(
    job_id: JobId,
    project: ProjectDep,
    jobs: Jobs,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Figures of one page.")] = 10_000,
    after: Annotated[str | None, Query(max_length=64, description="`last_id` of the page before.")] = None,
) -> MetricList:
    """Return the figures of every epoch and split, first to last."""
    return jobs.metrics(project, job_id, limit=limit, after=after)


@router.get(
    "/{job_id}/events",
    response_model=EventList,
    responses={
        200: {"content": {_EVENT_STREAM: {"schema": {"type": "string"}}}},
        204: {"description": "The stream has ended: `Last-Event-ID` was the last event of an ended job."},
    },
)
async def list_events(
    job_id: JobId,
    project: ProjectDep,
    jobs: Jobs,
    page: PageDep,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",
    last_event_id: Annotated[str | None, Header(max_length=32, description="Number of the last event seen.")] = None,
) -> Any:
    """List what happened to a job; with `Accept: text/event-stream`, stream it until the job ends."""
    if _EVENT_STREAM not in accept.lower():
        return await asyncio.to_thread(
            jobs.events, project, job_id, limit=page.limit, after=page.after, descending=page.descending
        )
    await asyncio.to_thread(jobs.get, project, job_id)
    seq = _last_seq(last_event_id)
    if seq and await asyncio.to_thread(jobs.live.has_ended, job_id, seq):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(jobs.live.stream(job_id, seq), media_type=_EVENT_STREAM, headers=headers)


@router.get("/{job_id}/attempts")
def list_attempts(job_id: JobId, project: ProjectDep, jobs: Jobs) -> AttemptList:
    """Return every claim of the job and how it ended."""
    return jobs.attempts(project, job_id)


@router.get("/{job_id}/checkpoints")
def list_checkpoints(job_id: JobId, project: ProjectDep, jobs: Jobs) -> CheckpointList:
    """Return the checkpoints that are kept."""
    return jobs.checkpoints(project, job_id)


@router.post("/{job_id}/checkpoints/{checkpoint}/publish", status_code=201)
def publish_checkpoint(
    job_id: JobId,
    checkpoint: Annotated[str, Path(max_length=32, description="`<attempt>-<step>`, as the list has it.")],
    project: ProjectDep,
    key: KeyNameDep,
    jobs: Jobs,
    response: Response,
    body: PublishRequest | None = None,
) -> JobView:
    """Queue a job that makes a model version from a kept checkpoint, whatever the state of its training."""
    job = jobs.publish(project, job_id, checkpoint, None if body is None else body.model, key)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job


@router.get("/{job_id}/evaluation")
def get_evaluation(job_id: JobId, project: ProjectDep, jobs: Jobs) -> dict[str, Any]:
    """Return the figures on the test split, with 95 % intervals and a baseline."""
    return jobs.evaluation(project, job_id)


@router.get(
    "/{job_id}/logs",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_logs(
    job_id: JobId,
    project: ProjectDep,
    jobs: Jobs,
    tail: Annotated[int, Query(ge=1, le=MAX_LOG_LINES, description="Lines, from the end.")] = 200,
) -> PlainTextResponse:
    """Return the trainer's output, last lines."""
    return PlainTextResponse(jobs.logs(project, job_id, tail))


def _metadata(request: Request) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in _LIST_PARAMS:
            continue
        match = _METADATA.fullmatch(name)
        if match is None or "\x00" in name + value:
            known = ", ".join(sorted(_LIST_PARAMS))
            raise Unprocessable(
                f"{name[:100]!r} is not a query parameter of this route. Its parameters: {known}, metadata[key].",
                code="unknown_field",
                param=name[:100],
            )
        wanted[match.group(1)] = value
    return wanted


def _last_seq(last_event_id: str | None) -> int:
    if not last_event_id:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdigit()) or len(last_event_id) > 18:
        raise Unprocessable("Last-Event-ID is the number of an event.", param="Last-Event-ID")
    return int(last_event_id)
