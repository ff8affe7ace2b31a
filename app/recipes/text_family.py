"""The family `text`: one column of texts, or two that are read together."""

from collections.abc import Mapping
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.columns import RowSource
from app.preprocessing.ngrams import NgramPreprocessing
from app.preprocessing.prepare import Prepared, prepare
from app.preprocessing.split import TRAIN
from app.preprocessing.text import TextPreprocessing
from app.recipes.estimate import Counts, demand_buildable
from app.recipes.family import Scene
from app.recipes.recipe import Recipe
from app.recipes.request import JobRequest, plain
from app.recipes.text_counts import count_cnn, count_ngrams
from app.recipes.validate import parse_params

MOST_COLUMNS = 2
LEAST_BATCH = 64
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
        if architecture["type"] == "cnn":
            # Kim, section 3.1.
            architecture["dropout"] = 0.5 if architecture["dropout"] is None else architecture["dropout"]
            return
        if architecture["min_count"] is None:
            architecture["min_count"] = 1 if scene.rows <= FEW_ROWS else 2
        if architecture["vocabulary_size"] is None:
            width = architecture["width"] or _outputs(scene)
            architecture["vocabulary_size"] = min(max(TABLE_NUMBERS // width, LEAST_VOCABULARY), MOST_VOCABULARY)
        if architecture["dropout"] is None:
            architecture["dropout"] = 0.0

    def training_defaults(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Return what suits the number of texts."""
        if params["architecture"]["type"] == "cnn":
            return {
                "epochs": 20,
                "batch_size": 32 if scene.rows < 5000 else 64,
                "optimizer": {"name": "adam", "learning_rate": 1e-3},
                "schedule": {"name": "constant"},
                "patience": 3,
            }
        return {
            "epochs": 30,
            "batch_size": LEAST_BATCH if scene.rows < 20_000 else 2 * LEAST_BATCH,
            "optimizer": {"name": "sgd", "learning_rate": 1.0, "momentum": 0.9},
            "schedule": {"name": "cosine", "end_ratio": 0.01},
            "patience": None,
            "l2": 1e-5,
            "label_smoothing": 0.1,
        }

    def preprocessing(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Nothing: what a text becomes is in `params`."""
        del params, scene
        return {}

    def look(self, resolved: Mapping[str, Any], data: Mapping[str, RowSource]) -> tuple[Prepared, int]:
        """Draw the splits, and learn from some of the texts."""
        return prepare(resolved, data, only_look=True), 1

    def count(self, resolved: Mapping[str, Any], prepared: Prepared, classes: int | None) -> Counts:
        """Count the network; a look found the words of some texts only."""
        preprocessing, architecture = prepared.preprocessing, resolved["params"]["architecture"]
        outputs, rows = classes or preprocessing.outputs, len(prepared.splits[TRAIN])
        if isinstance(preprocessing, TextPreprocessing):
            return demand_buildable(count_cnn(architecture, preprocessing.tokenizer.largest_id + 1, outputs), "filters")
        assert isinstance(preprocessing, NgramPreprocessing)  # noqa: S101 — the other kind that this family fits
        found = preprocessing.vocabulary.size * max(1.0, rows / max(preprocessing.vocabulary.texts, 1))
        size = int(min(found, architecture["vocabulary_size"]))
        batch = resolved["training"].get("batch_size") or LEAST_BATCH
        return demand_buildable(count_ngrams(architecture, size, outputs, batch), "vocabulary_size")


def _outputs(scene: Scene) -> int:
    return max(scene.classes, len(scene.targets), 2)
