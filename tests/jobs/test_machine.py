"""A job's life in any order of events, against a model of what must be true (RELIABILITY.md, P2)."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, text, update

from app.db.engine import Database, db_now
from app.db.tables import Base, Job, JobEvent, ModelVersion
from app.jobs import repository as jobs
from app.jobs.states import FINAL
from tests.jobs import world
from tests.jobs.world import ERROR

MAX_FAILURES = 2


@dataclass
class Expected:
    """What the row of one job must say."""

    state: str = "queued"
    attempt: int = 0
    failures: int = 0
    keep: str | None = None
    pause: bool = False
    model: int | None = None
    published_by: int | None = None
    frozen: dict[str, Any] | None = None
    steps: dict[int, int] = field(default_factory=dict)


class JobMachine(RuleBasedStateMachine):
    """Jobs, live and stale attempts of them, and clients, in any order."""

    database: Database
    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        with self.database.transaction() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(table.delete())
        self.dataset_id = world.add_dataset(self.database)
        self.expected: dict[str, Expected] = {}
        self.versions: list[str] = []
        self.submit()

    # Clients

    @precondition(lambda self: sum(job.state not in FINAL for job in self.expected.values()) < 2)
    @rule()
    def submit(self) -> None:
        job_id = world.add_job(self.database, self.dataset_id, max_failures=MAX_FAILURES)
        self.expected[job_id] = Expected()

    @rule(data=st.data(), verb=st.sampled_from(["pause", "resume", "pause", "resume", "cancel"]))
    def ask(self, data: st.DataObject, verb: str) -> None:
        """One rule for all verbs, so that they do not crowd out what workers do."""
        job_id, job = self._any(data)
        if verb == "cancel":
            self.cancel(job_id, job, data.draw(st.sampled_from(["none", "best"])))
        elif verb == "pause":
            self.pause(job_id, job)
        else:
            self.resume(job_id, job)

    def cancel(self, job_id: str, job: Expected, keep: str) -> None:
        with self.database.transaction() as session:
            state = jobs.cancel(session, job_id, keep)
        if job.state in ("queued", "paused"):
            job.state = "cancelled"
            assert state == "cancelled"
        elif job.state == "running":
            job.keep = keep if job.keep is None or keep == "none" else job.keep
            assert state == "running"
        else:
            assert state is None

    def pause(self, job_id: str, job: Expected) -> None:
        with self.database.transaction() as session:
            state = jobs.pause(session, job_id)
        if job.state == "queued":
            job.state = "paused"
            assert state == "paused"
        elif job.state == "running" and job.keep is None:
            job.pause = True
            assert state == "running"
        else:
            assert state is None

    def resume(self, job_id: str, job: Expected) -> None:
        with self.database.transaction() as session:
            assert jobs.resume(session, job_id) == (job.state == "paused")
        if job.state == "paused":
            job.state, job.pause = "queued", False

    # Workers; an attempt in the bundle may be stale

    @precondition(lambda self: any(job.state == "queued" for job in self.expected.values()))
    @rule(target=attempts)
    def claim(self) -> Any:
        self._no_backoff()
        claimed = world.claim(self.database)
        queued = [job_id for job_id, job in self.expected.items() if job.state == "queued"]
        assert claimed is not None
        assert claimed.id == min(queued), "the oldest is claimed"
        job = self.expected[claimed.id]
        job.state, job.attempt, job.pause, job.keep = "running", job.attempt + 1, False, None
        assert claimed.attempt == job.attempt
        return claimed.id, claimed.attempt

    @rule(attempt=attempts)
    def heartbeat(self, attempt: tuple[str, int]) -> None:
        job_id, number = attempt
        with self.database.transaction() as session:
            flags = jobs.heartbeat(session, job_id, number, 30)
        job = self.expected[job_id]
        assert flags == (jobs.Flags(job.keep is not None, job.keep, job.pause) if self._owns(attempt) else None)

    @rule(attempt=attempts, step=st.integers(1, 3))
    def record(self, attempt: tuple[str, int], step: int) -> None:
        job_id, number = attempt
        row = {"epoch": step, "step": step, "split": "train", "values": {"loss": float(number)}}
        with self.database.transaction() as session:
            done = jobs.record_metrics(session, job_id, number, [row])
            assert jobs.record_progress(session, job_id, number, {"step": step}) == done
        assert done == self._owns(attempt)
        if done:
            self.expected[job_id].steps[step] = number

    @rule(attempt=attempts, how=st.sampled_from(["succeed", "fail", "stop", "put_aside", "put_aside"]))
    def end(self, attempt: tuple[str, int], how: str) -> None:
        """One rule for all ends, so that jobs live long enough to be lost and claimed again."""
        ends = {"succeed": self.succeed, "fail": self.fail, "stop": self.stop, "put_aside": self.put_aside}
        ends[how](attempt)

    def succeed(self, attempt: tuple[str, int]) -> None:
        job_id, number = attempt
        ref = world.succeed(self.database, job_id, number)
        job = self.expected[job_id]
        if not self._owns(attempt):
            assert ref == (f"mo@{job.model}" if job.published_by == number else None)
        elif job.keep == "none":
            job.state = "cancelled"
            assert ref is None
        else:
            job.state = "succeeded" if job.keep is None else "cancelled"
            self.versions.append(job_id)
            job.model, job.published_by = len(self.versions), number
            assert ref == f"mo@{job.model}"

    def fail(self, attempt: tuple[str, int]) -> None:
        job_id, number = attempt
        with self.database.transaction() as session:
            assert jobs.fail(session, job_id, number, error=ERROR) == self._owns(attempt)
        if self._owns(attempt):
            self.expected[job_id].state = "failed"

    def stop(self, attempt: tuple[str, int]) -> None:
        job_id, number = attempt
        with self.database.transaction() as session:
            assert jobs.cancelled(session, job_id, number) == self._owns(attempt)
        if self._owns(attempt):
            self.expected[job_id].state = "cancelled"

    def put_aside(self, attempt: tuple[str, int]) -> None:
        job_id, number = attempt
        with self.database.transaction() as session:
            assert jobs.paused(session, job_id, number, trained_seconds=1) == self._owns(attempt)
        if self._owns(attempt):
            job = self.expected[job_id]
            job.state = "cancelled" if job.keep is not None else "paused"

    @rule(attempt=attempts, charge=st.booleans())
    def give_back(self, attempt: tuple[str, int], charge: bool) -> None:
        job_id, number = attempt
        owned = self._owns(attempt)
        with self.database.transaction() as session:
            state = jobs.requeue(session, job_id, number, charge=charge)
        assert state == (self._released(job_id, charge) if owned else None)

    @precondition(lambda self: any(job.state == "running" and job.attempt > 1 for job in self.expected.values()))
    @rule(data=st.data())
    def wake_a_zombie(self, data: st.DataObject) -> None:
        """A worker that slept past its lease reports everything it has, while another attempt runs."""
        taken = sorted(job_id for job_id, job in self.expected.items() if job.state == "running" and job.attempt > 1)
        job_id = data.draw(st.sampled_from(taken))
        stale = data.draw(st.integers(1, self.expected[job_id].attempt - 1))
        row = {"epoch": 9, "step": 9, "split": "train", "values": {"loss": 9.0}}
        with self.database.transaction() as session:
            assert jobs.heartbeat(session, job_id, stale, 30) is None
            assert not jobs.record_progress(session, job_id, stale, {"step": 9})
            assert not jobs.record_metrics(session, job_id, stale, [row])
            assert not jobs.append_event(session, job_id, stale, "note")
            assert not jobs.fail(session, job_id, stale, error=ERROR)
            assert not jobs.cancelled(session, job_id, stale)
            assert not jobs.paused(session, job_id, stale, trained_seconds=9.0)
            assert jobs.requeue(session, job_id, stale, charge=True) is None
        assert world.succeed(self.database, job_id, stale) is None

    # The sweep

    @precondition(lambda self: any(job.state == "running" for job in self.expected.values()))
    @rule(data=st.data())
    def lose_worker(self, data: st.DataObject) -> None:
        running = sorted(job_id for job_id, job in self.expected.items() if job.state == "running")
        job_id = data.draw(st.sampled_from(running))
        world.expire_lease(self.database, job_id)
        with self.database.transaction() as session:
            released = jobs.release_expired(session, 10)
            again = jobs.release_expired(session, 10)
        assert [(job.job_id, job.state) for job in released] == [(job_id, self._released(job_id, True))]
        assert again == []

    # What always holds

    @invariant()
    def rows_are_as_expected(self) -> None:
        with self.database.reading() as session:
            rows = {job.id: job for job in session.scalars(select(Job))}
            versions = session.execute(select(ModelVersion.job_id, ModelVersion.version)).all()
            events = session.execute(select(JobEvent.job_id, JobEvent.seq).order_by(JobEvent.seq)).all()
            figures = session.execute(text("SELECT job_id, step, attempt FROM job_metrics")).all()
        assert set(rows) == set(self.expected), "no accepted job is lost"
        for job_id, job in self.expected.items():
            row = rows[job_id]
            assert (row.state, row.attempt, row.failures) == (job.state, job.attempt, job.failures)
            assert row.model_version == job.model
            assert (row.lease_expires_at is not None) == (row.state == "running")
            assert (row.finished_at is not None) == (row.state in FINAL)
            assert row.failures <= MAX_FAILURES
            assert [seq for owner, seq in events if owner == job_id] == list(range(1, row.event_seq + 1))
            assert {step: attempt for owner, step, attempt in figures if owner == job_id} == job.steps
            if row.state in FINAL:
                facts = world.row_of(self.database, job_id)
                assert job.frozen in (None, facts), "an ended job does not change"
                job.frozen = facts
        assert sorted(versions, key=lambda pair: pair[1]) == [
            (job_id, number) for number, job_id in enumerate(self.versions, 1)
        ], "one version a job, counted up"

    def _any(self, data: st.DataObject) -> tuple[str, Expected]:
        job_id = data.draw(st.sampled_from(sorted(self.expected)))
        return job_id, self.expected[job_id]

    def _owns(self, attempt: tuple[str, int]) -> bool:
        job = self.expected[attempt[0]]
        return job.state == "running" and job.attempt == attempt[1]

    def _released(self, job_id: str, charge: bool) -> str:
        job = self.expected[job_id]
        if job.keep is not None:
            job.state = "cancelled"
            return job.state
        job.failures += charge
        if charge and job.failures >= MAX_FAILURES:
            job.state = "failed"
        else:
            job.state = "paused" if job.pause else "queued"
        return job.state

    def _no_backoff(self) -> None:
        with self.database.transaction() as session:
            session.execute(update(Job).where(Job.state == "queued").values(run_after=db_now(-1)))


@pytest.mark.timeout(600)
def test_any_order_of_events(database: Database) -> None:
    # Every step is a commit on a real database; the marker `services` looks harder.
    examples, steps = (20, 30) if database.is_sqlite else (40, 40)
    machine = type("Machine", (JobMachine,), {"database": database})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=False,
        ),
    )


@pytest.mark.timeout(600)
@pytest.mark.services
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_any_order_of_events_at_length_on_sqlite(database: Database) -> None:
    machine = type("Machine", (JobMachine,), {"database": database})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
