"""WebSockets on the wire: the handshake, what clients may send, how they are ended. Prints TAP. Usage:

    websocket_test.py PATH_OF_FLOWFORGE [PART OF A CHECK'S NAME]

Needs nothing but the standard library; the cluster and the gateway are those of protocol_test.py.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
import sys
import threading
import time
from collections.abc import Callable

from protocol_test import LARGE, RUN, Bench, Client, equal, run

CHECKS: list[Callable[[Bench], None]] = []
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASKED = "GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def check(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Adds a check; its name is its docstring."""
    CHECKS.append(function)
    return function


def frame(opcode: int, data: bytes = b"", final: bool = True, reserved: int = 0, masked: bool = True, length: bytes | None = None) -> bytes:
    """A client's frame. `length`: the field as it is, instead of the right one."""
    head = bytes([final << 7 | reserved << 4 | opcode])
    if length is None:
        size = len(data)
        length = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 65536 else b"\x7f" + struct.pack(">Q", size)
    mask = os.urandom(4) if masked else b""
    body = bytes(each ^ mask[at % 4] for at, each in enumerate(data)) if masked else data
    return head + bytes([masked << 7 | length[0]]) + length[1:] + mask + body


class Socket(Client):
    """A connection that has become a WebSocket."""

    def __init__(self, port: int, path: str = "/ws", more: str = "", timeout: float = 10, window: int = 0) -> None:
        super().__init__(port, timeout, window)
        self.send(ASKED.replace("/ws ", path + " ").encode() + f"sec-websocket-key: {KEY}\r\n{more}\r\n".encode())
        self.status, self.headers = self.head()

    def take(self, count: int) -> bytes:
        while len(self.pending) < count:
            if not self.more():
                raise EOFError(f"the connection ended inside a frame: {self.pending[:100]!r}")
        data, self.pending = self.pending[:count], self.pending[count:]
        return data

    def frame(self) -> tuple[int, bytes]:
        first, second = self.take(2)
        assert first & 0x70 == 0 and second < 128, "a server's frames are whole, without mask and reserved bits"
        assert first & 0x80, "a piece of a message"
        length = second
        if second == 126:
            length = struct.unpack(">H", self.take(2))[0]
            assert length > 125
        elif second == 127:
            length = struct.unpack(">Q", self.take(8))[0]
            assert length > 65535
        return first & 15, self.take(length)

    def json(self) -> dict[str, object]:
        opcode, data = self.frame()
        equal(opcode, TEXT)
        return json.loads(data)

    def closed(self) -> tuple[int, str]:
        """The code and the reason of the end, whatever comes before it; then nothing follows."""
        while (got := self.frame())[0] != CLOSE:
            pass
        assert self.ends() and self.pending == b"", "something follows the end"
        return (struct.unpack(">H", got[1][:2])[0] if got[1] else 1005), got[1][2:].decode()


def opened(bench: Bench, **options: object) -> Socket:
    client = Socket(bench.port, **options)  # type: ignore[arg-type]
    equal(client.status, 101)
    client.json()
    return client


def news(bench: Bench, seq: int, final: bool = False, data: str | None = None) -> None:
    text = f"'{{\"seq\": {seq}}}'" if data is None else data
    bench.sql(f"insert into flowforge.news values ('{RUN}', {seq}, E'event: e\\nid: {seq}\\ndata: ' || {text} || E'\\n\\n', {final}); notify flowforge, '{RUN}'")


# ---- the handshake ----


@check
def handshake(bench: Bench) -> None:
    """the handshake is answered as RFC 6455 has it, and the snapshot follows as a message"""
    bench.sql("truncate flowforge.news")
    client = Socket(bench.port, "/ws?since=3")
    equal((client.status, client.headers["upgrade"], client.headers["connection"]), (101, "websocket", "Upgrade"))
    wanted = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    equal(client.headers["sec-websocket-accept"], wanted)
    assert "sec-websocket-protocol" not in client.headers and "x-flowforge-stream" not in client.headers
    equal(client.json(), {"seq": 0, "query": "since=3", "ticket": None, "authorization": None})


HANDSHAKES: list[tuple[str, int, str]] = [
    ("without a key", 400, ASKED),
    ("with a key that is not 16 bytes", 400, ASKED + "sec-websocket-key: dGhlIHNhbXBsZSBub25j\r\n"),
    ("with a key that is no base64", 400, ASKED + "sec-websocket-key: !!!!!!!!!!!!!!!!!!!!!!==\r\n"),
    ("of version 8", 426, ASKED.replace("13", "8") + f"sec-websocket-key: {KEY}\r\n"),
    ("without a version", 426, ASKED.replace("sec-websocket-version: 13\r\n", "") + f"sec-websocket-key: {KEY}\r\n"),
    ("without connection: upgrade", 400, ASKED.replace("connection: Upgrade\r\n", "") + f"sec-websocket-key: {KEY}\r\n"),
    ("with a body", 400, ASKED + f"sec-websocket-key: {KEY}\r\ncontent-length: 3\r\n"),
]


