"""A model evaluated on the test rows of its own training gets the figures of that training."""

from pathlib import Path

import pytest

from tests.batch.world import PROJECT, BatchYard
from tests.trainer.orders import SMALL_MLP, blobs_csv
from workers.child import Program


@pytest.mark.recipes
def test_an_evaluation_gives_the_test_figures_of_the_training(yard: BatchYard, tmp_path: Path) -> None:
    yard.trainer = Program()
    train = yard.upload(tmp_path / "train", blobs_csv(rows=300))
    test = yard.upload(tmp_path / "test", blobs_csv(rows=120, seed=1))
    trained = yard.run(
        yard.submit(
            recipe="tabular-classification",
            dataset={"train": train, "test": test},
            columns={"target": "kind"},
            params={"architecture": SMALL_MLP},
            training={"epochs": 3},
            model="kinds",
        )
    )
    assert (trained.state, trained.error) == ("succeeded", None)
    judged = yard.run(yard.submit(kind="evaluate", model="kinds", dataset=test))
    assert (judged.state, judged.error) == ("succeeded", None)
    expected = yard.jobs.evaluation(PROJECT, trained.id)
    found = yard.jobs.evaluation(PROJECT, judged.id)
    assert found["rows"] == expected["rows"] == 120
    assert found["confusion"] == expected["confusion"]
    assert found["per_class"] == expected["per_class"]
    assert found["baseline"] == pytest.approx(expected["baseline"])
    assert set(found["metrics"]) == set(expected["metrics"])
    for name, figure in expected["metrics"].items():
        assert found["metrics"][name] == pytest.approx(figure, abs=1e-4), name
