"""flowforge serve and flowforge dev: their start, their end, and what is in their way."""
from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from place import DONE, FAILED, UNREACHABLE, USAGE, Reader, Shop, ask, begin, flowforge, free_port, place
from harness import kill, run, wait_for


# ---- serve ----


class Serve:
    """A second gateway on the place's database, told to listen anywhere; its log in `log`."""

    def __init__(self, *arguments: str, database: str | None = None, **options: Any) -> None:
        self.process = begin("serve", "--db", database or place().gateway.database, *arguments, **options)
        self.log = Reader(self.process.stderr)

    def port(self) -> int:
        return int(self.log.wait(r"listening on \S+ port (\d+)")[1])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def test_serve_listens_where_it_is_told_and_ends_on_a_signal_with_exit_code_0(use: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        port = free_port()
        for arguments, env in ((["-p", str(port)], {}), (["--quiet"], {"FLOWFORGE_PORT": str(port), "FLOWFORGE_HOST": "127.0.0.1"})):
            gateway = use(Serve(*arguments, env=env))
            assert gateway.port() == port
            wait_for(lambda: ask(f"http://127.0.0.1:{port}/ready") == 200, 20, "it is ready")
            gateway.process.send_signal(number)
            assert gateway.process.wait(15) == 0
            assert ('path="/ready"' in gateway.log.text) == (arguments[0] == "-p"), gateway.log.text


def test_serve_says_when_its_port_or_address_is_not_to_be_had(use: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = flowforge("serve", "--db", "host=/nowhere", "-p", port)
        assert done.code == FAILED and "in use" in done.err, done
    done = flowforge("serve", "--db", "host=/nowhere", "-p", "0", "--host", "203.0.113.1")
    assert done.code == FAILED and "203.0.113.1" in done.err, done
    done = flowforge("serve", "--db", "host=/nowhere", "-p", "0", "--host", "no-such-host.invalid")
    assert done.code == FAILED and "no-such-host.invalid" in done.err, done


def test_serve_waits_for_a_database_that_is_away(use: Any) -> None:
    gateway = use(Serve("-p", "0", database=f"postgresql://127.0.0.1:{free_port()}/x"))
    port = gateway.port()
    assert (ask(f"http://127.0.0.1:{port}/health"), ask(f"http://127.0.0.1:{port}/ready")) == (200, 503)
    gateway.log.wait("Connection refused")


def test_serve_takes_no_password_into_its_log(use: Any) -> None:
    gateway = use(Serve("-p", "0", database=f"postgresql://me:s3cret@127.0.0.1:{free_port()}/x"))
    gateway.log.wait("Connection refused")
    assert "s3cret" not in gateway.log.text


def test_serve_takes_its_settings_from_options_then_variables_then_a_file(use: Any) -> None:
    ports = [free_port() for _ in range(3)]
    with tempfile.TemporaryDirectory() as home:
        file = Path(home, "gateway.conf")
        file.write_text(f"# where\n\n  port = {ports[0]}  \nhost=127.0.0.1\nquiet = on\ncors-origin = https://a.example\ncors-origin = https://b.example\n"
                        f"db = {place().gateway.database}\n")
        for arguments, env, port in ((["--config", str(file)], {}, ports[0]), ([], {"FLOWFORGE_CONFIG": str(file)}, ports[0]),
                                     (["-c", str(file)], {"FLOWFORGE_PORT": str(ports[1])}, ports[1]),
                                     (["-c", str(file), "-p", str(ports[2])], {"FLOWFORGE_PORT": str(ports[1])}, ports[2])):
            gateway = begin("serve", *arguments, env=env)
            try:
                log = Reader(gateway.stderr)
                assert int(log.wait(r"listening on \S+ port (\d+)")[1]) == port
                wait_for(lambda: ask(f"http://127.0.0.1:{port}/ready") == 200, 20, "it is ready")
                for origin in ("https://a.example", "https://b.example"):
                    request = urllib.request.Request(f"http://127.0.0.1:{port}/ready", headers={"origin": origin})
                    assert urllib.request.urlopen(request).headers["access-control-allow-origin"] == origin
                assert "/ready" not in log.text, log.text
            finally:
                gateway.kill()
                gateway.wait()


def test_serve_tells_which_line_of_its_file_is_wrong(use: Any) -> None:
    with tempfile.TemporaryDirectory() as home:
        file = Path(home, "gateway.conf")
        for text, said in (("port = 1\nport = 2\n", "line 2: port was set before"), ("\nprot = 1\n", "line 2: there is no option prot"),
                           ("port\n", "line 1: a line is like port = 8288"), ("port =\n", "line 1: a line is like"), ("= 7\n", "there is no option"),
                           ("quiet = loud\n", "quiet is on or off, not loud"), ("config = other\n", "there is no option config"),
                           ("port = many\n", "many is no port"), ("# nothing\n", "which database?")):
            file.write_text(text)
            flowforge("serve", "--config", str(file)).expect(USAGE, said)
        flowforge("serve", "--config", f"{home}/none").expect(USAGE, "cannot read", "No such file")


# ---- dev ----


class Dev:
    """`flowforge dev` in a directory of its own, reading what it prints."""

    def __init__(self, *arguments: str, home: str | None = None, **options: Any) -> None:
        self.home = home or tempfile.mkdtemp(prefix="flowforge-dev-")
        os.chmod(self.home, 0o755)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = begin("dev", "-p", str(self.port), *arguments, cwd=self.home, start_new_session=True, **options)
        self.out, self.err = Reader(self.process.stdout), Reader(self.process.stderr)

    def box(self) -> str:
        """What it prints once it serves."""
        return self.out.wait(r"╭[^╰]*╰", 60)[0]

    def postmaster(self) -> int:
        return int(Path(self.home, ".flowforge/data/postmaster.pid").read_text().split("\n")[0])

    def children(self) -> list[int]:
        """The processes of its session that run; one that has ended and that nobody has asked after is no matter."""
        listed = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(self.process.pid)], capture_output=True, text=True).stdout
        return [int(line.split()[0]) for line in listed.splitlines() if not line.split()[1].startswith("Z")]

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.out.thread.join(5)
        return code

    def stop(self) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGTERM)
        for link in Path(self.home).glob(".flowforge"):
            if link.is_symlink():
                shutil.rmtree(os.readlink(link), ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)


