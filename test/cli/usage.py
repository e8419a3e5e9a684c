"""The command line without a server: help, wrong use, where it finds its settings, servers that are not there or are something else."""
from __future__ import annotations

import os
import re
import socket
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from place import DONE, FAILED, UNREACHABLE, USAGE, flowforge, free_port, in_terminal
from harness import run

COMMANDS = ["dev", "serve", "init", "send", "runs", "functions", "workflows", "approvals", "approve", "reject", "create-admin", "keys", "secrets", "doctor", "completion", "psql", "version", "help"]


def test_version_is_that_of_the_extension(use: Any) -> None:
    control = open(os.path.join(os.path.dirname(__file__), "../../flowforge.control")).read()
    version = re.search(r"default_version = '(.*)'", control)[1]  # type: ignore[index]
    for arguments in (["version"], ["--version"]):
        assert flowforge(*arguments).expect(DONE).out == f"flowforge {version}\n"
    assert flowforge("version", "--json").expect(DONE).json() == {"version": version}


def test_help_is_a_result_and_tells_every_command_and_exit_code(use: Any) -> None:
    for arguments in (["help"], ["--help"], ["-h"]):
        done = flowforge(*arguments).expect(DONE)
        assert done.err == ""
        for command in COMMANDS:
            assert re.search(rf"^  {command}\b", done.out, re.M), command
        assert "Exit codes: 0 done, 1 failed, 2 used wrongly, 3 the server cannot be reached." in done.out


def test_each_command_has_help_that_lists_its_options_in_line(use: Any) -> None:
    for command in [*COMMANDS, "runs list", "runs get", "runs tail", "runs explain", "runs cancel", "runs retry", "runs replay", "runs resume",
                    "functions list", "functions run", "functions pause", "functions resume", "workflows list", "workflows get", "workflows export", "workflows import",
                    "workflows validate", "workflows publish", "workflows diff", "workflows run", "workflows archive", "keys create", "keys list", "keys revoke", "secrets list", "secrets set",
                    "secrets delete", "secrets rotate"]:
        done = flowforge(*command.split(), "--help").expect(DONE)
        assert done.err == "", done.err
        assert done.out.startswith(f"flowforge {command} " if command != "help" else "flowforge runs durable workflows"), done.out
        columns = {len(found[0]) for found in re.finditer(r"^  (?:-\w,|   ) --\S+(?: [A-Z]+)? +", done.out, re.M)}
        assert len(columns) <= 1, f"{command}: {columns}\n{done.out}"
        if " " not in command:
            assert flowforge("help", command).expect(DONE).out == done.out


def test_nothing_at_all_is_wrong_use_that_shows_the_commands(use: Any) -> None:
    done = flowforge().expect(USAGE, "  send NAME", "Exit codes")
    assert done.out == ""


WRONG = {
    "frobnicate": "there is no command frobnicate",
    "-x": "there is no command -x",
    "help frobnicate": "there is no command frobnicate",
    "version now": "unexpected now",
    "version --nope": "version has no option --nope",
    "send": "send needs the event's name",
    "send a b": "send takes one name",
    "send a -d": "--data needs a value: JSON",
    "send a --wait=yes": "--wait takes no value",
    "send a -d {} -f x": "give -d or -f, not both",
    "send a -d [1]": "the data must be a JSON object",
    "send a -d {": "the data is no JSON",
    "send a -d 7": "the data",
    "send a -f /nowhere/x.json": "cannot read /nowhere/x.json: No such file or directory",
    "send a -f /": "cannot read /: Is a directory",
    "send a --db x": "send has no option --db",
    "runs": "runs list, get, tail, explain, cancel, retry, replay or resume?",
    "runs frobnicate": "runs has no command frobnicate",
    "runs list x": "unexpected x",
    "runs list -n 0": "--limit is a number from 1 to 200, not 0",
    "runs list -n 201": "not 201",
    "runs list -n 5x": "not 5x",
    "runs list -n -5": "not -5",
    "runs list -n +5": "not +5",
    "runs list --limit=": "--limit is a number",
    "runs list -n 99999999999999999999": "--limit is a number",
    "runs get": "runs get needs a run's id",
    "runs get a b": "unexpected b",
    "runs tail a b": "unexpected b",
    "doctor x": "unexpected x",
    "doctor --url": "--url needs a value: URL",
    "psql": "which database?",
    "psql --db": "--db needs a value: URL",
    "serve": "which database?",
    "serve x": "unexpected x",
    "serve --db d -p 65536": "65536 is no port",
    "serve --db d -p 80a": "80a is no port",
    "serve --db d -p -1": "-1 is no port",
    "serve --db d --idle-timeout 0": "--idle-timeout is a whole number of seconds from 1 to 86400, not 0",
    "serve --db d --body-timeout 1.5": "not 1.5",
    "dev x": "unexpected x; the app's command goes after --",
    "dev -p 0": "0 is no port",
    "dev -p http": "http is no port",
}


