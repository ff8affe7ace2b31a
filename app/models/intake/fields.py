"""What a client may say about an uploaded model: the text fields of the form."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.core.errors import BadRequest, Unprocessable
from app.core.json import parse_json
from app.recipes.request import MODEL_NAME

MAX_LABELS = 100_000
_MAX_DESCRIPTION_CHARS = 10_000
_MAX_LABEL_CHARS = 1_000
Label = str | int | float | bool


class InputScale(BaseModel):
    """What a row's numbers are multiplied by, and what is added then, before the model sees them."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    multiply: float = Field(1.0, ge=-1e9, le=1e9)
    add: float = Field(0.0, ge=-1e9, le=1e9)


class UploadFields(BaseModel):
    """The fields of `POST /v1/models`, next to the part `file`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=MODEL_NAME, description="Name of the model; a name that is known gets a new version.")
    labels: list[Label] | None = Field(None, description="JSON list of the classes, in the order of the output.")
    input_scale: InputScale | None = Field(
        None, description='JSON object, `{"multiply": 0.003921569, "add": 0}`: applied to inputs, in training too.'
    )
    channel_order: Literal["rgb", "bgr"] | None = Field(
        None, description="In which order the model reads the colours of an image file; `rgb` by default."
    )
    architecture: str | None = Field(
        None, description="Architecture JSON of an HDF5 file that holds weights only; may be sent as a file part."
    )
    description: str | None = Field(None, max_length=_MAX_DESCRIPTION_CHARS, description="A text for people.")

    @property
    def scale_json(self) -> dict[str, float] | None:
        """The scale as plain data."""
        return None if self.input_scale is None else self.input_scale.model_dump()

    @field_validator("labels", mode="before")
    @classmethod
    def _read_labels(cls, value: Any) -> Any:
        labels = _read_json(value)
        if labels is None:
            return None
        if not isinstance(labels, list) or not 1 <= len(labels) <= MAX_LABELS:
            raise ValueError(f"must be a JSON list of 1 to {MAX_LABELS} labels")
        for label in labels:
            if not isinstance(label, Label) or (isinstance(label, float) and not math.isfinite(label)):
                raise ValueError("each label must be a text, a number, true or false")
            if isinstance(label, str) and len(label) > _MAX_LABEL_CHARS:
                raise ValueError(f"a label has at most {_MAX_LABEL_CHARS} characters")
        if len({(type(label), label) for label in labels}) != len(labels):
            raise ValueError("a label is given twice")
        return labels

    @field_validator("input_scale", mode="before")
    @classmethod
    def _read_scale(cls, value: Any) -> Any:
        return _read_json(value)


def _read_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value.encode("utf-8", "surrogatepass"))
    except (BadRequest, Unprocessable) as error:
        raise ValueError(f"is not JSON: {error.message}") from None
