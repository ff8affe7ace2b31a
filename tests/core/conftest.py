"""A small application with the shared layers, so that they are tested without the real routes."""

from types import SimpleNamespace
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Query, Response
from pydantic import Field

from app.core.asgi import Edge
from app.core.auth import Authenticator
from app.core.errors import Conflict, Overloaded
from app.core.handlers import install_handlers
from app.core.http import PageDep, ProjectDep, list_body, make_router
from app.core.settings import Settings
from app.recipes.request import Request as Body


class Thing(Body):
    name: Annotated[str, Field(max_length=5)]
    count: int = Field(1, ge=1)
    parts: list["Thing"] = Field(default_factory=list)


def build(settings: Settings) -> Edge:
    router = make_router()

    @router.post("/v1/things", status_code=201)
    def create(thing: Thing, project: ProjectDep) -> dict[str, Any]:
        return {"name": thing.name, "count": thing.count, "project": project}

    @router.get("/v1/things")
    def things(page: PageDep, state: Annotated[str | None, Query()] = None) -> dict[str, Any]:
        return list_body([{"id": f"t{n}", "state": state} for n in range(page.limit)], has_more=True)

    @router.get("/v1/things/{thing}")
    def one(thing: str) -> dict[str, Any]:
        return {"id": thing, "score": float("nan")}

    @router.delete("/v1/things/{thing}", status_code=204)
    def remove(thing: str) -> Response:
        raise Conflict(f"{thing} is in use.", code="thing_in_use", param="thing")

    @router.get("/v1/busy")
    def busy() -> None:
        raise Overloaded("Too much.", retry_after_seconds=3)

    @router.get("/v1/broken")
    def broken() -> None:
        raise RuntimeError("/secret/path")

    @router.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "ok"}

    app = FastAPI()
    app.state.services = SimpleNamespace(settings=settings)
    install_handlers(app)
    app.include_router(router)
    return Edge(app, Authenticator(settings))


@pytest.fixture
def client(settings: Settings) -> httpx.AsyncClient:
    return client_of(settings)


def client_of(settings: Settings) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(build(settings), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")
