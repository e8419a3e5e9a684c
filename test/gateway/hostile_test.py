"""What clients with bad intentions try: requests within requests, slowness, size, chunks that lie, pipelines, noise.

Prints TAP. Usage, as of protocol_test.py; `make check` runs it with a gateway that is built with sanitizers, whose findings fail the last check:

    hostile_test.py PATH_OF_FLOWFORGE [WORDS]
"""

from __future__ import annotations

import os
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

from protocol_test import Bench, Client, equal, run

CHECKS: list[Callable[[Bench], None]] = []
HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"


def check(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Adds a check; its name is its docstring."""
    CHECKS.append(function)
    return function


def everything(client: Client) -> bytes:
    """All that comes until the connection ends."""
    try:
        while client.more():
            pass
    except ConnectionResetError:
        pass
    return client.pending


def in_log(bench: Bench, words: str) -> bool:
    return words in bench.log.read_text()


def await_figure(bench: Bench, name: str, wanted: float) -> None:
    """Waits until a figure of /metrics is this."""
    deadline = time.monotonic() + 60
    while True:
        page = bench.get("/metrics").body.decode().splitlines()
        found = [float(line.split(" ")[1]) for line in page if line.startswith(name + " ")]
        if found == [wanted]:
            return
        assert time.monotonic() < deadline, (name, found)
        time.sleep(0.2)


# ---- requests within requests ----

# Heads that two servers could read differently: one takes the length, the other the chunks, so that what follows would be a body to one and a
# request to the other.
AMBIGUOUS: list[tuple[str, bytes]] = [
    ("a length, then chunks", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    ("chunks, then a length", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    ("a length of nothing, and chunks", b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
    ("chunks behind a tab", b"Content-Length: 5\r\nTransfer-Encoding:\tchunked\r\n"),
    ("chunks in other letters", b"Content-Length: 5\r\ntRaNsFeR-eNcOdInG: cHuNkEd\r\n"),
    ("a space before the colon of chunks", b"Content-Length: 5\r\nTransfer-Encoding : chunked\r\n"),
    ("a tab before the colon of a length", b"Content-Length\t: 5\r\n"),
    ("chunks on a folded line", b"Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n"),
    ("chunks folded into another field", b"Content-Length: 5\r\nX: y\r\n\tTransfer-Encoding: chunked\r\n"),
    ("a vertical tab before chunked", b"Content-Length: 5\r\nTransfer-Encoding: \x0bchunked\r\n"),
    ("a form feed after chunked", b"Content-Length: 5\r\nTransfer-Encoding: chunked\x0c\r\n"),
    ("chunked in quotes", b'Content-Length: 5\r\nTransfer-Encoding: "chunked"\r\n'),
    ("identity, then chunked", b"Transfer-Encoding: identity, chunked\r\n"),
    ("chunked, then identity", b"Transfer-Encoding: chunked, identity\r\n"),
    ("chunked, twice in one field", b"Transfer-Encoding: chunked, chunked\r\n"),
    ("chunked in one field, identity in the next", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
    ("an empty encoding", b"Content-Length: 5\r\nTransfer-Encoding:\r\n"),
    ("chunked with a parameter", b"Transfer-Encoding: chunked;q=1\r\n"),
    ("two lengths", b"Content-Length: 5\r\nContent-Length: 6\r\n"),
    ("two lengths in two cases", b"Content-Length: 5\r\ncontent-length: 0\r\n"),
    ("a list of lengths", b"Content-Length: 5, 0\r\n"),
    ("a length with a blank in it", b"Content-Length: 5 0\r\n"),
    ("a length in exponents", b"Content-Length: 5e0\r\n"),
    ("a length with a separator", b"Content-Length: 1_0\r\n"),
    ("a bare LF between the fields", b"X: y\nContent-Length: 5\r\n"),
    ("a bare CR between the fields", b"X: y\rContent-Length: 5\r\n"),
    ("a NUL in the name of a field", b"Content-Length\0: 5\r\n"),
    ("a letter beyond ASCII in the name of a field", b"Content-Length\xc2\xa0: 5\r\n"),
    ("a line without a colon", b"Content-Length 5\r\n"),
]


def smuggling(name: str, fields: bytes) -> Callable[[Bench], None]:
    def attempt(bench: Bench) -> None:
        client = bench.client()
        client.send(POST + fields + b"\r\n0\r\n\r\n" + HIDDEN)
        came = everything(client)
        equal((came.count(b"HTTP/1.1 "), came[9:10] in (b"4", b"5")), (1, True))
        assert b"connection: close" in came
        assert not in_log(bench, "/smuggled"), "the hidden request was served"

    attempt.__doc__ = f"{name}: refused once, the connection ends, what follows is not served"
    return attempt


CHECKS.extend(smuggling(*each) for each in AMBIGUOUS)


@check
def hidden_in_body(bench: Bench) -> None:
    """a body that looks like a request is a body, with a length, in chunks, of a GET and behind an expectation"""
    framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    for head, body in ((POST + b"Content-Length: %d\r\n\r\n" % len(HIDDEN), HIDDEN), (POST + b"Transfer-Encoding: chunked\r\n\r\n", framed),
                       (b"GET /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN), HIDDEN),
                       (b"GET /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", framed),
                       (POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN), HIDDEN)):
        client = bench.client()
        client.send(head + body + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        equal(client.answer().json()["length"], len(HIDDEN))
        equal(client.answer().json(), {"status": "ok"})
        equal(everything(client), b"")
    assert not in_log(bench, "/smuggled")


@check
def header_injection(bench: Bench) -> None:
    """nothing of a request comes back as a header or a second answer"""
    for path in (b"/echo%0d%0aset-cookie:%20a=b", b"/e/%0d%0a%0d%0aHTTP/1.1%20200%20OK"):
        client = bench.client()
        client.send(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\tb\r\nOrigin: x\r\nConnection: close\r\n\r\n")
        came = everything(client)
        equal(came.count(b"HTTP/1.1 "), 1)
        assert b"\r\nset-cookie" not in came.lower()


# ---- slowness ----


@check
def slowloris(bench: Bench) -> None:
    """300 clients that send a byte now and then, in the head, in a length, in chunks, are ended; others are served meanwhile"""
    heads = (b"GET /echo HTTP/1.1\r\nX: ", POST + b"Content-Length: 1000\r\n\r\n", POST + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n")
    with bench.impatient("--head-timeout", "2", "--body-timeout", "2") as port:
        clients = [Client(port, 30) for _ in range(300)]
        for number, client in enumerate(clients):
            client.send(heads[number % 3])
        stopped = threading.Event()

        def drip() -> None:
            while not stopped.wait(0.4):
                for client in clients:
                    try:
                        client.send(b"a")
                    except OSError:
                        pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            equal(bench.get("/echo", port=port, timeout=30).status, 200)
            equal([client.answer().status for client in clients], [408] * 300)
        finally:
            stopped.set()
            dripping.join()
        equal(bench.get("/echo", port=port).status, 200)


@check
def empty_lines(bench: Bench) -> None:
    """a client that sends nothing but empty lines is idle, and left as one"""
    with bench.impatient("--idle-timeout", "1") as port:
        client = Client(port, 30)
        deadline = time.monotonic() + 30
        try:
            while time.monotonic() < deadline:
                client.send(b"\r\n" * 100)
                time.sleep(0.05)
            raise AssertionError("it is still there")
        except (BrokenPipeError, ConnectionResetError):
            pass


# ---- size ----


@check
def exact_limits(bench: Bench) -> None:
    """a head of 16 KB and one of 64 fields are taken, a byte or a field more is 431"""
    start, end = b"GET /echo HTTP/1.1\r\nHost: x\r\n", b"Connection: close\r\n\r\n"
    room = 16384 - len(start) - len(end) - len(b"A: \r\n")
    for extra, status in ((-1, 200), (1, 431)):
        equal(bench.status_of(start + b"A: " + b"b" * (room + extra) + b"\r\n" + end), status)
    equal(bench.status_of(start + b"A: b\r\n" * 62 + end), 200)
    equal(bench.status_of(start + b"A: b\r\n" * 63 + end), 431)


@check
def endless(bench: Bench) -> None:
    """a head, a chunk's extension, trailers and leading zeros that do not end are refused before they fill memory"""
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    for head, more, statuses in ((b"GET /", b"a", (431,)), (b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"b", (431,)), (b"GET / HTTP/1.1\r\n", b"A: b\r\n", (431,)),
                                 (chunked + b"1;", b"x", (400,)), (chunked + b"0\r\n", b"A: b\r\n", (400,)), (chunked, b"0", (400,))):
        client = bench.client()
        client.send(head)
        try:
            for _ in range(100):
                client.send(more * (65536 // len(more)))
        except OSError:
            pass
        status = int(everything(client)[9:12] or b"0")
        assert status in (0, *statuses), (head, status)  # 0: a reset overtook the answer
    equal(bench.get("/echo").status, 200)


@check
def many_small_chunks(bench: Bench) -> None:
    """a body of 100,000 chunks of a byte is put together"""
    client = bench.client(60)
    client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100000 + b"0\r\n\r\n")
    equal(client.answer().json()["length"], 100000)


# ---- chunks that lie ----


@check
def bad_chunks(bench: Bench) -> None:
    """sizes that are no sizes, ends that are no ends, and what hides in extensions and trailers are 400, and nothing after it is served"""
    for body in (b"5\r\nabc\r\n0\r\n\r\n", b"3\r\nabcde\r\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n", b"-1\r\n\r\n", b"3 \n\r\nabc\r\n0\r\n\r\n", b"\r\n3\r\nabc\r\n0\r\n\r\n",
                 b"3\rabc\r\n0\r\n\r\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc\r0\r\n\r\n", b"ffffffffffffffff\r\nabc\r\n", b"10000000000000003\r\nabc\r\n0\r\n\r\n",
                 b"3;a\nb\r\nabc\r\n0\r\n\r\n", b"3;a\rb\r\nabc\r\n0\r\n\r\n", b"0\r\nX: y\n\r\n", b"0\r\n: y\r\n\r\n", b"0\r\nX y\r\n\r\n", b"0;\0\r\n\r\n",
                 b"3\r\nabc\r\n0x0\r\n\r\n", b"3,3\r\nabc\r\n0\r\n\r\n", b".3\r\nabc\r\n0\r\n\r\n"):
        client = bench.client()
        client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body + HIDDEN + b"x" * 100)
        client.socket.shutdown(socket.SHUT_WR)
        came = everything(client)
        assert came.count(b"HTTP/1.1 ") <= 1 and came[9:12] in (b"", b"400"), (body, came[:200])
    assert not in_log(bench, "/smuggled")


@check
def trailers(bench: Bench) -> None:
    """fields behind the chunks are read over: they change neither length nor host nor who asks"""
    client = bench.client()
    client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0\r\nContent-Length: 50\r\nHost: y\r\nAuthorization: Bearer z\r\n"
                b"X-Flowforge-A: b\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    found = client.answer().json()
    headers = found["headers"]
    assert isinstance(headers, dict)
    equal((found["length"], headers["host"], "authorization" in headers, "x-flowforge-a" in headers), (3, "x", False, False))
    equal(client.answer().json(), {"status": "ok"})


# ---- pipelines ----


def pipeline(count: int, dice: random.Random) -> tuple[bytes, list[tuple[str, int]]]:
    """Requests as bytes, and the method and status of the answer to each."""
    data, wanted = b"", []
    for number in range(count):
        body = b"x" * dice.randrange(200)
        request, method, status = dice.choice((
            (b"GET /echo?%d HTTP/1.1\r\nHost: x\r\n\r\n" % number, "GET", 200), (b"HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD", 200),
            (b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n", "GET", 204), (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "GET", 404),
            (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "GET", 200), (b"OPTIONS /e/k HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS", 204),
            (POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body), "POST", 200),
            (POST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n", "POST", 200)))
        data += request
        wanted.append((method, status))
    return data, wanted


@check
def random_pieces(bench: Bench) -> None:
    """pipelined requests are answered in order, however their bytes are cut into pieces"""
    for seed in range(12):
        dice = random.Random(seed)
        data, wanted = pipeline(60, dice)
        client = bench.client(60)
        while data:
            cut = dice.choice((1, 2, 3, 7, 50, 500, len(data)))
            client.send(data[:cut])
            data = data[cut:]
        equal([client.answer(method).status for method, _ in wanted], [status for _, status in wanted])


@check
def unread_pipeline(bench: Bench) -> None:
    """who sends requests without end and reads no answer is held up, and costs one answer's memory"""
    client = Client(bench.port, 2, window=4096)
    before = bench.memory()
    sent = 0
    try:
        while sent < 50 << 20:
            sent += client.socket.send(b"GET /large?200000 HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
    except TimeoutError:
        pass
    assert sent < 50 << 20, "everything was taken"
    assert bench.memory() - before < 8 << 20, bench.memory() - before
    client.socket.close()
    equal(bench.get("/echo").status, 200)


# ---- noise ----


@check
def resets(bench: Bench) -> None:
    """connections that are reset in every state leave nothing behind"""
    for data in (b"", b"GET /ec", POST + b"Content-Length: 100\r\n\r\nabc", POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
                 b"GET /sleep?0.2 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /large?4000000 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"nonsense\r\n\r\n"):
        for pause in (0, 0, 0, 0.05, 0.1):
            client = bench.client()
            client.send(data)
            time.sleep(pause)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.socket.close()
    await_figure(bench, "flowforge_http_connections", 1)
    await_figure(bench, "flowforge_http_streams", 0)


@check
def noise(bench: Bench) -> None:
    """requests with bytes changed, added, removed and repeated get answers that are HTTP, or none, and the gateway goes on"""
    pieces = (b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: y\r\n", b"\xff", b"0\r\n\r\n",
              b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"HTTP/1.0", b"%", b"*", b"\x16\x03\x01")
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "17")))
    for _ in range(int(os.environ.get("FUZZ_COUNT", "600"))):
        data = bytearray(pipeline(dice.randrange(1, 4), dice)[0])
        for _ in range(dice.randrange(1, 6)):
            at = dice.randrange(len(data) + 1)
            match dice.randrange(4):
                case 0:
                    data[at:at + 1] = bytes([dice.randrange(256)])
                case 1:
                    data[at:at] = dice.choice(pieces)
                case 2:
                    del data[at:at + dice.randrange(20)]
                case 3:
                    data[at:at] = data[:dice.randrange(60)]
        client = bench.client(30)
        try:
            client.send(bytes(data))
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        came = everything(client)
        assert came == b"" or came.startswith(b"HTTP/1.1 "), came[:100]
        client.socket.close()
    equal(bench.get("/echo").status, 200)


@check
def sound(bench: Bench) -> None:
    """after all this the gateway ends with exit code 0 and no sanitizer has found anything"""
    await_figure(bench, "flowforge_http_connections", 1)
    equal(bench.stop(), 0)
    log = bench.log.read_text()
    for words in ("Sanitizer", "runtime error"):
        assert words not in log, log[log.index(words) - 500:][:5000]
    bench.start()


if __name__ == "__main__":
    sys.exit(run(CHECKS))
