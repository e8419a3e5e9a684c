"""The gateway as an HTTP server, beside what it could be at most: nginx for a file, and for events pgbench that calls the same function on
prepared statements. Both sides take turns in one run; the best of three of each counts, because other work on the machine only takes away."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

from bench_tools import cpu_seconds, free_port, pgbench, say, server_cpu_seconds
from harness import Cluster, wait_for

PROGRAM = os.environ.get("FLOWFORGE_BIN", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/gateway/flowforge"))
FILE = b"<!doctype html><title>A page</title>" + b"<p>of one kilobyte</p>\n" * 43
TURNS = 3
SECONDS = 3

NGINX = """
master_process off;
daemon off;
pid %(home)s/nginx.pid;
error_log %(home)s/error.log;
events { worker_connections 1024; }
http {
	types { text/html html; }
	access_log off;
	sendfile on;
	tcp_nopush on;
	open_file_cache max=100;
	keepalive_requests 1000000000;
	client_body_temp_path %(home)s/body;
	proxy_temp_path %(home)s/proxy;
	fastcgi_temp_path %(home)s/fastcgi;
	uwsgi_temp_path %(home)s/uwsgi;
	scgi_temp_path %(home)s/scgi;
	server { listen 127.0.0.1:%(port)d; root %(home)s/files; }
}
"""

POST = """
wrk.method = "POST"
wrk.body = %s
wrk.headers["content-type"] = "application/json"
"""


class Server:
    """A program that serves a port."""

    def __init__(self, port, *command):
        self.port = port
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return answer.read()

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Place:
    """The directory of the files that both serve."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="flowforge-bench-")
        os.chmod(self.home, 0o755)
        os.mkdir(os.path.join(self.home, "files"))
        with open(os.path.join(self.home, "files/page.html"), "wb") as file:
            file.write(FILE)

    def stop(self):
        shutil.rmtree(self.home)


def answers(server):
    try:
        return server.get("/health") is not None
    except OSError:
        return False


def wrk(server, path, connections, *more, seconds=SECONDS):
    """Requests a second; all must be answered well."""
    out = subprocess.run(["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", *more, f"http://127.0.0.1:{server.port}{path}"],
                         capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def gateway_of(database, *options):
    port = free_port()
    return Server(port, PROGRAM, "serve", "--db", database, "-p", str(port), "-q", *options)


def files(close):
    place = close(Place())
    with open(os.path.join(place.home, "nginx.conf"), "w") as config:
        port = free_port()
        config.write(NGINX % {"home": place.home, "port": port})
    nginx = close(Server(port, "nginx", "-e", os.path.join(place.home, "error.log"), "-c", config.name))
    ours = close(gateway_of("host=/nowhere", "--static", os.path.join(place.home, "files")))
    wait_for(lambda: answers(ours), 10, "the gateway")
    wait_for(lambda: serves(nginx), 10, "nginx")
    assert ours.get("/ui/page.html") == nginx.get("/page.html") == FILE

    def measure(server, path, connections):
        """Requests a second, and the CPU time of one in microseconds."""
        cpu = cpu_seconds([server.process.pid])
        rate = wrk(server, path, connections)
        return rate, (cpu_seconds([server.process.pid]) - cpu) / rate / SECONDS * 1e6

    for connections in (16, 64):
        theirs, mine = [], []
        for _ in range(TURNS):
            theirs.append(measure(nginx, "/page.html", connections))
            mine.append(measure(ours, "/ui/page.html", connections))
        ratio, cpu = max(mine)[0] / max(theirs)[0], min(cpu for _, cpu in mine)
        say(f"a file of 1 KB a second, {connections} connections", f"{max(mine)[0]:.0f}")
        say("  ratio to nginx, one process each", f"{ratio:.2f}", "0.8", ratio >= 0.8)
        say("  CPU of a request", f"{cpu:.1f} us")
        say("  ratio of nginx's to it", f"{min(cpu for _, cpu in theirs) / cpu:.2f}")


def serves(nginx):
    try:
        return nginx.get("/page.html") == FILE
    except OSError:
        return False


def events(close):
    cluster = close(Cluster(settings={"flowforge.databases": "'nowhere'"}, create=False))
    cluster.sql("create database flowforge", database="postgres")
    cluster.sql("create extension flowforge")
    body = json.dumps({"name": "bench/event", "data": {"order": 17, "total": 99.5, "items": ["a", "b", "c"]}})
    script = os.path.join(cluster.directory, "post.lua")
    with open(script, "w") as file:
        file.write(POST % json.dumps(body))
    ours = close(gateway_of(f"host={cluster.directory} port={cluster.port} user=postgres dbname={cluster.database}"))
    wait_for(lambda: cluster.sql("select count(*) from pg_stat_activity where application_name = 'flowforge gateway' and state = 'idle'") >= "5",
             20, "the gateway's connections")
    headers = json.dumps({"x-request-id": "0" * 32, "x-ff-remote": "127.0.0.1", "host": f"127.0.0.1:{ours.port}", "content-type": "application/json"})
    call = ("select status, headers, body from flowforge.serve('POST', '/api/v1/events', '', "
            f"'{headers}'::jsonb, '\\x{body.encode().hex()}'::bytea);\n")

    def measure(work):
        """The rate of some work, and the CPU time of one of its calls in microseconds, the server's and the gateway's, of events that are there."""
        count, cpu = int(cluster.sql("select count(*) from flowforge.event")), server_cpu_seconds(cluster) + cpu_seconds([ours.process.pid])
        rate = work()
        written = int(cluster.sql("select count(*) from flowforge.event")) - count
        assert written >= rate * 3.5, (written, rate)
        return rate, (server_cpu_seconds(cluster) + cpu_seconds([ours.process.pid]) - cpu) / written * 1e6

    for connections, bar in ((1, 0.6), (16, 1.0), (64, 2.0)):
        theirs, mine = [], []
        for _ in range(TURNS):
            theirs.append(measure(lambda: pgbench(cluster, call, seconds=4, clients=connections)))
            mine.append(measure(lambda: wrk(ours, "/api/v1/events", connections, "-s", script, seconds=4)))
        rate, cpu = max(mine)[0], min(cpu for _, cpu in mine)
        ratio = rate / max(theirs)[0]
        say(f"events posted a second, {connections} connection{'s' * (connections > 1)}", f"{rate:.0f}")
        say("  ratio to pgbench calling the same function", f"{ratio:.2f}", f"{bar}", ratio >= bar)
        say("  CPU of an event, server and gateway", f"{cpu:.0f} us")
        say("  ratio of pgbench's to it", f"{min(cpu for _, cpu in theirs) / cpu:.2f}")


def start(close):
    """From the start of the program to its first answer."""
    taken = []
    for _ in range(5):
        server = gateway_of("host=/nowhere")
        while not answers(server):
            time.sleep(0.001)
        taken.append((time.monotonic() - server.began) * 1000)
        server.stop()
    say("start to first answer", f"{min(taken):.0f} ms", "100 ms", min(taken) < 100)


def gateway(close):
    start(close)
    files(close)
    events(close)
