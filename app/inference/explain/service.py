"""Explanations of one API process: beside the predictions, in a thread of their own that steps back for them."""

import asyncio
import contextlib
import os
import re
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from app.core.errors import DeadlineExceeded, Overloaded, TooLarge, TrainyardError, Unprocessable
from app.core.json import parse_json
from app.inference.batcher import Failed, away
from app.inference.cache import LoadedModel
from app.inference.explain.explainer import Explainer
from app.inference.predictor import Predictor
from app.inference.runtime import ModelAway, ModelUnusable
from app.inference.service import InferenceService
from app.preprocessing.columns import ColumnArrays

T = TypeVar("T")

FIELDS: Final = ("instances", "target", "baseline")
# Requests that wait; each holds its body.
_MOST_WAITING: Final = 8
_NICE: Final = 10
_TIMEOUT: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class ExplainService:
    """What `POST /v1/models/{ref}/explain` does."""

    def __init__(self, inference: InferenceService) -> None:
        """`inference` finds and loads the models."""
        self._inference = inference
        self._settings = inference.settings
        self._pool = ThreadPoolExecutor(1, "explain", initializer=_step_back)
        self._waiting = 0
        self._explainers: weakref.WeakKeyDictionary[LoadedModel, Explainer] = weakref.WeakKeyDictionary()

    @property
    def max_bytes(self) -> int:
        """The largest body that is read."""
        return self._settings.max_predict_bytes

    def close(self) -> None:
        """Take no more requests; what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def explain(self, project: str, ref: tuple[str, Any], body: bytes, wanted: str | None) -> dict[str, Any]:
        """Return the answer to a request body.

        `ref`: name and selector; `wanted`: the header `X-Request-Timeout`. Raises BadRequest, Unprocessable, which
        names field or instance, NotFound, TooLarge, Overloaded, DeadlineExceeded.
        """
        seconds = self._seconds(wanted)
        deadline = time.perf_counter() + seconds
        model = await self._inference.get(project, *ref, seconds)
        self._inference.cache.touch(model)
        explanations = await self._run(lambda: self._explain(model, body, deadline), deadline)
        return {
            "explanations": explanations,
            "model": {"name": model.entry.name, "version": model.entry.version},
        }

    async def _run(self, work: Callable[[], T], deadline: float) -> T:
        if self._waiting >= _MOST_WAITING:
            raise Overloaded("Too many explanations are being made; try again.", retry_after_seconds=5)
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(future), max(0.0, deadline - time.perf_counter()))
        except TimeoutError:
            # The thread sees the deadline by itself, between two runs of the model.
            future.cancel()
            raise DeadlineExceeded("The explanation was not ready in time.") from None

    def _done(self, future: "asyncio.Future[Any]") -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # told where it was awaited, or nobody waits for it any more

    def _explain(self, model: LoadedModel, body: bytes, deadline: float) -> list[dict[str, Any]]:
        """Read the body and explain its instances, one after another; in the thread."""
        value = parse_json(body)
        predictor: Predictor = model.batcher.predictor
        instances = _read(value, self._settings.explain_instances)
        try:
            explainer = self._explainers.get(model) or self._open(model)
            rows = [predictor.rows.join([predictor.check([one])]) for one in _checked(predictor, instances)]
            baseline = None if value.get("baseline") is None else _baseline(predictor, value["baseline"])
            return [
                explainer.explain(row, shown, value.get("target"), baseline, deadline)
                for row, shown in zip(rows, instances, strict=True)
            ]
        except ModelAway as error:
            raise away(error) from error
        except ModelUnusable as error:
            raise Failed(f"The model could not predict these instances: {error}.") from error

    def _open(self, model: LoadedModel) -> Explainer:
        explainer = Explainer.of(model.batcher.predictor)
        self._explainers[model] = explainer
        return explainer

    def _seconds(self, given: str | None) -> float:
        most = self._settings.explain_timeout_seconds
        if given is None:
            return most
        if not _TIMEOUT.fullmatch(given):
            raise Unprocessable("X-Request-Timeout: expected seconds, such as 2.0.", param="X-Request-Timeout")
        return min(float(given), most)


def _read(value: Any, most: int) -> list[Any]:
    if not isinstance(value, dict):
        raise Unprocessable("The body must be an object with the field instances.")
    for name in value:
        if name not in FIELDS:
            raise Unprocessable(
                f"{name[:100]} is not a field of this request. Its fields: {', '.join(FIELDS)}.",
                code="unknown_field",
                param=name[:100],
            )
    if "instances" not in value:
        raise Unprocessable("instances is required.", code="missing_field", param="instances")
    instances = value["instances"]
    if not isinstance(instances, list):
        raise Unprocessable("instances: expected a list of instances.", param="instances")
    if len(instances) > most:
        raise TooLarge(f"One request may have {most} instances, not {len(instances)}.", param="instances")
    return instances


def _checked(predictor: Predictor, instances: list[Any]) -> list[Any]:
    """Return the instances once all of them are checked together: errors name the number of each."""
    if instances:
        predictor.check(instances)
    return instances


def _baseline(predictor: Predictor, baseline: Any) -> ColumnArrays:
    try:
        return predictor.rows.join([predictor.check([baseline])])
    except TrainyardError as error:
        message = error.message.replace("instances[0]", "baseline", 1)
        raise Unprocessable(message, param="baseline") from error


def _step_back() -> None:
    """Let predictions go first: on Linux a thread has a niceness of its own (setpriority(2), NOTES)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
