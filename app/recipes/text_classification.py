"""Recipe `text-classification`: one of several classes, or several labels, of a text or a pair of texts."""

from app.recipes.recipe import Recipe
from app.recipes.text_params import TextParams

TEXT_CLASSIFICATION = Recipe(
    name="text-classification",
    description="Tells the class of a text, or of a pair of texts: reviews, questions, messages, in any language.",
    task="classification",
    reads=("text", "category"),
    reads_first=("text",),
    target_types=("category", "boolean", "integer", "number", "text"),
    predicts="A label with a score for each class. With several boolean or 0/1 target columns: any number of labels.",
    architectures=("ngrams", "cnn"),
    abilities=("predict",),
    params_model=TextParams,
    family="text",
)
