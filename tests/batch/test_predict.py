"""Batch predictions by real children: what comes out, what bad rows do, and that nothing is lost on the way."""

import io
import os
import signal
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text

from app.core.errors import Conflict
from app.db.tables import JobAttempt
from app.inference.predictor import Predictor
from app.jobs.requests import JobKind, parse_request
from tests.batch.slow_batch import ROWS
from tests.batch.world import PROJECT, SLOW, BatchYard, table_csv
from tests.inference.bundles import array_bundle, image_bundle, table_bundle
from tests.servers import wait_until
from workers.trainer.parity import instances_of


def asked(**request: Any) -> JobKind:
    """Return a request as the route makes it."""
    return parse_request(request)


class TestWhatComesOut:
    @pytest.mark.parametrize("kind", ["class", "value", "labels"])
    def test_the_predictions_are_those_of_the_api(self, shared: BatchYard, tmp_path: Path, kind: str) -> None:
        preprocessing = table_bundle(tmp_path / "model", kind)
        model = shared.publish("m", tmp_path / "model")
        dataset = shared.upload(tmp_path / "up", table_csv(150))
        job_id = shared.submit(kind="predict", model=model, dataset=dataset, columns={"id": "key"})
        job = shared.run(job_id)
        assert (job.state, job.error) == ("succeeded", None)
        assert job.result is not None
        assert (job.result["rows"], job.result["failed"]) == (150, 0)
        stored = shared.datasets.open(PROJECT, dataset)
        names = [column["name"] for column in preprocessing.instance_columns if not column["ignored"]]
        instances = instances_of(stored.read(names), preprocessing.instance_columns)
        expected = Predictor.load(tmp_path / "model").predict(instances)
        found = shared.result_rows(job_id)
        assert [row["key"] for row in found] == [f"k{i}" for i in range(150)]
        assert [row["row"] for row in found] == list(range(150))
        assert {row["error"] for row in found} == {None}
        for row, answer in zip(found, expected, strict=True):
            if kind == "value":
                assert row["value"] == pytest.approx(answer["value"], rel=1e-4)
            elif kind == "class":
                assert (row["label"], row["score"]) == (answer["label"], pytest.approx(answer["score"], abs=1e-5))
                assert row["score_yes"] == pytest.approx(answer["scores"]["yes"], abs=1e-5)
            else:
                assert [n for n in ("wet", "windy") if row[f"label_{n}"]] == answer["labels"]
                assert row["score_wet"] == pytest.approx(answer["scores"]["wet"], abs=1e-5)

    def test_the_result_is_a_data_set_like_any_other(self, shared: BatchYard, tmp_path: Path) -> None:
        table_bundle(tmp_path / "model")
        model = shared.publish("m", tmp_path / "model")
        dataset = shared.upload(tmp_path / "up", table_csv(90))
        job = shared.run(shared.submit(kind="predict", model=model, dataset=dataset, output={"name": "scored"}))
        assert job.result is not None
        view = shared.datasets.get(PROJECT, job.result["dataset"])
        assert (view.name, view.format, view.rows) == ("scored", "parquet", 90)
        columns = {column["name"]: column for column in view.columns}
        assert list(columns) == ["row", "label", "score", "score_no", "score_yes", "error"]
        assert columns["label"]["type"] == "category"
        assert sum(count for _, count in columns["label"]["top"]) == 90
        assert columns["row"]["max"] == 89
        page = shared.datasets.rows(PROJECT, view.id, 88, 10, None)
        assert [row["row"] for row in page.data] == [88, 89]
        # It is the input of another job: its scores predict its label.
        trained = shared.jobs.dry_run(
            PROJECT, asked(dataset=view.id, recipe="tabular-classification", columns={"target": "label"})
        )
        assert set(trained.resolved["columns"]["input"]) >= {"score_no", "score_yes"}

    @pytest.mark.parametrize(
        ("values", "type_"),
        [(["7", "8", "9"], "integer"), (["1.5", "2.5", "3.5"], "number"), (["true", "false", "true"], "boolean"),
         (["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"], "datetime"),
         (["0012", "0013", "0014"], "category")],
    )  # fmt: skip
    def test_the_id_keeps_its_type(self, shared: BatchYard, tmp_path: Path, values: list[str], type_: str) -> None:
        table_bundle(tmp_path / "model")
        model = shared.publish("m", tmp_path / "model")
        cells = {row: values[row % 3] for row in range(60)}
        dataset = shared.upload(tmp_path / "up", table_csv(60, key=cells), types={"key": type_})
        job = shared.run(shared.submit(kind="predict", model=model, dataset=dataset, columns={"id": "key"}))
        assert job.result is not None
        view = shared.datasets.get(PROJECT, job.result["dataset"])
        assert (view.columns[0]["name"], view.columns[0]["type"]) == ("key", type_)
        given = [row["key"] for row in shared.rows(dataset)]
        assert [row["key"] for row in shared.result_rows(job.id)] == given

    def test_labels_keep_their_type_and_many_of_them_get_no_columns(self, shared: BatchYard, tmp_path: Path) -> None:
        array_bundle(tmp_path / "model", labels=10)
        array_bundle(tmp_path / "many", labels=150)
        model = shared.publish("m", tmp_path / "model")
        many = shared.publish("many", tmp_path / "many")
        dataset = array_dataset(shared, tmp_path)
        found = {}
        for name, ref in (("m", model), ("many", many)):
            job = shared.run(shared.submit(kind="predict", model=ref, dataset=dataset))
            assert job.result is not None, job.error
            view = shared.datasets.get(PROJECT, job.result["dataset"])
            found[name] = {column["name"]: column["type"] for column in view.columns}
        assert found["m"]["label"] == "integer"
        assert found["m"]["score_9"] == "number"
        assert list(found["many"]) == ["row", "label", "score", "error"]

    def test_images_are_rows_like_others(self, shared: BatchYard, tmp_path: Path) -> None:
        image_bundle(tmp_path / "model")
        model = shared.publish("images", tmp_path / "model")
        sides = {"left": [0] * 3 + [255] * 3, "right": [255] * 3 + [0] * 3}
        with zipfile.ZipFile(tmp_path / "images.zip", "w") as sink:
            for label, row in sides.items():
                for number in range(4):
                    content = io.BytesIO()
                    Image.fromarray(np.tile(np.array(row, np.uint8), (6, 1))).save(content, "PNG")
                    sink.writestr(f"{label}/{number}.png", content.getvalue())
        dataset = shared.take_in(tmp_path / "images.zip")
        job = shared.run(shared.submit(kind="predict", model=model, dataset=dataset))
        assert (job.state, job.error) == ("succeeded", None)
        truth = [row["label"] for row in shared.rows(dataset)]
        assert sorted(truth) == ["left"] * 4 + ["right"] * 4
        found = [row["label"] for row in shared.result_rows(job.id)]
        assert found in (truth, [{"left": "right", "right": "left"}[label] for label in truth])

    def test_data_sets_by_split_are_read_in_order_and_named(self, shared: BatchYard, tmp_path: Path) -> None:
        table_bundle(tmp_path / "model")
        model = shared.publish("m", tmp_path / "model")
        first, second = (shared.upload(tmp_path / f"up{i}", table_csv(20 + i, seed=i)) for i in range(2))
        job_id = shared.submit(kind="predict", model=model, dataset={"train": first, "test": second})
        shared.run(job_id)
        found = shared.result_rows(job_id)
        assert [row["split"] for row in found] == ["train"] * 20 + ["test"] * 21
        assert [row["row"] for row in found] == [*range(20), *range(21)]


