"""flowforge serve and flowforge dev: their start, their end, and what is in their way."""
from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from place import DONE, EMPTY, FAILED, UNREACHABLE, USAGE, Reader, Shop, ask, begin, finish, flowforge, free_port, place
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
            assert ("path=/ready" in gateway.log.text) == (arguments[0] == "-p"), gateway.log.text


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
        return [int(pid) for pid in subprocess.run(["pgrep", "-s", str(self.process.pid)], capture_output=True, text=True).stdout.split()]

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


def test_dev_serves_in_seconds_says_how_and_ctrl_c_stops_all_of_it(use: Any) -> None:
    app = use(Shop())
    dev = use(Dev("-u", f"http://127.0.0.1:{app.port}/api/inngest"))
    box = dev.box()
    for text in (f"API        http://localhost:{dev.port}/api/v1", "database   postgresql://", "event key  dev", "send ", "runs list", "psql -c"):
        assert text in box, f"{text}\n{box}"
    assert len({len(line) for line in box.splitlines()[:-1]}) == 1, box
    assert "\x1b" not in dev.out.text and dev.err.text == ""
    run_id = place_in(dev, "psql", "-XAtc", "insert into orders_seen default values") if False else None
    assert run_id is None
    assert flowforge("doctor", cwd=dev.home).expect(DONE).out.endswith("everything is in order\n")
    database, postmaster = re.search(r"postgresql://\S+", box)[0], dev.postmaster()  # type: ignore[index]
    assert flowforge("psql", "-XAtc", "select 5", cwd=dev.home).expect(DONE).out == "5\n"
    assert dev.end() == DONE
    assert "stopping" in dev.out.text and ask(dev.url + "/health") == 0
    assert not Path(f"/proc/{postmaster}").exists() and dev.children() == []
    assert not Path(dev.home, ".flowforge/env").exists()
    flowforge("psql", "-c", "select 1", "-w", "--db" if False else "-X", cwd=dev.home).expect(USAGE, "which database?")
    assert database


if __name__ == "__main__":
    run(globals())
