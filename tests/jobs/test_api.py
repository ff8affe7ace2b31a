"""The routes of jobs, over HTTP; a worker is played by writing to the database beside the server."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from app.core.settings import Settings
from app.db.engine import Database
from app.db.migrate import migrate
from app.jobs import repository as jobs
from app.jobs.schemas import JobView
from app.main import create_app
from tests.jobs import world
from tests.servers import wait_until

ROWS = "a,b,y\n" + "".join(f"{i % 7},{(i * 3) % 11},{'yes' if (i * 5) % 3 else 'no'}\n" for i in range(60))


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Database, Any]]:
    """A server in a thread, its client, and a database of its own as another process would have."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), min_free_bytes=0, log_level="ERROR")
    app = create_app(settings)
    migrate(app.services.database)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, 20, "the start of the server")
    port = server.servers[0].sockets[0].getsockname()[1]
    database = Database(settings.database)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
        yield client, database, app.services
    server.should_exit = True
    thread.join(20)
    database.close()


@pytest.fixture
def client(deployment: tuple[httpx.Client, Database, Any]) -> httpx.Client:
    return deployment[0]


@pytest.fixture
def database(deployment: tuple[httpx.Client, Database, Any]) -> Iterator[Database]:
    """The other process's database, left without jobs that wait or run."""
    yield deployment[1]
    with deployment[1].transaction() as session:
        session.execute(
            world.text("UPDATE jobs SET state = 'cancelled' WHERE state IN ('queued', 'running', 'paused')")
        )


@pytest.fixture(scope="module")
def dataset(deployment: tuple[httpx.Client, Database, Any]) -> str:
    answer = deployment[0].post("/v1/datasets?name=rows.csv", content=ROWS.encode())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def request_for(dataset: str, **fields: Any) -> dict[str, Any]:
    return {"recipe": "tabular-classification", "dataset": dataset, "columns": {"target": "y"}, **fields}


@pytest.fixture
def job(client: httpx.Client, database: Database, dataset: str) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json=request_for(dataset))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    return error


# Submitting


def test_submit_answers_the_whole_job(client: httpx.Client, database: Database, dataset: str) -> None:
    request = request_for(dataset, metadata={"team": "search"}, max_failures=5)
    answer = client.post("/v1/jobs", json=request)
    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/jobs/{body['id']}"
    JobView.model_validate(body)
    expected = {
        "object": "job", "kind": "train", "recipe": "tabular-classification", "state": "queued", "attempt": 0,
        "failures": 0, "max_failures": 5, "queue_position": 1, "started_at": None, "finished_at": None,
        "progress": None, "metrics": {"train": {}, "validation": {}, "test": {}}, "fit": None,
        "cancel_requested": False, "pause_requested": False, "stop_reason": None, "error": None, "model": None,
        "request": request, "metadata": {"team": "search"}, "retry_of": None,
    }  # fmt: skip
    assert {key: body[key] for key in expected} == expected
    assert body["resolved"]["columns"]["input"] == ["a", "b"]
    assert body["created_at"].endswith("Z")
    assert client.get(answer.headers["Location"]).json() == body
    assert world.job_of(database, body["id"]).model_name == f"tabular-classification-{body['id'][-6:]}"


def test_a_dry_run_queues_nothing(client: httpx.Client, database: Database, dataset: str) -> None:
    before = world.count(database, jobs_table())
    answer = client.post("/v1/jobs?dry_run=true", json=request_for(dataset))
    assert answer.status_code == 200
    told = {"resolved", "parameters", "trainable_parameters", "steps", "memory_bytes", "seconds", "warnings"}
    assert set(answer.json()) == told
    assert answer.json()["parameters"] > 0
    assert world.count(database, jobs_table()) == before


