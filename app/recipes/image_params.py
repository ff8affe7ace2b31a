"""`params` of the image recipes, and the defaults that the images decide."""

from typing import Annotated, Any, Literal

from pydantic import Field

from app.recipes.fine_tuning_params import FineTuningParams, InputScale
from app.recipes.layers_params import Layers
from app.recipes.request import Request

Activation = Literal["relu", "gelu", "silu", "tanh", "elu", "leaky_relu"]
Side = Annotated[int, Field(ge=8, le=1024)]
Filters = Annotated[int, Field(ge=1, le=2048)]
Share = Annotated[float, Field(ge=0.0, le=0.5)]


class Cnn(Request):
    """Stages of 3 × 3 convolutions, each at half the size of the one before; then the mean over all places."""

    type: Literal["cnn"] = "cnn"
    filters: list[Filters] | None = Field(
        None, min_length=1, max_length=6, description="Filters of each stage. Default: by the size of the images."
    )
    convolutions: int = Field(2, ge=1, le=4, description="Convolutions of a stage.")
    kernel_size: Literal[3, 5, 7] = 3
    activation: Activation = "relu"
    normalization: Literal["batch", "none"] = "batch"
    dropout: float | None = Field(None, ge=0, lt=1, description="Share of values left out before the last layer.")


class ResNet(Request):
    """Residual blocks of two 3 × 3 convolutions (He et al. 2016, "Identity Mappings in Deep Residual Networks")."""

    type: Literal["resnet"]
    filters: list[Filters] | None = Field(
        None, min_length=1, max_length=6, description="Filters of each stage. Default: by the size of the images."
    )
    blocks: int = Field(1, ge=1, le=16, description="Residual blocks of a stage.")
    activation: Activation = "relu"
    dropout: float | None = Field(None, ge=0, lt=1, description="Share of values left out before the last layer.")


class Augmentation(Request):
    """How training images are varied, anew in every epoch; never at prediction. null: as suits the data."""

    flip_horizontal: bool | Literal["auto"] = Field(
        "auto",
        description="Half of the images are mirrored. auto: where mirrored training images look like their class.",
    )
    flip_vertical: bool = False
    shift: Share | None = Field(None, description="Moved by up to this share of the side, both ways.")
    rotation: float | None = Field(None, ge=0, le=180, description="Turned by up to so many degrees, both ways.")
    zoom: Share | None = Field(None, description="Larger or smaller by up to this share.")
    brightness: Share | None = Field(None, description="Lighter or darker by up to this share of the range.")
    contrast: Share | None = Field(None, description="Contrast stronger or weaker by up to this share.")
    saturation: Annotated[float, Field(ge=0.0, le=1.0)] | None = Field(
        None, description="Colours stronger or weaker by up to this share."
    )
    erase: Share | None = Field(None, description="A square of up to this share of the area becomes grey.")
    mixup: Annotated[float, Field(ge=0.0, le=10.0)] | None = Field(
        None, description="Two images laid over each other, the share drawn from Beta(mixup, mixup). 0: off."
    )
    cutmix: Annotated[float, Field(ge=0.0, le=10.0)] | None = Field(
        None, description="A window of another image, its share drawn from Beta(cutmix, cutmix). 0: off."
    )
    mixed_share: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.5, description="Share of the batches that mixup or cutmix is done to."
    )


class ImageParams(FineTuningParams):
    """Parameters of `image-classification`."""

    image_size: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Side of the square that images become, or [height, width]. Default: by the images."
    )
    channels: Literal["auto", "grey", "rgb"] = Field("auto", description="auto: grey where all images are.")
    resize: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    fit: Literal["stretch", "crop", "pad"] = Field(
        "stretch", description="What of an image of another shape: stretched, cut at the sides, or filled with black."
    )
    input_scale: InputScale | None = Field(
        None, description="Default: pixels from −1 to 1; 0 to 1 for layers, and as they are where these rescale."
    )
    channel_order: Literal["rgb", "bgr"] | None = Field(
        None, description="Order of the colours that the network reads. Default: the base's; rgb."
    )
    augmentation: Augmentation | Literal["auto", "none"] = "auto"
    architecture: Annotated[Cnn | ResNet | Layers, Field(discriminator="type")] = Field(default_factory=Cnn)


# What `auto` is, of grey images, of coloured ones, and of coloured ones that are seen many times. Turning and scaling
# blur a little, and mixed images are learned slowly: that pays where images are few and seen often.
_GREY = {"shift": 0.08, "rotation": 10.0, "zoom": 0.1}
_COLOURED = {"shift": 0.12, "brightness": 0.1, "contrast": 0.2, "saturation": 0.2}
_SEEN_OFTEN = {**_COLOURED, "rotation": 8.0, "zoom": 0.1, "cutmix": 1.0}
MANY_EPOCHS = 60


def settle_augmentation(asked: Any, is_layers: bool, is_colour: bool, epochs: int) -> dict[str, Any] | None:
    """Return every field of `augmentation`, or None for none. `asked`: as plain data.

    `epochs`: how often an image will be seen. A list of layers is trained as its author would, without.
    """
    if asked == "none" or (asked == "auto" and is_layers):
        return None
    fields: dict[str, Any] = Augmentation().model_dump() if asked == "auto" else dict(asked)
    strengths: dict[str, float] = {}
    if asked == "auto":
        strengths = (_SEEN_OFTEN if epochs >= MANY_EPOCHS else _COLOURED) if is_colour else _GREY
    return {name: strengths.get(name, 0.0) if value is None else value for name, value in fields.items()}
