"""Explanations by gradients where the answer is known by hand: a linear model, an image of which a patch matters."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from app.inference.explain.explainer import Explainer
from app.inference.predictor import Predictor
from app.models.bundle import MANIFEST, read_manifest, write_bundle
from tests.inference.test_tensors import tensor_bundle

ROWS = 4


def linear_bundle(folder: Path, shape: list[int], kernel: np.ndarray, *, is_sigmoid: bool = False) -> Explainer:
    """y = x · kernel, or the sigmoid of it, with the graph of its gradients."""
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
    back = [helper.make_node("MatMul", ["weights_of_outputs", "turned"], ["g"])]
    w, turned = numpy_helper.from_array(kernel, "w"), numpy_helper.from_array(kernel.T.copy(), "turned")
    if is_sigmoid:
        nodes[-1] = helper.make_node("MatMul", ["flat", "w"], ["z"])
        nodes.append(helper.make_node("Sigmoid", ["z"], ["y"]))
        one = numpy_helper.from_array(np.float32(1), "one")
        back = [
            *nodes,
            helper.make_node("Sub", ["one", "y"], ["rest"]),
            helper.make_node("Mul", ["y", "rest"], ["slope"]),
            helper.make_node("Mul", ["slope", "weights_of_outputs"], ["weighted"]),
            helper.make_node("MatMul", ["weighted", "turned"], ["g"]),
        ]
    outputs = kernel.shape[1]
    inputs = [("x", "float32", [-1, *shape])]
    tensor_bundle(folder, nodes, inputs, [("y", "float32", [-1, outputs])], [w])
    back.append(helper.make_node("Reshape", ["g", "shape"], ["gradient_of_x"]))
    whole = numpy_helper.from_array(np.array([ROWS, *shape], np.int64), "shape")
    graph = helper.make_graph(
        back,
        "gradients",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [ROWS, *shape]),
            helper.make_tensor_value_info("weights_of_outputs", TensorProto.FLOAT, [ROWS, outputs]),
        ],
        [helper.make_tensor_value_info("gradient_of_x", TensorProto.FLOAT, [ROWS, *shape])],
        [turned, whole, *([w, one] if is_sigmoid else [])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "explain.onnx")
    manifest = read_manifest(folder / MANIFEST)
    write_bundle(folder, {name: manifest[name] for name in ("signature", "instance", "labels")})
    return Explainer.of(Predictor.load(folder))


def explain(explainer: Explainer, instance: Any, target: Any = None, baseline: Any = None) -> dict[str, Any]:
    rows = explainer.predictor.rows
    base = None if baseline is None else rows.join([rows.check([baseline])])
    return explainer.explain(rows.join([rows.check([instance])]), instance, target, base, time.perf_counter() + 30)


def test_of_a_linear_model_each_weight_times_its_difference(tmp_path: Path) -> None:
    kernel = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]], np.float32)
    explainer = linear_bundle(tmp_path / "linear", [3], kernel)
    found = explain(explainer, [2, 4, 6], target=1, baseline=[1, 1, 1])
    assert found["method"] == "integrated_gradients"
    assert (found["baseline_value"], found["value"]) == (1.0, 0.0)
    assert [one["name"] for one in found["attributions"]] == ["x[0]", "x[1]", "x[2]"]
    values = [one["value"] for one in found["attributions"]]
    np.testing.assert_allclose(values, kernel[:, 1] * ([2, 4, 6] - np.ones(3)), atol=1e-6)
    assert found["completeness_error"] < 1e-6
    assert found["target"] == 1
    assert explain(explainer, [2, 4, 6])["target"] == 0, "the largest output"


def test_of_an_image_the_patch_that_matters_has_all(tmp_path: Path) -> None:
    kernel = np.zeros((8, 8, 3), np.float32)
    kernel[2:5, 3:6] = np.random.default_rng(2).uniform(0.2, 1, (3, 3, 3))
    explainer = linear_bundle(tmp_path / "patch", [8, 8, 3], kernel.reshape(-1, 1), is_sigmoid=True)
    image = np.random.default_rng(3).uniform(0, 1, (8, 8, 3))
    found = explain(explainer, image.tolist())
    shown = np.array(found["attributions_map"])
    assert shown.shape == (8, 8)
    inside = shown[2:5, 3:6].sum()
    assert inside == pytest.approx(found["value"] - found["baseline_value"], rel=1e-2)
    assert np.abs(shown).sum() == pytest.approx(inside)
    assert found["completeness_error"] < 1e-2
    assert found["deletion_auc"] < 0.3 < found["random_deletion_auc"]
