"""Follows pages as a newcomer would, and compares what they show with what is to be seen: walk.py PAGE...

Each page has a home of its own with nothing in it but ~/flowforge, the repository, and is followed from its first fence to its last; page.py
says what a page may say. Four things are not as they would be for its reader: ports that a page names are free ones; npm takes packages of
the repository's lock files from where they are installed; psql and shells are no terminals, so nothing has colours; and it goes faster.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test/cli"))
from page import ID, MAIN, Part, PageError, bind, even, parts_of, pattern  # noqa: E402
from place import PROGRAM, environment, free_port  # noqa: E402
from terminal import PATIENCE, Psql, Shell, Terminal  # noqa: E402

PORTS = ("8288", "3000", "3001")  # those that pages name
LOCKED = ROOT / "examples/orders-typescript/node_modules"
COPIED = ("scripts", "sdk")  # of the repository; what pages do there must not be done to the others who test
SECONDS = 60  # for a fence, on a machine that has nothing else to do

NPM = r"""#!/bin/sh
# What pages install: packages of the repository's lock files are linked, for a page must not depend on what was published today.
set -eu
[ "$*" = ci ] && [ -d node_modules ] && exit 0
[ "$1" = install ] || exec @npm@ "$@"
shift
for package; do
	case $package in
		-*) ;;
		*/*.tgz) @npm@ install --no-audit --no-fund "$package" ;;
		*) [ -d "@locked@/$package" ] || { echo "$package is in no lock file" >&2; exit 1; } ;;
	esac
done
mkdir -p node_modules/.bin
for package; do
	if [ -d "@locked@/$package" ]; then
		mkdir -p "node_modules/$(dirname "$package")"
		ln -sfn "@locked@/$package" "node_modules/$package"
		[ ! -e "@locked@/.bin/$package" ] || ln -sf "@locked@/.bin/$package" node_modules/.bin/
	fi
done
"""


class Walk:
    """One page being followed. `ids` are those of the page and what they are here."""

    def __init__(self) -> None:
        self.home = tempfile.mkdtemp(prefix="flowforge-page-", dir="/tmp")
        os.chmod(self.home, 0o755)  # the servers of `flowforge dev` are not root's
        self.scratch = f"{self.home}/.typed"
        self.ids: dict[str, str] = {}
        self.ports = {port: str(free_port()) for port in PORTS}
        self.terminals: dict[str, Terminal] = {}
        self.last: Terminal | None = None
        self.make_home()
        self.env = environment({"HOME": self.home, "PATH": f"{self.home}/.bin:{Path(PROGRAM).parent}:{os.environ['PATH']}", "TERM": "dumb",
                                "LC_ALL": "C.UTF-8", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "npm_config_update_notifier": "false",
                                "npm_config_loglevel": "error"})

    def make_home(self) -> None:
        home, npm = Path(self.home), shutil.which("npm")
        for path in (self.scratch, home / ".bin", home / "flowforge"):
            Path(path).mkdir()
        (home / ".bin/npm").write_text(NPM.replace("@npm@", npm or "npm").replace("@locked@", str(LOCKED)))
        (home / ".bin/npm").chmod(0o755)
        for path in ROOT.iterdir():
            if path.name in COPIED:
                shutil.copytree(path, home / "flowforge" / path.name, ignore=shutil.ignore_patterns("node_modules", ".venv", "build", "dist", "*.egg-info"))
            elif not path.name.startswith("."):
                (home / "flowforge" / path.name).symlink_to(path)
        (home / "flowforge/sdk/typescript/node_modules").symlink_to(ROOT / "sdk/typescript/node_modules")

    # ---- from the page's words to ours, and back ----

    def real(self, text: str) -> str:
        """What is typed or written where the page has this."""
        for named in re.findall(ID, text):
            if named not in self.ids:
                raise PageError(f"{named} is shown nowhere before")
            text = text.replace(named, self.ids[named])
        text = re.sub(rf"(?<=[:=(])({'|'.join(PORTS)})\b", lambda found: self.ports[found[1]], text)
        return re.sub(r"\bflowforge dev\b(?! -p)", f"flowforge dev -p {self.ports['8288']}", text)

    def told(self, text: str) -> str:
        """What is printed, with the page's ports."""
        for port, ours in self.ports.items():
            text = re.sub(rf"\b{ours}\b", port, text)
        return text

    # ---- following ----

    def terminal(self, part: Part) -> Terminal:
        name = "psql" if part.what == "sql" else part.terminal
        there = self.terminals.get(name)
        if there is None and part.what in {"text", "interrupt"}:
            raise PageError(f"nothing was typed into the terminal {name}")
        if there is None:
            there = Psql(self.directory(), self.env) if part.what == "sql" else Shell(self.directory(), self.env, self.scratch)
            self.terminals[name] = there
        return there

    def directory(self) -> str:
        """Where the reader is: a new terminal is opened there."""
        found = self.terminals[MAIN].done() if MAIN in self.terminals else None
        return found[2] if found else self.home

    def follow(self, part: Part) -> None:
        if part.what == "file":
            path = Path(self.directory(), part.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.real(part.text))
        elif part.what == "text":
            self.watch(self.terminal(part), part.text)
        elif part.what == "interrupt":
            self.interrupt(part)
        elif part.terminal != MAIN:
            self.leave_running(part)
        else:
            self.do(part)

    def leave_running(self, part: Part) -> None:
        terminal = self.terminal(part)
        self.must_have_ended(terminal)
        terminal.type(self.real(part.text))
        if part.shows is not None:
            self.watch(terminal, part.shows)

    def do(self, part: Part) -> None:
        terminal = self.terminal(part)
        deadline = time.monotonic() + SECONDS * PATIENCE
        while True:
            terminal.type(self.real(part.text))
            if not terminal.wait(SECONDS):
                raise PageError(f"it does not end:\n{terminal.output()}")
            wrong = self.compare(part, terminal)
            if wrong is None or not part.again or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if wrong is not None:
            raise PageError(wrong)

    def compare(self, part: Part, terminal: Terminal) -> str | None:
        """What is wrong with what was typed, if anything is."""
        output, done = even(self.told(terminal.output())), terminal.done()
        assert done is not None
        if int(done[1]) != part.code:
            return f"exit code {done[1]}, not {part.code}:\n{output}"
        if part.what == "sql" and re.search(r"^(?:psql:.*: )?ERROR:", output, re.M) and "ERROR:" not in (part.shows or ""):
            return f"an error:\n{output}"
        if part.shows is None:
            return None
        shown, ids = pattern(part.shows)
        found = shown.fullmatch(output)
        return bind(ids, found, self.ids) if found else f"it shows:\n{output}and not:\n{even(part.shows)}"

    def watch(self, terminal: Terminal, shows: str) -> None:
        """Waits until a terminal shows this, after what it has shown before."""
        shown, ids = pattern(shows)
        deadline = time.monotonic() + SECONDS * PATIENCE
        while True:
            over = terminal.done() is not None or terminal.process.poll() is not None or time.monotonic() > deadline
            raw = terminal.unseen()
            lines = raw.lstrip("\n").splitlines(keepends=True)
            text = self.told("".join(line.strip() + "\n" for line in lines))
            if found := shown.match(text):
                if wrong := bind(ids, found, self.ids):
                    raise PageError(wrong)
                terminal.seen += len(raw) - len("".join(lines[found[0].count("\n"):]))
                return
            if over:
                raise PageError(f"it shows:\n{text}and not:\n{even(shows)}")
            time.sleep(0.05)

    def interrupt(self, part: Part) -> None:
        """Ctrl-C: what runs there ends, by itself or by the signal."""
        terminal = self.terminal(part)
        terminal.interrupt()
        if not terminal.ended(SECONDS):
            raise PageError(f"it does not end:\n{terminal.output()}")
        done = terminal.done()
        if done and done[1] not in {"0", "130"}:
            raise PageError(f"it ends with exit code {done[1]}:\n{terminal.output()}")
        del self.terminals[part.terminal]

    def must_have_ended(self, terminal: Terminal) -> None:
        """What was typed into a terminal before must be over, and well."""
        if terminal.typed == 0:
            return
        if not terminal.wait(SECONDS):
            raise PageError(f"what was typed there before does not end:\n{terminal.output()}")
        done = terminal.done()
        assert done is not None
        if done[1] != "0":
            raise PageError(f"what was typed there before ended with exit code {done[1]}:\n{terminal.output()}")

    # ---- the end ----

    def close(self) -> list[str]:
        """Ctrl-C in every terminal, the one opened last first; gives what did not end well."""
        wrong = []
        for name, terminal in reversed(self.terminals.items()):
            done = terminal.done()
            if done and done[1] != "0" and name != MAIN:
                wrong.append(f"the terminal {name}: exit code {done[1]}\n{terminal.output()}")
            terminal.interrupt()
            if not terminal.ended(SECONDS):
                wrong.append(f"the terminal {name} does not end at Ctrl-C:\n{terminal.text[-4000:]}")
        return wrong

    def logs(self) -> str:
        """The ends of the logs of the servers it started."""
        files = [file for where in Path(self.home).glob("**/.flowforge") for file in where.resolve().glob("log/*.log")]
        return "".join(f"--- {file.name}\n" + "".join(file.read_text(errors="replace").splitlines(keepends=True)[-25:]) for file in files)

    def remove(self) -> None:
        for link in Path(self.home).glob("**/.flowforge"):
            if link.is_symlink():
                shutil.rmtree(os.readlink(link), ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)


