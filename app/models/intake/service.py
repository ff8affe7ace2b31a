"""Takes in models from strangers: inspected here, opened by a locked-in child, published as our own bundle."""

import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

from app.core.errors import StorageFull, TooLarge, TrainyardError, Unprocessable
from app.core.ids import created_id
from app.core.settings import Settings
from app.core.uploads import UploadDesk
from app.datasets.options import Limits
from app.db.engine import Database
from app.models import repository
from app.models.bundle import MANIFEST, BundleCorrupt, open_bundle
from app.models.intake.child import BUNDLE_FOLDER, run_child, stop_children, unavailable
from app.models.intake.config_check import check_config
from app.models.intake.fields import UploadFields
from app.models.intake.findings import TOO_LARGE, RefusedUpload, reason
from app.models.intake.inspection import inspect_file
from app.models.intake.kernel import find_lack
from app.models.intake.limits import IntakeLimits
from app.models.intake.rewrite.refused import Refused
from app.models.repository import PublishedBundle
from app.storage.blobs import BlobStore, put_tree

# Each child imports TensorFlow: 0.6 GB and a core for some seconds. Predictions share the machine.
_AT_ONCE: Final = 2
_MOST_WAITING: Final = 16
_UPLOAD: Final = "upload"
_ARCHITECTURE: Final = "architecture.json"

_log = logging.getLogger("trainyard.models")


