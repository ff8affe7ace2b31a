"""A table of every type of column, and requests about it."""

from typing import Any

import numpy as np
import pytest

from app.core.errors import Unprocessable
from app.recipes.request import JobRequest
from app.recipes.resolve import Resolution, resolve
from tests.preprocessing.memory import MemoryDataset

RANDOM = np.random.default_rng(2)
N = 120
COLUMNS: dict[str, tuple[str, Any]] = {
    "size": ("number", RANDOM.normal(size=N)),
    "rooms": ("integer", RANDOM.integers(1, 6, N)),
    "home town": ("category", [["Rome", "Oslo", "京都"][index] for index in RANDOM.integers(0, 3, N)]),
    "new": ("boolean", RANDOM.integers(0, 2, N)),
    "sold.at": ("datetime", RANDOM.uniform(0, 1e9, N)),
    "vector": ("array", RANDOM.normal(size=(N, 3))),
    "kind": ("category", [["flat", "house", "hut"][index] for index in RANDOM.integers(0, 3, N)]),
    "price": ("number", RANDOM.normal(100, 20, N)),
    "code": ("integer", RANDOM.integers(0, 2, N)),
    "file": ("image", RANDOM.normal(size=N)),
}
DATA = {"all": MemoryDataset(COLUMNS)}


def ask(recipe: str = "tabular-classification", target: Any = "kind", data: Any = None, **parts: Any) -> Resolution:
    columns = {"target": target, **parts.pop("columns", {})}
    body = {"recipe": recipe, "dataset": "ds_1", "columns": columns, **parts}
    return resolve(JobRequest.model_validate(body), data or DATA)


def refused(**request: Any) -> Unprocessable:
    with pytest.raises(Unprocessable) as caught:
        ask(**request)
    assert caught.value.param is not None
    return caught.value
