"""The spawner and the supervisor's end of it, with a trainer that needs no TensorFlow."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workers.processes import children_of, lives, wait_until
from workers.child import Exit, Order, Program, Spawner, Trainer, trainer_environment

FAKE = Program(trainer="tests.workers.fake_trainer", preload=("workers.trainer.order",))


@pytest.fixture
def spawner(tmp_path: Path) -> Iterator[Spawner]:
    spawner = Spawner(FAKE, tmp_path / "home")
    yield spawner
    spawner.kill()


def order(tmp_path: Path, script: list[dict[str, Any]], **changes: Any) -> Order:
    folder = tmp_path / "attempt"
    (folder / "output").mkdir(parents=True, exist_ok=True)
    content = {
        "job": "job_1", "attempt": 1, "recipe": "tabular-classification", "resolved": {"script": script},
        "datasets": {}, "output": str(folder / "output"), "checkpoint": None, "threads": 1, "trained_seconds": 0.0,
        "checkpoint_seconds": 60.0,
    }  # fmt: skip
    (folder / "order.json").write_text(json.dumps(content))
    return Order(folder / "order.json", folder / "log.txt", **changes)


def read_all(trainer: Trainer) -> tuple[Exit, list[dict[str, Any]]]:
    reports: list[dict[str, Any]] = []
    exit_ = trainer.read(reports.append)
    trainer.close()
    return exit_, reports


class TestTrainer:
    def test_an_order_given_before_the_spawner_is_warm_is_carried_out(self, spawner: Spawner, tmp_path: Path) -> None:
        exit_, reports = read_all(Trainer(spawner, order(tmp_path, [{"say": "hello"}, {"finish": 1}])))
        assert (exit_.code, exit_.signal) == (0, None)
        assert [r["type"] for r in reports] == ["started", "done"]
        assert exit_.peak_memory_bytes is not None
        assert 5e6 < exit_.peak_memory_bytes < 5e8
        assert (tmp_path / "attempt" / "log.txt").read_text() == "hello\n"

    def test_one_spawner_runs_many_trainers_one_after_the_other(self, spawner: Spawner, tmp_path: Path) -> None:
        for code in (0, 3, 0, 5):
            assert read_all(Trainer(spawner, order(tmp_path, [{"exit": code}])))[0].code == code

    def test_a_signal_is_told_from_an_exit_code(self, spawner: Spawner, tmp_path: Path) -> None:
        exit_, _ = read_all(Trainer(spawner, order(tmp_path, [{"signal": signal.SIGSEGV}])))
        assert (exit_.code, exit_.signal) == (None, signal.SIGSEGV)

    def test_an_exception_is_a_crash_whose_trace_is_in_the_log(self, spawner: Spawner, tmp_path: Path) -> None:
        exit_, _ = read_all(Trainer(spawner, order(tmp_path, [{"no such step": 1}])))
        assert exit_.code not in (0, None)
        assert "ValueError: no such step" in (tmp_path / "attempt" / "log.txt").read_text()

    def test_what_the_trainer_started_dies_with_it_and_does_not_hold_up_the_end(
        self, spawner: Spawner, tmp_path: Path
    ) -> None:
        script = [{"linger": True}, {"report": {"type": "event", "name": "lingering"}}, {"signal": signal.SIGKILL}]
        trainer = Trainer(spawner, order(tmp_path, script))
        exit_, reports = read_all(trainer)
        assert exit_.signal == signal.SIGKILL
        assert reports[-1]["name"] == "lingering"
        group = trainer.pid
        assert group is not None
        wait_until(lambda: not group_lives(group))

    def test_a_control_message_reaches_it(self, spawner: Spawner, tmp_path: Path) -> None:
        trainer = Trainer(spawner, order(tmp_path, [{"obey": True}]))
        trainer.send({"type": "pause"})
        _, reports = read_all(trainer)
        assert reports[-1] == {"type": "stopped", "reason": "paused", "trained_seconds": 0.0}

    def test_the_end_of_the_control_pipe_ends_it(self, spawner: Spawner, tmp_path: Path) -> None:
        trainer = Trainer(spawner, order(tmp_path, [{"hang": True}]))
        started = threading.Event()
        ended: list[Exit] = []
        thread = threading.Thread(target=lambda: ended.append(trainer.read(lambda _: started.set())))
        thread.start()
        assert started.wait(10)
        os.close(trainer._control)
        thread.join(10)
        assert ended[0].code == 70
        os.close(trainer._reports)

    def test_killing_the_spawner_kills_the_trainer_and_ends_the_reading(self, spawner: Spawner, tmp_path: Path) -> None:
        trainer = Trainer(spawner, order(tmp_path, [{"hang": True}]))
        exit_: list[Exit] = []
        started = threading.Event()
        thread = threading.Thread(target=lambda: exit_.append(trainer.read(lambda _: started.set())))
        thread.start()
        assert started.wait(10)
        pid = trainer.pid
        assert pid is not None
        spawner.process.kill()
        thread.join(10)
        assert exit_ == [Exit()]
        wait_until(lambda: not lives(pid))
        trainer.close()

    def test_a_kill_before_the_trainer_exists_ends_the_spawner(self, tmp_path: Path) -> None:
        spawner = Spawner(
            Program(trainer="tests.workers.fake_trainer", preload=("tests.workers.never_warm",)), tmp_path
        )
        trainer = Trainer(spawner, order(tmp_path, []))
        trainer.signal_group(signal.SIGKILL)
        assert read_all(trainer)[0] == Exit()
        spawner.kill()

    def test_lines_that_are_no_reports_are_marked(self, spawner: Spawner, tmp_path: Path) -> None:
        _, reports = read_all(Trainer(spawner, order(tmp_path, [{"report": [1]}, {"report": {"kind": "x"}}])))
        assert [r["type"] for r in reports[1:]] == ["garbage", "garbage"]

    def test_a_large_report_arrives_whole(self, spawner: Spawner, tmp_path: Path) -> None:
        text = "x" * 3_000_000
        _, reports = read_all(Trainer(spawner, order(tmp_path, [{"report": {"type": "event", "name": text}}])))
        assert reports[1]["name"] == text

    def test_priority_and_threads_are_set(self, spawner: Spawner, tmp_path: Path) -> None:
        trainer = Trainer(spawner, order(tmp_path, [{"hang": True}], nice=7, threads=3))
        started = threading.Event()
        thread = threading.Thread(target=trainer.read, args=(lambda _: started.set(),))
        thread.start()
        assert started.wait(10)
        assert trainer.pid is not None
        assert os.getpriority(os.PRIO_PROCESS, trainer.pid) == 7
        limits = Path(f"/proc/{trainer.pid}/limits").read_text()
        assert limits.split("Max core file size")[1].split()[0] == "0"
        assert os.getpgid(trainer.pid) == trainer.pid
        trainer.signal_group(signal.SIGKILL)
        thread.join(10)
        trainer.close()


class TestEnvironment:
    def test_holds_no_secret(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("TRAINYARD_DATABASE_URL", "TRAINYARD_BROKER_URL", "AWS_SECRET_ACCESS_KEY", "TRAINYARD_KEY"):
            monkeypatch.setenv(name, "secret")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        environment = trainer_environment(tmp_path)
        assert "secret" not in environment.values()
        assert environment["CUDA_VISIBLE_DEVICES"] == "1"
        assert environment["KERAS_BACKEND"] == "tensorflow"

    def test_the_spawner_sees_no_other(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TRAINYARD_DATABASE_URL", "postgresql://secret@db/x")
        spawner = Spawner(FAKE, tmp_path)
        spawner.wait_warm()
        environment = Path(f"/proc/{spawner.process.pid}/environ").read_bytes()
        spawner.kill()
        assert b"secret" not in environment
        assert b"KERAS_BACKEND=tensorflow" in environment


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(lives(pid) for pid in children_of(1) if _group(pid) == group) or lives(group)


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1
