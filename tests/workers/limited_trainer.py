"""The trainer on a device that has no memory for batches above 10 rows."""

from typing import BinaryIO

from tests.trainer.short_memory import limit_rows
from workers.trainer import main
from workers.trainer.loop import TrainingFunction
from workers.trainer.order import Order


def run(order: Order, reports: BinaryIO, control: int) -> int:
    TrainingFunction._gradients = limit_rows(lambda: 10)
    return main.run(order, reports, control)
