"""Recipe `image-classification`: one of several classes, or several labels, of an image."""

from app.recipes.image_params import ImageParams
from app.recipes.recipe import Recipe

IMAGE_CLASSIFICATION = Recipe(
    name="image-classification",
    description="Tells the class of an image: photographs, drawings, scans, or arrays of pixels.",
    task="classification",
    reads=("image", "array"),
    target_types=("category", "boolean", "integer", "number", "text"),
    predicts="A label with a score for each class. With several boolean or 0/1 target columns: any number of labels.",
    architectures=("cnn", "resnet", "layers"),
    abilities=("predict",),
    params_model=ImageParams,
    family="images",
)
