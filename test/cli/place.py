"""What the tests of the command line share: the program, a terminal to run it in, and a live server.

`flowforge(...)` runs the program to its end, `begin(...)` starts it, both in an empty directory and with none of our variables set, so
that nothing but what a test gives decides what it does. `place()` is one private PostgreSQL with the extension, a gateway and an app for
all tests of a file.
"""
from __future__ import annotations

import atexit
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tap"))
from harness import App, Cluster, free_port, wait_for  # noqa: E402

PROGRAM = os.environ.get("FLOWFORGE_BIN", str(HERE.parent.parent / "src/gateway/flowforge"))
EMPTY = tempfile.mkdtemp(prefix="flowforge-cli-")
os.chmod(EMPTY, 0o755)
atexit.register(shutil.rmtree, EMPTY, True)

DONE, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3


@dataclass
class Result:
    """How the program ended: its exit code (-n: by signal n) and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        """Its output as JSON, one value a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def expect(self, code: int, *said: str) -> Result:
        """Asserts the exit code and what standard error must say."""
        assert self.code == code, f"exit code {self.code}, not {code}\n{self.out}\n{self.err}"
        for text in said:
            assert text in self.err, f"{text!r} is not in {self.err!r}"
        return self


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items()
            if not name.startswith(("FLOWFORGE_", "INNGEST_", "PG")) or name == "PG_CONFIG"}
    return ours | {"TERM": "xterm"} | (extra or {})


def begin(*arguments: str, env: dict[str, str] | None = None, cwd: str = EMPTY, **options: Any) -> subprocess.Popen[str]:
    """Starts the program; its output is in pipes unless told otherwise."""
    settings: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([PROGRAM, *arguments], text=True, env=environment(env), cwd=cwd, **settings)


