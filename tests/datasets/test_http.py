"""The routes of data sets, through a real server and real sockets."""

import base64
import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn

from app.core.settings import Settings
from app.db.migrate import migrate
from app.db.tables import Job, JobDataset
from app.main import create_app
from tests.images import jpeg, png, zip_of
from tests.servers import wait_until

CSV = b"name,n\nanna,1\nbert,2\n"


class Deployment:
    """A server in a thread with small limits, and its services."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(
            home=home, min_free_bytes=0, log_level="CRITICAL", max_upload_bytes=3_000_000, max_json_bytes=100_000
        )
        app = create_app(self.settings)
        self.services = app.services
        migrate(self.services.database)
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        wait_until(lambda: self.server.started, 20, "the start of the server")
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]

    @property
    def uploads(self) -> list[Path]:
        folder = self.settings.work_dir / "uploads"
        return list(folder.iterdir()) if folder.is_dir() else []


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    running = Deployment(tmp_path_factory.mktemp("home"))
    yield running
    running.server.should_exit = True
    running.thread.join(20)


@pytest.fixture
def client(deployment: Deployment) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{deployment.port}", trust_env=False, timeout=30) as client:
        yield client
    assert deployment.uploads == [], "an upload left files behind"


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert str(Path.cwd()) not in answer.text
    assert "/work" not in error["message"]
    return error


def test_zips_of_images_are_read_in_the_limited_child(client: httpx.Client) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 20, 3), np.uint8)
    large = jpeg(np.random.default_rng(0).integers(0, 255, (400, 300, 3), np.uint8), quality=95)
    content = zip_of({"train/猫/1.png": png(pixels), "train/dog/2.jpg": large, "test/dog/3.png": png(pixels)})
    answer = client.post("/v1/datasets", files={"file": ("pets.zip", content)})
    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert (dataset["format"], dataset["splits"]) == ("images", {"train": 2, "test": 1})
    image, label = dataset["columns"]
    assert (image["type"], image["height"]["max"], image["formats"]) == ("image", 400, {"PNG": 2, "JPEG": 1})
    assert sorted(label["top"]) == [["dog", 2], ["猫", 1]]
    rows = client.get(f"/v1/datasets/{dataset['id']}/rows", params={"split": "train"}).json()["data"]
    assert [row["label"] for row in rows] == ["dog", "猫"]
    assert base64.b64decode(rows[1]["image"]["b64"]) == png(pixels)
    assert rows[0]["image"] == {"b64": None, "format": "jpeg", "width": 300, "height": 400, "bytes": len(large)}
    bad = client.post("/v1/datasets", params={"format": "images"}, content=zip_of({"a/1.png": b"x", "b/2.png": b"y"}))
    assert {detail["message"] for detail in error_of(bad, 422)["details"]} == {
        "a/1.png is no PNG or JPEG image", "b/2.png is no PNG or JPEG image"
    }  # fmt: skip


def test_raw_body(client: httpx.Client) -> None:
    answer = client.post("/v1/datasets", params={"name": "people.csv"}, content=CSV)
    assert answer.status_code == 201
    body = answer.json()
    assert answer.headers["location"] == f"/v1/datasets/{body['id']}"
    assert body["object"] == "dataset"
    assert (body["name"], body["format"], body["rows"]) == ("people.csv", "csv", 2)
    assert body["bytes"] == len(CSV)
    assert body["sha256"] == hashlib.sha256(CSV).hexdigest()
    assert body["splits"] is None
    assert body["rejected"] == {"count": 0, "rows": []}
    assert body["created_at"].endswith("Z")
    assert client.get(answer.headers["location"]).json() == body
    assert body in client.get("/v1/datasets").json()["data"]


def test_multipart_with_fields_before_and_after_the_file(client: httpx.Client) -> None:
    boundary = "xYz"
    parts = [
        b'--xYz\r\nContent-Disposition: form-data; name="on_bad_rows"\r\n\r\nskip\r\n',
        b'--xYz\r\nContent-Disposition: form-data; name="file"; filename="../../etc/t.tsv"\r\n'
        b"Content-Type: text/plain\r\n\r\nham\t1\nspam\t2\t3\n\r\n",
        b'--xYz\r\nContent-Disposition: form-data; name="header"\r\n\r\n["label", "n"]\r\n--xYz--\r\n',
    ]
    for chunk in (7, 10_000):
        whole = b"".join(parts)
        pieces = (whole[i : i + chunk] for i in range(0, len(whole), chunk))
        answer = client.post(
            "/v1/datasets", content=pieces, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )
        assert answer.status_code == 201, answer.text
        body = answer.json()
        assert (body["name"], body["format"], body["rows"]) == ("t.tsv", "tsv", 1)
        assert body["bytes"] == len(b"ham\t1\nspam\t2\t3\n")
        assert [column["name"] for column in body["columns"]] == ["label", "n"]
        assert body["rejected"]["rows"][0]["line"] == 2


def test_multipart_by_an_ordinary_client(client: httpx.Client) -> None:
    fields = {"name": "Nämen", "types": '{"n": "category"}', "missing": '["anna"]'}
    answer = client.post("/v1/datasets", files={"file": ("p.csv", CSV)}, data=fields)
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "Nämen"
    dataset_id = answer.json()["id"]
    rows = client.get(f"/v1/datasets/{dataset_id}/rows").json()["data"]
    assert rows == [{"name": None, "n": "1"}, {"name": "bert", "n": "2"}]


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"colour": "red"}, "unknown_field", "colour"),
        ({"on_bad_rows": "ignore"}, "invalid_value", "on_bad_rows"),
        ({"quoting": "yes"}, "invalid_value", "quoting"),
        ({"header": "[1, 2]"}, "invalid_value", "header"),
        ({"header": "[]"}, "invalid_value", "header"),
        ({"header": "name"}, "invalid_value", "header"),
        ({"delimiter": ",,"}, "invalid_value", "delimiter"),
        ({"delimiter": '"'}, "invalid_value", "delimiter"),
        ({"delimiter": "\n"}, "invalid_value", "delimiter"),
        ({"missing": '{"a": 1}'}, "invalid_value", "missing"),
        ({"missing": "[1]"}, "invalid_value", "missing.0"),
        ({"types": "[]"}, "invalid_value", "types"),
        ({"types": "{"}, "invalid_value", "types"),
        ({"types": '{"n": "color"}'}, "invalid_value", "types.n"),
        ({"types": '{"x": "text"}'}, "column_missing", "types.x"),
        ({"encoding": "klingon"}, "dataset_invalid", "encoding"),
        ({"documents": "page"}, "invalid_value", "documents"),
        ({"name": "a\nb"}, "invalid_value", "name"),
        ({"name": "a\x00b"}, "invalid_value", "name"),
        ({"name": ""}, "invalid_value", "name"),
        ({"name": "x" * 256}, "invalid_value", "name"),
        ({"format": "xlsx"}, "format_unsupported", "format"),
        ({"format": "conll"}, "format_unsupported", "format"),
        ({"format": "images"}, "dataset_invalid", "file"),
        ({"format": "parquet"}, "dataset_invalid", "file"),
    ],
)
def test_wrong_fields_are_named(client: httpx.Client, params: dict[str, str], code: str, param: str) -> None:
    # What only the reader can know is asked for once: it is a process each time.
    for send in ("query",) if param in ("types.n", "types.x", "encoding", "file") else ("query", "form"):
        if send == "query":
            answer = client.post("/v1/datasets", params=params, content=CSV)
        else:
            answer = client.post("/v1/datasets", files={"file": ("p.csv", CSV)}, data=params)
        error = error_of(answer, 422)
        assert (error["code"], error["param"]) == (code, param)


def test_formats_of_later_releases_list_the_supported_ones(client: httpx.Client) -> None:
    error = error_of(client.post("/v1/datasets?format=conll", content=b"a b\n"), 422)
    for name in ("csv", "tsv", "jsonl", "json", "parquet", "npz", "txt"):
        assert name in error["message"]


def test_bad_rows_are_listed_in_details(client: httpx.Client) -> None:
    error = error_of(client.post("/v1/datasets?name=t.csv", content=b"a,b\n1,2\n3\n4\n"), 422)
    assert error["code"] == "dataset_invalid"
    assert [detail["line"] for detail in error["details"]] == [3, 4]
    assert error["type"] == "invalid_request_error"


def test_fields_given_twice(client: httpx.Client) -> None:
    error = error_of(client.post("/v1/datasets?name=a&name=b", content=CSV), 422)
    assert error["param"] == "name"
    answer = client.post("/v1/datasets?name=a", files={"file": ("p.csv", CSV)}, data={"name": "b"})
    assert error_of(answer, 422)["param"] == "name"
    two = [("file", ("a.csv", CSV)), ("file", ("b.csv", CSV))]
    assert "more than one part called file" in error_of(client.post("/v1/datasets", files=two), 422)["message"]


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"--x\r\n", "multipart/form-data", 415, "unsupported_media_type"),
        (b"no boundary here", "multipart/form-data; boundary=x", 400, "invalid_multipart"),
        (b"", "multipart/form-data; boundary=x", 400, "invalid_multipart"),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\na,b\n1,2\n',
            "multipart/form-data; boundary=x",
            400,
            "invalid_multipart",
        ),
        (
            b"--x\r\nContent-Type: text/csv\r\n\r\na\r\n--x--",
            "multipart/form-data; boundary=x",
            400,
            "invalid_multipart",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--',
            "multipart/form-data; boundary=x",
            422,
            "missing_field",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\r\n--x--',
            "multipart/form-data; boundary=x",
            422,
            "invalid_value",
        ),
        (b"--x\r\n" + b"A: " + b"b" * 20_000, "multipart/form-data; boundary=x", 400, "invalid_multipart"),
        (CSV, "application/x-www-form-urlencoded", 201, None),
        (CSV, "text/csv", 201, None),
    ],
)
def test_bodies(client: httpx.Client, content: bytes, content_type: str, status: int, code: str | None) -> None:
    answer = client.post("/v1/datasets", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == status, answer.text
    if code:
        assert answer.json()["error"]["code"] == code


def test_content_encoding_is_refused(client: httpx.Client) -> None:
    error_of(client.post("/v1/datasets", content=CSV, headers={"Content-Encoding": "gzip"}), 415)


def test_too_large_by_length_and_by_chunks(client: httpx.Client) -> None:
    body = b"a\n" + b"1\n" * 2_000_000
    error = error_of(client.post("/v1/datasets", content=body), 413)
    assert "max_upload_bytes = 3000000" in error["message"]
    error_of(client.post("/v1/datasets", content=(body[i : i + 50_000] for i in range(0, len(body), 50_000))), 413)
    error_of(client.post("/v1/datasets", files={"file": ("a.csv", body)}), 413)


def test_disk_nearly_full_is_a_507(
    client: httpx.Client, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    import app.datasets.upload as upload

    monkeypatch.setattr(upload.shutil, "disk_usage", lambda _: type("Usage", (), {"free": -1})())
    assert error_of(client.post("/v1/datasets", content=CSV), 507)["code"] == "storage_full"


def test_store_that_cannot_be_written_is_a_507_and_leaves_nothing(
    client: httpx.Client, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(key: str, path: Path) -> None:
        raise OSError(28, "No space left on device")

    before = client.get("/v1/datasets").json()["data"]
    monkeypatch.setattr(deployment.services.blobs, "put_file", fail)
    error_of(client.post("/v1/datasets", content=CSV), 507)
    assert client.get("/v1/datasets").json()["data"] == before


def test_client_that_hangs_up_leaves_nothing(client: httpx.Client, deployment: Deployment) -> None:
    with socket.create_connection(("127.0.0.1", deployment.port)) as raw:
        raw.sendall(b"POST /v1/datasets HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\na,b\n")
        wait_until(lambda: bool(deployment.uploads), 10, "the upload to begin")
    wait_until(lambda: not deployment.uploads, 10, "the upload to be removed")


def test_rows_by_page(client: httpx.Client) -> None:
    content = b"n,x\n" + b"".join(b"%d,%s\n" % (i, b"nan" if i % 2 else b"0.5") for i in range(250))
    dataset_id = client.post("/v1/datasets?name=t.csv", content=content).json()["id"]
    page = client.get(f"/v1/datasets/{dataset_id}/rows", params={"offset": 99, "limit": 2}).json()
    assert page == {
        "object": "list", "data": [{"n": 99, "x": None}, {"n": 100, "x": 0.5}], "offset": 99, "limit": 2,
        "rows": 250, "has_more": True,
    }  # fmt: skip
    assert client.get(f"/v1/datasets/{dataset_id}/rows?offset=249").json()["has_more"] is False
    assert client.get(f"/v1/datasets/{dataset_id}/rows?offset=1000").json()["data"] == []
    for query in ("limit=0", "limit=101", "offset=-1", "limit=x", "page=2", "offset=1e3"):
        error_of(client.get(f"/v1/datasets/{dataset_id}/rows?{query}"), 422)
    assert error_of(client.get(f"/v1/datasets/{dataset_id}/rows?split=train"), 422)["param"] == "split"


def test_rows_of_a_split(client: httpx.Client, tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / "d.npz"
    np.savez(
        path, x_train=np.eye(3, dtype=np.float32), y_train=np.arange(3), x_test=np.ones((1, 3)), y_test=np.array([9])
    )
    answer = client.post("/v1/datasets?name=d.npz", content=path.read_bytes())
    assert answer.json()["splits"] == {"train": 3, "test": 1}
    page = client.get(f"/v1/datasets/{answer.json()['id']}/rows?split=test").json()
    assert page["data"] == [{"x": [1.0, 1.0, 1.0], "y": 9}]
    assert page["rows"] == 1


def test_list_pages(client: httpx.Client) -> None:
    ids = [client.post("/v1/datasets", content=CSV).json()["id"] for _ in range(3)]
    newest = client.get("/v1/datasets?limit=2").json()
    assert [entry["id"] for entry in newest["data"]] == [ids[2], ids[1]]
    assert newest["has_more"] is True
    following = client.get("/v1/datasets", params={"limit": 1, "after": newest["last_id"]}).json()
    assert following["data"][0]["id"] == ids[0]


def test_what_is_not_there(client: httpx.Client) -> None:
    for method, path in (
        ("GET", "/v1/datasets/ds_none"),
        ("GET", "/v1/datasets/ds_none/rows"),
        ("DELETE", "/v1/datasets/ds_none"),
    ):
        assert error_of(client.request(method, path), 404)["code"] == "dataset_not_found"


def test_delete_and_not_while_a_job_needs_it(client: httpx.Client, deployment: Deployment) -> None:
    dataset_id = client.post("/v1/datasets", content=CSV).json()["id"]
    database = deployment.services.database
    with database.transaction() as session:
        empty: dict[str, Any] = {"request": {}, "resolved": {}, "meta": {}, "warnings": [], "metrics": {}}
        session.add(Job(id="job_1", recipe="r", model_name="m", state="paused", **empty))
        session.flush()
        session.add(JobDataset(job_id="job_1", role="all", dataset_id=dataset_id))
    error = error_of(client.delete(f"/v1/datasets/{dataset_id}"), 409)
    assert error["code"] == "dataset_in_use"
    assert "job_1" in error["message"]
    assert client.get(f"/v1/datasets/{dataset_id}/rows").status_code == 200
    with database.transaction() as session:
        session.get_one(Job, "job_1").state = "cancelled"
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    assert client.get(f"/v1/datasets/{dataset_id}").status_code == 404
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 404
    assert deployment.services.blobs.keys(f"datasets/{dataset_id}") == []


def test_idempotency_key(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "upload-1"}
    first = client.post("/v1/datasets?name=a", content=CSV, headers=headers)
    again = client.post("/v1/datasets?name=a", content=CSV, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert client.post("/v1/datasets?name=a", content=b"c\n1\n", headers=headers).status_code == 422


def test_the_event_loop_answers_while_a_file_is_read(client: httpx.Client, deployment: Deployment) -> None:
    body = b"a,b,c\n" + b"".join(b"%d,%d,word %d\n" % (i, i * 7, i % 90) for i in range(120_000))
    slowest = 0.0
    done = threading.Event()

    def send() -> None:
        with httpx.Client(base_url=client.base_url, trust_env=False, timeout=60) as other:
            assert other.post("/v1/datasets", content=body).status_code == 201
        done.set()

    thread = threading.Thread(target=send)
    thread.start()
    answers = 0
    while not done.is_set() and thread.is_alive():
        started = time.perf_counter()
        assert client.get("/livez").status_code == 200
        slowest = max(slowest, time.perf_counter() - started)
        answers += 1
    thread.join()
    assert done.is_set()
    assert answers > 20
    assert slowest < 1.0


def test_openapi_names_every_field(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    post = document["paths"]["/v1/datasets"]["post"]
    names = {parameter["name"] for parameter in post["parameters"]}
    assert names >= {"name", "format", "on_bad_rows", "delimiter", "quoting", "header", "encoding", "missing", "types"}
    assert set(post["requestBody"]["content"]) == {"multipart/form-data", "application/octet-stream"}
    json.dumps(post)
