"""flowforge init: projects that run and pass their own tests."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from place import DONE, FAILED, PROGRAM, USAGE, Reader, begin, environment, flowforge, free_port
from harness import run, wait_for

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("FLOWFORGE_PYTHON", str(ROOT / "sdk/python"))
TYPESCRIPT = os.environ.get("FLOWFORGE_TYPESCRIPT", str(ROOT / "sdk/typescript"))


class Home:
    """A directory to make projects in."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="flowforge-init-", dir="/tmp")
        os.chmod(self.path, 0o755)

    def init(self, *arguments: str) -> Any:
        return flowforge("init", *arguments, cwd=self.path)

    def test(self, name: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The project's own test."""
        return subprocess.run(["sh", f"{name}/test.sh"], cwd=self.path, env=environment({"FLOWFORGE": PROGRAM} | env), text=True,
                              capture_output=True, timeout=600)

    def stop(self) -> None:
        for link in Path(self.path).glob("*/.flowforge"):
            if link.is_symlink():
                shutil.rmtree(os.readlink(link), ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)


def test_a_project_in_sql_passes_its_own_test_again_and_again(use: Any) -> None:
    home = use(Home())
    done = home.init("my-orders").expect(DONE)
    assert "  my-orders/setup.sql\n" in done.out and "sh test.sh" in done.out, done.out
    for path in Path(home.path, "my-orders").iterdir():
        assert not {"@name@", "@schema@"} & {word for word in ("@name@", "@schema@") if word in path.read_text()}, path
    for _ in range(2):
        tested = home.test("my-orders", PORT=str(free_port()))
        assert tested.returncode == 0 and "my-orders: the test has passed" in tested.stdout, tested
    assert not Path(home.path, "my-orders/.flowforge/env").exists()  # the server it started is gone


def test_the_readme_of_a_project_in_sql_is_true(use: Any) -> None:
    home = use(Home())
    home.init("shop", "--sql").expect(DONE)
    project, port = f"{home.path}/shop", free_port()
    server = begin("dev", "-p", str(port), cwd=project)
    try:
        Reader(server.stdout).wait(r"Ctrl-C stops everything", 60)
        flowforge("psql", "-Xqf", "setup.sql", cwd=project).expect(DONE)
        sent = flowforge("send", "shop/order.created", "-d", '{"id": "o1", "item": "pen", "amount": 4}', "--wait", cwd=project).expect(DONE)
        assert '✓ completed' in sent.out and '"due":10' in sent.out.replace(" ", ""), sent.out
        assert "o1" in flowforge("psql", "-c", "table shop.orders", cwd=project).expect(DONE).out
        tested = home.test("shop")
        assert tested.returncode == 0, tested
        wrong = Path(project, "workflow.json")
        wrong.write_text(wrong.read_text().replace("price.result", "price.result + 1"))
        tested = home.test("shop")
        assert tested.returncode != 0 and "passed" not in tested.stdout, tested
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def test_a_project_in_python_passes_its_own_test(use: Any) -> None:
    if not Path(PYTHON, "pyproject.toml").exists():
        print("# the package is not there: FLOWFORGE_PYTHON names another", flush=True)
        return
    home = use(Home())
    home.init("snakes", "--python").expect(DONE)
    source = shutil.copytree(PYTHON, f"{home.path}/package", ignore=shutil.ignore_patterns(".venv", "build"))  # pip builds in it
    tested = home.test("snakes", FLOWFORGE_PYTHON=source)
    assert tested.returncode == 0 and "snakes: the test has passed" in tested.stdout, tested
    server = begin("dev", "-p", str(free_port()), "--", ".venv/bin/python", "app.py", cwd=f"{home.path}/snakes")
    try:
        Reader(server.stdout).wait(r"Ctrl-C stops everything", 60)

        def taken() -> bool:
            return "snakes-take-order" in flowforge("functions", "list", cwd=f"{home.path}/snakes").out

        wait_for(taken, 30, "the app is registered")
        sent = flowforge("send", "snakes/order.created", "-d", '{"id": "o1", "item": "pen", "amount": 4}', "--wait", cwd=f"{home.path}/snakes")
        assert '"due":10' in sent.expect(DONE).out.replace(" ", ""), sent.out
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def npm(directory: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["npm", *arguments, "--loglevel=error"], cwd=directory, env=environment({}), text=True, capture_output=True, timeout=600)


def test_a_project_in_typescript_passes_its_own_test(use: Any) -> None:
    if not Path(TYPESCRIPT, "dist").exists():
        print("# the package is not there or not built: FLOWFORGE_TYPESCRIPT names another", flush=True)
        return
    home = use(Home())
    packed = npm(TYPESCRIPT, "pack", "--ignore-scripts", "--pack-destination", home.path)
    assert packed.returncode == 0, packed
    [package] = Path(home.path).glob("*.tgz")
    home.init("spiders", "--typescript").expect(DONE)
    project = f"{home.path}/spiders"
    tested = home.test("spiders", FLOWFORGE_TYPESCRIPT=str(package), npm_config_prefer_offline="true")
    assert tested.returncode == 0 and "spiders: the test has passed" in tested.stdout, tested
    assert not Path(project, "package-lock.json").exists() and '"flowforge": "^' in Path(project, "package.json").read_text()
    server = begin("dev", "-p", str(free_port()), "--", "npm", "start", cwd=project)
    try:
        Reader(server.stdout).wait(r"Ctrl-C stops everything", 60)

        def taken() -> bool:
            return "spiders-take-order" in flowforge("functions", "list", cwd=project).out

        wait_for(taken, 60, "the app is registered")
        sent = flowforge("send", "spiders/order.created", "-d", '{"id": "o1", "item": "pen", "amount": 4}', "--wait", cwd=project)
        assert '"due":10' in sent.expect(DONE).out.replace(" ", ""), sent.out
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    app = Path(project, "src/app.ts")
    right = app.read_text()
    app.write_text(right.replace("prices[item]", "prices[amount]"))
    assert npm(project, "run", "check").returncode == 0  # its types are those of numbers, still
    tested = home.test("spiders")
    assert tested.returncode != 0 and "passed" not in tested.stdout, tested
    app.write_text(right.replace("event.data;", "event.dat;"))
    checked = npm(project, "run", "check")
    assert checked.returncode != 0 and "src/app.ts" in checked.stdout and "'dat'" in checked.stdout, checked


def test_json_tells_the_files(use: Any) -> None:
    home = use(Home())
    for language in ("python", "typescript", "sql"):
        made = home.init(f"a-{language}", f"--{language}", "--json").expect(DONE).json()
        assert made["project"] == f"a-{language}" and made["language"] == language
        for path in made["files"]:
            assert Path(home.path, path).is_file(), path
        assert os.access(f"{home.path}/a-{language}/test.sh", os.X_OK)


def test_what_is_there_is_not_touched(use: Any) -> None:
    home = use(Home())
    Path(home.path, "mine").mkdir()
    home.init("mine").expect(FAILED, "cannot make the directory mine: File exists", "take another name")
    assert not list(Path(home.path, "mine").iterdir())


def test_names_that_are_none_are_refused(use: Any) -> None:
    home = use(Home())
    for name in ("", "Mine", "1st", "a b", "../a", "a/b", "a_b", "a-", "a--b", "é", "a" * 41, "@name@"):
        home.init(name).expect(USAGE, "a project's name is")
    home.init().expect(USAGE, "init needs the project's name")
    home.init("a", "b").expect(USAGE, "init takes one name")
    home.init("a", "--sql", "--python").expect(USAGE, "give one of --python, --typescript and --sql")
    home.init("a", "--typescript", "--python").expect(USAGE, "give one of")
    assert not list(Path(home.path).iterdir())


if __name__ == "__main__":
    run(globals())
