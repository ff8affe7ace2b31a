"""`params` of the tabular recipes, and the defaults that the number of rows decides."""

from typing import Annotated, Any, Literal

from pydantic import Field

from app.recipes.fine_tuning_params import FineTuningParams, InputScale
from app.recipes.layers_params import Layers
from app.recipes.request import Request

Activation = Literal["relu", "gelu", "silu", "tanh", "elu", "selu", "leaky_relu", "softplus", "sigmoid"]
# A first layer that is wider than this is applied once and not once for each member: 300 columns would take minutes.
MOST_SCALED_INPUTS = 512
Units = Annotated[int, Field(ge=1, le=8192)]


class NumberEmbeddings(Request):
    """How a number enters the network (Gorishniy, Rubachev, Babenko 2022)."""

    type: Literal["none", "piecewise-linear", "periodic"] = "piecewise-linear"
    bins: int | None = Field(
        None,
        ge=2,
        le=256,
        description="Bins of a column (piecewise-linear). Default: one for 50 training rows, 16 to 128.",
    )
    width: int = Field(16, ge=1, le=256, description="Values that stand for one number.")
    frequencies: int = Field(24, ge=1, le=256, description="Waves of a column (periodic).")
    sigma: float = Field(0.1, gt=0, le=100, description="Deviation of the first frequencies (periodic).")


class CategoryEmbeddings(Request):
    """How a category enters the network."""

    type: Literal["one-hot", "embedding"] = "embedding"
    width: int = Field(8, ge=1, le=256, description="Values that stand for one category (embedding).")


class Mlp(Request):
    """A dense network, with `members` of them side by side that share their kernels (TabM, Gorishniy et al. 2024)."""

    type: Literal["mlp"] = "mlp"
    units: list[Units] | None = Field(
        None, min_length=1, max_length=32, description="Units of each dense layer; instead of num_layers and width."
    )
    num_layers: int = Field(2, ge=1, le=32, description="Dense layers of `width` units.")
    width: int = Field(128, ge=1, le=8192, description="Units of each dense layer.")
    activation: Activation = "relu"
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of units that are left out in each training step. Default: 0.3, values 0.1.",
    )
    normalization: Literal["none", "batch", "layer"] = "none"
    residual: bool = Field(False, description="Add a layer's input to its output, where both are as wide.")
    members: int = Field(8, ge=1, le=64, description="Networks whose answers are averaged.")
    number_embeddings: NumberEmbeddings = Field(default_factory=NumberEmbeddings)
    category_embeddings: CategoryEmbeddings = Field(default_factory=CategoryEmbeddings)


class TabularParams(FineTuningParams):
    """Parameters of `tabular-classification` and `tabular-regression`."""

    architecture: Annotated[Mlp | Layers, Field(discriminator="type")] = Field(default_factory=Mlp)
    input_scale: InputScale | None = Field(
        None, description="What a value becomes before an uploaded base reads it. Default: as its upload said."
    )


def settle_architecture(architecture: dict[str, Any], task: str, rows: int, columns: int) -> None:
    """Set in place what the task, the training rows and the input columns decide where the request is silent."""
    if architecture["type"] != "mlp":
        return
    if architecture["dropout"] is None:
        # Cross-validated: 0.3 gives adult 0.6 points over 0.1, and three smaller tables of classes nothing clear; of
        # four tables of values it makes one 5 % worse.
        architecture["dropout"] = 0.1 if task == "regression" else 0.3
    if architecture["number_embeddings"]["bins"] is None:
        # An edge for every 50 rows: 48 bins hid the effect of a column of 194 villages in 18,000 rows (a 5 % larger
        # RMSE than with 128). Many columns get fewer, so that a batch stays small.
        bins = min(rows // 50, 128, 8192 // max(columns, 1))
        architecture["number_embeddings"]["bins"] = max(16, bins)


def training_defaults(architecture: dict[str, Any], task: str, rows: int) -> dict[str, Any]:
    """Return what `training` is where the request is silent, by architecture, task and training rows.

    Keys: epochs, batch_size, optimizer (name, learning_rate, weight_decay, …), schedule, patience (epochs; None: no
    early stopping), scaling (of numbers).
    """
    del task
    if architecture["type"] == "layers":
        # A written list of layers is trained as its author would in Keras, but for the numbers' scale.
        return {
            "epochs": 20,
            "batch_size": 32,
            "optimizer": {"name": "adam", "learning_rate": 1e-3},
            "schedule": {"name": "constant"},
            "patience": None,
            "scaling": "standard",
        }
    batch_size = 32 if rows < 1000 else 64 if rows < 4000 else 128 if rows < 10_000 else 256 if rows < 100_000 else 1024
    return {
        # About 2000 updates, whatever the rows: the cosine ends where the weights have settled, in bounded time.
        "epochs": min(100, max(12, -(-2000 * batch_size // max(rows, 1)))),
        "batch_size": batch_size,
        # Cross-validated: below 2000 rows 1e-3 gains 0 to 8 % on five tables over 3e-3; above, 3e-3 ends lower in as
        # many updates.
        "optimizer": {"name": "adamw", "learning_rate": 1e-3 if rows < 2000 else 3e-3, "weight_decay": 1e-2},
        "schedule": {"name": "cosine", "end_ratio": 0.01},
        # Validation rows of small tables are few, and their loss jumps: 16 epochs of 10 updates are no reason to stop.
        "patience": max(16, -(-600 * batch_size // max(rows, 1))),
        "scaling": "quantile",
    }


def category_min_count(rows: int) -> int:
    """Return how many training rows a category's value needs, by the number of rows.

    At least two: what occurs once teaches nothing about itself, but it teaches the network what an unknown value means.
    """
    return max(2, min(10, rows // 2000))
