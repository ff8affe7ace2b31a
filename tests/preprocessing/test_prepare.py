"""From data sets to splits: what goes where, and that nothing of validation or test is learned from."""

from typing import Any

import numpy as np
import pytest

from app.core.errors import Unprocessable
from app.preprocessing.prepare import Prepared, prepare
from tests.preprocessing.memory import MemoryDataset, resolved_for

RANDOM = np.random.default_rng(1)
N = 200
NUMBERS = RANDOM.normal(size=N)
CITIES = [["Rome", "Oslo", None][index] for index in RANDOM.integers(0, 3, N)]
CLASSES = [["a", "b"][index] for index in RANDOM.integers(0, 2, N)]


def dataset(rows: slice = slice(0, N), splits: dict[str, int] | None = None, **more: Any) -> MemoryDataset:
    columns = {
        "x": ("number", NUMBERS[rows]),
        "city": ("category", CITIES[rows]),
        "y": ("category", CLASSES[rows]),
        **more,
    }
    return MemoryDataset(columns, splits)


def sizes(prepared: Prepared) -> dict[str, int]:
    return {name: len(split) for name, split in prepared.splits.items()}


def codes(prepared: Prepared) -> list[str]:
    return [warning["code"] for warning in prepared.warnings]


def test_one_data_set_is_cut_by_its_shares() -> None:
    prepared = prepare(resolved_for(["x", "city"], "y"), {"all": dataset()})
    assert sizes(prepared) == {"train": 160, "validation": 20, "test": 20}
    together = np.concatenate([split.rows for split in prepared.splits.values()])
    assert sorted(together.tolist()) == list(range(N))
    for split in prepared.splits.values():
        assert split.raw["x"].tolist() == NUMBERS[split.rows].tolist()
        assert [["a", "b"][code] for code in split.target.tolist()] == [CLASSES[row] for row in split.rows.tolist()]


def test_the_same_request_gives_the_same_arrays() -> None:
    first, second = (prepare(resolved_for(["x", "city"], "y"), {"all": dataset()}) for _ in range(2))
    for name, split in first.splits.items():
        assert split.rows.tolist() == second.splits[name].rows.tolist()
        assert all((split.inputs[key] == second.splits[name].inputs[key]).all() for key in split.inputs)


def test_nothing_is_fitted_on_validation_or_test() -> None:
    wild = NUMBERS.copy()
    plain = prepare(resolved_for(["x", "city"], "y"), {"all": dataset()})
    others = np.setdiff1d(np.arange(N), plain.splits["train"].rows)
    wild[others] = 1e6 + np.arange(len(others))
    cities = list(CITIES)
    for row in others.tolist():
        cities[row] = "Mars"
    changed = MemoryDataset({"x": ("number", wild), "city": ("category", cities), "y": ("category", CLASSES)})
    prepared = prepare(resolved_for(["x", "city"], "y"), {"all": changed})
    assert prepared.preprocessing.to_json() == plain.preprocessing.to_json()
    assert (prepared.splits["train"].inputs["numbers"] == plain.splits["train"].inputs["numbers"]).all()
    assert (prepared.splits["test"].inputs["categories"] == 1).all()


@pytest.mark.parametrize(
    ("roles", "split", "expected"),
    [
        ({"train": 100, "validation": 50, "test": 50}, {}, {"train": 100, "validation": 50, "test": 50}),
        ({"train": 100, "test": 50}, {}, {"train": 89, "validation": 11, "test": 50}),
        ({"train": 100, "validation": 50}, {}, {"train": 89, "validation": 50, "test": 11}),
        ({"train": 100}, {}, {"train": 80, "validation": 10, "test": 10}),
        ({"train": 100}, {"train": 0.9, "validation": 0.1, "test": 0.0}, {"train": 90, "validation": 10}),
    ],
)
def test_what_came_as_splits_is_used_and_the_rest_is_cut_from_train(
    roles: dict[str, int], split: dict[str, float], expected: dict[str, int]
) -> None:
    data, start = {}, 0
    for role, rows in roles.items():
        data[role] = dataset(slice(start, start + rows))
        start += rows
    resolved = resolved_for(["x", "city"], "y", split=split)
    assert sizes(prepare(resolved, data)) == expected
    inside = dataset(slice(0, start), dict(roles))
    prepared = prepare(resolved, {"all": inside})
    assert sizes(prepared) == expected
    for name in ("validation", "test"):
        if name in roles:
            assert prepared.splits[name].rows.tolist() == list(range(roles[name]))


def repeated() -> MemoryDataset:
    rows = [*range(N), *range(40)]
    return MemoryDataset(
        {
            "x": ("number", NUMBERS[rows]),
            "city": ("category", [CITIES[row] for row in rows]),
            "y": ("category", [CLASSES[row] for row in rows]),
        }
    )


