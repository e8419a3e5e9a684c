"""Flask: `serve(app, flowforge)` adds the route."""

from __future__ import annotations

from flask import Flask, Response, request

from ..app import PATH, FlowForge
from .wsgi import request_of


def serve(app: Flask, flowforge: FlowForge, path: str = PATH) -> None:
    """Serves the functions of an app at a path of a Flask application. Async functions run in a loop of their own.

    Example: `serve(Flask(__name__), flowforge)`
    """
    service = flowforge.service("flask")

    def endpoint() -> Response:
        answer = service.handle(request_of(request.environ, request.get_data()))
        return Response(answer.body if answer.lines is None else answer.lines, answer.status, answer.headers)

    app.add_url_rule(path, f"flowforge_{flowforge.app_id}", endpoint, methods=["GET", "POST", "PUT"])
