"""The scripted trainer of `tests.workers`; a job names its script by the seed of its training.

So jobs come in by HTTP like any other, and only what the trainer does is ours.
"""

import json
import os
from pathlib import Path
from typing import BinaryIO

from tests.workers import fake_trainer
from workers.trainer.order import Order

VARIABLE = "DRILL_SCRIPTS"


def run(order: Order, reports: BinaryIO, control: int) -> int:
    """Do as `<seed>.json` in the folder of scripts says."""
    path = Path(os.environ[VARIABLE]) / f"{order.resolved['training']['seed']}.json"
    order.resolved["script"] = json.loads(path.read_text())
    return fake_trainer.run(order, reports, control)
