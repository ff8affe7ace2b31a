"""A service that answers from memory, in the forms of the HTTP contract."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

Answer = httpx.Response | type[httpx.TransportError]

DATASET = {
    "id": "ds_1", "object": "dataset", "name": "penguins.csv", "format": "csv", "rows": 344, "bytes": 13478,
    "sha256": "ab", "splits": None, "created_at": "2026-01-31T08:00:00Z", "rejected": {"count": 0, "rows": []},
    "columns": [
        {"name": "species", "type": "category", "missing": 0, "unique": 3, "top": [["Adelie", 152], ["Gentoo", 124]]},
        {"name": "body_mass_g", "type": "integer", "missing": 2, "min": 2700, "max": 6300},
    ],
}  # fmt: skip
EVALUATION = {
    "split": "test", "rows": 35, "baseline": {"accuracy": 0.44},
    "metrics": {
        "accuracy": {"value": 0.97, "low": 0.91, "high": 1.0},
        "roc_auc": {"value": 1.0, "low": None, "high": None},
    },
}  # fmt: skip


def job(state: str, **given: Any) -> dict[str, Any]:
    """A job in `state`."""
    return {
        "id": "job_1", "object": "job", "kind": "train", "recipe": "tabular-classification", "state": state,
        "attempt": 1, "queue_position": None, "created_at": "2026-01-31T08:00:00Z", "started_at": None,
        "finished_at": None, "progress": None, "metrics": {"train": {}, "validation": {}, "test": {}}, "fit": None,
        "warnings": [], "stop_reason": None, "error": None, "model": None, "request": {}, "resolved": {}, **given,
    }  # fmt: skip


def running(epoch: int) -> dict[str, Any]:
    """A job that trains."""
    return job(
        "running",
        progress={"epoch": epoch, "epochs": 10, "fraction": epoch / 10, "eta_seconds": 10 - epoch},
        metrics={"train": {"loss": 1 / epoch}, "validation": {"loss": 2 / epoch}, "test": {}},
    )


def succeeded() -> dict[str, Any]:
    """A job that came to its end."""
    return job("succeeded", model="penguins@1", stop_reason="completed", fit={"verdict": "healthy", "reason": "Close."})


def refusal(status: int, code: str, message: str, **given: Any) -> httpx.Response:
    """An error answer in the one form."""
    error = {
        "type": "t",
        "code": code,
        "param": None,
        "message": message,
        "request_id": "req_1",
        "details": [],
        **given,
    }
    return httpx.Response(status, json={"error": error})


@dataclass
class FakeService:
    """`answers` maps `METHOD /path` to what is answered in turn; the last is answered for ever."""

    answers: dict[str, list[Any]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)

    def on(self, call: str, *answers: Any) -> None:
        """Set the answers of `METHOD /path`: JSON, a response, an exception class, or a function of the request."""
        self.answers[call] = list(answers)

    @property
    def transport(self) -> httpx.MockTransport:
        """What a client speaks to instead of the network."""
        return httpx.MockTransport(self._answer)

    def bodies(self, call: str) -> list[Any]:
        """The JSON bodies that were sent to `METHOD /path`."""
        return [json.loads(request.content) for request in self._asked(call)]

    def headers(self, call: str, name: str) -> list[str | None]:
        """A header of each request to `METHOD /path`."""
        return [request.headers.get(name) for request in self._asked(call)]

    def _asked(self, call: str) -> Iterator[httpx.Request]:
        return (request for request in self.requests if _call(request) == call)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        waiting = self.answers.get(_call(request))
        if not waiting:
            return refusal(404, "not_found", f"there is no {_call(request)}")
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, type) and issubclass(answer, Exception):
            raise answer("[Errno 111] Connection refused")
        if isinstance(answer, Callable):  # type: ignore[arg-type]
            answer = answer(request)
        if isinstance(answer, httpx.Response):
            # A response can be read once: give each caller its own.
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return httpx.Response(200, json=answer)


def _call(request: httpx.Request) -> str:
    return f"{request.method} {re.sub('[?].*', '', request.url.raw_path.decode())}"
