"""Models, versions and aliases in the database."""

from app.models.repository.changing import delete_alias, delete_version, delete_versions, put_alias
from app.models.repository.counters import CATALOGUE, raise_counter, read_counter
from app.models.repository.publishing import (
    PublishedBundle,
    find_published,
    find_uploaded,
    publish_upload,
    publish_version,
)
from app.models.repository.reading import (
    all_aliases,
    all_versions,
    find_version,
    get_intake,
    get_model,
    get_version,
    jobs_using,
    list_models,
    list_versions,
    read_all_aliases,
    read_all_versions,
)

__all__ = [
    "CATALOGUE",
    "PublishedBundle",
    "all_aliases",
    "all_versions",
    "delete_alias",
    "delete_version",
    "delete_versions",
    "find_published",
    "find_uploaded",
    "find_version",
    "get_intake",
    "get_model",
    "get_version",
    "jobs_using",
    "list_models",
    "list_versions",
    "publish_upload",
    "publish_version",
    "put_alias",
    "raise_counter",
    "read_all_aliases",
    "read_all_versions",
    "read_counter",
]
