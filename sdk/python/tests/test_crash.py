"""Apps that die: no finished step runs again. Apps that begin before the server, and that change: they are registered."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from servers import FlowForgeServer, Program, ended, free_port, until

from flowforge import FlowForge
from flowforge.worker import Worker

STEPS = 10

# Each start of the program dies at the beginning of the first step that nobody has died in yet.
DYING = f"""
import os, pathlib, signal
from flowforge import FlowForge, step, sync_step
here = pathlib.Path(os.environ["HERE"])
flowforge = FlowForge(app_id=os.environ["APP"], streaming=os.environ["STREAMING"])

def body(n):
    mark = here / f"died-{{n}}"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with open(here / "log", "a") as log:
        print(n, file=log)
    return n

@flowforge.function(id="async", trigger=flowforge.trigger.event(os.environ["APP"] + "/async"), retries=20)
async def many(ctx):
    return [await step.run(f"s{{n}}", body, n) for n in range({STEPS})]

@flowforge.function(id="sync", trigger=flowforge.trigger.event(os.environ["APP"] + "/sync"), retries=20)
def many_sync(ctx):
    return [sync_step.run(f"s{{n}}", body, n) for n in range({STEPS})]

flowforge.work(port=int(os.environ["PORT"]))
"""


@pytest.mark.parametrize("streaming", ["lines", "calls"])
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_an_app_that_is_killed_after_any_step_repeats_none(dev_server: FlowForgeServer, tmp_path: Path, kind: str, streaming: str) -> None:
    name = f"dying-{kind}-{streaming}"
    more = {"HERE": str(tmp_path), "APP": name, "STREAMING": streaming, "PORT": str(free_port())}
    program = Program(DYING, {**dev_server.environment, **more}, tmp_path)
    client = dev_server.app("client")
    try:
        program.keep()
        until("it is registered", lambda: client._ask("GET", f"/functions?app={name}")["data"])
        run = client.send(f"{name}/{kind}").runs[0]
        until("the run has ended", lambda: program.keep() and client.runs.get(run).ended)
        found = client.runs.get(run)
        assert found.output == list(range(STEPS)), found.error
        assert (tmp_path / "log").read_text().split() == [str(n) for n in range(STEPS)]
        assert program.starts == STEPS + 1
    finally:
        program.stop()


def test_a_worker_registers_when_the_server_is_there_and_again_when_functions_change(dev_server: FlowForgeServer) -> None:
    app = FlowForge("worker", "http://127.0.0.1:9")

    @app.function(id="first", trigger=app.trigger.event("worker/first"))
    async def first(ctx: Any) -> str:
        return "first"

    worker = Worker(app, "127.0.0.1", 0, "/api/flowforge")
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    assert worker.registrations == 0
    app.settings.url = dev_server.url
    until("it is registered", lambda: worker.registrations == 1)
    assert ended(app, "worker/first").output == "first"
    app.function(id="second", trigger=app.trigger.event("worker/second"))(lambda ctx: "second")
    until("it is registered again", lambda: worker.registrations == 2)
    assert ended(app, "worker/second").output == "second"
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("quiet", [False, True])
def test_a_worker_says_what_it_serves_unless_the_program_has_its_own_log(dev_server: FlowForgeServer, tmp_path: Path, quiet: bool) -> None:
    own = 'logging.basicConfig(format="own: %(message)s")'
    program = f"import logging\nfrom flowforge import FlowForge\n{own if quiet else ''}\napp = FlowForge('said-{quiet}')"
    function = "app.function(id='f', trigger=app.trigger.event('said/f'))(lambda ctx: 1)"
    log = tmp_path / "log"
    with open(log, "w") as file:
        process = subprocess.Popen([sys.executable, "-c", f"{program}\n{function}\napp.work()"], env=dev_server.environment, stderr=file)
    try:
        until("it is registered", lambda: dev_server.app("client")._ask("GET", f"/functions?app=said-{quiet}")["data"])
        if quiet:
            assert log.read_text() == "", "warnings are what its own log takes"
        else:
            until(
                "it has said so",
                lambda: log.read_text().startswith("flowforge: said-False is registered with 1 function, served at http://"),
            )
    finally:
        process.kill()
        process.wait()


def test_a_server_that_is_told_of_an_app_asks_it(dev_server: FlowForgeServer) -> None:
    app = dev_server.app("asked")
    app.function(id="f", trigger=app.trigger.event("asked/f"))(lambda ctx: "asked")
    from flowforge.server import Server

    server = Server(app, "127.0.0.1", 0, "/api/flowforge")
    server.start()
    try:
        app._ask("POST", "/apps", {"url": server.url})
        assert ended(app, "asked/f").output == "asked"
    finally:
        server.stop()
