"""The family `images`: one column of image files, or of arrays of pixels."""

from collections.abc import Mapping
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.columns import RowSource
from app.preprocessing.image_rows import PeekedImages
from app.preprocessing.images import ImagePreprocessing, frame_of
from app.preprocessing.prepare import Prepared, prepare
from app.recipes.estimate import Counts, count_layers, demand_buildable
from app.recipes.family import Scene
from app.recipes.image_counts import Shape, count_images
from app.recipes.image_params import MANY_EPOCHS, settle_augmentation
from app.recipes.image_size import BYTE, Pictures, read_pictures, settle_size
from app.recipes.layers import LAYERS_PATH, LayersTask, check_configs
from app.recipes.recipe import Recipe
from app.recipes.request import JobRequest, plain
from app.recipes.validate import parse_params

# What a job of the default networks may take: multiplications and additions of about 300 seconds of one busy core.
BUDGET_OPERATIONS = 24e12
# More was not needed: of held-out images 91 in 100 hand signs were told after 100 epochs of 150 others, and 99 in 100
# digits after 20 epochs of 7,000 others.
MOST_EPOCHS = 150
MOST_UPDATES = 4000
# Of many images a network of half the width learns more in the same time.
LEAST_EPOCHS = 8
SMALL_SIDE = 40
LEAST_FILTERS = 8


