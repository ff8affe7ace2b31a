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
