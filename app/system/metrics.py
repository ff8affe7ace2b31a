"""The body of `GET /metrics`: figures of this process, or of all API processes together, and those of the database."""

from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from app.system.gauges import Gauges
from app.system.shared import SharedFigures

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Renders all figures in Prometheus' text form."""

    def __init__(self, gauges: Gauges, process_figures: Collector, folder: Path | None = None) -> None:
        """`process_figures` are those that each API process counts for itself.

        Where there are several processes, they share them through `folder`; figures of one process that have no sum
        (its memory, its age) are left out then.
        """
        self._service = CollectorRegistry()
        self._service.register(gauges)
        self._shared = None if folder is None else SharedFigures(folder, process_figures)
        if self._shared is not None:
            self._service.register(self._shared)

    def start(self) -> None:
        """Begin to share this process's figures."""
        if self._shared is not None:
            self._shared.start()

    def stop(self) -> None:
        """Leave behind what was counted."""
        if self._shared is not None:
            self._shared.stop()

    def render(self) -> bytes:
        """Return all figures as of now."""
        own = generate_latest(REGISTRY) if self._shared is None else b""
        return own + generate_latest(self._service)
