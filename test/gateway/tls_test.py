"""HTTPS: what works over it as without, what handshakes may do, and certificates that change.

Prints TAP. Usage, as of protocol_test.py; needs the program openssl for the certificates:

    tls_test.py PATH_OF_FLOWFORGE [WORDS]
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from protocol_test import RUN, Bench, Client, equal, run

CHECKS: list[Callable[[Bench], None]] = []
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def check(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Adds a check; its name is its docstring."""
    CHECKS.append(function)
    return function


def certify(bench: Bench, name: str) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    certificate, key = bench.home / f"{name}.crt", bench.home / f"{name}.key"
    if not key.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
                       check=True, stderr=subprocess.DEVNULL)
    return certificate, key


class Gateway:
    """One that speaks HTTPS."""

    def __init__(self, bench: Bench, *options: str) -> None:
        self.certificate, self.key = bench.home / "served.crt", bench.home / "served.key"
        self.use(certify(bench, "first"))
        self.log = bench.home / "tls.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([bench.program, "serve", "--db", f"host={bench.home} user=postgres dbname=flowforge", "-p", "0", "--tls-cert",
                                             str(self.certificate), "--tls-key", str(self.key), *options], stderr=log)
        self.port = int(self.await_log(r"port (\d+)")[1])
        deadline = time.monotonic() + 30
        while self.connect().get(b"/ready").status != 200:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def use(self, files: tuple[Path, Path]) -> None:
        self.certificate.write_bytes(files[0].read_bytes())
        self.key.write_bytes(files[1].read_bytes())

    def await_log(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + 30
        while not (found := re.search(pattern, self.log.read_text())):
            assert time.monotonic() < deadline and self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        return found

    def connect(self, context: ssl.SSLContext | None = None, window: int = 0) -> Secured:
        return Secured(self.port, context or trusting(self.certificate), window)


class Secured(Client):
    """A connection over TLS."""

    def __init__(self, port: int, context: ssl.SSLContext, window: int = 0) -> None:
        super().__init__(port, 30, window)
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def get(self, path: bytes) -> object:
        self.send(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return self.answer()


def trusting(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["http/1.1"])
    return context


@contextlib.contextmanager
def secured(bench: Bench, *options: str) -> Iterator[Gateway]:
    """A gateway with TLS, which must end well."""
    gateway = Gateway(bench, *options)
    try:
        yield gateway
        gateway.process.terminate()
        equal((gateway.process.wait(30), "Sanitizer" in gateway.log.read_text()), (0, False))
    finally:
        gateway.process.kill()
        gateway.process.wait()


@check
def requests(bench: Bench) -> None:
    """what works without TLS works with it: bodies of 4 MB, answers of 8 MB to slow readers, chunks, pipelines, the end of a connection"""
    with secured(bench) as gateway:
        client = gateway.connect()
        equal(client.socket.selected_alpn_protocol(), "http/1.1")
        body = os.urandom(4 << 20)
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        equal(client.answer().json()["md5"], hashlib.md5(body).hexdigest())
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n" + HEALTH * 400)
        equal(client.answer().json()["length"], 4096)
        for _ in range(400):
            equal(client.answer().status, 200)
        client.send(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        equal(client.answer().status, 200)
        equal(client.socket.recv(1), b"")  # an end that is told, or this raises an error
        slow = gateway.connect(window=65536)
        slow.send(b"GET /large?8388608 HTTP/1.1\r\nHost: x\r\n\r\n" + HEALTH)
        time.sleep(0.5)
        equal((len(slow.answer().body), slow.answer().status), (8388608, 200))


@check
def pieces(bench: Bench) -> None:
    """requests that come byte by byte, each in a record of its own, and many in one record are understood"""
    with secured(bench) as gateway:
        client = gateway.connect()
        for byte in b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde":
            client.send(bytes([byte]))
        equal(client.answer().json()["length"], 5)
        client.send((b"GET /echo HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 7000 + b"\r\n\r\n") * 40)
        equal([client.answer().status for _ in range(40)], [200] * 40)


@check
def versions(bench: Bench) -> None:
    """TLS 1.2 and 1.3 are spoken, older ones and other protocols than HTTP/1.1 are not"""
    with secured(bench) as gateway:
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            context = trusting(gateway.certificate)
            context.minimum_version = context.maximum_version = version
            client = gateway.connect(context)
            equal((client.socket.version(), client.get(b"/health").status), (name, 200))
        old = trusting(gateway.certificate)
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        other = trusting(gateway.certificate)
        other.set_alpn_protocols(["h2"])
        for context in (old, other):
            try:
                gateway.connect(context)
                raise AssertionError("it was spoken to")
            except (ssl.SSLError, ConnectionResetError):
                pass


@check
def streams(bench: Bench) -> None:
    """a stream goes over TLS, and its end is told"""
    bench.sql("truncate flowforge.news")
    with secured(bench) as gateway:
        client = gateway.connect()
        client.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        equal(client.head()[0], 200)
        equal(client.read_until(b"\n\n"), b"event: snapshot\nid: 0\ndata: {}")
        bench.sql(f"insert into flowforge.news values ('{RUN}', 1, E'id: 1\\n\\n', true); notify flowforge")
        equal(client.read_until(b"\n\n"), b"id: 1")
        equal(client.socket.recv(1), b"")


@check
def strange_handshakes(bench: Bench) -> None:
    """who speaks no TLS, breaks off, or sends noise after the handshake is left, and others are served"""
    with secured(bench) as gateway:
        for data in (HEALTH, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, os.urandom(2000), b"\x80\x2e\x01\x03\x01" + b"\0" * 60, b"\x16"):
            client = Client(gateway.port, 30)
            client.send(data)
            with contextlib.suppress(OSError):  # it has been left already
                client.socket.shutdown(socket.SHUT_WR)
            assert client.ends() and b"HTTP" not in client.pending
        for _ in range(50):
            client = Client(gateway.port)
            client.send(b"\x16\x03\x01\x02\x00\x01")
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.socket.close()
        plain = Client(gateway.port, 30)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = trusting(gateway.certificate).wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():  # a handshake that trickles
                    plain.send(bytes([byte]))
                incoming.write(plain.socket.recv(65536))
        session.write(HEALTH[:10])
        plain.send(outgoing.read() + b"\x17\x03\x03\x00\x20" + os.urandom(32))
        assert plain.ends()
        equal(gateway.connect().get(b"/health").status, 200)


@check
def late_handshake(bench: Bench) -> None:
    """a handshake that is not over at --head-timeout is given up; a connection that waits for its first request is not"""
    with secured(bench, "--head-timeout", "1") as gateway:
        waiting = gateway.connect()
        silent, begun = Client(gateway.port, 30), Client(gateway.port, 30)
        begun.send(b"\x16\x03\x01\x02\x00\x01")
        assert silent.ends() and begun.ends()
        equal(waiting.get(b"/health").status, 200)


@check
def reloads(bench: Bench) -> None:
    """SIGHUP takes up a new certificate for new connections; one that cannot be used leaves the old; open connections go on"""
    with secured(bench) as gateway:
        first = gateway.connect()
        gateway.use(certify(bench, "second"))
        gateway.process.send_signal(signal.SIGHUP)
        gateway.await_log("is used for new connections")
        second = gateway.connect(trusting(certify(bench, "second")[0]))
        equal((first.get(b"/health").status, second.get(b"/health").status), (200, 200))
        try:
            gateway.connect(trusting(certify(bench, "first")[0]))
            raise AssertionError("the old one is still used")
        except ssl.SSLCertVerificationError:
            pass
        gateway.key.write_text("nonsense")
        gateway.process.send_signal(signal.SIGHUP)
        gateway.await_log("the certificate read before is still used")
        equal(gateway.connect(trusting(certify(bench, "second")[0])).get(b"/health").status, 200)


@check
def unusable(bench: Bench) -> None:
    """files that are none, do not fit or need a passphrase end it with exit code 1, one without the other with 2"""
    certificate, key = certify(bench, "first")
    locked = bench.home / "locked.key"
    subprocess.run(["openssl", "ec", "-in", str(key), "-aes256", "-passout", "pass:word", "-out", str(locked)], check=True, stderr=subprocess.DEVNULL)
    other = certify(bench, "second")[1]
    for options, code, words in ((["--tls-cert", str(certificate)], 2, "belong together"), (["--tls-key", str(key)], 2, "belong together"),
                                 (["--tls-cert", "/nowhere", "--tls-key", str(key)], 1, "/nowhere"),
                                 (["--tls-cert", str(key), "--tls-key", str(key)], 1, "first.key"),
                                 (["--tls-cert", str(certificate), "--tls-key", str(other)], 1, "key values mismatch"),
                                 (["--tls-cert", str(certificate), "--tls-key", str(locked)], 1, "locked.key")):
        done = subprocess.run([bench.program, "serve", "--db", "host=/nowhere", "-p", "0", *options], stderr=subprocess.PIPE, text=True, timeout=30,
                              stdin=subprocess.DEVNULL)
        equal((options, done.returncode), (options, code))
        assert words in done.stderr, done.stderr


if __name__ == "__main__":
    sys.exit(run(CHECKS))