def jobs_table() -> Any:
    from app.db.tables import Job

    return Job


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"dataset": "ds_nothing"}, 404, "dataset_not_found", "dataset"),
        ({"dataset": {"train": "ds_nothing"}}, 404, "dataset_not_found", "dataset.train"),
        ({"columns": {"target": "labl"}}, 422, "column_missing", "columns.target"),
        ({"recipe": "nothing"}, 422, "recipe_unknown", "recipe"),
        ({"colums": {}}, 422, "unknown_field", "colums"),
        ({"training": {"epochs": 0}}, 422, "invalid_value", "training.epochs"),
        ({"model": "Not A Name"}, 422, "invalid_value", "model"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_queued(
    client: httpx.Client, database: Database, dataset: str, change: dict[str, Any], status: int, code: str, param: str
) -> None:
    before = world.count(database, jobs_table())
    answer = client.post("/v1/jobs", json={**request_for(dataset), **change})
    assert (answer.status_code, error_of(answer)["code"], error_of(answer)["param"]) == (status, code, param)
    assert world.count(database, jobs_table()) == before


def test_a_full_disk_takes_no_job(tmp_path: Path) -> None:
    from app.core.errors import StorageFull
    from app.jobs.submission import Submission
    from app.recipes.request import JobRequest

    settings = Settings(home=tmp_path, min_free_bytes=1 << 60)
    submission = Submission(Database(f"sqlite:///{tmp_path / 'x.db'}"), None, settings, None)  # type: ignore[arg-type]
    with pytest.raises(StorageFull):
        submission.submit("default", JobRequest(recipe="tabular-classification", dataset="ds_x"))


# Listing


def test_lists_are_filtered_and_paged(client: httpx.Client, database: Database, dataset: str) -> None:
    ids = [
        client.post("/v1/jobs", json=request_for(dataset, metadata=metadata)).json()["id"]
        for metadata in ({"run": "a", "n": 1}, {"run": "a", "n": 2}, {"run": "b", "on": True, "x'\"$.y": "z"})
    ]

    def found(**params: Any) -> list[str]:
        answer = client.get("/v1/jobs", params=params)
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["data"]]

    assert found(**{"metadata[run]": "a"}) == [ids[1], ids[0]]
    assert found(**{"metadata[run]": "a", "metadata[n]": "2"}) == [ids[1]]
    assert found(**{"metadata[on]": "true"}) == [ids[2]]
    assert found(**{"metadata[on]": "1"}) == []
    assert found(**{"metadata[x'\"$.y]": "z"}) == [ids[2]]
    assert found(**{"metadata[gone]": ""}) == []
    assert found(recipe="tabular-regression") == []
    client.post(f"/v1/jobs/{ids[0]}/cancel")
    assert found(state="queued", **{"metadata[run]": "a"}) == [ids[1]]

    page = client.get("/v1/jobs", params={"limit": 2}).json()
    assert (page["has_more"], page["first_id"], page["last_id"]) == (True, ids[2], ids[1])
    assert found(limit=1, after=ids[1]) == [ids[0]]
    assert found(order="asc", after=ids[0], limit=1) == [ids[1]]
    places = [job["queue_position"] for job in page["data"]]
    assert places == [2, 1], "the older of the two that are queued is first"


@pytest.mark.parametrize("query", ["state=done", "limit=0", "limit=101", "colour=red", "metadata[]=x", "order=up"])
def test_a_wrong_filter_is_refused(client: httpx.Client, query: str) -> None:
    assert client.get(f"/v1/jobs?{query}").status_code == 422


# Steering


def test_verbs_and_their_repetition(client: httpx.Client, job: dict[str, Any]) -> None:
    path = f"/v1/jobs/{job['id']}"
    for verb, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        first, second = client.post(f"{path}/{verb}"), client.post(f"{path}/{verb}", json={})
        assert (first.status_code, second.status_code) == (200, 200)
        assert first.json() == second.json()
        assert first.json()["state"] == state
    for verb, fits in (("pause", "queued, running"), ("resume", "paused")):
        answer = client.post(f"{path}/{verb}")
        assert (answer.status_code, error_of(answer)["code"]) == (409, "state_conflict")
        assert f"fits jobs that are {fits}" in error_of(answer)["message"]


def test_resume_of_a_job_that_was_never_paused_is_refused(client: httpx.Client, job: dict[str, Any]) -> None:
    assert client.post(f"/v1/jobs/{job['id']}/resume").status_code == 409


def test_a_running_job_is_asked_by_flags(client: httpx.Client, database: Database, job: dict[str, Any]) -> None:
    world.claim(database, job["id"])
    body = client.post(f"/v1/jobs/{job['id']}/pause").json()
    assert (body["state"], body["pause_requested"], body["queue_position"]) == ("running", True, None)
    body = client.post(f"/v1/jobs/{job['id']}/cancel", json={"keep": "best"}).json()
    assert (body["state"], body["cancel_requested"], body["attempt"]) == ("running", True, 1)
    assert client.post(f"/v1/jobs/{job['id']}/pause").status_code == 409, "it is being cancelled"
    with database.transaction() as session:
        flags = jobs.heartbeat(session, job["id"], 1, 30)
    assert flags == jobs.Flags(True, "best", True)


