"""Routes of models (API.md §5)."""

from typing import Annotated, Any

from anyio import to_thread
from fastapi import Depends, Header, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from app.core.errors import Unprocessable, UnsupportedMedia
from app.core.http import PageDep, ProjectDep, ServicesDep, make_router
from app.datasets.upload import UploadSink, receive_multipart
from app.models.intake.fields import UploadFields
from app.models.intake.service import IntakeService
from app.models.lineage.service import show_lineage
from app.models.schemas import (
    AliasRequest,
    AliasView,
    Deleted,
    FileList,
    IntakeView,
    LineageView,
    ModelList,
    ModelView,
    VersionList,
    VersionView,
    upload_schema,
)
from app.models.service import ModelService
from app.recipes.request import MODEL_NAME

router = make_router("/v1/models", "models")


async def _models(services: ServicesDep) -> ModelService:
    service: ModelService = services.models
    return service


Models = Annotated[ModelService, Depends(_models)]


async def _intake(services: ServicesDep) -> IntakeService:
    service: IntakeService = services.intake
    return service


Intake = Annotated[IntakeService, Depends(_intake)]
Ref = Annotated[str, Path(max_length=130, description="`name`, `name@3` or `name@alias`.")]
Name = Annotated[str, Path(max_length=64)]
Version = Annotated[int, Path(ge=1, le=2**53)]
Alias = Annotated[str, Path(pattern=MODEL_NAME)]


@router.get("")
def list_models(project: ProjectDep, models: Models, page: PageDep) -> ModelList:
    """List models, newest first; `after` takes a name."""
    return models.page(project, limit=page.limit, after=page.after, descending=page.descending)


@router.post(
    "",
    status_code=201,
    response_model=VersionView,
    openapi_extra={
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": upload_schema()}}},
    },
    responses={503: {"description": "Too many uploads wait, or this machine cannot lock in what opens them."}},
)
async def upload_model(
    request: Request, project: ProjectDep, models: Models, intake: Intake, response: Response
) -> Any:
    """Take in a pretrained model from a file: checked, opened locked in, and saved anew; the file itself is dropped."""
    content_type = request.headers.get("content-type", "")
    if content_type.split(";")[0].strip().lower() != "multipart/form-data":
        raise UnsupportedMedia("Send a multipart form with the part file and the field name.")
    async with intake.upload_folder() as folder:
        sink = UploadSink(folder, intake.upload_limits)
        try:
            sink.expect(_content_length(request))
            form = await receive_multipart(request.stream(), content_type, sink)
            fields = _checked(form.fields)
            size, sha256 = await sink.finish()
        finally:
            sink.close()
        version = await intake.uploads.read(lambda: intake.create(project, folder, fields, size, sha256))
    response.headers["Location"] = f"/v1/models/{fields.name}/versions/{version}"
    return await to_thread.run_sync(models.version, project, fields.name, version)


@router.get("/{ref}")
def get_model(ref: Ref, project: ProjectDep, models: Models) -> ModelView:
    """Return a model."""
    return models.get(project, ref)


@router.delete("/{name}")
def delete_model(name: Name, project: ProjectDep, models: Models, force: bool = False) -> Deleted:
    """Remove a model with its versions and aliases; numbers of versions are never used again.

    409 while other models started from it, or jobs that have not ended read it; `force` deletes all the same.
    """
    return models.delete(project, name, force=force)


@router.get("/{name}/versions")
def list_versions(name: Name, project: ProjectDep, models: Models, page: PageDep) -> VersionList:
    """List versions, newest first; `after` takes a number."""
    return models.versions(project, name, limit=page.limit, after=_number(page.after), descending=page.descending)


@router.get("/{name}/versions/{version}")
def get_version(name: Name, version: Version, project: ProjectDep, models: Models) -> VersionView:
    """Return a version."""
    return models.version(project, name, version)


@router.get("/{name}/versions/{version}/intake")
def get_intake(name: Name, version: Version, project: ProjectDep, models: Models) -> IntakeView:
    """Return what was found when a model was taken in; 404 `intake_not_found` for one that was trained here."""
    return models.intake(project, name, version)


@router.get("/{name}/versions/{version}/lineage")
def get_lineage(name: Name, version: Version, project: ProjectDep, models: Models) -> LineageView:
    """Return the versions that this one came from, one after the other, and what depends on it."""
    return show_lineage(models.database, project, name, version)


@router.delete("/{name}/versions/{version}")
def delete_version(name: Name, version: Version, project: ProjectDep, models: Models, force: bool = False) -> Deleted:
    """Remove a version that no alias points at.

    409 while other versions started from it, or jobs that have not ended read it; `force` deletes all the same.
    """
    return models.delete_version(project, name, version, force=force)


@router.put("/{name}/aliases/{alias}")
def put_alias(name: Name, alias: Alias, body: AliasRequest, project: ProjectDep, models: Models) -> AliasView:
    """Point an alias at a version, new or moved."""
    return models.put_alias(project, name, alias, body.version)


@router.delete("/{name}/aliases/{alias}")
def delete_alias(name: Name, alias: Alias, project: ProjectDep, models: Models) -> Deleted:
    """Remove an alias; the version stays."""
    return models.delete_alias(project, name, alias)


@router.get("/{name}/versions/{version}/files")
def list_files(name: Name, version: Version, project: ProjectDep, models: Models) -> FileList:
    """List the files of a version's bundle, each with its size and hash."""
    return models.files(project, name, version)


@router.get(
    "/{name}/versions/{version}/files/{file}",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        304: {"description": "The file has the hash of `If-None-Match`."},
    },
)
def get_file(
    name: Name,
    version: Version,
    file: Annotated[str, Path(max_length=128)],
    project: ProjectDep,
    models: Models,
    if_none_match: Annotated[str | None, Header(max_length=1024)] = None,
) -> Response:
    """Download a file; its ETag is its SHA-256."""
    found = models.find_file(project, name, version, file)
    headers = {
        "ETag": f'"{found.sha256}"',
        # The name is one of the manifest's, which are letters, digits, dots, dashes and underscores.
        "Content-Disposition": f'attachment; filename="{found.name}"',
    }
    known = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    if headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(found.bytes)
    content = models.read_file(project, name, version, file)
    return StreamingResponse(content, media_type="application/octet-stream", headers=headers)


def _number(after: str | None) -> int | None:
    if after is None:
        return None
    if not (after.isascii() and after.isdigit()) or len(after) > 16:
        raise Unprocessable("after: send the number of a version.", param="after")
    return int(after)


def _checked(fields: dict[str, str]) -> UploadFields:
    try:
        return UploadFields.model_validate(fields)
    except ValidationError as error:
        findings = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**f, "loc": ("body", *f["loc"])} for f in findings]) from error


def _content_length(request: Request) -> int | None:
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else None
