"""A deployment without HTTP: data sets and models by hand, jobs by the service, each run by a real supervisor."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app.core.ids import new_id
from app.core.settings import Settings
from app.datasets.cache import DatasetCache
from app.datasets.ingest_child import ingest
from app.datasets.options import Limits, Options
from app.datasets.service import DatasetService
from app.db.engine import Database
from app.db.tables import Base, Dataset
from app.jobs import repository as jobs
from app.jobs.queue import Bell
from app.jobs.requests import parse_request
from app.jobs.schemas import JobView
from app.jobs.service import JobService
from app.models.bundle import read_manifest
from app.models.repository import PublishedBundle, publish_version
from app.models.service import ModelService
from app.storage.blobs import LocalBlobs, put_tree
from tests.servers import wait_until
from workers.child import BATCH, Program
from workers.supervisor import Supervisor

PROJECT = "default"
IDLE = Program(trainer="tests.workers.fake_trainer", preload=("workers.trainer.order",))
SLOW = Program(trainer="tests.batch.slow_batch", preload=BATCH.preload)


class Silent(Bell):
    """A bell that nobody hears: the tests claim by hand."""

    def __init__(self) -> None:
        super().__init__("redis://127.0.0.1:1/0")

    def ring(self, *_: Any) -> None:
        """Do nothing."""


class BatchYard:
    """Database, store, services and supervisors."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.settings = Settings(
            home=home, heartbeat_seconds=0.2, lease_seconds=5, control_seconds=0.05, min_free_bytes=0, **settings
        )
        self.settings.work_dir.mkdir(parents=True)
        self.database = Database(self.settings.database)
        Base.metadata.create_all(self.database.engine)
        self.blobs = LocalBlobs(self.settings.home_dir / "blobs")
        self.cache = DatasetCache(self.blobs, self.settings.work_dir)
        self.jobs = JobService(self.database, self.blobs, self.settings, self.cache, Silent())
        self.models = ModelService(self.database, self.blobs)
        self.datasets = DatasetService(self.database, self.blobs, self.settings)
        self.draining = threading.Event()
        self._open: list[Supervisor] = []
        self._usual: Supervisor | None = None
        self.trainer = IDLE

    def upload(self, folder: Path, text: str, name: str = "rows.csv", **options: Any) -> str:
        """Take in a file's text; return the data set's id."""
        folder.mkdir(parents=True, exist_ok=True)
        upload = folder / name
        upload.write_text(text, encoding="utf-8")
        return self.take_in(upload, **options)

    def take_in(self, upload: Path, **options: Any) -> str:
        """Take in a file; return the data set's id."""
        dataset_id = new_id("ds")
        output = upload.parent / dataset_id
        output.mkdir()
        content = upload.read_bytes()
        limits = Limits(max_upload_bytes=1 << 30, memory_bytes=1 << 30, seconds=60, min_free_bytes=0)
        named = Options(file_name=upload.name, **options)
        schema = ingest(upload, upload.parent, output, named, limits)["schema"]
        prefix = f"datasets/{dataset_id}"
        put_tree(self.blobs, prefix, output)
        row = Dataset(
            id=dataset_id, project=PROJECT, name=upload.name, format="csv", rows=schema["rows"], bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(), splits=schema["splits"], columns=schema["columns"],
            rejected=schema["rejected"], cleaning=[], blob_prefix=prefix,
        )  # fmt: skip
        with self.database.transaction() as session:
            session.add(row)
        return dataset_id

    def publish(self, name: str, folder: Path) -> str:
        """Publish the bundle in `folder`; return the ref."""
        prefix = f"bundles/{new_id('job')}/1"
        size = put_tree(self.blobs, prefix, folder)
        digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
        bundle = PublishedBundle(prefix, read_manifest(folder / "manifest.json"), size, digest)
        with self.database.transaction() as session:
            version = publish_version(session, PROJECT, name, None, bundle)
        return f"{name}@{version}"

    def submit(self, **request: Any) -> str:
        """Submit a job; return its id."""
        return self.jobs.submit(PROJECT, parse_request(request)).id

    def supervisor(self, batch: Program = BATCH, **changes: Any) -> Supervisor:
        """Return a supervisor; the same again for the program and settings of the deployment."""
        if batch is BATCH and not changes and self._usual is not None:
            return self._usual
        supervisor = Supervisor(
            self.settings.model_copy(update=changes),
            self.database,
            Database(self.settings.database, pool_size=1),
            self.blobs,
            self.cache,
            self.trainer,
            self.draining.is_set,
            batch,
        )
        self._open.append(supervisor)
        if batch is BATCH and not changes:
            self._usual = supervisor
        return supervisor

    def claim(self, job_id: str) -> jobs.ClaimedJob:
        """Claim a job."""
        with self.database.transaction() as session:
            claimed = jobs.claim(session, "w", self.settings.lease_seconds, job_id)
        assert claimed is not None
        return claimed

    def run(self, job_id: str, batch: Program = BATCH, **changes: Any) -> JobView:
        """Claim and supervise to the end; return the job."""
        self.supervisor(batch, **changes).run(self.claim(job_id))
        return self.job(job_id)

    @contextlib.contextmanager
    def running(self, job_id: str, batch: Program = SLOW, **changes: Any) -> Iterator[jobs.ClaimedJob]:
        """Supervise a claim in a thread; the block may interfere; its end waits for the thread."""
        claimed = self.claim(job_id)
        thread = threading.Thread(target=self.supervisor(batch, **changes).run, args=(claimed,))
        thread.start()
        try:
            yield claimed
        finally:
            thread.join(30)
            assert not thread.is_alive()

    def job(self, job_id: str) -> JobView:
        """Return the job as a client sees it."""
        return self.jobs.get(PROJECT, job_id)

    def events(self, job_id: str) -> list[str]:
        """Return the types of the job's events."""
        page = self.jobs.events(PROJECT, job_id, limit=100, after=None, descending=False)
        return [event.type for event in page.data]

    def wait_for_checkpoints(self, job_id: str, number: int) -> None:
        """Wait until so many are recorded."""
        wait_until(lambda: len(self.jobs.checkpoints(PROJECT, job_id).data) >= number, 30, "checkpoints")

    def rows(self, dataset_id: str) -> list[dict[str, Any]]:
        """Return all rows of a data set, as pages show them."""
        stored = self.datasets.open(PROJECT, dataset_id)
        return stored.page(0, stored.rows)

    def result_rows(self, job_id: str) -> list[dict[str, Any]]:
        """Return the rows of the predictions of a job."""
        result = self.job(job_id).result
        assert result is not None
        return self.rows(result["dataset"])

    def close(self) -> None:
        """End everything."""
        for supervisor in self._open:
            supervisor.close()
        self.datasets.close()
        self.database.close()


def table_csv(rows: int, seed: int = 0, **changed: dict[int, str]) -> str:
    """Rows for `table_bundle`, with an id; `changed` cells by column and row."""
    random = np.random.default_rng(seed)
    cities = ["Oslo", "Bergen", "", "Tromsø", "Vardø"]
    lines = ["key,age,size,smoker,city,label,price,wet,windy"]
    for row in range(rows):
        cells = {
            "key": f"k{row}",
            "age": f"{random.normal(40, 10):.3f}",
            "size": str(random.integers(1, 9)),
            "smoker": ["true", "false", ""][random.integers(0, 3)],
            "city": cities[random.integers(0, 5)],
            "label": ["no", "yes"][random.integers(0, 2)],
            "price": f"{random.normal(250, 80):.2f}",
            "wet": ["true", "false"][random.integers(0, 2)],
            "windy": ["true", "false"][random.integers(0, 2)],
        }
        for column, by_row in changed.items():
            cells[column] = by_row.get(row, cells[column])
        lines.append(",".join(cells.values()))
    return "\n".join(lines) + "\n"
