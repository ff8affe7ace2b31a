"""The route of explanations; predictions go below FastAPI (`app.inference.route`)."""

from typing import Annotated, Any

from fastapi import Header, Path, Request

from app.core.errors import TooLarge, UnsupportedMedia
from app.core.http import ProjectDep, ServicesDep, make_router
from app.inference.catalogue import parse_ref
from app.inference.explain.openapi import ANSWER, BODY

router = make_router("/v1/models", "predictions")

Ref = Annotated[str, Path(max_length=130, description="`name`, `name@3` or `name@alias`.")]
Timeout = Annotated[str | None, Header(alias="X-Request-Timeout", description="Seconds after which it is dropped.")]


@router.post(
    "/{ref}/explain",
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": BODY}}}},
    responses={
        200: {"description": "One explanation an instance.", "content": {"application/json": {"schema": ANSWER}}}
    },
)
async def explain(
    ref: Ref, request: Request, project: ProjectDep, services: ServicesDep, seconds: Timeout = None
) -> dict[str, Any]:
    """Say how much of each prediction is due to each column, element or pixel of its instance."""
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise UnsupportedMedia("Send the body as Content-Type: application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > services.explain.max_bytes:
            raise TooLarge(f"The body is larger than {services.explain.max_bytes} bytes.")
    answer: dict[str, Any] = await services.explain.explain(project, parse_ref(ref), bytes(body), seconds)
    return answer
