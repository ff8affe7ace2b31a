"""Any table at all is either prepared, whole and finite, or refused by the name of a field."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.errors import Unprocessable
from app.preprocessing.prepare import prepare
from app.preprocessing.tabular import TabularPreprocessing
from app.recipes.request import JobRequest
from app.recipes.resolve import resolve
from tests.preprocessing.memory import MemoryDataset

NAMES = ["a b", "c.d", "列", "id", "x[0]", "type"]
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "number": st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 1.0])),
    "integer": st.one_of(st.none(), st.integers(-3, 3), st.integers(-(2**60), 2**60)),
    "boolean": st.one_of(st.none(), st.booleans()),
    "category": st.one_of(st.none(), st.sampled_from(["a", "b ", "猫", "", "nan"]), st.text(max_size=3)),
    "text": st.one_of(st.none(), st.text(max_size=6)),
    "datetime": st.one_of(st.none(), st.floats(-1e11, 1e11)),
    "array": st.lists(st.floats(allow_nan=True, width=32), min_size=2, max_size=2),
}


TARGETS: dict[str, list[Any]] = {
    "number": [0.5, -1.0, 3.25, None],
    "integer": [2, 0, None, 7],
    "boolean": [True, False, None],
    "category": ["yes ", "no", None, "猫"],
}
ROLES = {"weight": ["integer", "number"], "group": ["category", "integer"], "time": ["datetime"], "id": ["text"]}


@st.composite
def column(draw: st.DrawFn, kind: str, rows: int) -> tuple[str, Any]:
    """Any values, or a few that repeat."""
    if draw(st.booleans()):
        return kind, draw(st.lists(CELLS[kind], min_size=rows, max_size=rows))
    few = draw(st.lists(CELLS[kind], min_size=1, max_size=5))
    return kind, [few[index % len(few)] for index in range(rows)]


@st.composite
def questions(draw: st.DrawFn) -> tuple[MemoryDataset, dict[str, Any]]:
    """A table and a request that mostly fit each other."""
    rows = draw(st.integers(1, 60))
    names = draw(st.permutations(NAMES))
    columns = {
        name: draw(column(draw(st.sampled_from(list(CELLS))), rows)) for name in names[: draw(st.integers(1, 3))]
    }
    is_values = draw(st.booleans())
    kind = draw(st.sampled_from(["number", "integer"] if is_values else list(TARGETS)))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    columns["goal"] = (kind, [TARGETS[kind][index] for index in random.integers(0, len(TARGETS[kind]), rows)])
    roles: dict[str, Any] = {"target": "goal"}
    for role, kinds in ROLES.items():
        if draw(st.integers(0, 4)) == 0:
            columns[role] = draw(column(draw(st.sampled_from(kinds)), rows))
            roles[role] = role
    splits = None
    if rows > 8 and draw(st.booleans()):
        cut = draw(st.integers(4, rows - 1))
        splits = {"train": cut, draw(st.sampled_from(["validation", "test"])): rows - cut}
    request_ = {
        "recipe": "tabular-regression" if is_values else "tabular-classification",
        "dataset": "ds_1",
        "columns": roles,
        "preprocessing": {
            "clean": draw(CLEAN),
            "split": {"method": draw(st.sampled_from(["auto", "random", "tail"]))},
            "numbers": {"scaling": draw(st.sampled_from(["auto", "standard", "quantile", "none"]))},
        },
        "training": {"class_weight": None if is_values else draw(st.sampled_from([None, "balanced"]))},
    }
    return MemoryDataset(columns, splits), request_


CLEAN = st.fixed_dictionaries(
    {},
    optional={
        "drop_duplicates": st.sampled_from([True, False, "auto"]),
        "strip": st.booleans(),
        "lowercase": st.booleans(),
        "impute": st.sampled_from(["median", "mean", "zero", "most_frequent"]),
        "drop_constant": st.booleans(),
        "drop_identifiers": st.booleans(),
    },
)


@pytest.mark.filterwarnings("error")
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(question=questions())
def test_any_table_is_prepared_or_refused_by_name(question: tuple[MemoryDataset, dict[str, Any]]) -> None:
    data, request_ = {"all": question[0]}, question[1]
    try:
        resolution = resolve(JobRequest.model_validate(request_), data)
    except Unprocessable as error:
        named = error.param
    else:
        named = ""
        _check(resolution.resolved, resolution.warnings, data)
    assert named is not None
    assert named == "" or named.split(".")[0] in ("columns", "preprocessing", "training", "dataset")


def _check(resolved: dict[str, Any], warnings: list[Any], data: dict[str, MemoryDataset]) -> None:
    json.dumps(warnings, allow_nan=False)
    prepared = prepare(json.loads(json.dumps(resolved, allow_nan=False)), data)
    fitted = TabularPreprocessing.from_json(json.loads(json.dumps(prepared.preprocessing.to_json(), allow_nan=False)))
    assert len(prepared.splits["train"]) > 0
    for split in prepared.splits.values():
        assert all(len(values) == len(split) for values in split.inputs.values())
        assert all(np.isfinite(values).all() for values in split.inputs.values())
        assert np.isfinite(split.target).all()
        assert split.target.min(initial=0) >= (0 if resolved["task"] == "classification" else -np.inf)
        again = fitted.transform(split.raw)
        assert all(again[name].tolist() == values.tolist() for name, values in split.inputs.items())
