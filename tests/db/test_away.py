"""A PostgreSQL that does not answer: noticed in time, and waited for by one caller at a time."""

import signal
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text

from app.db.away import Away, is_of_the_server
from app.db.engine import Database, DatabaseUnavailable
from tests.drills.servers import Postgres

ANSWER_SECONDS = 1.0


class TestAway:
    def test_one_tries_and_the_others_are_told_at_once(self) -> None:
        away, entered, go_on = Away(), threading.Event(), threading.Event()
        away.note()
        tried: list[bool] = []

        def ping() -> None:
            entered.set()
            assert not away.refuses  # who tries must be let through
            go_on.wait(10)

        thread = threading.Thread(target=lambda: tried.append(away.is_back(ping)))
        thread.start()
        entered.wait(10)
        assert away.refuses
        assert not away.is_back(pytest.fail)
        go_on.set()
        thread.join()
        assert tried == [True]
        assert away.is_back(pytest.fail), "it is back, and nobody asks again"

    def test_a_failed_try_leaves_it_away(self) -> None:
        away = Away()
        away.note()

        def ping() -> None:
            raise psycopg.OperationalError("still away")

        with pytest.raises(psycopg.OperationalError):
            away.is_back(ping)
        assert away.refuses
        assert away.is_back(lambda: None)

    def test_what_is_wrong_with_a_statement_is_not_the_servers(self) -> None:
        assert is_of_the_server(psycopg.OperationalError("connection refused"))
        assert is_of_the_server(psycopg.errors.AdminShutdown("going down"))
        assert not is_of_the_server(psycopg.errors.LockNotAvailable("locked"))
        assert not is_of_the_server(psycopg.errors.QueryCanceled("too slow"))
        assert not is_of_the_server(None)


@pytest.mark.services
class TestFrozenServer:
    @pytest.fixture
    def postgres(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
        folder = tmp_path_factory.mktemp("frozen")
        for above in (folder, *folder.parents[:2]):
            above.chmod(above.stat().st_mode | 0o055)
        server = Postgres(folder / "postgres", "secret")
        server.start()
        yield server
        server.signal(signal.SIGCONT)
        server.kill()

    def test_nothing_waits_longer_than_it_may(self, postgres: Postgres) -> None:
        database = Database(postgres.url, pool_size=2, answer_seconds=ANSWER_SECONDS)
        database.ping()
        postgres.signal(signal.SIGSTOP)
        assert _refused_after(database) < ANSWER_SECONDS + 0.8  # and not the connect time-out on top
        answers: list[float] = []
        threads = [threading.Thread(target=lambda: answers.append(_refused_after(database))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers)[-2] < 0.5, "all but the one that tries are told at once"
        postgres.signal(signal.SIGCONT)
        with database.transaction() as session:
            assert session.execute(text("SELECT 1")).scalar_one() == 1
        database.close()

    def test_an_answer_under_way_is_not_taken_for_the_next(self, postgres: Postgres) -> None:
        database = Database(postgres.url, pool_size=1, answer_seconds=ANSWER_SECONDS)
        with pytest.raises(DatabaseUnavailable), database.reading() as session:
            session.execute(text("SELECT pg_sleep(3), 7"))
        with database.reading() as session:
            assert session.execute(text("SELECT 1")).scalar_one() == 1
        database.close()


def _refused_after(database: Database) -> float:
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable), database.reading() as session:
        session.execute(text("SELECT 1"))
    return time.monotonic() - began
