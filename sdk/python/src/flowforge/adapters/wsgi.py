"""WSGI, without a framework."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Callable, Dict, Iterable

from ..serve import Request, Service


def reason(status: int) -> str:
    """The status as WSGI wants it: "200 OK"."""
    return f"{status} {HTTPStatus(status).phrase}"


class WsgiApp:
    """A WSGI application that serves an app's functions at every path it is asked at."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __call__(self, environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or "0"
        body = environ["wsgi.input"].read(int(length)) if length.isdigit() else b""
        answer = self._service.handle(request_of(environ, body))
        if answer.lines is not None:
            start_response(reason(answer.status), list(answer.headers.items()))
            return answer.lines
        start_response(reason(answer.status), [*answer.headers.items(), ("content-length", str(len(answer.body)))])
        return [answer.body]


def request_of(environ: Dict[str, Any], body: bytes) -> Request:
    """Our request, of WSGI's."""
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    scheme = headers.get("x-forwarded-proto", environ.get("wsgi.url_scheme", "http")).split(",")[0].strip()
    host = headers.get("host") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return Request(environ["REQUEST_METHOD"], f"{scheme}://{host}{path}", environ.get("QUERY_STRING", ""), headers, body)