class IntakeService:
    """What `POST /v1/models` does."""

    def __init__(
        self, database: Database, blobs: BlobStore, settings: Settings, lack: Callable[[], str | None] = find_lack
    ) -> None:
        self._database = database
        self._blobs = blobs
        self.find_lack = lack
        """Says what this machine lacks for locking a child in, None for nothing."""
        self.limits = IntakeLimits(
            max_upload_bytes=settings.max_upload_bytes,
            max_parameters=settings.max_model_parameters,
            seconds=settings.intake_seconds,
            memory_bytes=settings.intake_memory_bytes,
            min_free_bytes=settings.min_free_bytes,
        )
        self.upload_limits = Limits(
            settings.max_upload_bytes, settings.intake_memory_bytes, settings.intake_seconds, settings.min_free_bytes
        )
        self.on_change: Callable[[], object] = lambda: None
        """Called after a version was published, before it is answered."""
        self.uploads = UploadDesk(
            settings.work_dir / "intake",
            at_once=_AT_ONCE,
            most_waiting=_MOST_WAITING,
            retry_after_seconds=20,
            read_seconds=settings.intake_seconds,
            full="Too many models are being taken in; try again.",
        )

    def lack(self) -> str | None:
        """Return what this machine lacks for taking in models, None where it takes them."""
        return self.find_lack()

    def upload_folder(self) -> AbstractAsyncContextManager[Path]:
        """Return an empty folder for one upload, while it is entered. Overloaded where this machine takes none."""
        if lack := self.find_lack():
            raise unavailable(lack)
        return self.uploads.folder()

    def close(self) -> None:
        """Stop: running children are ended, waiting uploads are dropped."""
        self.uploads.close()
        stop_children()

    def create(self, project: str, folder: Path, fields: UploadFields, size: int, sha256: str) -> int:
        """Take in the upload in `folder` as the next version of a model; return the version (blocks).

        Raises Unprocessable `model_refused` or TooLarge with every reason, Overloaded, StorageFull.
        """
        started = time.monotonic()
        try:
            self._inspect(folder, fields)
            report = self._open(folder, fields, size)
        except Refused as refused:
            raise refuse([reason(refused.code, refused.message, refused.where)]) from refused
        except RefusedUpload as refused:
            raise refuse(refused.reasons) from refused
        if not report["accepted"]:
            raise refuse(report["reasons"])
        report = {key: value for key, value in report.items() if key not in ("accepted", "reasons")}
        report |= {"bytes": size, "sha256": sha256, "seconds": round(time.monotonic() - started, 2)}
        version = self._publish(project, folder / "output" / BUNDLE_FOLDER, fields, report)
        self.on_change()
        _log.info("model taken in", extra={"model": fields.name, "version": version, "format": report["format"]})
        return version

    def _inspect(self, folder: Path, fields: UploadFields) -> None:
        """Refuse what can be refused without any library that parses models."""
        inspected = inspect_file(folder / _UPLOAD, self.limits)
        if inspected.format == "keras":
            check_config(inspected.config, inspected.keras_version, "", self.limits)
        if fields.architecture is not None:
            if inspected.format != "h5":
                message = "An architecture belongs to an HDF5 file of weights; this file is another kind."
                raise Unprocessable(message, param="architecture")
            (folder / _ARCHITECTURE).write_text(fields.architecture, encoding="utf-8")

    def _open(self, folder: Path, fields: UploadFields, size: int) -> dict[str, Any]:
        architecture = folder / _ARCHITECTURE
        order = {
            "file": str(folder / _UPLOAD),
            "architecture": str(architecture) if architecture.exists() else None,
            "output": str(folder / "output"),
            "labels": fields.labels,
            "input_scale": fields.scale_json,
            "channel_order": fields.channel_order,
            "limits": self.limits.to_json(),
        }
        return run_child(order, folder, size, self.limits)

    def _publish(self, project: str, bundle: Path, fields: UploadFields, report: dict[str, Any]) -> int:
        # A request that is repeated with its key has the id of the first: what that one published is found again.
        prefix = f"bundles/{created_id('up')}/1"
        published, labels_wrong = self._checked(bundle, prefix, fields)
        if labels_wrong:
            raise Unprocessable(labels_wrong, param="labels")
        with self._database.reading() as session:
            known = repository.find_uploaded(session, project, prefix)
        if known is not None:
            return known
        try:
            put_tree(self._blobs, prefix, bundle)
        except OSError as error:
            _log.exception("an uploaded model could not be stored")
            self._blobs.delete_tree(prefix)
            raise StorageFull("The server's disk is nearly full; nothing was stored.") from error
        with self._database.transaction() as session:
            return repository.publish_upload(session, project, fields.name, published, report)

    def _checked(self, bundle: Path, prefix: str, fields: UploadFields) -> tuple[PublishedBundle, str]:
        """Return the bundle that the child wrote, its hashes checked, and what is wrong with the labels."""
        try:
            manifest = open_bundle(bundle).manifest
            size = sum(entry["bytes"] for entry in manifest["files"].values())
            content = (bundle / MANIFEST).read_bytes()
        except (BundleCorrupt, OSError) as error:
            raise refuse([reason("unreadable", "What was made of the file is not whole.")]) from error
        published = PublishedBundle(
            blob_prefix=prefix,
            manifest=manifest,
            bytes=size + len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            description=fields.description,
        )
        return published, _check_labels(fields.labels, manifest["signature"]["outputs"])


def _check_labels(labels: list[Any] | None, outputs: list[dict[str, Any]]) -> str:
    if labels is None:
        return ""
    if len(outputs) != 1:
        return f"labels: the model has {len(outputs)} outputs; labels belong to a single one."
    width = outputs[0]["shape"][-1]
    if width == len(labels) or (width == 1 and len(labels) == 2):
        return ""
    return f"labels: the output has {width} values a row, and {len(labels)} labels are given."


def refuse(reasons: list[dict[str, str]]) -> TrainyardError:
    """Return the 422, or the 413 where nothing is wrong but the size."""
    first = reasons[0]
    where = f" ({first['where']})" if first["where"] else ""
    more = f" And {len(reasons) - 1} more." if len(reasons) > 1 else ""
    message = f"The model is refused: {first['message']}{where}{more}"
    if all(found["code"] in TOO_LARGE for found in reasons):
        return TooLarge(message, param="file", details=list(reasons))
    return Unprocessable(message, code="model_refused", param="file", details=list(reasons))
