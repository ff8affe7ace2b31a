"""What the routes of models take and give (API.md §5)."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.recipes.request import Request


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
    base: str | None
    metrics: dict[str, Any]
    signature: dict[str, Any]
    parameters: int
    bytes: int
    sha256: str = Field(description="Of manifest.json, which holds the hashes of all other files.")
    runtime: str
    created_at: str
    model_version_status: list[ServingStatus]


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
