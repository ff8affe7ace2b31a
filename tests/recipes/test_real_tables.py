"""The real tables: what is said of them, and that nothing false is said."""

from pathlib import Path

import numpy as np
import pytest

from app.preprocessing.instances import columns_from_instances
from app.preprocessing.prepare import prepare
from app.recipes.resolve import Resolution
from tests.recipes.real import resolve_on, take_in

# Codes that accuse the data; the others tell what was done.
ACCUSING = {"target_leak", "rows_shared", "class_missing", "id_like_column", "class_imbalance", "label_unseen"}


def codes(resolution: Resolution) -> set[tuple[str, str | None]]:
    return {(one["code"], one["column"]) for one in resolution.warnings if one["code"] in ACCUSING}


def test_titanic_alive_is_warned_of_and_nothing_else(data_dir: Path, tmp_path: Path) -> None:
    titanic = {"all": take_in(data_dir / "tabular" / "titanic.csv", tmp_path)}
    assert codes(resolve_on(titanic, "tabular-classification", "survived")) == {("target_leak", "alive")}
    honest = resolve_on(titanic, "tabular-classification", "survived", columns={"exclude": ["alive"]})
    assert codes(honest) == set()
    assert honest.resolved["preprocessing"]["split"]["method"] == "stratified"


@pytest.mark.parametrize(
    ("file", "recipe", "target"),
    [
        ("penguins.csv", "tabular-classification", "species"),
        ("penguins.csv", "tabular-regression", "body_mass_g"),
        ("california_housing.csv", "tabular-regression", "median_house_value"),
        ("hand_keypoints.csv", "tabular-classification", "label"),
        ("wine_quality/winequality-red.csv", "tabular-regression", "quality"),
        ("wine_quality/winequality-white.csv", "tabular-regression", "quality"),
    ],
)
def test_honest_tables_are_accused_of_nothing(
    file: str, recipe: str, target: str, data_dir: Path, tmp_path: Path
) -> None:
    data = {"all": take_in(data_dir / "tabular" / file, tmp_path)}
    resolution = resolve_on(data, recipe, target)
    assert codes(resolution) == set()
    prepared = prepare(resolution.resolved, data)
    assert prepared.counts["missing_target"] == (2 if target == "body_mass_g" else 0)
    for split in prepared.splits.values():
        assert all(np.isfinite(values).all() for values in split.inputs.values())
        assert np.isfinite(split.target).all()


def test_adult_is_read_by_its_official_split(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "tabular" / "adult"
    data = {
        "train": take_in(folder / "adult-train.csv", tmp_path),
        "test": take_in(folder / "adult-test.csv", tmp_path),
    }
    resolution = resolve_on(data, "tabular-classification", "income")
    assert "labels_reconciled" in {one["code"] for one in resolution.warnings}
    prepared = prepare(resolution.resolved, data)
    assert len(prepared.splits["test"]) == 6000
    assert prepared.preprocessing.labels == ["<=50K", ">50K"]
    assert 0.2 < prepared.splits["test"].target.mean() < 0.27


def test_a_row_of_the_table_is_the_same_as_an_instance(data_dir: Path, tmp_path: Path) -> None:
    data = {"all": take_in(data_dir / "tabular" / "penguins.csv", tmp_path)}
    prepared = prepare(resolve_on(data, "tabular-classification", "species").resolved, data)
    split = prepared.splits["test"]
    rows = data["all"].page(0, data["all"].rows)
    fitted = prepared.preprocessing
    for position, row in enumerate(split.rows.tolist()):
        alone = fitted.transform(columns_from_instances([rows[row]], fitted.instance_columns))
        for name, values in alone.items():
            assert values[0].tolist() == split.inputs[name][position].tolist()
