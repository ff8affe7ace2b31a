"""What the processes of test_concurrency.py do; each opens the database anew, as a worker would."""

import time

from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import Job
from app.jobs import repository as jobs


def count_up(url: str, job_id: str, times: int) -> list[float]:
    """Read the job's progress, add one and write it, `times` over; return the seconds each took."""
    database = Database(url)
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        with database.transaction() as session:
            job = session.scalars(select(Job).where(Job.id == job_id).with_for_update()).one()
            count = (job.progress or {"step": 0})["step"] + 1
            assert jobs.record_progress(session, job_id, 1, {"step": count})
            assert jobs.append_event(session, job_id, 1, "note", {"step": count})
        seconds.append(time.perf_counter() - began)
    database.close()
    return seconds


def claim_all(url: str, worker: str) -> list[tuple[str, int]]:
    """Claim until the queue is empty; return what was claimed."""
    database = Database(url)
    claimed = []
    while True:
        with database.transaction() as session:
            job = jobs.claim(session, worker, 30)
        if job is None:
            database.close()
            return claimed
        claimed.append((job.id, job.attempt))


def release_all(url: str) -> list[str]:
    """Sweep until nothing is released; return the ids."""
    database = Database(url)
    released: list[str] = []
    while True:
        with database.transaction() as session:
            found = jobs.release_expired(session, 3)
        if not found:
            database.close()
            return released
        released += [job.job_id for job in found]
