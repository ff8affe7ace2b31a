"""Small bundles made by hand: networks out of ONNX operators, preprocessing fitted on a few rows."""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from onnx import TensorProto, helper, numpy_helper, save

from app.models.bundle import write_bundle
from app.preprocessing.fitted import FittedRows, InstanceColumn
from app.preprocessing.images import ImagePreprocessing, InputScale
from app.preprocessing.labels import ClassTarget, LabelsTarget, Target, ValueTarget
from app.preprocessing.pixels import Frame
from app.preprocessing.tabular import Options, TabularPreprocessing

Layers = list[tuple[np.ndarray, np.ndarray]]


class Column(NamedTuple):
    """A column of training rows."""

    name: str
    type: str
    shape: tuple[int, ...] | None = None


def dense_layers(seed: int, widths: list[int]) -> Layers:
    """Return kernels and biases of a dense network."""
    random = np.random.default_rng(seed)
    return [
        (
            random.normal(0.0, 1.0 / np.sqrt(rows), (rows, columns)).astype(np.float32),
            random.normal(0.0, 0.1, columns).astype(np.float32),
        )
        for rows, columns in itertools.pairwise(widths)
    ]


def save_network(
    path: Path,
    inputs: dict[str, tuple[str, tuple[int, ...]]],
    layers: Layers,
    last: str,
) -> None:
    """Write a dense network over all inputs side by side; `last` is Softmax, Sigmoid or Identity."""
    nodes, weights, values = [], [], []
    for name, (dtype, _) in inputs.items():
        values.append(name if dtype == "float32" else f"{name}_float")
        if dtype != "float32":
            nodes.append(helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT))
    for index, (name, (_, shape)) in enumerate(inputs.items()):
        if len(shape) > 1:
            nodes.append(helper.make_node("Flatten", [values[index]], [f"{name}_flat"]))
            values[index] = f"{name}_flat"
    nodes.append(helper.make_node("Concat", values, ["all"], axis=1))
    before = "all"
    for index, (kernel, bias) in enumerate(layers):
        weights += [numpy_helper.from_array(kernel, f"w{index}"), numpy_helper.from_array(bias, f"b{index}")]
        nodes.append(helper.make_node("Gemm", [before, f"w{index}", f"b{index}"], [f"z{index}"]))
        before = f"z{index}"
        if index < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [before], [f"a{index}"]))
            before = f"a{index}"
    nodes.append(helper.make_node(last, [before], ["output"]))
    types = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(n, types[dtype], [None, *shape]) for n, (dtype, shape) in inputs.items()],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, layers[-1][1].size])],
        weights,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def seal(
    folder: Path,
    preprocessing: FittedRows,
    layers: Layers,
    last: str,
    task: str,
    job: str = "job_test",
) -> dict[str, Any]:
    """Write a whole bundle; return its manifest."""
    folder.mkdir(parents=True)
    specs = {spec.name: (spec.dtype, tuple(spec.shape)) for spec in preprocessing.inputs}
    save_network(folder / "model.onnx", specs, layers, last)
    (folder / "preprocessing.json").write_bytes(orjson.dumps(preprocessing.to_json()))
    (folder / "model.keras").write_bytes(b"weights to train on from")
    outputs = layers[-1][1].size
    return write_bundle(
        folder,
        {
            "recipe": f"{'image' if isinstance(preprocessing, ImagePreprocessing) else 'tabular'}-{task}",
            "task": task,
            "job": job,
            "dataset": "ds_test",
            "signature": {
                "inputs": [{"name": n, "dtype": dtype, "shape": [-1, *shape]} for n, (dtype, shape) in specs.items()],
                "outputs": [{"name": "output", "dtype": "float32", "shape": [-1, outputs]}],
            },
            "instance": {"columns": preprocessing.instance_columns, "bare": preprocessing.bare},
            "labels": preprocessing.labels,
            "multilabel": preprocessing.multilabel,
            "parameters": sum(kernel.size + bias.size for kernel, bias in layers),
        },
    )


def array_bundle(folder: Path, seed: int = 7, labels: int = 10, hidden: int = 64) -> Layers:
    """The dense classifier 10-64-64-10 on one array column `x`; return its layers."""
    rows = np.random.default_rng(1).normal(size=(50, 10))
    columns = {"x": rows, "y": np.arange(50, dtype=np.float64) % labels}
    target = ClassTarget("y", "integer", tuple(range(labels)))
    preprocessing = TabularPreprocessing.fit(
        columns, [Column("x", "array", (10,))], [Column("y", "integer")], target, Options(scaling="none")
    )
    layers = dense_layers(seed, [10, hidden, hidden, labels])
    seal(folder, preprocessing, layers, "Softmax", "classification", f"job_{seed}")
    return layers


TABLE_INPUTS = [
    Column("age", "number"),
    Column("size", "integer"),
    Column("smoker", "boolean"),
    Column("city", "category"),
]


def table_columns() -> dict[str, np.ndarray]:
    """Rows of a small table with missing values."""
    random = np.random.default_rng(3)
    age = random.normal(40, 10, 60)
    age[::7] = np.nan
    city = np.array(["Oslo", "Bergen", None, "Oslo", "Tromsø"] * 12, dtype=object)
    return {
        "age": age,
        "size": random.integers(1, 9, 60).astype(np.float64),
        "smoker": np.array([0.0, 1.0, np.nan] * 20),
        "city": city,
        "note": np.array(["a"] * 60, dtype=object),
        "label": np.array(["no", "yes"] * 30, dtype=object),
        "price": random.normal(250.0, 80.0, 60),
        "wet": np.array([0.0, 1.0] * 30),
        "windy": np.array([1.0, 0.0] * 30),
    }


def table_bundle(folder: Path, kind: str = "class", seed: int = 7) -> TabularPreprocessing:
    """A model of a table: `class`, `labels` or `value`; return its preprocessing."""
    columns = table_columns()
    target: Target
    if kind == "class":
        target, task, last = ClassTarget("label", "category", ("no", "yes")), "classification", "Softmax"
    elif kind == "labels":
        target, task, last = LabelsTarget(("wet", "windy")), "classification", "Sigmoid"
    else:
        target, task, last = ValueTarget.fit(columns, ["price"]), "regression", "Identity"
    ignored = [Column("note", "text"), Column("label", "category")]
    preprocessing = TabularPreprocessing.fit(columns, TABLE_INPUTS, ignored, target, Options())
    width = sum(spec.shape[0] for spec in preprocessing.inputs)
    seal(folder, preprocessing, dense_layers(seed, [width, 16, preprocessing.outputs]), last, task)
    return preprocessing


def image_bundle(folder: Path, side: int = 6) -> ImagePreprocessing:
    """A model of grey images of two classes: the darker half tells them apart."""
    columns = [InstanceColumn("image", "image"), InstanceColumn("label", "category", None, ignored=True)]
    preprocessing = ImagePreprocessing(
        columns,
        ClassTarget("label", "category", ("left", "right")),
        "image",
        Frame(side, side, 1),
        InputScale(1 / 255, 0.0),
        is_bytes=True,
        mirrors=False,
        strip=True,
    )
    sides = np.where(np.arange(side) < side // 2, 1.0, -1.0)
    kernel = np.tile(np.stack([sides, -sides], axis=1), (side, 1)).astype(np.float32)
    seal(folder, preprocessing, [(kernel, np.zeros(2, np.float32))], "Softmax", "classification")
    return preprocessing