@pytest.mark.parametrize("body", [{"keep": "worst"}, {"kept": "best"}, [], 3])
def test_a_wrong_body_of_cancel_is_refused(client: httpx.Client, job: dict[str, Any], body: Any) -> None:
    assert client.post(f"/v1/jobs/{job['id']}/cancel", json=body).status_code == 422
    assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "queued"


def test_retry_makes_one_new_job(client: httpx.Client, database: Database, job: dict[str, Any]) -> None:
    path = f"/v1/jobs/{job['id']}"
    assert client.post(f"{path}/retry").status_code == 409
    client.post(f"{path}/cancel")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.post(f"{path}/retry"), range(4)))
    assert {answer.status_code for answer in answers} == {201}
    ids = {answer.json()["id"] for answer in answers}
    assert len(ids) == 1
    new = answers[0].json()
    assert (new["retry_of"], new["request"], new["state"]) == (job["id"], job["request"], "queued")
    assert answers[0].headers["Location"] == f"/v1/jobs/{new['id']}"


def test_a_kept_checkpoint_is_listed_with_its_id_and_can_be_published(
    client: httpx.Client, database: Database, job: dict[str, Any]
) -> None:
    path = f"/v1/jobs/{job['id']}/checkpoints"
    world.claim(database, job["id"])
    with database.transaction() as session:
        jobs.record_checkpoint(
            session, job["id"], 1, epoch=2, step=140, is_best=True, metrics={"loss": 0.5}, bytes_=9, sha256="a" * 64,
            blob_prefix=f"checkpoints/{job['id']}/1-140", trained_seconds=1.0,
        )  # fmt: skip
    [listed] = client.get(path).json()["data"]
    assert (listed["id"], listed["step"], listed["metrics"]) == ("1-140", 140, {"loss": 0.5})
    headers = {"Idempotency-Key": "take-1-140"}
    answers = [client.post(f"{path}/1-140/publish", json={"model": "taken"}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201], answers[0].text
    made = answers[0].json()
    assert answers[1].json()["id"] == made["id"]
    assert answers[0].headers["Location"] == f"/v1/jobs/{made['id']}"
    assert (made["kind"], made["state"], made["recipe"]) == ("publish", "queued", job["recipe"])
    source = {"job": job["id"], "checkpoint": "1-140"}
    assert made["request"] == {"kind": "publish", "source": source, "model": "taken"}
    assert made["resolved"] == job["resolved"]
    assert client.post(f"{path}/1-140/publish").json()["id"] != made["id"], "without a body too"
    client.post(f"/v1/jobs/{made['id']}/cancel")
    again = client.post(f"/v1/jobs/{made['id']}/retry")
    assert (again.status_code, again.json()["retry_of"], again.json()["kind"]) == (201, made["id"], "publish")
    for checkpoint, status in (("1-141", 404), ("one", 404), ("x" * 40, 422)):
        assert client.post(f"{path}/{checkpoint}/publish").status_code == status, checkpoint
    assert client.post(f"{path}/1-140/publish", json={"model": "No Name"}).status_code == 422
    assert client.post(f"/v1/jobs/{made['id']}/checkpoints/1-140/publish").status_code == 409


def test_delete_fits_ended_jobs_and_keeps_models(
    client: httpx.Client, database: Database, deployment: Any, job: dict[str, Any]
) -> None:
    path, blobs = f"/v1/jobs/{job['id']}", deployment[2].blobs
    assert client.delete(path).status_code == 409
    world.claim(database, job["id"])
    blobs.put_bytes(f"logs/{job['id']}/1.txt", b"one\n")
    blobs.put_bytes(f"checkpoints/{job['id']}/1-10/state.npz", b"x")
    ref = world.succeed(database, job["id"], 1)
    answer = client.delete(path)
    assert (answer.status_code, answer.json()) == (200, {"id": job["id"], "object": "job", "deleted": True})
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404
    assert blobs.keys(f"logs/{job['id']}") == []
    assert blobs.keys(f"checkpoints/{job['id']}") == []
    assert client.get(f"/v1/models/{ref}").status_code == 200


@pytest.mark.parametrize("rest", ["", "/metrics", "/events", "/attempts", "/checkpoints", "/evaluation", "/logs"])
def test_an_unknown_job_is_a_404(client: httpx.Client, rest: str) -> None:
    answer = client.get(f"/v1/jobs/job_nothing{rest}")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "job_not_found")


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry"])
def test_a_verb_for_an_unknown_job_is_a_404(client: httpx.Client, verb: str) -> None:
    assert client.post(f"/v1/jobs/job_nothing/{verb}").status_code == 404