def test_copies_go_before_the_cut_so_that_no_row_is_in_two_splits() -> None:
    prepared = prepare(resolved_for(["x", "city"], "y"), {"all": repeated()})
    assert prepared.counts["duplicates"] == 40
    assert sum(sizes(prepared).values()) == N
    assert "rows_shared" not in codes(prepared)
    assert any("40 rows" in note for note in prepared.notes)


def test_copies_that_stay_are_said_and_counted_where_they_cross_splits() -> None:
    prepared = prepare(resolved_for(["x", "city"], "y", clean={"drop_duplicates": False}), {"all": repeated()})
    assert sum(sizes(prepared).values()) == N + 40
    assert {"duplicates_kept", "rows_shared"} <= set(codes(prepared))


def test_rows_that_are_mostly_equal_are_data_not_copies() -> None:
    bits = {name: ("boolean", RANDOM.integers(0, 2, 500)) for name in ("p", "q", "y")}
    prepared = prepare(resolved_for(["p", "q"], "y"), {"all": MemoryDataset(bits)})
    assert prepared.counts["duplicates"] == 0
    assert sum(sizes(prepared).values()) == 500
    forced = prepare(resolved_for(["p", "q"], "y", clean={"drop_duplicates": True}), {"all": MemoryDataset(bits)})
    assert sum(sizes(forced).values()) == 8


def test_many_copies_are_kept_where_the_test_set_came_as_such() -> None:
    prepared = prepare(resolved_for(["x", "city"], "y"), {"train": repeated(), "test": dataset()})
    assert prepared.counts["duplicates"] == 0
    assert prepared.counts["duplicates_kept"] == 40
    forced = resolved_for(["x", "city"], "y", clean={"drop_duplicates": True})
    assert prepare(forced, {"train": repeated(), "test": dataset()}).counts["duplicates"] == 40


def test_a_test_set_that_came_as_such_keeps_its_copies() -> None:
    data = {"train": dataset(), "test": repeated()}
    prepared = prepare(resolved_for(["x", "city"], "y"), data)
    assert len(prepared.splits["test"]) == N + 40
    shared = [one["figures"] for one in prepared.warnings if one["code"] == "rows_shared"]
    assert next(one["rows"] for one in shared if (one["split"], one["other"]) == ("test", "train")) > 100


def test_rows_without_a_target_go_from_every_split() -> None:
    holes = [None if index % 10 == 0 else value for index, value in enumerate(CLASSES)]
    whole = MemoryDataset({"x": ("number", NUMBERS), "y": ("category", holes)})
    prepared = prepare(resolved_for(["x"], "y"), {"train": whole, "test": whole})
    assert prepared.counts["missing_target"] == 40
    assert len(prepared.splits["test"]) == 180


def test_groups_stay_together_and_time_goes_forward() -> None:
    groups, times = RANDOM.integers(0, 30, N), RANDOM.permutation(N)
    data = {"all": dataset(g=("integer", groups), t=("integer", times))}
    grouped = prepare(resolved_for(["x"], "y", split={"method": "group"}, columns={"group": "g"}), data)
    seen = [set(groups[split.rows].tolist()) for split in grouped.splits.values()]
    assert sum(map(len, seen)) == len(set(groups.tolist()))
    timed = prepare(resolved_for(["x"], "y", split={"method": "time"}, columns={"time": "t"}), data)
    assert times[timed.splits["train"].rows].max() < times[timed.splits["test"].rows].min()


def test_rows_without_a_time_cannot_be_split_by_it() -> None:
    data = {"all": dataset(t=("number", [None, *range(N - 1)]))}
    with pytest.raises(Unprocessable, match="1 rows have no 't'") as caught:
        prepare(resolved_for(["x"], "y", split={"method": "time"}, columns={"time": "t"}), data)
    assert caught.value.param == "columns.time"


def test_weights_come_with_their_rows_and_must_be_there() -> None:
    weights = RANDOM.uniform(0, 5, N)
    resolved = resolved_for(["x"], "y", columns={"weight": "w"})
    prepared = prepare(resolved, {"all": dataset(w=("number", weights))})
    split = prepared.splits["train"]
    assert split.weight is not None
    assert np.allclose(split.weight, weights[split.rows])
    for wrong in (-1, np.nan, 1e300):
        weights[5] = wrong
        with pytest.raises(Unprocessable, match="1 rows have no 'w' from 0"):
            prepare(resolved, {"all": dataset(w=("number", weights))})
    with pytest.raises(Unprocessable, match="0 in every row"):
        prepare(resolved, {"all": dataset(w=("number", [0.0] * N))})


