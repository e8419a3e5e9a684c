"""What the TAP tests share: a private cluster, an app that counts what it executes, and TAP output.

A test is a function whose name says what must hold; `run(globals())` runs all of a file and prints TAP. Servers run as an unprivileged
user on free ports in a temporary directory and are stopped by pid.
"""
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BIN = subprocess.check_output(["pg_config", "--bindir"], text=True).strip()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# How much longer than it should take a test waits for what must come: the machine may have much else to do.
PATIENCE = float(os.environ.get("FLOWFORGE_PATIENCE", "4"))


def wait_for(condition, seconds=30, what="the condition"):
    """Polls until condition() is true and gives its value; fails the test when many times the seconds it should take are over."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not hold within {seconds} s")
        time.sleep(0.02)


# Who starts the tests in the background of a shell has SIGINT ignored, and programs inherit that; here it ends them.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Cluster:
    """A PostgreSQL of our own with flowforge preloaded."""

    def __init__(self, settings=None, database="flowforge", create=True):
        self.directory = tempfile.mkdtemp(prefix="flowforge-tap-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self.directory, self.user)
        self.data = os.path.join(self.directory, "data")
        self.log = os.path.join(self.directory, "log")
        self.port = free_port()
        self.database = database
        self._as_user(f"{BIN}/initdb", "-D", self.data, "-A", "trust", "-N", "-U", "postgres", "--locale=C.UTF-8")
        lines = {
            "shared_preload_libraries": "'flowforge'",
            "flowforge.databases": f"'{database}'",
            "flowforge.executors": "2",
            "flowforge.retry_interval": "200",
            "unix_socket_directories": f"'{self.directory}'",
            "listen_addresses": "'127.0.0.1'",
            "port": str(self.port),
            "max_worker_processes": "16",
            "log_line_prefix": "'%m [%p] %b '",
            "restart_after_crash": "on",
        }
        lines.update(settings or {})
        with open(os.path.join(self.data, "postgresql.conf"), "a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in lines.items())
        self.start()
        if create:
            self.sql(f"create database {database}", database="postgres")
            self.sql("create extension flowforge")
            self.wait_working()

    def _as_user(self, *command, stderr=None):
        if os.geteuid() == 0:
            command = ("runuser", "-u", self.user, "--") + command
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=stderr, cwd="/tmp")

    def start(self, wait=True):
        # A postmaster killed between making its socket's lock file and writing its pid into it leaves an empty one, which the next takes for
        # another server's; PostgreSQL leaves its removal to people.
        for name in os.listdir(self.directory):
            path = os.path.join(self.directory, name)
            if name.startswith(".s.PGSQL.") and name.endswith(".lock") and os.path.getsize(path) == 0:
                os.unlink(path)
        # pg_ctl warns of what a killed postmaster has left; what matters is in the server's log.
        self._as_user(f"{BIN}/pg_ctl", "-D", self.data, "-l", self.log, "-w" if wait else "-W", "-t", "60", "start", stderr=subprocess.DEVNULL)

    def stop(self, mode="fast"):
        self._as_user(f"{BIN}/pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def postmaster(self):
        with open(os.path.join(self.data, "postmaster.pid")) as f:
            return int(f.readline())

    def processes(self, title=""):
        """The postmaster's children that call themselves `postgres: title...`; none while there is no postmaster."""
        postmaster = self.living_postmaster()
        if postmaster is None:
            return []
        children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(postmaster)], text=True, capture_output=True).stdout
        split = [line.split(None, 1) for line in children.splitlines()]
        return [int(pid) for pid, name in split if name.startswith(f"postgres: {title}")]

    def kill_postmaster(self):
        """Kills it, and starts another when the last of its children has noticed; does not wait until that one is ready."""
        postmaster = wait_for(self.living_postmaster, what="there is a postmaster")
        kill(postmaster, signal.SIGSTOP)  # lest it have another child after they were counted
        family = [postmaster, *self.processes()]
        kill(postmaster)
        wait_for(lambda: not any(alive(pid) for pid in family), what="the postmaster and its children are gone")
        self.start(wait=False)

    def living_postmaster(self):
        """Its pid; None between pg_ctl and the time when it has written its own into the file."""
        try:
            pid = self.postmaster()
        except (OSError, ValueError):
            return None
        return pid if alive(pid) else None

    def psql(self, *arguments, database=None, check=True, stdin=None):
        environment = dict(os.environ, PGHOST=self.directory, PGPORT=str(self.port), PGUSER="postgres",
                           PGDATABASE=database or self.database, PGAPPNAME="test")
        done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *arguments], env=environment, text=True,
                              capture_output=True, input=stdin)
        if check and done.returncode != 0:
            raise AssertionError(f"psql {arguments}: {done.stderr}")
        return done

    def sql(self, text, database=None):
        return self.psql("-c", text, database=database).stdout.strip()

    def try_sql(self, text, database=None):
        """The answer, or None while the server is not there."""
        done = self.psql("-c", text, database=database, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def works(self):
        return self.try_sql("select count(*) filter (where state = 'working') = count(*) and count(*) > 0 from flowforge.executors()") == "t"

    def wait_working(self):
        wait_for(self.works, 60, "all executors work")

    def register(self, app):
        self.sql("select flowforge.register_app($json$" + json.dumps(app.registration()) + "$json$)")

    def send(self, name, count=1):
        return self.sql(f"select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', '{name}', "
                        f"'data', jsonb_build_object('n', i))) from generate_series(1, {count}) i))")

    def statuses(self):
        text = self.try_sql("select coalesce(json_object_agg(s.status, s.n), '{}') from (select coalesce(e.status, 'live') as status, "
                            "count(*) as n from flowforge.run r left join flowforge.run_end e on e.run_id = r.run_id "
                            "and e.tenant_id = r.tenant_id group by 1) s")
        return json.loads(text) if text else {}

    def wait_all_ended(self, count, seconds=120):
        wait_for(lambda: sum(n for s, n in self.statuses().items() if s != "live") == count, seconds, f"{count} runs have ended")

    def assert_sound(self):
        """Every invariant between the engine's rows holds, also while runs are in flight.

        The server may not have noticed yet that one of its processes was killed: then it goes away now and is asked when it is back.
        """
        fsck = "select coalesce(string_agg(format('%s: run %s: %s', f.invariant, f.run_id, f.detail), E'\\n'), '') from flowforge.fsck() f"
        found = wait_for(lambda: [answer for answer in [self.try_sql(fsck)] if answer is not None], 60, "flowforge.fsck() answers")
        assert found == [""], f"flowforge.fsck():\n{found[0]}"

    def has_extension(self):
        return self.try_sql("select count(*) from pg_extension where extname = 'flowforge'") == "1"

    def assert_clean(self):
        """Nothing is left of runs that have ended, and logs have no gaps."""
        left = self.sql("select (select count(*) from flowforge.run_hot) + (select count(*) from flowforge.run_parked) "
                        "+ (select count(*) from flowforge.wait) + (select count(*) from flowforge.inbox)")
        assert left == "0", f"{left} live rows are left: " + self.sql("select (select jsonb_agg(h) from flowforge.run_hot h), (select jsonb_agg(p) from flowforge.run_parked p), (select jsonb_agg(w) from flowforge.wait w), (select jsonb_agg(i) from flowforge.inbox i)")
        gaps = self.sql("select count(*) from (select run_id, count(*) as n, max(seq) as last, count(distinct seq) as d "
                        "from flowforge.run_event group by run_id) g where g.n <> g.last or g.d <> g.n")
        assert gaps == "0", f"{gaps} runs have gaps in their log"

    def tail(self, lines=40):
        try:
            with open(self.log, errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return ""

    def remove(self):
        try:
            self.stop("immediate")
        except subprocess.CalledProcessError:
            pass
        shutil.rmtree(self.directory, ignore_errors=True)


class Sender(threading.Thread):
    """A client that sends an event ten times a second, comes back when its backend dies, and keeps the ids that were acknowledged."""

    def __init__(self, cluster, event):
        super().__init__(daemon=True)
        self.cluster, self.event = cluster, event
        self.acknowledged = []
        self.stopped = False
        self.start()

    def run(self):
        statements = f"select ff_send_event('{self.event}') from pg_sleep(0.1);\n" * 600
        while not self.stopped:
            self.client = subprocess.Popen(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.cluster.directory, "-U", "postgres",
                                            "-p", str(self.cluster.port), "-d", self.cluster.database], text=True, stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                self.client.stdin.write(statements)
                self.client.stdin.close()
            except BrokenPipeError:
                pass
            self.acknowledged += [line.strip() for line in self.client.stdout if line.endswith("\n")]
            self.client.wait()
            time.sleep(0.05)

    def stop(self):
        self.stopped = True
        self.client.terminate()
        self.join()


class App:
    """An app in this process: one function of `steps` steps; counts how often each step's body was executed for each run."""

    def __init__(self, name="tap", steps=3, delay=0.0, sleep=None, port=None, event=None):
        self.name, self.steps, self.delay, self.sleep = name, steps, delay, sleep
        self.event = event or f"{name}/go"
        self.executed = {}
        self.headers = {}  # of its answers, beside the usual ones
        self.called_with = {}  # the headers of the last call
        self.calls = 0
        self.lock = threading.Lock()
        self.port = port or free_port()
        self.serve()

    def registration(self):
        url = f"http://127.0.0.1:{self.port}/api/inngest"
        return {"url": url, "appName": self.name, "framework": "test", "sdk": "js:v0", "v": "0.1", "deployType": "ping", "functions": [{
            "id": f"{self.name}-main", "name": "main", "triggers": [{"event": self.event}],
            "steps": {"step": {"id": "step", "name": "step", "retries": {"attempts": 20},
                               "runtime": {"type": "http", "url": f"{url}?fnId={self.name}-main&stepId=step"}}}}]}

    def answer(self, body):
        """What the function does: its steps in order, then a sleep if there is one, then it returns."""
        done = body["steps"]
        run = body["ctx"]["run_id"]
        for number in range(self.steps):
            step_id = f"{number:040d}"
            if step_id not in done:
                with self.lock:
                    key = (run, number)
                    self.executed[key] = self.executed.get(key, 0) + 1
                return 206, [{"id": step_id, "op": "StepRun", "name": f"step {number}", "displayName": f"step {number}", "data": number}]
        if self.sleep and "s" * 40 not in done:
            return 206, [{"id": "s" * 40, "op": "Sleep", "name": self.sleep, "displayName": "pause", "opts": {}}]
        return 200, {"steps": len(done)}

    def serve(self):
        app = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with app.lock:
                    app.calls += 1
                    app.called_with = {name.lower(): value for name, value in self.headers.items()}
                if app.delay:
                    time.sleep(app.delay)
                self.reply(*app.answer(body))

            def do_GET(self):
                self.reply(200, {"mode": "dev", "function_count": len(app.registration()["functions"])})

            def reply(self, status, answer):
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("x-inngest-sdk", "test:v0")
                self.send_header("x-inngest-req-version", "2")
                if status == 400:
                    self.send_header("x-inngest-no-retry", "true")
                for name, value in app.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except (ConnectionError, BrokenPipeError):
                    pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512
            allow_reuse_address = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def run(names):
    """Runs the functions whose names begin with `test_` and prints TAP; the exit code is 1 when one failed."""
    tests = [(name, f) for name, f in names.items() if name.startswith("test_") and callable(f)]
    wanted = sys.argv[1:]
    if wanted:
        tests = [t for t in tests if any(w in t[0] for w in wanted)]
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    for number, (name, test) in enumerate(tests, 1):
        title = name[5:].replace("_", " ")
        opened = []
        started = time.monotonic()

        def use(thing):
            opened.append(thing)
            return thing

        try:
            test(use)
            for thing in opened:
                if isinstance(thing, Cluster) and thing.has_extension():
                    thing.assert_sound()
            print(f"ok {number} - {title} # {time.monotonic() - started:.1f} s", flush=True)
        except BaseException:
            failed += 1
            print(f"not ok {number} - {title}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            for thing in opened:
                if isinstance(thing, Cluster):
                    for line in thing.tail().splitlines():
                        print(f"# server: {line}")
        finally:
            for thing in reversed(opened):
                (thing.remove if isinstance(thing, Cluster) else thing.stop)()
    sys.exit(1 if failed else 0)


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
