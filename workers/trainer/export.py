"""The bundle of a finished model: written, sealed, and checked against the model it came from."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import orjson

from app.inference.explain.gradient_graph import FILE
from app.models.bundle import write_bundle
from app.preprocessing.fitted import TensorSpec
from app.preprocessing.prepare import Prepared, Split
from app.preprocessing.text import TextPreprocessing
from workers.architectures.graph import describe_layers
from workers.recipes.built import Built
from workers.recipes.registry import BUILDERS
from workers.trainer.evaluation import class_shares
from workers.trainer.explain_graph import write_gradients
from workers.trainer.feed import Rows
from workers.trainer.forward import Forward
from workers.trainer.onnx_export import OUTPUT, export_onnx, large_weights
from workers.trainer.order import Order
from workers.trainer.parity import ROWS, check_bundle
from workers.trainer.problem import Problem, known_rows


def serving_model_of(order: Order, prepared: Prepared, built: Built, precision: str) -> Any:
    """Return the model that is served, in float32: rebuilt with the trained weights where training was not."""
    if built.export is not None:
        keras.mixed_precision.set_global_policy("float32")
        return built.export()
    if precision == "float32":
        return built.serving_model
    keras.mixed_precision.set_global_policy("float32")
    rebuilt = BUILDERS[order.recipe](order.resolved, prepared)
    rebuilt.serving_model.set_weights(built.serving_model.get_weights())
    return rebuilt.serving_model


def write_model(
    order: Order,
    problem: Problem,
    model: Any,
    metrics: dict[str, Any],
    fingerprint: dict[str, Any],
) -> Path:
    """Write the bundle into the attempt's folder and return where."""
    folder = order.output / "bundle"
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    export_onnx(model, folder / "model.onnx")
    preprocessing = problem.preprocessing
    _write_gradients(model, folder / FILE, preprocessing)
    fitted = orjson.dumps(preprocessing.to_json(), option=orjson.OPT_SERIALIZE_NUMPY)
    (folder / "preprocessing.json").write_bytes(fitted)
    if isinstance(preprocessing, TextPreprocessing):
        (folder / "tokenizer.json").write_bytes(preprocessing.tokenizer.content)
    write_bundle(
        folder,
        {
            "recipe": order.recipe,
            "task": "regression" if problem.task == "regression" else "classification",
            "job": order.job,
            "dataset": order.dataset,
            "signature": {
                "inputs": [
                    {"name": spec.name, "dtype": spec.dtype, "shape": [-1, *spec.shape]}
                    for spec in preprocessing.inputs
                ],
                "outputs": [{"name": OUTPUT, "dtype": "float32", "shape": [-1, problem.outputs]}],
            },
            "instance": {"columns": preprocessing.instance_columns, "bare": preprocessing.bare},
            "labels": problem.labels,
            "multilabel": problem.task == "multilabel",
            "class_shares": _class_shares(problem),
            "metrics": metrics,
            "parameters": int(model.count_params()),
            "layers": describe_layers(model),
            "base": order.resolved["params"].get("base"),
            "fingerprint": fingerprint,
        },
    )
    return folder


def _write_gradients(model: Any, path: Path, preprocessing: Any) -> None:
    """Write the graph of gradients of a model whose every input element is one of the instance's."""
    read = [column for column in preprocessing.instance_columns if not column["ignored"]]
    if len(read) != 1 or read[0]["type"] not in ("array", "image"):
        return
    names = [tensor.name for tensor in model.inputs]

    def ask(given: list[Any]) -> Any:
        return model(dict(zip(names, given, strict=True)), training=False)

    outputs = int(model.outputs[0].shape[-1])
    inputs = [TensorSpec(tensor.name, str(tensor.dtype), tuple(tensor.shape[1:])) for tensor in model.inputs]
    write_gradients(ask, path, inputs, outputs, int(model.count_params()), large_weights(model))


def _class_shares(problem: Problem) -> list[float] | None:
    """Return the shares of the classes among the training rows: the baseline of a later evaluation."""
    if problem.task == "regression":
        return None
    shares: list[float] = class_shares(problem.train.target, problem.outputs, problem.task).tolist()
    return shares


def check_model(folder: Path, problem: Problem, prepared: Prepared, forward: Forward) -> None:
    """Compare the bundle with the model on rows of the test split (or of another, where there is none)."""
    splits = [prepared.splits.get(name) for name in ("test", "validation", "train")]
    split = next(split for split in splits if split is not None and len(split.rows))
    rows, raw = _first_rows(split, problem)
    check_bundle(folder, problem, raw, forward.answers(rows))


def _first_rows(split: Split, problem: Problem) -> tuple[Rows, dict[str, Any]]:
    known = np.flatnonzero(known_rows(split, problem.task))
    index = (known if len(known) else np.arange(len(split.rows)))[:ROWS]
    return Rows(split.inputs, split.target).take(index), {name: column[index] for name, column in split.raw.items()}
