"""ONNX Runtime behind one door: what it reads, refuses and gives."""

import concurrent.futures
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from app.inference.runtime import ModelUnusable, OnnxModel, TensorInfo
from tests.inference.bundles import dense_layers, save_network


@pytest.fixture
def network(tmp_path: Path) -> OnnxModel:
    save_network(
        tmp_path / "model.onnx",
        {"numbers": ("float32", (3,)), "categories": ("int32", (2,))},
        dense_layers(3, [5, 8, 4]),
        "Softmax",
    )
    return OnnxModel(tmp_path / "model.onnx")


def test_a_graph_describes_itself(network: OnnxModel) -> None:
    assert network.inputs == (
        TensorInfo("numbers", "float32", (-1, 3)),
        TensorInfo("categories", "int32", (-1, 2)),
    )
    assert network.outputs == (TensorInfo("output", "float32", (-1, 4)),)
    assert network.outputs[0].to_json() == {"name": "output", "dtype": "float32", "shape": [-1, 4]}
    assert network.memory_bytes > 0


def test_any_number_of_rows(network: OnnxModel) -> None:
    for rows in (1, 2, 100):
        (output,) = network.run(network.zeros(rows))
        assert output.shape == (rows, 4)
        np.testing.assert_allclose(output.sum(axis=1), 1.0, atol=1e-6)
    assert 0.0 < network.measure_seconds(1) < 1.0


def test_threads_share_a_session(network: OnnxModel) -> None:
    random = np.random.default_rng(5)
    inputs = [
        {
            "numbers": random.normal(size=(7, 3)).astype(np.float32),
            "categories": random.integers(0, 5, (7, 2), dtype=np.int32),
        }
        for _ in range(64)
    ]
    expected = [network.run(one)[0] for one in inputs]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(pool.map(lambda one: network.run(one)[0], inputs), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_inputs_that_do_not_fit_are_an_error(network: OnnxModel) -> None:
    inputs = network.zeros(2)
    for wrong in (
        {"numbers": inputs["numbers"]},
        {**inputs, "numbers": inputs["numbers"].astype(np.float64)},
        {**inputs, "numbers": inputs["numbers"][:, :2]},
    ):
        with pytest.raises(ModelUnusable, match="the model failed"):
            network.run(wrong)


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"not a graph", b"\x00" * 1000):
        (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(ModelUnusable):
            OnnxModel(tmp_path / "model.onnx")
    with pytest.raises(ModelUnusable):
        OnnxModel(tmp_path / "none.onnx")


def test_a_graph_reads_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(np.ones(4, np.float32).tobytes())
    weight = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "secret"), ("offset", "0"), ("length", "16")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "reader",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelUnusable):
        OnnxModel(tmp_path / "model.onnx")


def test_types_that_are_not_served_are_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "complex",
        [helper.make_tensor_value_info("x", TensorProto.UINT64, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.UINT64, [None, 4])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "model.onnx")
    with pytest.raises(ModelUnusable, match="uint64"):
        OnnxModel(tmp_path / "model.onnx")
