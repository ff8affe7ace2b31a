"""A recipe that starts from a model that there is: the same data and target, but a base in place of an architecture."""

from collections.abc import Mapping
from math import prod
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.columns import Column, RowSource
from app.preprocessing.prepare import Prepared, prepare
from app.recipes.base import BaseModel
from app.recipes.base_columns import arrays_on, columns_on, misfit
from app.recipes.base_head import Goal, check_freeze, count_on_base, settle_head
from app.recipes.base_images import check_range, settle_images
from app.recipes.estimate import Counts
from app.recipes.family import Family, Scene
from app.recipes.image_family import BUDGET_OPERATIONS, peek
from app.recipes.image_params import settle_augmentation
from app.recipes.layers import LayersTask
from app.recipes.recipe import Recipe
from app.recipes.request import Columns, JobRequest, plain
from app.recipes.tabular_family import look_at_table
from app.recipes.validate import parse_params

ARCHITECTURE = "base"
_FEW_ROWS = 1000
_UPDATES = 1500


class FineTuning:
    """See `app.recipes.family.Family`; made for one request, between whose steps it remembers what was decided."""

    def __init__(self, base: BaseModel, family: Family, name: str) -> None:
        """`family`: that of the recipe, `name` its name."""
        self._base = base
        self._is_images = name == "images"
        self._arrays: dict[str, Any] | None = None
        self._goal = Goal("classification", ())
        self.warnings: list[dict[str, Any]] = []
        self.operations_per_second = family.operations_per_second
        self.can_drop_copies = family.can_drop_copies

    def choose_columns(self, asked: Columns, columns: Mapping[str, Column]) -> Columns:
        """Return the roles with the inputs that the base reads."""
        base = self._base
        if not self._is_images:
            if base.kind not in ("tabular", "arrays", "tensors"):
                what = "texts" if base.kind == "text" else base.kind
                raise misfit(base, f"reads {what}, not the columns of a table.")
            return columns_on(base, asked, columns)
        if base.kind not in ("images", "tensors"):
            raise misfit(base, f"reads {'texts' if base.kind == 'text' else 'the columns of a table'}, not images.")
        own = base.fitted.get("column")
        if asked.input is None and own in columns:
            return asked.model_copy(update={"input": [own]})
        return asked

    def resolve_params(self, recipe: Recipe, request: JobRequest) -> dict[str, Any]:
        """Check `params`; the base stands for the architecture."""
        params = plain(parse_params(recipe, request))
        if request.params.get("architecture") is not None:
            raise Unprocessable(
                "params.architecture: the base is the architecture; say in params.head what goes on top of it.",
                param="params.architecture",
            )
        dropout = request.training.regularization.dropout
        if dropout is not None and params["head"] is not None:
            raise Unprocessable(
                "training.regularization.dropout: params.head has its own Dropout layers; set their rate.",
                param="training.regularization.dropout",
            )
        if request.training.precision == "mixed_float16":
            raise Unprocessable(
                "training.precision: a base is fine-tuned in float32 or mixed_bfloat16.", param="training.precision"
            )
        params["base"] = self._base.ref
        params["architecture"] = {"type": ARCHITECTURE, "dropout": dropout or 0.0}
        return params

    def settle(self, params: dict[str, Any], scene: Scene) -> None:
        """Set what the base decides: columns or images, scale, where it is cut, and the head."""
        base = self._base
        multilabel = scene.recipe.task == "classification" and len(scene.targets) > 1
        task: LayersTask = "multilabel" if multilabel else scene.recipe.task
        self._goal = Goal(task, scene.labels or scene.targets)
        if self._is_images:
            settle_images(params, base, scene)
        elif base.kind == "tensors":
            self._arrays = arrays_on(base, scene.inputs, params["input_scale"])
            params["input_scale"] = self._arrays["input_scale"]
        elif params["input_scale"] is not None and params["input_scale"] != base.scale:
            raise Unprocessable(
                f"params.input_scale: {base.ref} reads its columns as it was trained on them; leave it out.",
                param="params.input_scale",
            )
        self.warnings += settle_head(params, base, self._goal, params["architecture"]["dropout"])
        if params["head_epochs"] is None:
            params["head_epochs"] = 0
        check_freeze(params, base)
        if params["lora_rank"] is not None and params["lora_alpha"] is None:
            params["lora_alpha"] = float(params["lora_rank"])
        epochs = scene.request.training.epochs or self.training_defaults(params, scene)["epochs"]
        if params["head_epochs"] > epochs:
            raise Unprocessable(
                f"params.head_epochs: {params['head_epochs']} of {epochs} epochs; they are the first of all epochs.",
                param="params.head_epochs",
            )
        if self._is_images or self._arrays is not None:
            self.warnings += check_range(params["input_scale"], base, scene.inputs)
        if self._is_images:
            is_colour = params["channels"] == "rgb"
            params["augmentation"] = settle_augmentation(params["augmentation"], False, is_colour, epochs)

    def training_defaults(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Return a training in which the head learns quickly and the base at a share of that, both ending low."""
        below = self._base.up_to(params["cut_at"])
        in_time = BUDGET_OPERATIONS / (6 * max(sum(entry["operations"] for entry in below), 1) * scene.rows)
        if self._is_images:
            # 90 digits of classes that the base knows not: 0.965 right at 2e-2, 0.90 at a tenth of that.
            epochs = min(100, -(-_UPDATES * 32 // scene.rows), max(int(in_time), 4))
            return {
                "epochs": max(epochs, 4),
                "batch_size": 32,
                "optimizer": {"name": "adamw", "learning_rate": 2e-2, "weight_decay": 1e-2},
                "schedule": {"name": "cosine", "warmup_ratio": 0.15, "end_ratio": 0.001},
                "patience": None,
                "label_smoothing": 0.1,
            }
        batch_size = 16 if scene.rows < _FEW_ROWS else 32 if scene.rows < 10 * _FEW_ROWS else 64
        return {
            "epochs": min(40, max(4, -(-_UPDATES * batch_size // scene.rows))),
            "batch_size": batch_size,
            "optimizer": {"name": "adamw", "learning_rate": 5e-3, "weight_decay": 1e-2},
            "schedule": {"name": "cosine", "warmup_ratio": 0.1, "end_ratio": 0.01},
            "patience": None if scene.rows < _FEW_ROWS else 10,
        }

    def preprocessing(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Return which columns the inputs of an uploaded model read; of others the base's own preprocessing holds."""
        del params, scene
        return {} if self._arrays is None else {"arrays": self._arrays}

    def look(self, resolved: Mapping[str, Any], data: Mapping[str, RowSource]) -> tuple[Prepared, int]:
        """Prepare the data, or every k-th row of what is large; return k too."""
        fitted = self._base.fitted
        if self._is_images:
            return prepare(resolved, peek(resolved, data), only_look=True, base=fitted), 1
        return look_at_table(resolved, data, fitted)

    def count(self, resolved: Mapping[str, Any], prepared: Prepared, classes: int | None) -> Counts:
        """Count base and head."""
        del classes
        row_bytes = sum(4 * prod(spec.shape) for spec in prepared.preprocessing.inputs)
        return count_on_base(resolved["params"], self._base, self._goal, row_bytes)
