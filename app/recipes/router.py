"""`GET /v1/recipes` and `GET /v1/recipes/{name}`."""

from typing import Any

from app.core.http import list_body, make_router
from app.recipes.service import list_recipes, show_recipe

router = make_router("/v1/recipes", "recipes")


@router.get("", summary="What can be trained")
def get_recipes() -> dict[str, Any]:
    """Every recipe: the columns it reads, what it predicts, its architectures."""
    return list_body(list_recipes(), has_more=False, key="name")


@router.get("/{name}", summary="One recipe, with the JSON Schema of its parameters")
def get_recipe(name: str) -> dict[str, Any]:
    """A recipe with the schemas of `params`, `columns`, `preprocessing` and `training`: defaults, ranges, units."""
    return show_recipe(name)