# Showing


def test_what_a_worker_reports_is_shown(
    client: httpx.Client, database: Database, deployment: Any, job: dict[str, Any]
) -> None:
    job_id, path = job["id"], f"/v1/jobs/{job['id']}"
    world.claim(database, job_id)
    rows = [
        {"epoch": epoch, "step": epoch * 10, "split": split, "values": {"loss": 1 / epoch}}
        for epoch in (1, 2)
        for split in ("train", "validation")
    ]
    with database.transaction() as session:
        jobs.record_metrics(session, job_id, 1, rows)
        jobs.record_progress(session, job_id, 1, {"epoch": 2, "fraction": 0.5})
        jobs.record_checkpoint(
            session, job_id, 1, epoch=2, step=20, is_best=True, metrics={"val_loss": 0.5}, bytes_=9, sha256="b" * 64,
            blob_prefix=f"checkpoints/{job_id}/1-20", trained_seconds=3.0,
        )  # fmt: skip
    deployment[2].blobs.put_bytes(f"logs/{job_id}/1.txt", b"one\ntwo\nthree\n")

    body = client.get(path).json()
    assert body["progress"] == {"epoch": 2, "fraction": 0.5}
    assert body["metrics"] == {"train": {"loss": 0.5}, "validation": {"loss": 0.5}, "test": {}}
    listed = client.get(f"{path}/metrics").json()
    assert [{key: row[key] for key in ("epoch", "step", "split", "values")} for row in listed["data"]] == rows
    page = client.get(f"{path}/metrics?limit=3").json()
    rest = client.get(f"{path}/metrics", params={"after": page["last_id"]}).json()
    assert (page["has_more"], [row["split"] for row in rest["data"]]) == (True, ["validation"])
    assert client.get(f"{path}/metrics?after=x").status_code == 422
    assert client.get(f"{path}/checkpoints").json()["data"][0]["metrics"] == {"val_loss": 0.5}
    assert client.get(f"{path}/logs?tail=2").text == "two\nthree\n"
    assert client.get(f"{path}/logs").headers["content-type"].startswith("text/plain")

    missing = client.get(f"{path}/evaluation")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "evaluation_not_found")
    world.succeed(database, job_id, 1)
    assert client.get(f"{path}/evaluation").json() == {"split": "test"}
    attempts = client.get(f"{path}/attempts").json()["data"]
    assert [(a["attempt"], a["worker"], a["outcome"]) for a in attempts] == [(1, "w", "succeeded")]
    body = client.get(path).json()
    assert (body["state"], body["stop_reason"], body["fit"]) == ("succeeded", "completed", {"verdict": "healthy"})
    assert body["model"] == f"tabular-classification-{job_id[-6:]}@1"


def test_logs_go_over_attempts(client: httpx.Client, database: Database, deployment: Any, job: dict[str, Any]) -> None:
    world.claim(database, job["id"])
    with database.transaction() as session:
        jobs.requeue(session, job["id"], 1, charge=False)
    world.claim(database, job["id"])
    deployment[2].blobs.put_bytes(f"logs/{job['id']}/1.txt", b"one\ntwo\n")
    deployment[2].blobs.put_bytes(f"logs/{job['id']}/2.txt", b"three\n")
    assert client.get(f"/v1/jobs/{job['id']}/logs?tail=2").text == "two\nthree\n"


def test_events_are_listed_in_pages(client: httpx.Client, job: dict[str, Any]) -> None:
    path = f"/v1/jobs/{job['id']}"
    client.post(f"{path}/cancel")
    page = client.get(f"{path}/events?order=asc&limit=1").json()
    assert (page["data"][0]["type"], page["data"][0]["seq"], page["has_more"]) == ("created", 1, True)
    assert set(page["data"][0]) == {"id", "object", "seq", "type", "job", "at", "data"}
    rest = client.get(f"{path}/events", params={"order": "asc", "after": page["last_id"]}).json()
    assert [event["type"] for event in rest["data"]] == ["cancelled"]
    assert client.get(f"{path}/events?after=evt_nothing").status_code == 422


