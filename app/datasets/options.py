"""What a client may say about an upload, and the limits its reader works under: plain data.

Both travel as JSON from the api process to the child that reads the upload.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

MAX_COLUMNS: Final = 10_000
MAX_NAME_CHARS: Final = 255
MAX_FIELD_BYTES: Final = 1 << 20
MAX_ROW_BYTES: Final = 16 << 20
MAX_DOCUMENT_BYTES: Final = 64 << 20
MAX_REJECTED_LISTED: Final = 100
MAX_DETAILS: Final = 20

OnBadRows = Literal["fail", "skip"]
Documents = Literal["line", "blank-line", "file"]


@dataclass(frozen=True)
class Options:
    """The fields of `POST /v1/datasets`; None where the client said nothing."""

    format: str | None = None
    file_name: str = ""  # only to guess the format from; never a path on disk
    on_bad_rows: OnBadRows = "fail"
    delimiter: str | None = None
    quoting: bool | None = None
    header: bool | list[str] | None = None
    encoding: str | None = None
    missing: list[str] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)
    documents: Documents = "line"

    def to_json(self) -> dict[str, Any]:
        """Return the options as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Limits:
    """What one upload may cost."""

    max_upload_bytes: int  # also of what a compressed file holds
    memory_bytes: int
    seconds: float
    min_free_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the limits as plain data."""
        return asdict(self)
