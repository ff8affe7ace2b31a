"""The routes of models, over the whole application."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.errors import ArtifactCorrupt
from app.core.settings import Settings
from app.db.migrate import migrate
from app.main import Trainyard, create_app
from app.models import repository
from app.models.bundle import write_bundle
from app.models.repository import PublishedBundle
from app.models.service import _checked
from app.storage.blobs import put_tree

Call = Callable[..., httpx.Response]


@pytest.fixture
def app(tmp_path: Path) -> Trainyard:
    app = create_app(Settings(home=tmp_path / "home", min_free_bytes=0, log_level="ERROR"))
    migrate(app.services.database)
    return app


@pytest.fixture
def call(app: Trainyard) -> Call:
    def send(method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    return send


def publish(
    app: Trainyard,
    folder: Path,
    name: str = "mo",
    project: str = "default",
    dataset: str | dict[str, str] = "ds_1",
    base: str | None = None,
) -> int:
    """Put a bundle into the store and publish it; return the version."""
    services = app.services
    number = services.models.read_counter()
    bundle = folder / f"bundle-{number}"
    bundle.mkdir()
    (bundle / "model.onnx").write_bytes(b"onnx" * (number + 1))
    (bundle / "preprocessing.json").write_text("{}")
    signature = {"inputs": [{"name": "x", "dtype": "float32", "shape": [None, 2]}], "outputs": []}
    manifest = write_bundle(
        bundle,
        {"recipe": "tabular-classification", "task": "classification", "dataset": dataset, "signature": signature,
         "metrics": {"test": {"accuracy": 0.9}}, "parameters": 12},
    )  # fmt: skip
    prefix = f"bundles/job_{name}{number}/1"
    size = put_tree(services.blobs, prefix, bundle)
    sha256 = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    with services.database.transaction() as session:
        return repository.publish_version(
            session, project, name, f"job_{name}{number}", PublishedBundle(prefix, manifest, size, sha256, base=base)
        )


def test_a_model_reads_as_its_clients_need_it(app: Trainyard, call: Call, tmp_path: Path) -> None:
    publish(app, tmp_path)
    publish(app, tmp_path)
    assert call("PUT", "/v1/models/mo/aliases/production", json={"version": 1}).status_code == 200
    body = call("GET", "/v1/models/mo").json()
    assert (body["id"], body["object"], body["owned_by"], body["ready"]) == ("mo", "model", "default", True)
    assert isinstance(body["created"], int)
    assert (body["version"], body["versions"], body["aliases"]) == (2, [2, 1], {"production": 1})
    assert body["recipe"] == "tabular-classification"
    status = {"error_code": "OK", "error_message": ""}
    assert body["model_version_status"] == [
        {"version": "2", "state": "AVAILABLE", "status": status},
        {"version": "1", "state": "AVAILABLE", "status": status},
    ]
    narrow = call("GET", "/v1/models/mo@production").json()
    assert (narrow["id"], narrow["version"]) == ("mo@production", 1)
    assert [entry["version"] for entry in narrow["model_version_status"]] == ["1"]
    for ref in ("mo@3", "mo@staging", "none", "Not-a-ref", "mo@"):
        answer = call("GET", f"/v1/models/{ref}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_a_version_says_what_it_is(app: Trainyard, call: Call, tmp_path: Path) -> None:
    publish(app, tmp_path)
    call("PUT", "/v1/models/mo/aliases/production", json={"version": 1})
    body = call("GET", "/v1/models/mo/versions/1").json()
    manifest_sha256 = hashlib.sha256((tmp_path / "bundle-0" / "manifest.json").read_bytes()).hexdigest()
    size = sum(path.stat().st_size for path in (tmp_path / "bundle-0").iterdir())
    expected = {
        "name": "mo", "version": 1, "aliases": ["production"], "recipe": "tabular-classification", "job": "job_mo0",
        "dataset": "ds_1", "base": None, "metrics": {"test": {"accuracy": 0.9}}, "parameters": 12, "runtime": "onnx",
        "sha256": manifest_sha256, "bytes": size,
    }  # fmt: skip
    assert {key: body[key] for key in expected} == expected
    assert body["signature"]["inputs"][0]["shape"] == [None, 2]
    for version in ("2", "0", "x", "99999999999999999999"):
        assert call("GET", f"/v1/models/mo/versions/{version}").status_code in (404, 422)


def test_a_version_of_several_data_sets_names_them_by_split(app: Trainyard, call: Call, tmp_path: Path) -> None:
    sets = {"train": "ds_1", "test": "ds_2"}
    publish(app, tmp_path, dataset=sets)
    assert call("GET", "/v1/models/mo/versions/1").json()["dataset"] == sets


def test_lists_are_paged(app: Trainyard, call: Call, tmp_path: Path) -> None:
    for name in ("aa", "bb", "cc"):
        publish(app, tmp_path, name)
    publish(app, tmp_path, "aa")
    page = call("GET", "/v1/models?limit=2").json()
    assert ([model["id"] for model in page["data"]], page["has_more"]) == (["cc", "bb"], True)
    rest = call("GET", "/v1/models", params={"after": page["last_id"]}).json()
    assert ([model["id"] for model in rest["data"]], rest["has_more"]) == (["aa"], False)
    assert [model["id"] for model in call("GET", "/v1/models?order=asc").json()["data"]] == ["aa", "bb", "cc"]
    assert call("GET", "/v1/models?after=none").status_code == 422
    versions = call("GET", "/v1/models/aa/versions?limit=1").json()
    assert ([version["version"] for version in versions["data"]], versions["has_more"]) == ([2], True)
    rest = call("GET", "/v1/models/aa/versions", params={"after": versions["last_id"]}).json()
    assert [version["version"] for version in rest["data"]] == [1]
    assert call("GET", "/v1/models/none/versions").status_code == 404
    assert call("GET", "/v1/models/aa/versions?after=x").status_code == 422


def test_an_alias_moves_and_goes(app: Trainyard, call: Call, tmp_path: Path) -> None:
    publish(app, tmp_path)
    publish(app, tmp_path)
    for version in (1, 2, 2):
        answer = call("PUT", "/v1/models/mo/aliases/production", json={"version": version})
        assert answer.json() == {"object": "model.alias", "name": "mo", "alias": "production", "version": version}
    assert call("PUT", "/v1/models/mo/aliases/production", json={"version": 3}).status_code == 404
    assert call("PUT", "/v1/models/none/aliases/production", json={"version": 1}).status_code == 404
    for alias, body in (("Prod", {"version": 1}), ("3", {"version": 1}), ("ok", {"version": "1"}), ("ok", {"v": 1})):
        assert call("PUT", f"/v1/models/mo/aliases/{alias}", json=body).status_code == 422
    assert call("DELETE", "/v1/models/mo/aliases/production").json()["deleted"] is True
    answer = call("DELETE", "/v1/models/mo/aliases/production")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "alias_not_found")


def test_a_version_goes_with_its_files_and_its_number_stays_used(app: Trainyard, call: Call, tmp_path: Path) -> None:
    publish(app, tmp_path)
    publish(app, tmp_path)
    call("PUT", "/v1/models/mo/aliases/production", json={"version": 2})
    answer = call("DELETE", "/v1/models/mo/versions/2")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_in_use")
    assert "production" in answer.json()["error"]["message"]
    call("DELETE", "/v1/models/mo/aliases/production")
    assert call("DELETE", "/v1/models/mo/versions/2").json() == {
        "id": "mo@2", "object": "model.version", "deleted": True,
    }  # fmt: skip
    assert app.services.blobs.keys("bundles/job_mo1") == []
    assert call("DELETE", "/v1/models/mo/versions/2").status_code == 404
    assert call("GET", "/v1/models/mo").json()["version"] == 1
    assert publish(app, tmp_path) == 3


def test_a_model_goes_whole_and_its_numbers_stay_used(app: Trainyard, call: Call, tmp_path: Path) -> None:
    publish(app, tmp_path)
    publish(app, tmp_path)
    call("PUT", "/v1/models/mo/aliases/production", json={"version": 2})
    assert call("DELETE", "/v1/models/mo").json() == {"id": "mo", "object": "model", "deleted": True}
    assert app.services.blobs.keys("bundles") == []
    assert call("GET", "/v1/models/mo").status_code == 404
    assert call("DELETE", "/v1/models/mo").status_code == 404
    assert call("GET", "/v1/models").json()["data"] == []
    assert publish(app, tmp_path) == 3
    assert call("GET", "/v1/models/mo").json()["aliases"] == {}


def test_files_are_listed_and_downloaded(app: Trainyard, call: Call, tmp_path: Path) -> None:
    publish(app, tmp_path)
    listed = call("GET", "/v1/models/mo/versions/1/files").json()["data"]
    assert [file["name"] for file in listed] == ["manifest.json", "model.onnx", "preprocessing.json"]
    for file in listed:
        answer = call("GET", f"/v1/models/mo/versions/1/files/{file['name']}")
        assert answer.status_code == 200
        assert len(answer.content) == file["bytes"] == int(answer.headers["content-length"])
        assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
        assert answer.headers["etag"] == f'"{file["sha256"]}"'
        assert answer.headers["content-disposition"] == f'attachment; filename="{file["name"]}"'
        assert answer.headers["content-type"] == "application/octet-stream"
        headers = {"If-None-Match": answer.headers["etag"]}
        again = call("GET", f"/v1/models/mo/versions/1/files/{file['name']}", headers=headers)
        assert (again.status_code, again.content) == (304, b"")
    assert json.loads(call("GET", "/v1/models/mo/versions/1/files/manifest.json").content)["format"] == 1
    for name in ("nothing", "..%2f..%2ftrainyard.db", "%2e%2e", "model.onnx%00"):
        answer = call("GET", f"/v1/models/mo/versions/1/files/{name}")
        assert answer.status_code == 404, name


def test_a_damaged_file_is_not_served(app: Trainyard, call: Call, tmp_path: Path) -> None:
    publish(app, tmp_path)
    path = "/v1/models/mo/versions/1/files/model.onnx"
    whole = call("GET", path).content
    [key] = [key for key in app.services.blobs.keys("bundles") if key.endswith("model.onnx")]
    for damaged in (whole[:-1] + b"!", whole[:-1], b""):
        app.services.blobs.put_bytes(key, damaged)
        answer = call("GET", path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "artifact_corrupt")
    app.services.blobs.put_bytes(key, whole)
    assert call("GET", path).content == whole


def test_the_end_of_a_large_damaged_file_is_withheld() -> None:
    pieces = [b"a" * 10, b"b" * 10, b"c"]
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()
    assert list(_checked(iter(pieces), digest)) == pieces
    sent = []
    with pytest.raises(ArtifactCorrupt):
        sent.extend(_checked(iter([*pieces[:2], b"d"]), digest))
    assert b"d" not in sent


def test_another_project_sees_nothing(app: Trainyard, call: Call, tmp_path: Path) -> None:
    publish(app, tmp_path, project="other")
    assert call("GET", "/v1/models").json()["data"] == []
    for method, path in (
        ("GET", "/v1/models/mo"),
        ("DELETE", "/v1/models/mo"),
        ("GET", "/v1/models/mo/versions"),
        ("GET", "/v1/models/mo/versions/1"),
        ("DELETE", "/v1/models/mo/versions/1"),
        ("GET", "/v1/models/mo/versions/1/files"),
        ("GET", "/v1/models/mo/versions/1/files/model.onnx"),
    ):
        assert call(method, path).status_code == 404
    assert call("PUT", "/v1/models/mo/aliases/production", json={"version": 1}).status_code == 404
    assert publish(app, tmp_path) == 1


def test_the_catalogue_counts_every_change(app: Trainyard, call: Call, tmp_path: Path) -> None:
    models = app.services.models
    counters = [models.read_counter()]
    publish(app, tmp_path)
    publish(app, tmp_path)
    counters.append(models.read_counter())
    for method, path, body in (
        ("PUT", "/v1/models/mo/aliases/production", {"version": 2}),
        ("DELETE", "/v1/models/mo/aliases/production", None),
        ("DELETE", "/v1/models/mo/versions/1", None),
    ):
        assert call(method, path, json=body).status_code == 200
        counters.append(models.read_counter())
    counter, versions, aliases = models.read_catalogue()
    assert counter == counters[-1]
    assert [(entry.project, entry.name, entry.version) for entry in versions] == [("default", "mo", 2)]
    assert aliases == []
    assert call("DELETE", "/v1/models/mo").status_code == 200
    counters.append(models.read_counter())
    assert counters == sorted(set(counters)), "each change raises it"
    assert models.read_catalogue()[1] == []
