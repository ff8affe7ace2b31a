"""The defaults, untouched: what `make figures` measures over all tables and cuts, guarded on cuts of small tables."""

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.recipes


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["penguins species", "penguins mass"])
def test_defaults_are_level_with_gradient_boosting(name: str, data_dir: Path) -> None:
    # Here: scikit-learn takes a second, which the fast tests need not wait for.
    from benchmarks.figures.tabular import measure
    from benchmarks.figures.tabular_tables import TABLES

    (table,) = (table for table in TABLES if table.name == name)
    found = measure(table, data_dir, split=0, seed=0, threads=1)
    if found["figure"] == "accuracy":
        assert found["value"] >= found["baseline"] - 0.015 - found["standard_error"]
    else:
        assert found["value"] <= found["baseline"] * 1.08 + found["standard_error"]


@pytest.mark.timeout(300)
def test_a_few_epochs_of_the_defaults_read_digits(tmp_path: Path, data_dir: Path) -> None:
    from benchmarks.figures.images import Pictures, measure

    whole = np.load(data_dir / "images/mnist_10k_4k.npz")
    few = {name: whole[name][:: 4 if name.endswith("train") else 8] for name in whole.files}
    np.savez(tmp_path / "digits.npz", **few)
    digits = Pictures("digits", "digits.npz", "x", "y", (7,), 0.95)
    # A tenth of the updates of a whole job on a quarter of the images; ten classes, so one in ten is chance.
    found = measure(digits, tmp_path, seed=7, threads=1, training={"epochs": 8})
    assert found["rows"] == [2500, 500]
    assert found["value"] >= digits.least


def test_scores_and_their_errors_are_those_of_repeated_draws() -> None:
    from benchmarks.figures.tabular import score

    rng = np.random.default_rng(0)
    truth, given = rng.normal(size=(2, 400, 500))
    drawn = [score(truth[:, column], given[:, column], "regression") for column in range(500)]
    assert np.mean([value for value, _ in drawn]) == pytest.approx(2**0.5, rel=0.01)
    assert np.mean([error for _, error in drawn]) == pytest.approx(np.std([value for value, _ in drawn]), rel=0.1)
    hits, error = score(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]), "classification")
    assert hits == 0.75
    assert error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)
