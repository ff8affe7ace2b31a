"""Routes of data sets (API.md §2)."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.core.errors import Unprocessable, UnsupportedMedia
from app.core.http import PageDep, ProjectDep, ServicesDep, list_body, make_router
from app.datasets.formats import check_format
from app.datasets.schemas import DatasetList, DatasetView, RowPage, UploadFields
from app.datasets.service import DatasetService
from app.datasets.upload import UploadSink, receive_multipart, receive_raw

router = make_router("/v1/datasets", "datasets")


def _query_parameters() -> list[dict[str, Any]]:
    properties: dict[str, Any] = UploadFields.model_json_schema()["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": facts.get("description", ""),
            "schema": {"type": "string", **({"enum": facts["enum"]} if "enum" in facts else {})},
        }
        for name, facts in properties.items()
    ]


def _multipart_schema() -> dict[str, Any]:
    fields = {
        parameter["name"]: {**parameter["schema"], "description": parameter["description"]}
        for parameter in _query_parameters()
    }
    file = {"type": "string", "format": "binary"}
    return {"type": "object", "required": ["file"], "properties": {"file": file, **fields}}


async def _datasets(services: ServicesDep) -> DatasetService:
    service: DatasetService = services.datasets
    return service


Datasets = Annotated[DatasetService, Depends(_datasets)]
DatasetId = Annotated[str, Path(max_length=64, description="`ds_…`")]


@router.post(
    "",
    status_code=201,
    response_model=DatasetView,
    openapi_extra={
        "x-open-query": True,
        "parameters": _query_parameters(),
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": _multipart_schema()},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
    },
)
async def upload(request: Request, project: ProjectDep, datasets: Datasets, response: Response) -> Any:
    """Take in a file: a multipart form with the part `file`, or the raw bytes with the fields in the query."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("Send a gzip file as it is, without Content-Encoding.")
    query = _once(request.query_params.multi_items())
    if query:
        check_format(_checked(query).format)  # what is wrong with the query is said before the body is read
    content_type = request.headers.get("content-type", "")
    is_form = content_type.split(";")[0].strip().lower() == "multipart/form-data"
    async with datasets.uploads.folder() as folder:
        sink = UploadSink(folder, datasets.limits)
        try:
            sink.expect(_content_length(request))
            file_name, said = "", dict(query)
            if is_form:
                form = await receive_multipart(request.stream(), content_type, sink)
                file_name, said = form.file_name, _once([*query.items(), *form.fields.items()])
            else:
                await receive_raw(request.stream(), sink)
            fields = _checked(said)
            size, sha256 = await sink.finish()
        finally:
            sink.close()
        dataset = await datasets.uploads.read(lambda: datasets.create(project, folder, fields, file_name, size, sha256))
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    return dataset


@router.get("", response_model=DatasetList)
def list_datasets(project: ProjectDep, datasets: Datasets, page: PageDep) -> Any:
    """List data sets by time of creation."""
    data, has_more = datasets.list(project, limit=page.limit, after=page.after, descending=page.descending)
    return list_body([dataset.model_dump() for dataset in data], has_more)


@router.get("/{dataset_id}", response_model=DatasetView)
def get_dataset(dataset_id: DatasetId, project: ProjectDep, datasets: Datasets) -> Any:
    """Return a data set with the profile of its columns."""
    return datasets.get(project, dataset_id)


@router.get("/{dataset_id}/rows", response_model=RowPage)
def get_rows(
    dataset_id: DatasetId,
    project: ProjectDep,
    datasets: Datasets,
    limit: Annotated[int, Query(ge=1, le=100, description="Rows of one page.")] = 20,
    offset: Annotated[int, Query(ge=0, le=2**53, description="Rows to leave out at the beginning.")] = 0,
    split: Annotated[str | None, Query(max_length=16, description="Only rows of this official split.")] = None,
) -> Any:
    """Return rows as they are stored; of a data set with official splits train, validation, test in this order."""
    return datasets.rows(project, dataset_id, offset, limit, split)


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(dataset_id: DatasetId, project: ProjectDep, datasets: Datasets) -> Response:
    """Remove a data set; 409 `dataset_in_use` while a job that has not ended uses it."""
    datasets.delete(project, dataset_id)
    return Response(status_code=204)


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            raise Unprocessable(f"The field {name[:100]} is given twice.", param=name[:100])
        fields[name] = value
    return fields


def _checked(fields: dict[str, str]) -> UploadFields:
    try:
        return UploadFields.model_validate(fields)
    except ValidationError as error:
        findings = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**f, "loc": ("body", *f["loc"])} for f in findings]) from error


def _content_length(request: Request) -> int | None:
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else None
