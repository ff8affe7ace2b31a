"""Data sets in memory with the methods of a stored one, and a resolved request for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.preprocessing.columns import ColumnArrays


@dataclass(frozen=True)
class MemoryColumn:
    """A column as a stored data set describes it."""

    name: str
    type: str
    shape: tuple[int, ...] | None = None


class MemoryDataset:
    """Columns given as lists: None is missing. `splits` names how many rows belong to each, in order."""

    def __init__(
        self, columns: Mapping[str, tuple[str, Sequence[Any] | np.ndarray]], splits: dict[str, int] | None = None
    ) -> None:
        self._arrays = {name: as_column(kind, values) for name, (kind, values) in columns.items()}
        self.columns = [
            MemoryColumn(name, kind, self._arrays[name].shape[1:] if kind == "array" else None)
            for name, (kind, _) in columns.items()
        ]
        self.rows = len(next(iter(self._arrays.values())))
        self.splits = splits

    def read(self, names: Sequence[str], split: str | None = None) -> ColumnArrays:
        """Return columns, of one split or of all rows."""
        start, stop = 0, self.rows
        if split is not None:
            if not self.splits:
                raise KeyError(split)
            before = list(self.splits)[: list(self.splits).index(split)]
            start = sum(self.splits[name] for name in before)
            stop = start + self.splits[split]
        return {name: self._arrays[name][start:stop] for name in names}


def as_column(kind: str, values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return values as the in-memory form of a column of type `kind`."""
    if kind in ("category", "text"):
        column = np.empty(len(values), dtype=object)
        column[:] = list(values)
        return column
    if kind == "array":
        return np.asarray(values)
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def resolved_for(
    inputs: Sequence[str], target: str | list[str], task: str = "classification", **changes: Any
) -> dict[str, Any]:
    """Return what `resolve` would give, with changes to its parts: `clean`, `split`, `columns`, `numbers` …"""
    return {
        "recipe": f"tabular-{task}",
        "task": task,
        "multilabel": isinstance(target, list) and task == "classification",
        "columns": {
            "input": list(inputs),
            "input_named": False,
            "target": target,
            "weight": None,
            "group": None,
            "time": None,
            "id": None,
            "exclude": [],
            **changes.get("columns", {}),
        },
        "preprocessing": {
            "clean": {
                "drop_duplicates": "auto",
                "drop_missing_target": True,
                "strip": True,
                "lowercase": False,
                "impute": "median",
                "drop_constant": True,
                "drop_identifiers": True,
                **changes.get("clean", {}),
            },
            "split": {
                "train": 0.8,
                "validation": 0.1,
                "test": 0.1,
                "method": "random",
                "seed": 7,
                **changes.get("split", {}),
            },
            "numbers": {"scaling": "standard", **changes.get("numbers", {})},
            "categories": {"min_count": 1, "max_size": 1000, **changes.get("categories", {})},
        },
        "params": {"architecture": {"type": "mlp", "number_embeddings": {"type": "none"}}},
        "training": {"class_weight": None, **changes.get("training", {})},
    }
