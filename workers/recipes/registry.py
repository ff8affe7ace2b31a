"""How each recipe is built, by its name in the API."""

from collections.abc import Callable, Mapping
from typing import Any

from app.preprocessing.prepare import Prepared
from workers.recipes import image_classification, tabular_classification, tabular_regression
from workers.recipes.built import Built

Builder = Callable[[Mapping[str, Any], Prepared], Built]

BUILDERS: dict[str, Builder] = {
    "image-classification": image_classification.build,
    "tabular-classification": tabular_classification.build,
    "tabular-regression": tabular_regression.build,
}
