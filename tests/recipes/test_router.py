"""The routes of recipes, over the whole application."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.settings import Settings
from app.main import create_app
from app.recipes.catalog import RECIPES


@pytest.fixture
def get(tmp_path: Path) -> Any:
    app = create_app(Settings(home=tmp_path / "home", log_level="ERROR"))

    def send(path: str) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.get(path)

        return asyncio.run(once())

    return send


def test_every_recipe_is_listed(get: Any) -> None:
    body = get("/v1/recipes").json()
    assert body["object"] == "list"
    assert [recipe["name"] for recipe in body["data"]] == list(RECIPES)


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_tells_its_fields_with_defaults_and_ranges(name: str, get: Any) -> None:
    answer = get(f"/v1/recipes/{name}")
    assert answer.status_code == 200
    recipe = answer.json()
    assert {"description", "reads", "predicts", "architectures", "abilities"} <= recipe.keys()
    definitions = recipe["params"]["$defs"].values()
    network = next(one["properties"] for one in definitions if "dropout" in one["properties"])
    number = next(choice for choice in network["dropout"]["anyOf"] if choice["type"] == "number")
    assert number["minimum"] == 0
    assert number["exclusiveMaximum"] == 1
    assert all("default" in field or "$ref" in field for field in network.values())
    assert recipe["training"]["properties"]["max_seconds"]["description"].endswith("seconds.")
    assert {"input", "exclude", "target", "weight", "group", "time", "id"} == recipe["columns"]["properties"].keys()
    assert "split" in recipe["preprocessing"]["properties"]


def test_an_unknown_recipe_is_not_found_and_the_known_are_named(get: Any) -> None:
    answer = get("/v1/recipes/horoscope")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["code"] == "recipe_not_found"
    assert "tabular-regression" in error["message"]
