"""An app in each web framework it can be served by: what its adapter makes, for tests that ask it and for servers that serve it."""

from __future__ import annotations

import types
from typing import Any, Callable, Dict

from flowforge import FlowForge


def fastapi(app: FlowForge) -> Any:
    from fastapi import FastAPI

    from flowforge.adapters.fastapi import serve

    application = FastAPI()
    serve(application, app)
    return application


def starlette(app: FlowForge) -> Any:
    from starlette.applications import Starlette

    from flowforge.adapters.starlette import serve

    application = Starlette()
    serve(application, app)
    return application


def flask(app: FlowForge) -> Any:
    from flask import Flask

    from flowforge.adapters.flask import serve

    application = Flask("test")
    serve(application, app)
    return application


def django(app: FlowForge) -> Any:
    """Django has one set of settings a process, so the last app is the one that is served."""
    from django.conf import settings

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="unused", SECRET_KEY="test", DEBUG=False)
    import django as framework
    from django.core.handlers.wsgi import WSGIHandler
    from django.urls import clear_url_caches, set_urlconf

    from flowforge.adapters.django import serve

    framework.setup()
    urls: Any = types.ModuleType("urls")
    urls.urlpatterns = [serve(app)]
    settings.ROOT_URLCONF = urls
    clear_url_caches()
    set_urlconf(None)
    return WSGIHandler()


ASGI: Dict[str, Callable[[FlowForge], Any]] = {"asgi": FlowForge.asgi_app, "fastapi": fastapi, "starlette": starlette}
WSGI: Dict[str, Callable[[FlowForge], Any]] = {"wsgi": FlowForge.wsgi_app, "flask": flask, "django": django}
