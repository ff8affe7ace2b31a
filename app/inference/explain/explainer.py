"""Explains single predictions of one model version: which method, from which baseline, and in which form.

| model reads | method | players or elements |
|---|---|---|
| several columns | `shapley` | the columns |
| one image, array or tensors, with a graph of gradients | `integrated_gradients` | every pixel, every element |
| the same without one, or whole numbers | `shapley` | patches of an image, elements, or runs of elements |
"""

import logging
import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.core.errors import Unprocessable
from app.inference.explain.baselines import default_baseline
from app.inference.explain.deletion import deletion_areas
from app.inference.explain.game import ColumnsGame, ElementsGame, check_deadline
from app.inference.explain.gradient_graph import FILE, GradientGraph
from app.inference.explain.gradients import SMALLEST_CHANGE, integrate
from app.inference.explain.shapley import shapley_values
from app.inference.explain.target import Target, choose_target
from app.inference.explain.told import is_picture, tell_columns, tell_elements
from app.inference.predictor import Predictor
from app.inference.runtime import Arrays, ModelUnusable
from app.inference.tensors import TensorPredictor
from app.preprocessing.columns import ColumnArrays

# Sides of the grid of patches over an image, and players of other inputs.
_PATCHES: Final = 8
_MOST_PLAYERS: Final = 64

_log = logging.getLogger(__name__)


class Explainer:
    """The explanations of one loaded model. Its methods may be called from several threads."""

    def __init__(self, predictor: Predictor, gradients: GradientGraph | None) -> None:
        """Unprocessable `unsupported` for a model whose predictions are not explained."""
        read = [column for column in predictor.rows.columns if not column.get("ignored")]
        if any(column["type"] == "text" for column in read):
            raise _unsupported("Predictions of texts are not explained yet.")
        if isinstance(predictor, TensorPredictor) and not predictor.has_scores:
            raise _unsupported("Only models with one output of some numbers a row are explained.")
        self.predictor = predictor
        self._gradients = gradients
        is_one = len(read) == 1 and read[0]["type"] in ("array", "image")
        self._has_elements = isinstance(predictor, TensorPredictor) or is_one

    @classmethod
    def of(cls, predictor: Predictor) -> "Explainer":
        """Return the explainer of a bundle, with its graph of gradients where it has one that is of its model."""
        gradients = None
        if FILE in predictor.manifest["files"]:
            try:
                gradients = GradientGraph(predictor.bundle.path(FILE), [spec.name for spec in predictor.model.inputs])
            except ModelUnusable:
                _log.exception("gradients not loaded")  # explained without, more slowly
        return cls(predictor, gradients)

    def explain(
        self, instance: ColumnArrays, shown: Any, target: Any, baseline: ColumnArrays | None, deadline: float
    ) -> dict[str, Any]:
        """Return the explanation of one checked row (API.md §6).

        `shown`: the instance as it came; `target`: a label, or the number of an output; None for the predicted.
        Unprocessable, DeadlineExceeded, ModelUnusable.
        """
        predictor = self.predictor
        compared = default_baseline(predictor.preprocessing, instance) if baseline is None else baseline
        ends = [predictor.values(predictor.run(predictor.preprocessing.transform(one))) for one in (compared, instance)]
        start_values, end_values = (np.asarray(one[0], np.float64) for one in ends)
        chosen = choose_target(predictor, target, end_values)
        start, end = chosen.answer(start_values[None])[0], chosen.answer(end_values[None])[0]
        if not (math.isfinite(start) and math.isfinite(end)):
            raise Unprocessable("The model gives no finite number for the instance or its baseline.", param="instances")
        told: dict[str, Any] = {"method": "shapley", "target": chosen.shown, "baseline_value": start, "value": end}
        if self._has_elements:
            return told | self._explain_elements(instance, compared, chosen, (start, end), deadline)
        game = ColumnsGame(predictor, instance, compared, chosen.answer, deadline)
        attributions = shapley_values(game.values, game.players)
        areas = deletion_areas(game, attributions, start, end)
        return told | tell_columns(game.names, shown, attributions) | _checks(attributions, start, end, areas)

    def _explain_elements(
        self,
        instance: ColumnArrays,
        compared: ColumnArrays,
        target: Target,
        ends: tuple[float, float],
        deadline: float,
    ) -> dict[str, Any]:
        transform = self.predictor.preprocessing.transform
        inputs, base = ({name: rows[0] for name, rows in transform(one).items()} for one in (instance, compared))
        for name, values in inputs.items():
            if base[name].shape != values.shape:
                raise Unprocessable(f"baseline: {name} has another shape than the instance's.", param="baseline")
        gradients = self._gradients
        is_smooth = gradients is not None and all(values.dtype.kind == "f" for values in inputs.values())
        groups = number_elements(inputs) if is_smooth else group_elements(inputs)
        game = ElementsGame(self.predictor, inputs, base, groups, target.answer, deadline)
        if gradients is not None and is_smooth:
            players = self._integrate(gradients, inputs, base, target, ends, deadline)
        else:
            players = shapley_values(game.values, game.players)
        areas = deletion_areas(game, players, *ends)
        sizes = np.bincount(np.concatenate([group.ravel() for group in groups.values()]), minlength=game.players)
        elements = {name: (players / sizes)[group] for name, group in groups.items()}
        method = "integrated_gradients" if is_smooth else "shapley"
        return {"method": method} | tell_elements(self.predictor, elements) | _checks(players, *ends, areas)

    def _integrate(
        self,
        gradients: GradientGraph,
        inputs: Arrays,
        base: Arrays,
        target: Target,
        ends: tuple[float, float],
        deadline: float,
    ) -> NDArray[np.float64]:
        names = list(inputs)
        steps = {name: inputs[name].astype(np.float64) - base[name] for name in names}

        def at(places: NDArray[np.float64]) -> Arrays:
            check_deadline(deadline)
            return {
                name: (base[name] + places.reshape(-1, *(1,) * steps[name].ndim) * steps[name]).astype(
                    inputs[name].dtype
                )
                for name in names
            }

        def answers(places: NDArray[np.float64]) -> NDArray[np.float64]:
            return target.answer(self.predictor.values(self.predictor.run(at(places))))

        def slopes(places: NDArray[np.float64]) -> NDArray[np.float64]:
            size = gradients.rows
            parts = [places[start : start + size] for start in range(0, len(places), size)]
            return np.concatenate([gradients.run(at(part), np.tile(target.weights, (len(part), 1))) for part in parts])

        step = np.concatenate([steps[name].ravel() for name in names])
        return integrate(answers, slopes, step, *ends)


