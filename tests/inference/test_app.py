"""Predictions through the whole application: published, named, predicted, described."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.settings import Settings
from app.db.migrate import migrate
from app.inference.openapi import openapi_paths
from app.inference.paths import parse_path
from app.main import Trainyard, create_app
from app.models.bundle import read_manifest
from app.models.repository import PublishedBundle, publish_version
from app.storage.blobs import put_tree

ROW = [0.1, -0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[tuple[Trainyard, httpx.AsyncClient]]:
    app = create_app(Settings(home=home, min_free_bytes=0, log_level="ERROR"))
    migrate(app.services.database)
    await app.services.inference.start()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield app, client
    finally:
        await app.services.inference.stop()
        app.services.database.close()


def publish(app: Trainyard, name: str, folder: Path, job: str) -> int:
    services = app.services
    prefix = f"bundles/{job}/1"
    size = put_tree(services.blobs, prefix, folder)
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    bundle = PublishedBundle(prefix, read_manifest(folder / "manifest.json"), size, digest)
    with services.database.transaction() as session:
        return publish_version(session, "default", name, job, bundle)


async def predict(client: httpx.AsyncClient, ref: str) -> Any:
    answer = await client.post(f"/v1/models/{ref}/predict", json={"instances": [ROW]})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"][0]


def test_published_named_and_predicted(tmp_path: Path, bundles: Path) -> None:
    async def body() -> None:
        async with running(tmp_path / "home") as (app, client):
            # What a worker publishes is found at once, though it was not there when the service started.
            assert publish(app, "dense", bundles / "dense1", "job_1") == 1
            first = await predict(client, "dense")
            assert publish(app, "dense", bundles / "dense2", "job_2") == 2
            await client.put("/v1/models/dense/aliases/production", json={"version": 1})
            # A change made over HTTP here is in force when it is answered.
            assert await predict(client, "dense@production") == first
            second = await predict(client, "dense")
            assert second != first
            await client.put("/v1/models/dense/aliases/production", json={"version": 2})
            assert await predict(client, "dense@production") == second
            assert (await client.delete("/v1/models/dense/versions/1")).status_code == 200
            gone = await client.post("/v1/models/dense@1/predict", json={"instances": [ROW]})
            assert gone.status_code == 404
            assert await predict(client, "dense") == second
            assert (await client.delete("/v1/models/dense")).status_code == 200
            gone = await client.post("/v1/models/dense:predict", json={"instances": [ROW]})
            assert (gone.status_code, set(gone.json())) == (404, {"error"})

    asyncio.run(body())


def test_tensorflow_servings_gets(tmp_path: Path, bundles: Path) -> None:
    async def body() -> None:
        async with running(tmp_path / "home") as (app, client):
            publish(app, "price", bundles / "price", "job_1")
            await client.put("/v1/models/price/aliases/live", json={"version": 1})
            paths = ["price/metadata", "price/versions/1/metadata", "price/labels/live/metadata"]
            answers = [await client.get(f"/v1/models/{path}") for path in paths]
            assert [answer.status_code for answer in answers] == [200, 200, 200]
            assert answers[0].json() == answers[1].json() == answers[2].json()
            assert answers[0].json()["model_spec"]["version"] == "1"
            for path in ("price", "price/versions/1", "price/labels/live"):
                status = (await client.get(f"/v1/models/{path}")).json()["model_version_status"]
                assert [(entry["version"], entry["state"]) for entry in status] == [("1", "AVAILABLE")]
            for path in (
                "none/metadata",
                "price/versions/2/metadata",
                "price/labels/none/metadata",
                "price/labels/none",
            ):
                assert (await client.get(f"/v1/models/{path}")).status_code == 404

    asyncio.run(body())


def test_a_request_id_and_a_figure(tmp_path: Path, bundles: Path) -> None:
    async def body() -> None:
        async with running(tmp_path / "home") as (app, client):
            publish(app, "counted", bundles / "table", "job_1")
            answer = await client.post("/v1/models/counted/predict", json={"instances": [{}]})
            assert answer.headers["x-request-id"].startswith("req_")
            assert "inference;dur=" in answer.headers["server-timing"]
            text = (await client.get("/metrics")).text
            assert re.search(r'trainyard_predict_requests_total\{model="counted",status="200"\} [1-9]', text)
            assert re.search(r'trainyard_predict_seconds_bucket\{le="\+Inf",model="counted"\} [1-9]', text)
            assert "trainyard_predict_queue_rows" in text
            assert "trainyard_models_loaded " in text

    asyncio.run(body())


def test_the_document_has_the_routes(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", log_level="ERROR"))
    document = app.openapi()
    for path, item in openapi_paths().items():
        described = document["paths"][path]["post"]
        assert described["requestBody"] == item["post"]["requestBody"]
        assert described["parameters"] == item["post"]["parameters"]
        assert set(described["responses"]) >= {"200", "400", "401", "404", "413", "415", "422", "503", "504"}
        # Every described path is one that the small application takes.
        concrete = path.replace("{ref}", "a@2").replace("{name}", "a").replace("{version}", "2").replace("{alias}", "b")
        route = parse_path(concrete)
        assert route is not None
        assert route.name == "a"
    identifiers = [
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        if "operationId" in operation
    ]
    assert len(identifiers) == len(set(identifiers))
    app.services.database.close()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models",
        "/v1/models/a",
        "/v1/models/a/predict/b",
        "/v1/models/a/b:predict",
        "/v1/jobs",
        "/v1/models/a:classify",
    ],
)
def test_other_paths_are_fastapis(path: str) -> None:
    assert parse_path(path) is None
