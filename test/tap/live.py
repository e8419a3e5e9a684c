"""Live streams as clients have them: event streams and WebSockets, over gateways that stop and servers that crash; nothing is lost or told twice."""
import asyncio
import base64
import json
import os
import re
import resource
import struct
import subprocess
import time
import urllib.parse
import urllib.request

from harness import PATIENCE, App, Cluster, free_port, run, wait_for

PROGRAM = os.environ.get("FLOWFORGE_BIN", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "gateway", "flowforge"))
# `make bench` has a thousand clients that lose their gateways and five thousand idle ones.
CLIENTS = int(os.environ.get("FLOWFORGE_CLIENTS", "250"))
IDLE = int(os.environ.get("FLOWFORGE_IDLE_CLIENTS", "1000"))


class Gateway:
    """A gateway that can be ended and started again at the same port."""

    def __init__(self, cluster, *options):
        self.port = free_port()
        self.command = [PROGRAM, "serve", "--quiet", "--db", f"postgresql://flowforge_gateway@127.0.0.1:{cluster.port}/{cluster.database}",
                        "-p", str(self.port), *options]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        wait_for(self.is_ready, 20, "the gateway is ready")

    def is_ready(self):
        try:
            return self.get("/ready").status == 200
        except OSError:
            return False

    def get(self, path, **headers):
        return urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers), timeout=30)

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"content-type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=30))

    def memory(self):
        """What of its memory is its own, in bytes."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_")) * 1024

    def end(self, hard=False):
        (self.process.kill if hard else self.process.terminate)()
        self.process.wait(15)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Listener:
    """A session that listens; what it was told comes with its next statement."""

    def __init__(self, cluster):
        self.process = subprocess.Popen(["psql", "-XqAt", "-h", cluster.directory, "-p", str(cluster.port), "-U", "postgres", "-d", cluster.database],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ask("listen flowforge")

    def ask(self, statement):
        """What is printed until the statement has been done."""
        self.process.stdin.write(statement + "; select 'done';\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline()) not in ("done\n", ""):
            lines.append(line)
        return "".join(lines)

    def is_told(self):
        return "Asynchronous notification" in self.ask("select 1")

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Follower:
    """A client that comes back where it was, for as long as it is wanted, and keeps what it is told."""

    def __init__(self, ports, path="/api/v1/stream", socket=False, cursor=None):
        self.ports, self.path, self.socket, self.cursor = ports, path, socket, cursor
        self.told = []  # (run, seq, cursor)
        self.types = []
        self.code = None
        self.connections = 0
        self.is_open = asyncio.Event()
        self.task = asyncio.create_task(self.follow())

    async def follow(self):
        while self.code not in (1000, 4401, 4404):
            try:
                await (self.frames if self.socket else self.events)()
            except (OSError, EOFError):
                pass
            await asyncio.sleep(0.05)

    async def connect(self, more):
        port = self.ports[self.connections % len(self.ports)]
        self.connections += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        query = "?since=" + urllib.parse.quote(self.cursor) if self.cursor and self.socket else ""
        if self.cursor and not self.socket:
            more += f"last-event-id: {self.cursor}\r\n"
        writer.write(f"GET {self.path}{query} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n".encode())
        return reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode()

    async def events(self):
        reader, writer, head = await self.connect("")
        try:
            assert " 200 " in head.split("\r\n")[0], head
            while True:
                message = (await reader.readuntil(b"\n\n")).decode()
                data = re.search(r"^data: (.*)$", message, re.M)
                if data:
                    self.take(data[1], re.search(r"^id: (.*)$", message, re.M)[1])
        finally:
            writer.close()

    async def frames(self):
        key = base64.b64encode(os.urandom(16)).decode()
        reader, writer, head = await self.connect(
            f"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n")
        try:
            assert " 101 " in head.split("\r\n")[0], head
            while True:
                first, length = await reader.readexactly(2)
                if length >= 126:
                    length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
                data = await reader.readexactly(length)
                if first == 0x89:
                    writer.write(b"\x8a\x80abcd")
                elif first == 0x88:
                    self.code = struct.unpack(">H", data[:2])[0]
                    return
                else:
                    self.take(data.decode(), None)
        finally:
            writer.close()

    def take(self, data, cursor):
        message = json.loads(data)
        if cursor is None:
            cursor = message.get("cursor") or str(message["seq"])
        self.types.append(message["type"])
        if "seq" in message and message["type"] != "snapshot":
            self.told.append((message["run_id"], message["seq"], cursor))
        self.cursor = cursor
        self.is_open.set()

    def keys(self):
        return [told[:2] for told in self.told]


def raise_limit():
    """As many descriptors as this process may have; how many that is."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def log_of(cluster):
    """Every event of every run, as the database has it."""
    text = cluster.sql("select coalesce(json_agg(json_build_array(e.run_id, e.seq)), '[]') from flowforge.run_event e")
    return sorted(tuple(each) for each in json.loads(text))