class ImageFamily:
    """See `app.recipes.family.Family`."""

    # Measured: 60 to 100 billion in a second of one core, the fewer the narrower the layers.
    operations_per_second = 120e9
    can_drop_copies = False

    def resolve_params(self, recipe: Recipe, request: JobRequest) -> dict[str, Any]:
        """Check `params`; dropout of `training.regularization` goes before the architecture's."""
        params = plain(parse_params(recipe, request))
        architecture = params["architecture"]
        if architecture["type"] == "layers":
            architecture["layers"] = check_configs(architecture["layers"], LAYERS_PATH)
        elif request.training.regularization.dropout is not None:
            architecture["dropout"] = request.training.regularization.dropout
        return params

    def settle(self, params: dict[str, Any], scene: Scene) -> None:
        """Set size, channels, scale, augmentation and the widths of the network by what the column holds."""
        if len(scene.inputs) != 1:
            names = ", ".join(column.name for column in scene.inputs)
            raise Unprocessable(
                f"columns.input: {scene.recipe.name} reads one column of images, not {len(scene.inputs)}: {names}. "
                "Name one.",
                param="columns.input",
            )
        pictures, architecture = read_pictures(scene.inputs[0]), params["architecture"]
        if params["channels"] == "auto":
            params["channels"] = "grey" if pictures.is_grey else "rgb"
        params["image_size"] = settle_size(params["image_size"], pictures)
        params["channel_order"] = params["channel_order"] or "rgb"
        params["pixels"] = "bytes" if pictures.is_bytes else "numbers"
        params["input_scale"] = params["input_scale"] or _scale(architecture, pictures)
        is_layers = architecture["type"] == "layers"
        if not is_layers:
            _settle_network(params, scene)
        epochs = scene.request.training.epochs or self.training_defaults(params, scene)["epochs"]
        is_colour = params["channels"] == "rgb"
        params["augmentation"] = settle_augmentation(params["augmentation"], is_layers, is_colour, epochs)

    def training_defaults(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Return what suits the network and the number of images: as many epochs as fit into five minutes."""
        architecture, rows = params["architecture"], scene.rows
        if architecture["type"] == "layers":
            # A written list of layers is trained as its author would in Keras.
            return {
                "epochs": 20,
                "batch_size": 32,
                "optimizer": {"name": "adam", "learning_rate": 1e-3},
                "schedule": {"name": "constant"},
                "patience": None,
            }
        batch_size = 32 if rows < 1000 else 64 if rows < 30_000 else 128
        epochs = min(_epochs_in_time(params, scene), MOST_EPOCHS, MOST_UPDATES * batch_size // rows)
        # Coloured images that are seen few times leave little time to settle: of noisy ones, drawn for this, 56 in 100
        # were told after 12 epochs with a rate of 6e-3, 45 with 2e-3; with 1.5e-2 nothing was learned in 4.
        is_short = params["channels"] == "rgb" and epochs < MANY_EPOCHS
        return {
            "epochs": max(epochs, LEAST_EPOCHS),
            "batch_size": batch_size,
            "optimizer": {"name": "adamw", "learning_rate": 6e-3 if is_short else 2e-3, "weight_decay": 0.05},
            "schedule": {"name": "cosine", "warmup_ratio": 0.15, "end_ratio": 0.001},
            "patience": None,
            "label_smoothing": 0.1,
        }

    def preprocessing(self, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Nothing: what an image becomes is in `params`."""
        del params, scene
        return {}

    def look(self, resolved: Mapping[str, Any], data: Mapping[str, RowSource]) -> tuple[Prepared, int]:
        """Draw the splits without reading an image."""
        return prepare(resolved, peek(resolved, data), only_look=True), 1

    def count(self, resolved: Mapping[str, Any], prepared: Prepared, classes: int | None) -> Counts:
        """Count the network, or the list of layers."""
        preprocessing = prepared.preprocessing
        assert isinstance(preprocessing, ImagePreprocessing)  # noqa: S101 — what this family fits
        params, outputs = resolved["params"], classes or preprocessing.outputs
        architecture, shape = params["architecture"], _shape(params)
        row_bytes = shape[0] * shape[1] * shape[2] * (1 if preprocessing.is_bytes else 4)
        if architecture["type"] == "layers":
            task: LayersTask = "multilabel" if resolved["multilabel"] else resolved["task"]
            return count_layers(architecture["layers"], shape, outputs, task, LAYERS_PATH, row_bytes)
        return demand_buildable(count_images(architecture, shape, outputs, row_bytes), "filters or blocks")


def peek(resolved: Mapping[str, Any], data: Mapping[str, RowSource]) -> dict[str, RowSource]:
    """Return sources of which no image is read."""
    column = resolved["columns"]["input"][0]
    return {role: PeekedImages(source, column, role) for role, source in data.items()}


def _shape(params: Mapping[str, Any]) -> Shape:
    return frame_of(dict(params)).shape


def _scale(architecture: Mapping[str, Any], pictures: Pictures) -> dict[str, float]:
    """What the values become: −1 to 1; 0 to 1 for a list of layers, and as they are where it rescales by itself."""
    if architecture["type"] == "layers":
        if any(layer["class_name"] == "Rescaling" for layer in architecture["layers"]):
            return {"multiply": 1.0, "add": 0.0}
        return {"multiply": 1.0 / BYTE if pictures.is_bytes else 1.0, "add": 0.0}
    span = pictures.high - pictures.low
    multiply = 2.0 / span if span > 0 else 1.0
    return {"multiply": multiply, "add": -1.0 - pictures.low * multiply}


def _settle_network(params: dict[str, Any], scene: Scene) -> None:
    """Widths and dropout where the request is silent: a stage more for each doubling of the images' size."""
    architecture, size = params["architecture"], params["image_size"]
    if architecture["dropout"] is None:
        architecture["dropout"] = 0.2
    if architecture["filters"] is None:
        side, is_colour = max(size), params["channels"] == "rgb"
        factors = (1, 2, 4) if side <= SMALL_SIDE else (1, 2, 4, 8) if side <= 2 * SMALL_SIDE else (1, 2, 4, 8, 8)
        first = 32 if is_colour and side <= SMALL_SIDE else 16
        architecture["filters"] = [first * factor for factor in factors]
        while first > LEAST_FILTERS and _epochs_in_time(params, scene) < LEAST_EPOCHS:
            first //= 2
            architecture["filters"] = [first * factor for factor in factors]
    # Every stage after the first halves the images.
    most = max(1, min(size).bit_length())
    if len(architecture["filters"]) > most:
        raise Unprocessable(
            f"params.architecture.filters: {len(architecture['filters'])} stages are too many for images of "
            f"{size[0]} × {size[1]} pixels; at most {most} are.",
            param="params.architecture.filters",
        )


def _epochs_in_time(params: Mapping[str, Any], scene: Scene) -> int:
    """How many epochs a job may have that is to end in five minutes on two cores."""
    operations = 6 * count_images(params["architecture"], _shape(params), scene.classes, 0).operations
    return int(BUDGET_OPERATIONS / operations / scene.rows)
