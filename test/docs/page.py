"""A page as a newcomer follows it: what to type, what to put into files, and what is shown then.

A fence in `sh` is typed into a shell, one in `sql` into psql. One in another language whose first line is a comment with a file's name
(`# app.py`) is put into that file. A fence in `text` is what the one before it shows: ids, times, durations and runs of blanks may be others,
and `…` stands for anything, alone on a line for any lines. An id means the same wherever the page has it.

What the text around a fence says in words, a comment that no reader sees says to the test:

    <!-- test: skip because REASON -->       the fence is not followed
    <!-- test: in terminal NAME -->          sh: typed there, and not waited for; text: what that terminal shows next
    <!-- test: type in NAME: COMMAND -->     a command the page only speaks of, typed into that terminal
    <!-- test: until NAME shows: TEXT -->    the reader goes on when that terminal has shown a line with TEXT
    <!-- test: Ctrl-C in NAME -->            typed there, and what runs there ends well
    <!-- test: exit 1 -->                    what is typed ends with this code
    <!-- test: again until it shows this --> what takes a moment is looked at again until it shows what the page has
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

TYPED = {"sh", "bash", "sql"}
WRITTEN = {"python", "py", "ts", "js", "typescript", "javascript"}
MAIN = "main"  # the terminal of fences that name none

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>(?:.*\n)*?)^```$|^<!-- test: (?P<note>.*?) -->$|^<!-- test.*$", re.M)
NAMED = re.compile(r"(?:#|//|--) ([\w./-]+\.\w+)\n")
ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
ULID = r"\b[0-9][0-9A-HJKMNP-TV-Z]{25}\b"


class PageError(Exception):
    """A page that cannot be followed as it is written."""


@dataclass
class Part:
    """Something to do, and what it shows. `what` is sh, sql, file, text (more of what a terminal shows) or interrupt."""

    line: int
    what: str
    text: str
    terminal: str = MAIN
    file: str = ""
    code: int = 0
    again: bool = False
    skipped: str = ""
    shows: str | None = None


@dataclass
class Notes:
    """What comments have said of the next fence."""

    skipped: str = ""
    terminal: str = MAIN
    code: int = 0
    again: bool = False
    said: list[str] = field(default_factory=list)

    def hear(self, note: str) -> None:
        self.said.append(note)
        if found := re.fullmatch(r"skip because (\S.*)", note):
            self.skipped = found[1]
        elif found := re.fullmatch(r"in terminal (\w+)", note):
            self.terminal = found[1]
        elif found := re.fullmatch(r"exit (\d+)", note):
            self.code = int(found[1])
        elif note == "again until it shows this":
            self.again = True
        else:
            raise PageError(f"what does {note!r} mean? (a skip needs a reason)")


def parts_of(page: Path) -> list[Part]:
    """What there is to do on a page, in order."""
    parts: list[Part] = []
    source = page.read_text()
    for part in read(source, page):
        if part.what == "text" and part.terminal == MAIN and not part.skipped:
            if not parts or parts[-1].shows is not None or parts[-1].what in {"file", "interrupt"}:
                raise PageError(f"{page.name}:{part.line}: what shows this?")
            parts[-1].shows = part.text
        else:
            parts.append(part)
    return parts


def read(source: str, page: Path) -> Iterator[Part]:
    """Every fence that says something to do or to be seen, and every command in a comment."""
    notes = Notes()
    for found in FENCE.finditer(source):
        line = source.count("\n", 0, found.start()) + 1
        try:
            if found["language"] is not None:
                yield from fence(line, found["language"], found["text"], notes)
                notes = Notes()
            elif typed := re.fullmatch(r"type in (\w+): (.*)", found["note"] or ""):
                yield Part(line, "sh", typed[2] + "\n", terminal=typed[1])
            elif awaited := re.fullmatch(r"until (\w+) shows: (.*)", found["note"] or ""):
                yield Part(line, "text", f"…\n…{awaited[2]}…\n", terminal=awaited[1])
            elif stopped := re.fullmatch(r"Ctrl-C in (\w+)", found["note"] or ""):
                yield Part(line, "interrupt", "", terminal=stopped[1])
            else:
                notes.hear(found["note"] or found[0])
        except PageError as error:
            raise PageError(f"{page.name}:{line}: {error}") from None
    if notes.said:
        raise PageError(f"{page.name}: no fence follows {notes.said}")


def fence(line: int, language: str, text: str, notes: Notes) -> Iterator[Part]:
    named = NAMED.match(text)
    part = Part(line, language, text, notes.terminal, code=notes.code, again=notes.again, skipped=notes.skipped)
    if named and language not in {"sh", "bash"}:
        part.what, part.file = "file", named[1]
    elif language in WRITTEN and not part.skipped:
        raise PageError(f"its first line does not say which file this {language} is for")
    elif language in TYPED:
        part.what = "sql" if language == "sql" else "sh"
    elif language != "text":
        if notes.said:
            raise PageError(f"nobody follows a fence in {language or 'no language'}, whatever a comment says of it")
        return  # something to look at
    yield part


# ---- what is shown ----

ANYTHING = re.compile("|".join([
    rf"(?P<id>{ID}|{ULID})",
    r"(?P<time>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)?)",
    r"(?P<clock>\b\d\d:\d\d:\d\d(?:\.\d+)?)",
    r"(?P<duration>\b\d+(?:\.\d+)? (?:ms|s|min|h|d)\b(?: \d+ (?:s|min|h)\b)?)",
    r"(?P<release>\b(?:PostgreSQL|pg_cron)[ \t]+\d[\d.-]*\d)",
    r"(?P<rule>-{3,}(?:\+-+)*)",
    r"(?P<lines>^[ \t]*…[ \t]*\n)",
    r"(?P<rest>…)",
    r"(?P<blank>[ \t]+)"]), re.M)

STANDS_FOR = {
    "time": r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)?",
    "clock": r"\d\d:\d\d:\d\d(?:\.\d+)?",
    "duration": r"\d+(?:\.\d+)? (?:ms|s|min|h|d)\b(?: \d+ (?:s|min|h)\b)?",
    "release": r"(?:PostgreSQL|pg_cron)[ \t]+\d[\d.-]*\d",
    "rule": r"-+(?:\+-+)*",
    "lines": r"(?:.*\n)*?",
    "rest": r".*?",
    "blank": r"[ \t]+",
}


def even(text: str) -> str:
    """Without what is not seen: blanks at the ends of lines, empty lines at the ends of the text."""
    return "".join(line.strip() + "\n" for line in text.strip().splitlines())


def pattern(shown: str) -> tuple[re.Pattern[str], list[str]]:
    """What a page shows as a pattern, and the ids that its groups are."""
    made, at, ids = "", 0, []
    shown = even(shown)
    for found in ANYTHING.finditer(shown):
        made += re.escape(shown[at:found.start()])
        kind = str(found.lastgroup)
        if kind == "id":
            ids.append(found[0])
            made += f"({ULID if len(found[0]) == 26 else ID})"
        else:
            made += STANDS_FOR[kind]
        at = found.end()
    return re.compile(made + re.escape(shown[at:])), ids


def bind(ids: list[str], found: re.Match[str], known: dict[str, str]) -> str | None:
    """Takes in which id of the page is which here; says what is wrong if one is another already."""
    for named, real in zip(ids, found.groups()):
        if known.setdefault(named, real) != real:
            return f"the page's {named} was {known[named]} before and is {real} now"
        if also := [other for other in known if known[other] == real and other != named]:
            return f"the page's {named} and {also[0]} are both {real}"
    return None
