"""FastAPI and Starlette: `serve(app, flowforge)` adds the route."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ..app import PATH, FlowForge
from .asgi import request_of


def serve(app: Starlette, flowforge: FlowForge, path: str = PATH, *, framework: str = "starlette") -> None:
    """Serves the functions of an app at a path of a Starlette or FastAPI application.

    Example: `serve(FastAPI(), flowforge)`
    """
    service = flowforge.service(framework)

    async def endpoint(request: StarletteRequest) -> Response:
        answer = await service.handle_async(request_of(request.scope, await request.body()))
        if answer.async_lines is not None:
            return StreamingResponse(answer.async_lines, answer.status, answer.headers)
        return Response(answer.body, answer.status, answer.headers)

    app.router.routes.append(Route(path, endpoint, methods=["GET", "POST", "PUT"], include_in_schema=False))