def bad_handshake(name: str, status: int, head: str) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        client = bench.client()
        client.send(head.encode() + b"\r\n")
        answer = client.answer()
        equal(answer.status, status)
        if status == 426:
            equal((answer.headers["upgrade"], answer.headers["sec-websocket-version"]), ("websocket", "13"))
        assert client.ends()

    run.__doc__ = f"a handshake {name} is refused with {status}"
    return run


CHECKS.extend(bad_handshake(*each) for each in HANDSHAKES)


@check
def plain(bench: Bench) -> None:
    """without a handshake a WebSocket's path is answered 426; a handshake elsewhere is answered as a request"""
    answer = bench.get("/ws")
    equal((answer.status, answer.headers["upgrade"]), (426, "websocket"))
    client = Socket(bench.port, "/echo")
    equal(client.status, 200)
    client.take(int(client.headers["content-length"]))
    client.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
    equal(client.answer().status, 200)


@check
def refusals(bench: Bench) -> None:
    """401, 403 and 404 are told by closing with 4401, 4403 and 4404, other answers as HTTP"""
    for status, reason in ((401, "Unauthorized"), (403, "Forbidden"), (404, "Not Found")):
        client = Socket(bench.port, f"/ws/{status}")
        equal((client.status, client.closed()), (101, (4000 + status, reason)))
    equal(Socket(bench.port, "/ws/503").status, 503)
    equal(Socket(bench.port, "/ws/400").status, 400)


@check
def credentials(bench: Bench) -> None:
    """a browser's token or ticket comes in Sec-WebSocket-Protocol; the protocol answered is flowforge; nothing of it is logged"""
    client = Socket(bench.port, more="sec-websocket-protocol: flowforge, bearer.secret-1.2-3_4\r\n")
    equal(client.headers["sec-websocket-protocol"], "flowforge")
    equal(client.json()["authorization"], "Bearer secret-1.2-3_4")
    client = Socket(bench.port, more="sec-websocket-protocol: flowforge, ticket.secret-5\r\n")
    equal(client.json()["ticket"], "secret-5")
    client = Socket(bench.port, "/ws?ticket=secret-6", more="authorization: Bearer mine\r\nsec-websocket-protocol: bearer.secret-7\r\n")
    found = client.json()
    equal((found["authorization"], found["query"]), ("Bearer mine", "ticket=secret-6"))
    assert "sec-websocket-protocol" not in client.headers
    assert "secret" not in bench.log.read_text()


# ---- what clients may not send ----

ABUSE: list[tuple[str, int, bytes]] = [
    ("a frame without a mask", 1002, frame(TEXT, b"a", masked=False)),
    ("a control frame without a mask", 1002, frame(PING, masked=False)),
    ("the first reserved bit", 1002, frame(TEXT, b"a", reserved=4)),
    ("the second reserved bit", 1002, frame(TEXT, b"a", reserved=2)),
    ("the third reserved bit", 1002, frame(PING, reserved=1)),
    ("an unknown opcode", 1002, frame(3, b"a")),
    ("an unknown control opcode", 1002, frame(11)),
    ("a ping in pieces", 1002, frame(PING, b"a", final=False)),
    ("an end in pieces", 1002, frame(CLOSE, b"", final=False)),
    ("a ping of 126 bytes", 1002, frame(PING, b"a" * 126)),
    ("a continuation of nothing", 1002, frame(0, b"a")),
    ("a new message inside one in pieces", 1002, frame(TEXT, b"a", final=False) + frame(TEXT, b"b")),
    ("a length of 16 bits that needs 7", 1002, frame(TEXT, b"abc", length=b"\x7e\x00\x03")),
    ("a length of 64 bits that needs 16", 1002, frame(TEXT, b"a" * 200, length=b"\x7f" + struct.pack(">Q", 200))),
    ("a length of 64 bits with the highest set", 1002, frame(TEXT, b"a", length=b"\x7f" + struct.pack(">Q", 1 << 63 | 70000))),
    ("text that is not UTF-8", 1007, frame(TEXT, b"\xff\xfe")),
    ("overlong UTF-8", 1007, frame(TEXT, b"\xc0\xaf")),
    ("a surrogate in UTF-8", 1007, frame(TEXT, b"\xed\xa0\x80")),
    ("UTF-8 that ends inside a character", 1007, frame(TEXT, "é".encode()[:1])),
    ("pieces that are together not UTF-8", 1007, frame(TEXT, b"\xc3", final=False) + frame(0, b"\x28")),
    ("a message of more than 16 KB", 1009, frame(TEXT, b"a" * 16385)),
    ("pieces of more than 16 KB together", 1009, frame(TEXT, b"a" * 9000, final=False) + frame(0, b"a" * 9000)),
    ("a frame that says it is of 8 EB", 1009, frame(BINARY, b"", length=b"\x7f" + struct.pack(">Q", (1 << 63) - 1))),
    ("an end of one byte", 1002, frame(CLOSE, b"\x03")),
    ("an end with a reason that is not UTF-8", 1007, frame(CLOSE, struct.pack(">H", 1000) + b"\xff")),
] + [(f"an end with the code {code}", 1002, frame(CLOSE, struct.pack(">H", code)))
     for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)]