def assert_told(follower, wanted, what):
    keys = follower.keys()
    assert len(set(keys)) == len(keys), f"{what}: {len(keys) - len(set(keys))} of {len(keys)} told twice"
    missing = set(wanted) - set(keys)
    assert not missing, f"{what}: {len(missing)} of {len(wanted)} never told, such as {sorted(missing)[:3]}"
    last = {}
    for run_id, seq in keys:
        assert seq == last.get(run_id, seq - 1) + 1, f"{what}: event {seq} of {run_id} after {last.get(run_id)}"
        last[run_id] = seq


async def until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what}: it did not come"
        await asyncio.sleep(0.05)


async def end(followers):
    for follower in followers:
        follower.task.cancel()
    await asyncio.gather(*(follower.task for follower in followers), return_exceptions=True)


def place(use, settings=None, steps=3):
    """A server, an app and two gateways."""
    cluster = use(Cluster({"max_prepared_transactions": "4", "max_connections": "100", **(settings or {})}))
    app = use(App(steps=steps))
    cluster.register(app)
    return cluster, use(Gateway(cluster)), use(Gateway(cluster))


def page(gateway, cursor, function=None):
    """What comes at once after a cursor."""
    query = {"since": cursor, **({"function": function} if function else {})}
    told = []
    with gateway.get("/api/v1/stream?" + urllib.parse.urlencode(query)) as answer:
        answer.fp.raw._sock.settimeout(0.4)
        text = b""
        try:
            while piece := answer.read1(1 << 20):
                text += piece
        except TimeoutError:
            pass
    for data in re.findall(r"^data: (.*)$", text.decode(), re.M):
        message = json.loads(data)
        told.append((message.get("run_id"), message.get("seq"), message["type"]))
    return told


def test_who_begins_to_listen_while_a_group_is_committed_is_told_of_it(use):
    cluster = use(Cluster())
    cluster.sql("select ff_workflow_create('quick', '{\"nodes\": [{\"id\": \"a\", \"type\": \"transform\", \"data\": {\"config\": {\"mapping\": {\"x\": 1}}}}], "
                "\"edges\": []}'); select ff_workflow_publish('quick')")
    # An executor that makes partitions would wait with locks that senders need.
    wait_for(lambda: cluster.sql("select count(distinct t) = 8 from unnest(array["
                                 "'event', 'run', 'run_batch', 'step', 'run_end', 'run_event_batch', 'feed', 'run_skip']) t, flowforge.partition_days(t)") == "t",
             30, "the first partitions are there")
    # What is written waits for a standby that is not there, and is seen by nobody before it comes.
    cluster.sql("alter system set synchronous_standby_names = 'nobody'")
    cluster.sql("select pg_reload_conf()")
    waiting = "select count(*) from pg_stat_activity where wait_event = 'SyncRep' and backend_type like 'flowforge%'"
    ended = "select count(*) from flowforge.run_end"
    waits = False
    while not waits:  # the setting may not be in force yet
        before = int(cluster.sql(ended))
        cluster.sql("set synchronous_commit = local; select ff_workflow_run('quick')")
        wait_for(lambda: cluster.sql(waiting) != "0" or int(cluster.sql(ended)) > before, 30, "the run is over, or its commit waits")
        waits = cluster.sql(waiting) != "0"
    listener = use(Listener(cluster))
    assert int(cluster.sql(ended)) == before
    cluster.sql("alter system reset synchronous_standby_names")
    cluster.sql("select pg_reload_conf()")
    wait_for(listener.is_told, 10, "the listener is told")


