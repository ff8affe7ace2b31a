"""A typed client of the HTTP API: what the command line and the demo use, and other programs may.

with Client("http://127.0.0.1:8000") as yard:
    dataset = yard.upload(Path("penguins.csv"))
    job = yard.submit({"recipe": "tabular-classification", "dataset": dataset["id"],
                       "columns": {"target": "species"}})
    for job in yard.follow(job["id"]):
        ...
    yard.predict(job["model"], [{"bill_length_mm": 39.1}])
"""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

import httpx

from app.client.errors import BadInput, Refused, Unreachable
from app.client.shapes import FINAL_STATES, Dataset, Estimate, Evaluation, Job, Predictions

_CHUNK_BYTES = 1 << 20
# The answer to an upload comes after the rows are read and typed; the service allows itself 600 s.
_UPLOAD_TIMEOUT_SECONDS = 900.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Client:
    """Speaks to one service. Raises `Refused` for its error answers, `Unreachable` for none.

    `transport` replaces the network (tests).
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_seconds: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadInput(f"{url!r} is not the address of a service; it looks like http://127.0.0.1:8000")
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout_seconds,
            transport=transport,
            # A proxy of the environment cannot reach this machine's own loopback address.
            trust_env=parts.hostname not in _LOOPBACK,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # Service

    def is_alive(self) -> bool:
        """Tell whether the service answers at all; raise Unreachable when nobody does."""
        self._send("GET", "/livez")
        return True

    def readiness(self) -> dict[str, str]:
        """Return each part (database, broker, storage, workers) with `ok` or what is wrong with it."""
        try:
            response = self._request("GET", "/readyz")
            checks = response.json()["checks"]
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"What answers at {self.url} is not Trainyard: /readyz gave no checks") from error
        return {str(part): str(state) for part, state in checks.items()}

    def system(self) -> dict[str, Any]:
        """Return release, workers, limits and settings."""
        return self._json("GET", "/v1/system")

    # Data sets

    def upload(
        self, path: Path, options: dict[str, str] | None = None, on_sent: Callable[[int], None] | None = None
    ) -> Dataset:
        """Stream a file as the raw body of `POST /v1/datasets`; it is never whole in memory.

        `options` are the fields of API `POST /v1/datasets` (format, delimiter, types …), `name`
        defaults to the file's. `on_sent` gets the bytes sent so far.
        """
        try:
            size_bytes = path.stat().st_size
            file = path.open("rb")
        except OSError as error:
            raise BadInput(f"Cannot read {path}: {error.strerror or error}") from error
        with file:
            answer = self._json(
                "POST",
                "/v1/datasets",
                params={"name": path.name, **(options or {})},
                content=_chunks(file.read, on_sent or (lambda _: None)),
                headers={"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)},
                timeout=_UPLOAD_TIMEOUT_SECONDS,
            )
        return cast(Dataset, answer)

    def datasets(self, limit: int = 20) -> list[Dataset]:
        """Return the newest data sets."""
        return cast(list[Dataset], self._json("GET", "/v1/datasets", params={"limit": limit})["data"])

    def rows(self, dataset_id: str, page_rows: int = 100) -> Iterator[dict[str, Any]]:
        """Yield every row of a data set, in order; a page of them is in memory."""
        offset, has_more = 0, True
        while has_more:
            params = {"offset": offset, "limit": page_rows}
            page = self._json("GET", f"/v1/datasets/{quote(dataset_id, safe='')}/rows", params=params)
            yield from page["data"]
            offset, has_more = offset + len(page["data"]), bool(page["has_more"])

    # Jobs

    def dry_run(self, request: dict[str, Any]) -> Estimate:
        """Check a job and say what it would do; nothing is queued."""
        return cast(Estimate, self._json("POST", "/v1/jobs", params={"dry_run": "true"}, json=request))

    def submit(self, request: dict[str, Any]) -> Job:
        """Queue a job. Sent again after a broken connection, under one key: never queued twice."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        try:
            return cast(Job, self._json("POST", "/v1/jobs", json=request, headers=headers))
        except Unreachable:
            return cast(Job, self._json("POST", "/v1/jobs", json=request, headers=headers))

    def job(self, job_id: str, wait_seconds: float = 0.0) -> Job:
        """Return a job as it now is; with `wait_seconds`, when its state changes, or after that time."""
        params = {"wait": wait_seconds} if wait_seconds else {}
        return cast(Job, self._json("GET", _job_path(job_id), params=params))

    def jobs(self, state: str | None = None, recipe: str | None = None, limit: int = 20) -> list[Job]:
        """Return the newest jobs."""
        given = {"state": state, "recipe": recipe, "limit": limit}
        params = {name: value for name, value in given.items() if value is not None}
        return cast(list[Job], self._json("GET", "/v1/jobs", params=params)["data"])

    def follow(self, job_id: str, poll_seconds: float = 0.3, patience_seconds: float = 60.0) -> Iterator[Job]:
        """Yield the job every `poll_seconds`, and when its state changes, until it has ended.

        A job outlives a restart of the service, so silence is borne for `patience_seconds`.
        """
        silent_since: float | None = None
        wait_seconds = 0.0  # the first look is at once
        while True:
            try:
                job = self.job(job_id, wait_seconds)
            except (Unreachable, Refused) as error:
                if isinstance(error, Refused) and error.status < 500:
                    raise
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > patience_seconds:
                    raise
                time.sleep(poll_seconds)
            else:
                silent_since, wait_seconds = None, poll_seconds
                yield job
                if job["state"] in FINAL_STATES:
                    return

    def steer(self, job_id: str, verb: str, body: dict[str, Any] | None = None) -> Job:
        """Send `cancel`, `pause`, `resume` or `retry`; return the job as it then is."""
        return cast(Job, self._json("POST", _job_path(job_id, verb), json=body or {}))

    def evaluation(self, job_id: str) -> Evaluation:
        """Return the figures on the test split."""
        return cast(Evaluation, self._json("GET", _job_path(job_id, "evaluation")))

    def logs(self, job_id: str, tail: int = 200) -> str:
        """Return the last lines of the trainer's output."""
        return self._send("GET", _job_path(job_id, "logs"), params={"tail": tail}).text

    # Models

    def models(self, limit: int = 20) -> list[dict[str, Any]]:
        """Return the newest models."""
        return cast(list[dict[str, Any]], self._json("GET", "/v1/models", params={"limit": limit})["data"])

    def predict(self, ref: str, instances: list[Any]) -> Predictions:
        """Ask a model (`name`, `name@3` or `name@alias`) for one prediction an instance."""
        path = f"/v1/models/{quote(ref, safe='@')}/predict"
        return cast(Predictions, self._json("POST", path, json={"instances": instances}))

    def explain(self, ref: str, instances: list[Any], target: Any = None) -> list[dict[str, Any]]:
        """Return why a model predicts what it does: one explanation an instance, of `target` or what is predicted."""
        path = f"/v1/models/{quote(ref, safe='@')}/explain"
        answer = self._json("POST", path, json={"instances": instances, "target": target})
        return cast(list[dict[str, Any]], answer["explanations"])

    # The wire

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = self._send(method, path, **options)
        try:
            answer = response.json()
        except ValueError as error:
            raise Unreachable(f"What answers at {self.url} is not Trainyard: {path} gave no JSON") from error
        if not isinstance(answer, dict):
            raise Unreachable(f"What answers at {self.url} is not Trainyard: {path} gave no object")
        return answer

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = self._request(method, path, **options)
        if response.is_error:
            raise _refusal(response)
        return response

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.TimeoutException as error:
            raise Unreachable(f"{self.url} did not answer {method} {path} in time") from error
        except httpx.TransportError as error:
            why = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
            raise Unreachable(
                f"Cannot reach a service at {self.url}: {why}. Is it running? `trainyard up` starts one here; "
                "--url or TRAINYARD_URL names another."
            ) from error


def _job_path(job_id: str, part: str = "") -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}" + (f"/{part}" if part else "")


def _chunks(read: Callable[[int], bytes], on_sent: Callable[[int], None]) -> Iterator[bytes]:
    sent_bytes = 0
    while chunk := read(_CHUNK_BYTES):
        yield chunk
        sent_bytes += len(chunk)
        on_sent(sent_bytes)


def _refusal(response: httpx.Response) -> Refused:
    request_id = response.headers.get("X-Request-Id")
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = f"{response.status_code} {response.reason_phrase}"
    if not isinstance(error, dict):  # `:predict` and /v2 answer {"error": "text"}
        return Refused(str(error), status=response.status_code, request_id=request_id)
    return Refused(
        str(error.get("message") or error.get("code") or response.reason_phrase),
        status=response.status_code,
        code=error.get("code"),
        param=error.get("param"),
        details=error.get("details"),
        request_id=error.get("request_id") or request_id,
    )
