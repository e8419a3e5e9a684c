"""Every adapter in front of a running server: its framework's application, served as people serve it."""

from __future__ import annotations

import collections
import contextlib
import threading
from http.client import HTTPConnection
from socketserver import ThreadingMixIn
from typing import Any, Dict, Iterator
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from applications import ASGI, WSGI
from servers import FlowForgeServer, ended, until

from flowforge import Context, FlowForge, SyncContext, step
from flowforge.server import Server

PATH = "/api/flowforge"


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class ThreadingWsgiServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextlib.contextmanager
def served_by_wsgi(application: Any) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, application, ThreadingWsgiServer, Quiet)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def served_by_uvicorn(application: Any) -> Iterator[int]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(application, "127.0.0.1", 0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until("it is served", lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def served_by_the_standard_library(app: FlowForge) -> Iterator[int]:
    server = Server(app, "127.0.0.1", 0, PATH)
    server.start()
    try:
        yield server.server_address[1]
    finally:
        server.stop()


def served(name: str, app: FlowForge) -> Any:
    if name in ASGI:
        return served_by_uvicorn(ASGI[name](app))
    return served_by_wsgi(WSGI[name](app)) if name in WSGI else served_by_the_standard_library(app)


def functions(app: FlowForge) -> Dict[str, int]:
    """Gives the app two functions, and says how often which of them was called."""
    calls: Dict[str, int] = collections.defaultdict(int)
    event = app.trigger.event

    @app.function(id="awaited", trigger=event(f"{app.app_id}/awaited"))
    async def awaited(ctx: Context) -> Any:
        calls[ctx.run_id] += 1
        first = [await step.run(f"s{n}", lambda n=n: [n, "é"]) for n in range(10)]
        both = await step.parallel(step.run("a", lambda: "a"), step.run("b", lambda: "b"))
        paid = await step.wait_for_event("paid", event=f"{app.app_id}/paid", match="data.id", timeout="1m")
        return [len(first), first[9], both, paid and paid.data["sum"]]

    @app.function(id="plain", trigger=event(f"{app.app_id}/plain"))
    def plain(ctx: SyncContext) -> Any:
        calls[ctx.run_id] += 1
        return [ctx.step.run("s", lambda n=n: n) for n in range(10)]

    return calls


@pytest.mark.parametrize("name", ["stdlib", *ASGI, *WSGI])
def test_an_adapter_runs_functions_of_a_running_server(server: FlowForgeServer, name: str) -> None:
    app = server.app(f"by-{name}")
    calls = functions(app)
    with served(name, app) as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("PUT", PATH)  # it registers itself, at the address at which it is asked
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()
        run = ended(app, f"by-{name}/plain")
        assert (run.output, calls[run.ulid]) == (list(range(10)), 1), "its answer is read line by line"
        run = app.runs.get(app.send(f"by-{name}/awaited", {"id": name}).runs[0])
        until("it waits", lambda: any(each["status"] == "waiting" for each in app.runs.steps(run.id)))
        app.send(f"by-{name}/paid", {"id": name, "sum": 42})
        assert app.runs.result(run.id) == [10, [9, "é"], ["a", "b"], 42]
        registered = server.sql(f"select framework from flowforge.app where name = 'by-{name}'")
        assert registered == ("python" if name == "stdlib" else name)
