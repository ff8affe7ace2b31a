"""The route of uploads over the whole application, for what needs no child."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.settings import Settings
from app.db.migrate import migrate
from app.main import Trainyard, create_app
from app.models import repository
from app.models.bundle import write_bundle
from app.models.repository import PublishedBundle

Call = Callable[..., httpx.Response]


@pytest.fixture
def app(tmp_path: Path) -> Trainyard:
    app = create_app(Settings(home=tmp_path / "home", min_free_bytes=0, log_level="ERROR"))
    migrate(app.services.database)
    return app


def call(app: Trainyard, method: str, path: str, **options: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    return asyncio.run(once())


def upload(app: Trainyard, content: bytes, **fields: str) -> httpx.Response:
    return call(app, "POST", "/v1/models", files={"file": ("m.keras", content)}, data={"name": "m", **fields})


def publish(app: Trainyard, folder: Path, prefix: str) -> int:
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"x")
    manifest = write_bundle(folder, {"parameters": 3})
    with app.services.database.transaction() as session:
        bundle = PublishedBundle(prefix, manifest, 10, "0" * 64, description="A text.")
        return repository.publish_upload(session, "default", "m", bundle, {"format": "keras", "layers": []})


def test_a_machine_that_cannot_lock_in_takes_in_nothing(app: Trainyard, data_dir: Path) -> None:
    good = (data_dir / "hostile" / "00_good.keras").read_bytes()
    app.services.intake.find_lack = lambda: "this kernel offers no Landlock"
    answer = upload(app, good)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "intake_unavailable")
    assert "no Landlock" in answer.json()["error"]["message"]
    assert int(answer.headers["retry-after"]) > 0
    assert call(app, "GET", "/readyz").json()["intake"] == "this kernel offers no Landlock"
    assert call(app, "GET", "/v1/models").json()["data"] == []
    app.services.intake.find_lack = lambda: None
    assert call(app, "GET", "/readyz").json()["intake"] == "ok"


def test_what_can_be_refused_at_sight_needs_no_child(app: Trainyard, data_dir: Path) -> None:
    app.services.intake.find_lack = lambda: None
    answer = upload(app, (data_dir / "hostile" / "01_lambda.keras").read_bytes())
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (422, "model_refused", "file")
    assert {found["code"] for found in error["details"]} == {"unsafe_layer", "unsafe_object"}
    folder = app.services.settings.work_dir / "intake"
    assert list(folder.iterdir()) == [], "the file is gone"


def test_a_full_disk_is_a_507(tmp_path: Path, data_dir: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", min_free_bytes=2**60, log_level="ERROR"))
    migrate(app.services.database)
    app.services.intake.find_lack = lambda: None
    answer = upload(app, (data_dir / "hostile" / "00_good.keras").read_bytes())
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_full")


def test_an_upload_beyond_the_limit_is_a_413(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", min_free_bytes=0, max_upload_bytes=1000, log_level="ERROR"))
    migrate(app.services.database)
    app.services.intake.find_lack = lambda: None
    answer = upload(app, b"PK\x03\x04" + bytes(2000))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_one_upload_is_published_once(app: Trainyard, tmp_path: Path) -> None:
    assert publish(app, tmp_path / "a", "bundles/up_1/1") == 1
    assert publish(app, tmp_path / "b", "bundles/up_1/1") == 1
    assert publish(app, tmp_path / "c", "bundles/up_2/1") == 2
    assert call(app, "GET", "/v1/models/m").json()["versions"] == [2, 1]


def test_only_an_uploaded_version_has_a_report(app: Trainyard, tmp_path: Path) -> None:
    manifest = write_bundle(_folder(tmp_path), {"parameters": 3})
    with app.services.database.transaction() as session:
        repository.publish_version(session, "default", "m", None, PublishedBundle("bundles/x/1", manifest, 1, "0" * 64))
    answer = call(app, "GET", "/v1/models/m/versions/1/intake")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "intake_not_found")
    answer = call(app, "GET", "/v1/models/m/versions/2/intake")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def _folder(path: Path) -> Path:
    folder = path / "bundle"
    folder.mkdir()
    return folder
