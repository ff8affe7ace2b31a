"""`/livez`, `/readyz`, `/metrics` and `GET /v1/system`."""

from typing import Any

from fastapi import Response
from fastapi.responses import PlainTextResponse

from app.core.http import ApiResponse, ServicesDep, make_router
from app.system.metrics import CONTENT_TYPE

router = make_router(tag="system")


@router.get("/livez", summary="Is the process alive?")
def livez() -> dict[str, str]:
    """Answer 200 as long as this process answers at all; no key needed."""
    return {"status": "ok"}


@router.get("/readyz", summary="Can it do its work?", responses={503: {"description": "A part is missing."}})
def readyz(services: ServicesDep) -> Response:
    """Answer 200 when database, broker, storage and a worker answer, else 503; no key needed.

    `intake` says whether uploaded models are taken in, or what this machine lacks for it: all else works without.
    """
    checks = services.health.checks()
    ready = all(state == "ok" for state in checks.values())
    return ApiResponse(
        {"status": "ok" if ready else "not ready", "checks": checks, "intake": services.health.intake()},
        status_code=200 if ready else 503,
        headers={} if ready else {"Retry-After": "2"},
    )


@router.get("/metrics", summary="Figures for Prometheus", response_class=PlainTextResponse)
def metrics(services: ServicesDep) -> Response:
    """Return the figures of all API processes, the workers, the queue and the disk in Prometheus' text form."""
    return Response(services.metrics.render(), media_type=CONTENT_TYPE)


@router.get("/v1/system", summary="Release, workers and limits")
def system(services: ServicesDep) -> dict[str, Any]:
    """Return release, workers (slots, devices, last seen) and the settings that are not secret."""
    body: dict[str, Any] = services.health.system()
    return body
