"""The JSON objects of the API as types. They are plain dicts: what the service sent is all there."""

from typing import Any, Literal, TypedDict

JobState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
FINAL_STATES: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


class Dataset(TypedDict):
    """A data set as the service knows it."""

    id: str
    name: str
    format: str
    rows: int
    bytes: int
    sha256: str
    splits: dict[str, int] | None
    columns: list[dict[str, Any]]
    rejected: dict[str, Any]
    created_at: str


class Progress(TypedDict, total=False):
    """How far a running job is; `fraction` is of all steps, 0 to 1."""

    epoch: int
    epochs: int
    step: int
    steps: int
    fraction: float
    samples_per_second: float | None
    rows_per_second: float | None
    eta_seconds: float | None


class Job(TypedDict):
    """A job; `model` is the ref of what it published, `result` what it made else."""

    id: str
    kind: str
    recipe: str | None
    state: JobState
    attempt: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    queue_position: int | None
    progress: Progress | None
    metrics: dict[str, dict[str, float]]
    fit: dict[str, Any] | None
    warnings: list[dict[str, Any]]
    stop_reason: str | None
    error: dict[str, Any] | None
    model: str | None
    result: dict[str, Any] | None
    request: dict[str, Any]
    resolved: dict[str, Any]


class Estimate(TypedDict):
    """The answer of a dry run."""

    resolved: dict[str, Any]
    parameters: int
    steps: int
    memory_bytes: int
    seconds: float | None
    warnings: list[dict[str, Any]]


class Figure(TypedDict):
    """A test figure with its 95 % interval."""

    value: float
    low: float | None
    high: float | None


class Evaluation(TypedDict):
    """Figures on the test split, beside a baseline that looks at no input."""

    split: str
    rows: int
    metrics: dict[str, Figure]
    baseline: dict[str, float]


class Predictions(TypedDict):
    """One prediction an instance, in order, and the version that made them."""

    predictions: list[Any]
    model: dict[str, Any]
