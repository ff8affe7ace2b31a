"""What the recipes of one kind of data share, on the side of the API: from a request to a job that can be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.preprocessing.columns import Column, RowSource
from app.preprocessing.prepare import Prepared
from app.recipes.estimate import Counts
from app.recipes.recipe import Recipe
from app.recipes.request import JobRequest


@dataclass(frozen=True)
class Scene:
    """What is known of a job before its rows are looked at. `rows`: about how many the training split will have.

    `labels`: those of the target, of a classification; `targets`: its columns.
    """

    recipe: Recipe
    request: JobRequest
    data: Mapping[str, RowSource]
    inputs: Sequence[Column]
    rows: int
    classes: int
    labels: Sequence[Any] = ()
    targets: Sequence[str] = ()


class Family(Protocol):
    """One kind of data. `resolve` calls the methods in this order; each raises Unprocessable for what does not fit."""

    operations_per_second: float
    """What two CPU cores do of its networks' multiplications and additions."""
    can_drop_copies: bool
    """Whether `look` sees every value of a row, so that it is known whether copies go."""

    def resolve_params(self, recipe: Recipe, request: JobRequest) -> dict[str, Any]:
        """Return `params` checked against the recipe's model, with every field that needs no data."""

    def settle(self, params: dict[str, Any], scene: Scene) -> None:
        """Set in place what the data decide where the request is silent."""

    def training_defaults(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Return what `training` is where the request is silent.

        Keys: epochs, batch_size, optimizer (name, learning_rate, weight_decay, …), schedule, patience (epochs; None: no
        early stopping); perhaps label_smoothing.
        """

    def preprocessing(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Return the parts of `preprocessing` beside clean and split."""

    def look(self, resolved: Mapping[str, Any], data: Mapping[str, RowSource]) -> tuple[Prepared, int]:
        """Prepare the data, or every k-th row of what is large; return k too. Takes a second at most."""

    def count(self, resolved: Mapping[str, Any], prepared: Prepared, classes: int | None) -> Counts:
        """Check the architecture against the rows, and count what would be built.

        `classes`: how many there are in all rows, where `prepared` is a sample.
        """