def test_class_weights_are_in_output_order() -> None:
    data = {"all": MemoryDataset({"x": ("number", NUMBERS), "y": ("boolean", [i < 50 for i in range(N)])})}
    balanced = prepare(
        resolved_for(["x"], "y", training={"class_weight": "balanced"}, split={"validation": 0, "test": 0, "train": 1}),
        data,
    )
    assert balanced.class_weight == [pytest.approx(200 / 300), pytest.approx(2.0)]
    named = prepare(resolved_for(["x"], "y", training={"class_weight": {"true": 5.0}}), data)
    assert named.preprocessing.labels == [False, True]
    assert named.class_weight == [1.0, 5.0]


def test_columns_that_are_left_out_are_said_and_ignored_in_instances() -> None:
    data = {"all": dataset(id=("integer", range(N)), one=("number", [1.0] * N))}
    prepared = prepare(resolved_for(["id", "one", "x"], "y"), data)
    assert {"column_dropped_identifier", "column_dropped_constant"} <= set(codes(prepared))
    told = {column["name"]: column["ignored"] for column in prepared.preprocessing.instance_columns}
    assert told == {"x": False, "city": True, "y": True, "id": True, "one": True}
    assert list(prepared.splits["train"].raw) == ["x"]


def test_no_input_left_is_an_error() -> None:
    data = {"all": MemoryDataset({"one": ("number", [1.0] * N), "y": ("category", CLASSES)})}
    with pytest.raises(Unprocessable, match="No input is left") as caught:
        prepare(resolved_for(["one"], "y"), data)
    assert caught.value.param == "columns.input"


def test_labels_of_another_spelling_are_read_as_those_of_training() -> None:
    other = [f"{value.upper()}." for value in CLASSES[:50]]
    test = MemoryDataset({"x": ("number", NUMBERS[:50]), "city": ("category", CITIES[:50]), "y": ("category", other)})
    prepared = prepare(resolved_for(["x"], "y"), {"train": dataset(), "test": test})
    assert "labels_reconciled" in codes(prepared)
    assert prepared.splits["test"].target.tolist() == [["a", "b"].index(value) for value in CLASSES[:50]]


def test_labels_that_training_has_not_are_left_out_and_counted() -> None:
    other = ["c", *CLASSES[1:50]]
    test = MemoryDataset({"x": ("number", NUMBERS[:50]), "city": ("category", CITIES[:50]), "y": ("category", other)})
    prepared = prepare(resolved_for(["x"], "y"), {"train": dataset(), "test": test})
    warning = next(one for one in prepared.warnings if one["code"] == "label_unseen")
    assert warning["figures"] == {"split": "test", "rows": 1}
    assert prepared.splits["test"].rows.tolist() == list(range(1, 50))


def test_a_test_set_of_other_labels_alone_is_refused() -> None:
    other = {"x": ("number", NUMBERS[:5]), "city": ("category", CITIES[:5]), "y": ("category", list("vwvwv"))}
    test = MemoryDataset(other)
    with pytest.raises(Unprocessable, match="No row of split 'test'"):
        prepare(resolved_for(["x"], "y"), {"train": dataset(), "test": test})


def test_numbers_are_standardised_by_the_training_rows_and_come_back() -> None:
    goal = NUMBERS * 40 + 1000
    data = {"all": MemoryDataset({"x": ("number", NUMBERS), "y": ("number", goal)})}
    prepared = prepare(resolved_for(["x"], "y", task="regression"), data)
    train, test = prepared.splits["train"], prepared.splits["test"]
    assert train.target.shape == (160, 1)
    assert abs(train.target.mean()) < 1e-5
    assert abs(train.target.std() - 1) < 1e-5
    assert np.allclose(prepared.preprocessing.unscale_target(test.target)[:, 0], goal[test.rows], rtol=1e-5)


def test_several_yes_or_no_columns_are_several_labels() -> None:
    labels = {name: ("boolean", RANDOM.integers(0, 2, N)) for name in ("p", "q", "r")}
    data = {"all": MemoryDataset({"x": ("number", NUMBERS), **labels})}
    prepared = prepare(resolved_for(["x"], ["p", "q", "r"]), data)
    assert prepared.preprocessing.multilabel
    assert prepared.preprocessing.labels == ["p", "q", "r"]
    assert prepared.splits["train"].target.shape == (160, 3)


def test_too_few_rows_for_the_splits_are_an_error() -> None:
    with pytest.raises(Unprocessable, match="too few") as caught:
        prepare(resolved_for(["x"], "y"), {"all": dataset(slice(0, 2))})
    assert caught.value.param == "preprocessing.split"


def test_too_few_groups_for_the_splits_are_counted() -> None:
    data = {"all": dataset(g=("integer", [row % 2 for row in range(N)]))}
    with pytest.raises(Unprocessable, match="in 2 groups, are too few: split 'test'"):
        prepare(resolved_for(["x"], "y", split={"method": "group"}, columns={"group": "g"}), data)
