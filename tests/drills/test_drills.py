"""Every drill with a shrunken heartbeat and lease; `make drill` runs them with the real ones."""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills.catalogue import DRILLS, Drill
from tests.drills.pace import SHORT
from tests.drills.world import STACKS, Stack, World

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
# A new one at each run; a failure prints it, and `python -m tests.drills --pace short --seed N --only P` repeats it.
SEED = random.SystemRandom().randrange(10**6)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL, as another user, may enter: pytest closes its own again at the start of each run."""
    with tempfile.TemporaryDirectory(prefix="trainyard-drills-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def worlds(folder: Path) -> Iterator[dict[Stack, World]]:
    """The service that runs on each stack; one that a drill broke is taken out, and the next drill starts another."""
    del folder  # removed after the worlds that stand in it
    running: dict[Stack, World] = {}
    yield running
    for world in running.values():
        world.stop()


@pytest.mark.parametrize(
    ("stack", "drill"),
    [pytest.param(stack, drill, id=f"{drill.promise}-{stack}")
     for stack in STACKS for drill in DRILLS if stack in drill.stacks and stack in drill.stacks_in_ci],
)  # fmt: skip
def test_the_promise_holds(stack: Stack, drill: Drill, worlds: dict[Stack, World], folder: Path) -> None:
    for other in [name for name in worlds if name != stack]:
        worlds.pop(other).stop()
    if stack not in worlds:
        worlds[stack] = World(folder / f"{drill.promise}-{stack}", stack, SHORT)
        worlds[stack].start()
    world = worlds.pop(stack)
    try:
        drill.run(world, random.Random(f"{SEED} {drill.promise} {stack}"))
    except BaseException:
        print(f"seed {SEED}", *world.timeline[-60:], sep="\n")
        world.stop()
        raise
    worlds[stack] = world
