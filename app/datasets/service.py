"""Data sets: taken in, listed, read, removed."""

import logging
import re
from pathlib import Path
from typing import Final

from app.core.errors import Conflict, NotFound, Unprocessable
from app.core.ids import new_id
from app.core.settings import Settings
from app.core.uploads import UploadDesk
from app.datasets import repository
from app.datasets.cache import DatasetCache
from app.datasets.formats import check_format, has_known_suffix
from app.datasets.ingest import run_ingest, stop_children
from app.datasets.options import Limits
from app.datasets.schemas import DatasetView, RowPage, UploadFields
from app.datasets.stored import StoredDataset
from app.datasets.upload import disk_full
from app.db.engine import Database
from app.db.tables import Dataset
from app.storage.blobs import BlobStore, put_tree

# Each reader may use a gigabyte and a core; predictions share the machine.
_READERS_AT_ONCE: Final = 2
_MOST_WAITING: Final = 32

_log = logging.getLogger("trainyard.datasets")


class DatasetService:
    """What the routes, and other services, do with data sets."""

    def __init__(self, database: Database, blobs: BlobStore, settings: Settings) -> None:
        self._database = database
        self._blobs = blobs
        self._cache = DatasetCache(blobs, settings.work_dir)
        self.limits = Limits(
            max_upload_bytes=settings.max_upload_bytes,
            memory_bytes=settings.ingest_memory_bytes,
            seconds=settings.ingest_seconds,
            min_free_bytes=settings.min_free_bytes,
        )
        self.uploads = UploadDesk(
            settings.work_dir / "uploads",
            at_once=_READERS_AT_ONCE,
            most_waiting=_MOST_WAITING,
            retry_after_seconds=10,
            read_seconds=settings.ingest_seconds,
            full="Too many uploads are being read; try again.",
        )

    def close(self) -> None:
        """Stop reading: running readers are killed, waiting uploads are dropped."""
        self.uploads.close()
        stop_children()

    def create(
        self, project: str, folder: Path, fields: UploadFields, file_name: str, size: int, sha256: str
    ) -> DatasetView:
        """Read the upload in `folder`, store it once in columns, and return it (blocks: runs a child).

        Raises Unprocessable (`dataset_invalid`) naming what is wrong in the file, TooLarge, StorageFull.
        """
        check_format(fields.format)
        name = fields.name or safe_name(file_name)
        # Browsers send `blob` for what has no file name: then the data set's name may tell the format.
        named = file_name if has_known_suffix(file_name) else fields.name or file_name
        options = fields.options(named)
        output = folder / "stored"
        result = run_ingest(folder / "upload", folder, output, options, self.limits)
        schema = result["schema"]
        dataset_id = new_id("ds")
        prefix = f"datasets/{dataset_id}"
        try:
            put_tree(self._blobs, prefix, output)
        except OSError as error:
            _log.exception("a data set could not be stored")
            self._blobs.delete_tree(prefix)
            raise disk_full() from error
        row = Dataset(
            id=dataset_id,
            project=project,
            name=name,
            format=result["format"],
            rows=schema["rows"],
            bytes=size,
            sha256=sha256,
            splits=schema["splits"],
            columns=schema["columns"],
            rejected=schema["rejected"],
            cleaning=schema["cleaning"],
            blob_prefix=prefix,
        )
        with self._database.transaction() as session:
            repository.create_dataset(session, row)
        return DatasetView.of(row)

    def get(self, project: str, dataset_id: str) -> DatasetView:
        """Return a data set; NotFound."""
        return DatasetView.of(self._row(project, dataset_id))

    def list(self, project: str, *, limit: int, after: str | None, descending: bool) -> tuple[list[DatasetView], bool]:
        """Return a page of data sets, and whether more follow."""
        with self._database.reading() as session:
            rows, has_more = repository.list_datasets(session, project, limit=limit, after=after, descending=descending)
        return [DatasetView.of(row) for row in rows], has_more

    def open(self, project: str, dataset_id: str) -> StoredDataset:
        """Return the stored columns, from the local cache; NotFound."""
        row = self._row(project, dataset_id)
        try:
            return StoredDataset.open(self._cache.folder(row.id, row.sha256))
        except FileNotFoundError:
            raise dataset_not_found(dataset_id) from None

    def rows(self, project: str, dataset_id: str, offset: int, limit: int, split: str | None) -> RowPage:
        """Return rows `offset` … as JSON values."""
        stored = self.open(project, dataset_id)
        if split is not None and split not in (stored.splits or {}):
            known = ", ".join(stored.splits or {}) or "it has none"
            raise Unprocessable(f"The data set has no split {split!r}. Its splits: {known}.", param="split")
        total = stored.rows if split is None or stored.splits is None else stored.splits[split]
        try:
            data = stored.page(offset, limit, split)
        except FileNotFoundError:
            raise dataset_not_found(dataset_id) from None
        return RowPage(data=data, offset=offset, limit=limit, rows=total, has_more=offset + len(data) < total)

    def delete(self, project: str, dataset_id: str) -> None:
        """Remove a data set; NotFound, or Conflict while a job that has not ended uses it."""
        with self._database.transaction() as session:
            row = repository.delete_dataset(session, project, dataset_id)
            if row is None:
                raise dataset_not_found(dataset_id)
            jobs = repository.jobs_using(session, dataset_id, limit=5)
            if jobs:
                message = f"Data set {dataset_id} is used by jobs that have not ended: {', '.join(jobs)}."
                raise Conflict(message, code="dataset_in_use", param="id")
        # After the commit: a blob without a row is removed by the sweep, a row without a blob is a lie.
        self._blobs.delete_tree(row.blob_prefix)
        self._cache.forget(dataset_id)

    def _row(self, project: str, dataset_id: str) -> Dataset:
        with self._database.reading() as session:
            row = repository.get_dataset(session, project, dataset_id)
        if row is None:
            raise dataset_not_found(dataset_id)
        return row


def dataset_not_found(dataset_id: str) -> NotFound:
    """Return the 404."""
    return NotFound(f"There is no data set {dataset_id[:64]!r}.", code="dataset_not_found", param="id")


def safe_name(file_name: str) -> str:
    """Return the last part of a client's file name without control characters; `upload` for none."""
    last = re.split(r"[/\\]", file_name)[-1]
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", "", last).strip()[:255] or "upload"
