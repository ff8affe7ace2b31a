"""Counts and durations of predictions for Prometheus.

Plain integers, written on the event loop only and read when Prometheus asks: prometheus_client's
own metrics take a lock and 1–2 µs an observation, a tenth of what a small prediction costs.
"""

import bisect
from collections.abc import Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)

EXPECTED = (200, 500, 503)  # the statuses that alerts look at


class Distribution:
    """How often a value fell below each bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return (upper bound, count of values up to it), the form that Prometheus reads."""
        names = [*map(str, self.bounds), "+Inf"]
        found = 0
        buckets = []
        for name, count in zip(names, self.counts, strict=True):
            found += count
            buckets.append((name, float(found)))
        return buckets


class ModelFigures:
    """The figures of one model, over all its versions that this process has served."""

    def __init__(self) -> None:
        self.answers: dict[int, int] = {}
        """Answered requests by status."""
        self.seconds = Distribution(SECONDS)
        self.batch_rows = Distribution(ROWS)
        self.queued_rows = 0

    def count(self, status: int, seconds: float) -> None:
        """Count one answered request."""
        self.answers[status] = self.answers.get(status, 0) + 1
        self.seconds.observe(seconds)


class PredictFigures(Collector):
    """The figures of this process."""

    def __init__(self) -> None:
        self.models: dict[str, ModelFigures] = {}
        self.loaded_models = 0
        self.loaded_bytes = 0

    def of(self, model: str) -> ModelFigures:
        """Return the figures of the model of that name; `""` for requests that named none."""
        return self.models.setdefault(model, ModelFigures())

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus reads."""
        requests = CounterMetricFamily(
            "trainyard_predict_requests", "Prediction requests answered.", labels=["model", "status"]
        )
        seconds = HistogramMetricFamily(
            "trainyard_predict_seconds", "Seconds from a request's arrival to its answer.", labels=["model"]
        )
        rows = HistogramMetricFamily("trainyard_predict_batch_rows", "Rows of a batch.", labels=["model"])
        queued = GaugeMetricFamily("trainyard_predict_queue_rows", "Rows that wait for a model.", labels=["model"])
        for name, figures in list(self.models.items()):
            # Zeros too: to Prometheus a number that begins above zero has not risen.
            for status, count in {**dict.fromkeys(EXPECTED, 0), **figures.answers}.items():
                requests.add_metric([name, str(status)], count)
            seconds.add_metric([name], figures.seconds.buckets(), figures.seconds.total)
            rows.add_metric([name], figures.batch_rows.buckets(), figures.batch_rows.total)
            queued.add_metric([name], figures.queued_rows)
        yield requests
        yield seconds
        yield rows
        yield queued
        yield GaugeMetricFamily("trainyard_models_loaded", "Model versions in memory.", value=self.loaded_models)
        yield GaugeMetricFamily(
            "trainyard_models_loaded_bytes", "Bytes of those models, as estimated.", value=self.loaded_bytes
        )


FIGURES = PredictFigures()
REGISTRY.register(FIGURES)
