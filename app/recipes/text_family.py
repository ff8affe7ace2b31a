"""The family `text`: one column of texts, or two that are read together."""

from collections.abc import Mapping
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.columns import RowSource
from app.preprocessing.ngrams import NgramPreprocessing
from app.preprocessing.prepare import Prepared, prepare
from app.preprocessing.split import TRAIN
from app.recipes.estimate import Counts, demand_buildable
from app.recipes.family import Scene
from app.recipes.recipe import Recipe
from app.recipes.request import JobRequest, plain
from app.recipes.validate import parse_params

MOST_COLUMNS = 2
# Numbers of the table of n-grams: 32 MB, and a third of a second of a step's time for a hundred steps.
TABLE_NUMBERS = 8_000_000
LEAST_VOCABULARY, MOST_VOCABULARY = 20_000, 400_000
# Of more rows an n-gram that one text has says nothing.
FEW_ROWS = 30_000


class TextFamily:
    """See `app.recipes.family.Family`."""

    operations_per_second = 2e9
    can_drop_copies = True

    def resolve_params(self, recipe: Recipe, request: JobRequest) -> dict[str, Any]:
        """Check `params`; dropout of `training.regularization` goes before the architecture's."""
        params = plain(parse_params(recipe, request))
        if request.training.regularization.dropout is not None:
            params["architecture"]["dropout"] = request.training.regularization.dropout
        return params

    def settle(self, params: dict[str, Any], scene: Scene) -> None:
        """Set sizes by rows and classes."""
        if len(scene.inputs) > MOST_COLUMNS:
            names = ", ".join(column.name for column in scene.inputs)
            raise Unprocessable(
                f"columns.input: {scene.recipe.name} reads one or two columns of text, not {len(scene.inputs)}: "
                f"{names}. Name them.",
                param="columns.input",
            )
        architecture = params["architecture"]
        if architecture["min_count"] is None:
            architecture["min_count"] = 1 if scene.rows <= FEW_ROWS else 2
        if architecture["vocabulary_size"] is None:
            width = architecture["width"] or _outputs(scene)
            architecture["vocabulary_size"] = min(max(TABLE_NUMBERS // width, LEAST_VOCABULARY), MOST_VOCABULARY)
        if architecture["dropout"] is None:
            architecture["dropout"] = 0.0

    def training_defaults(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Return what suits the number of texts."""
        del params
        return {
            "epochs": 30,
            "batch_size": 64 if scene.rows < 20_000 else 128,
            "optimizer": {"name": "sgd", "learning_rate": 0.5, "momentum": 0.9},
            "schedule": {"name": "cosine", "end_ratio": 0.01},
            "patience": None,
            "l2": 1e-5,
        }

    def preprocessing(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Nothing: what a text becomes is in `params`."""
        del params, scene
        return {}

    def look(self, resolved: Mapping[str, Any], data: Mapping[str, RowSource]) -> tuple[Prepared, int]:
        """Draw the splits, and learn from some of the texts."""
        return prepare(resolved, data, only_look=True), 1

    def count(self, resolved: Mapping[str, Any], prepared: Prepared, classes: int | None) -> Counts:
        """Count the table of n-grams, of which a look found those of some texts."""
        preprocessing = prepared.preprocessing
        assert isinstance(preprocessing, NgramPreprocessing)  # noqa: S101 — what this family fits
        architecture, outputs = resolved["params"]["architecture"], classes or preprocessing.outputs
        vocabulary, rows = preprocessing.vocabulary, len(prepared.splits[TRAIN])
        found = vocabulary.size * max(1.0, rows / max(vocabulary.texts, 1))
        size, width = int(min(found, architecture["vocabulary_size"])), architecture["width"]
        parameters = size * (width or outputs) + outputs * (1 + (width or 0))
        # An n-gram is found some hundred times as often as a text has words; every weight moves at every step.
        batch = resolved["training"].get("batch_size") or 64
        operations = 300 * (width or outputs) + parameters // batch
        return demand_buildable(Counts(parameters, operations, 300 * (width or outputs), 2400), "vocabulary_size")


def _outputs(scene: Scene) -> int:
    return max(scene.classes, len(scene.targets), 2)
