"""A FlowForge of the test's own: PostgreSQL with the extension, and the gateway. What starts them is that of test/tap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Callable, Dict, List, Optional

REPOSITORY = Path(__file__).parents[3]
sys.path.append(str(REPOSITORY / "test" / "tap"))  # last: its modules may have the names of Python's

from gateway import Gateway  # type: ignore[import-not-found]  # noqa: E402
from harness import Cluster, free_port, wait_for  # type: ignore[import-not-found]  # noqa: E402

from flowforge import FlowForge, Run  # noqa: E402
from flowforge.server import Server  # noqa: E402

# A new server makes them in its first second; who reads meanwhile may not see a row that is just being moved into one.
PARTITIONED = """select bool_and(exists (select from pg_inherits o where o.inhparent = i.inhparent and o.inhrelid <> i.inhrelid))
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where c.relnamespace = 'flowforge'::regnamespace and c.relname like '%\\_default'"""
KEY = "signkey-test-0123456789abcdef0123456789abcdef"
EVENT_KEY = "event-key-1"


class FlowForgeServer:
    """A server; `signed` gives it keys, which ends development mode."""

    def __init__(self, signed: bool = False) -> None:
        settings = {"flowforge.outbound_allow": "'127.0.0.1, ::1, localhost'"}
        if signed:
            settings.update({"flowforge.signing_key": f"'{KEY}'", "flowforge.event_keys": f"'{EVENT_KEY}'"})
        self.signed = signed
        self.cluster = Cluster(settings=settings)
        try:
            self.gateway = Gateway(self.cluster)
        except BaseException:
            self.cluster.remove()
            raise
        self.url = f"http://127.0.0.1:{self.gateway.port}"
        until("today has its partitions", lambda: self.sql(PARTITIONED) == "t")
        self.servers: List[Server] = []

    def app(self, app_id: str, **options: Any) -> FlowForge:
        """An app that knows the server."""
        return FlowForge(app_id, self.url, signing_key=KEY if self.signed else None, **options)

    def serve(self, app: FlowForge) -> str:
        """Serves an app in this process and registers it; gives its URL."""
        server = Server(app, "127.0.0.1", 0, "/api/flowforge")
        server.start()
        self.servers.append(server)
        app.register(server.url)
        return server.url

    @property
    def environment(self) -> Dict[str, str]:
        """What programs are told of the server."""
        keys = {"FLOWFORGE_SIGNING_KEY": KEY} if self.signed else {}
        return {**os.environ, "FLOWFORGE_URL": self.url, "PYTHONUNBUFFERED": "1", **keys}

    def sql(self, text: str) -> str:
        """What a statement gives."""
        return str(self.cluster.sql(text))

    def stop(self) -> None:
        """Stops all of it; what the engine keeps must make sense."""
        for server in self.servers:
            server.stop()
        try:
            self.cluster.assert_sound()
        finally:
            self.gateway.stop()
            self.cluster.remove()


def ended(app: FlowForge, event: str, data: Any = None, status: str = "completed") -> Run:
    """Sends an event that starts one run, waits for its end, and looks at how it ended."""
    sent = app.send(event, data)
    assert len(sent.runs) == 1, f"event {event} started {len(sent.runs)} runs"
    run = app.runs.wait(sent.runs[0], "2m")
    assert run.status == status, f"{run.status}: {run.error or run.output}"
    return run


class Program:
    """A program that is started again when it has ended."""

    def __init__(self, source: str, environment: Dict[str, str], directory: Path) -> None:
        self.path = directory / "program.py"
        self.path.write_text(source)
        self.environment = environment
        self.starts = 0
        self.process: Optional[subprocess.Popen[bytes]] = None

    def keep(self) -> int:
        """Starts it if it does not run; gives how often it was started."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen([sys.executable, str(self.path)], env=self.environment)
            self.starts += 1
        return self.starts

    def stop(self) -> None:
        """Ends it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Web:
    """Somebody else's server: answers what it is asked as `answer(method, path, body)` says."""

    def __init__(self, answer: Callable[[str, str, Any], Any]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                text = json.dumps(answer(self.command, self.path, json.loads(body) if body else None)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Stops it."""
        self.server.shutdown()
        self.server.server_close()


def until(what: str, condition: Callable[[], Any]) -> Any:
    """Waits for what must come."""
    return wait_for(condition, 30, what)


__all__ = ["EVENT_KEY", "KEY", "FlowForgeServer", "Program", "Web", "ended", "free_port", "until"]
