"""The real child of batch jobs, made slow: small batches, each after a moment, so that a test can come between."""

import threading
from typing import BinaryIO

from workers.batch import main, predicting
from workers.batch.predicting import BatchPredictor, Predicted
from workers.batch.source import Batch
from workers.trainer.order import Order

ROWS = 64
SECONDS = 0.1

_quick = BatchPredictor.predict


def _slowly(self: BatchPredictor, batch: Batch) -> Predicted:
    threading.Event().wait(SECONDS)
    return _quick(self, batch)


def _few(self: BatchPredictor, batch: Batch) -> int:
    return ROWS


def run(order: Order, reports: BinaryIO, control: int) -> int:
    predicting.BatchPredictor.predict = _slowly  # type: ignore[method-assign]
    predicting.BatchPredictor.choose_rows = _few  # type: ignore[method-assign]
    return main.run(order, reports, control)
