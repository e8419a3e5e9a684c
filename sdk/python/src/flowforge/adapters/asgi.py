"""ASGI, without a framework."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncGenerator, Awaitable, Callable, Dict, MutableMapping

from ..serve import Answered, Request, Service

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AsgiApp:
    """An ASGI application that serves an app's functions at every path it is asked at."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"functions are served over HTTP, not {scope['type']}")
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect":
                return
            if not message.get("more_body"):
                break
        answer = await self._service.handle_async(request_of(scope, body))
        if answer.async_lines is None:
            await self._send(answer, send)
        else:
            await self._send_lines(answer, answer.async_lines, receive, send)

    @staticmethod
    async def _send(answer: Answered, send: Send) -> None:
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    @staticmethod
    async def _send_lines(answer: Answered, lines: AsyncGenerator[bytes, None], receive: Receive, send: Send) -> None:
        """Sends the lines until there are no more, or whoever asked has gone."""
        gone = asyncio.ensure_future(receive())
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        try:
            async for line in lines:
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            await lines.aclose()

    @staticmethod
    async def _lifespan(receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


def request_of(scope: Scope, body: bytes) -> Request:
    """Our request, of ASGI's."""
    headers: Dict[str, str] = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    server = scope.get("server") or ("localhost", 80)
    host = headers.get("host") or f"{server[0]}:{server[1]}"
    scheme = (headers.get("x-forwarded-proto") or str(scope.get("scheme", "http"))).split(",")[0].strip()
    path = scope["path"]
    root = scope.get("root_path", "")
    if root and not path.startswith(root):
        path = root + path
    return Request(scope["method"], f"{scheme}://{host}{path}", scope.get("query_string", b"").decode("latin-1"), headers, body)