class TestBadRows:
    def test_words_that_are_no_numbers_are_told_by_row_and_stop_nothing(
        self, shared: BatchYard, tmp_path: Path
    ) -> None:
        table_bundle(tmp_path / "model")
        model = shared.publish("m", tmp_path / "model")
        bad = {5: "old", 20: "unknown age"}
        dataset = shared.upload(tmp_path / "up", table_csv(60, age=bad))
        whole = shared.upload(tmp_path / "whole", table_csv(60))
        dry = shared.jobs.dry_run(PROJECT, asked(kind="predict", model=model, dataset=dataset))
        assert [warning["code"] for warning in dry.warnings] == ["words_for_values"]
        job = shared.run(shared.submit(kind="predict", model=model, dataset=dataset))
        assert (job.state, job.result and job.result["failed"]) == ("succeeded", 2)
        assert [warning["code"] for warning in job.warnings] == ["words_for_values", "rows_not_predicted"]
        found, expected = shared.result_rows(job.id), shared.result_rows(
            shared.run(shared.submit(kind="predict", model=model, dataset=whole)).id
        )  # fmt: skip
        assert found[5]["error"] == "age: expected a number, got 'old'"
        assert (found[20]["label"], found[20]["score"], found[20]["score_no"]) == (None, None, None)
        good = [row for row in range(60) if row not in bad]
        assert [found[row] for row in good] == [
            {**expected[row], "score": pytest.approx(expected[row]["score"], abs=1e-6)}
            | {name: pytest.approx(expected[row][name], abs=1e-6) for name in ("score_no", "score_yes")}
            for row in good
        ]


