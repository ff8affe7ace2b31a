# ruff: noqa: N803, N806 — names end in their shape (see the key below)
"""The dense network for tables: embeddings of numbers and categories, dense blocks, several members in one network.

With members it is TabM (Gorishniy, Kotelnikov, Babenko: "TabM: Advancing Tabular Deep Learning with Parameter-Efficient
Ensembling", 2024): K networks that share their kernels and are trained side by side, each on its own loss; their
answers are averaged. Numbers go through piecewise-linear or periodic embeddings (Gorishniy et al. 2022).

Shapes: B batch, F number columns, C category columns, D width, K members, O outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras

from app.recipes.tabular_params import MOST_SCALED_INPUTS
from workers.architectures import custom
from workers.recipes.built import Built

Task = Literal["classification", "multilabel", "regression"]


@dataclass(frozen=True)
class TabularInputs:
    """What the network must know of its inputs.

    `numbers` columns of floats, of which the edges of the bins are in `edges` (one list a column, in the scaled unit),
    and category columns of `cardinalities` ids each, 0 (missing) and 1 (unknown) counted. Or one array column of shape
    `array`, and nothing else.
    """

    numbers: int = 0
    cardinalities: tuple[int, ...] = ()
    edges: tuple[tuple[float, ...], ...] = ()
    array: tuple[int, ...] | None = None


def build_mlp(architecture: Mapping[str, Any], inputs: TabularInputs, outputs: int, task: Task) -> Built:
    """Build the network that `architecture` describes (every field set; defaults are the recipe's).

    Draws its first weights from Keras' global seed. Training output (B, O), or (B, K, O) with members: logits, or
    standardised values. Serving output: probabilities (B, O), or standardised values (B, 1).
    """
    tensors, features_BD = _read(architecture, inputs)
    members = int(architecture["members"])
    hidden = _stack(architecture, features_BD)
    if members > 1:
        logits = custom.MemberDense(outputs, name="output")(hidden)
    else:
        logits = keras.layers.Dense(outputs, name="output")(hidden)
    # Losses and probabilities are taken in float32 also where the network computes in half precision.
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(logits)
    answer = logits
    if task != "regression":
        answer = keras.layers.Activation(
            "softmax" if task == "classification" else "sigmoid", dtype="float32", name="probabilities"
        )(answer)
    if members > 1:
        answer = keras.layers.GlobalAveragePooling1D(dtype="float32", name="mean_of_members")(answer)
    return Built(
        training_model=keras.Model(tensors, logits, name="mlp_training"),
        serving_model=keras.Model(tensors, answer, name="mlp"),
        from_logits=task != "regression",
        members=members,
    )


def _read(architecture: Mapping[str, Any], inputs: TabularInputs) -> tuple[dict[str, Any], Any]:
    """The input tensors by name, and everything they hold as one (B, D) tensor."""
    if inputs.array is not None:
        x = keras.Input(inputs.array, dtype="float32", name="x")
        return {"x": x}, keras.layers.Flatten(name="flatten")(x) if len(inputs.array) != 1 else x
    tensors: dict[str, Any] = {}
    parts = []
    if inputs.numbers:
        tensors["numbers"] = keras.Input((inputs.numbers,), dtype="float32", name="numbers")
        parts.append(_embed_numbers(architecture["number_embeddings"], tensors["numbers"], inputs.edges))
    if inputs.cardinalities:
        tensors["categories"] = keras.Input((len(inputs.cardinalities),), dtype="int32", name="categories")
        parts.append(_embed_categories(architecture["category_embeddings"], tensors["categories"], inputs))
    features = parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="features")(parts)
    return tensors, features


def _embed_numbers(config: Mapping[str, Any], numbers_BF: Any, edges: Sequence[Sequence[float]]) -> Any:
    """(B, F) → (B, F · width), or as they are."""
    if config["type"] == "none":
        return numbers_BF
    width = int(config["width"])
    if config["type"] == "piecewise-linear":
        layer = custom.PiecewiseLinearEmbedding([list(row) for row in edges], width, name="number_embedding")
        embedded = layer(numbers_BF)
    else:
        waves = custom.PeriodicEncoding(int(config["frequencies"]), float(config["sigma"]), name="number_waves")
        embedded = custom.ColumnwiseDense(width, name="number_embedding")(waves(numbers_BF))
        embedded = keras.layers.Activation("relu", name="number_activation")(embedded)
    return keras.layers.Flatten(name="number_features")(embedded)


def _embed_categories(config: Mapping[str, Any], categories_BC: Any, inputs: TabularInputs) -> Any:
    """(B, C) → (B, C · width) by embeddings, or one-hot codes."""
    sizes = list(inputs.cardinalities)
    if config["type"] == "one-hot":
        return custom.OneHotColumns(sizes, name="category_codes")(categories_BC)
    ids = custom.ColumnOffsets(sizes, name="category_ids")(categories_BC)
    width = int(config["width"])
    # As large as what stands for numbers at the start: Keras' ±0.05 makes categories late to be heard.
    initial = keras.initializers.RandomUniform(-(width**-0.5), width**-0.5)
    embedded = keras.layers.Embedding(sum(sizes), width, initial, name="category_embedding")(ids)
    return keras.layers.Flatten(name="category_features")(embedded)


def _stack(architecture: Mapping[str, Any], features_BD: Any) -> Any:
    """The dense blocks: dense, normalisation, activation, dropout; with residual connections where asked for."""
    x = features_BD
    members, dropout = int(architecture["members"]), float(architecture["dropout"])
    for index, units in enumerate(architecture["units"]):
        entered = x
        if members > 1:
            signs = "none" if index else "inner" if x.shape[-1] <= MOST_SCALED_INPUTS else "outer"
            x = custom.EnsembleDense(int(units), members, signs, name=f"dense_{index}")(x)
        else:
            x = keras.layers.Dense(int(units), kernel_initializer="he_uniform", name=f"dense_{index}")(x)
        if architecture["normalization"] == "batch":
            x = keras.layers.BatchNormalization(name=f"norm_{index}")(x)
        elif architecture["normalization"] == "layer":
            x = keras.layers.LayerNormalization(name=f"norm_{index}")(x)
        x = keras.layers.Activation(architecture["activation"], name=f"activation_{index}")(x)
        if dropout > 0.0:
            x = keras.layers.Dropout(dropout, name=f"dropout_{index}")(x)
        # The first block changes what a column means into a width of its own: there is nothing to add it to.
        if architecture["residual"] and index and entered.shape[-1] == x.shape[-1]:
            x = keras.layers.Add(name=f"residual_{index}")([entered, x])
    return x
