"""Whether the service is alive and ready, and what it is: `/livez`, `/readyz`, `/v1/system`."""

import shutil
from collections.abc import Callable
from typing import Any

from app import RELEASE
from app.core.clock import to_rfc3339
from app.core.errors import TrainyardError
from app.core.settings import Settings
from app.db.engine import Database
from app.storage.blobs import BlobStore
from app.system.gauges import read_facts
from app.system.repository import live_workers, queues_of

# Settings that may hold a secret or a path of the server are left out of /v1/system.
_SHOWN = (
    "api_processes", "worker_slots", "device_slots", "owner_slots",
    "heartbeat_seconds", "lease_seconds", "sweep_seconds", "poll_seconds",
    "max_failures", "max_upload_bytes", "max_json_bytes", "max_predict_bytes", "max_model_parameters",
    "intake_seconds", "intake_memory_bytes", "predict_queue_rows",
    "predict_batch_rows", "predict_wait_ms", "predict_timeout_seconds", "model_cache_bytes",
    "retain_jobs_days", "retain_checkpoints_days", "retain_logs_days",
)  # fmt: skip


class Health:
    """Checks of the parts that a request needs."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        blobs: BlobStore,
        broker_answers: Any,
        intake_lack: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.database = database
        self.blobs = blobs
        self.broker_answers = broker_answers
        self._intake_lack = intake_lack

    def checks(self) -> dict[str, str]:
        """Return each part with `ok`, or with what is wrong with it."""
        return {
            "database": self._database(),
            "broker": "ok" if self.broker_answers() else "does not answer; jobs still run, found by polling",
            "storage": self._storage(),
            "workers": self._workers(),
        }

    def intake(self) -> str:
        """Return `ok`, or what this machine lacks for taking in uploaded models; all else works without it."""
        return self._intake_lack() or "ok"

    def system(self) -> dict[str, Any]:
        """Return the body of `GET /v1/system`."""
        facts = read_facts(self.database, self.settings)
        workers = [
            {
                "name": worker.name,
                "host": worker.host,
                "queues": list(queues_of(worker)),
                "slots": worker.slots,
                "busy_slots": facts.busy.get(worker.name, 0),
                "devices": worker.devices,
                "release": worker.release,
                "started_at": to_rfc3339(worker.started_at),
                "last_seen_at": to_rfc3339(worker.last_seen_at),
            }
            for worker in facts.workers
        ]
        queues = [
            {
                "name": queue,
                "served": facts.slots(queue) > 0,
                "slots": facts.slots(queue),
                "idle_slots": facts.idle(queue),
                "queued": facts.jobs.get(("queued", queue), 0),
                "running": facts.jobs.get(("running", queue), 0),
            }
            for queue in facts.queues
        ]
        return {
            "object": "system",
            "release": RELEASE,
            "workers": workers,
            "queues": queues,
            "settings": {name: getattr(self.settings, name) for name in _SHOWN},
        }

    def _database(self) -> str:
        try:
            self.database.ping()
        except TrainyardError:
            return "does not answer"
        return "ok"

    def _storage(self) -> str:
        try:
            self.blobs.ping()
        except OSError:
            return "does not answer"
        if shutil.disk_usage(self.settings.home_dir).free < self.settings.min_free_bytes:
            return "the disk is nearly full"
        return "ok"

    def _workers(self) -> str:
        try:
            with self.database.reading() as session:
                seen = live_workers(session, self.settings.lease_seconds)
        except TrainyardError:
            return "unknown: the database does not answer"
        return "ok" if seen else "none seen"