@pytest.mark.services
class TestNothingIsLost:
    """With small, slow batches, each checkpointed, so that there is a middle to come to."""

    ROWS = 20 * ROWS + 17

    @pytest.fixture
    def job_id(self, yard: BatchYard, tmp_path: Path) -> str:
        table_bundle(tmp_path / "model")
        yard.publish("m", tmp_path / "model")
        self.dataset = yard.upload(tmp_path / "up", table_csv(self.ROWS, age={7: "seven", 700: "700 years"}))
        return yard.submit(kind="predict", model="m", dataset=self.dataset, columns={"id": "key"})

    def uninterrupted(self, yard: BatchYard) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        job_id = yard.submit(kind="predict", model="m", dataset=self.dataset, columns={"id": "key"})
        job = yard.run(job_id, SLOW)
        assert job.result is not None
        return yard.result_rows(job_id), yard.datasets.get(PROJECT, job.result["dataset"]).columns

    def same_as_uninterrupted(self, yard: BatchYard, job_id: str) -> None:
        job = yard.job(job_id)
        assert (job.state, job.error) == ("succeeded", None)
        assert job.result is not None
        assert (job.result["rows"], job.result["failed"]) == (self.ROWS, 2)
        rows, columns = self.uninterrupted(yard)
        assert yard.result_rows(job_id) == rows
        assert yard.datasets.get(PROJECT, job.result["dataset"]).columns == columns
        assert yard.jobs.checkpoints(PROJECT, job_id).data == []

    def test_a_child_killed_in_the_middle_goes_on_from_the_last_part(self, yard: BatchYard, job_id: str) -> None:
        with yard.running(job_id, checkpoint_seconds=0.01):
            yard.wait_for_checkpoints(job_id, 3)
            pid = pid_of(yard, job_id)
            os.kill(pid, signal.SIGKILL)
        assert yard.job(job_id).state == "queued"
        done = yard.jobs.checkpoints(PROJECT, job_id).data[-1].step
        assert 0 < done < self.ROWS
        with yard.database.transaction() as session:
            session.execute(text("UPDATE jobs SET run_after = created_at"))
        yard.run(job_id, SLOW, checkpoint_seconds=0.01)
        assert "resumed" in yard.events(job_id)
        [lost, whole] = yard.jobs.attempts(PROJECT, job_id).data
        assert (lost.signal, whole.exit_code) == (signal.SIGKILL, 0)
        assert whole.peak_memory_bytes is not None
        self.same_as_uninterrupted(yard, job_id)
        assert yard.blobs.keys(f"checkpoints/{job_id}") == []

    def test_a_pause_is_heeded_and_resumed(self, yard: BatchYard, job_id: str) -> None:
        with yard.running(job_id):
            wait_until(lambda: (yard.job(job_id).progress or {}).get("step", 0) > 0, 30, "a batch")
            yard.jobs.pause(PROJECT, job_id)
        job = yard.job(job_id)
        assert job.state == "paused"
        [checkpoint] = yard.jobs.checkpoints(PROJECT, job_id).data
        assert 0 < checkpoint.step < self.ROWS
        yard.jobs.resume(PROJECT, job_id)
        yard.run(job_id, SLOW)
        self.same_as_uninterrupted(yard, job_id)

    def test_a_drained_worker_hands_over_and_another_goes_on(self, yard: BatchYard, job_id: str) -> None:
        with yard.running(job_id):
            wait_until(lambda: (yard.job(job_id).progress or {}).get("step", 0) > 0, 30, "a batch")
            yard.draining.set()
        yard.draining.clear()
        assert (yard.job(job_id).state, yard.job(job_id).failures) == ("queued", 0)
        yard.run(job_id, SLOW)
        self.same_as_uninterrupted(yard, job_id)

    def test_a_damaged_part_is_done_again(self, yard: BatchYard, job_id: str) -> None:
        with yard.running(job_id, checkpoint_seconds=0.01):
            yard.wait_for_checkpoints(job_id, 4)
            yard.jobs.pause(PROJECT, job_id)
        damaged = yard.jobs.checkpoints(PROJECT, job_id).data[1]
        path = yard.blobs.path(f"checkpoints/{job_id}/{damaged.attempt}-{damaged.step}/rows-000001.parquet")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        yard.jobs.resume(PROJECT, job_id)
        yard.run(job_id, SLOW, checkpoint_seconds=0.01)
        self.same_as_uninterrupted(yard, job_id)

    def test_a_cancel_publishes_nothing(self, yard: BatchYard, job_id: str) -> None:
        before = set(yard.blobs.keys("datasets"))
        with yard.running(job_id):
            wait_until(lambda: (yard.job(job_id).progress or {}).get("step", 0) > 0, 30, "a batch")
            yard.jobs.cancel(PROJECT, job_id, "best")
        job = yard.job(job_id)
        assert (job.state, job.stop_reason, job.result) == ("cancelled", "cancelled", None)
        assert set(yard.blobs.keys("datasets")) == before

    def test_an_attempt_that_lost_the_job_publishes_nothing(self, yard: BatchYard, job_id: str) -> None:
        with yard.running(job_id, checkpoint_seconds=0.01):
            yard.wait_for_checkpoints(job_id, 2)
            with yard.database.transaction() as session:
                session.execute(text("UPDATE jobs SET state = 'queued', lease_owner = NULL, lease_expires_at = NULL"))
        assert yard.job(job_id).result is None
        yard.run(job_id, SLOW)
        self.same_as_uninterrupted(yard, job_id)

    def test_the_model_cannot_be_deleted_meanwhile(self, yard: BatchYard, job_id: str) -> None:
        with pytest.raises(Conflict, match=job_id):
            yard.models.delete_version(PROJECT, "m", 1)
        with pytest.raises(Conflict, match=job_id):
            yard.models.delete(PROJECT, "m")
        yard.run(job_id)
        yard.models.delete(PROJECT, "m")


def pid_of(yard: BatchYard, job_id: str) -> int:
    """Return the process id of the child of the first attempt."""
    with yard.database.reading() as session:
        attempt = session.get(JobAttempt, (job_id, 1))
    assert attempt is not None
    assert attempt.pid is not None
    return attempt.pid


def array_dataset(yard: BatchYard, folder: Path) -> str:
    """Take in an array column of ten numbers."""
    path = folder / "rows.npz"
    np.savez(path, x=np.random.default_rng(0).normal(size=(40, 10)))
    return yard.take_in(path)
