"""Recipes as the API shows them: what they read and predict, and the JSON Schema of what a job may say."""

from typing import Any

from app.recipes.catalog import RECIPES, find_recipe
from app.recipes.recipe import Recipe
from app.recipes.request import Columns, Preprocessing, Training


def list_recipes() -> list[dict[str, Any]]:
    """Return every recipe without its schemas."""
    return [_short(recipe) for recipe in RECIPES.values()]


def show_recipe(name: str) -> dict[str, Any]:
    """Return one recipe with the JSON Schema of `params`, `columns`, `preprocessing` and `training`.

    Raises NotFound for a name that there is not.
    """
    recipe = find_recipe(name)
    return {
        **_short(recipe),
        "params": recipe.params_model.model_json_schema(),
        "columns": Columns.model_json_schema(),
        "preprocessing": Preprocessing.model_json_schema(),
        "training": Training.model_json_schema(),
    }


def _short(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "object": "recipe",
        "description": recipe.description,
        "task": recipe.task,
        "reads": list(recipe.reads),
        "target": list(recipe.target_types),
        "predicts": recipe.predicts,
        "architectures": list(recipe.architectures),
        "abilities": list(recipe.abilities),
    }
