"""Every format that can be read, by name: an explicit table."""

from typing import Final

from app.datasets.readers.delimited import read_csv, read_tsv
from app.datasets.table import Reader

READERS: Final[dict[str, Reader]] = {
    "csv": read_csv,
    "tsv": read_tsv,
}