def test_a_run_is_followed_by_a_websocket_to_its_end_and_from_any_seq(use):
    cluster, gateway, other = place(use)

    async def play():
        wanted = None
        for _ in range(3):
            cluster.send("tap/go")
        runs = [line for line in cluster.sql("select run_id from flowforge.run").splitlines()]
        followers = [Follower([gateway.port], f"/ws/runs/{run_id}", socket=True) for run_id in runs]
        await until(lambda: all(f.code == 1000 for f in followers), "the end of the runs")
        cluster.wait_all_ended(3)
        for follower, run_id in zip(followers, runs, strict=True):
            assert follower.types[0] == "snapshot", follower.types
            wanted = [key for key in log_of(cluster) if key[0] == run_id]
            whole = Follower([other.port], f"/ws/runs/{run_id}", socket=True, cursor="0")
            await until(lambda whole=whole: whole.code == 1000, "the end of a run that has ended")
            assert whole.keys() == wanted, whole.keys()
            assert follower.keys() == [key for key in wanted if key in follower.keys()]
            await end([whole])
        unknown = Follower([gateway.port], "/ws/runs/01M7X48DDJXB2N3AAJ41EHH149", socket=True)
        await until(lambda: unknown.code == 4404, "4404")
        await end([*followers, unknown])

    asyncio.run(play())
    for path in ("/ws", f"/ws/runs/{cluster.sql('select run_id from flowforge.run limit 1')}"):
        try:
            gateway.get(path)
            raise AssertionError("answered without a handshake")
        except urllib.error.HTTPError as problem:
            assert (problem.code, json.load(problem)["code"]) == (426, "FF680")


