"""Explanations over the whole application: tables, arrays, images and uploaded tensors; what is wrong is named."""

import asyncio
import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.core.settings import Settings
from app.db.migrate import migrate
from app.inference.service import InferenceService
from app.main import Trainyard, create_app
from app.storage.blobs import LocalBlobs
from tests.inference.bundles import image_bundle, table_bundle
from tests.inference.serving import ListedModels
from tests.inference.test_tensors import write_all

Ask = Callable[..., httpx.Response]
ROW = {"age": 60, "size": 3, "smoker": True, "city": "Oslo"}


class World:
    """A home with a migrated database, and the list of its models."""

    def __init__(self, home: Path, bundles: Path) -> None:
        self.settings = Settings(home=home, min_free_bytes=0, log_level="ERROR")
        self.app().services.database.close()
        self.models = ListedModels(LocalBlobs(self.settings.home_dir / "blobs"))
        for bundle in bundles.iterdir():
            self.models.publish(bundle.name, 1, bundle)

    def app(self) -> Trainyard:
        app = create_app(self.settings)
        migrate(app.services.database)
        return app

    async def ask(self, model: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        app = self.app()
        inference: InferenceService = app.services.inference
        inference._models = self.models
        await inference.refresh()
        try:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.post(f"/v1/models/{model}/explain", json=body, headers=headers)
        finally:
            app.services.explain.close()
            await inference.stop()


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Ask for an explanation."""
    bundles = tmp_path_factory.mktemp("bundles")
    write_all(bundles)
    for kind in ("class", "labels", "value"):
        table_bundle(bundles / kind, kind)
    image_bundle(bundles / "sides", side=8)
    world = World(tmp_path_factory.mktemp("world") / "home", bundles)
    return lambda model, body, **headers: asyncio.run(world.ask(model, body, headers))


def explained(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["explanations"]
    for one in found:
        assert one["completeness_error"] < 1e-2
    return found


@pytest.mark.parametrize("kind", ["class", "labels", "value"])
def test_a_row_of_a_table(ask: Ask, kind: str) -> None:
    (found,) = explained(ask(kind, {"instances": [ROW]}))
    assert found["method"] == "shapley"
    by_name = {one["name"]: one for one in found["attributions"]}
    assert set(by_name) == {"age", "size", "smoker", "city"}
    assert {name: one["given"] for name, one in by_name.items()} == ROW
    total = sum(one["value"] for one in by_name.values())
    assert total == pytest.approx(found["value"] - found["baseline_value"], rel=1e-4, abs=1e-6)
    assert by_name["city"]["value"] == pytest.approx(0, abs=1e-6), "Oslo is the commonest"


def test_an_asked_label_and_an_asked_baseline(ask: Ask) -> None:
    (no,) = explained(ask("class", {"instances": [ROW], "target": "no"}))
    (yes,) = explained(ask("class", {"instances": [ROW], "target": "yes", "baseline": {**ROW, "age": 20}}))
    assert (no["target"], yes["target"]) == ("no", "yes")
    assert yes["value"] == pytest.approx(1 - no["value"], abs=1e-6)
    only = [one["name"] for one in yes["attributions"] if abs(one["value"]) > 1e-9]
    assert only in ([], ["age"]), "the others are as in the baseline"


def test_an_image_without_a_graph_of_gradients(ask: Ask) -> None:
    image = np.zeros((8, 8), np.uint8)
    image[2:5, 0:2] = 255
    (found,) = explained(ask("sides", {"instances": [image.tolist()]}))
    assert (found["method"], found["target"]) == ("shapley", "left")
    shown = np.array(found["attributions_map"])
    assert shown.shape == (8, 8)
    assert shown[2:5, 0:2].sum() == pytest.approx(shown.sum(), rel=1e-6), "black is as in the baseline"
    assert shown.sum() == pytest.approx(found["value"] - found["baseline_value"], rel=1e-4)
    picture = Image.open(io.BytesIO(base64.b64decode(found["image"])))
    assert picture.size == (128, 128)
    assert found["deletion_auc"] < found["random_deletion_auc"]


def test_ids_of_an_uploaded_model(ask: Ask) -> None:
    (found,) = explained(ask("words", {"instances": [[4, 0, 2]], "target": 1}))
    # The mean of looked-up numbers: each id gives a third of its own.
    assert [(one["name"], round(one["value"], 5)) for one in found["attributions"]] == [
        ("ids[0]", 2.66667), ("ids[1]", 0.0), ("ids[2]", 1.33333),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "body", "status", "said"),
    [
        ("class", {}, 422, "instances is required"),
        ("class", {"instances": [ROW], "goal": 1}, 422, "goal is not a field"),
        ("class", {"instances": [ROW, {"age": "old"}]}, 422, "instances[1].age"),
        ("class", {"instances": [ROW], "target": "maybe"}, 422, "'maybe' is no label"),
        ("class", {"instances": [ROW], "baseline": {"age": "old"}}, 422, "baseline.age"),
        ("class", {"instances": [ROW] * 17}, 413, "16 instances"),
        ("words", {"instances": [[1]], "target": 5}, 422, "from 0 to 1"),
        ("two", {"instances": [{"a": [1, 2, 3], "b": [1, 2, 3]}]}, 422, "one output"),
        ("nothing", {"instances": [ROW]}, 404, "no model"),
    ],
)
def test_what_is_wrong_is_named(ask: Ask, model: str, body: Any, status: int, said: str) -> None:
    answer = ask(model, body)
    assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True), answer.text


def test_a_deadline_is_kept(ask: Ask) -> None:
    answer = ask("sides", {"instances": [np.ones((8, 8)).tolist()] * 16}, **{"X-Request-Timeout": "0.001"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert ask("class", {"instances": [ROW]}, **{"X-Request-Timeout": "soon"}).status_code == 422
    assert ask("class", {"instances": []}).json()["explanations"] == []
