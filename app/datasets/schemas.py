"""What goes in and out of the routes of data sets (API.md §2)."""

from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.core.clock import to_rfc3339
from app.datasets.names import has_control
from app.datasets.options import MAX_COLUMNS, MAX_NAME_CHARS, Options
from app.db.tables import Dataset

_DELIMITER_NAMES: Final = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_MAX_FIELD_CHARS: Final = 4 << 20

Spelling = Annotated[str, Field(max_length=255)]


class UploadFields(BaseModel):
    """The fields of `POST /v1/datasets`, each as the text that a form or a query holds."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=255, description="Name; default: the file's.")
    format: str | None = Field(
        None,
        max_length=40,
        description="csv, tsv, jsonl, json, parquet, npz, txt, images, texts; default: by name and first bytes.",
    )
    on_bad_rows: Literal["fail", "skip"] = Field("fail", description="What a row that cannot be taken in does.")
    delimiter: str | None = Field(
        None, description=r"One ASCII character, or `\t`; default: of `,` tab `;` `|` the one that fits the first rows."
    )
    quoting: bool | None = Field(
        None, description='`false`: `"` is a plain character; default: whether every quote fits as one.'
    )
    header: bool | list[str] | None = Field(
        None, description="`true` (the default), `false`, or the column names as a JSON list (the file has none then)."
    )
    encoding: str | None = Field(None, max_length=40, description="For example `latin-1`, `gbk`; default: UTF-8.")
    missing: list[Spelling] = Field(
        default_factory=list, max_length=100, description="A JSON list of further spellings of a missing value."
    )
    types: dict[str, str] = Field(
        default_factory=dict,
        max_length=MAX_COLUMNS,
        description="A JSON object of column types: number, integer, boolean, category, text, datetime.",
    )
    documents: Literal["line", "blank-line", "file"] = Field(
        "line", description="Of txt: what one row is; line ends belong to it."
    )

    @field_validator("quoting", mode="before")
    @classmethod
    def _read_truth(cls, value: Any) -> Any:
        return _truth(value) if isinstance(value, str) else value

    @field_validator("header", mode="before")
    @classmethod
    def _read_header(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value in ("true", "false"):
            return value == "true"
        names = _json(value, "true, false or a JSON list of column names")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError("must be true, false or a JSON list of column names")
        if len(names) > MAX_COLUMNS or any(len(name) > MAX_NAME_CHARS for name in names):
            raise ValueError(f"has at most {MAX_COLUMNS} names of {MAX_NAME_CHARS} characters")
        return names

    @field_validator("missing", "types", mode="before")
    @classmethod
    def _read_json(cls, value: Any) -> Any:
        return _json(value, "JSON") if isinstance(value, str) else value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is None:
            return None
        value = _DELIMITER_NAMES.get(value, value)
        if len(value) != 1 or not (value == "\t" or " " <= value <= "~") or value == '"':
            raise ValueError('must be one ASCII character other than "')
        return value

    @field_validator("name")
    @classmethod
    def _printable(cls, value: str | None) -> str | None:
        if value is not None and (has_control(value) or not value.strip()):
            raise ValueError("must be printable text")
        return value

    def options(self, file_name: str) -> Options:
        """Return what the reader has to know."""
        said = self.model_dump(exclude={"name"})
        return Options(**said, file_name=file_name)


def _truth(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def _json(value: str, what: str) -> Any:
    if len(value) > _MAX_FIELD_CHARS:
        raise ValueError("is too long")
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise ValueError(f"must be {what}") from None


class Rejected(BaseModel):
    """Rows that were left out (`on_bad_rows=skip`): how many, and the first hundred by line."""

    count: int
    rows: list[dict[str, Any]]


class DatasetView(BaseModel):
    """A data set."""

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    format: str
    rows: int
    bytes: int = Field(description="Size of the file as it was sent.")
    sha256: str = Field(description="Of the file as it was sent.")
    splits: dict[str, int] | None = Field(description="Rows of each official split.")
    created_at: str
    columns: list[dict[str, Any]] = Field(description="Name, type and profile of each column.")
    cleaning: list[dict[str, Any]] = Field(
        description="What was cleaned or decided: `column`, `action`, `count`, `message`."
    )
    rejected: Rejected

    @classmethod
    def of(cls, row: Dataset) -> "DatasetView":
        """Return the view of a row."""
        return cls(
            id=row.id,
            name=row.name,
            format=row.format,
            rows=row.rows,
            bytes=row.bytes,
            sha256=row.sha256,
            splits=row.splits,
            created_at=to_rfc3339(row.created_at) or "",
            columns=row.columns,
            cleaning=row.cleaning,
            rejected=Rejected(**row.rejected),
        )


class DatasetList(BaseModel):
    """A page of data sets."""

    object: Literal["list"] = "list"
    data: list[DatasetView]
    first_id: str | None
    last_id: str | None
    has_more: bool


class RowPage(BaseModel):
    """Rows as objects of columns; a missing value, NaN or infinity is null."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    offset: int
    limit: int
    rows: int = Field(description="Rows of the data set, or of the split.")
    has_more: bool
