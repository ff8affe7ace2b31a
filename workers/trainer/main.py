"""The trainer's entry: an order in, reports out, an exit code.

`python -m workers.trainer.main order.json` runs an order by hand: reports go to standard output,
control lines are read from standard input where `--control` is given.
"""

import argparse
import os
import sys
import traceback
from pathlib import Path
from typing import IO, BinaryIO, cast

import tensorflow as tf

from workers.device_loss import DEVICE_LOST_CODE, says_device_lost
from workers.trainer.control import Control
from workers.trainer.failures import TrainingFailed, no_room, out_of_memory, storage_full
from workers.trainer.memory import is_out_of_memory, run_within_memory
from workers.trainer.order import Order, read_order
from workers.trainer.publish import publish_checkpoint
from workers.trainer.reports import Reports

# What the libraries below raise when something is wrong that no one thought of. KeyboardInterrupt and SystemExit
# are not among them.
_UNFORESEEN = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def run(order: Order, reports: IO[bytes], control: int | None) -> int:
    """Run an order: write JSON lines to `reports`, obey the lines on the descriptor `control`; return the exit code.

    0 after `done`, `failed` or `stopped`, 20 when the device was lost. Anything else is a crash: the supervisor tells
    it by the exit code.
    """
    told = Reports(cast(BinaryIO, reports), sys.stderr)
    try:
        _run(order, told, Control(control))
    except TrainingFailed as error:
        _fail(told, error)
    except MemoryError:
        _fail(told, out_of_memory("on the worker"))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        _fail(told, no_room() if storage_full(error) else _unforeseen(error))
    except (tf.errors.OpError, *_UNFORESEEN) as error:
        if says_device_lost(str(error)):
            traceback.print_exc(file=sys.stderr)
            return DEVICE_LOST_CODE
        _fail(told, _unforeseen(error))
    return 0


def _run(order: Order, reports: Reports, control: Control) -> None:
    if order.kind == "publish":
        publish_checkpoint(order, reports, control)
    else:
        run_within_memory(order, reports, control)


def _fail(reports: Reports, failure: TrainingFailed) -> None:
    # Called while the exception is handled: the log gets the whole story, the report what is safe to show.
    traceback.print_exc(file=sys.stderr)
    reports.send("failed", error=failure.to_json(), fit=failure.fit)


def _unforeseen(error: BaseException) -> TrainingFailed:
    if is_out_of_memory(error):
        return out_of_memory("on the worker" if isinstance(error, OSError) else "on the device")
    return TrainingFailed(
        "internal_error",
        f"The trainer failed with {type(error).__name__}; the job's log says where.",
        detail={"exception": type(error).__name__},
    )


def main() -> int:
    """Run an order by hand."""
    parser = argparse.ArgumentParser(prog="python -m workers.trainer.main", description=__doc__)
    parser.add_argument("order", type=Path, help="the order, a JSON file")
    parser.add_argument("--control", action="store_true", help="obey control lines on standard input; its end ends all")
    arguments = parser.parse_args()
    # Reports get a descriptor of their own: a library that prints must not spoil them.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0) as reports:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        return run(read_order(arguments.order), reports, sys.stdin.fileno() if arguments.control else None)


if __name__ == "__main__":
    sys.exit(main())
