"""HTTP on the standard library, with connections that are kept, one for each thread and server."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple
from urllib.parse import urlsplit

from .errors import ApiError, AuthError, ConflictError, InvalidError, NotFoundError, UnreachableError
from .settings import Settings, sdk_headers

_kept = threading.local()
_BROKEN = (http.client.HTTPException, OSError)


@dataclass
class Reply:
    """An answer. Attributes: status, headers (names in lower case), body."""

    status: int
    headers: Dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body; raises UnreachableError when it is not JSON: then something else than the server answered."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            start = self.body[:200].decode("utf-8", "replace")
            raise UnreachableError(self.status, f"the answer ({self.status}) is not JSON; is FLOWFORGE_URL right?", detail=start) from None


def _connect(url: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _connection(url: str, timeout: float) -> Tuple[http.client.HTTPConnection, bool]:
    pool: Dict[str, http.client.HTTPConnection] = _kept.__dict__.setdefault("pool", {})
    origin = "://".join(urlsplit(url)[:2])
    kept = pool.get(origin)
    if kept is not None and kept.sock is not None:
        kept.sock.settimeout(timeout)
        return kept, True
    pool[origin] = _connect(url, timeout)
    return pool[origin], False


def exchange(method: str, url: str, body: Optional[bytes], headers: Dict[str, str], timeout: float = 30.0) -> Reply:
    """Makes a request. One on a kept connection that turns out to be closed is made again, on a new one.

    Raises UnreachableError when there is no answer.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    while True:
        kept = False
        connection: Optional[http.client.HTTPConnection] = None
        try:
            connection, kept = _connection(url, timeout)
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except _BROKEN as error:
            if connection is not None:
                connection.close()
            if kept and not isinstance(error, socket.timeout):
                continue
            raise UnreachableError(0, f"the server at {parts.scheme}://{parts.netloc} did not answer", detail=str(error)) from error
        if answer.will_close:
            connection.close()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)


def stream(url: str, headers: Dict[str, str], timeout: float) -> Iterator[bytes]:
    """The lines of an answer as they come, on a connection of its own. Raises as `exchange` and `check` do."""
    parts = urlsplit(url)
    try:
        connection = _connect(url, timeout)
        try:
            connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""), None, headers)
            answer = connection.getresponse()
            if answer.status != 200:
                check(Reply(answer.status, {}, answer.read()))
            while True:
                line = answer.readline()
                if line == b"":
                    return
                yield line
        finally:
            connection.close()
    except _BROKEN as error:
        raise UnreachableError(0, f"the stream from {parts.netloc} broke off", detail=str(error)) from error


_KINDS = {
    400: InvalidError,
    413: InvalidError,
    422: InvalidError,
    401: AuthError,
    403: AuthError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
}


def check(reply: Reply) -> Any:
    """What a good answer says; raises the ApiError that a bad one is."""
    if 200 <= reply.status < 300:
        return reply.json()
    told = {}
    try:
        told = reply.json()
    except UnreachableError:
        told = {}
    if not isinstance(told, dict):
        told = {}
    message = told.get("title") or told.get("error") or told.get("message") or f"the server answered {reply.status}"
    kind = _KINDS.get(reply.status, ApiError)
    raise kind(reply.status, str(message), told.get("code"), told.get("detail"), told.get("hint"))


def ask(
    settings: Settings,
    method: str,
    path: str,
    body: Any = None,
    headers: Optional[Dict[str, str]] = None,
    bearers: Optional[List[str]] = None,
    timeout: float = 30.0,
) -> Reply:
    """A request to the server, made again with the other key if one is refused."""
    content = None if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    reply = None
    for bearer in settings.client_bearers() if bearers is None else bearers:
        said = {**sdk_headers(), "content-type": "application/json", **(headers or {})}
        if bearer:
            said["authorization"] = f"Bearer {bearer}"
        reply = exchange(method, settings.url + path, content, said, timeout)
        if reply.status not in (401, 403):
            break
    assert reply is not None
    return reply
