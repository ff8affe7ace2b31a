"""TensorFlow Serving's REST API: row and column form, versions and labels, errors, metadata.

https://www.tensorflow.org/tfx/serving/api_rest
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app.compat.tfserving import metadata_body, status_body
from tests.inference.serving import Serving, request, serve

ROW = [0.1, -0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


@pytest.fixture
def run(tmp_path: Path, bundles: Path) -> Callable[..., None]:
    """Run a test's coroutine against a service with a dense classifier and a table's regression."""

    def runner(test: Callable[[Serving], Awaitable[None]], **settings: Any) -> None:
        async def body() -> None:
            async with serve(tmp_path / "home", **settings) as serving:
                serving.models.publish("dense", 1, bundles / "dense1")
                serving.models.publish("dense", 2, bundles / "dense2")
                serving.models.publish("price", 1, bundles / "price")
                serving.models.put_alias("dense", "production", 1)
                await serving.service.refresh()
                await test(serving)

        asyncio.run(body())

    return runner


def test_rows(run: Any) -> None:
    async def test(serving: Serving) -> None:
        native = await serving.predict("dense", [ROW, {"x": ROW}])
        for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
            answer = await serving.post(
                "/v1/models/dense:predict", {"instances": [ROW, {"x": ROW}]}, content_type=content_type
            )
            assert answer.status == 200
            assert set(answer.json) == {"predictions"}
            for raw, own in zip(answer.json["predictions"], native, strict=True):
                assert raw == pytest.approx(list(own["scores"].values()), abs=1e-6)

    run(test)


def test_columns(run: Any) -> None:
    async def test(serving: Serving) -> None:
        (raw,) = (await serving.post("/v1/models/dense:predict", {"instances": [ROW]})).json["predictions"]
        for inputs in ([ROW, ROW], {"x": [ROW, ROW]}):
            answer = await serving.post(
                "/v1/models/dense:predict", {"signature_name": "serving_default", "inputs": inputs}
            )
            assert answer.status == 200
            assert set(answer.json) == {"outputs"}
            assert answer.json["outputs"] == [pytest.approx(raw, abs=1e-6)] * 2
        columns = {"age": [31, None], "city": ["Oslo", "Atlantis"]}
        by_column = await serving.post("/v1/models/price:predict", {"inputs": columns})
        rows = [{"age": 31, "city": "Oslo"}, {"age": None, "city": "Atlantis"}]
        by_row = await serving.post("/v1/models/price:predict", {"instances": rows})
        assert by_column.json["outputs"] == by_row.json["predictions"]
        values = [answer["value"] for answer in await serving.predict("price", rows)]
        assert by_row.json["predictions"] == [[pytest.approx(value, rel=1e-6)] for value in values]

    run(test)


def test_nothing_in_nothing_out(run: Any) -> None:
    async def test(serving: Serving) -> None:
        assert (await serving.post("/v1/models/dense:predict", {"instances": []})).json == {"predictions": []}
        assert (await serving.post("/v1/models/dense:predict", {"inputs": []})).json == {"outputs": []}

    run(test)


def test_versions_and_labels(run: Any) -> None:
    async def test(serving: Serving) -> None:
        async def raw(path: str) -> Any:
            answer = await serving.post(path, {"instances": [ROW]})
            assert answer.status == 200, answer.content
            return answer.json["predictions"]

        newest = await raw("/v1/models/dense:predict")
        first = await raw("/v1/models/dense/versions/1:predict")
        assert newest != first
        assert newest == await raw("/v1/models/dense/versions/2:predict")
        assert first == await raw("/v1/models/dense/labels/production:predict")
        serving.models.put_alias("dense", "production", 2)
        await serving.service.refresh()
        assert newest == await raw("/v1/models/dense/labels/production:predict")

    run(test)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/models/none:predict", {"instances": [ROW]}, 404),
        ("/v1/models/dense/versions/9:predict", {"instances": [ROW]}, 404),
        ("/v1/models/dense/versions/one:predict", {"instances": [ROW]}, 404),
        ("/v1/models/dense/versions/0:predict", {"instances": [ROW]}, 404),
        ("/v1/models/dense/labels/none:predict", {"instances": [ROW]}, 404),
        ("/v1/models/dense:predict", b'{"instances": [NaN]}', 400),
        ("/v1/models/dense:predict", b'{"instances": [], "instances": []}', 400),
        ("/v1/models/dense:predict", {"instances": [ROW], "inputs": [ROW]}, 422),
        ("/v1/models/dense:predict", {}, 422),
        ("/v1/models/dense:predict", [], 422),
        ("/v1/models/dense:predict", {"instances": [ROW[:9]]}, 422),
        ("/v1/models/dense:predict", {"instances": [ROW], "signature_name": "other"}, 422),
        ("/v1/models/dense:predict", {"instances": [ROW], "signature_name": 3}, 422),
        ("/v1/models/dense:predict", {"instances": [ROW], "output_filter": ["x"]}, 422),
        ("/v1/models/price:predict", {"inputs": {"age": [1, 2], "city": ["Oslo"]}}, 422),
        ("/v1/models/price:predict", {"inputs": {"age": 1}}, 422),
        ("/v1/models/price:predict", {"inputs": {}}, 422),
        ("/v1/models/price:predict", {"inputs": "abc"}, 422),
        ("/v1/models/price:predict", {"inputs": {"age": ["old"]}}, 422),
    ],
)
def test_an_error_is_a_text(run: Any, path: str, body: Any, status: int) -> None:
    async def test(serving: Serving) -> None:
        answer = await serving.post(path, body)
        assert answer.status == status
        assert set(answer.json) == {"error"}
        assert type(answer.json["error"]) is str

    run(test)


def test_a_get_is_refused(run: Any) -> None:
    async def test(serving: Serving) -> None:
        answer = await request(serving.app, "GET", "/v1/models/dense:predict", [b""], None, {})
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert type(answer.json["error"]) is str

    run(test)


def test_metadata(run: Any) -> None:
    async def test(serving: Serving) -> None:
        model = await serving.service.get("default", "price", None, 5.0)
        body = metadata_body("price", 1, model.batcher.predictor.manifest)
        assert body["model_spec"] == {"name": "price", "signature_name": "", "version": "1"}
        signature = body["metadata"]["signature_def"]["signature_def"]["serving_default"]
        # What a client sends: the columns of a row, without those that the model does not read.
        assert {name: spec["dtype"] for name, spec in signature["inputs"].items()} == {
            "age": "DT_DOUBLE",
            "size": "DT_INT64",
            "smoker": "DT_BOOL",
            "city": "DT_STRING",
        }
        (output,) = signature["outputs"].values()
        assert [dimension["size"] for dimension in output["tensor_shape"]["dim"]] == ["-1", "1"]
        assert signature["method_name"] == "tensorflow/serving/predict"
        model = await serving.service.get("default", "dense", None, 5.0)
        dense = metadata_body("dense", 2, model.batcher.predictor.manifest)
        spec = dense["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]
        assert [dimension["size"] for dimension in spec["tensor_shape"]["dim"]] == ["-1", "10"]

    run(test)


def test_status() -> None:
    (status,) = status_body(3)["model_version_status"]
    assert status == {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}


def test_metadata_of_an_uploaded_model_is_its_own_signature() -> None:
    spec = {"name": "tokens", "dtype": "int32", "shape": [-1, -1]}
    manifest = {
        "recipe": None,
        "embedding": None,
        "instance": {"columns": [{"name": "tokens", "type": "array"}], "bare": True},
        "signature": {"inputs": [spec], "outputs": [{"name": "y", "dtype": "float32", "shape": [-1, 4]}]},
    }
    signature = metadata_body("m", 1, manifest)["metadata"]["signature_def"]["signature_def"]["serving_default"]
    tokens = signature["inputs"]["tokens"]
    assert (tokens["dtype"], [one["size"] for one in tokens["tensor_shape"]["dim"]]) == ("DT_INT32", ["-1", "-1"])
    assert [one["size"] for one in signature["outputs"]["y"]["tensor_shape"]["dim"]] == ["-1", "4"]
