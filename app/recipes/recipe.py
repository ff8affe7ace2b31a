"""What a recipe is, seen from the API: names, columns, parameters. How it is built and fitted is the trainer's."""

from dataclasses import dataclass
from typing import Literal

from app.recipes.request import Request

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Recipe:
    """One kind of model that can be trained.

    `reads` column types, `predicts` what a prediction is, `abilities` what the finished model can be asked; `family`
    is the kind of data (`app.recipes.families`). `reads_first`: types that
    alone are read by default, where there are any.
    """

    name: str
    description: str
    task: Task
    reads: tuple[str, ...]
    target_types: tuple[str, ...]
    predicts: str
    architectures: tuple[str, ...]
    abilities: tuple[str, ...]
    params_model: type[Request]
    family: str
    reads_first: tuple[str, ...] = ()
