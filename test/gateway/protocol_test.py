"""The gateway on the wire: what it accepts, refuses, survives and passes on.

Starts a private PostgreSQL with fake.sql and the gateway in front of it, and prints TAP. Usage:

    protocol_test.py PATH_OF_FLOWFORGE

The exit code is 1 when a check failed. As root the cluster runs as user postgres. Needs nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
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

    def __init__(self, port: int, timeout: float = 10, window: int = 0) -> None:
        self.socket = socket.socket()
        if window > 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.pending = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def more(self) -> bool:
        """Reads once; False at the end of the connection."""
        data = self.socket.recv(1 << 20)
        self.pending += data
        return bool(data)

    def read_until(self, mark: bytes) -> bytes:
        looked = 0
        while self.pending.find(mark, max(0, looked - len(mark))) < 0:
            looked = len(self.pending)
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

SERVING = "select pid from pg_stat_activity where state = 'active' and query like '%flowforge.serve(%' and pid <> pg_backend_pid()"


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
            # So that memory is what is in use, also in a build with ASan, which keeps freed memory back.
            options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
            environment = {**os.environ, "ASAN_OPTIONS": options}
            self.gateway = subprocess.Popen([self.program, "serve", "--db", url, "-p", "0"], stderr=log, env=environment)
        found = None
        while found is None:
            time.sleep(0.02)
            found = re.search(r"port (\d+)", self.log.read_text()[self.log_start:])
            if self.gateway.poll() is not None:
                raise RuntimeError(self.log.read_text())
        self.port = int(found[1])
        self.await_ready()

    def await_answer(self, path: str, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.get(path).status == 200:
                return
            time.sleep(0.05)
        raise TimeoutError(f"no answer of {path}: " + self.log.read_text()[-2000:])

    def await_ready(self, seconds: float = 10) -> None:
        self.await_answer("/ready", seconds)

    def await_sql(self, condition: str, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while self.sql(condition) != "t":
            assert time.monotonic() < deadline, condition
            time.sleep(0.05)

    @contextlib.contextmanager
    def impatient(self, *options: str) -> Iterator[int]:
        """A second gateway, with deadlines of its own; gives its port."""
        log = self.home / "impatient.log"
        log.write_text("")
        with open(log, "ab") as out:
            command = [self.program, "serve", "--db", f"host={self.home} user=postgres dbname=flowforge", "-p", "0", *options]
            gateway = subprocess.Popen(command, stderr=out)
        try:
            deadline = time.monotonic() + 10
            while not (found := re.search(r"port (\d+)", log.read_text())) or self.get("/ready", port=int(found[1])).status != 200:
                assert time.monotonic() < deadline and gateway.poll() is None, log.read_text()
                time.sleep(0.02)
            yield int(found[1])
        finally:
            gateway.kill()
            gateway.wait()

    def stop(self) -> int:
        self.gateway.send_signal(signal.SIGTERM)
        return self.gateway.wait(15)

    def close(self) -> None:
        if self.gateway.poll() is None:
            self.gateway.kill()
        self.database_down("immediate")
        shutil.rmtree(self.home)

    def memory(self) -> int:
        """Resident bytes of the gateway."""
        return int(Path(f"/proc/{self.gateway.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def client(self, timeout: float = 10) -> Client:
        return Client(self.port, timeout)

    def get(self, path: str, headers: str = "", method: str = "GET", body: bytes = b"", timeout: float = 10, port: int = 0) -> Answer:
        client = Client(port or self.port, timeout)
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


# ---- what is refused ----

GET = "GET /echo HTTP/1.1\r\n"
POST = "POST /e/k HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"
REFUSED: list[tuple[str, int, str | bytes]] = [
    ("two different lengths", 400, POST + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
    ("the same length twice", 400, POST + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
    ("a list of lengths", 400, POST + "Content-Length: 2, 2\r\n\r\nab"),
    ("a length with a sign", 400, POST + "Content-Length: +2\r\n\r\nab"),
    ("a negative length", 400, POST + "Content-Length: -2\r\n\r\nab"),
    ("a length in hexadecimal", 400, POST + "Content-Length: 0x2\r\n\r\nab"),
    ("an empty length", 400, POST + "Content-Length: \r\n\r\n"),
    ("a length beyond 64 bits", 400, POST + "Content-Length: 99999999999999999999\r\n\r\n"),
    ("a length with chunks", 400, POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunks with a length", 400, POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    ("two transfer encodings", 400, POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("an unknown transfer encoding", 501, POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("gzip before chunked", 501, POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("chunks in HTTP/1.0", 400, "POST /e/k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a chunk size that is no number", 400, CHUNKED + "zz\r\nab\r\n0\r\n\r\n"),
    ("a chunk without a size", 400, CHUNKED + "\r\nab\r\n0\r\n\r\n"),
    ("a chunk size with 0x", 400, CHUNKED + "0x2\r\nab\r\n0\r\n\r\n"),
    ("a chunk size with a sign", 400, CHUNKED + "+2\r\nab\r\n0\r\n\r\n"),
    ("a chunk size beyond 32 bits", 400, CHUNKED + "fffffffff\r\nab\r\n0\r\n\r\n"),
    ("a chunk longer than its size", 400, CHUNKED + "2\r\nabc\r\n0\r\n\r\n"),
    ("a chunk size with a bare LF", 400, CHUNKED + "2\nab\r\n0\r\n\r\n"),
    ("a chunk extension with a bare LF", 400, CHUNKED + "2;x\nab\r\n0\r\n\r\n"),
    ("a chunk extension without end", 400, CHUNKED + "2;" + "x" * 400 + "\r\nab\r\n0\r\n\r\n"),
    ("a folded trailer", 400, CHUNKED + "0\r\n folded: x\r\n\r\n"),
    ("trailers without end", 400, CHUNKED + "0\r\n" + "a: b\r\n" * 1000 + "\r\n"),
    ("a bare LF in the head", 400, "GET /echo HTTP/1.1\nHost: x\r\n\r\n"),
    ("a bare CR in a header", 400, GET + "Host: x\r\nA: b\rc\r\n\r\n"),
    ("a NUL in a header", 400, GET + "Host: x\r\nA: b\0c\r\n\r\n"),
    ("a control character in a header", 400, GET + "Host: x\r\nA: b\x07c\r\n\r\n"),
    ("a folded header", 400, GET + "Host: x\r\nA: b\r\n c\r\n\r\n"),
    ("a folded first header", 400, GET + " Host: x\r\n\r\n"),
    ("a space before the colon", 400, GET + "Host : x\r\n\r\n"),
    ("a header without a colon", 400, GET + "Host: x\r\nnothing\r\n\r\n"),
    ("a header without a name", 400, GET + "Host: x\r\n: b\r\n\r\n"),
    ("no host", 400, GET + "\r\n"),
    ("two hosts", 400, GET + "Host: x\r\nHost: x\r\n\r\n"),
    ("a host with a space", 400, GET + "Host: x y\r\n\r\n"),
    ("two authorizations", 400, GET + "Host: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"),
    ("a request line of two words", 400, "GET /echo\r\nHost: x\r\n\r\n"),
    ("two spaces in the request line", 400, "GET  /echo HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a space in the path", 400, "GET /ec ho HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a fragment in the path", 400, "GET /echo#x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a path without a slash", 400, "GET echo HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a method that is no token", 400, "G(T /echo HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("HTTP/2.0", 505, "GET /echo HTTP/2.0\r\nHost: x\r\n\r\n"),
    ("no HTTP at all", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n"),
    ("an expectation we do not know", 417, POST + "Expect: coffee\r\nContent-Length: 0\r\n\r\n"),
    ("a head of more than 16 KB", 431, GET + "Host: x\r\nA: " + "b" * 17000 + "\r\n\r\n"),
    ("more than 64 headers", 431, GET + "Host: x\r\n" + "A: b\r\n" * 64 + "\r\n"),
    ("a path of more than 16 KB", 431, "GET /" + "a" * 17000),
    ("a length of more than 4 MB", 413, POST + "Content-Length: 4194305\r\n\r\n"),
    ("broken UTF-8 in the path", 400, b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("overlong UTF-8 in the path", 400, b"GET /\xc0\xaf HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("broken UTF-8 in a header", 400, b"GET /echo HTTP/1.1\r\nHost: x\r\nUser-Agent: \xe4\r\n\r\n"),
]


def refusal(name: str, status: int, data: str | bytes) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        equal(bench.status_of(data.encode() if isinstance(data, str) else data), status)

    run.__doc__ = f"{name} is refused with {status}"
    return run


CHECKS.extend(refusal(*each) for each in REFUSED)


# ---- what is accepted ----


@check
def health(bench: Bench) -> None:
    """/health is answered with a length, a date and a request id"""
    answer = bench.get("/health")
    equal((answer.status, answer.json()), (200, {"status": "ok"}))
    assert "date" in answer.headers and len(answer.headers["x-request-id"]) == 32


@check
def passes_on(bench: Bench) -> None:
    """method, path, query, allow-listed headers and body reach serve()"""
    headers = ('Authorization: Bearer a"\\\tb\r\nX-Inngest-Sign: 1\r\nX-Inngest-Sign: 2\r\nX-Flowforge-A: \u00e9\r\nCookie: no\r\n'
               "X-FF-Remote: 9.9.9.9\r\nX-Request-Id: mine.1\r\nCe-Type: t\r\n")
    answer = bench.get("/echo?a=%20b&c", headers, body=b"\0\xff", method="GET")
    found = answer.json()
    given = found["headers"]
    assert isinstance(given, dict)
    equal((found["method"], found["path"], found["query"], found["length"]), ("GET", "/echo", "a=%20b&c", 2))
    equal(given, {"authorization": 'Bearer a"\\\tb', "x-inngest-sign": "1, 2", "x-flowforge-a": "\u00e9", "x-flowforge-address": "127.0.0.1",
                  "x-request-id": "mine.1", "host": "x", "ce-type": "t"})
    equal(answer.headers["x-request-id"], "mine.1")


@check
def passes_all_headers(bench: Bench) -> None:
    """a route that takes all headers gets them, but for cookies and what the gateway says itself"""
    headers = "X-Hub-Signature-256: sha256=ab\r\nCookie: no\r\nX-FlowForge-Address: 9.9.9.9\r\n"
    given = bench.get("/echo/x", headers, body=b"a", method="POST").json()["headers"]
    assert isinstance(given, dict)
    equal({name: given[name] for name in given if name != "x-request-id"},
          {"x-hub-signature-256": "sha256=ab", "x-flowforge-address": "127.0.0.1", "host": "x"})


@check
def keeps_alive(bench: Bench) -> None:
    """a connection carries many requests, of which pipelined ones wait their turn"""
    client = bench.client()
    client.send(b"GET /echo?1 HTTP/1.1\r\nhost: x\r\n\r\n" + b"POST /e/k HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab" +
                b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" + b"GET /echo?2 HTTP/1.1\r\nhost: x\r\n\r\n" * 50)
    equal(client.answer().json()["query"], "1")
    equal(client.answer().json(), {"ok": True})
    equal(client.answer().json(), {"status": "ok"})
    for _ in range(50):
        equal(client.answer().json()["query"], "2")


@check
def byte_by_byte(bench: Bench) -> None:
    """a request that comes byte by byte is understood"""
    client = bench.client()
    for byte in b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\na: b\r\n\r\n":
        client.send(bytes([byte]))
    equal(client.answer().json()["md5"], hashlib.md5(b"abcde").hexdigest())


@check
def largest_body(bench: Bench) -> None:
    """a body of 4 MB arrives whole, with a length and in chunks; one byte more does not"""
    body = os.urandom(4 * 1024 * 1024)
    equal(bench.get("/echo", method="POST", body=body).json()["md5"], hashlib.md5(body).hexdigest())
    for extra, status in ((b"", 200), (b"x", 413)):
        client = bench.client()
        client.send(b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        client.send(b"%x\r\n" % (len(body) + len(extra)) + body + extra + b"\r\n0\r\n\r\n")
        equal(client.answer().status, status)


@check
def large_answer(bench: Bench) -> None:
    """an answer of 8 MB comes whole to a slow reader"""
    client = bench.client()
    client.send(b"GET /large?8388608 HTTP/1.1\r\nhost: x\r\n\r\n")
    time.sleep(0.3)
    equal(len(client.answer().body), 8388608)


@check
def head_method(bench: Bench) -> None:
    """HEAD gets the headers of GET and no body"""
    client = bench.client()
    client.send(b"HEAD /echo HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\n\r\n")
    assert int(client.answer("HEAD").headers["content-length"]) > 0
    equal(client.answer().json(), {"status": "ok"})


@check
def no_content(bench: Bench) -> None:
    """204 has neither length nor body"""
    answer = bench.get("/none")
    assert answer.status == 204 and "content-length" not in answer.headers


@check
def forged_headers(bench: Bench) -> None:
    """serve() cannot set the headers that frame an answer"""
    answer = bench.get("/forge")
    equal((answer.headers["content-length"], answer.headers["connection"], answer.headers["x-good"]), ("2", "close", "yes"))
    assert "Content-Length" not in answer.headers


@check
def preflight(bench: Bench) -> None:
    """/e/ is open to all origins, other paths are not"""
    answer = bench.get("/e/k", "origin: https://a.example\r\naccess-control-request-method: POST\r\n", method="OPTIONS")
    equal((answer.status, answer.headers["access-control-allow-origin"]), (204, "*"))
    assert "POST" in answer.headers["access-control-allow-methods"]
    equal(bench.get("/e/k", method="POST", body=b"a").headers["access-control-allow-origin"], "*")
    assert "access-control-allow-origin" not in bench.get("/echo").headers
    assert "access-control-allow-origin" not in bench.get("/echo", method="OPTIONS").headers


@check
def expects_continue(bench: Bench) -> None:
    """Expect: 100-continue is answered before the body, once"""
    client = bench.client()
    client.send(b"POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
    equal(client.head()[0], 100)
    client.send(b"abc")
    equal(client.answer().json()["length"], 3)


@check
def http10(bench: Bench) -> None:
    """HTTP/1.0 needs no host, closes, and stays when asked to"""
    client = bench.client()
    client.send(b"GET /health HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    equal(client.answer().headers["connection"], "keep-alive")
    client.send(b"GET /health HTTP/1.0\r\n\r\n")
    equal(client.answer().headers["connection"], "close")
    assert client.ends()


@check
def absolute_form(bench: Bench) -> None:
    """of an absolute target the path counts"""
    client = bench.client()
    client.send(b"GET http://a.example/echo?q HTTP/1.1\r\nhost: x\r\n\r\n")
    equal(client.answer().json()["path"], "/echo")


# ---- time ----


def trickle(client: Client, data: bytes, seconds: float) -> float:
    """Sends a byte every half second until the server answers; gives how long that took."""
    started = time.monotonic()
    client.socket.settimeout(0.5)
    for byte in data:
        client.send(bytes([byte]))
        try:
            client.more()
            break
        except TimeoutError:
            if time.monotonic() - started > seconds:
                break
    client.socket.settimeout(5)
    return time.monotonic() - started


@check
def slow_head(bench: Bench) -> None:
    """heads that trickle are ended with 408 after 10 seconds, and do not hinder others"""
    clients = [bench.client() for _ in range(200)]
    for client in clients:
        client.send(b"GET /echo HTTP/1.1\r\n")
    started = time.monotonic()
    equal(bench.get("/echo").status, 200)
    assert time.monotonic() - started < 1
    took = trickle(clients[0], b"a" * 60, 15)
    assert 8 < took < 13, took
    equal(clients[0].answer().status, 408)
    equal([client.answer().status for client in clients[1:]], [408] * 199)


@check
def slow_body(bench: Bench) -> None:
    """a body that trickles, with a length or in chunks, is ended with 408 at --body-timeout, and the connection with it"""
    for framing, bytes_sent in (("content-length: 100", b"a" * 60), ("transfer-encoding: chunked", b"1\r\na\r\n" * 10)):
        with bench.impatient("--body-timeout", "1") as port:
            client = Client(port)
            client.send(f"POST /e/k HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n".encode())
            took = trickle(client, bytes_sent, 5)
            assert 0.9 < took < 3.5, took
            answer = client.answer()
            equal((answer.status, answer.json()["code"], answer.headers["connection"]), (408, "timeout", "close"))
            equal(answer.json()["detail"], "The body of the request did not arrive in 1 second.")
            assert client.ends()


@check
def short_head_deadline(bench: Bench) -> None:
    """--head-timeout says how long a head may take, also of the second request of a connection"""
    with bench.impatient("--head-timeout", "1") as port:
        client = Client(port)
        client.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        equal(client.answer().status, 200)
        time.sleep(2.5)  # between requests is no head
        client.send(b"GET /hea")
        started = time.monotonic()
        equal(client.answer().status, 408)
        assert 0.9 < time.monotonic() - started < 3.5


@check
def idle_connection(bench: Bench) -> None:
    """a connection that says nothing, before its first request or after one, is closed without a word at --idle-timeout"""
    with bench.impatient("--idle-timeout", "1") as port:
        silent, used = Client(port), Client(port)
        used.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        equal(used.answer().status, 200)
        started = time.monotonic()
        assert silent.ends() and used.ends()
        assert 0.9 < time.monotonic() - started < 3.5
        equal((silent.pending, used.pending), (b"", b""))


@check
def busy_connection(bench: Bench) -> None:
    """the idle deadline does not count while the database works or a stream is quiet"""
    with bench.impatient("--idle-timeout", "1") as port:
        bench.sql("truncate flowforge.news")
        client, follower = Client(port), Client(port)
        follower.send(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        follower.read_until(b"data: {}\n\n")
        client.send(b"GET /sleep?3 HTTP/1.1\r\nhost: x\r\n\r\n")
        equal(client.answer().json(), {"slept": True})
        news(bench, 1, final=True)
        equal(follower.read_until(b"\n\n"), b"id: 1")


@check
def slow_statement(bench: Bench) -> None:
    """a statement longer than --statement-timeout is ended in the database and answered 504; nothing of it is kept, the next one works"""
    bench.sql("truncate flowforge.seen")
    with bench.impatient("--statement-timeout", "1") as port:
        client = Client(port)
        started = time.monotonic()
        client.send(b"GET /sleep?20 HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = client.answer()
        assert 0.9 < time.monotonic() - started < 2.5
        equal((answer.status, answer.json()["code"], answer.headers["content-type"]), (504, "timeout", "application/problem+json"))
        equal(answer.json()["detail"], "The database took longer than 1 second. Nothing was done.")
        equal(bench.sql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'"), "0")
        client.send(b"POST /e/k HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nnext")
        equal(client.answer().status, 200)
    equal(bench.sql("select string_agg(body, ',') from flowforge.seen"), "next")


@check
def silent_database(bench: Bench) -> None:
    """a backend that does not even heed its own time-out is given up 5 seconds later: 503, the outcome is unknown"""
    with bench.impatient("--statement-timeout", "1") as port:
        client = Client(port, 15)
        client.send(b"GET /sleep?0.8 HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(0.3)
        pid = int(bench.sql("select pid from pg_stat_activity where wait_event = 'PgSleep'"))
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        try:
            answer = client.answer()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert 4 < time.monotonic() - started < 8
        equal((answer.status, answer.json()["code"]), (503, "outcome_unknown"))
        equal(bench.get("/echo", port=port).status, 200)


LARGE = 32 * 1024 * 1024  # more than the kernel keeps


@check
def stalled_reader(bench: Bench) -> None:
    """a client that stops reading its answer is left after --write-timeout, and its memory is given back"""
    with bench.impatient("--write-timeout", "1") as port:
        client = Client(port, window=8192)
        client.send(f"GET /large?{LARGE} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        time.sleep(4)
        equal(bench.get("/echo", port=port).status, 200)
        assert client.ends(), "it is still there"
        assert 0 < len(client.pending) < LARGE, len(client.pending)


@check
def leisurely_reader(bench: Bench) -> None:
    """one that takes a little now and then is not"""
    with bench.impatient("--write-timeout", "2") as port:
        client = Client(port, window=1 << 20)
        client.send(f"GET /large?{LARGE} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        equal(client.head()[0], 200)
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            client.pending += client.socket.recv(200_000)
            time.sleep(0.05)
        while len(client.pending) < LARGE:
            assert client.more(), f"it ended after {len(client.pending)} bytes"


@check
def leisurely_follower(bench: Bench) -> None:
    """a follower that takes much news slowly gets all of it, beyond the time of a ping, and what comes after it"""
    bench.sql("truncate flowforge.news")
    follower = Client(bench.port, 20, window=1 << 18)
    follower.send(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
    follower.read_until(b"data: {}\n\n")
    bench.sql(f"insert into flowforge.news values ('{RUN}', 1, repeat('x', {LARGE}) || E'\\n\\n'); notify flowforge")
    deadline = time.monotonic() + 17
    while time.monotonic() < deadline:
        follower.pending += follower.socket.recv(20_000)
        time.sleep(0.02)
    equal(len(follower.read_until(b"\n\n")), LARGE)
    news(bench, 2, final=True)
    while (message := follower.read_until(b"\n\n")) == b": ping":
        pass
    equal(message, b"id: 2")


@check
def stalled_follower(bench: Bench) -> None:
    """a follower that stops reading its stream is left after --write-timeout, others go on"""
    bench.sql("truncate flowforge.news")
    with bench.impatient("--write-timeout", "1") as port:
        deaf, good = Client(port, window=8192), Client(port)
        for client in (deaf, good):
            client.send(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
            client.read_until(b"data: {}\n\n")
        bench.sql(f"insert into flowforge.news values ('{RUN}', 1, repeat('x', {LARGE}) || E'\\n\\n'); notify flowforge")
        equal(len(good.read_until(b"\n\n")), LARGE)
        time.sleep(3)
        news(bench, 2, final=True)
        equal(good.read_until(b"\n\n"), b"id: 2")
        assert deaf.ends() and 0 < len(deaf.pending) < LARGE, len(deaf.pending)


@check
def descriptors(bench: Bench) -> None:
    """without descriptors to spare new connections wait, in peace, until others have closed"""
    log = bench.home / "few.log"
    with open(log, "wb") as out:
        command = ["bash", "-c", 'ulimit -n 40; exec "$@"', "bash", bench.program, "serve", "--db",
                   f"host={bench.home} user=postgres dbname=flowforge", "-p", "0"]
        gateway = subprocess.Popen(command, stderr=out)
    try:
        deadline = time.monotonic() + 10
        while not (found := re.search(r"port (\d+)", log.read_text())) or bench.get("/ready", port=int(found[1])).status != 200:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        clients = [Client(int(found[1])) for _ in range(60)]
        for client in clients:
            client.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(2)
        used = sum(map(int, Path(f"/proc/{gateway.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
        assert used < 50, f"{used / 100} s of processor time"
        assert log.read_text().count("cannot accept") <= 5, log.read_text()
        for client in clients:
            equal(client.answer().status, 200)
            client.socket.close()
    finally:
        gateway.kill()
        gateway.wait()


@check
def slow_neighbour(bench: Bench) -> None:
    """requests that take long do not hold up events"""
    threads = [threading.Thread(target=bench.get, args=("/sleep?2",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    started = time.monotonic()
    for _ in range(20):
        equal(bench.get("/e/k", method="POST", body=b"quick").status, 200)
    assert time.monotonic() - started < 1.5
    for thread in threads:
        thread.join()


@check
def many_clients(bench: Bench) -> None:
    """64 clients at once each get their own answers"""
    failures: list[str] = []

    def work(which: int) -> None:
        client = bench.client(30)
        for number in range(50):
            mark = f"{which}-{number}"
            body = mark.encode()
            client.send(f"POST /e/k HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            if client.answer().status != 200:
                failures.append(mark)
            client.send(f"GET /echo?{mark} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            if client.answer().json()["query"] != mark:
                failures.append(mark)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [])
    equal(bench.sql("select count(distinct body) from flowforge.seen where body ~ '^[0-9]+-[0-9]+$'"), "3200")


# ---- the database fails ----


@check
def errors(bench: Bench) -> None:
    """an error in the database is a 500 that tells nothing, and the next request works"""
    answer = bench.get("/raise")
    equal((answer.status, answer.headers["content-type"]), (500, "application/problem+json"))
    assert b"as asked" not in answer.body
    equal(bench.get("/echo").status, 200)


@check
def failing_group(bench: Bench) -> None:
    """of events sent together only those that fail, be it at the commit, are refused; the others are there once"""
    bench.sql("truncate flowforge.seen")
    results: dict[int, int] = {}

    def work(which: int) -> None:
        body = b"deferred" if which % 10 == 0 else b"raise" if which % 10 == 5 else b"n%d" % which
        results[which] = bench.get("/e/k", method="POST", body=body, timeout=30).status

    threads = [threading.Thread(target=work, args=(which,)) for which in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal({which: status for which, status in results.items() if status != (500 if which % 5 == 0 else 200)}, {})
    equal(bench.sql("select count(*), count(distinct body) from flowforge.seen"), "80|80")


@check
def killed_backend(bench: Bench) -> None:
    """a request whose backend is killed gets a 503 that says the outcome is unknown"""
    bench.sql("truncate flowforge.seen")
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(bench.get("/sleep?8", timeout=20)))
    thread.start()
    bench.await_sql(f"select exists ({SERVING})")
    pid = bench.sql(SERVING)
    before = bench.sql("select clock_timestamp()")
    os.kill(int(pid), signal.SIGKILL)
    thread.join()
    equal((answers[0].status, answers[0].json()["code"], answers[0].headers["retry-after"]), (503, "outcome_unknown", "1"))
    deadline = time.monotonic() + 20
    remade = f"select count(*) >= 5 from pg_stat_activity where application_name = 'flowforge gateway' and backend_start > '{before}'"
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):  # while the server recovers
            if bench.sql(remade) == "t":
                break
        assert time.monotonic() < deadline, "not all connections were made again"
        time.sleep(0.1)
    bench.await_answer("/echo")
    equal(bench.get("/die").json()["code"], "outcome_unknown")
    bench.await_answer("/echo")


@check
def ready(bench: Bench) -> None:
    """/ready is 503 as long as calls could be answered and events could not be taken"""
    ours = "application_name = 'flowforge gateway'"
    thread = threading.Thread(target=lambda: bench.get("/sleep?2"))
    thread.start()
    bench.await_sql(f"select exists ({SERVING})")
    bench.sql("alter database flowforge allow_connections false", database="postgres")
    bench.sql(f"select pg_terminate_backend(pid) from pg_stat_activity where {ours} and state <> 'active'", database="postgres")
    thread.join()
    refused = bench.get("/ready")
    called = bench.get("/echo").status
    bench.sql("alter database flowforge allow_connections true", database="postgres")
    equal((called, refused.status), (200, 503))
    bench.await_ready()
    equal(bench.get("/e/k", method="POST").status, 200)


@check
def restart(bench: Bench) -> None:
    """while the database is away: 503 with Retry-After, /health stays 200; it is found again within 3 seconds"""
    bench.database_down()
    time.sleep(0.3)
    for path in ("/echo", "/e/k", "/ready"):
        answer = bench.get(path, method="GET" if path != "/e/k" else "POST", body=b"")
        equal((answer.status, answer.headers["content-type"], answer.headers["retry-after"]), (503, "application/problem+json", "1"))
    equal(bench.get("/health").status, 200)
    time.sleep(3)
    bench.database_up()
    started = time.monotonic()
    bench.await_ready()
    assert time.monotonic() - started < 3


@check
def slow_reconnect(bench: Bench) -> None:
    """a connection that takes long to make does not hold up the others of its lane"""
    equal(bench.stop(), 0)
    bench.start()
    first = bench.sql("select min(pid) from pg_stat_activity where application_name = 'flowforge gateway'")
    postmaster = int((bench.home / "data/postmaster.pid").read_text().split("\n")[0])
    os.kill(postmaster, signal.SIGSTOP)
    try:
        os.kill(int(first), signal.SIGTERM)
        time.sleep(0.5)
        started = time.monotonic()
        equal(bench.get("/e/k", method="POST", body=b"on time").status, 200)
        assert time.monotonic() - started < 2
    finally:
        os.kill(postmaster, signal.SIGCONT)


@check
def left_behind(bench: Bench) -> None:
    """requests whose clients have left while they waited take no memory"""
    busy = [bench.client(20) for _ in range(16)]
    for client in busy:
        client.send(b"GET /sleep?5 HTTP/1.1\r\nhost: x\r\n\r\n")
    time.sleep(1.5)
    before = bench.memory()
    for _ in range(60):
        client = bench.client()
        client.send(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n" + b"x" * 4000000)
        time.sleep(0.01)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.socket.close()
    time.sleep(0.2)
    grown = bench.memory() - before
    equal([client.answer().status for client in busy], [200] * 16)
    assert grown < 40_000_000, f"{grown // 1_000_000} MB more for 60 requests of 4 MB"


@check
def quiet_log(bench: Bench) -> None:
    """a database that stays away does not fill the log"""
    bench.database_down()
    before = bench.log.stat().st_size
    time.sleep(5)
    grown = bench.log.read_text()[before:].count("database connection")
    bench.database_up()
    bench.await_ready()
    assert grown <= 5, f"{grown} lines in 5 seconds"


@check
def acknowledged(bench: Bench) -> None:
    """no event that was acknowledged is lost when the database stops at once"""
    bench.sql("truncate flowforge.seen")
    done: list[str] = []
    stop = threading.Event()

    def work(which: int) -> None:
        number = 0
        while not stop.is_set():
            mark = f"a{which}.{number}"
            number += 1
            if bench.get("/e/k", method="POST", body=mark.encode()).status == 200:
                done.append(mark)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(16)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    bench.database_down("immediate")
    stop.set()
    for thread in threads:
        thread.join()
    bench.database_up()
    bench.await_ready()
    kept = set(bench.sql("select body from flowforge.seen").split("\n"))
    assert len(done) > 100, len(done)
    equal([mark for mark in done if mark not in kept], [])


@check
def new_routes(bench: Bench) -> None:
    """routes that change are taken up by notification"""
    bench.sql("insert into flowforge.route values ('GET', '/sleep', 'ingest'); notify flowforge_route")
    time.sleep(0.3)
    threads = [threading.Thread(target=bench.get, args=("/sleep?0.3",)) for _ in range(12)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench.sql("delete from flowforge.route where pattern = '/sleep'; notify flowforge_route")
    assert time.monotonic() - started > 0.8, "the four connections of its lane did twelve of them at once"


# ---- streams ----


def follow(bench: Bench) -> Client:
    client = bench.client(20)
    client.send(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
    status, headers = client.head()
    equal((status, headers["content-type"], headers["connection"]), (200, "text/event-stream", "close"))
    assert "content-length" not in headers and "x-flowforge-stream" not in headers
    client.read_until(b"data: {}\n\n")
    return client


def news(bench: Bench, seq: int, final: bool = False, payload: str = RUN) -> None:
    bench.sql(f"insert into flowforge.news values ('{RUN}', {seq}, E'id: {seq}\\n\\n', {final}); notify flowforge, '{payload}'")


@check
def stream(bench: Bench) -> None:
    """followers get what is new once and in order, and the end closes the stream"""
    bench.sql("truncate flowforge.news")
    clients = [follow(bench) for _ in range(20)]
    news(bench, 1)
    for client in clients:
        equal(client.read_until(b"\n\n"), b"id: 1")
    clients.append(follow(bench))
    news(bench, 2, payload="")
    news(bench, 3, final=True, payload=f"11111111-1111-1111-1111-111111111111 {RUN}")
    for client in clients:
        equal((client.read_until(b"\n\n"), client.read_until(b"\n\n")), (b"id: 2", b"id: 3"))
        assert client.ends() and client.pending == b""


@check
def ended_stream(bench: Bench) -> None:
    """a stream that is complete, or asked for with HEAD, is closed at once"""
    for method, wanted in (("GET", b"event: snapshot"), ("HEAD", b"")):
        client = bench.client()
        client.send(f"{method} /stream/ended HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        client.head()
        assert client.ends()
        equal(client.pending[:15], wanted)


@check
def stream_survives(bench: Bench) -> None:
    """a stream goes on after a restart of the database, with what happened meanwhile"""
    bench.sql("truncate flowforge.news")
    client = follow(bench)
    news(bench, 1)
    equal(client.read_until(b"\n\n"), b"id: 1")
    bench.database_down()
    bench.database_up()
    bench.sql(f"insert into flowforge.news values ('{RUN}', 2, E'id: 2\\n\\n')")
    equal(client.read_until(b"\n\n"), b"id: 2")
    bench.await_ready()


@check
def stream_deltas(bench: Bench) -> None:
    """what is only for watching is passed on at once to who follows that run, without an id, and moves no cursor"""
    bench.sql("truncate flowforge.news")
    client = follow(bench)
    payload = '{"run_id": "x", "text": "Hé\\n"}'
    for nonsense in ("no run", "", "x" * 7000, RUN, "019a0000-0000-7000-8000-0000000000ff {}"):
        bench.sql(f"select pg_notify('flowforge_secret', '{nonsense}')")
    bench.sql(f"select pg_notify('flowforge_secret', '{RUN} {payload}')")
    equal(client.read_until(b"\n\n"), f"event: step.delta\ndata: {payload}".encode())
    news(bench, 1)
    equal(client.read_until(b"\n\n"), b"id: 1")


@check
def stream_ping(bench: Bench) -> None:
    """a quiet stream gets a comment after 15 seconds, and the database is told when nobody listens"""
    client = follow(bench)
    started = time.monotonic()
    client.read_until(b": ping\n\n")
    assert 13 < time.monotonic() - started < 18
    client.socket.close()
    time.sleep(0.5)
    deadline = time.monotonic() + 5
    while bench.sql("select count(*) from pg_stat_activity where query = 'unlisten flowforge'") != "1":
        assert time.monotonic() < deadline, "it still listens"
        time.sleep(0.1)


@check
def large_news(bench: Bench) -> None:
    """a follower that reads gets news of any size"""
    bench.sql("truncate flowforge.news")
    client = follow(bench)
    bench.sql(f"insert into flowforge.news values ('{RUN}', 1, repeat('x', 3000000) || E'\\n\\n', true); notify flowforge")
    equal(len(client.read_until(b"\n\n")), 3000000)
    assert client.ends()


@check
def failing_news(bench: Bench) -> None:
    """news that cannot be read are asked for again, in good time and not in a hurry"""
    bench.sql("truncate flowforge.news")
    client = follow(bench)
    bench.sql("alter table flowforge.news rename to hidden; notify flowforge")
    before = bench.log.stat().st_size
    time.sleep(3)
    failures = bench.log.read_text()[before:].count("the listener failed")
    bench.sql("alter table flowforge.hidden rename to news")
    news(bench, 1, final=True)
    equal(client.read_until(b"\n\n"), b"id: 1")
    assert 1 <= failures <= 3, failures


@check
def deaf_follower(bench: Bench) -> None:
    """a follower that does not read is dropped at 1 MB, others go on"""
    bench.sql("truncate flowforge.news")
    deaf, good = follow(bench), follow(bench)
    for seq in range(1, 13):
        bench.sql(f"insert into flowforge.news values ('{RUN}', {seq}, repeat('x', 900000) || E'\\n\\n', {seq == 12}); notify flowforge")
        equal(len(good.read_until(b"\n\n")), 900000)
    assert good.ends()
    assert "follower that does not read" in bench.log.read_text()
    deaf.socket.close()


# ---- the end ----


@check
def drains(bench: Bench) -> None:
    """SIGTERM: what is under way is finished, streams and idle connections end, nothing new is taken, exit code 0"""
    bench.sql("truncate flowforge.news")
    idle, streaming, busy = bench.client(), follow(bench), bench.client()
    busy.send(b"GET /sleep?1 HTTP/1.1\r\nhost: x\r\n\r\n")
    time.sleep(0.3)
    bench.gateway.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    try:
        socket.create_connection(("127.0.0.1", bench.port))
        raise AssertionError("it still accepts")
    except ConnectionRefusedError:
        pass
    answer = busy.answer()
    equal((answer.status, answer.headers["connection"]), (200, "close"))
    assert idle.ends() and streaming.ends() and busy.ends()
    idle.socket.close()
    equal(bench.gateway.wait(12), 0)
    bench.start()


@check
def drains_in_time(bench: Bench) -> None:
    """SIGTERM: a stream that is not read and a request that does not end hold it up for 10 seconds at most, a second signal ends even that"""
    for signals in (1, 2):
        bench.sql("truncate flowforge.news")
        deaf, busy = Client(bench.port, window=8192), bench.client(20)
        deaf.send(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        deaf.read_until(b"data: {}\n\n")
        bench.sql(f"insert into flowforge.news values ('{RUN}', 1, repeat('x', {LARGE}) || E'\\n\\n'); notify flowforge")
        busy.send(b"GET /sleep?15 HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(0.5)
        started = time.monotonic()
        for _ in range(signals):
            bench.gateway.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        equal(bench.gateway.wait(15), 0)
        took = time.monotonic() - started
        assert took < 2 if signals == 2 else 9 < took < 12, took
        bench.start()


@check
def bad_activation(bench: Bench) -> None:
    """what is passed on but is not one listening socket is refused with exit code 1"""
    with socket.create_server(("127.0.0.1", 0)) as listener, open("/dev/null") as null:
        for count, fd in ((2, listener.fileno()), (0, listener.fileno()), (1, null.fileno())):
            passed = f'exec 3<&{fd}; LISTEN_FDS={count} LISTEN_PID=$$ exec "$@"'
            command = ["sh", "-c", passed, "sh", bench.program, "serve", "--db", "host=/nowhere", "-p", "0"]
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True, pass_fds=[fd], timeout=10)
            equal(done.returncode, 1)
            assert "one listening socket should be passed" in done.stderr, done.stderr


@check
def unix_activation(bench: Bench) -> None:
    """the socket that is passed on may be a local one"""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bench.home / "http"))
        listener.listen()
        passed = f'exec 3<&{listener.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        database = f"host={bench.home} user=postgres dbname=flowforge"
        with open(bench.home / "unix.log", "wb") as log:
            gateway = subprocess.Popen(["sh", "-c", passed, "sh", bench.program, "serve", "--db", database], stderr=log, pass_fds=[listener.fileno()])
        try:
            deadline = time.monotonic() + 10
            while True:
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(5)
                    client.connect(str(bench.home / "http"))
                    client.sendall(b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    text = b"".join(iter(lambda: client.recv(65536), b""))
                if b" 200 " in text.split(b"\r\n")[0]:
                    break
                assert time.monotonic() < deadline, text
                time.sleep(0.05)
            equal(json.loads(text.split(b"\r\n\r\n", 1)[1])["path"], "/echo")
        finally:
            gateway.kill()
            gateway.wait()


@check
def socket_activation(bench: Bench) -> None:
    """a listening socket that is passed on, as systemd does it, is served"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        passed = f'exec 3<&{listener.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        command = ["sh", "-c", passed, "sh", bench.program, "serve", "--db", "host=/nowhere"]
        with open(bench.log, "ab") as log:
            gateway = subprocess.Popen(command, stderr=log, pass_fds=[listener.fileno()])
        try:
            for _ in range(3):
                client = Client(listener.getsockname()[1], 3)
                client.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
                equal(client.answer().status, 200)
                client.socket.close()
            gateway.terminate()
            equal(gateway.wait(5), 0)
        finally:
            gateway.kill()


