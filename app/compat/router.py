"""GET routes of TensorFlow Serving's REST API that our own do not answer already."""

from typing import Annotated, Any

from fastapi import Path

from app.compat.tfserving import metadata_body, status_body
from app.core.http import ProjectDep, ServicesDep, make_router
from app.inference.catalogue import Selector
from app.recipes.request import MODEL_NAME

router = make_router("/v1/models", "tensorflow serving")

Name = Annotated[str, Path(max_length=64)]
Version = Annotated[int, Path(ge=1, le=2**53)]
Alias = Annotated[str, Path(pattern=MODEL_NAME)]


@router.get("/{name}/metadata")
async def get_metadata(name: Name, project: ProjectDep, services: ServicesDep) -> dict[str, Any]:
    """Return the signature of the newest version, as TensorFlow Serving does."""
    return await _metadata(services, project, name, None)


@router.get("/{name}/versions/{version}/metadata")
async def get_version_metadata(
    name: Name, version: Version, project: ProjectDep, services: ServicesDep
) -> dict[str, Any]:
    """Return the signature of a version, as TensorFlow Serving does."""
    return await _metadata(services, project, name, version)


@router.get("/{name}/labels/{alias}/metadata")
async def get_label_metadata(name: Name, alias: Alias, project: ProjectDep, services: ServicesDep) -> dict[str, Any]:
    """Return the signature of the version that an alias stands for, as TensorFlow Serving does."""
    return await _metadata(services, project, name, alias)


@router.get("/{name}/labels/{alias}")
async def get_label_status(name: Name, alias: Alias, project: ProjectDep, services: ServicesDep) -> dict[str, Any]:
    """Return the status of the version that an alias stands for, as TensorFlow Serving does."""
    entry = await services.inference.find(project, name, alias)
    return status_body(entry.version)


async def _metadata(services: Any, project: str, name: str, selector: Selector) -> dict[str, Any]:
    seconds = services.settings.predict_timeout_seconds
    model = await services.inference.get(project, name, selector, seconds)
    return metadata_body(name, model.entry.version, model.batcher.predictor.manifest)
