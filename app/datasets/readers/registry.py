"""Every format that can be read, by name: an explicit table."""

from typing import Final

from app.datasets.readers.delimited import read_csv, read_tsv
from app.datasets.readers.images import read_images
from app.datasets.readers.json_table import read_json, read_jsonl
from app.datasets.readers.npz import read_npz
from app.datasets.readers.parquet import read_parquet
from app.datasets.readers.texts import read_texts
from app.datasets.readers.txt import read_txt
from app.datasets.table import Reader

READERS: Final[dict[str, Reader]] = {
    "csv": read_csv,
    "tsv": read_tsv,
    "jsonl": read_jsonl,
    "json": read_json,
    "parquet": read_parquet,
    "npz": read_npz,
    "txt": read_txt,
    "images": read_images,
    "texts": read_texts,
}