def test_what_commits_late_is_told_when_it_commits_and_every_cursor_goes_on_exactly(use):
    cluster, gateway, other = place(use, {"flowforge.executors": "2"})

    async def play():
        cluster.send("tap/go", 3)
        cluster.wait_all_ended(3)
        old = log_of(cluster)
        victim = old[0][0]
        followers = [Follower([gateway.port]), Follower([other.port, gateway.port], "/ws", socket=True)]
        await until(lambda: all(f.is_open.is_set() for f in followers), "the beginning")
        session = subprocess.Popen(["psql", "-XqAt", "-h", cluster.directory, "-p", str(cluster.port), "-U", "postgres", "-d", cluster.database],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        session.stdin.write(f"begin;\nselect 'replayed ' || ff_replay('{victim}');\n")
        session.stdin.flush()
        assert session.stdout.readline().startswith("replayed")
        cluster.sql(f"begin; select ff_replay('{victim}'); prepare transaction 'later'")
        for _ in range(5):
            cluster.send("tap/go", 4)
            await asyncio.sleep(0.1)
        cluster.wait_all_ended(23)
        await until(lambda: all(len(f.told) >= len(log_of(cluster)) - len(old) for f in followers), "what the others have done")
        cluster.sql("commit prepared 'later'")  # first: it holds the end of the tenant's audit chain
        cluster.wait_all_ended(24)
        session.stdin.write("commit;\n")
        session.stdin.close()
        session.wait(60)
        cluster.wait_all_ended(25)
        wanted = [key for key in log_of(cluster) if key not in old]
        await until(lambda: all(len(f.told) >= len(wanted) for f in followers), "all of it")
        for follower in followers:
            assert_told(follower, wanted, follower.path)
            assert len(follower.told) == len(wanted)
        for follower in followers:
            for place_, (_, _, cursor) in list(enumerate(follower.told))[::7]:
                rest = [told[:2] for told in page(other, cursor)]
                assert sorted(rest) == sorted(follower.keys()[place_ + 1:]), f"from {cursor}: {len(rest)} of {len(follower.told) - place_ - 1}"
        await end(followers)

    asyncio.run(play())


def test_a_function_is_followed_alone_and_a_wrong_cursor_or_function_is_told(use):
    cluster, gateway, _ = place(use)
    second = use(App("second", steps=1))
    cluster.register(second)

    async def play():
        followers = [Follower([gateway.port], "/api/v1/stream?function=" + name) for name in ("tap-main", "second-main")]
        await until(lambda: all(f.is_open.is_set() for f in followers), "the beginning")
        cluster.send("tap/go", 2)
        cluster.send("second/go", 5)
        cluster.wait_all_ended(7)
        log = log_of(cluster)
        first_of = json.loads(cluster.sql("select json_object_agg(r.run_id, r.function) from flowforge.runs r"))
        for follower, name in zip(followers, ("tap-main", "second-main"), strict=True):
            wanted = [key for key in log if first_of[key[0]] == name]
            await until(lambda f=follower, w=wanted: len(f.told) >= len(w), name)
            assert_told(follower, wanted, name)
            assert len(follower.told) == len(wanted)
        await end(followers)

    asyncio.run(play())
    for path, status, code in (("?since=nonsense", 400, "FF204"), ("?since=0123456789ab~1~1~9:1:", 400, "FF204"),
                               ("?since=0123456789ab~1~999999999999999999~1:99999999999999999999:", 400, "FF204"),
                               ("?function=nothing", 404, "FF013")):
        try:
            gateway.get("/api/v1/stream" + path)
            raise AssertionError(f"{path} was answered")
        except urllib.error.HTTPError as problem:
            assert (problem.code, json.load(problem)["code"]) == (status, code), path
    now = cluster.sql("select flowforge.feed_text(flowforge.feed_now())")
    era, told_at, life, snapshot = now.split("~")
    for cursor in (f"0123456789ab~{told_at}~{life}~{snapshot}", f"{era}~1000~{life}~{snapshot}", f"{era}~{told_at}~{life}~900000000:900000000:",
                   f"{era}~{told_at}~{int(life) + 1}~{snapshot}"):
        assert [each[2] for each in page(gateway, cursor)] == ["reset"], cursor
    assert page(gateway, now) == []


def test_followers_miss_nothing_while_the_server_crashes(use):
    cluster, gateway, other = place(use)

    async def play():
        followers = [Follower([gateway.port, other.port], *kind) for kind in (("/api/v1/stream",), ("/ws", True)) for _ in range(5)]
        await until(lambda: all(f.is_open.is_set() for f in followers), "the beginning")
        for round_ in range(3):
            cluster.send("tap/go", 20)
            await asyncio.sleep(0.2)
            # Numbers of transactions that nobody will remember.
            cluster.psql(*(word for _ in range(20) for word in ("-c", "begin; select pg_current_xact_id(); rollback")))
            await asyncio.to_thread(cluster.kill_postmaster)
            await asyncio.to_thread(cluster.wait_working)
            cluster.wait_all_ended(20 * (round_ + 1))
        wanted = log_of(cluster)
        await until(lambda: all(len(f.told) >= len(wanted) for f in followers), "all of it")
        for follower in followers:
            assert_told(follower, wanted, follower.path)
        await end(followers)

    asyncio.run(play())


def test_many_clients_miss_nothing_while_gateways_stop_and_die(use):
    raise_limit()
    cluster, gateway, other = place(use)

    async def play():
        began = time.monotonic()
        followers = [Follower([gateway.port, other.port][::1 if n % 2 else -1], "/ws" if n % 4 > 1 else "/api/v1/stream", socket=n % 4 > 1)
                     for n in range(CLIENTS)]
        await until(lambda: all(f.is_open.is_set() for f in followers), "the beginning")
        print(f"# {CLIENTS} clients connected in {time.monotonic() - began:.1f} s", flush=True)
        for which, hard in ((gateway, False), (other, True)):
            cluster.send("tap/go", 3)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(which.end, hard)
            cluster.send("tap/go", 2)
            await asyncio.to_thread(which.start)
        await asyncio.to_thread(cluster.wait_all_ended, 10)
        wanted = log_of(cluster)
        await until(lambda: all(len(f.told) >= len(wanted) for f in followers), "all of it", 120)
        for number, follower in enumerate(followers):
            assert_told(follower, wanted, f"client {number}")
            assert len(follower.told) == len(wanted)
        print(f"# {CLIENTS} clients, {sum(f.connections for f in followers)} connections, {len(wanted) * CLIENTS} messages, none lost, none twice",
              flush=True)
        await end(followers)

    asyncio.run(play())


def test_idle_clients_cost_little(use):
    idle = min(IDLE, raise_limit() - 200)
    cluster, *gateways = place(use)

    async def play():
        for kind, socket, gateway in zip(("event streams", "WebSockets"), (False, True), gateways, strict=True):
            warm = [Follower([gateway.port], "/ws" if socket else "/api/v1/stream", socket) for _ in range(50)]
            await until(lambda warm=warm: all(f.is_open.is_set() for f in warm), "the first")
            before, open_before = gateway.memory(), len(os.listdir(f"/proc/{gateway.process.pid}/fd"))
            followers = []
            while len(followers) < idle:
                followers += [Follower([gateway.port], "/ws" if socket else "/api/v1/stream", socket) for _ in range(250)]
                await until(lambda fs=followers: all(f.is_open.is_set() for f in fs), "the beginning")
            assert len(os.listdir(f"/proc/{gateway.process.pid}/fd")) >= open_before + idle
            each = (gateway.memory() - before) / idle
            print(f"# {idle} idle {kind}: {each:.0f} bytes of the gateway's memory each", flush=True)
            assert each < 10 * 1024, each
            cluster.send("tap/go")
            await until(lambda fs=followers: all(len(f.told) >= 6 for f in fs), "what happens then")
            await end(followers + warm)

    asyncio.run(play())


if __name__ == "__main__":
    run(globals())
