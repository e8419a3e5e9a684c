"""An example as a newcomer meets it: the commands of its README, in its folder, against one server that all examples share.

The commands are those of the README's blocks. One that is said to be for a terminal of its own runs until the test is over; it is waited for until
it has printed a line. Ports are given by the environment, because those of the READMEs may be taken.
"""
from __future__ import annotations

import atexit
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "cli"))
from place import PROGRAM, Gateway, Reader, environment, free_port  # noqa: E402
from harness import Cluster, wait_for  # noqa: E402

EXAMPLES = ROOT / "examples"
OWN_TERMINAL = "in a terminal of its own"
PORTS = {"MODEL_PORT": str(free_port()), "RECEIVER_PORT": str(free_port())}


class Server:
    """A server like that of `flowforge dev`: links have its address, and steps may call what the examples are told of, and nothing else here."""

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        allowed = ", ".join(f"127.0.0.1:{each}" for each in PORTS.values())
        self.cluster = Cluster({"flowforge.retry_interval": "200", "flowforge.outbound_allow": f"'{allowed}'", "flowforge.public_url": f"'{self.url}'"})
        atexit.register(self.cluster.remove)
        key = Path(self.cluster.directory, "secret.key")
        key.write_text("7" * 64)
        self.cluster.sql(f"alter system set flowforge.secret_key_file = '{key}'")
        self.cluster.sql("select pg_reload_conf()")
        wait_for(lambda: self.sql("show flowforge.secret_key_file") == str(key), what="the setting is read")
        self.gateway = Gateway(f"postgresql://flowforge_gateway@127.0.0.1:{self.cluster.port}/flowforge", port)
        atexit.register(self.gateway.log.close)
        atexit.register(lambda: self.gateway.process.poll() is None and self.gateway.stop(signal.SIGKILL))

    def sql(self, text: str) -> str:
        return str(self.cluster.sql(text))

    def await_sql(self, text: str, wanted: str = "t") -> None:
        """Waits until a query gives what it should."""
        wait_for(lambda: self.sql(text) == wanted, 30, f"{wanted!r} is what is given by {text}")


_server: Server | None = None


def server() -> Server:
    """The server of all examples."""
    global _server
    if _server is None:
        _server = Server()
    return _server


class Terminal:
    """A command that runs until it is stopped, and what it prints."""

    def __init__(self, command: str, directory: Path, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(["sh", "-c", f"exec {command}"], cwd=directory, env=env, text=True, start_new_session=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.said = Reader(self.process.stdout)
        wait_for(lambda: self.process.poll() is not None or "\n" in self.said.text, 30, f"{command} prints a line")
        assert self.process.poll() is None, f"{command}: {self.said.text}"

    def stop(self, number: int = signal.SIGINT) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        self.process.wait(30)


class Project:
    """One of the examples."""

    def __init__(self, name: str, **env: str) -> None:
        self.directory = EXAMPLES / name
        database = f"postgresql://postgres@127.0.0.1:{server().cluster.port}/flowforge"
        path = [str(ROOT / "sdk/python/.venv/bin"), str(Path(PROGRAM).parent), os.environ["PATH"]]
        ours = {"PATH": ":".join(path), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "FLOWFORGE_URL": server().url, "FLOWFORGE_DATABASE_URL": database}
        self.env = environment(ours | PORTS | env)
        self.terminals: list[Terminal] = []
        readme = (self.directory / "README.md").read_text()
        self.commands = [line for block in re.findall(r"^```sh\n(.*?)^```$", readme, re.M | re.S) for line in block.splitlines()]
        assert self.commands, f"{name} does not say how it is started"

    def run(self, command: str, **env: str) -> str:
        """A command that ends; gives what it printed."""
        done = subprocess.run(["sh", "-c", command], cwd=self.directory, env=self.env | env, text=True, capture_output=True, timeout=240,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def play(self, *words: str) -> list[str]:
        """Runs the commands with one of these words in them, or all of them; gives what each has printed."""
        said = []
        for line in self.commands:
            command = re.sub(r"\s+#.*", "", line)
            if words and not any(word in command for word in words):
                continue
            if OWN_TERMINAL in line:
                self.terminals.append(Terminal(command, self.directory, self.env))
                said.append(self.terminals[-1].said.text)
            else:
                said.append(self.run(command))
        return said

    def stop(self) -> None:
        for terminal in self.terminals:
            terminal.stop()
        self.terminals = []


def began(function: str) -> Any:
    """The latest run of a function: its id."""
    return server().sql(f"select max(run_id::text) from flowforge.runs where function = '{function}'")


def ended(run: str, status: str = "completed") -> str:
    """Waits for the end of a run, which must be this one; gives its output as text."""
    found = server().sql(f"select status || ' ' || coalesce(output, error)::text from ff_wait('{run}', '2 min')")
    assert found.startswith(status + " "), found
    return found.split(" ", 1)[1]
