"""What the gateway answers besides the API: files, compressed answers, origins.

Prints TAP. Usage, as of protocol_test.py, which starts the database and the gateway for it:

    web_test.py PATH_OF_FLOWFORGE [WORDS]
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from protocol_test import Answer, Bench, Client, equal, run

CHECKS: list[Callable[[Bench], None]] = []
PAGE = b"<!doctype html><title>fixture</title><script src=assets/index-B2x_9fQa.js></script>"
SCRIPT = b"console.log('fixture');\n" * 200


def check(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Adds a check; its name is its docstring."""
    CHECKS.append(function)
    return function


def site(bench: Bench) -> Path:
    """A directory such as a tool that builds pages leaves, and things in and beside it that nobody is to see."""
    root = bench.home / "site"
    if root.exists():
        return root
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_bytes(PAGE)
    (root / "assets/index-B2x_9fQa.js").write_bytes(SCRIPT)
    (root / "assets/plain.css").write_bytes(b"a{}")
    (root / "packed.json").write_bytes(b'{"packed": false}')
    (root / "packed.json.gz").write_bytes(gzip.compress(b'{"packed": true}'))
    (root / "only.gz").write_bytes(gzip.compress(b"alone"))
    (root / "noise.bin").write_bytes(os.urandom(5000))
    (root / "a b\u00e9.txt").write_text("named")
    (root / ".secret").write_text("hidden")
    (bench.home / "beside.txt").write_text("outside")
    (root / "link.txt").symlink_to(bench.home / "beside.txt")
    return root


@contextlib.contextmanager
def serving(bench: Bench, *options: str) -> Iterator[int]:
    """A gateway that answers the files; gives its port."""
    with bench.impatient("--static", str(site(bench)), *options) as port:
        yield port


def fetch(bench: Bench, port: int, path: str, headers: str = "", method: str = "GET") -> Answer:
    return bench.get(path, headers, method, port=port)


# ---- files ----


