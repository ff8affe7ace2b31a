"""The entry of the child that runs a finished model over a data set: an order in, reports out, an exit code."""

import errno
import sys
import traceback
from collections.abc import Callable
from typing import IO, BinaryIO, cast

from app.core.errors import TrainyardError
from app.inference.runtime import ModelUnusable
from workers.batch.evaluate import evaluate
from workers.batch.predict import predict
from workers.trainer.control import Control
from workers.trainer.failures import TrainingFailed, no_room, storage_full
from workers.trainer.order import Order
from workers.trainer.reports import Reports

JOBS: dict[str, Callable[[Order, Reports, Control], None]] = {"predict": predict, "evaluate": evaluate}
_UNFORESEEN = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def run(order: Order, reports: IO[bytes], control: int | None) -> int:
    """Run an order: write JSON lines to `reports`, obey the lines on the descriptor `control`; return the exit code.

    0 after `done`, `failed` or `stopped`. Anything else is a crash: the supervisor tells it by the exit code.
    """
    told = Reports(cast(BinaryIO, reports), sys.stderr)
    told.send("started", fingerprint={"model": order.resolved["model"], "threads": order.threads})
    try:
        JOBS[order.kind](order, told, Control(control))
    except TrainingFailed as error:
        _fail(told, error)
    except MemoryError:
        _fail(told, _out_of_memory())
    except TrainyardError as error:
        _fail(told, TrainingFailed("dataset_error", error.message, detail={"code": error.code, "param": error.param}))
    except ModelUnusable as error:
        _fail(told, TrainingFailed("configuration_error", f"The model cannot be run: {error}."))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        _fail(told, no_room() if storage_full(error) else _unforeseen(error))
    except _UNFORESEEN as error:
        _fail(told, _unforeseen(error))
    return 0


def _fail(reports: Reports, failure: TrainingFailed) -> None:
    # Called while the exception is handled: the log gets the whole story, the report what is safe to show.
    traceback.print_exc(file=sys.stderr)
    reports.send("failed", error=failure.to_json(), fit=None)


def _out_of_memory() -> TrainingFailed:
    return TrainingFailed(
        "out_of_memory", "The worker has too little memory for this model. Use a worker with more.", retryable=False
    )


def _unforeseen(error: BaseException) -> TrainingFailed:
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return _out_of_memory()
    return TrainingFailed(
        "internal_error",
        f"The job failed with {type(error).__name__}; its log says where.",
        detail={"exception": type(error).__name__},
    )
