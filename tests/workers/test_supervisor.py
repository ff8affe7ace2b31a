"""One attempt, with real processes and a scripted trainer: every way it can end."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from app.db.engine import DatabaseUnavailable
from app.jobs import repository as jobs
from tests.workers.conftest import Yard
from tests.workers.processes import lives, wait_until

METRICS: dict[str, Any] = {"type": "metrics", "epoch": 1, "step": 5, "split": "train", "values": {"loss": 0.25}}


class TestSuccess:
    def test_everything_reported_is_written_down_and_the_bundle_is_published(self, yard: Yard) -> None:
        warning = {"code": "constant_column", "message": "x"}
        job = yard.run(
            [
                {"report": {"type": "warnings", "warnings": [warning]}},
                {"beat": 3},
                {"report": METRICS},
                {"report": {"type": "event", "name": "evaluating", "data": {"rows": 7}}},
                {"checkpoint": 5},
                {"finish": "a"},
            ]
        )
        assert (job.state, job.stop_reason, job.attempt, job.failures) == ("succeeded", "completed", 1, 0)
        assert job.warnings == [warning]
        assert job.progress is not None
        assert job.progress["step"] == 3
        assert [(m.split, m.step, m.values) for m in yard.metrics(job.id)] == [("train", 5, {"loss": 0.25})]
        assert job.fit == {"verdict": "healthy"}
        for event in ("created", "started", "evaluating", "checkpoint", "succeeded"):
            assert event in yard.events(job.id)
        [version] = yard.versions(job.id)
        assert version.manifest["value"] == "a"
        assert yard.blobs.get_bytes(f"{version.blob_prefix}/model.onnx") == b"graph"
        [checkpoint] = yard.checkpoints(job.id)
        assert yard.blobs.get_bytes(f"{checkpoint.blob_prefix}/state.json") == b'{"step": 5}'
        [attempt] = yard.attempts(job.id)
        assert (attempt.exit_code, attempt.signal, attempt.outcome) == (0, None, "succeeded")
        assert attempt.fingerprint == {"fake": True}
        assert attempt.peak_memory_bytes is not None
        assert attempt.pid is not None

    def test_the_work_folder_is_removed(self, yard: Yard) -> None:
        yard.run([{"finish": 1}])
        assert list((yard.settings.work_dir / "attempts").iterdir()) == []

    def test_the_log_is_kept_without_paths_or_colours(self, yard: Yard) -> None:
        home = str(yard.settings.home_dir)
        job = yard.run([{"say": f"reading {home}/work/x \x1b[31mred\x1b[0m"}, {"finish": 1}])
        assert yard.blobs.get_bytes(f"logs/{job.id}/1.txt") == b"reading .../work/x red\n"

    def test_the_log_grows_while_the_job_runs(self, yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.run.LOG_SECONDS", 0.1)
        job_id = yard.submit([{"say": "first"}, {"beat": 100_000}, {"obey": True}])
        with yard.running(job_id):
            wait_until(lambda: f"logs/{job_id}/1.txt" in yard.blobs.keys(f"logs/{job_id}"))
            assert yard.job(job_id).state == "running"
            cancel(yard, job_id)


@pytest.mark.services
class TestFailure:
    def test_an_error_of_the_job_itself_fails_it_at_once(self, yard: Yard) -> None:
        error = {"code": "training_diverged", "message": "loss is NaN", "retryable": False, "detail": {"epoch": 2}}
        job = yard.run([{"fail": error}])
        assert (job.state, job.failures) == ("failed", 0)
        assert job.error is not None
        assert job.error["code"] == "training_diverged"
        assert job.error["detail"]["epoch"] == 2
        assert job.error["detail"]["exit_code"] == 0

    def test_a_retryable_error_is_tried_again_until_the_failures_are_used_up(self, yard: Yard) -> None:
        error = {"code": "storage_full", "message": "disk", "retryable": True, "detail": {}}
        job = yard.run([{"fail": error}], max_failures=2)
        assert (job.state, job.failures) == ("queued", 1)
        yard.make_due(job.id)
        yard.supervisor().run(yard.claim(job.id))
        job = yard.job(job.id)
        assert (job.state, job.failures) == ("failed", 2)
        assert job.error is not None
        assert job.error["code"] == "storage_full"

    @pytest.mark.parametrize(
        ("step", "expected"),
        [({"exit": 3}, (3, None)), ({"signal": signal.SIGSEGV}, (None, signal.SIGSEGV))],
    )
    def test_a_crash_is_charged_and_the_job_goes_on(
        self, yard: Yard, tmp_path: Path, step: dict[str, Any], expected: tuple[int | None, int | None]
    ) -> None:
        job = yard.run([{"checkpoint": 40}, {"once": "crashed", "dir": str(tmp_path), "do": [step]}, {"finish": 1}])
        assert (job.state, job.failures) == ("queued", 1)
        [attempt] = yard.attempts(job.id)
        assert (attempt.exit_code, attempt.signal, attempt.outcome) == (*expected, "crashed")
        yard.make_due(job.id)
        yard.supervisor().run(yard.claim(job.id))
        job = yard.job(job.id)
        assert (job.state, job.attempt, job.failures, job.error) == ("succeeded", 2, 1, None)

    def test_the_last_failure_is_told_with_how_the_trainer_ended(self, yard: Yard) -> None:
        job = yard.run([{"signal": signal.SIGKILL}], max_failures=1)
        assert job.state == "failed"
        assert job.error is not None
        assert job.error["code"] == "worker_lost"
        assert "signal 9" in job.error["message"]
        assert job.error["detail"]["signal"] == 9

    def test_out_of_memory_is_told_by_the_kernels_counter(self, yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.outcome.OutOfMemoryWatch.fired", lambda self: True)
        job = yard.run([{"signal": signal.SIGKILL}], max_failures=1)
        assert job.error is not None
        assert job.error["code"] == "out_of_memory"

    def test_a_stalled_trainer_is_killed_and_charged(self, yard: Yard) -> None:
        job_id = yard.submit([{"beat": 2}, {"deaf": True}, {"hang": True}], max_failures=1)
        with yard.running(job_id, stall_seconds=0.5):
            pass
        job = yard.job(job_id)
        assert (job.state, (job.error or {})["code"]) == ("failed", "stalled")

    def test_missing_data_is_a_dataset_error(self, yard: Yard) -> None:
        yard.folders.error = FileNotFoundError("datasets/ds_1")
        job = yard.run([{"finish": 1}])
        assert (job.state, (job.error or {})["code"]) == ("failed", "dataset_error")

    def test_a_full_disk_while_fetching_is_tried_again(self, yard: Yard) -> None:
        yard.folders.error = OSError(28, "No space left on device")
        job = yard.run([{"finish": 1}])
        assert (job.state, job.failures) == ("queued", 1)

    def test_a_disk_without_room_for_the_attempt_is_tried_again(self, yard: Yard) -> None:
        (yard.settings.work_dir / "attempts").touch()  # no folder can be made in a file
        job = yard.run([{"finish": 1}], max_failures=1)
        assert (job.state, (job.error or {})["code"]) == ("failed", "storage_full")

    def test_a_model_that_is_not_there_is_our_fault(self, yard: Yard) -> None:
        done = {"type": "done", "bundle": str(yard.settings.work_dir / "nowhere"), "stop_reason": "completed"}
        job = yard.run([{"report": done}])
        assert (job.state, (job.error or {})["code"]) == ("failed", "internal_error")

    def test_a_spawner_that_dies_is_replaced(self, yard: Yard) -> None:
        job_id = yard.submit([{"beat": 100_000}, {"finish": 1}])
        supervisor = yard.supervisor()
        thread = threading.Thread(target=supervisor.run, args=(yard.claim(job_id),))
        thread.start()
        yard.wait_for_step(job_id, 1)
        os.kill(supervisor.warm().process.pid, signal.SIGKILL)
        thread.join(10)
        assert (yard.job(job_id).state, yard.job(job_id).failures) == ("queued", 1)
        other = yard.submit([{"finish": 1}])
        supervisor.run(yard.claim(other))
        assert yard.job(other).state == "succeeded"


@pytest.mark.services
class TestResume:
    def test_the_newest_whole_checkpoint_is_gone_on_from(self, yard: Yard, tmp_path: Path) -> None:
        crash = {"once": "crashed", "dir": str(tmp_path), "do": [{"checkpoint": 10}, {"checkpoint": 20}, {"exit": 1}]}
        job = yard.run([crash, {"beat": 1}, {"finish": 1}])
        yard.make_due(job.id)
        yard.supervisor().run(yard.claim(job.id))
        assert yard.versions(job.id)[0].manifest["step"] == 21

    @pytest.mark.parametrize("damage", [b'{"step": 99}', None])
    def test_a_damaged_one_is_passed_over(self, yard: Yard, tmp_path: Path, damage: bytes | None) -> None:
        crash = {"once": "crashed", "dir": str(tmp_path), "do": [{"checkpoint": 10}, {"checkpoint": 20}, {"exit": 1}]}
        job = yard.run([crash, {"beat": 1}, {"finish": 1}])
        key = f"{yard.checkpoints(job.id)[-1].blob_prefix}/state.json"
        yard.blobs.path(key).write_bytes(damage) if damage else yard.blobs.path(key).unlink()
        yard.make_due(job.id)
        yard.supervisor().run(yard.claim(job.id))
        assert yard.versions(job.id)[0].manifest["step"] == 11

    @pytest.mark.parametrize(("best", "kept"), [((10, 20, 30, 40), (30, 40)), ((10, 20), (20, 30, 40))])
    def test_two_checkpoints_and_the_best_are_kept(
        self, yard: Yard, best: tuple[int, ...], kept: tuple[int, ...]
    ) -> None:
        script = [{"checkpoint": step, "best": step in best} for step in (10, 20, 30, 40)]
        job = yard.run([*script, {"finish": 1}])
        assert tuple(c.step for c in yard.checkpoints(job.id)) == kept
        assert [c.step for c in yard.checkpoints(job.id) if c.is_best] == [max(best)]
        prefixes = {key.rsplit("/", 1)[0] for key in yard.blobs.keys(f"checkpoints/{job.id}")}
        assert prefixes == {f"checkpoints/{job.id}/1-{step}" for step in kept}


@pytest.mark.services
class TestWishes:
    def test_cancel_stops_a_trainer_that_listens(self, yard: Yard) -> None:
        job_id = yard.submit([{"beat": 100_000}, {"obey": True}])
        with yard.running(job_id):
            yard.wait_for_step(job_id, 2)
            cancel(yard, job_id)
        job = yard.job(job_id)
        assert (job.state, job.stop_reason, job.failures) == ("cancelled", "cancelled", 0)
        assert yard.versions(job_id) == []

    def test_cancel_ends_a_trainer_that_does_not_listen(self, yard: Yard) -> None:
        job_id = yard.submit([{"deaf": True}, {"beat": 1}, {"hang": True}])
        with yard.running(job_id):
            yard.wait_for_step(job_id, 1)
            pid = wait_until(lambda: yard.attempts(job_id)[0].pid)
            cancel(yard, job_id)
        assert yard.job(job_id).state == "cancelled"
        assert yard.attempts(job_id)[0].signal == signal.SIGKILL
        assert not lives(pid)

    def test_cancel_with_keep_publishes_and_ends_cancelled(self, yard: Yard) -> None:
        job_id = yard.submit([{"beat": 100_000}, {"obey": True}])
        with yard.running(job_id):
            yard.wait_for_step(job_id, 2)
            cancel(yard, job_id, keep="best")
        job = yard.job(job_id)
        assert (job.state, job.model_version) == ("cancelled", 1)
        assert yard.versions(job_id)[0].manifest["value"] == "best"

    def test_a_finish_that_a_cancel_overtook_publishes_nothing(self, yard: Yard) -> None:
        job_id = yard.submit([{"beat": 100_000}, {"finish": 1}])
        with yard.running(job_id):
            yard.wait_for_step(job_id, 2)
            cancel(yard, job_id)
        assert yard.job(job_id).state == "cancelled"
        assert yard.versions(job_id) == []
        assert yard.blobs.keys(f"bundles/{job_id}") == []

    def test_pause_puts_the_job_aside_with_a_checkpoint(self, yard: Yard) -> None:
        job_id = yard.submit([{"beat": 100_000}, {"obey": True}])
        with yard.running(job_id):
            yard.wait_for_step(job_id, 2)
            with yard.database.transaction() as session:
                jobs.pause(session, job_id)
        job = yard.job(job_id)
        assert (job.state, job.failures) == ("paused", 0)
        assert job.trained_seconds > 0
        assert len(yard.checkpoints(job_id)) == 1

    def test_drain_gives_the_job_back_uncharged_with_a_checkpoint(self, yard: Yard) -> None:
        job_id = yard.submit([{"beat": 100_000}, {"obey": True}])
        with yard.running(job_id):
            yard.wait_for_step(job_id, 2)
            yard.draining.set()
        job = yard.job(job_id)
        assert (job.state, job.failures, job.attempt) == ("queued", 0, 1)
        assert len(yard.checkpoints(job_id)) == 1
        assert yard.attempts(job_id)[0].outcome == "drained"

    def test_a_drain_before_the_trainer_starts_trains_nothing(self, yard: Yard) -> None:
        yard.draining.set()
        job = yard.run([{"finish": 1}])
        assert (job.state, job.failures) in {("queued", 0), ("succeeded", 0)}


class TestLostLease:
    def test_the_trainer_is_killed_and_nothing_more_is_written(self, yard: Yard) -> None:
        job_id = yard.submit([{"deaf": True}, {"beat": 100_000}, {"finish": "stale"}])
        with yard.running(job_id):
            yard.wait_for_step(job_id, 2)
            pid = yard.attempts(job_id)[0].pid
            assert pid is not None
            yard.take_away(job_id)
            before = yard.job(job_id)
            wait_until(lambda: not lives(pid))
        after = yard.job(job_id)
        assert (after.state, after.progress, after.event_seq) == (before.state, before.progress, before.event_seq)
        assert yard.versions(job_id) == []

    def test_a_result_that_comes_too_late_is_dropped(self, yard: Yard) -> None:
        job_id = yard.submit([{"beat": 3}, {"finish": "stale"}])
        stale = yard.claim(job_id)
        yard.take_away(job_id)
        yard.make_due(job_id)
        yard.supervisor(heartbeat_seconds=60, control_seconds=60).run(stale)
        assert yard.job(job_id).state == "queued"
        yard.supervisor().run(yard.claim(job_id))
        assert yard.job(job_id).state == "succeeded"
        [version] = yard.versions(job_id)
        assert version.blob_prefix == f"bundles/{job_id}/2"
        assert {key.split("/")[2] for key in yard.blobs.keys(f"bundles/{job_id}")} == {"2"}


@pytest.mark.services
class TestDatabaseOutage:
    def test_training_goes_on_and_everything_is_written_afterwards(
        self, yard: Yard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workers.recorder.RETRY_SECONDS", 0.05)
        down = threading.Event()
        original = type(yard.database).transaction
        refused = threading.Semaphore(0)

        def transaction(database: Any) -> Any:
            if down.is_set():
                refused.release()
                raise DatabaseUnavailable
            return original(database)

        job_id = yard.submit([{"beat": 20}, {"report": METRICS}, {"checkpoint": 30}, {"finish": 1}])
        claimed = yard.claim(job_id)
        monkeypatch.setattr(type(yard.database), "transaction", transaction)
        down.set()
        thread = threading.Thread(target=yard.supervisor().run, args=(claimed,))
        thread.start()
        for _ in range(12):  # the trainer is done long before
            assert refused.acquire(timeout=5)
        assert yard.job(job_id).progress is None
        down.clear()
        thread.join(20)
        job = yard.job(job_id)
        assert (job.state, job.failures) == ("succeeded", 0)
        assert len(yard.metrics(job_id)) == 1
        assert [c.step for c in yard.checkpoints(job_id)] == [30]


def cancel(yard: Yard, job_id: str, keep: str = "none") -> None:
    with yard.database.transaction() as session:
        jobs.cancel(session, job_id, keep=keep)