def number_elements(inputs: Arrays) -> dict[str, NDArray[np.int64]]:
    """Return a number of its own for each element, from 0 on."""
    found, start = {}, 0
    for name, values in inputs.items():
        found[name] = np.arange(start, start + values.size).reshape(values.shape)
        start += values.size
    return found


def group_elements(inputs: Arrays) -> dict[str, NDArray[np.int64]]:
    """Return the player of each element: patches of pictures, single elements where they are few, else runs of them."""
    found, start = {}, 0
    most = max(1, _MOST_PLAYERS // len(inputs))
    for name, values in inputs.items():
        if is_picture(values.shape):
            height, width = values.shape[:2]
            rows, columns = (np.arange(side) * min(_PATCHES, side) // side for side in (height, width))
            group = rows[:, None] * min(_PATCHES, width) + columns
            group = np.broadcast_to(group.reshape(height, width, *(1,) * (values.ndim - 2)), values.shape)
        else:
            group = (np.arange(values.size) * min(most, values.size) // max(1, values.size)).reshape(values.shape)
        found[name] = group + start
        start += int(group.max()) + 1
    return found


def _checks(
    attributions: NDArray[np.float64], start: float, end: float, areas: tuple[float | None, float | None]
) -> dict[str, Any]:
    apart = abs(float(attributions.sum()) - (end - start))
    return {
        "completeness_error": apart / max(abs(end - start), SMALLEST_CHANGE),
        "deletion_auc": areas[0],
        "random_deletion_auc": areas[1],
    }


def _unsupported(message: str) -> Unprocessable:
    return Unprocessable(message, code="unsupported", param="model")
