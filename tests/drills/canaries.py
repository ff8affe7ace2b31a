"""P18: keys and passwords, sent through every kind of route and failure, turn up nowhere."""

import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import httpx

from tests.drills.world import World

# Where a secret must lie: what signs webhooks is read to sign, and for a day in the answer kept under a key.
MAY_HOLD = ("webhook", "idempotency")


def run(world: World, chance: random.Random) -> dict[str, Any]:
    """A service of its own with canaries for every secret; ask everything, break everything, then search."""
    tag = f"{chance.randrange(16**12):012x}"
    password, cloud = f"canary-password-{tag}", f"canary-cloud-{tag}"
    variables = {"AWS_SECRET_ACCESS_KEY": cloud, "TRAINYARD_LOG_LEVEL": "DEBUG", "TRAINYARD_WEBHOOK_ALLOW": "loopback"}
    with World(world.folder / "canaries", world.stack, world.pace, secret=password, variables=variables) as spied:
        try:
            return _search(spied, tag, [password, cloud, spied.key])
        finally:
            world.timeline += spied.timeline


def _search(world: World, tag: str, secrets: list[str]) -> dict[str, Any]:
    wrong_key = f"canary-wrong-key-{tag}"
    said, webhook_secret = _ask_everything(world, wrong_key)
    processes = _look_at_processes(world)
    _break_everything(world)
    said += _ask_everything(world, wrong_key)[0]
    dump, with_webhooks = _dump(world)
    logs = {path.name: path.read_text("utf-8", "replace") for path in _logs(world)}
    assert any(logs.values()), "there are no logs to search"
    searched = {"answers": "\n".join(said), "processes": processes, "database": dump, **logs, "blobs": _blobs(world)}
    for secret in (*secrets, wrong_key, webhook_secret):
        found = [name for name, text in searched.items() if secret in text]
        assert not found, f"{secret} is in {found}"
    assert webhook_secret in with_webhooks, "the search would not have found it"
    return {
        "secrets": len(secrets) + 2, "answers_searched": len(said), "processes_searched": processes.count("\n") + 1,
        "log_bytes_searched": sum(map(len, logs.values())), "found": 0,
    }  # fmt: skip


def _ask_everything(world: World, wrong_key: str) -> tuple[list[str], str]:
    """Every route with the right key and a wrong one, and jobs of each end; return every answer but the secret's."""
    document = world.http.get("/openapi.json").json()
    said: list[str] = []
    for path, item in document["paths"].items():
        for method in item:
            for headers in (world.headers, {"Authorization": f"Bearer {wrong_key}"}):
                if method == "get" and "event-stream" not in json.dumps(item[method]):
                    address = path.replace("{", "").replace("}", "")
                    said.append(_text(httpx.get(world.url + address, headers=headers, timeout=30)))
                elif method in ("post", "put", "delete"):
                    # What comes as a data set is data: it is kept, shown in its profile and read by trainers.
                    body = (
                        {}
                        if path == "/v1/datasets"
                        else {"password": wrong_key, "url": f"https://user:{wrong_key}@example.invalid/"}
                    )
                    answer = httpx.request(method, world.url + path, headers=headers, json=body, timeout=30)
                    # What was sent comes back to who sent it alone, if it must; nothing else may hold it.
                    said.append(_text(answer).replace(wrong_key, ""))
    script = [{"say": "a line of the log"}, {"finish": 1}]
    failed = world.submit([{"exit": 3}], max_failures=1)
    done = world.submit(script, metadata={"team": "drill"})
    hook = world.http.post(
        "/v1/webhooks",
        json={"url": "http://127.0.0.1:9/", "events": ["job.succeeded"]},
        headers={"Idempotency-Key": "canary"},
    )
    secret = str(hook.raise_for_status().json()["secret"])
    world.wait_state(done, "succeeded", 60)
    world.wait_state(failed, "failed", 60)
    paths = [f"/v1/jobs/{job_id}{part}" for job_id in (done, failed) for part in ("", "/events", "/logs", "/metrics")]
    said += [_text(world.http.get(path)) for path in (*paths, "/metrics", "/v1/system", "/readyz", "/v1/webhooks")]
    return said, secret


def _text(answer: httpx.Response) -> str:
    return f"{answer.status_code} {dict(answer.headers)} {answer.text}"


def _look_at_processes(world: World) -> str:
    """Command lines of all, environments of those that run a client's model: spawner and trainer."""
    job_id = world.submit([{"beat": 100_000}, {"obey": True}])
    world.wait_for(lambda: world.step(job_id) > 3, 30, "progress")
    servers = [server for server in (world.postgres, world.redis) if server is not None]
    pids = [*world.everything(), *(pid for server in servers for pid in server.pids)]
    seen = [_read(pid, "cmdline") for pid in pids]
    seen += [_read(pid, "environ") for role in ("spawner", "trainer") for pid in world.pids(role)]
    world.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    world.wait_state(job_id, "cancelled", 30)
    return "\n".join(seen)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def _break_everything(world: World) -> None:
    """Each part is away for a moment, so that everybody logs it."""
    for server in (world.redis, world.postgres):
        if server is not None:
            server.kill()
            for path in ("/v1/jobs", "/readyz", "/metrics"):
                world.http.get(path)
            world.let_pass(3)
            server.start()
    world.wait_for(world.is_ready, 60, "a ready service")


def _dump(world: World) -> tuple[str, str]:
    """All rows as text: without the tables of webhooks and kept answers, and all of them."""
    if world.postgres is not None:
        lines = world.postgres.dump().splitlines()
    else:
        connection = sqlite3.connect(world.home / "trainyard.db")
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        lines = [f"{table}: {row}" for table in tables for row in connection.execute(f'SELECT * FROM "{table}"')]
        connection.close()
    kept = [line for line in lines if not line.startswith(MAY_HOLD)]
    return "\n".join(kept), "\n".join(lines)


def _logs(world: World) -> list[Path]:
    outside = [world.folder / f"{name}.log" for name in ("postgres", "broker")]
    return [
        path for path in [*world.logs.glob("*.log"), *(world.home / "logs").glob("*.log"), *outside] if path.is_file()
    ]


def _blobs(world: World) -> str:
    texts = [path.read_text("utf-8", "replace") for path in (world.blobs / "logs").rglob("*.txt")]
    return "\n".join(texts)
