"""Rows of a table for a model that was trained before: prepared as they were for it, so that what it learnt holds."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from app.preprocessing.arrays import ArraysPreprocessing
from app.preprocessing.columns import Column
from app.preprocessing.fitted import FittedRows, tell_columns
from app.preprocessing.labels import ClassTarget, LabelsTarget, Target, ValueTarget, target_from_json, target_to_json
from app.preprocessing.partition import Draft, Resolved, target_names
from app.preprocessing.split import TRAIN
from app.preprocessing.tabular import TabularPreprocessing

Fitted = Mapping[str, Any]
"""The preprocessing of a base as its bundle holds it."""


class BaseRows:
    """See `app.preprocessing.prepare.Preparation`. Columns are the base's: none is left out, none is fitted anew."""

    def __init__(self, fitted: Fitted, find: Any) -> None:
        """`find`: that of the family, which tells suspicious columns."""
        self._fitted = fitted
        self._find = find

    def choose_inputs(self, draft: Draft, inputs: Sequence[Column], resolved: Resolved) -> list[Column]:
        """Return all input columns."""
        del draft, resolved
        return list(inputs)

    def fit(
        self,
        draft: Draft,
        read: Sequence[Column],
        ignored: Sequence[Column],
        target: Target,
        resolved: Resolved,
        *,
        only_look: bool,
    ) -> FittedRows:
        """Return the base's own preprocessing with the new target; of an uploaded model, what its inputs read."""
        del only_look
        strip = bool(resolved["preprocessing"]["clean"]["strip"])
        plan = resolved["preprocessing"].get("arrays")
        if plan is not None:
            return ArraysPreprocessing.fit(draft.tables[TRAIN].columns, read, ignored, target, plan, strip)
        told = [column.to_json() for column in tell_columns(read, ignored)]
        fitted = {**self._fitted, "columns": told, "target": target_to_json(target)}
        if fitted["kind"] == "arrays":
            return ArraysPreprocessing.from_json(fitted)
        return TabularPreprocessing.from_json(fitted)

    def find(self, draft: Draft, read: Sequence[Column], target: Target, encoded: NDArray[Any]) -> list[dict[str, Any]]:
        """Warn of what the family finds suspicious."""
        found: list[dict[str, Any]] = self._find(draft, read, target, encoded)
        return found


def continued_target(fitted: Fitted, resolved: Resolved, type_: str) -> Target | None:
    """Return the base's own target, for the columns of the job, where its last layer stays; None where it goes.

    `type_`: that of the target column.
    """
    if resolved["params"].get("head") != []:
        return None
    names = target_names(resolved["columns"])
    if "target" not in fitted:
        return ClassTarget(names[0], type_, tuple(fitted["labels"]))
    target = target_from_json(fitted["target"])
    if isinstance(target, ClassTarget):
        return ClassTarget(names[0], type_, target.labels)
    if isinstance(target, LabelsTarget):
        return LabelsTarget(tuple(names))
    return ValueTarget(tuple(names), target.mean, target.deviation)
