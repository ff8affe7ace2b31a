"""Every drill: the promise it proves, and the stacks it runs on."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.drills import broker_away, cancel, kill_loop, poison, takeover
from tests.drills.world import STACKS, Stack, World

Figures = dict[str, Any]


@dataclass(frozen=True)
class Drill:
    """One promise, and what proves it."""

    promise: str
    title: str
    run: Callable[[World, random.Random], Figures]
    stacks: tuple[Stack, ...] = STACKS


DRILLS = (
    Drill("P1", "No accepted job is lost", kill_loop.run),
    Drill("P2", "A stale attempt writes nothing", takeover.run_frozen),
    Drill("P3", "A dead worker's job runs again", takeover.run_killed),
    Drill("P4", "A stopped worker drains", takeover.run_drained),
    Drill("P7", "A poison job cannot loop", poison.run),
    Drill("P8", "Cancel ends a job, for good", cancel.run),
    Drill("P9", "The broker may go", broker_away.run),
)
