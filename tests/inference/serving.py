"""A service of predictions over a list of models in memory, and requests to it without a socket."""

import asyncio
import contextlib
import hashlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from app.core.auth import Authenticator
from app.core.errors import Overloaded
from app.core.settings import Settings
from app.inference.catalogue import AliasEntry, VersionEntry
from app.inference.route import PredictApp
from app.inference.service import InferenceService
from app.storage.blobs import LocalBlobs

PROJECT = "default"


class ListedModels:
    """A `ModelSource` in memory."""

    def __init__(self, blobs: LocalBlobs) -> None:
        self.blobs = blobs
        self.counter = 0
        self.versions: list[VersionEntry] = []
        self.aliases: dict[tuple[str, str], int] = {}
        self.reads = 0
        self.is_down = False

    def publish(self, name: str, version: int, folder: Path, project: str = PROJECT) -> VersionEntry:
        """Store a bundle and list it."""
        prefix = f"bundles/job_{name}/{version}"
        shutil.copytree(folder, self.blobs.path(prefix))
        digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
        entry = VersionEntry(project, name, version, prefix, digest)
        self.versions.append(entry)
        self.counter += 1
        return entry

    def put_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version."""
        self.aliases[name, alias] = version
        self.counter += 1

    def delete(self, name: str, version: int) -> None:
        """Take a version off the list."""
        self.versions = [entry for entry in self.versions if (entry.name, entry.version) != (name, version)]
        self.counter += 1

    def read_counter(self) -> int:
        if self.is_down:
            raise Overloaded("The database does not answer.", code="unavailable", retry_after_seconds=1)
        return self.counter

    def read_catalogue(self) -> tuple[int, list[VersionEntry], list[AliasEntry]]:
        self.reads += 1
        aliases = [AliasEntry(PROJECT, name, alias, version) for (name, alias), version in self.aliases.items()]
        return self.read_counter(), list(self.versions), aliases


class Answer(NamedTuple):
    """What a client received."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return orjson.loads(self.content)


class Serving:
    """A running service, its models, and how to ask it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.blobs = LocalBlobs(settings.home_dir / "blobs")
        self.models = ListedModels(self.blobs)
        self.service = InferenceService(self.blobs, settings, self.models)
        self.app = PredictApp(self.service, Authenticator(settings))

    async def post(self, path: str, body: Any, *, hang_up: asyncio.Event | None = None, **headers: str) -> Answer:
        """Send one request; `body` is JSON to be, or bytes, or a list of bytes that come one by one."""
        parts = body if isinstance(body, list) and body and isinstance(body[0], bytes) else [encode(body)]
        return await request(self.app, "POST", path, parts, hang_up, headers)

    async def predict(self, ref: str, instances: list[Any]) -> list[Any]:
        """Return predictions; fails the test unless they come with 200."""
        answer = await self.post(f"/v1/models/{ref}/predict", {"instances": instances})
        assert answer.status == 200, answer.content
        predictions: list[Any] = answer.json["predictions"]
        return predictions


def encode(body: Any) -> bytes:
    """Return `body` as JSON, unless it is bytes already."""
    return body if isinstance(body, bytes) else orjson.dumps(body)


async def request(
    app: Callable[..., Awaitable[None]],
    method: str,
    path: str,
    parts: list[bytes],
    hang_up: asyncio.Event | None,
    headers: dict[str, str],
) -> Answer:
    """Call an ASGI application once. `hang_up` set: the client goes away."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    names.setdefault("content-type", "application/json")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in names.items()],
    }
    messages = [
        {"type": "http.request", "body": part, "more_body": index < len(parts) - 1} for index, part in enumerate(parts)
    ]
    gone = hang_up or asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if not sent:
        return Answer(0, {}, b"")
    start, *rest = sent
    content = b"".join(message.get("body", b"") for message in rest)
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    assert int(found["content-length"]) == len(content)
    return Answer(start["status"], found, content)


@contextlib.asynccontextmanager
async def serve(home: Path, **settings: Any) -> AsyncIterator[Serving]:
    """Run a service in `home`."""
    serving = Serving(Settings(home=home, **settings))
    await serving.service.start()
    try:
        yield serving
    finally:
        await serving.service.stop()


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return when `condition` is true; fail the test when it does not become so in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 — what is waited for is told by no event
            await asyncio.sleep(0.005)