def test_wrong_use_is_exit_code_2_with_a_reason_and_a_hint_and_no_output(use: Any) -> None:
    for words, reason in WRONG.items():
        done = flowforge(*words.split()).expect(USAGE, reason)
        assert done.out == "", words
        assert done.err.startswith("flowforge: ") and "\n  → " in done.err, f"{words}: {done.err}"


def test_variables_are_checked_like_options(use: Any) -> None:
    flowforge("serve", "--db", "d", env={"FLOWFORGE_PORT": "many"}).expect(USAGE, "many is no port")
    flowforge("serve", "--db", "d", env={"FLOWFORGE_HEAD_TIMEOUT": "x"}).expect(USAGE, "--head-timeout is a whole number", "not x")


def test_data_is_read_from_files_and_standard_input_and_bounded(use: Any) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    flowforge("send", "a", "-f", "-", "--url", url, stdin='{"a":1}').expect(UNREACHABLE)
    flowforge("send", "a", "-f", "-", "--url", url, stdin="nonsense").expect(USAGE, "the data is no JSON")
    flowforge("send", "a", "-f", "-", "--url", url, stdin='{"a":1,"a":2}').expect(USAGE, "duplicate object key")
    flowforge("send", "a", "-f", "/dev/zero", "--url", url).expect(USAGE, "File too large")
    for bad in (["a\udcff", "-d", "{}"], ["a", "-i", "\udcff"]):
        flowforge("send", *bad, "--url", url).expect(USAGE, "must be UTF-8")


def test_a_server_that_is_not_there_is_exit_code_3(use: Any) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for words in ("send a", "send a --wait", "runs list", "runs get x", "runs tail", "runs tail x", "runs list --json"):
        done = flowforge(*words.split(), "--url", url).expect(UNREACHABLE, f"cannot reach the server at {url}", "→ `flowforge dev` starts one")
        assert done.out == "", words
    flowforge("runs", "list", "--url", "ftp://127.0.0.1").expect(UNREACHABLE)
    flowforge("runs", "list", "--url", "http://no-such-host.invalid").expect(UNREACHABLE)


def answering(status: int, body: bytes, kind: str = "text/html") -> HTTPServer:
    """A server that gives everybody the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_something_else_that_answers_is_told_from_a_flowforge(use: Any) -> None:
    for status, body, said in ((200, b"<html>hello</html>", "is FLOWFORGE_URL the address of a FlowForge gateway?"),
                               (404, b"not\x1b[31m here", "(404)"), (500, b"", "no explanation (500)")):
        server = answering(status, body)
        for words in ("runs list", "runs get x", "runs tail", "runs tail x", "send a"):
            done = flowforge(*words.split(), "--url", f"http://127.0.0.1:{server.server_port}").expect(FAILED, said)
            assert done.out == "" and "\x1b" not in done.err, f"{words}: {done}"
        server.shutdown()
        server.server_close()


def test_a_server_that_hangs_is_given_up(use: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        flowforge("runs", "list", "--url", f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout=20).expect(UNREACHABLE, "imed out")


def test_settings_come_from_options_then_variables_then_the_file_of_dev_above(use: Any) -> None:
    with tempfile.TemporaryDirectory() as home:
        os.makedirs(f"{home}/.flowforge")
        os.makedirs(f"{home}/deep/er")
        with open(f"{home}/.flowforge/env", "w") as file:
            file.write("FLOWFORGE_URL=http://file.invalid/\nFLOWFORGE_DATABASE_URL=postgresql://file.invalid/x\n")
        deep, variable = f"{home}/deep/er", {"FLOWFORGE_URL": "http://variable.invalid//"}
        flowforge("runs", "list", cwd=deep).expect(UNREACHABLE, "at http://file.invalid:")
        flowforge("runs", "list", cwd=deep, env=variable).expect(UNREACHABLE, "at http://variable.invalid:")
        flowforge("runs", "list", "--url=http://option.invalid", cwd=deep, env=variable).expect(UNREACHABLE, "at http://option.invalid:")
        flowforge("runs", "list", cwd=deep, env={"FLOWFORGE_URL": ""}).expect(UNREACHABLE, "at http://file.invalid:")
        flowforge("psql", "-c", "select 1", cwd=deep).expect(2, "file.invalid")
        flowforge("psql", "--db=postgresql://option.invalid/x", "-c", "select 1", cwd=deep).expect(2, "option.invalid")


def test_what_a_full_disk_takes_no_more_of_is_a_failure(use: Any) -> None:
    for words in ("version", "help", "runs list --help"):
        with open("/dev/full", "w") as full:
            flowforge(*words.split(), stdout=full).expect(FAILED, "cannot write the results: No space left on device")


def test_a_reader_that_has_gone_ends_it_without_a_word(use: Any) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = flowforge("help", stdout=theirs)
    os.close(theirs)
    assert done.code == FAILED and done.err == "", done


def test_styles_are_for_terminals_that_want_them(use: Any) -> None:
    assert "\x1b[" in in_terminal("help").expect(DONE).out
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in in_terminal("help", env=env).expect(DONE).out, env
    assert "\x1b[" in in_terminal("help", env={"NO_COLOR": ""}).out
    assert "\x1b" not in flowforge("help").out


if __name__ == "__main__":
    run(globals())