def report(number: int, well: bool, title: str, why: str = "") -> None:
    print(f"{'ok' if well else 'not ok'} {number} - {title}", flush=True)
    for line in why.splitlines():
        print(f"# {line}", flush=True)


def walk(page: Path, number: int) -> tuple[int, bool]:
    """Follows a page, with a line of TAP for each part; after one that fails there is nothing to go on with."""
    title = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
    number += 1
    try:
        parts = parts_of(page)
        if not any(part for part in parts if not part.skipped):
            raise PageError("there is nothing to do on it")
    except PageError as error:
        report(number, False, f"{title} can be followed", str(error))
        return number, False
    report(number, True, f"{title} can be followed")
    here, well = Walk(), True
    try:
        for part in parts:
            number += 1
            name = f"{title}:{part.line} {part.file or part.what}"
            began = time.monotonic()
            if part.skipped:
                report(number, True, f"{name} # SKIP {part.skipped}")
                continue
            try:
                here.follow(part)
                report(number, True, f"{name} # {time.monotonic() - began:.1f} s")
            except (PageError, OSError) as error:
                report(number, False, name, f"{error}\n{here.logs()}")
                well = False
                break
    finally:
        wrong = here.close()
        here.remove()
    number += 1
    report(number, not wrong, f"{title}: what was started ends at Ctrl-C", "\n".join(wrong))
    return number, well and not wrong


def main() -> int:
    number, well = 0, True
    for page in sys.argv[1:]:
        number, one = walk(Path(page).resolve(), number)
        well = well and one
    print(f"1..{number}", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
