"""What walk.py lets pass and what it does not: each rule of page.py on a page that keeps it and on one that breaks it."""
from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

from walk import walk  # first: it makes the others known
from harness import run  # noqa: E402

ID, OTHER = "01a1fc10-2562-73c2-ab12-6429cf822841", "01a1fc10-9b1e-7d07-a2f5-0d2f39d9c1b2"


def follow(page: str) -> tuple[bool, str]:
    """Whether a page can be followed and shows what it says, and what is reported."""
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as home, contextlib.redirect_stdout(said):
        path = Path(home, "page.md")
        path.write_text(page)
        _, well = walk(path, 0)
    return well, said.getvalue()


def passes(page: str) -> None:
    well, said = follow(page)
    assert well and "not ok" not in said, said


def fails(page: str, why: str) -> None:
    well, said = follow(page)
    assert not well and "not ok" in said and why in said, said


def fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n\n"


def test_what_is_shown_must_be_what_is_printed(use: Any) -> None:
    passes(fence("sh", "echo 'one   two'; echo three") + fence("text", "one two\nthree"))
    fails(fence("sh", "echo one; echo three") + fence("text", "one\ntwo"), "it shows:")
    fails(fence("sh", "echo one; echo two") + fence("text", "one"), "it shows:")
    fails(fence("sh", "echo one") + fence("text", "one\ntwo"), "it shows:")


def test_dots_stand_for_anything_in_a_line_or_for_lines(use: Any) -> None:
    passes(fence("sh", "seq 9; echo end") + fence("text", "1\n…\n9\ne…"))
    fails(fence("sh", "seq 9; echo end") + fence("text", "2\n…\nend"), "it shows:")


def test_times_durations_and_rules_may_be_others_and_numbers_may_not(use: Any) -> None:
    shown = fence("text", "2026-01-02 03:04:05.678+00 12 ms 1 min 2 s 00:00:01 7\n----+---")
    passes(fence("sh", "echo '2031-12-31 23:59:59+00 3.5 s 4 h 00:10:01.5 7'; echo '--------+--'") + shown)
    fails(fence("sh", "echo '2031-12-31 23:59:59+00 3.5 s 4 h 00:10:01.5 8'; echo '--------+--'") + shown, "it shows:")


def test_releases_of_the_system_s_packages_may_be_others(use: Any) -> None:
    passes(fence("sh", "echo 'PostgreSQL 15.20, pg_cron 1.4-1'") + fence("text", "PostgreSQL 15.18, pg_cron 1.6-2"))
    fails(fence("sh", "echo 'PostgreSQL fifteen'") + fence("text", "PostgreSQL 15.18"), "and not")


def test_an_id_means_the_same_wherever_the_page_has_it(use: Any) -> None:
    made = fence("sh", "id=$(cat /proc/sys/kernel/random/uuid); echo $id") + fence("text", ID)
    passes(made + fence("sh", f"[ {ID} = $id ] && echo $id") + fence("text", ID))
    fails(made + fence("sh", "cat /proc/sys/kernel/random/uuid") + fence("text", ID), "before and is")
    fails(made + fence("sh", "echo $id") + fence("text", OTHER), "are both")
    fails(fence("sh", f"echo {ID}"), "is shown nowhere before")


def test_a_command_must_end_as_the_page_says(use: Any) -> None:
    fails(fence("sh", "false\ntrue"), "exit code 1, not 0")
    fails(fence("sh", "no-such-program"), "exit code 127, not 0")
    passes("<!-- test: exit 3 -->\n" + fence("sh", "sh -c 'exit 3'"))
    fails("<!-- test: exit 3 -->\n" + fence("sh", "true"), "exit code 0, not 3")


def test_a_shell_keeps_its_directory_and_files_are_put_there(use: Any) -> None:
    passes(fence("sh", "mkdir a && cd a") + fence("python", "# b.py\nprint('hello')") + fence("sh", "python3 ~/a/b.py") + fence("text", "hello"))


def test_what_is_left_running_shows_more_and_more_and_ends_at_Ctrl_C(use: Any) -> None:
    server = "<!-- test: in terminal server -->\n"
    passes(server + fence("sh", "trap 'echo bye; exit 0' INT; echo up; until [ -e go ]; do sleep 0.05; done; echo gone; while :; do sleep 0.05; done")
           + fence("text", "up") + fence("sh", "touch go") + server + fence("text", "gone"))
    fails(server + fence("sh", "echo up; exit 4") + fence("text", "up\nmore"), "it shows:")
    fails(server + fence("text", "up"), "nothing was typed into the terminal server")


def test_what_takes_a_moment_is_looked_at_again(use: Any) -> None:
    begun = "<!-- test: in terminal slow -->\n" + fence("sh", "sleep 0.5; touch there")
    passes(begun + "<!-- test: again until it shows this -->\n" + fence("sh", "ls") + fence("text", "flowforge\nthere"))


def test_whatever_is_not_understood_fails(use: Any) -> None:
    good = fence("sh", "true")
    passes(good + "<!-- test: skip because it cannot -->\n" + fence("sh", "false") + fence("json", "{}") + "<!-- a comment -->\n")
    fails(good + "<!-- test: skip -->\n" + good, "a skip needs a reason")
    fails(good + "<!-- test: skip because  -->\n" + good, "a skip needs a reason")
    fails(good + "<!-- test:skip because x -->\n" + good, "a skip needs a reason")
    fails(good + fence("python", "print(1)"), "does not say which file")
    fails(good + "<!-- test: exit 1 -->\n" + fence("json", "{}"), "nobody follows")
    fails(good + "<!-- test: exit 1 -->\n", "no fence follows")
    fails(fence("text", "what"), "what shows this?")
    fails(fence("json", "{}"), "nothing to do")


if __name__ == "__main__":
    run(globals())
