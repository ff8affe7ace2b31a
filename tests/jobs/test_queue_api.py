"""The queue as a client sees it: its name, whose a job is, where it stands, and what says that nobody serves it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from starlette.testclient import TestClient

from app.core.auth import key_line, new_key
from app.core.settings import Settings
from app.db.engine import Database
from app.db.migrate import migrate
from app.db.tables import Job, Worker
from app.jobs import repository as jobs
from app.main import create_app
from app.system.repository import record_worker

ROWS = "a,b,y\n" + "".join(f"{i % 7},{(i * 3) % 11},{'yes' if (i * 5) % 3 else 'no'}\n" for i in range(60))
KEYS = {name: new_key() for name in ("search", "ads")}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Database, str]]:
    home = tmp_path_factory.mktemp("home")
    keys = Path(home / "keys")
    keys.write_text("\n".join(key_line(name, key) for name, key in KEYS.items()))
    app = create_app(Settings(home=home, min_free_bytes=0, log_level="ERROR", api_keys_file=keys))
    migrate(app.services.database)
    with TestClient(app) as client:
        answer = client.post("/v1/datasets?name=rows.csv", content=ROWS.encode(), headers=as_("search"))
        yield client, app.services.database, str(answer.json()["id"])


@pytest.fixture
def database(deployment: tuple[TestClient, Database, str]) -> Database:
    with deployment[1].transaction() as session:
        session.execute(delete(Job))
        session.execute(delete(Worker))
    return deployment[1]


def as_(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[name]}"}


@pytest.fixture
def submit(deployment: tuple[TestClient, Database, str], database: Database) -> Any:
    client, _, dataset = deployment

    def post(key: str = "search", **fields: Any) -> Any:
        body = {"recipe": "tabular-classification", "dataset": dataset, "columns": {"target": "y"}, **fields}
        return client.post("/v1/jobs", json=body, headers=as_(key))

    return post


def add_worker(database: Database, *queues: str, slots: int = 1) -> None:
    with database.transaction() as session:
        record_worker(session, name="w", host="h", pid=1, slots=slots, devices=[], release="x", queues=queues)


@pytest.mark.parametrize(
    ("fields", "owner"),
    [
        ({}, "search"),
        ({"metadata": {"owner": "ann"}}, "ann"),
        ({"metadata": {"owner": 7}}, "search"),
        ({"metadata": {"owner": "x" * 500}}, "x" * 128),
    ],
)
def test_a_job_counts_for_its_owner_else_for_the_key(submit: Any, fields: dict[str, Any], owner: str) -> None:
    assert submit(**fields).json()["owner"] == owner


def test_a_retry_counts_for_who_asks_for_it(deployment: tuple[TestClient, Database, str], submit: Any) -> None:
    client = deployment[0]
    job_id = submit().json()["id"]
    client.post(f"/v1/jobs/{job_id}/cancel", headers=as_("search"))
    assert client.post(f"/v1/jobs/{job_id}/retry", headers=as_("ads")).json()["owner"] == "ads"


def test_places_are_fair_between_keys(deployment: tuple[TestClient, Database, str], submit: Any) -> None:
    client = deployment[0]
    many = [submit("ads").json()["id"] for _ in range(3)]
    few = submit("search").json()
    assert few["queue_position"] == 2
    shown = [client.get(f"/v1/jobs/{j}", headers=as_("search")).json()["queue_position"] for j in many]
    assert shown == [1, 3, 4]


def test_a_queue_is_named_and_has_its_own_places(submit: Any, database: Database) -> None:
    assert submit().json()["queue_position"] == 1
    night = submit(queue="night").json()
    assert (night["queue"], night["queue_position"]) == ("night", 1)
    for bad in ("", "Night", "a b", "x" * 33, "-a", 7, None):
        assert submit(queue=bad).status_code == 422, bad


def test_it_is_said_that_no_worker_serves_the_queue(
    deployment: tuple[TestClient, Database, str], submit: Any, database: Database
) -> None:
    client = deployment[0]
    add_worker(database, "cpu", "default", slots=3)
    job = submit(queue="night").json()
    assert [warning["code"] for warning in job["warnings"]][-1] == "queue_not_served"
    assert job["expected_start_at"] is None
    system = client.get("/v1/system", headers=as_("search")).json()
    assert [(worker["queues"], worker["busy_slots"]) for worker in system["workers"]] == [(["cpu", "default"], 0)]
    assert {queue["name"]: (queue["served"], queue["queued"], queue["idle_slots"]) for queue in system["queues"]} == {
        "cpu": (True, 0, 3), "default": (True, 0, 3), "night": (False, 1, 0),
    }  # fmt: skip
    add_worker(database, "night")
    again = client.get(f"/v1/jobs/{job['id']}", headers=as_("search")).json()
    assert "queue_not_served" not in [warning["code"] for warning in again["warnings"]]
    assert again["expected_start_at"] is not None


def test_only_what_is_queued_has_a_place_and_a_start(
    deployment: tuple[TestClient, Database, str], submit: Any, database: Database
) -> None:
    add_worker(database, "default")
    job = submit().json()
    assert job["queue_position"] == 1
    assert job["expected_start_at"] is not None
    with database.transaction() as session:
        assert jobs.claim(session, "w", 30.0) is not None
    running = deployment[0].get(f"/v1/jobs/{job['id']}", headers=as_("search")).json()
    assert (running["state"], running["queue_position"], running["expected_start_at"]) == ("running", None, None)


def test_metrics_tell_of_queues_and_totals(
    deployment: tuple[TestClient, Database, str], submit: Any, database: Database
) -> None:
    submit(queue="night")
    add_worker(database, "default", slots=2)
    text = deployment[0].get("/metrics", headers=as_("search")).text
    for line in (
        'trainyard_jobs{queue="night",state="queued"} 1.0',
        'trainyard_queue_idle_slots{queue="default"} 2.0',
        'trainyard_queue_slots{queue="night"} 0.0',
        "trainyard_workers 1.0",
        "trainyard_idle_slots 2.0",
        "trainyard_database_up 1.0",
        "trainyard_lease_expiries_total 0.0",
    ):
        assert line in text, line
