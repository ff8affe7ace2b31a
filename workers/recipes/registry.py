"""How each recipe is built, by its name in the API."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app.preprocessing.images import ImagePreprocessing
from app.preprocessing.prepare import Prepared
from workers.recipes import (
    fine_tuning,
    image_classification,
    tabular_classification,
    tabular_regression,
    text_classification,
)
from workers.recipes.built import Built

BASE = "base"
Builder = Callable[[Mapping[str, Any], Prepared], Built]

BUILDERS: dict[str, Builder] = {
    "image-classification": image_classification.build,
    "tabular-classification": tabular_classification.build,
    "tabular-regression": tabular_regression.build,
    "text-classification": text_classification.build,
}


def build(recipe: str, resolved: Mapping[str, Any], prepared: Prepared, base: Path | None) -> Built:
    """Build the model of a recipe, or on a base where there is one: the folder of its bundle.

    Raises ValueError for what does not fit, and BundleCorrupt for a base that is not as it was written.
    """
    if base is None:
        return BUILDERS[recipe](resolved, prepared)
    built = fine_tuning.build(resolved, prepared, base)
    if isinstance(prepared.preprocessing, ImagePreprocessing):
        return image_classification.with_images(built, resolved, prepared.preprocessing)
    return built
