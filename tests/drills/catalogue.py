"""Every drill: the promise it proves, and the stacks it runs on."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.drills import (
    broker_away,
    canaries,
    cancel,
    corrupt,
    database_away,
    exact,
    full_disk,
    kill_loop,
    poison,
    same_key,
    takeover,
    writers,
)
from tests.drills.world import STACKS, Stack, World

Figures = dict[str, Any]


@dataclass(frozen=True)
class Drill:
    """One promise, and what proves it."""

    promise: str
    title: str
    run: Callable[[World, random.Random], Figures]
    stacks: tuple[Stack, ...] = STACKS
    stacks_in_ci: tuple[Stack, ...] = STACKS
    """Where CI has no time for both."""


DRILLS = (
    Drill("P1", "No accepted job is lost", kill_loop.run),
    Drill("P2", "A stale attempt writes nothing", takeover.run_frozen),
    Drill("P3", "A dead worker's job runs again", takeover.run_killed),
    Drill("P4", "A stopped worker drains", takeover.run_drained),
    Drill("P5", "Killed and resumed is uninterrupted, bit for bit", exact.run, stacks_in_ci=("embedded",)),
    Drill("P6", "Nothing damaged is resumed from or served", corrupt.run, stacks_in_ci=("embedded",)),
    Drill("P7", "A poison job cannot loop", poison.run, stacks_in_ci=("postgresql",)),
    Drill("P8", "Cancel ends a job, for good", cancel.run),
    Drill("P9", "The broker may go", broker_away.run),
    Drill("P10", "The database may go", database_away.run, ("postgresql",)),
    Drill("P13", "The disk may fill", full_disk.run, stacks_in_ci=("embedded",)),
    Drill("P18", "Secrets turn up nowhere", canaries.run, stacks_in_ci=("postgresql",)),
    Drill("P19", "One job for one key", same_key.run),
    Drill("P20", "SQLite under eight writers", writers.run, ("embedded",)),
)
