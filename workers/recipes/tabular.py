"""What both tabular recipes share: from prepared data to the network that the request names."""

from collections.abc import Mapping
from typing import Any

from app.preprocessing.prepare import Prepared
from app.preprocessing.tabular import TabularPreprocessing
from workers.architectures.layers import build_layers
from workers.architectures.mlp import TabularInputs, Task, build_mlp
from workers.recipes.built import Built


def build_tabular(resolved: Mapping[str, Any], prepared: Prepared) -> Built:
    """Build the network of `resolved` for the columns of `prepared`; ValueError where a layer does not fit."""
    preprocessing = prepared.preprocessing
    assert isinstance(preprocessing, TabularPreprocessing)  # noqa: S101 — what its family fits
    task: Task = "regression"
    if preprocessing.labels is not None:
        task = "multilabel" if preprocessing.multilabel else "classification"
    inputs = TabularInputs(
        numbers=0 if preprocessing.array_shape is not None else len(preprocessing.number_names),
        cardinalities=tuple(preprocessing.category_sizes),
        edges=tuple(tuple(row) for row in preprocessing.number_edges),
        array=preprocessing.array_shape,
    )
    architecture = resolved["params"]["architecture"]
    if architecture["type"] == "layers":
        return build_layers(architecture["layers"], inputs, preprocessing.outputs, task)
    return build_mlp(architecture, inputs, preprocessing.outputs, task)
