"""Every family of recipes, by the name that a recipe gives: an explicit dict."""

from app.recipes.family import Family
from app.recipes.image_family import ImageFamily
from app.recipes.tabular_family import TabularFamily
from app.recipes.text_family import TextFamily

FAMILIES: dict[str, Family] = {"tabular": TabularFamily(), "images": ImageFamily(), "text": TextFamily()}
