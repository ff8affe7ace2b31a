"""Every drill with a shrunken heartbeat and lease; `make drill` runs them with the real ones."""

import random
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
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Stack, World]]:
    """The service that runs on each stack; one that a drill broke is taken out, and the next drill starts another."""
    running: dict[Stack, World] = {}
    yield running
    for world in running.values():
        world.stop()


@pytest.mark.parametrize(
    ("stack", "drill"),
    [pytest.param(stack, drill, id=f"{drill.promise}-{stack}")
     for stack in STACKS for drill in DRILLS if stack in drill.stacks and stack in drill.stacks_in_ci],
)  # fmt: skip
def test_the_promise_holds(
    stack: Stack, drill: Drill, worlds: dict[Stack, World], tmp_path_factory: pytest.TempPathFactory
) -> None:
    for other in [name for name in worlds if name != stack]:
        worlds.pop(other).stop()
    if stack not in worlds:
        folder = open_to_others(tmp_path_factory.mktemp("world"))
        worlds[stack] = World(folder / "world", stack, SHORT)
        worlds[stack].start()
    world = worlds.pop(stack)
    try:
        drill.run(world, random.Random(f"{SEED} {drill.promise} {stack}"))
    except BaseException:
        print(f"seed {SEED}", *world.timeline[-60:], sep="\n")
        world.stop()
        raise
    worlds[stack] = world


def open_to_others(folder: Path) -> Path:
    """Let PostgreSQL, which runs as another user, reach its own folder inside."""
    for above in (folder, *folder.parents[:2]):
        if above != Path(above.anchor):
            above.chmod(above.stat().st_mode | 0o055)
    return folder
