"""Run drills: `python -m tests.drills --pace real`. A drill that fails prints its seed and timeline, and the exit
code is 1; `--seed` runs it again.
"""

import argparse
import datetime
import functools
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.drills.catalogue import DRILLS, Drill
from tests.drills.pace import PACES, Pace
from tests.drills.world import ROOT, STACKS, Stack, World

RESULTS = ROOT / "benchmarks" / "results" / "drills.json"


def main() -> None:
    """Run the chosen drills on the chosen stacks and write down what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pace", choices=PACES, default="real", help="short: heartbeat 0.5 s, lease 3 s, as in CI")
    parser.add_argument("--stack", choices=STACKS, action="append", help="default: both")
    parser.add_argument("--only", default="", help="promises, comma between: P1,P8")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument(
        "--results", type=Path, help=f"where figures are added; {RESULTS.relative_to(ROOT)} is shown in docs"
    )
    options = parser.parse_args()
    _commit()
    logging.disable(logging.WARNING)  # that servers do not answer is the point
    chosen = [drill for drill in DRILLS if not options.only or drill.promise in options.only.split(",")]
    results = [
        result
        for stack in options.stack or STACKS
        for result in run_stack(stack, PACES[options.pace], chosen, options.seed)
    ]
    if options.results:
        write_results(options.results, results)
    sys.exit(any(not result["passed"] for result in results))


def run_stack(stack: Stack, pace: Pace, drills: list[Drill], seed: int) -> list[dict[str, Any]]:
    """Run drills one after the other in one world, a new one after a failure; return what each gave."""
    results, waiting = [], [drill for drill in drills if stack in drill.stacks]
    while waiting:
        with tempfile.TemporaryDirectory(prefix="trainyard-drill-", ignore_cleanup_errors=True) as folder:
            Path(folder).chmod(0o755)  # PostgreSQL runs as another user
            with World(Path(folder) / "world", stack, pace) as world:
                while waiting:
                    result = run_drill(waiting.pop(0), world, seed)
                    results.append(result)
                    if not result["passed"]:
                        break
    return results


def run_drill(drill: Drill, world: World, seed: int) -> dict[str, Any]:
    """Run one drill; return its figures, or print what went wrong, the seed and the timeline."""
    began = time.monotonic()
    facts = {
        "promise": drill.promise,
        "title": drill.title,
        "stack": world.stack,
        "pace": world.pace.name,
        "seed": seed,
    }
    world.note(f"{drill.promise} {drill.title}")
    try:
        # Each drill draws from a seed of its own, so that one alone does what it did among others.
        figures = drill.run(world, random.Random(f"{seed} {drill.promise} {world.stack}"))
    except Exception as failure:  # noqa: BLE001  (a drill may fail in any way; the others still run)
        figures = {"failure": f"{type(failure).__name__}: {failure}"}
        print(f"{drill.promise} on {world.stack} FAILED, seed {seed}", "".join(traceback.format_exception(failure)),
              *world.timeline[-60:], sep="\n", flush=True)  # fmt: skip
    seconds = round(time.monotonic() - began, 1)
    passed = "failure" not in figures
    verdict = "ok" if passed else "FAILED"
    print(f"{drill.promise:4} {world.stack:10} {verdict:6} {seconds:6.1f} s  {json.dumps(figures)}", flush=True)
    return {**facts, "passed": passed, "seconds": seconds, **_place(), "figures": figures}


@functools.cache
def _commit() -> str:
    """The commit at the start of the run."""
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return said.stdout.strip()


def _place() -> dict[str, Any]:
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M")
    load = [round(value, 1) for value in os.getloadavg()]
    return {"commit": _commit(), "date": date, "cores": os.cpu_count(), "load": load}


def write_results(path: Path, results: list[dict[str, Any]]) -> None:
    """Put results into a file in the place of earlier ones of the same drill, stack and pace."""
    earlier = json.loads(path.read_text()) if path.is_file() else []
    new = {(r["promise"], r["stack"], r["pace"]) for r in results}
    kept = [r for r in earlier if (r["promise"], r["stack"], r["pace"]) not in new]
    merged = sorted(kept + results, key=lambda r: (int(r["promise"][1:]), r["stack"], r["pace"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(merged, indent=1) + "\n")


if __name__ == "__main__":
    main()
