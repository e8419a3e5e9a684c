"""Django: `serve(flowforge)` gives a URL pattern for `urlpatterns`."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path as url_path
from django.views.decorators.csrf import csrf_exempt

from ..app import PATH, FlowForge
from ..serve import Request


def serve(flowforge: FlowForge, path: str = PATH) -> Any:
    """The URL pattern at which the functions of an app are served. Async functions run in a loop of their own.

    Example: `urlpatterns = [serve(flowforge)]`
    """
    service = flowforge.service("django")

    def view(request: HttpRequest) -> HttpResponseBase:
        headers = {name.lower(): value for name, value in request.headers.items()}
        url = request.build_absolute_uri(request.path)
        answer = service.handle(Request(request.method or "", url, request.META.get("QUERY_STRING", ""), headers, request.body))
        response: HttpResponseBase = HttpResponse(answer.body, status=answer.status)
        if answer.lines is not None:
            response = StreamingHttpResponse(answer.lines, status=answer.status)
        for name, value in answer.headers.items():
            response[name] = value
        return response

    return url_path(path.lstrip("/"), csrf_exempt(view), name=f"flowforge-{flowforge.app_id}")
