"""What the routes of models take and give (API.md §5)."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.models.intake.fields import UploadFields
from app.recipes.request import MODEL_NAME, Request


class AliasRequest(Request):
    """The body of `PUT …/aliases/{alias}`."""

    version: int = Field(ge=1, le=2**53)


class Answer(BaseModel):
    """Base of answers: every field is there, null where there is nothing."""

    model_config = ConfigDict(extra="forbid")


class ServingStatus(Answer):
    """What TensorFlow Serving says of a version (its REST API, "Model status API")."""

    version: str
    state: Literal["AVAILABLE"] = "AVAILABLE"
    status: dict[str, str] = Field(default_factory=lambda: {"error_code": "OK", "error_message": ""})


class ModelView(Answer):
    """A model, with the fields that OpenAI, TensorFlow Serving and KServe clients read."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="Unix seconds.")
    owned_by: str
    name: str
    ready: Literal[True] = True
    recipe: str | None = Field(description="Of the newest version.")
    version: int = Field(description="The newest version, or the one that the ref names.")
    versions: list[int] = Field(description="Newest first.")
    aliases: dict[str, int]
    created_at: str
    model_version_status: list[ServingStatus]


class VersionView(Answer):
    """A version of a model."""

    name: str
    version: int
    aliases: list[str]
    recipe: str | None
    job: str | None
    dataset: str | dict[str, str] | None = Field(description="An id, or ids by split.")
    base: str | None = Field(description="The version that its training started from.")
    base_exists: bool | None = Field(description="false: the base was deleted since. null: it had none.")
    metrics: dict[str, Any]
    signature: dict[str, Any]
    parameters: int
    bytes: int
    sha256: str = Field(description="Of manifest.json, which holds the hashes of all other files.")
    runtime: str
    created_at: str
    model_version_status: list[ServingStatus]


class Ancestor(Answer):
    """A version that another started from; of one that was deleted only its name is known."""

    ref: str
    exists: bool
    recipe: str | None
    job: str | None
    dataset: str | dict[str, str] | None


class LineageView(Answer):
    """Where a version comes from, and what depends on it."""

    object: Literal["model.lineage"] = "model.lineage"
    model: str
    version: int
    recipe: str | None
    job: str | None
    dataset: str | dict[str, str] | None
    bases: list[Ancestor] = Field(description="The base, its base, and so on.")
    dependants: list[str] = Field(description="Versions that started from this one.")
    jobs: list[str] = Field(description="Jobs that read it and have not ended.")


class IntakeView(Answer):
    """What was found in the file of an uploaded model, and what was made of it."""

    object: Literal["model.intake"] = "model.intake"
    model: str
    version: int
    format: str = Field(description="`keras`, `h5`, `h5+json`, `weights.h5+json` or `huggingface`.")
    keras_version: str = Field(description="As the file says it; empty where it does not.")
    bytes: int = Field(description="Of the file, which was not kept.")
    sha256: str = Field(description="Of the file, which was not kept.")
    layers: list[dict[str, Any]] = Field(description="`name`, `class`, `output_shape` of a row, `parameters`.")
    parameters: int
    rewritten: list[dict[str, str]] = Field(description="What was brought to today's Keras: `layer`, `what`.")
    runtime: str
    onnx: dict[str, Any] = Field(description="Whether the model is served as ONNX, and how far that is from Keras.")
    seconds: float = Field(description="What taking it in took.")


INTAKE_FIELDS = tuple(name for name in IntakeView.model_fields if name not in ("object", "model", "version"))


class AliasView(Answer):
    """A second name of a version."""

    object: Literal["model.alias"] = "model.alias"
    name: str
    alias: str
    version: int


class FileView(Answer):
    """A file of a bundle."""

    name: str
    bytes: int
    sha256: str


class Deleted(Answer):
    """What was deleted."""

    id: str
    object: str
    deleted: Literal[True] = True


class _Listing(Answer):
    object: Literal["list"] = "list"
    first_id: str | None
    last_id: str | None
    has_more: bool


class ModelList(_Listing):
    """A page of models."""

    data: list[ModelView]


class VersionList(_Listing):
    """A page of versions; `after` takes a version's number."""

    data: list[VersionView]


class FileList(_Listing):
    """All files of a bundle."""

    data: list[FileView]


def upload_schema() -> dict[str, Any]:
    """Return the form of `POST /v1/models` for the OpenAPI document."""
    fields = UploadFields.model_fields
    properties: dict[str, Any] = {
        "file": {"type": "string", "format": "binary"},
        "name": {"type": "string", "pattern": MODEL_NAME, "description": fields["name"].description},
    }
    for name in ("labels", "input_scale", "channel_order", "architecture", "description"):
        properties[name] = {"type": "string", "description": fields[name].description}
    return {"type": "object", "required": ["file", "name"], "properties": properties, "additionalProperties": False}