# Waiting


def test_wait_answers_when_another_process_changes_the_state(deployment: Any, job: dict[str, Any]) -> None:
    client, database, services = deployment
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, f"/v1/jobs/{job['id']}?wait=20")
        wait_until(lambda: services.jobs.live.watch.open_watches == 1, 5, "the wait")
        began = time.monotonic()
        world.claim(database, job["id"])
        body = waiting.result(20).json()
    assert body["state"] == "running"
    assert time.monotonic() - began < 5


def test_a_wait_runs_out(client: httpx.Client, job: dict[str, Any]) -> None:
    began = time.monotonic()
    assert client.get(f"/v1/jobs/{job['id']}?wait=0.4").json()["state"] == "queued"
    assert 0.3 < time.monotonic() - began < 5


def test_an_ended_job_is_not_waited_for(client: httpx.Client, job: dict[str, Any]) -> None:
    client.post(f"/v1/jobs/{job['id']}/cancel")
    began = time.monotonic()
    assert client.get(f"/v1/jobs/{job['id']}?wait=30").json()["state"] == "cancelled"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("wait", ["61", "-1", "nan", "x"])
def test_a_wait_is_bounded(client: httpx.Client, job: dict[str, Any], wait: str) -> None:
    assert client.get(f"/v1/jobs/{job['id']}?wait={wait}").status_code == 422


def test_many_wait_at_a_time(deployment: Any, job: dict[str, Any]) -> None:
    """More waiting clients than the server has threads or connections, and all hear of the change."""
    client, database, services = deployment
    limits = httpx.Limits(max_connections=60)
    with (
        httpx.Client(base_url=client.base_url, trust_env=False, timeout=30, limits=limits) as many,
        ThreadPoolExecutor(60) as pool,
    ):
        waiting = [pool.submit(many.get, f"/v1/jobs/{job['id']}?wait=20") for _ in range(60)]
        wait_until(lambda: services.jobs.live.watch.open_watches == 60, 10, "the wait of all")
        assert client.get(f"/v1/jobs/{job['id']}").status_code == 200
        world.claim(database, job["id"])
        assert {future.result(20).json()["state"] for future in waiting} == {"running"}


# Streaming


def stream(client: httpx.Client, job_id: str, **headers: str) -> Iterator[dict[str, Any]]:
    with client.stream(
        "GET", f"/v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream", **headers}
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, Any] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line and name:
                event[name] = value
            elif event:
                if "data" in event:
                    yield {"id": int(event["id"]), "event": event["event"], "data": json.loads(event["data"])}
                event = {}


def test_a_stream_shows_what_another_process_does_and_ends_with_the_job(
    client: httpx.Client, database: Database, job: dict[str, Any]
) -> None:
    seen = []
    for event in stream(client, job["id"]):
        seen.append((event["id"], event["event"]))
        assert event["data"]["seq"] == event["id"]
        if event["event"] == "created":
            world.claim(database, job["id"])
        if event["event"] == "started":
            world.succeed(database, job["id"], 1)
    assert seen == [(1, "created"), (2, "started"), (3, "succeeded")]
    resumed = [event["event"] for event in stream(client, job["id"], **{"Last-Event-ID": "2"})]
    assert resumed == ["succeeded"]
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "3"}
    assert client.get(f"/v1/jobs/{job['id']}/events", headers=headers).status_code == 204
    headers["Last-Event-ID"] = "x"
    assert client.get(f"/v1/jobs/{job['id']}/events", headers=headers).status_code == 422


def test_a_long_history_is_streamed_whole(client: httpx.Client, database: Database, job: dict[str, Any]) -> None:
    world.claim(database, job["id"])
    with database.transaction() as session:
        for number in range(250):
            jobs.append_event(session, job["id"], 1, "note", {"number": number})
        jobs.cancelled(session, job["id"], 1)
    assert [event["id"] for event in stream(client, job["id"])] == list(range(1, 254))


def test_a_stream_ends_when_its_job_is_deleted(client: httpx.Client, database: Database, job: dict[str, Any]) -> None:
    from app.jobs.repository import retention

    seen = []
    for event in stream(client, job["id"]):
        seen.append(event["event"])
        with database.transaction() as session:
            jobs.cancel(session, job["id"], "none")
            retention.delete_job(session, job["id"])
    assert seen == ["created"]
