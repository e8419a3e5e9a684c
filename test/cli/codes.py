"""Exit codes and --json, of every command there is: 0 done, 1 failed, 2 used wrongly, 3 the server cannot be reached."""
from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from place import DONE, EMPTY, FAILED, UNREACHABLE, USAGE, flowforge, free_port, place
from harness import run

NOBODY = str(uuid.UUID(int=7))


@dataclass
class Command:
    """What a command is tried with: arguments of one that asks a server, of one it does (None: not here), of one the server refuses."""

    asks: str = ""
    done: str | None = None
    failed: str | None = None
    reads: bool = False


COMMANDS = {
    "dev": Command(),
    "serve": Command(),
    "init": Command(),
    "send": Command("a", done="nobody/listens", failed="''"),
    "runs list": Command(done="", failed="--status sleeping", reads=True),
    "runs get": Command(NOBODY, done="RUN", failed=NOBODY, reads=True),
    "runs tail": Command(NOBODY, done="RUN", failed=NOBODY, reads=True),
    "runs explain": Command(NOBODY, done="RUN", failed=NOBODY, reads=True),
    "runs cancel": Command(NOBODY, failed=NOBODY),
    "runs retry": Command(NOBODY, failed=NOBODY),
    "runs replay": Command(NOBODY, done="RUN", failed=NOBODY),
    "runs resume": Command(NOBODY, failed=NOBODY),
    "functions list": Command(done="", reads=True),
    "functions run": Command("a", done="shop-greet", failed="no-such"),
    "functions pause": Command("a", failed="no-such"),
    "functions resume": Command("a", failed="no-such"),
    "workflows list": Command(done="", failed="--status sleeping", reads=True),
    "workflows get": Command("a", done="FLOW", failed="no-such", reads=True),
    "workflows export": Command("a", done="FLOW", failed="no-such"),
    "workflows import": Command("FILE", done="FILE"),
    "workflows validate": Command("a", done="FLOW", failed="no-such", reads=True),
    "workflows publish": Command("a", done="FLOW", failed="no-such"),
    "workflows diff": Command("a", failed="no-such", reads=True),
    "workflows run": Command("a", done="FLOW", failed="no-such"),
    "workflows archive": Command("a", failed="no-such"),
    "approvals": Command(done="", failed="--status asleep", reads=True),
    "approve": Command(NOBODY, failed=NOBODY),
    "reject": Command(NOBODY, failed=NOBODY),
    "create-admin": Command("-e a@example.com -p 0123456789 -n Ada", done="-e codes@example.com -p 0123456789 -n Ada",
                            failed="-e nobody -p 0123456789 -n Ada"),
    "keys create": Command("--scope runs:read", done="--scope runs:read", failed="--scope everything:at-once"),
    "keys list": Command(done="", reads=True),
    "keys revoke": Command("nobody", failed="nobody"),
    "secrets list": Command(done="", reads=True),
    "secrets set": Command("a"),
    "secrets delete": Command("a", failed="NONE"),
    "secrets rotate": Command(),
    "doctor": Command(done="", reads=True),
    "completion": Command(),
    "psql": Command(),
    "version": Command(done="", reads=True),
}
# They say themselves what they found, read their standard input first (secrets.py), or are another program.
OTHERWISE = {"dev", "serve", "init", "secrets set", "doctor", "completion", "psql", "version"}


def options(command: str) -> set[str]:
    return set(re.findall(r"^  (?:-\w,|   ) --(\S+)", flowforge(*command.split(), "--help").expect(DONE).out, re.M))


def words(text: str, **put: str) -> list[str]:
    return ["" if word == "''" else put.get(word, word) for word in text.split()]


def document() -> str:
    """A workflow in a file."""
    path = f"{EMPTY}/workflow.json"
    with open(path, "w") as file:
        json.dump({"name": "codes", "nodes": [{"id": "a", "type": "transform", "data": {"config": {"mapping": {"x": 1}}}}], "edges": []}, file)
    return path


def test_the_table_has_every_command(use: Any) -> None:
    manual = flowforge("help", "--man").expect(DONE).out.replace("\\-", "-")
    assert set(re.findall(r'^\.SS "flowforge (.*)"', manual, re.M)) == set(COMMANDS)


def test_help_is_done_and_unknown_options_are_wrong_use(use: Any) -> None:
    for command in COMMANDS:
        flowforge(*command.split(), "--help").expect(DONE)
        if command != "psql":
            done = flowforge(*command.split(), "--no-such-option").expect(USAGE, "has no option --no-such-option", f"flowforge {command} --help")
            assert done.out == "", command


def test_every_command_that_reads_gives_json(use: Any) -> None:
    assert {command for command, how in COMMANDS.items() if how.reads} == {
        command for command, how in COMMANDS.items() if how.reads and "json" in options(command)}


def test_a_server_that_is_not_there_is_exit_code_3_of_every_command_that_asks_one(use: Any) -> None:
    gateway, database = f"http://127.0.0.1:{free_port()}", f"postgresql://127.0.0.1:{free_port()}/x"
    for command, how in COMMANDS.items():
        if command in OTHERWISE:
            continue
        known = options(command)
        assert ("url" in known) != ("db" in known), command
        where = ["--url", gateway] if "url" in known else ["--db", database]
        for more in ([], ["--json"]) if "json" in known else ([],):
            done = flowforge(*command.split(), *words(how.asks, FILE=document()), *where, *more).expect(UNREACHABLE, "→ ")
            assert done.out == "", (command, done)


def test_what_a_server_does_is_exit_code_0_and_json_when_it_is_asked_for(use: Any) -> None:
    run_id = place().send("shop/greet")
    place().ended(run_id)
    place().run("workflows", "import", document(), "-n", "flow", "--publish").expect(DONE)
    for command, how in COMMANDS.items():
        if how.done is None:
            continue
        if command == "workflows publish":  # there must be something to publish
            place().run("workflows", "import", document(), "-n", "unpublished").expect(DONE)
        flow = "unpublished" if command == "workflows publish" else "flow"
        more = ["--json"] if "json" in options(command) else []
        done = place().run(*command.split(), *words(how.done, RUN=run_id, FLOW=flow, FILE=document()), *more).expect(DONE)
        assert done.err == "", (command, done)
        if command == "workflows export":
            done.json()
        else:
            assert done.lines(), (command, done)


def test_what_a_server_refuses_is_exit_code_1_with_the_reason(use: Any) -> None:
    for command, how in COMMANDS.items():
        if how.failed is None:
            continue
        for more in ([], ["--json"]) if "json" in options(command) else ([],):
            done = place().run(*command.split(), *words(how.failed), *more).expect(FAILED)
            assert done.err.startswith("flowforge: "), (command, done)


def test_too_many_and_too_few_words_are_wrong_use(use: Any) -> None:
    for command, how in COMMANDS.items():
        many = "psql" != command and not re.search(r"\.\.\.|\[REASON\]", flowforge(*command.split(), "--help").out.splitlines()[0])
        if many:
            flowforge(*command.split(), *"a b c d e f".split()).expect(USAGE)
        if how.asks and not how.asks.startswith("-") and command != "runs tail":
            flowforge(*command.split()).expect(USAGE)


if __name__ == "__main__":
    run(globals())