@check
def files(bench: Bench) -> None:
    """a file is answered with its type, tag, policy and id; a small one is not compressed"""
    with serving(bench) as port:
        answer = fetch(bench, port, "/ui/", "x-request-id: web-1\r\naccept-encoding: gzip\r\n")
        equal((answer.status, answer.body), (200, PAGE))
        equal(answer.headers["content-type"], "text/html; charset=utf-8")
        equal(answer.headers["cache-control"], "no-cache")
        equal(answer.headers["x-content-type-options"], "nosniff")
        equal(answer.headers["x-request-id"], "web-1")
        for part in ("default-src 'self'", "object-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in answer.headers["content-security-policy"], part
        assert "script-src" not in answer.headers["content-security-policy"] and "content-encoding" not in answer.headers
        equal(fetch(bench, port, "/ui/assets/plain.css").headers["content-type"], "text/css; charset=utf-8")
        equal(fetch(bench, port, "/ui/noise.bin").headers["content-type"], "application/octet-stream")
        equal(fetch(bench, port, "/ui/a%20b%c3%A9.txt").body, b"named")
        equal(fetch(bench, port, "/ui/index.html?v=1").body, PAGE)
        assert "immutable" in fetch(bench, port, "/ui/assets/index-B2x_9fQa.js").headers["cache-control"]
        equal(fetch(bench, port, "/ui/assets/plain.css").headers["cache-control"], "no-cache")
        found = (bench.home / "impatient.log").read_text()
        assert 'request_id=web-1 method=GET path="/ui/" status=200' in found, found


@check
def tags(bench: Bench) -> None:
    """a tag says which bytes they are: 304 to who has them, 200 to who has others"""
    with serving(bench) as port:
        path = "/ui/assets/index-B2x_9fQa.js"
        plain = fetch(bench, port, path)
        packed = fetch(bench, port, path, "accept-encoding: gzip\r\n")
        tag, packed_tag = plain.headers["etag"], packed.headers["etag"]
        assert re.fullmatch(r'"[0-9a-f]{32}"', tag) and tag != packed_tag and packed_tag.startswith('"')
        for given in (tag, f'"x", {tag}', f"W/{tag}", "*", f'"x",{tag}'):
            answer = fetch(bench, port, path, f"if-none-match: {given}\r\n")
            equal((answer.status, answer.body, answer.headers["etag"]), (304, b"", tag))
            assert "content-length" not in answer.headers
        for given in ('"x"', tag[:-1], packed_tag, tag.strip('"')):
            equal(fetch(bench, port, path, f"if-none-match: {given}\r\n").status, 200)
        equal(fetch(bench, port, path, f"if-none-match: {packed_tag}\r\naccept-encoding: gzip\r\n").status, 304)


@check
def compressed_files(bench: Bench) -> None:
    """who takes gzip gets it: NAME.gz where there is one, else made here when that is worth it"""
    with serving(bench) as port:
        for accepted in ("gzip", "br, GZIP;q=0.5", "*", "x-gzip"):
            answer = fetch(bench, port, "/ui/assets/index-B2x_9fQa.js", f"accept-encoding: {accepted}\r\n")
            equal((answer.headers["content-encoding"], gzip.decompress(answer.body)), ("gzip", SCRIPT))
            equal((answer.headers["vary"], answer.headers["content-type"]), ("accept-encoding", "text/javascript; charset=utf-8"))
        for accepted in ("br", "gzip;q=0", "identity", "*;q=0", "gzip;q=0, *"):
            answer = fetch(bench, port, "/ui/assets/index-B2x_9fQa.js", f"accept-encoding: {accepted}\r\n")
            equal((answer.body, answer.headers["vary"]), (SCRIPT, "accept-encoding"))
            assert "content-encoding" not in answer.headers
        equal(gzip.decompress(fetch(bench, port, "/ui/packed.json", "accept-encoding: gzip\r\n").body), b'{"packed": true}')
        equal(fetch(bench, port, "/ui/packed.json").body, b'{"packed": false}')
        equal(fetch(bench, port, "/ui/packed.json.gz").status, 404)
        alone = fetch(bench, port, "/ui/only.gz", "accept-encoding: gzip\r\n")
        equal((gzip.decompress(alone.body), alone.headers["content-type"]), (b"alone", "application/octet-stream"))
        assert "content-encoding" not in alone.headers
        assert "content-encoding" not in fetch(bench, port, "/ui/noise.bin", "accept-encoding: gzip\r\n").headers


@check
def head_of_files(bench: Bench) -> None:
    """HEAD of a file has the headers of GET and no body; other methods and bodies go to the API"""
    with serving(bench) as port:
        client = Client(port)
        client.send(b"HEAD /ui/ HTTP/1.1\r\nhost: x\r\n\r\nGET /ui/assets/plain.css HTTP/1.1\r\nhost: x\r\n\r\n")
        equal(client.answer("HEAD").headers["content-length"], str(len(PAGE)))
        equal(client.answer().body, b"a{}")
        for method in ("POST", "PUT", "DELETE"):
            equal(fetch(bench, port, "/ui/", method=method).json(), {"status": 404})
        equal(bench.get("/ui/", body=b"x", port=port).json(), {"status": 404})


@check
def pages(bench: Bench) -> None:
    """a page's own paths are index.html, below the prefix only and for who asks for HTML; other names are 404"""
    html = "accept: text/html,*/*;q=0.8\r\n"
    with serving(bench) as port:
        for path in ("/ui/runs", "/ui/runs/1/steps", "/ui/workflows/"):
            equal((fetch(bench, port, path, html).status, fetch(bench, port, path, html).body), (200, PAGE))
            equal(fetch(bench, port, path).status, 404)
        equal(fetch(bench, port, "/ui/missing.js", html).status, 404)
        equal(fetch(bench, port, "/ui/runs").headers["content-type"], "application/problem+json")
        moved = fetch(bench, port, "/ui", html)
        equal((moved.status, moved.headers["location"]), (308, "/ui/"))
        for path in ("/uis", "/", "/api/v1/runs", "/UI/"):
            equal(fetch(bench, port, path, html).json(), {"status": 404})
    with serving(bench, "--static-prefix", "/a/b/") as port:
        equal(fetch(bench, port, "/a/b/runs", html).body, PAGE)
        equal(fetch(bench, port, "/ui/", html).json(), {"status": 404})
    with serving(bench, "--static-prefix", "/") as port:
        equal(fetch(bench, port, "/", html).body, PAGE)
        equal(fetch(bench, port, "/assets/plain.css").body, b"a{}")
        equal(fetch(bench, port, "/echo").json()["path"], "/echo")
        equal(fetch(bench, port, "/runs", html).json(), {"status": 404})


@check
def traversal(bench: Bench) -> None:
    """no path leads out of the directory, to hidden files or along links"""
    with serving(bench) as port:
        for path in ("../beside.txt", "%2e%2e/beside.txt", "..%2fbeside.txt", "assets/../../beside.txt", "assets/..%5c..%5cbeside.txt",
                     "./index.html", "assets/../index.html", "/index.html", "//etc/passwd", "%2fetc%2fpasswd", ".secret", "%2esecret", "link.txt",
                     "assets", "assets/", "index.html/", "index.html%00.js", "index.html%", "index.html%2", "index.html%zz", "x" * 5000,
                     "..", ".", "%c0%ae%c0%ae/beside.txt", "..;/beside.txt"):
            answer = fetch(bench, port, f"/ui/{path}")
            assert answer.status == 404 and b"outside" not in answer.body and b"hidden" not in answer.body, (path, answer.status, answer.body[:100])


@check
def reload_files(bench: Bench) -> None:
    """SIGHUP reads the files anew; what cannot be read leaves those of before"""
    with serving(bench) as port:
        root = site(bench)
        process = int(subprocess.check_output(["pgrep", "-n", "-f", f"serve.*--static {root}"], text=True))
        tag = fetch(bench, port, "/ui/").headers["etag"]
        (root / "index.html").write_bytes(b"<p>new")
        (root / "new.txt").write_text("new")
        equal(fetch(bench, port, "/ui/").body, PAGE)
        os.kill(process, signal.SIGHUP)
        await_body(bench, port, "/ui/", b"<p>new")
        assert fetch(bench, port, "/ui/").headers["etag"] != tag
        equal(fetch(bench, port, "/ui/new.txt").body, b"new")
        root.rename(bench.home / "elsewhere")
        os.kill(process, signal.SIGHUP)
        await_log(bench, "the files read before are still answered")
        equal(fetch(bench, port, "/ui/").body, b"<p>new")
        (bench.home / "elsewhere").rename(root)
        (root / "index.html").write_bytes(PAGE)
        (root / "new.txt").unlink()
        os.kill(process, signal.SIGHUP)
        await_body(bench, port, "/ui/", PAGE)
        equal(fetch(bench, port, "/ui/new.txt").status, 404)


def await_body(bench: Bench, port: int, path: str, body: bytes) -> None:
    deadline = time.monotonic() + 30
    while fetch(bench, port, path).body != body:
        assert time.monotonic() < deadline, "the files are not read anew"
        time.sleep(0.05)


def await_log(bench: Bench, words: str) -> None:
    deadline = time.monotonic() + 30
    while words not in (bench.home / "impatient.log").read_text():
        assert time.monotonic() < deadline, words
        time.sleep(0.05)


@check
def large_file(bench: Bench) -> None:
    """a file of 8 MB comes whole to a slow reader, and to several on one connection after another"""
    large = os.urandom(8 << 20)
    root = bench.home / "large"
    root.mkdir()
    (root / "large.bin").write_bytes(large)
    with bench.impatient("--static", str(root)) as port:
        client = Client(port, window=65536)
        client.send(b"GET /ui/large.bin HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        time.sleep(0.3)
        for _ in range(2):
            assert client.answer().body == large, "other bytes"


@check
def files_without_database(bench: Bench) -> None:
    """files are answered while there is no database"""
    log = bench.home / "alone.log"
    with open(log, "wb") as out:
        gateway = subprocess.Popen([bench.program, "serve", "--db", "host=/nowhere", "-p", "0", "--static", str(site(bench))], stderr=out)
    try:
        deadline = time.monotonic() + 30
        while not (found := re.search(r"port (\d+)", log.read_text())):
            assert time.monotonic() < deadline and gateway.poll() is None, log.read_text()
            time.sleep(0.02)
        equal(fetch(bench, int(found[1]), "/ui/").body, PAGE)
        equal(fetch(bench, int(found[1]), "/echo").status, 503)
    finally:
        gateway.kill()
        gateway.wait()


@check
def misuse(bench: Bench) -> None:
    """a directory that is none, a path or an origin that is none are refused with exit code 2, files that cannot be read with 1"""
    site(bench)
    deep = bench.home / "deep"
    deep.joinpath(*["d"] * 20).mkdir(parents=True)
    for options, code, words in ((["--static", "/nowhere"], 2, "no directory /nowhere"), (["--static", str(bench.home / "beside.txt")], 2, "no directory"),
                                 (["--static-prefix", "ui"], 2, "is a path"), (["--static-prefix", "/u?"], 2, "is a path"),
                                 (["--cors-origin", "app.example"], 2, "is no origin"), (["--cors-origin", "https://a.example/"], 2, "is no origin"),
                                 (["--cors-origin", "https://"], 2, "is no origin"), (["--static", str(deep)], 1, "more than 16 levels")):
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # who ends at once leaves its memory to the system
        done = subprocess.run([bench.program, "serve", "--db", "host=/nowhere", "-p", "0", *options], stderr=subprocess.PIPE, text=True, timeout=30,
                              env=environment)
        equal((options, done.returncode), (options, code))
        assert words in done.stderr, done.stderr


# ---- compressed answers ----


@check
def compressed_answers(bench: Bench) -> None:
    """an answer of the API from 1 KB up is compressed for who takes gzip, others and smaller ones are not"""
    takes = "accept-encoding: gzip\r\n"
    for size, packed in ((1023, False), (1024, True), (1000000, True), (4194305, False)):
        answer = bench.get(f"/large?{size}", takes)
        equal((size, answer.headers.get("content-encoding")), (size, "gzip" if packed else None))
        equal(gzip.decompress(answer.body) if packed else answer.body, b"x" * size)
        equal(answer.headers.get("vary"), "accept-encoding" if packed else None)
    assert "content-encoding" not in bench.get("/large?5000").headers
    head = bench.get("/large?5000", takes, method="HEAD")
    equal(head.headers["content-length"], str(len(bench.get("/large?5000", takes).body)))


@check
def kept_answers(bench: Bench) -> None:
    """an answer with a tag, of a type that does not shrink, or that is compressed already goes as it is"""
    for path in ("/typed?etag", "/typed?png", "/typed?encoded", "/typed?none"):
        answer = bench.get(path, "accept-encoding: gzip\r\n")
        equal((path, answer.status, answer.body), (path, 200, b"y" * 5000))
        assert answer.headers.get("content-encoding") in (None, "br"), answer.headers
    for path in ("/typed?problem", "/typed?html"):
        equal((path, bench.get(path, "accept-encoding: gzip\r\n").headers.get("content-encoding")), (path, "gzip"))


@check
def streams_are_not_compressed(bench: Bench) -> None:
    """a stream is sent as it comes, whatever the client takes"""
    bench.sql("truncate flowforge.news")
    bench.sql("insert into flowforge.news values ('00000000-0000-7000-8000-000000000001', 1, repeat('x', 5000))")
    client = bench.client()
    client.send(b"GET /stream HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\n\r\n")
    assert "content-encoding" not in client.head()[1]
    equal(client.read_until(b"\n\n"), b"event: snapshot\nid: 1\ndata: {}")


# ---- origins ----


@check
def origins(bench: Bench) -> None:
    """pages of the origins that are configured may use the API, after a preflight too; those of others may not"""
    ours, other = "origin: https://a.example\r\n", "origin: https://b.example\r\n"
    with bench.impatient("--cors-origin", "https://a.example", "--cors-origin", "http://localhost:5173") as port:
        for origin in ("https://a.example", "http://localhost:5173"):
            answer = fetch(bench, port, "/echo", f"origin: {origin}\r\n")
            equal((answer.status, answer.headers["access-control-allow-origin"], answer.headers["vary"]), (200, origin, "origin"))
            assert "x-request-id" in answer.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answer.headers
        flight = fetch(bench, port, "/echo", ours + "access-control-request-method: PATCH\r\n", method="OPTIONS")
        equal((flight.status, flight.headers["access-control-allow-origin"]), (204, "https://a.example"))
        assert "PATCH" in flight.headers["access-control-allow-methods"] and "authorization" in flight.headers["access-control-allow-headers"]
        for headers in (other, "", "origin: null\r\n", "origin: https://a.example.evil\r\n", "origin: HTTPS://A.EXAMPLE\r\n"):
            answer = fetch(bench, port, "/echo", headers)
            equal((answer.status, answer.headers["vary"]), (200, "origin"))
            assert "access-control-allow-origin" not in answer.headers
            assert "access-control-allow-origin" not in fetch(bench, port, "/echo", headers, method="OPTIONS").headers
        for headers, vouched in ((ours, "allowed"), (other, None), ("", None)):
            told = fetch(bench, port, "/echo", headers + "x-flowforge-origin: mine\r\n").json()["headers"]
            equal(told.get("x-flowforge-origin"), vouched)
        equal(fetch(bench, port, "/e/k", other).headers["access-control-allow-origin"], "*")
        equal(fetch(bench, port, "/large?2000", ours + "accept-encoding: gzip\r\n").headers["access-control-allow-origin"], "https://a.example")
        refused = Client(port)
        refused.send(b"GET /echo HTTP/1.1\r\nhost: x\r\norigin: https://a.example\r\ncontent-length: 4194305\r\n\r\n")
        equal(refused.answer().status, 413)
    with bench.impatient("--cors-origin", "*") as port:
        equal(fetch(bench, port, "/echo", other).headers["access-control-allow-origin"], "*")


@check
def origins_from_environment(bench: Bench) -> None:
    """what is not given as an option is taken from the environment"""
    os.environ.update(FLOWFORGE_CORS_ORIGIN="https://a.example,https://b.example", FLOWFORGE_STATIC=str(site(bench)), FLOWFORGE_STATIC_PREFIX="/x")
    try:
        with bench.impatient() as port:
            equal(fetch(bench, port, "/echo", "origin: https://b.example\r\n").headers["access-control-allow-origin"], "https://b.example")
            equal(fetch(bench, port, "/x/").body, PAGE)
    finally:
        for name in ("FLOWFORGE_CORS_ORIGIN", "FLOWFORGE_STATIC", "FLOWFORGE_STATIC_PREFIX"):
            del os.environ[name]


# ---- figures ----


def figures(answer: Answer) -> dict[str, float]:
    """The samples of a page, which is checked: every line is a sample or announces some, and no sample comes twice."""
    equal((answer.status, answer.headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
    found: dict[str, float] = {}
    types: dict[str, str] = {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, line
            types[name] = kind
        elif not line.startswith("# HELP "):
            sample = re.fullmatch(r'(flowforge_[a-z_]+)(\{[a-z_]+="[^"]*"(?:,[a-z_]+="[^"]*")*\})? ([0-9.]+)', line)
            assert sample, line
            name = sample[1] + (sample[2] or "")
            assert name not in found, line
            assert sample[1] == "flowforge_asked" or sample[1] in types or re.sub("_(bucket|sum|count)$", "", sample[1]) in types, line
            found[name] = float(sample[3])
    return found


def metrics(bench: Bench, port: int = 0, headers: str = "") -> dict[str, float]:
    return figures(bench.get("/metrics", headers, port=port))


def await_routes(bench: Bench, port: int) -> None:
    """Waits until a gateway knows the routes: it answers before."""
    deadline = time.monotonic() + 30
    while not any('route="/runs/{id}"' in name for name in metrics(bench, port)):
        assert time.monotonic() < deadline, "the routes are not known"
        fetch(bench, port, "/runs/0")
        time.sleep(0.05)


@check
def counts(bench: Bench) -> None:
    """requests count for the pattern of their route, method and class of status; what matches none counts together"""
    with serving(bench) as port:
        await_routes(bench, port)
        before = metrics(bench, port)
        for path in ("/runs/1", "/runs/2", "/runs/search", "/echo", "/echo", "/nothing/a", "/nothing/b", "/ui/", "/ui/none", "/health"):
            fetch(bench, port, path)
        fetch(bench, port, "/echo/x", method="POST")
        fetch(bench, port, "/echo", method="HEAD")
        fetch(bench, port, "/e/k", method="OPTIONS")
        client = Client(port)
        client.send(b"nonsense\r\n\r\n")
        equal(client.answer().status, 400)
        client.socket.close()
        time.sleep(1.1)
        after = metrics(bench, port)

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    for method, route, status, count in (
            ("GET", "/runs/{id}", "4xx", 2), ("GET", "/runs/search", "4xx", 1), ("GET", "/echo", "2xx", 3), ("POST", "/echo/{name}", "2xx", 1),
            ("GET", "static", "2xx", 1), ("GET", "static", "4xx", 1), ("OPTIONS", "preflight", "2xx", 1), ("other", "refused", "4xx", 1),
            ("other", "other", "4xx", 2), ("other", "other", "2xx", 1), ("GET", "/metrics", "2xx", 1)):
        equal((route, status, grown(f'flowforge_http_requests_total{{method="{method}",route="{route}",status="{status}"}}')), (route, status, count))
    equal(grown("flowforge_http_connections_total"), 15)
    assert grown("flowforge_http_received_bytes_total") > 500 and grown("flowforge_http_sent_bytes_total") > 2000
    equal((after["flowforge_up"], after["flowforge_http_connections"]), (1, 1))
    equal(grown('flowforge_gateway_lane_calls_total{lane="ingest"}'), 1)
    equal(after['flowforge_gateway_lane_connections{lane="ingest",state="idle"}'], 4)
    assert not [name for name in after if "nothing" in name or "/runs/1" in name]


@check
def durations(bench: Bench) -> None:
    """how long requests take is in buckets, each of which holds those below it"""
    with bench.impatient() as port:
        await_routes(bench, port)
        fetch(bench, port, "/echo")
        fetch(bench, port, "/sleep?0.3")
        found = metrics(bench, port)
    for route, method in (("/echo", "GET"), ("other", "other")):
        name = f'flowforge_http_request_duration_seconds_%s{{method="{method}",route="{route}"'
        buckets = [found[f'{name % "bucket"},le="{le}"}}'] for le in
                   ("0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")]
        equal(buckets, sorted(buckets))
        equal(buckets[-1], found[name % "count" + "}"])
    equal(found[f'{name % "bucket"},le="+Inf"}}'] - found[f'{name % "bucket"},le="0.25"}}'], 1)
    assert found[name % "sum" + "}"] >= 0.3


@check
def kept_metrics(bench: Bench) -> None:
    """what the database tells is kept for a second for who brings the same credentials; nobody else gets it"""
    with bench.impatient() as port:
        key = "authorization: Bearer right\r\n"
        first = metrics(bench, port, key)
        asked = first["flowforge_asked"]
        equal(metrics(bench, port, key)["flowforge_asked"], asked)
        equal(fetch(bench, port, "/metrics", "authorization: Bearer wrong\r\n").status, 401)
        equal(metrics(bench, port, "x-flowforge-api-key: right\r\n")["flowforge_asked"], asked + 1)
        time.sleep(1.1)
        equal(metrics(bench, port, key)["flowforge_asked"], asked + 2)
        packed = fetch(bench, port, "/metrics", key + "accept-encoding: gzip\r\n")
        assert b"flowforge_asked" in gzip.decompress(packed.body)


@check
def metrics_without_database(bench: Bench) -> None:
    """while the database is away its gateway says so, to who was let in before"""
    with bench.impatient() as port:
        key = "authorization: Bearer right\r\n"
        metrics(bench, port, key)
        bench.database_down()
        try:
            deadline = time.monotonic() + 30
            while (found := metrics(bench, port, key))["flowforge_up"] != 0:
                assert time.monotonic() < deadline, found
                time.sleep(0.1)
            assert "flowforge_asked" not in found and found["flowforge_http_connections"] == 1
            equal(fetch(bench, port, "/metrics").status, 503)
        finally:
            bench.database_up()
        bench.await_ready(30)


if __name__ == "__main__":
    sys.exit(run(CHECKS))
