"""A deployment of one supervisor in this process, with the scripted trainer."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.ids import new_id
from app.core.settings import Settings
from app.db.engine import Database, db_now
from app.db.migrate import migrate
from app.db.tables import Base, Dataset, Job, JobAttempt, JobCheckpoint, JobEvent, JobMetric, ModelVersion
from app.jobs import repository as jobs
from app.storage.blobs import LocalBlobs
from tests.workers.processes import wait_until
from workers.child import Program
from workers.supervisor import Supervisor

FAKE = Program(trainer="tests.workers.fake_trainer", preload=("workers.trainer.order",))


class Folders:
    """A cache of data sets that always has them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.error: OSError | None = None

    def folder(self, dataset_id: str, sha256: str) -> Path:
        if self.error is not None:
            raise self.error
        return self.path


class Yard:
    """Database, blobs and supervisors, and what a test wants to know of them."""

    def __init__(self, settings: Settings, *, migrated: bool = False) -> None:
        """`migrated`: by the migrations, as `up` wants it; else the tables alone, which is faster."""
        self.settings = settings
        settings.work_dir.mkdir(parents=True)
        self.database = Database(settings.database)
        if migrated:
            migrate(self.database)
        else:
            Base.metadata.create_all(self.database.engine)
        self.blobs = LocalBlobs(settings.home_dir / "blobs")
        self.folders = Folders(settings.work_dir)
        self.draining = threading.Event()
        self._open: list[Supervisor] = []
        with self.database.transaction() as session:
            session.add(
                Dataset(
                    id="ds_1", name="d", format="csv", rows=1, bytes=1, sha256="0" * 64, splits=None, columns=[],
                    rejected={}, cleaning=[], blob_prefix="datasets/ds_1",
                )
            )  # fmt: skip

    def supervisor(self, program: Program = FAKE, **changes: Any) -> Supervisor:
        supervisor = Supervisor(
            self.settings.model_copy(update=changes),
            self.database,
            Database(self.settings.database, pool_size=1),
            self.blobs,
            self.folders,
            program,
            self.draining.is_set,
        )
        self._open.append(supervisor)
        return supervisor

    def submit(
        self,
        script: list[dict[str, Any]],
        *,
        max_failures: int = 3,
        priority: int = 0,
        training: dict[str, Any] | None = None,
        resolved: dict[str, Any] | None = None,
    ) -> str:
        """`script`: for the scripted trainer, with a `training` where a test needs one; `resolved`: for the real."""
        if resolved is None:
            resolved = {"script": script} | ({} if training is None else {"training": training})
        job_id = new_id("job")
        with self.database.transaction() as session:
            jobs.create_job(
                session,
                jobs.NewJob(
                    id=job_id, project="default", recipe="tabular-classification", request={},
                    resolved=resolved, model_name="m", datasets={"all": "ds_1"},
                    max_failures=max_failures, priority=priority,
                ),
            )  # fmt: skip
        return job_id

    def claim(self, job_id: str | None = None, lease_seconds: float | None = None) -> jobs.ClaimedJob:
        with self.database.transaction() as session:
            claimed = jobs.claim(session, "w", lease_seconds or self.settings.lease_seconds, job_id)
        assert claimed is not None
        return claimed

    def run(self, script: list[dict[str, Any]], **options: Any) -> Job:
        """Submit, claim, supervise to the end; return the row."""
        job_id = self.submit(script, **options)
        self.supervisor().run(self.claim(job_id))
        return self.job(job_id)

    @contextlib.contextmanager
    def running(self, job_id: str, program: Program = FAKE, **changes: Any) -> Iterator[jobs.ClaimedJob]:
        """Supervise a claim of the job in a thread; the block may interfere; its end waits for the thread."""
        claimed = self.claim(job_id)
        supervisor = self.supervisor(program, **changes)
        thread = threading.Thread(target=supervisor.run, args=(claimed,))
        thread.start()
        yield claimed
        thread.join(20)
        assert not thread.is_alive()

    def job(self, job_id: str) -> Job:
        with self.database.reading() as session:
            row = session.get(Job, job_id)
        assert row is not None
        return row

    def rows(self, table: type[Any], job_id: str) -> list[Any]:
        with self.database.reading() as session:
            order = [c for c in (getattr(table, n, None) for n in ("attempt", "seq", "step")) if c is not None]
            return list(session.query(table).filter(table.job_id == job_id).order_by(*order))

    def attempts(self, job_id: str) -> list[JobAttempt]:
        return self.rows(JobAttempt, job_id)

    def events(self, job_id: str) -> list[str]:
        with self.database.reading() as session:
            found = session.query(JobEvent).filter(JobEvent.job_id == job_id).order_by(JobEvent.seq)
            return [event.type for event in found]

    def checkpoints(self, job_id: str) -> list[JobCheckpoint]:
        return self.rows(JobCheckpoint, job_id)

    def metrics(self, job_id: str) -> list[JobMetric]:
        return self.rows(JobMetric, job_id)

    def versions(self, job_id: str) -> list[ModelVersion]:
        with self.database.reading() as session:
            return list(session.query(ModelVersion).filter(ModelVersion.job_id == job_id))

    def wait_for_step(self, job_id: str, step: int) -> None:
        wait_until(lambda: (self.job(job_id).progress or {}).get("step", 0) >= step)

    def make_due(self, job_id: str) -> None:
        """Let a job that waits out its backoff be claimed now."""
        with self.database.transaction() as session:
            session.query(Job).filter(Job.id == job_id).update({"run_after": db_now()})

    def take_away(self, job_id: str) -> None:
        """Do what the sweep does with a job whose worker is silent."""
        with self.database.transaction() as session:
            session.query(Job).filter(Job.id == job_id).update({"lease_expires_at": db_now(-1.0)})
        with self.database.transaction() as session:
            assert [r.job_id for r in jobs.release_expired(session, 10)] == [job_id]

    def close(self) -> None:
        for supervisor in self._open:
            supervisor.close()
        self.database.close()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    settings = Settings(
        home=tmp_path / "home", heartbeat_seconds=0.2, lease_seconds=5, control_seconds=0.1, cancel_grace_seconds=0.5,
        keep_grace_seconds=5, stall_seconds=30,
    )  # fmt: skip
    yard = Yard(settings)
    yield yard
    yard.close()
