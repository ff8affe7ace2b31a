"""Recipe `tabular-classification`: one of several classes, or several labels, from the columns of a table."""

from app.recipes.recipe import Recipe
from app.recipes.tabular_params import TabularParams

TABULAR_READS = ("number", "integer", "boolean", "category", "text", "datetime", "array")

TABULAR_CLASSIFICATION = Recipe(
    name="tabular-classification",
    description="Tells the class of a row from its columns: numbers, categories, booleans, instants, arrays.",
    task="classification",
    reads=TABULAR_READS,
    target_types=("category", "boolean", "integer", "number", "text"),
    predicts="A label with a score for each class. With several boolean or 0/1 target columns: any number of labels.",
    architectures=("mlp", "layers"),
    abilities=("predict", "explain"),
    params_model=TabularParams,
    family="tabular",
)
