"""The spawner and TensorFlow: it must import it and never use it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workers.child import Order, Program, Spawner, Trainer
from workers.spawner import PRELOAD

pytestmark = pytest.mark.recipes
ROOT = Path(__file__).resolve().parents[2]


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )


def test_nothing_that_is_imported_ahead_runs_an_operation() -> None:
    done = python(f"from workers.spawner import preload, operations_ran; preload({PRELOAD!r}); print(operations_ran())")
    assert done.stdout.strip() == "False", done.stderr[-2000:]


def test_an_operation_is_noticed() -> None:
    done = python(
        "import tensorflow as tf; from workers.spawner import operations_ran; print(operations_ran())\n"
        "tf.constant(1); print(operations_ran())"
    )
    assert done.stdout.split() == ["False", "True"], done.stderr[-2000:]


def test_a_module_that_runs_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hasty.py").write_text("import tensorflow as tf\ntf.constant(1)\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from workers.spawner import preload; preload(['hasty'])"
    done = python(code)
    assert done.returncode != 0
    assert "importing hasty ran a TensorFlow operation" in done.stderr


def test_a_forked_child_can_train_twice(tmp_path: Path) -> None:
    spawner = Spawner(Program(trainer="tests.workers.tiny_trainer"), tmp_path / "home")
    try:
        spawner.wait_warm()
        digests = []
        for name in ("a", "b"):
            folder = tmp_path / name
            folder.mkdir()
            content = {"job": "j", "attempt": 1, "recipe": "r", "resolved": {}, "datasets": {}, "output": str(folder)}
            (folder / "order.json").write_text(json.dumps(content))
            reports: list[dict[str, object]] = []
            trainer = Trainer(spawner, Order(folder / "order.json", folder / "log.txt"))
            exit_ = trainer.read(reports.append)
            trainer.close()
            assert exit_.code == 0, (folder / "log.txt").read_text()
            digests.append(reports[-1]["digest"])
        assert digests[0] == digests[1]
    finally:
        spawner.kill()


def test_no_tensorflow_here() -> None:
    """The supervisor's side imports none of it: only the spawner's process does."""
    done = python(
        "import workers.slot, workers.launcher, sys; print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert done.stdout.strip() == "False", done.stderr[-2000:]


def test_a_fresh_process_has_run_no_operation() -> None:
    done = python("from workers.spawner import operations_ran, preload; print(preload([]) >= 0, operations_ran())")
    assert done.stdout.strip() == "True False", done.stderr[-2000:]
