"""What shells complete, and the manual page: made from the tables of the help."""
from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from place import DONE, EMPTY, USAGE, flowforge
from harness import run


def commands() -> list[str]:
    """The first words of the help."""
    return sorted(set(re.findall(r"^  ([a-z-]+) ", flowforge("help").expect(DONE).out, re.M)) - {"help"})


def options_of(*command: str) -> set[str]:
    return set(re.findall(r"^  (?:-\w,|   ) (--\S+)", flowforge(*command, "--help").expect(DONE).out, re.M))


def bash(*line: str) -> set[str]:
    """What bash offers for the last word of a line."""
    words = " ".join(f"'{word}'" for word in ("flowforge", *line))
    script = f'{flowforge("completion", "bash").expect(DONE).out}\nCOMP_WORDS=({words}); COMP_CWORD={len(line)}; _flowforge; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "--norc", "-eu"], input=script, text=True, capture_output=True, cwd=EMPTY, timeout=30)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return set(done.stdout.split())


def test_bash_completes_commands_those_below_them_and_their_options(use: Any) -> None:
    assert bash("") == set(commands())
    assert bash("do") == {"doctor"}
    assert bash("runs", "") == {"list", "get", "tail", "explain", "cancel", "retry", "replay", "resume"}
    assert bash("runs", "re") == {"retry", "replay", "resume"}
    for command in (["send"], ["serve"], ["runs", "list"], ["workflows", "import"], ["keys", "create"]):
        assert bash(*command, "--") == options_of(*command) | {"--help"}, command
    assert bash("runs", "list", "--json", "--st") == {"--status"}
    assert bash("send", "shop/order", "--wa") == {"--wait"}


def test_bash_completes_files_where_an_option_takes_one_and_nothing_where_it_takes_another_value(use: Any) -> None:
    Path(EMPTY, "data.json").touch()
    assert "data.json" in bash("send", "a", "--file", "da") and "data.json" in bash("send", "a", "-f", "da")
    assert bash("runs", "list", "--status", "") == set()
    assert bash("runs", "list", "-f", "da") == set()  # a function's name there


def test_zsh_reads_its_completion(use: Any) -> None:
    text = flowforge("completion", "zsh").expect(DONE).out
    assert text.startswith("#compdef flowforge\n")
    for command in commands():
        assert re.search(rf"^\t\t\t'{command}:", text, re.M), command
    if shutil.which("zsh") is None:
        print("# zsh is not there", flush=True)
        return
    checked = subprocess.run(["zsh", "-n"], input=text, text=True, capture_output=True)
    assert checked.returncode == 0 and checked.stderr == "", checked.stderr
    # Its own function, called as the completion system does, hands _arguments specs that it takes.
    for words, expected in ((["runs", "list", ""], "--status"), (["send", "a", ""], "--wait"), (["doctor", ""], "--min-free")):
        line = " ".join(f"'{word}'" for word in ("flowforge", *words))
        script = f"compdef() {{ : }}\n_arguments() {{ print -rl -- \"$@\" }}\n_describe() {{ print -rl -- $commands }}\n{text}\nwords=({line}); CURRENT={len(words) + 1}; _flowforge"
        done = subprocess.run(["zsh", "-f"], input=script, text=True, capture_output=True, timeout=30)
        assert done.returncode == 0 and done.stderr == "" and expected in done.stdout, done
        specs = [line for line in done.stdout.splitlines() if line.startswith(("-", "(", "*-"))]
        assert {re.search(r"--[a-z-]+", spec)[0] for spec in specs if "--" in spec} >= options_of(*words[:2 if words[0] == "runs" else 1]), specs  # type: ignore[index]


def test_completion_of_other_shells_is_wrong_use(use: Any) -> None:
    flowforge("completion").expect(USAGE, "of which shell, bash or zsh?")
    flowforge("completion", "fish").expect(USAGE, "there is none for fish")


def test_the_manual_has_every_command_and_option_and_renders_without_a_warning(use: Any) -> None:
    page = flowforge("help", "--man").expect(DONE).out
    plain = page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")
    for command in commands():
        assert re.search(rf'^\.SS "flowforge {command}[" ]', plain, re.M), command
    for command in (["send"], ["serve"], ["runs", "list"], ["doctor"]):
        part = re.search(rf'^\.SS "flowforge {" ".join(command)}"\n((?:(?!\.S).*\n)*)', plain, re.M)
        assert part is not None and options_of(*command) == set(re.findall(r"^(?:-\w, )?(--[a-z-]+)", part[1], re.M)), (command, part)
    assert "no control characters" not in page and "\x1b" not in page
    for tool, complaint in ((["groff", "-man", "-ww", "-Tutf8", "-z"], ""), (["mandoc", "-T", "lint", "-W", "error"], "")):
        if shutil.which(tool[0]) is None:
            print(f"# {tool[0]} is not there", flush=True)
            continue
        rendered = subprocess.run(tool, input=page, text=True, capture_output=True)
        assert rendered.returncode == 0 and rendered.stderr == complaint and rendered.stdout == "", rendered


if __name__ == "__main__":
    run(globals())