def finish(process: subprocess.Popen[str], timeout: float = 30) -> Result:
    """What it printed; kills it and fails when it does not end in time."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{process.args} did not end in {timeout} s\n{out}\n{err}") from None
    return Result(process.returncode, out or "", err or "")


def flowforge(*arguments: str, stdin: str | None = None, timeout: float = 30, **options: Any) -> Result:
    if stdin is None:
        return finish(begin(*arguments, **options), timeout)
    process = begin(*arguments, stdin=subprocess.PIPE, **options)
    try:
        out, err = process.communicate(stdin, timeout=timeout)
    finally:
        process.kill()
    return Result(process.returncode, out, err)


class Reader:
    """Reads a stream in the background, so that a test can wait for a line of it."""

    def __init__(self, stream: Any) -> None:
        self.text = ""
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            self.text += line

    def wait(self, pattern: str, seconds: float = 20) -> re.Match[str]:
        wait_for(lambda: re.search(pattern, self.text), seconds, f"{pattern!r} in {self.text!r}")
        found = re.search(pattern, self.text)
        assert found is not None
        return found


def in_terminal(*arguments: str, columns: int = 100, env: dict[str, str] | None = None, timeout: float = 30) -> Result:
    """Runs the program with a terminal as its standard output."""
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "cols", str(columns), "-onlcr"], stdin=theirs, check=True)
    process = begin(*arguments, env=env, stdout=theirs)
    os.close(theirs)
    out, deadline = b"", time.monotonic() + timeout
    while select.select([ours], [], [], max(0, deadline - time.monotonic()))[0]:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the terminal has no other end any more
            break
        out += data
    os.close(ours)
    return Result(finish(process, 5).code, out.decode(), "")


class Shop(App):
    """An app whose functions do one thing each, named after it."""

    FUNCTIONS = {"greet": 4, "broken": 1, "flaky": 4, "nap": 4, "gate": 4, "caught": 1, "hostile": 1}

    def __init__(self) -> None:
        self.opened = threading.Event()
        super().__init__(name="shop")

    def registration(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/api/inngest"
        return {"url": url, "appName": "shop", "framework": "test", "sdk": "js:v0", "v": "0.1", "deployType": "ping", "functions": [
            {"id": f"shop-{name}", "name": name, "triggers": [{"event": f"shop/{name}"}], "steps": {"step": {
                "id": "step", "name": "step", "retries": {"attempts": attempts},
                "runtime": {"type": "http", "url": f"{url}?fnId=shop-{name}&stepId=step"}}}}
            for name, attempts in self.FUNCTIONS.items()]}

    def answer(self, body: dict[str, Any]) -> tuple[int, Any]:
        what = body["event"]["name"].split("/")[1]
        if not body["steps"] and body["ctx"]["attempt"] == 0:
            time.sleep(body["event"]["data"].get("think", 0))  # so that whoever follows the run is there
        return getattr(self, "do_" + what)(body["event"]["data"], body["steps"], body["ctx"])  # type: ignore[no-any-return]

    @staticmethod
    def step(name: str, op: str = "StepRun", **more: Any) -> tuple[int, Any]:
        return 206, [{"id": f"{name:0>40}", "op": op, "name": name, "displayName": name, **more}]

    def do_greet(self, data: dict[str, Any], steps: Any, _: Any) -> tuple[int, Any]:
        return (200, f"hello {data.get('name', 'you')}") if steps else self.step("look up", data="found")

    def do_broken(self, *_: Any) -> tuple[int, Any]:
        return 500, {"name": "TypeError", "message": "it broke"}

    def do_hostile(self, *_: Any) -> tuple[int, Any]:
        return 500, {"name": "Error", "message": "\x1b]0;owned\x07\x1b[2Jred\r\nflowforge: forged"}

    def do_flaky(self, _: Any, steps: Any, context: dict[str, Any]) -> tuple[int, Any]:
        if steps:
            return 200, "paid"
        if context["attempt"] == 0:
            return self.step("charge", "StepError", error={"name": "Error", "message": "card declined"})
        return self.step("charge", data=42)

    def do_caught(self, _: Any, steps: Any, __: Any) -> tuple[int, Any]:
        return (200, "recovered") if steps else self.step("risky", "StepFailed", error={"name": "Error", "message": "no luck"})

    def do_nap(self, data: dict[str, Any], steps: Any, _: Any) -> tuple[int, Any]:
        return (200, "rested") if steps else (206, [{"id": "f" * 40, "op": "Sleep", "name": data.get("for", "1s"),
                                                     "displayName": "doze", "opts": {}}])

    def do_gate(self, _: Any, steps: Any, __: Any) -> tuple[int, Any]:
        if not steps:
            return self.step("before", data=1)
        self.opened.wait(60)
        return (200, "through") if len(steps) > 1 else self.step("after", data=2)


class Gateway:
    """`flowforge serve` on a port of its own, which a restart keeps."""

    def __init__(self, database: str, port: int | None = None) -> None:
        self.database = database
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.NamedTemporaryFile("a+", prefix="gateway-", dir=EMPTY)
        self.start()

    def start(self) -> None:
        self.process = begin("serve", "--db", self.database, "-p", str(self.port), stdout=self.log, stderr=self.log)
        wait_for(lambda: self.process.poll() is not None or ask(self.url + "/ready") == 200, 20, "the gateway is ready")
        assert self.process.poll() is None, Path(self.log.name).read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


def ask(url: str) -> int:
    """The status of a GET; 0 when nobody answers."""
    done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-m", "5", "-w", "%{http_code}", url], capture_output=True, text=True)
    return int(done.stdout or 0)


class Place:
    """A private server with everything a user has."""

    def __init__(self) -> None:
        self.cluster = Cluster({"flowforge.retry_interval": "300"})
        atexit.register(self.cluster.remove)
        self.app = Shop()
        self.cluster.register(self.app)
        self.database = f"postgresql://postgres@127.0.0.1:{self.cluster.port}/flowforge"
        self.gateway = Gateway(f"postgresql://flowforge_gateway@127.0.0.1:{self.cluster.port}/flowforge")
        atexit.register(lambda: self.gateway.process.poll() is None and self.gateway.stop(signal.SIGKILL))
        self.env = {"FLOWFORGE_URL": self.gateway.url, "FLOWFORGE_DATABASE_URL": self.database}

    def run(self, *arguments: str, **options: Any) -> Result:
        """The program, told where this server is."""
        return flowforge(*arguments, env=self.env | options.pop("env", {}), **options)

    def begin(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return begin(*arguments, env=self.env | options.pop("env", {}), **options)

    def send(self, name: str, data: object = None) -> str:
        """Sends an event and gives the id of the run it starts."""
        sent = self.run("send", name, "-d", json.dumps(data or {}), "--json").expect(DONE).json()
        return str(sent["runs"][0]["id"])

    def ended(self, run: str) -> None:
        wait_for(lambda: self.cluster.sql(f"select 1 from flowforge.run_end where run_id = '{run}'") == "1", 30, f"run {run} has ended")


_place: Place | None = None


def place() -> Place:
    global _place
    if _place is None:
        _place = Place()
    return _place