def abuse(name: str, code: int, data: bytes) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        for at_once in (True, False):
            client = opened(bench)
            for piece in [data] if at_once else [data[at:at + 1] for at in range(min(len(data), 40))] + [data[40:]]:
                try:
                    client.send(piece)
                except (BrokenPipeError, ConnectionResetError):
                    break
            equal(client.closed()[0], code)

    run.__doc__ = f"{name} ends a WebSocket with {code}, in one piece and byte by byte"
    return run


CHECKS.extend(abuse(*each) for each in ABUSE)


@check
def endings(bench: Bench) -> None:
    """a client's end is answered with its code, or without one as it had none"""
    for code in (1000, 1001, 1003, 1011, 3000, 4999):
        client = opened(bench)
        client.send(frame(CLOSE, struct.pack(">H", code) + "tschüß".encode()))
        equal(client.closed(), (code, ""))
    client = opened(bench)
    client.send(frame(CLOSE))
    equal(client.closed(), (1005, ""))


@check
def pongs(bench: Bench) -> None:
    """pings are answered with what they hold, also between the pieces of a message; what is not asked for is ignored"""
    client = opened(bench)
    client.send(frame(PONG, b"unasked") + frame(TEXT, b"whatever") + frame(TEXT, b"a", final=False) + frame(PING, b"in between")
                + frame(0, b"", final=False) + frame(0, "é".encode()) + frame(BINARY, b"\xff\x00") + frame(PING) + frame(PING, b"x" * 125))
    equal([client.frame() for _ in range(3)], [(PONG, b"in between"), (PONG, b""), (PONG, b"x" * 125)])
    client.send(frame(TEXT, b"a" * 16384) + frame(PING, b"still there"))
    equal(client.frame(), (PONG, b"still there"))


@check
def early(bench: Bench) -> None:
    """frames right behind the handshake are heard"""
    client = Client(bench.port)
    client.send(ASKED.encode() + f"sec-websocket-key: {KEY}\r\n\r\n".encode() + frame(PING, b"early"))
    client.head()
    socket = Socket.__new__(Socket)
    socket.socket, socket.pending = client.socket, client.pending
    equal([socket.frame()[0], socket.frame()], [TEXT, (PONG, b"early")])


@check
def flood(bench: Bench) -> None:
    """who sends pings without reading the answers is not listened to, and costs no memory"""
    client = opened(bench, window=8192)
    client.socket.settimeout(2)
    before = bench.memory()
    sent = 0
    try:
        while sent < 256 << 20:
            client.send(frame(PING, b"x" * 125) * 1000)
            sent += 131_000
    except TimeoutError:
        pass
    assert sent < 128 << 20, "all of it was read"
    assert bench.memory() - before < 16 << 20, bench.memory() - before
    equal(opened(bench).status, 101)


# ---- what is sent ----