class Thief:
    """Somebody who listens on a port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket = socket.create_server(("127.0.0.1", port))

    def stop(self) -> None:
        self.socket.close()


def test_dev_serves_says_how_and_ctrl_c_stops_all_of_it(use: Any) -> None:
    app = use(Shop())
    dev = use(Dev("-u", f"http://127.0.0.1:{app.port}/api/inngest", "--next", "read on in the cellar"))
    box = dev.box()
    for text in (f"API        http://localhost:{dev.port}/api/v1", "database   postgresql://", "event key  dev", "send ", "runs list", "psql -c",
                 "next       read on in the cellar"):
        assert text in box, f"{text}\n{box}"
    allowed = f"localhost:{dev.port}, 127.0.0.1:{dev.port}, 127.0.0.1:{app.port}"
    assert f"outbound   steps may call {allowed}" in box, box
    assert flowforge("psql", "-XAtc", "show flowforge.outbound_allow", cwd=dev.home).expect(DONE).out == allowed + "\n"
    assert flowforge("psql", "-XAtc", "show flowforge.public_url", cwd=dev.home).expect(DONE).out == f"http://localhost:{dev.port}\n"
    assert len({len(line) for line in box.splitlines()[:-1]}) == 1, box
    assert "\x1b" not in dev.out.text and dev.err.text == ""
    assert flowforge("psql", "-XAtc", "select 5", cwd=dev.home).expect(DONE).out == "5\n"
    assert flowforge("doctor", cwd=dev.home).expect(DONE).out.endswith("everything is in order\n")
    postmaster = dev.postmaster()
    assert dev.end() == DONE
    assert "stopping" in dev.out.text and ask(dev.url + "/health") == 0
    assert not Path(f"/proc/{postmaster}").exists() and dev.children() == []
    flowforge("psql", "-c", "select 1", cwd=dev.home).expect(USAGE, "which database?")


def test_dev_answers_the_files_of_a_directory_and_pages_of_other_origins(use: Any) -> None:
    home = tempfile.mkdtemp(prefix="flowforge-dev-")
    Path(home, "site").mkdir()
    Path(home, "site/index.html").write_text("<p>fixture")
    dev = use(Dev("--static", "site", "--cors-origin", "http://localhost:5173", home=home))
    dev.box()
    with urllib.request.urlopen(urllib.request.Request(dev.url + "/ui/", headers={"Origin": "http://localhost:5173"}), timeout=10) as answer:
        assert answer.read() == b"<p>fixture"
        assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert dev.end() == DONE


def test_dev_finds_earlier_runs_again_and_goes_on_with_them(use: Any) -> None:
    first = use(Dev())
    first.box()
    app = use(Shop())
    flowforge("psql", "-Xq", "-c", f"select flowforge.register_app($json${json.dumps(app.registration())}$json$)", cwd=first.home).expect(DONE)
    flowforge("send", "shop/greet", "--wait", cwd=first.home).expect(DONE)
    flowforge("send", "shop/nap", "-d", '{"for": "3s"}', cwd=first.home).expect(DONE)
    assert first.end(signal.SIGTERM) == DONE
    started = time.monotonic()
    second = use(Dev(home=first.home))
    second.box()
    assert time.monotonic() - started < 10
    runs = flowforge("runs", "list", "--json", cwd=first.home).expect(DONE).json()["data"]
    assert [each["function"] for each in runs] == ["shop-nap", "shop-greet"]
    flowforge("runs", "tail", runs[0]["id"], cwd=first.home).expect(DONE)


def test_dev_runs_the_app_given_after_dashes_and_shows_what_it_prints(use: Any) -> None:
    dev = use(Dev("--", "sh", "-c", "echo app sees $INNGEST_DEV $FLOWFORGE_URL; printf 'no newline'; exit 7"))
    dev.box()
    dev.out.wait(rf"app │ app sees http://localhost:{dev.port} http://127.0.0.1:{dev.port}\n")
    dev.out.wait("app │ no newline\n")
    dev.out.wait("ended with exit code 7")
    assert ask(dev.url + "/health") == 200
    assert dev.end() == DONE


def test_dev_suggests_an_event_of_an_app_that_registers_by_itself(use: Any) -> None:
    app = use(Shop())
    body = json.dumps(app.registration())
    dev = use(Dev("--", "sh", "-c", f"curl -s -H 'content-type: application/json' $FLOWFORGE_URL/fn/register -d '{body}'; exec sleep 600"))
    assert "send shop/" in dev.box(), dev.out.text
    assert dev.end() == DONE


def test_dev_stops_the_app_with_everything_else(use: Any) -> None:
    dev = use(Dev("--", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"))
    dev.box()
    dev.out.wait("app │ up")
    dev.process.send_signal(signal.SIGINT)
    dev.out.wait("stopping")
    time.sleep(0.5)
    assert dev.process.poll() is None  # it waits for the app
    started = time.monotonic()
    assert dev.end() == DONE  # until a second signal
    assert time.monotonic() - started < 4
    assert dev.children() == []


def test_dev_with_a_signing_key_signs_and_keeps_the_key_to_itself(use: Any) -> None:
    dev = use(Dev("--signing-key", "signkey-prod-abcdef0123", "--event-key", "secret-key", "--", "sh", "-c",
                  "echo $INNGEST_DEV$INNGEST_BASE_URL $INNGEST_SIGNING_KEY $INNGEST_EVENT_KEY"))
    assert "event key  secret-key" in dev.box()
    dev.out.wait(rf"app │ http://localhost:{dev.port} signkey-prod-abcdef0123 secret-key")
    assert Path(dev.home, ".flowforge/env").stat().st_mode & 0o077 == 0
    flowforge("send", "a", "--url", dev.url).expect(FAILED, "(401)")
    flowforge("send", "a", cwd=dev.home).expect(DONE)


def test_dev_starts_a_killed_database_and_a_killed_gateway_again(use: Any) -> None:
    dev = use(Dev())
    dev.box()
    kill(dev.postmaster())
    dev.out.wait("is back; the runs go on", 60)
    wait_for(lambda: flowforge("send", "a", cwd=dev.home).code == DONE, 20, "events are taken")
    gateway = [pid for pid in dev.children() if pid not in (dev.process.pid, dev.postmaster())]
    assert len(gateway) == 1, gateway
    kill(gateway[0])
    dev.out.wait("gateway +was ended by signal 9; it is started again")
    wait_for(lambda: ask(dev.url + "/ready") == 200, 20, "the gateway is back")
    assert dev.end() == DONE


def test_dev_that_is_killed_leaves_nothing_running_and_can_start_again(use: Any) -> None:
    dev = use(Dev())
    dev.box()
    postmaster = dev.postmaster()
    dev.process.kill()
    dev.process.wait()
    wait_for(lambda: not Path(f"/proc/{postmaster}").exists() and ask(dev.url + "/health") == 0, 20, "all of it has ended")
    again = use(Dev(home=dev.home))
    again.box()
    assert again.end() == DONE


def test_dev_takes_another_port_for_postgres_when_somebody_is_faster(use: Any) -> None:
    dev = use(Dev())
    config = Path(dev.home, ".flowforge/data/flowforge.conf")
    while not (config.exists() and (found := re.search(r"^port = (\d+)\n", config.read_text(), re.M))):
        assert dev.process.poll() is None, dev.err.text
        time.sleep(0.0005)
    try:
        thief = use(Thief(int(found[1])))
    except OSError:
        print("# the postmaster was faster", flush=True)
        return
    dev.box()
    assert f"127.0.0.1:{thief.port}/" not in dev.out.text and re.search(r"postgres@127\.0\.0\.1:\d+/flowforge", dev.out.text), dev.out.text
    assert dev.end() == DONE


def test_dev_says_what_is_in_its_way(use: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flowforge("dev", "-p", str(port)).expect(FAILED, f"port {port} is in use", f"flowforge dev -p {port + 1}")
    flowforge("dev", "-p", str(free_port()), env={"FLOWFORGE_PG_BINDIR": "/nowhere"}).expect(
        FAILED, "PostgreSQL's server programs are not to be found", "FLOWFORGE_PG_BINDIR")
    flowforge("dev", "-p", str(free_port()), "--db", f"postgresql://127.0.0.1:{free_port()}/x").expect(UNREACHABLE, "cannot reach the database")
    flowforge("dev", "-p", str(free_port()), "--persist", "/proc/nowhere").expect(FAILED, "/proc/nowhere")
    dev = use(Dev())
    assert "next  " not in dev.box()
    flowforge("dev", "-p", str(free_port()), cwd=dev.home).expect(FAILED, "runs already on .flowforge", str(dev.process.pid))
    assert ask(dev.url + "/health") == 200


def test_dev_on_a_database_of_yours_makes_the_extension_there_and_leaves_it(use: Any) -> None:
    dev = use(Dev("--db", place().database))
    assert "Ctrl-C stops the gateway" in dev.box()
    assert flowforge("send", "shop/greet", "--wait", "--url", dev.url).expect(DONE)
    assert dev.end() == DONE
    assert not Path(dev.home, ".flowforge").exists()
    assert place().cluster.sql("select 1") == "1"


def test_ctrl_c_in_the_middle_of_the_start_leaves_nothing(use: Any) -> None:
    for delay in (0.1, 0.6, 1.5):
        dev = use(Dev())
        time.sleep(delay)
        assert dev.end() in (DONE, -signal.SIGINT), dev.out.text + dev.err.text
        assert dev.children() == [], delay
    again = use(Dev(home=dev.home))
    again.box()


if __name__ == "__main__":
    run(globals())
