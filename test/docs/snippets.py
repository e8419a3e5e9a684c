"""What the pages promise: their SQL runs as it stands, their commands exist, their links lead somewhere. The README and the quickstarts, which
are to be followed from top to bottom, are followed by walk.py.
"""
from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Iterator

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test/cli"))
from place import Gateway, flowforge  # noqa: E402
from harness import App, Cluster, run, wait_for  # noqa: E402

GENERATED = {"sql-api.md"}  # whose SQL is signatures
PAGES = sorted(page for pattern in ("*.md", "docs/*.md", "examples/*.md", "examples/*/*.md", "src/*/*.md", "test/*/*.md") for page in ROOT.glob(pattern))
WALKED = {page for page in PAGES if "<!-- test: " in page.read_text()}  # walk.py follows them


def snippets(page: Path, languages: str) -> Iterator[str]:
    """The fenced blocks of a page whose language matches."""
    for found in re.finditer(r"^```(.*)\n((?:.*\n)*?)^```$", page.read_text(), re.M):
        if re.fullmatch(languages, found[1]):
            yield found[2]


def section(page: Path, title: str) -> str:
    return page.read_text().split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_snippet_of_SQL_runs(use: Any) -> None:
    cluster = use(Cluster())
    key = Path(cluster.directory) / "secret.key"
    key.write_text("7" * 64)
    cluster.sql(f"alter system set flowforge.secret_key_file = '{key}'")
    cluster.sql("select pg_reload_conf()")
    wait_for(lambda: cluster.sql("show flowforge.secret_key_file") == str(key), what="the setting is read")
    app = use(App(name="shop", event="shop/order.created"))
    cluster.register(app)
    ran = 0
    for page in PAGES:
        for snippet in snippets(page, "sql") if page.name not in GENERATED and page not in WALKED else ():
            done = cluster.psql("-f", "-", stdin=snippet, check=False)
            assert done.returncode == 0, f"{page}: {done.stderr}\n{snippet}"
            ran += 1
    assert ran >= 2, f"only {ran} snippets were found"


def test_every_page_with_commands_is_followed(use: Any) -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        assert page in WALKED or not list(snippets(page, "sh|bash")), f"{page} has commands and no comment that says how they are tested (test/docs/page.py)"


def test_the_first_run_of_the_README_completes(use: Any) -> None:
    cluster = use(Cluster())
    app = use(App(name="shop", event="shop/order.created"))
    cluster.register(app)
    first = next(snippets(ROOT / "README.md", "sql"))
    done = cluster.psql("-f", "-", stdin=first)
    assert '{"steps": 3}' in done.stdout and "completed" in done.stdout, done.stdout
    assert cluster.sql("select count(*) from flowforge.runs where status = 'completed'") == "1"
    begun = cluster.sql("select count(*) from flowforge.run")
    cluster.psql("-f", "-", stdin=re.search(r"begin;.*?commit;", first, re.S)[0].replace("commit", "rollback").replace("(1,", "(2,"))  # type: ignore[index]
    assert cluster.sql("select count(*) from flowforge.run") == begun, "a rollback started something"


def test_the_production_settings_of_the_README_serve(use: Any) -> None:
    block = re.search(r"^```\n(.*?)^```$", section(ROOT / "README.md", "In production"), re.S | re.M)
    assert block is not None
    settings = dict(re.findall(r"^(\S+) = ('[^']*')", block[1].replace("<hex>", "abcd").replace("<key>", "k3y"), re.M))
    assert set(settings) == {"shared_preload_libraries", "flowforge.databases", "flowforge.signing_key", "flowforge.event_keys"}, settings
    cluster = use(Cluster(settings, database="mydb"))
    gateway = Gateway(f"host={cluster.directory} port={cluster.port} dbname=mydb user=flowforge_gateway")
    try:
        env = {"FLOWFORGE_URL": gateway.url, "FLOWFORGE_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{cluster.port}/mydb"}
        assert "everything is in order" in flowforge("doctor", env=env).expect(0).out
        keys = {"FLOWFORGE_EVENT_KEY": "k3y", "FLOWFORGE_SIGNING_KEY": "signkey-prod-abcd"}
        flowforge("send", "a/b", env=env).expect(1, "(401)")
        flowforge("send", "a/b", env=env | keys).expect(0)
    finally:
        gateway.process.kill()
        gateway.process.wait()


def test_commands_and_targets_that_pages_name_exist(use: Any) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    commands = set(re.findall(r"^  (\w+)", flowforge("help").out, re.M))
    for page in PAGES:
        text = page.read_text()
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M):
            assert target in targets, f"{page}: make {target}"
        for command in re.findall(r"(?:^|`)flowforge ([a-z]+)\b(?!:)", text, re.M):
            assert command in commands or command == "runs", f"{page}: flowforge {command}"


def test_settings_that_pages_and_sources_name_exist(use: Any) -> None:
    known = set(re.findall(r"^\| `(flowforge\.\w+)`", (ROOT / "docs/settings.md").read_text(), re.M))
    for page in [ROOT / "README.md", ROOT / "docs/architecture.md"]:
        for name in re.findall(r"^(flowforge\.\w+) =|`(?:set |reset )?(flowforge\.\w+) (?:=|is)", page.read_text(), re.M):
            assert (name[0] or name[1]) in known, f"{page}: {name}"
    for source in [*ROOT.glob("src/gateway/*/*.c"), ROOT / "scripts/check.sh", *ROOT.glob("test/tap/*.py")]:
        for name in re.findall(r"current_setting\('(flowforge\.\w+)'", source.read_text()):
            assert name in known, f"{source}: {name}"


def test_links_between_pages_lead_somewhere(use: Any) -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page}: {target}"


def test_folders_of_the_gateway_include_only_those_before_them(use: Any) -> None:
    gateway = ROOT / "src/gateway"
    folders = re.search(r"^ROOMS = (.*)$", (gateway / "Makefile").read_text(), re.M)[1].split()
    assert re.findall(r"^\| `(\w+)/`", (gateway / "README.md").read_text(), re.M) == [*folders, "templates"], "the map names them in their order"
    for source in gateway.glob("*/*.[ch]"):
        for folder in re.findall(r'^#include "(\w+)/', source.read_text(), re.M):
            assert folders.index(folder) <= folders.index(source.parent.name), f"{source} includes {folder}/"


def test_data_in_snippets_is_JSON(use: Any) -> None:
    for page in PAGES:
        for snippet in snippets(page, "sh|bash|sql"):
            for text in re.findall(r"'(\{\".*?\})'", snippet):
                json.loads(text)


if __name__ == "__main__":
    run(globals())
