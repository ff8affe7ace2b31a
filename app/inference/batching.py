"""What a batcher needs: a model that computes, something that writes its answers, and bounds."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from app.inference.rows import Rows
from app.inference.work import Form, Work


class Computes(Protocol):
    """Turns checked rows into outputs, one a row: a `Predictor`, or an `Embedder`."""

    decodes: bool
    """Whether checking a small body may take long, as an image of a few kilobytes may be of millions of pixels."""

    def prepare_rows(self, parts: list[Rows]) -> Any:
        """Return what `run` takes for the rows of all `parts`, in order."""

    def run(self, inputs: Any) -> np.ndarray:
        """Return the outputs, (N, …); ModelUnusable when the model fails."""


class Encodes(Protocol):
    """Writes answers as JSON."""

    def empty(self, form: Form) -> bytes:
        """Return the body for a request without rows."""

    def encode(self, batch: list[Work], outputs: Any) -> list[bytes]:
        """Return the body of each work of a batch from all their outputs, in order."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one model's queue and batches, from the settings."""

    queue_rows: int
    batch_rows: int
    wait_seconds: float
    slots: int
    """Batches that run side by side in threads."""
