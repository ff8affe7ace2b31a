"""What the routes of jobs take and give (API.md §4)."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.jobs.states import State
from app.recipes.request import MODEL_NAME, Request


class CancelRequest(Request):
    """The body of `cancel`; it may be left out."""

    keep: Literal["none", "best"] = Field("none", description="best: publish the best checkpoint as a model.")


class PublishRequest(Request):
    """The body of `publish`; it may be left out."""

    model: str | None = Field(None, pattern=MODEL_NAME, description="Default: the model of the training.")


class EmptyRequest(Request):
    """A body without fields; it may be left out."""


class Answer(BaseModel):
    """Base of answers: every field is there, null where there is nothing."""

    model_config = ConfigDict(extra="forbid")


class JobError(Answer):
    """Why a job failed."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str
    retryable: bool
    detail: dict[str, Any]


class JobView(Answer):
    """A job."""

    id: str
    object: Literal["job"] = "job"
    kind: str
    recipe: str | None = Field(description="Of what is trained, or of the model; null where that is of no recipe.")
    state: State
    attempt: int = Field(description="Rises by one at every claim.")
    failures: int = Field(description="Lost workers and crashes so far.")
    max_failures: int
    queue: str
    owner: str = Field(description="Whom it counts for in the queue: `metadata.owner`, else the caller's key.")
    queue_position: int | None = Field(description="1 is claimed next of its queue; null where it is not queued.")
    expected_start_at: str | None = Field(
        description="When a worker will take it, as far as can be foreseen; null where it is not queued, where no "
        "worker serves its queue, or where nothing is known of those before it."
    )
    created_at: str
    started_at: str | None = Field(description="When it was first claimed.")
    finished_at: str | None
    progress: dict[str, Any] | None
    metrics: dict[str, dict[str, Any]]
    fit: dict[str, Any] | None
    warnings: list[Any]
    cancel_requested: bool
    pause_requested: bool
    stop_reason: str | None
    error: JobError | None
    model: str | None = Field(description="The ref of the published version.")
    result: dict[str, Any] | None = Field(description='Of a prediction: `{"dataset", "rows", "failed"}`.')
    request: dict[str, Any]
    resolved: dict[str, Any]
    metadata: dict[str, Any]
    retry_of: str | None


class DryRun(Answer):
    """What a job would do."""

    resolved: dict[str, Any]
    parameters: int
    trainable_parameters: int | None = Field(None, description="Of a job with `params.base`: those that are trained.")
    steps: int
    memory_bytes: int
    seconds: float
    warnings: list[Any]


class BatchDryRun(Answer):
    """What a job that runs a model over a data set would do."""

    resolved: dict[str, Any]
    rows: int
    parameters: int
    memory_bytes: int
    seconds: float
    warnings: list[Any]


class MetricView(Answer):
    """The figures of one split at one step."""

    epoch: int
    step: int
    split: str
    values: dict[str, float | int | None]
    at: str


class EventView(Answer):
    """Something that happened to a job."""

    id: str
    object: Literal["event"] = "event"
    seq: int
    type: str
    job: str
    at: str
    data: dict[str, Any]


class AttemptView(Answer):
    """One claim of a job, and how it ended."""

    attempt: int
    worker: str
    started_at: str
    ended_at: str | None
    outcome: str | None
    exit_code: int | None
    signal: int | None
    peak_memory_bytes: int | None
    fingerprint: dict[str, Any] | None


class CheckpointView(Answer):
    """A checkpoint that is kept."""

    id: str = Field(description="`<attempt>-<step>`: what `publish` takes.")
    attempt: int
    epoch: int
    step: int
    is_best: bool
    metrics: dict[str, Any]
    bytes: int
    sha256: str
    created_at: str


class Deleted(Answer):
    """What was deleted."""

    id: str
    object: str
    deleted: Literal[True] = True


class _Listing(Answer):
    object: Literal["list"] = "list"
    first_id: str | None
    last_id: str | None
    has_more: bool


class JobList(_Listing):
    """A page of jobs."""

    data: list[JobView]


class MetricList(_Listing):
    """Figures in order of steps. `last_id` is what `after` takes to go on."""

    data: list[MetricView]


class EventList(_Listing):
    """A page of events."""

    data: list[EventView]


class AttemptList(_Listing):
    """All attempts of a job."""

    data: list[AttemptView]


class CheckpointList(_Listing):
    """All checkpoints of a job that are kept."""

    data: list[CheckpointView]
