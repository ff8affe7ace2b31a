"""Evaluations of any model on any fitting data set."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score

from app.core.errors import NotFound, Unprocessable
from tests.batch.slow_batch import ROWS
from tests.batch.world import PROJECT, SLOW, BatchYard, table_csv
from tests.inference.bundles import table_bundle
from tests.servers import wait_until


def evaluated(yard: BatchYard, folder: Path, kind: str, text: str, **request: Any) -> tuple[Any, dict[str, Any]]:
    """Publish a model of `kind`, evaluate it on `text`; return the job and the evaluation."""
    table_bundle(folder / kind, kind)
    ref = yard.publish(f"e-{kind}", folder / kind)
    dataset = yard.upload(folder / "up", text)
    job = yard.run(yard.submit(kind="evaluate", model=ref, dataset=dataset, **request))
    assert (job.state, job.error) == ("succeeded", None)
    return job, yard.jobs.evaluation(PROJECT, job.id)


class TestFigures:
    def test_of_classes_are_those_of_the_predictions(self, shared: BatchYard, tmp_path: Path) -> None:
        text = table_csv(200)
        job, evaluation = evaluated(shared, tmp_path, "class", text)
        dataset = job.request["dataset"]
        predicted = shared.result_rows(
            shared.run(shared.submit(kind="predict", model=job.request["model"], dataset=dataset)).id
        )
        truth = [row["label"] for row in shared.rows(dataset)]
        assert evaluation["rows"] == 200
        assert evaluation["split"] == "test"
        figures = {name: figure["value"] for name, figure in evaluation["metrics"].items()}
        assert figures["accuracy"] == pytest.approx(accuracy_score(truth, [row["label"] for row in predicted]))
        chances = np.array([[row["score_no"], row["score_yes"]] for row in predicted])
        assert figures["log_loss"] == pytest.approx(log_loss(truth, chances, labels=["no", "yes"]), rel=1e-4)
        for figure in evaluation["metrics"].values():
            assert figure["low"] <= figure["value"] <= figure["high"]
        assert set(evaluation["per_class"]) == {"no", "yes"}
        assert sum(map(sum, evaluation["confusion"]["matrix"])) == 200
        assert evaluation["baseline"]["accuracy"] == pytest.approx(max(truth.count("no"), truth.count("yes")) / 200)
        assert job.metrics["test"] == figures
        assert job.result == {"rows": 200, "failed": 0}

    def test_of_values_stand_beside_the_mean_of_the_training_rows(self, shared: BatchYard, tmp_path: Path) -> None:
        job, evaluation = evaluated(shared, tmp_path, "value", table_csv(150))
        dataset = job.request["dataset"]
        rows = shared.rows(dataset)
        predicted = shared.result_rows(
            shared.run(shared.submit(kind="predict", model=job.request["model"], dataset=dataset)).id
        )
        truth, given = [row["price"] for row in rows], [row["value"] for row in predicted]
        figures = {name: figure["value"] for name, figure in evaluation["metrics"].items()}
        assert figures["mae"] == pytest.approx(mean_absolute_error(truth, given), rel=1e-5)
        assert figures["r2"] == pytest.approx(r2_score(truth, given), rel=1e-4)
        mean = table_bundle(tmp_path / "again", "value").target.mean[0]  # type: ignore[union-attr]
        assert evaluation["baseline"]["mae"] == pytest.approx(mean_absolute_error(truth, [mean] * 150), rel=1e-6)

    def test_of_labels(self, shared: BatchYard, tmp_path: Path) -> None:
        _, evaluation = evaluated(shared, tmp_path, "labels", table_csv(80))
        assert set(evaluation["per_class"]) == {"wet", "windy"}
        assert evaluation["confusion"] is None

    def test_rows_without_a_truth_are_left_out_and_told(self, shared: BatchYard, tmp_path: Path) -> None:
        text = table_csv(100, label={3: "", 4: "perhaps", 5: ""})
        job, evaluation = evaluated(shared, tmp_path, "class", text)
        assert evaluation["rows"] == 97
        assert {warning["code"]: warning["figures"]["rows"] for warning in job.warnings} == {
            "rows_removed": 2, "label_unseen": 1
        }  # fmt: skip

    def test_labels_that_are_spelt_otherwise_are_read_as_those_of_training(
        self, shared: BatchYard, tmp_path: Path
    ) -> None:
        plain = table_csv(100)
        dotted = plain.replace(",no,", ",No.,").replace(",yes,", ",Yes.,")
        _, expected = evaluated(shared, tmp_path / "a", "class", plain)
        job, evaluation = evaluated(shared, tmp_path / "b", "class", dotted)
        assert [warning["code"] for warning in job.warnings] == ["labels_reconciled"]
        assert evaluation["metrics"] == expected["metrics"]


class TestRefusals:
    def test_a_data_set_without_the_target(self, shared: BatchYard, tmp_path: Path) -> None:
        table_bundle(tmp_path / "m")
        ref = shared.publish("refusing", tmp_path / "m")
        dataset = shared.upload(tmp_path / "up", table_csv(30).replace("label", "other", 1))
        with pytest.raises(Unprocessable, match="no column 'label'") as refusal:
            shared.submit(kind="evaluate", model=ref, dataset=dataset)
        assert (refusal.value.code, refusal.value.param) == ("column_missing", "columns.target")
        job = shared.submit(kind="evaluate", model=ref, dataset=dataset, columns={"target": "other"})
        assert shared.run(job).state == "succeeded"
        with pytest.raises(Unprocessable, match="'age' is of type number"):
            shared.submit(kind="evaluate", model=ref, dataset=dataset, columns={"target": "age"})

    def test_a_model_that_there_is_not(self, shared: BatchYard, tmp_path: Path) -> None:
        dataset = shared.upload(tmp_path / "up", table_csv(30))
        for ref in ("nobody", "nobody@3", "Not A Ref"):
            with pytest.raises(NotFound) as refusal:
                shared.submit(kind="evaluate", model=ref, dataset=dataset)
            assert (refusal.value.code, refusal.value.param) == ("model_not_found", "model")


@pytest.mark.services
def test_a_paused_evaluation_goes_on_and_ends_with_the_same_figures(yard: BatchYard, tmp_path: Path) -> None:
    table_bundle(tmp_path / "m")
    ref = yard.publish("m", tmp_path / "m")
    dataset = yard.upload(tmp_path / "up", table_csv(20 * ROWS))
    job_id = yard.submit(kind="evaluate", model=ref, dataset=dataset)
    with yard.running(job_id):
        wait_until(lambda: (yard.job(job_id).progress or {}).get("step", 0) > 0, 30, "a batch")
        yard.jobs.pause(PROJECT, job_id)
    assert yard.job(job_id).state == "paused"
    yard.jobs.resume(PROJECT, job_id)
    yard.run(job_id, SLOW)
    assert "resumed" in yard.events(job_id)
    whole = yard.submit(kind="evaluate", model=ref, dataset=dataset)
    yard.run(whole, SLOW)
    assert yard.jobs.evaluation(PROJECT, job_id) == yard.jobs.evaluation(PROJECT, whole)
