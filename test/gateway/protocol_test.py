"""The gateway on the wire: what it accepts, refuses, survives and passes on.

Starts a private PostgreSQL with fake.sql and the gateway in front of it, and prints TAP. Usage:

    protocol_test.py PATH_OF_FLOWFORGE

The exit code is 1 when a check failed. As root the cluster runs as user postgres. Needs nothing but the standard library.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
RUN = "00000000-0000-7000-8000-000000000001"
CHECKS: list[Callable[[Bench], None]] = []


def check(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Adds a check; its name is its docstring."""
    CHECKS.append(function)
    return function


class Answer:
    """One HTTP answer, read from the wire."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> dict[str, object]:
        return json.loads(self.body)


class Client:
    """A raw connection, so that anything can be sent."""

    def __init__(self, port: int, timeout: float = 10) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.pending = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def more(self) -> bool:
        """Reads once; False at the end of the connection."""
        data = self.socket.recv(65536)
        self.pending += data
        return bool(data)

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.pending:
            if not self.more():
                raise EOFError(f"the connection ended, before {mark!r}: {self.pending[:200]!r}")
        head, self.pending = self.pending.split(mark, 1)
        return head

    def head(self) -> tuple[int, dict[str, str]]:
        lines = self.read_until(b"\r\n\r\n").decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        return int(lines[0].split(" ")[1]), headers

    def answer(self, method: str = "GET") -> Answer:
        status, headers = self.head()
        length = int(headers.get("content-length", "0")) if method != "HEAD" else 0
        while len(self.pending) < length:
            if not self.more():
                raise EOFError("the connection ended inside a body")
        body, self.pending = self.pending[:length], self.pending[length:]
        return Answer(status, headers, body)

    def ends(self) -> bool:
        """True when the server closes."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True


class Bench:
    """A cluster and a gateway."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.home = Path(tempfile.mkdtemp(prefix="ff-gateway-test-"))
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.bin = subprocess.check_output(["pg_config", "--bindir"], text=True).strip()
        if self.user:
            shutil.chown(self.home, "postgres")
        self.log = self.home / "gateway.log"
        self.postgres("initdb", "-A", "trust", "-U", "postgres", "-D", str(self.home / "data"))
        self.database_up()
        self.sql("create database flowforge", database="postgres")
        self.sql((HERE / "fake.sql").read_text())
        self.start()

    def postgres(self, program: str, *arguments: str) -> str:
        command = [*self.user, f"{self.bin}/{program}", *arguments]
        with open(self.home / "programs.log", "ab") as log:
            return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.home).stdout

    def database_up(self) -> None:
        options = f"-k {self.home} -c listen_addresses='' -c fsync=off -c max_connections=40"
        log = self.home / "postgres.log"
        self.postgres("pg_ctl", "-w", "-D", str(self.home / "data"), "-l", str(log), "-o", options, "start")

    def database_down(self, mode: str = "fast") -> None:
        self.postgres("pg_ctl", "-w", "-D", str(self.home / "data"), "-m", mode, "stop")

    def sql(self, text: str, database: str = "flowforge") -> str:
        return self.postgres("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.home), "-U", "postgres", "-d", database,
                             "-c", text).strip()

    def start(self) -> None:
        url = f"host={self.home} user=postgres dbname=flowforge"
        with open(self.log, "ab") as log:
            self.log_start = self.log.stat().st_size
            self.gateway = subprocess.Popen([self.program, "serve", "--db", url, "-p", "0"], stderr=log)
        found = None
        while found is None:
            time.sleep(0.02)
            found = re.search(r"port (\d+)", self.log.read_text()[self.log_start:])
            if self.gateway.poll() is not None:
                raise RuntimeError(self.log.read_text())
        self.port = int(found[1])
        self.await_ready()

    def await_ready(self, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.get("/ready").status == 200 and self.get("/e/x", method="POST").status == 200:
                return
            time.sleep(0.05)
        raise TimeoutError("not ready: " + self.log.read_text()[-2000:])

    def stop(self) -> int:
        self.gateway.send_signal(signal.SIGTERM)
        return self.gateway.wait(15)

    def close(self) -> None:
        if self.gateway.poll() is None:
            self.gateway.kill()
        self.database_down("immediate")
        shutil.rmtree(self.home)

    def client(self, timeout: float = 10) -> Client:
        return Client(self.port, timeout)

    def get(self, path: str, headers: str = "", method: str = "GET", body: bytes = b"", timeout: float = 10) -> Answer:
        client = self.client(timeout)
        length = f"content-length: {len(body)}\r\n" if body else ""
        client.send(f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}{headers}\r\n".encode() + body)
        return client.answer(method)

    def status_of(self, data: bytes) -> int:
        """The status a raw request gets, and, for a refusal, that the connection ends."""
        client = self.client()
        client.send(data)
        answer = client.answer()
        assert answer.status < 400 or client.ends(), "the connection stays open after a refusal"
        return answer.status


def equal(found: object, wanted: object) -> None:
    assert found == wanted, f"{found!r} is not {wanted!r}"
