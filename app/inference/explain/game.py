# ruff: noqa: N803 — names end in their shape (see the key below)
"""A prediction as a game: its players are columns, elements or patches, each of the instance's or of the baseline's.

Shapes: S subsets, P players, N rows, C outputs.
"""

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.errors import DeadlineExceeded
from app.inference.predictor import Predictor
from app.inference.runtime import Arrays
from app.preprocessing.columns import ColumnArrays

Answer = Callable[[NDArray[Any]], NDArray[np.float64]]
"""What a predictor's `values` gave, (N, C), to the one number of each row that is explained, (N,)."""

# Rows of one run: between two runs the deadline is looked at, and predictions come to their turn.
RUN_ROWS: Final = 64
# Elements of one run: rows of large images go a few at a time.
RUN_ELEMENTS: Final = 1 << 22


class Game(Protocol):
    """Some players, and what the answer is where some of them are the instance's and the others the baseline's."""

    players: int

    def values(self, subsets_SP: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the answers (S,) with the instance's players of each subset. DeadlineExceeded."""


class ColumnsGame:
    """Each column of the instance is a player."""

    def __init__(
        self,
        predictor: Predictor,
        instance: ColumnArrays,
        baseline: ColumnArrays,
        answer: Answer,
        deadline: float,
    ) -> None:
        """`instance` and `baseline`: one row of columns each; `deadline`: `time.perf_counter()` seconds."""
        self.names = list(instance)
        self.players = len(self.names)
        self._predictor = predictor
        self._instance = instance
        self._baseline = baseline
        self._answer = answer
        self._deadline = deadline

    def values(self, subsets_SP: NDArray[np.bool_]) -> NDArray[np.float64]:
        """See `Game`."""
        return in_runs(self._run, subsets_SP, self._deadline)

    def _run(self, subsets_SP: NDArray[np.bool_]) -> NDArray[np.float64]:
        columns = {}
        for player, name in enumerate(self.names):
            both = np.concatenate([self._baseline[name], self._instance[name]])
            columns[name] = both[subsets_SP[:, player].astype(np.int64)]
        predictor = self._predictor
        return self._answer(predictor.values(predictor.run(predictor.preprocessing.transform(columns))))


class ElementsGame:
    """Elements of the model's own inputs are players, one by one or in groups."""

    def __init__(
        self,
        predictor: Predictor,
        instance: Arrays,
        baseline: Arrays,
        groups: dict[str, NDArray[np.int64]],
        answer: Answer,
        deadline: float,
    ) -> None:
        """`instance` and `baseline`: one row of inputs each, without the batch axis; `groups`: the player of each

        element, from 0 on, by input.
        """
        self.players = 1 + max(int(group.max()) for group in groups.values())
        self._predictor = predictor
        self._instance = instance
        self._baseline = baseline
        self._groups = groups
        self._answer = answer
        self._deadline = deadline

    def values(self, subsets_SP: NDArray[np.bool_]) -> NDArray[np.float64]:
        """See `Game`."""
        rows = max(1, min(RUN_ROWS, RUN_ELEMENTS // sum(group.size for group in self._groups.values())))
        return in_runs(self._run, subsets_SP, self._deadline, rows)

    def _run(self, subsets_SP: NDArray[np.bool_]) -> NDArray[np.float64]:
        inputs = {
            name: np.where(subsets_SP[:, group], self._instance[name], self._baseline[name])
            for name, group in self._groups.items()
        }
        return self._answer(self._predictor.values(self._predictor.run(inputs)))


def in_runs(
    run: Callable[[Any], NDArray[np.float64]], rows: NDArray[Any], deadline: float, most: int = RUN_ROWS
) -> NDArray[np.float64]:
    """Return what `run` gives for `rows`, `most` at a time; DeadlineExceeded once `deadline` has passed."""
    found = []
    for start in range(0, len(rows), most):
        check_deadline(deadline)
        found.append(run(rows[start : start + most]))
    return np.concatenate(found) if len(found) != 1 else found[0]


def check_deadline(deadline: float) -> None:
    """Raise DeadlineExceeded once `deadline` has passed."""
    if time.perf_counter() > deadline:
        raise DeadlineExceeded("The explanation was not ready in time.")
