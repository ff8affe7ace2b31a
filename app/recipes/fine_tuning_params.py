"""`params` of a job that starts from a model that there is (API.md §4)."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from app.core.errors import Unprocessable
from app.recipes.layers_params import LayerConfig
from app.recipes.request import Request

FreezeCount = Annotated[int, Field(ge=1, le=100_000)]


class InputScale(Request):
    """What a value (of a pixel: 0 to 255) becomes: value · multiply + add."""

    multiply: float = Field(gt=-1e6, lt=1e6)
    add: float = Field(0.0, gt=-1e9, lt=1e9)

    @model_validator(mode="after")
    def _not_zero(self) -> "InputScale":
        if self.multiply == 0:
            raise ValueError("multiply must not be 0")
        return self


class FineTuningParams(Request):
    """What every recipe takes beside its own parameters."""

    base: Annotated[str, Field(min_length=1, max_length=130)] | None = Field(
        None, description="A model to start from: name, name@version or name@alias. Instead of an architecture."
    )
    cut_at: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None,
        description="Layer of the base whose output the head reads. Default: before its last layer with weights where "
        "it tells other classes or values; its output as it is where a head is given.",
    )
    head: Annotated[list[LayerConfig], Field(min_length=1, max_length=100)] | None = Field(
        None, description="Layers on top of the base. Default: one dense layer, an output for each class or value."
    )
    freeze: Literal["none", "backbone"] | FreezeCount = Field(
        "none", description="What of the base is not trained: nothing, all of it, or so many layers from the bottom."
    )
    base_learning_rate_ratio: float = Field(
        0.1, gt=0, le=1, description="Learning rate of the base as a share of the head's."
    )
    head_epochs: int | None = Field(
        None, ge=0, le=100_000, description="First epochs in which only the head is trained. Default: 0."
    )
    lora_rank: int | None = Field(
        None, ge=1, le=1024, description="Train adapters of this rank beside the base's dense layers instead of them."
    )
    lora_alpha: float | None = Field(
        None, gt=0, le=65_536, description="Adapters count alpha / rank. Default: the rank, so that they count once."
    )


FIELDS: Final = frozenset(FineTuningParams.model_fields)


def without_fine_tuning(params: dict[str, Any], asked: dict[str, Any], family: str) -> dict[str, Any]:
    """Return the `params` of a job without a base; Unprocessable where `asked`, the request's, needs one."""
    # Images have a scale of their own; a table's columns are scaled by what they hold.
    fields = FIELDS | ({"input_scale"} if family == "tabular" else frozenset())
    for name in sorted(fields & set(asked)):
        if asked[name] is not None:
            raise Unprocessable(
                f"params.{name}: is for jobs that start from a model; name it in params.base.", param=f"params.{name}"
            )
    return {name: value for name, value in params.items() if name not in fields}
