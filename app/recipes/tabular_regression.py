"""Recipe `tabular-regression`: a number from the columns of a table."""

from app.recipes.recipe import Recipe
from app.recipes.tabular_classification import TABULAR_READS
from app.recipes.tabular_params import TabularParams

TABULAR_REGRESSION = Recipe(
    name="tabular-regression",
    description="Tells a number of a row from its columns: numbers, categories, booleans, instants, arrays.",
    task="regression",
    reads=TABULAR_READS,
    target_types=("number", "integer"),
    predicts="A value in the unit of the target column.",
    architectures=("mlp", "layers"),
    abilities=("predict", "explain"),
    params_model=TabularParams,
    family="tabular",
)
