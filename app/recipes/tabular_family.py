"""The family `tabular`: rows of numbers, categories, booleans, instants and arrays."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.base_rows import Fitted
from app.preprocessing.columns import RowSource
from app.preprocessing.prepare import Prepared, prepare
from app.preprocessing.tabular import TabularPreprocessing
from app.recipes.estimate import Counts, count_layers, demand_buildable
from app.recipes.family import Scene
from app.recipes.layers import LAYERS_PATH, LayersTask, check_configs
from app.recipes.recipe import Recipe
from app.recipes.request import JobRequest, plain
from app.recipes.sampling import sample
from app.recipes.tabular_counts import count_mlp, row_bytes, row_shape
from app.recipes.tabular_params import category_min_count, settle_architecture, training_defaults
from app.recipes.validate import parse_params

# Findings that a sample would make up: what it lacks, all rows may have.
ONLY_WHOLE = frozenset({"class_missing", "label_unseen", "duplicates_kept"})


class TabularFamily:
    """See `app.recipes.family.Family`."""

    # Measured with the default network on California housing: 26 billion operations in a second of one core; two
    # cores do not double it. The estimate is an order of magnitude, and says so.
    operations_per_second = 30e9
    can_drop_copies = True

    def resolve_params(self, recipe: Recipe, request: JobRequest) -> dict[str, Any]:
        """Check `params`; dropout of `training.regularization` goes before the architecture's."""
        params = plain(parse_params(recipe, request))
        architecture = params["architecture"]
        if architecture["type"] == "layers":
            architecture["layers"] = check_configs(architecture["layers"], LAYERS_PATH)
            return params
        named = request.params.get("architecture")
        named = named if isinstance(named, dict) else {}
        if architecture["units"] is None:
            architecture["units"] = [architecture["width"]] * architecture["num_layers"]
        elif "width" in named or "num_layers" in named:
            raise Unprocessable(
                "params.architecture.units: units says every layer; leave num_layers and width out.",
                param="params.architecture.units",
            )
        if request.training.regularization.dropout is not None:
            architecture["dropout"] = request.training.regularization.dropout
        return params

    def settle(self, params: dict[str, Any], scene: Scene) -> None:
        """Set dropout and bins by task, rows and columns."""
        settle_architecture(params["architecture"], scene.recipe.task, scene.rows, len(scene.inputs))

    def training_defaults(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Return what suits the architecture and the number of rows."""
        return training_defaults(params["architecture"], scene.recipe.task, scene.rows)

    def preprocessing(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Return how numbers are scaled, and which values of a category are told apart."""
        asked, architecture = scene.request.preprocessing, params["architecture"]
        scaling: str = asked.numbers.scaling
        if scaling == "auto":
            scaling = str(training_defaults(architecture, scene.recipe.task, scene.rows)["scaling"])
            # Layers that scale by themselves expect what is in the data: pixels divided twice are all alike.
            if any(layer["class_name"] == "Rescaling" for layer in architecture.get("layers", ())):
                scaling = "none"
        min_count = asked.categories.min_count or category_min_count(scene.rows)
        return {
            "numbers": {"scaling": scaling},
            "categories": {"min_count": min_count, "max_size": asked.categories.max_size},
        }

    def look(self, resolved: Mapping[str, Any], data: Mapping[str, RowSource]) -> tuple[Prepared, int]:
        """Prepare the data, or every k-th row of what is large; return k too."""
        return look_at_table(resolved, data)

    def count(self, resolved: Mapping[str, Any], prepared: Prepared, classes: int | None) -> Counts:
        """Count the dense network, or the list of layers."""
        preprocessing = prepared.preprocessing
        assert isinstance(preprocessing, TabularPreprocessing)  # noqa: S101 — what this family fits
        outputs = classes or preprocessing.outputs
        architecture = resolved["params"]["architecture"]
        if architecture["type"] == "layers":
            task: LayersTask = "multilabel" if resolved["multilabel"] else resolved["task"]
            shape, size = row_shape(preprocessing), row_bytes(preprocessing)
            return count_layers(architecture["layers"], shape, outputs, task, LAYERS_PATH, size)
        return demand_buildable(count_mlp(architecture, preprocessing, outputs), "width, num_layers or units")


def look_at_table(
    resolved: Mapping[str, Any], data: Mapping[str, RowSource], base: Fitted | None = None
) -> tuple[Prepared, int]:
    """Prepare the data, or every k-th row of what is large; return k too. `base`: as `prepare` has it."""
    sampled, stride = sample(data, len(resolved["columns"]["input"]) + 1)
    try:
        prepared = prepare(resolved, sampled, base=base)
    except Unprocessable:
        if stride == 1:
            raise
        # What a sample lacks, all rows may have: only they can refuse a request.
        return prepare(resolved, data, base=base), 1
    if stride > 1:
        prepared = replace(prepared, warnings=[one for one in prepared.warnings if one["code"] not in ONLY_WHOLE])
    return prepared, stride
