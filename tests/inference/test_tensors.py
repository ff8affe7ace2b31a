"""Uploaded models as they are: several inputs and outputs, free axes, image files, labels; bad ones are named."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from app.models.bundle import write_bundle
from tests.images import png
from tests.inference.serving import Serving, serve

Run = Callable[..., None]
Spec = tuple[str, str, list[int]]
_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "bool": TensorProto.BOOL}


def tensor_bundle(
    folder: Path, nodes: list[Any], inputs: list[Spec], outputs: list[Spec], weights: list[Any], **facts: Any
) -> None:
    """Write the bundle of an uploaded model whose graph is `nodes`."""
    folder.mkdir()
    values = [
        [helper.make_tensor_value_info(n, _TYPES[t], [None if k == -1 else k for k in shape]) for n, t, shape in side]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "uploaded", *values, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, folder / "model.onnx")
    signature = {
        side: [{"name": n, "dtype": t, "shape": shape} for n, t, shape in specs]
        for side, specs in (("inputs", inputs), ("outputs", outputs))
    }
    fitted = {"kind": "tensors", "format": 1, **signature, **facts}
    (folder / "preprocessing.json").write_bytes(orjson.dumps(fitted))
    columns = [{"name": name, "type": "array"} for name, _, _ in inputs]
    instance = {"columns": columns, "bare": len(inputs) == 1}
    write_bundle(folder, {"signature": signature, "instance": instance, "labels": facts.get("labels")})


def write_all(folder: Path) -> None:
    """`two`: z = 2a + b and a − b; `words`: a mean of looked-up rows; `grey`, `colour`: images; `soft`: classes."""
    a, b = ("a", "float32", [-1, 3]), ("b", "float32", [-1, 3])
    doubled = [
        helper.make_node("Add", ["a", "a"], ["aa"]),
        helper.make_node("Add", ["aa", "b"], ["z"]),
        helper.make_node("Sub", ["a", "b"], ["d"]),
    ]
    tensor_bundle(folder / "two", doubled, [a, b], [("z", "float32", [-1, 3]), ("d", "float32", [-1, 3])], [])
    table = numpy_helper.from_array(np.arange(10, dtype=np.float32).reshape(5, 2), "table")
    ids = ("ids", "int32", [-1, -1])
    looked_up = helper.make_node("Gather", ["table", "ids"], ["rows"])
    mean = [looked_up, helper.make_node("ReduceMean", ["rows"], ["y"], axes=[1], keepdims=0)]
    tensor_bundle(folder / "words", mean, [ids], [("y", "float32", [-1, 2])], [table])
    tensor_bundle(folder / "each", [looked_up], [ids], [("rows", "float32", [-1, -1, 2])], [table])
    flat = [helper.make_node("Flatten", ["x"], ["y"])]
    for name, channels in (("grey", 1), ("colour", 3)):
        x = ("x", "float32", [-1, 2, 4, channels])
        facts = {"input_scale": {"multiply": 1 / 255, "add": -0.5}, "channel_order": "bgr"}
        tensor_bundle(folder / name, flat, [x], [("y", "float32", [-1, 8 * channels])], [], **facts)
    soft = [helper.make_node("Softmax", ["x"], ["p"], axis=1)]
    classes = [("x", "float32", [-1, 3])], [("p", "float32", [-1, 3])]
    tensor_bundle(folder / "soft", soft, *classes, [], labels=["low", 5, True])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a test's coroutine against a service of the models of `write_all`."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    write_all(folder)

    def runner(test: Callable[[Serving], Awaitable[None]], **settings: Any) -> None:
        async def body() -> None:
            async with serve(tmp_path / "home", **settings) as serving:
                for bundle in folder.iterdir():
                    serving.models.publish(bundle.name, 1, bundle)
                await serving.service.refresh()
                await test(serving)

        asyncio.run(body())

    return runner


def test_several_inputs_and_outputs_are_objects_by_name(run: Run) -> None:
    async def test(serving: Serving) -> None:
        rows = [{"a": [1, 2, 3], "b": [0.5, 0, 0]}, {"b": [1, 1, 1], "a": [0, 0, 0]}]
        wanted = [{"z": [2.5, 4, 6], "d": [0.5, 2, 3]}, {"z": [1, 1, 1], "d": [-1, -1, -1]}]
        assert await serving.predict("two", rows) == wanted
        answer = await serving.post("/v1/models/two:predict", {"instances": rows})
        assert answer.json == {"predictions": wanted}
        columns = {name: [row[name] for row in rows] for name in ("a", "b")}
        answer = await serving.post("/v1/models/two:predict", {"inputs": columns})
        assert answer.json == {"outputs": {name: [row[name] for row in wanted] for name in ("z", "d")}}

    run(test)


def test_rows_of_different_lengths_come_back_in_order(run: Run) -> None:
    async def test(serving: Serving) -> None:
        rows = [[0, 1], [4], [2, 2, 2], [1, 0], [3]]
        means = [np.arange(10.0).reshape(5, 2)[row].mean(axis=0).tolist() for row in rows]
        assert await serving.predict("words", rows) == means
        assert await serving.predict("each", rows) == [[[2.0 * one, 2.0 * one + 1] for one in row] for row in rows], (
            "outputs of different lengths too"
        )
        # More rows than a batch has: in pieces.
        assert await serving.predict("each", rows * 3) == (await serving.predict("each", rows)) * 3

    run(test, predict_batch_rows=4)


def test_labels_make_it_a_classifier(run: Run) -> None:
    async def test(serving: Serving) -> None:
        (found,) = await serving.predict("soft", [[0, 9, 0]])
        assert (found["label"], list(found["scores"])) == (5, ["low", "5", "true"])
        assert sum(found["scores"].values()) == pytest.approx(1)
        answer = await serving.post("/v1/models/soft:predict", {"instances": [[0, 9, 0]]})
        assert answer.json["predictions"][0] == pytest.approx(list(found["scores"].values()))

    run(test)


def test_image_files_are_pixels_in_the_models_order_and_scale(run: Run) -> None:
    async def test(serving: Serving) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 3), np.uint8)
        sent = {"b64": base64.b64encode(png(pixels)).decode()}
        for instance in (sent, {"x": sent}):
            (found,) = await serving.predict("colour", [instance])
            assert found == pytest.approx((pixels[:, :, ::-1].reshape(-1) / 255 - 0.5).tolist(), abs=1e-6)
        listed = pixels[:, :, :1].tolist()
        grey = {"b64": base64.b64encode(png(pixels[:, :, 0])).decode()}
        first, second = await serving.predict("grey", [listed, grey])
        assert first == pytest.approx(second, abs=1e-6)
        wrong = {"b64": base64.b64encode(png(np.zeros((5, 7), np.uint8))).decode()}
        answer = await serving.post("/v1/models/grey/predict", {"instances": [listed, wrong]})
        assert answer.status == 422
        message = answer.json["error"]["message"]
        assert message == "instances[1]: the image has 7 × 5 pixels, the model takes 4 × 2: resize it"

    run(test)


@pytest.mark.parametrize(
    ("model", "instance", "said"),
    [
        ("two", {"a": [1, 2], "b": [1, 2, 3]}, "instances[0].a: expected numbers in the shape [3], got [2]"),
        ("two", {"a": [1, 2, 3]}, "instances[0].b: expected numbers in the shape [3]"),
        ("two", {"a": [1, 2, 3], "b": [1, 2, None]}, "instances[0].b"),
        ("two", {"a": [1, 2, 3], "b": [1, 2, "x"]}, "instances[0].b"),
        ("two", {"a": [1, 2, 3], "b": [1, 2, True]}, "instances[0].b"),
        ("two", {"a": [1, 2, 3], "b": [1, 2, 1e39]}, "that fit single precision"),
        ("two", {"a": [1, 2, 3], "b": [1, 2, 3], "c": 1}, "instances[0].c"),
        ("two", [1, 2, 3], "expected an object with the columns a, b"),
        ("words", [1.5], "got a fraction"),
        ("words", [2**40], "from -2147483648 to 2147483647"),
        ("words", [], "got an empty list"),
        ("words", [[1], [2]], "expected whole numbers in the shape [any], got [2, 1]"),
        ("words", [1, 5], "outside the table"),
        ("words", {"b64": "aGk="}, "image files are for"),
        ("grey", {"b64": "aGk="}, "the image is no PNG or JPEG image"),
    ],
)
def test_what_does_not_fit_is_named(run: Run, model: str, instance: Any, said: str) -> None:
    async def test(serving: Serving) -> None:
        answer = await serving.post(f"/v1/models/{model}/predict", {"instances": [instance]})
        assert answer.status == 422, answer.content
        assert said in answer.json["error"]["message"]
        assert answer.json["error"]["message"].startswith("instances")

    run(test)
