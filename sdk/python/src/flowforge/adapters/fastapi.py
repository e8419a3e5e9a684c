"""FastAPI: `serve(app, flowforge)` adds the route, which is not part of the OpenAPI document."""

from __future__ import annotations

from fastapi import FastAPI

from ..app import PATH, FlowForge
from . import starlette


def serve(app: FastAPI, flowforge: FlowForge, path: str = PATH) -> None:
    """Serves the functions of an app at a path of a FastAPI application.

    Example: `serve(app, flowforge)`
    """
    starlette.serve(app, flowforge, path, framework="fastapi")
