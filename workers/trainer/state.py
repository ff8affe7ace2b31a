"""All that training changes, as arrays: weights, noise generators, optimizer. Captured and put back bit for bit."""

from typing import Any

import numpy as np

from workers.recipes.built import Built
from workers.trainer.checkpoints import CheckpointCorrupt

Arrays = dict[str, np.ndarray[Any, Any]]


class ModelState:
    """The variables of a model that is being trained.

    `Model.variables` holds what `.weights.h5` leaves out: the states of dropout's generators (RELIABILITY.md,
    finding 4).
    """

    def __init__(self, built: Built, optimizer: Any) -> None:
        every = [*built.training_model.variables, *built.serving_model.variables]
        self.model = list({id(variable): variable for variable in every}.values())
        self.optimizer = list(optimizer.variables)
        self._optimizer = optimizer
        self._trainable = built.training_model.trainable_variables

    def weights(self) -> list[np.ndarray[Any, Any]]:
        """Return the model's variables."""
        return [variable.numpy() for variable in self.model]

    def set_weights(self, weights: list[np.ndarray[Any, Any]]) -> None:
        """Put the model's variables back."""
        for variable, value in zip(self.model, weights, strict=True):
            variable.assign(value)

    @property
    def keeps_averages(self) -> bool:
        """Whether the optimizer keeps moving averages of the weights."""
        return bool(self._optimizer.use_ema)

    def use_averages(self) -> None:
        """Where the optimizer keeps moving averages of the weights, put them in the weights' place."""
        if self.keeps_averages:
            self._optimizer.finalize_variable_values(self._trainable)

    def capture(self) -> Arrays:
        """Return everything by name."""
        return _named("model", self.weights()) | _named("optimizer", [v.numpy() for v in self.optimizer])

    def restore(self, arrays: Arrays) -> None:
        """Put everything back; CheckpointCorrupt when `arrays` are of another model or optimizer."""
        for kind, variables in (("model", self.model), ("optimizer", self.optimizer)):
            for variable, value in zip(variables, unnamed(kind, arrays, len(variables)), strict=True):
                if tuple(variable.shape) != value.shape:
                    raise CheckpointCorrupt(f"a {kind} array has the shape {value.shape}, not {tuple(variable.shape)}")
                variable.assign(value)


def named_best(weights: list[np.ndarray[Any, Any]] | None) -> Arrays:
    """Return best weights by name, for a checkpoint."""
    return {} if weights is None else _named("best", weights)


def unnamed(kind: str, arrays: Arrays, count: int) -> list[np.ndarray[Any, Any]]:
    """Return the arrays of a kind in order; CheckpointCorrupt when there are not `count` of them."""
    found = [arrays[name] for name in sorted(arrays) if name.startswith(f"{kind}.")]
    if len(found) != count:
        raise CheckpointCorrupt(f"{len(found)} arrays of {kind} for {count} variables")
    return found


def _named(kind: str, values: list[np.ndarray[Any, Any]]) -> Arrays:
    return {f"{kind}.{index:06d}": value for index, value in enumerate(values)}
