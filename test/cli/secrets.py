"""flowforge secrets: values come from standard input, and nobody gets them back."""
from __future__ import annotations

import os
import pty
import shutil
import tempfile
from pathlib import Path
from typing import Any

from place import DONE, FAILED, UNREACHABLE, USAGE, PROGRAM, Result, environment, flowforge, free_port
from harness import Cluster, run

VALUE = "a value nobody reads"


class Vault:
    """A server with a key for secrets."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="flowforge-key-", dir="/tmp"))
        self.directory.chmod(0o755)
        (self.directory / "key").write_text("7" * 64)
        (self.directory / "key").chmod(0o644)
        self.cluster = Cluster({"flowforge.secret_key_file": f"'{self.directory}/key'"})
        self.env = {"FLOWFORGE_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{self.cluster.port}/flowforge"}

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        return flowforge("secrets", *arguments, env=self.env, stdin=stdin)

    def stop(self) -> None:
        self.cluster.remove()
        shutil.rmtree(self.directory)


def test_a_secret_is_set_from_standard_input_listed_and_deleted(use: Any) -> None:
    vault = use(Vault())
    assert vault.run("list").expect(DONE).out == ""
    assert vault.run("set", "API_KEY", stdin=VALUE + "\n").expect(DONE).out == "API_KEY  created\n"
    assert vault.run("set", "API_KEY", "--json", stdin=VALUE).expect(DONE).json() == {"name": "API_KEY", "version": 2, "result": "changed"}
    assert vault.cluster.sql("select octet_length(sealed) - 29 from flowforge.secret") == str(len(VALUE)), "the line's end is not part of it"
    listed = vault.run("list", "--json").expect(DONE)
    assert [one["name"] for one in listed.json()] == ["API_KEY"] and VALUE not in listed.out
    assert vault.run("list").expect(DONE).out.startswith("API_KEY  20")
    assert vault.run("rotate").expect(DONE).out == "0\n"
    assert vault.run("delete", "API_KEY").expect(DONE).out == "API_KEY  deleted\n"
    vault.run("delete", "API_KEY").expect(FAILED, "there is no secret", "flowforge.secrets lists them")
    vault.run("set", "a-b", stdin=VALUE).expect(FAILED, "a secret cannot be stored so", "letters, digits and _")
    vault.run("set", "API_KEY", stdin="short").expect(FAILED, "fewer than 6 bytes")


def test_a_value_typed_at_a_terminal_is_not_shown(use: Any) -> None:
    vault = use(Vault())
    child, terminal = pty.fork()
    if child == 0:
        os.execve(PROGRAM, [PROGRAM, "secrets", "set", "TYPED"], environment(vault.env))
    shown = b""
    while b"Value: " not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, VALUE.encode() + b"\n")
    try:
        while piece := os.read(terminal, 1000):
            shown += piece
    except OSError:  # the terminal has no other end any more
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == DONE, shown
    assert VALUE.encode() not in shown and b"TYPED  created" in shown, shown


def test_what_is_no_value_is_told_before_anybody_is_asked(use: Any) -> None:
    nowhere = {"FLOWFORGE_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{free_port()}/x"}
    flowforge("secrets", "set", stdin=VALUE).expect(USAGE, "needs a name")
    flowforge("secrets", "set", "NAME", VALUE, stdin="").expect(USAGE, "standard input, not from here")
    flowforge("secrets", "set", "NAME", stdin="", env=nowhere).expect(USAGE, "standard input has no value")
    flowforge("secrets", "set", "NAME", stdin="x" * 65537, env=nowhere).expect(USAGE, "too long")
    flowforge("secrets", "set", "NAME", stdin="a\0byte", env=nowhere).expect(USAGE, "byte 0")
    flowforge("secrets", "set", "NAME", stdin=VALUE, env=nowhere).expect(UNREACHABLE, "no connection")
    flowforge("secrets", "delete").expect(USAGE, "needs names")


if __name__ == "__main__":
    run(globals())
