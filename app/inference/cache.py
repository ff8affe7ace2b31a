"""Models in memory: by bytes, least recently used out first, several versions at a time."""

import asyncio
import collections
import concurrent.futures
import dataclasses
import itertools
import logging
import time
from dataclasses import dataclass

from app.core.errors import Overloaded
from app.inference.batcher import Batcher
from app.inference.batching import Limits
from app.inference.catalogue import VersionEntry
from app.inference.cost import TENSOR_LENGTH, TEXT_TOKENS, measure_cost
from app.inference.embedder import Embedder, EmbedEncoder
from app.inference.figures import PredictFigures
from app.inference.predictor import Predictor
from app.inference.runtime import ModelUnusable
from app.inference.store import BundleStore
from app.inference.tensors import TensorPredictor
from app.inference.work import Encoder
from app.models.bundle import BundleCorrupt

_log = logging.getLogger(__name__)

# A version that could not be loaded is tried again after this time, not by every request.
_RETRY_SECONDS = 5.0
# Requests that may wait for one load; each holds its body.
_MAX_WAITERS = 1024


@dataclass(eq=False)
class LoadedModel:
    """A version in memory, with its queue."""

    entry: VersionEntry
    batcher: Batcher[Predictor]
    memory_bytes: int
    embedder: Batcher[Embedder] | None = None
    """The queue of texts to embed; None where the model embeds none."""
    is_loaded: bool = True
    """False once it was dropped: the next request loads it again; requests under way finish on it."""
    used: int = 0


class ModelCache:
    """Loads versions off the event loop, each once however many ask; every method runs on the loop."""

    def __init__(
        self,
        store: BundleStore,
        limits: Limits,
        max_bytes: int,
        pool: concurrent.futures.Executor,
        loader: concurrent.futures.Executor,
        figures: PredictFigures,
    ) -> None:
        """`pool` runs batches, `loader` loads models; `limits` are each model's."""
        self._store = store
        self._limits = limits
        self._max_bytes = max_bytes
        self._pool = pool
        self._loader = loader
        self._figures = figures
        self._models: dict[VersionEntry, LoadedModel] = {}
        self._loading: dict[VersionEntry, asyncio.Task[LoadedModel]] = {}
        self._waiters: collections.Counter[VersionEntry] = collections.Counter()
        self._failed: dict[VersionEntry, float] = {}
        self.uses = itertools.count(1)
        """The clock of `LoadedModel.used`."""

    @property
    def memory_bytes(self) -> int:
        """Bytes of all loaded models, as estimated."""
        return sum(model.memory_bytes for model in self._models.values())

    def peek(self, entry: VersionEntry) -> LoadedModel | None:
        """Return the version if it is in memory, without counting this as a use."""
        return self._models.get(entry)

    async def get(self, entry: VersionEntry, timeout_seconds: float | None = None) -> LoadedModel:
        """Return the version, loaded if need be; Overloaded when it cannot be loaded now.

        TimeoutError when loading takes longer than `timeout_seconds`; it goes on for the others.
        """
        model = self._models.get(entry)
        if model is None:
            if self._waiters[entry] >= _MAX_WAITERS:
                raise Overloaded("The model is being loaded; try again.", retry_after_seconds=1)
            self._waiters[entry] += 1
            try:
                model = await asyncio.wait_for(asyncio.shield(self._load_once(entry)), timeout_seconds)
            finally:
                self._waiters[entry] -= 1
                if not self._waiters[entry]:
                    del self._waiters[entry]
        self.touch(model)
        return model

    def touch(self, model: LoadedModel) -> None:
        """Count a use of the model."""
        model.used = next(self.uses)

    def keep_only(self, digests: set[str]) -> None:
        """Drop the versions whose manifest hash is not in `digests`: they were deleted."""
        for entry in [entry for entry in self._models if entry.sha256 not in digests]:
            self._drop(entry)

    def clear(self) -> None:
        """Drop everything and stop loading."""
        for task in self._loading.values():
            task.cancel()
        for entry in list(self._models):
            self._drop(entry)

    def _load_once(self, entry: VersionEntry) -> "asyncio.Task[LoadedModel]":
        task = self._loading.get(entry)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._load(entry))
            self._loading[entry] = task
            task.add_done_callback(lambda done: self._loaded(entry, done))
        return task

    async def _load(self, entry: VersionEntry) -> LoadedModel:
        if time.monotonic() < self._failed.get(entry, 0.0):
            raise _unloadable(entry)
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            model = await loop.run_in_executor(self._loader, self._load_here, entry)
        except (BundleCorrupt, ModelUnusable, OSError) as error:
            self._failed[entry] = time.monotonic() + _RETRY_SECONDS
            _log.exception("model not loaded", extra={"model": entry.name, "version": entry.version})
            raise _unloadable(entry) from error
        self._failed.pop(entry, None)
        _log.info(
            "model loaded",
            extra={
                "model": entry.name,
                "version": entry.version,
                "seconds": round(time.perf_counter() - started, 3),
                "row_us": round(model.batcher.cost.first_row * 1e6),
            },
        )
        return model

    def _load_here(self, entry: VersionEntry) -> LoadedModel:
        """Load and measure a version; in a thread."""
        predictor = self._store.load(entry)
        texts = Embedder.of(predictor)
        free_length = TENSOR_LENGTH if isinstance(predictor, TensorPredictor) else TEXT_TOKENS
        try:
            cost = measure_cost(predictor.model, self._limits.batch_rows, free_length)
        except ModelUnusable:
            predictor.model.close()
            raise
        pool, limits = predictor.model.pool, self._limits
        if pool is not None:
            limits = dataclasses.replace(limits, slots=1)
        shared = (cost, limits, pool or self._pool, self._figures.of(entry.name))
        batcher = Batcher(predictor, Encoder(predictor, entry.name, entry.version), *shared, is_even=predictor.is_even)
        embedder = None
        if texts is not None:
            encoder = EmbedEncoder(texts.dim, entry.name, entry.version)
            embedder = Batcher(texts, encoder, *shared, is_even=False)
        return LoadedModel(entry, batcher, predictor.memory_bytes, embedder)

    def _loaded(self, entry: VersionEntry, done: "asyncio.Task[LoadedModel]") -> None:
        self._loading.pop(entry, None)
        if done.cancelled() or done.exception() is not None:
            return
        model = done.result()
        self._models[entry] = model
        self.touch(model)
        # After the new one is there: a version that is asked for is never away in between.
        self._shrink(model)
        self._tell()

    def _shrink(self, newest: LoadedModel) -> None:
        while self.memory_bytes > self._max_bytes and len(self._models) > 1:
            oldest = min(
                (model for model in self._models.values() if model is not newest), key=lambda model: model.used
            )
            self._drop(oldest.entry)

    def _drop(self, entry: VersionEntry) -> None:
        model = self._models.pop(entry)
        model.is_loaded = False
        model.batcher.predictor.model.close()
        self._tell()

    def _tell(self) -> None:
        self._figures.loaded_models = len(self._models)
        self._figures.loaded_bytes = self.memory_bytes


def _unloadable(entry: VersionEntry) -> Overloaded:
    return Overloaded(
        f"Version {entry.version} of the model {entry.name} cannot be loaded now.",
        code="unavailable",
        retry_after_seconds=round(_RETRY_SECONDS),
    )
