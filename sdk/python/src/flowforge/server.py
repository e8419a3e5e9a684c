"""An HTTP server for apps, on the standard library."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from .serve import Answered, Request, Service

if TYPE_CHECKING:
    from .app import FlowForge

MAX_BODY = 64 * 1024 * 1024


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: Service
    path_served: str
    service_host = "localhost"

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY or "transfer-encoding" in self.headers:
            self.close_connection = True
            self._send(413 if length.isdigit() else 400, {}, b"")
            return
        body = self.rfile.read(int(length))
        if path.rstrip("/") != self.path_served.rstrip("/"):
            self._send(404, {"content-type": "text/plain"}, f"functions are served at {self.path_served}\n".encode())
            return
        scheme = self.headers.get("x-forwarded-proto", "http").split(",")[0].strip()
        host = self.headers.get("host") or self.service_host
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.service.handle(Request(self.command, f"{scheme}://{host}{path}", query, headers, body))
        if answer.lines is None:
            self._send(answer.status, answer.headers, answer.body)
        else:
            self._send_lines(answer)

    def _send_lines(self, answer: Answered) -> None:
        assert answer.lines is not None
        self.send_response(answer.status)
        for name, value in {**answer.headers, "transfer-encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.closing(answer.lines) as lines:  # type: ignore[type-var]
            for line in lines:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not worth a line each."""


class Server(ThreadingHTTPServer):
    """Serves an app; a thread for each connection. Attributes: url, where."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, app: FlowForge, host: str, port: int, path: str) -> None:
        class Handler(_Handler):
            service = app.service("python")
            path_served = path

        super().__init__((host, port), Handler)
        Handler.service_host = f"{host}:{self.server_address[1]}"
        self.url = f"http://{Handler.service_host}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of ours."""

    def start(self) -> None:
        """Serves in a thread of its own, until `stop`."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="flowforge-server", daemon=True).start()

    def stop(self) -> None:
        """Takes no more requests."""
        self.shutdown()
        self.server_close()

    def run(self) -> None:
        """Serves until the process is interrupted."""
        try:
            self.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            pass
        finally:
            self.server_close()