@check
def followed(bench: Bench) -> None:
    """news come as messages, once and in order, to WebSockets and event streams alike; after the last one the end is 1000"""
    bench.sql("truncate flowforge.news")
    clients = [opened(bench) for _ in range(20)]
    reader = bench.client()
    reader.send(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
    reader.read_until(b"data: {}\n\n")
    for seq in range(1, 4):
        news(bench, seq, final=seq == 3)
    for client in clients:
        equal([client.json() for _ in range(3)], [{"seq": 1}, {"seq": 2}, {"seq": 3}])
        equal(client.closed(), (1000, "the run has ended"))
    assert reader.read_until(b"id: 3\n").endswith(b'data: {"seq": 2}\n\nevent: e\n')
    client = Socket(bench.port, "/ws/ended")
    client.json()
    equal(client.closed()[0], 1000)


@check
def sizes(bench: Bench) -> None:
    """messages of all sizes of a frame's length arrive whole"""
    bench.sql("truncate flowforge.news")
    client = opened(bench)
    for seq, size in enumerate((125, 126, 127, 65535, 65536, 900_000), 1):
        news(bench, seq, data=f"repeat('x', {size})")
        equal(client.frame(), (TEXT, b"x" * size))


@check
def restart(bench: Bench) -> None:
    """a WebSocket goes on after a restart of the database, with what happened meanwhile"""
    bench.sql("truncate flowforge.news")
    client = opened(bench, timeout=30)
    bench.database_down()
    bench.database_up()
    news(bench, 1)
    equal(client.json(), {"seq": 1})
    bench.await_ready()


@check
def slow(bench: Bench) -> None:
    """a client that does not read is dropped at 1 MB: 1013 is the last it gets; others go on meanwhile"""
    bench.sql("truncate flowforge.news")
    deaf, good = opened(bench, window=8192), opened(bench)
    for seq in range(1, 13):
        news(bench, seq, final=seq == 12, data="repeat('x', 900000)")
        equal(len(good.frame()[1]), 900_000)
    equal(good.closed()[0], 1000)
    count = 0
    while (got := deaf.frame())[0] == TEXT:
        equal(len(got[1]), 900_000)
        count += 1
    equal((got[0], struct.unpack(">H", got[1][:2])[0]), (CLOSE, 1013))
    assert 1 <= count < 12 and deaf.ends(), count


@check
def stalled(bench: Bench) -> None:
    """one that never reads again is left after --write-timeout, and its memory is given back"""
    bench.sql("truncate flowforge.news")
    with bench.impatient("--write-timeout", "1") as port:
        deaf = Socket(port, window=8192)
        deaf.json()
        news(bench, 1, data=f"repeat('x', {LARGE})")
        time.sleep(4)
        try:
            while deaf.more():
                pass
        except ConnectionResetError:
            pass
        assert 0 < len(deaf.pending) < LARGE, len(deaf.pending)


@check
def half_open(bench: Bench) -> None:
    """clients are pinged; who answers stays, who is silent is left, also in the middle of a frame"""
    bench.sql("truncate flowforge.news")
    with bench.impatient("--idle-timeout", "2") as port:
        there, silent, halfway = Socket(port), Socket(port), Socket(port)
        for client in (there, silent, halfway):
            client.json()
        halfway.send(frame(TEXT, b"abc")[:3])
        for _ in range(5):
            equal(there.frame(), (PING, b""))
            there.send(frame(PONG))
        for client in (silent, halfway):
            assert client.ends(), "it is still there"
            assert set(client.pending) <= {0x89, 0}, client.pending
        news(bench, 1)
        while (got := there.frame()) == (PING, b""):
            pass
        equal(got, (TEXT, b'{"seq": 1}'))


@check
def drains(bench: Bench) -> None:
    """SIGTERM: WebSockets end with 1001"""
    client = opened(bench)
    equal(bench.stop(), 0)
    equal(client.closed()[0], 1001)
    bench.start()


# ---- what is said ----


def saying(bench: Bench, query: str = "silent", **options: object) -> Socket:
    return opened(bench, path="/ws?says&" + query, **options)


def said(client: Socket, *words: str) -> list[dict[str, object]]:
    """What is answered to each of these at once."""
    client.send(b"".join(frame(TEXT, word.encode()) for word in words))
    return [client.json() for _ in words]


@check
def named(bench: Bench) -> None:
    """what is said becomes calls of the database; what is followed by that says its name, to its end; the connection stays"""
    bench.sql("truncate flowforge.news, flowforge.seen")
    client, plain_ = saying(bench), saying(bench, "")
    equal(said(client, "a", 'b"\\é'), [{"subscription": "a", "from": 0, "follows": 0, "pass": None},
                                       {"subscription": 'b"\\é', "from": 0, "follows": 1, "pass": None}])
    equal(said(plain_, "a"), [{"subscription": "a", "from": 0, "follows": 0, "pass": None}])
    news(bench, 1)
    equal(sorted(str(client.json()["subscription"]) for _ in range(2)), ["a", 'b"\\é'])
    equal(sorted((plain_.json(), plain_.json()), key=len), [{"seq": 1}, {"subscription": "a", "seq": 1}])
    equal(said(client, "stop a", "stop never"), [{"subscription": "a", "stopped": True}, {"subscription": "never", "stopped": True}])
    equal(said(client, 'b"\\é')[0]["follows"], 1)
    equal(said(client, "ended"), [{"subscription": "ended", "from": 1, "follows": 1, "pass": None}])
    equal(client.json(), {"subscription": "ended", "type": "end"})
    news(bench, 2, final=True)
    equal([client.json(), client.json()], [{"subscription": 'b"\\é', "seq": 2}, {"subscription": 'b"\\é', "type": "end"}])
    equal(said(client, "c")[0], {"subscription": "c", "from": 2, "follows": 0, "pass": None})


@check
def refused(bench: Bench) -> None:
    """what is refused is told in a frame, in its place; 401 and 403 end the connection, and what is not answered is not heard on"""
    client = saying(bench)
    equal(said(client, "404", "x", "503", "400"), [{"error": {"status": 404}}, {"subscription": "x", "from": 2, "follows": 0, "pass": None},
                                                   {"error": {"status": 503}}, {"error": {"status": 400}}])
    for status in (401, 403):
        client = saying(bench)
        client.send(frame(TEXT, str(status).encode()) + frame(TEXT, b"x"))
        equal(client.closed()[0], 4000 + status)
    client = saying(bench)
    client.send(frame(TEXT, b"sleep 0.5") + frame(PING, b"after") + frame(TEXT, b"y"))
    equal(client.json(), {"subscription": "slept", "slept": True})
    equal(client.frame(), (PONG, b"after"))
    equal(client.json()["subscription"], "y")


@check
def passes(bench: Bench) -> None:
    """what is said is said by the pass of the connection; when that ends all streams of it end, WebSockets with 4401, others go on"""
    bench.sql("truncate flowforge.news, flowforge.revoked")
    mine, other = [saying(bench, "silent&pass=-1+1+mine:1") for _ in range(3)], saying(bench, "pass=-1+1+other:2")
    reader = bench.client()
    reader.send(b"GET /stream?pass=-1+1+mine:1 HTTP/1.1\r\nhost: x\r\n\r\n")
    equal(reader.head()[0], 200)
    equal(said(mine[0], "a")[0]["pass"], "1 mine:1")
    bench.sql("insert into flowforge.revoked values ('1 mine:1'); notify flowforge_access")
    for client in mine:
        equal(client.closed(), (4401, "signed out"))
    assert reader.ends(), "an event stream goes on"
    news(bench, 1)
    equal(other.json(), {"seq": 1})
    bench.sql("truncate flowforge.revoked")


@check
def lifetimes(bench: Bench) -> None:
    """a stream whose pass expires ends then"""
    client = saying(bench, "silent&pass=300+1+brief")
    equal(client.closed()[0], 4401)


@check
def much_is_said(bench: Bench) -> None:
    """10,000 messages at once, a deaf client's, and those of one that leaves are one call at a time, in order, without growing"""
    bench.sql("truncate flowforge.news")
    client = saying(bench)
    before = bench.memory()
    threading.Thread(target=lambda: client.send(b"".join(frame(TEXT, f"s{n}".encode()) for n in range(2000)))).start()
    for n in range(2000):
        equal(client.json()["subscription"], f"s{n}")
    deaf = saying(bench, window=8192)
    deaf.socket.settimeout(1)
    try:
        deaf.send(frame(TEXT, b"404") * 1_000_000)
    except TimeoutError:
        pass
    else:
        raise AssertionError("all of it was read")
    assert bench.memory() - before < 16 << 20, bench.memory() - before
    leaves = saying(bench)
    leaves.send(frame(TEXT, b"sleep 1") + frame(TEXT, b"x"))
    leaves.socket.close()
    equal(said(saying(bench), "x")[0]["follows"], 0)


@check
def aborted(bench: Bench) -> None:
    """clients that vanish at any moment, and bytes of no sense, leave nothing behind"""
    bench.sql("truncate flowforge.news")
    before = len(os.listdir(f"/proc/{bench.gateway.pid}/fd"))
    for round_ in range(100):
        client = Client(bench.port)
        client.send(ASKED.encode() + f"sec-websocket-key: {KEY}\r\n\r\n".encode())
        if round_ % 2:
            client.read_until(b"\r\n\r\n")
        client.send(os.urandom(round_ * 7))
        client.socket.close()
    deadline = time.monotonic() + 10
    while len(os.listdir(f"/proc/{bench.gateway.pid}/fd")) > before + 8:
        assert time.monotonic() < deadline, "connections are left"
        time.sleep(0.1)
    equal(opened(bench).status, 101)


if __name__ == "__main__":
    sys.exit(run(CHECKS))
