"""The terminals a page is followed in: shells that keep their directory and variables, and psql.

What is typed ends with a mark of ours, which tells when it is done, how, and in which directory the shell is then.
"""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tap"))
from harness import PATIENCE  # noqa: E402

MARK = "\x1emark"  # no program prints this


class Terminal:
    """A program that is typed to. `text` is all it has printed, `seen` how much of that a page has shown."""

    def __init__(self, command: list[str], directory: str, env: dict[str, str]) -> None:
        self.text, self.seen, self.typed, self.began = "", 0, 0, 0
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=directory,
                                        env=env, start_new_session=True, encoding="utf-8")
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 65536):
            self.text += data.decode("utf-8", "replace")

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.typed += 1
        self.seen = self.began = len(self.text)
        self.process.stdin.write(self.framed(text))
        self.process.stdin.flush()

    def framed(self, text: str) -> str:
        raise NotImplementedError

    def done(self) -> re.Match[str] | None:
        """Whether what was typed last has ended: its exit code (1), and the directory (2)."""
        return re.search(rf"{MARK} {self.typed} (\S+) (.*)\n", self.text)

    def wait(self, seconds: float) -> bool:
        """Waits until what was typed last has ended, or the program."""
        deadline = time.monotonic() + seconds * PATIENCE
        while not self.done() and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.done() is not None

    def output(self) -> str:
        """What that which was typed last has printed."""
        found = self.done()
        return self.text[self.began:found.start() if found else None]

    def unseen(self) -> str:
        found = self.done()
        text = self.text[self.seen:found.start() if found else None]
        return text if found else text[:text.rfind("\n") + 1]

    def interrupt(self) -> None:
        """Ctrl-C, and no more will be typed."""
        assert self.process.stdin is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def ended(self, seconds: float) -> bool:
        """Waits for the program's end; what has not ended then is killed, with all it started."""
        try:
            self.process.wait(seconds * PATIENCE)
            return True
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return False


class Shell(Terminal):
    """A shell; its exit code is that of the first command that failed."""

    def __init__(self, directory: str, env: dict[str, str], scratch: str) -> None:
        self.scratch = scratch
        super().__init__(["bash", "--noprofile", "--norc"], directory, env)

    def framed(self, text: str) -> str:
        script = f"{self.scratch}/{id(self)}-{self.typed}.sh"
        Path(script).write_text(text)
        return (f"failed=0; trap 'failed=$?' ERR; . {script} </dev/null; last=$?; trap - ERR; [ $failed = 0 ] && failed=$last; "
                f"printf '%s %s %s %s\\n' '{MARK}' {self.typed} $failed \"$PWD\"\n")


class Psql(Terminal):
    """psql on the page's server."""

    def __init__(self, directory: str, env: dict[str, str]) -> None:
        super().__init__(["flowforge", "psql"], directory, env)

    def framed(self, text: str) -> str:
        return f"{text}\n\\echo '{MARK}' {self.typed} 0 .\n"