@check
def foreign_activation(bench: Bench) -> None:
    """a socket that was passed to another process (LISTEN_PID) is left alone"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        passed = f'exec 3<&{listener.fileno()}; LISTEN_FDS=1 LISTEN_PID=1 exec "$@"'
        log = bench.home / "foreign.log"
        with open(log, "wb") as out:
            command = ["sh", "-c", passed, "sh", bench.program, "serve", "--db", "host=/nowhere", "-p", "0"]
            gateway = subprocess.Popen(command, stderr=out, pass_fds=[listener.fileno()])
        try:
            deadline = time.monotonic() + 5
            while not (found := re.search(r"port (\d+)", log.read_text())):
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            assert int(found[1]) != listener.getsockname()[1]
            equal(bench.get("/health", port=int(found[1])).status, 200)
        finally:
            gateway.kill()
            gateway.wait()


@check
def logs(bench: Bench) -> None:
    """there is one log line a request, which nothing a client sends can forge"""
    bench.get('/echo"a\\b', "x-request-id: log-1\r\n")
    time.sleep(0.1)
    lines = [line for line in bench.log.read_text().split("\n") if "request_id=log-1 " in line]
    equal(len(lines), 1)
    assert re.fullmatch(r'time=\S+ level=info request_id=log-1 method=GET path="/echo\\"a\\\\b" status=404 ms=\d+', lines[0]), lines


def run(all_checks: list[Callable[[Bench], None]]) -> int:
    """Runs the checks, or those with a word of the command line in their names; the exit code."""
    bench = Bench(sys.argv[1])
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    checks = [each for each in all_checks if only in str(each.__doc__)]
    failed = 0
    print(f"1..{len(checks)}")
    for number, each in enumerate(checks, 1):
        started = time.monotonic()
        try:
            each(bench)
            print(f"ok {number} - {each.__doc__} # {time.monotonic() - started:.2f} s", flush=True)
        except Exception as problem:  # a check may fail in any way
            failed += 1
            print(f"not ok {number} - {each.__doc__}\n# {type(problem).__name__}: {str(problem)[:1000]}", flush=True)
            if bench.gateway.poll() is not None:
                print("# the gateway ended:", bench.log.read_text()[-3000:].replace("\n", "\n# "))
                bench.start()
    bench.close()
    return 1 if failed > 0 else 0


if __name__ == "__main__":
    sys.exit(run(CHECKS))
