"""The state machine of a job as data: one table for code, documents and tests (API.md §4)."""

from typing import Final, Literal, get_args

State = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Verb = Literal["cancel", "pause", "resume", "retry", "delete"]

STATES: Final[tuple[State, ...]] = get_args(State)
FINAL: Final[frozenset[State]] = frozenset({"succeeded", "failed", "cancelled"})

# (from, to) → what causes the edge. An edge that is not here does not exist.
EDGES: Final[dict[tuple[State, State], str]] = {
    ("queued", "running"): "claim",
    ("queued", "cancelled"): "cancel",
    ("queued", "paused"): "pause",
    ("queued", "failed"): "its data set or base is gone",
    ("running", "succeeded"): "finish",
    ("running", "failed"): "error, or too many failures",
    ("running", "cancelled"): "cancel",
    ("running", "paused"): "pause",
    ("running", "queued"): "lease over, drain, or a retryable error",
    ("paused", "queued"): "resume",
    ("paused", "cancelled"): "cancel",
}

# The states in which a client's verb does something.
VERBS: Final[dict[Verb, frozenset[State]]] = {
    "cancel": frozenset({"queued", "running", "paused"}),
    "pause": frozenset({"queued", "running"}),
    "resume": frozenset({"paused"}),
    "retry": frozenset({"failed", "cancelled"}),
    "delete": FINAL,
}

# The states in which a verb was already carried out: the same answer, nothing more. For `resume`
# the events say it, for `retry` the job that was made.
SETTLED: Final[dict[Verb, frozenset[State]]] = {
    "cancel": frozenset({"cancelled"}),
    "pause": frozenset({"paused"}),
    "resume": frozenset(),
    "retry": frozenset(),
    "delete": frozenset(),
}
