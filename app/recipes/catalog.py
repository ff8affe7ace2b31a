"""What can be trained: an explicit dict of recipes."""

from app.core.errors import NotFound
from app.recipes.image_classification import IMAGE_CLASSIFICATION
from app.recipes.recipe import Recipe
from app.recipes.tabular_classification import TABULAR_CLASSIFICATION
from app.recipes.tabular_regression import TABULAR_REGRESSION
from app.recipes.text_classification import TEXT_CLASSIFICATION

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (TABULAR_CLASSIFICATION, TABULAR_REGRESSION, IMAGE_CLASSIFICATION, TEXT_CLASSIFICATION)
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe called `name`. Raises NotFound, with the names that there are."""
    recipe = RECIPES.get(name)
    if recipe is None:
        raise NotFound(
            f"There is no recipe '{name}'. Recipes: {', '.join(RECIPES)}.", code="recipe_not_found", param="recipe"
        )
    return recipe
