"""The package as a package: types, style, the oldest Python, and its installation from a clean copy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

ROOT = Path(__file__).parents[1]


def run(program: str, *arguments: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / program), *arguments], cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_mypy_finds_nothing_in_the_package_nor_in_what_users_write() -> None:
    run("mypy", "--strict", f"--cache-dir={Path(sys.prefix) / 'mypy'}")


def test_ruff_finds_nothing_and_would_change_nothing() -> None:
    run("ruff", "check", "--no-cache", ".")
    run("ruff", "format", "--no-cache", "--check", ".")
    run("ruff", "check", "--no-cache", "--config", "pyproject.toml", "../../examples")
    run("ruff", "format", "--no-cache", "--config", "pyproject.toml", "--check", "../../examples")


def test_python_3_9_is_enough() -> None:
    run("vermin", "-t=3.9-", "--no-tips", "--violations", "--eval-annotations", "src")


def test_the_core_imports_nothing_but_the_standard_library() -> None:
    source = "import sys, flowforge, flowforge.testing, flowforge.worker, flowforge.adapters.asgi, flowforge.adapters.wsgi; "
    source += "print(sorted({n.split('.')[0] for n in sys.modules} - sys.stdlib_module_names - {'flowforge', '__main__'}))"
    found = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); {source}"],
        text=True,
        capture_output=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"


def undocumented(node: ast.AST, where: str) -> Iterator[str]:
    """What is public within a module or a public class and has no docstring."""
    for each in ast.iter_child_nodes(node):
        if not isinstance(each, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or each.name.startswith("_"):
            continue
        if any(isinstance(mark, ast.Name) and mark.id == "overload" for mark in each.decorator_list):
            continue
        if ast.get_docstring(each) is None:
            yield f"{where}: {each.name}"
        if isinstance(each, ast.ClassDef):
            yield from undocumented(each, where)


def test_everything_public_has_a_docstring() -> None:
    trees = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "src").rglob("*.py"))}
    assert [path.name for path, tree in trees.items() if ast.get_docstring(tree) is None] == []
    assert [each for path, tree in trees.items() for each in undocumented(tree, path.name)] == []


def test_pip_installs_a_clean_copy(tmp_path: Path) -> None:
    files = subprocess.run(["git", "ls-files", "-z", "."], cwd=ROOT, capture_output=True)
    if files.returncode != 0:
        pytest.skip("this is no checkout")
    copy = tmp_path / "copy"
    for name in filter(None, files.stdout.decode().split("\0")):
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    run(
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(tmp_path / "there"),
        ".",
        cwd=copy,
    )
    assert (tmp_path / "there" / "flowforge" / "py.typed").exists()
    source = f"import sys; sys.path.insert(0, {str(tmp_path / 'there')!r}); import flowforge.testing; print(flowforge.__file__)"
    found = subprocess.run([sys.executable, "-S", "-c", source], text=True, capture_output=True, check=True)
    assert found.stdout.startswith(str(tmp_path))
