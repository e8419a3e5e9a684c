"""The command line and workflows: looking at them, files, publishing, differences, runs."""
from __future__ import annotations

import json
import os
import re
import tempfile
from typing import Any

from place import DONE, FAILED, USAGE, flowforge, place
from harness import run

FILES = tempfile.mkdtemp(prefix="flowforge-cli-")
ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


def node(name: str, **mapping: Any) -> dict[str, Any]:
    return {"id": name, "type": "transform", "position": {"x": 1, "y": 2}, "data": {"config": {"mapping": mapping or {"x": 1}}}}


def written(name: str, document: Any) -> str:
    path = os.path.join(FILES, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(document if isinstance(document, str) else json.dumps(document))
    return path


def imported(name: str, *nodes: dict[str, Any], **more: Any) -> str:
    """Makes or changes a workflow, a chain of nodes, through a file and gives its slug."""
    edges = [{"id": f"e{i}", "source": one["id"], "target": two["id"]} for i, (one, two) in enumerate(zip(nodes, nodes[1:]))]
    path = written(f"{name}.json", {"name": name, "nodes": list(nodes), "edges": edges, **more})
    return str(place().run("workflows", "import", path, "--json").expect(DONE).json()["workflow"])


def test_a_document_is_imported_published_and_run(use: Any) -> None:
    path = written("greet.json", {"name": "Greet people", "description": "Says hello", "nodes": [node("hello", text="hello {{ input.name }}")], "edges": [],
                                  "viewport": {"zoom": 2}, "input_schema": {"type": "object", "required": ["name"]}})
    done = place().run("workflows", "import", path).expect(DONE)
    assert re.fullmatch(r"greet-people +draft +Greet people\n", done.out), done.out
    place().run("workflows", "run", "greet-people", "-d", '{"name": "eve"}').expect(FAILED, "is not published", "(409)", "→ ")
    tested = place().run("workflows", "run", "greet-people", "--draft", "-d", '{"name": "test"}').expect(DONE).out
    assert re.fullmatch(rf"greet-people  {ID}\n", tested), tested
    assert re.fullmatch(r"greet-people +published v1 +Greet people\n", place().run("workflows", "publish", "greet-people").expect(DONE).out)
    started = place().run("workflows", "run", "Greet people", "-d", '{"name": "eve"}', "--json").expect(DONE).json()["id"]
    place().ended(started)
    result = place().run("runs", "get", started, "--json").json()["run"]
    assert (result["status"], result["output"]) == ("completed", {"text": "hello eve"}), result
    place().run("workflows", "run", "greet-people", "-d", "{}").expect(FAILED, "(422)", 'must have the member "name"')
    once = [place().run("workflows", "run", "greet-people", "-k", "once", "-d", '{"name": "eve"}').expect(DONE).out for _ in range(2)]
    assert once[0] == once[1]


def test_what_is_exported_is_what_was_imported(use: Any) -> None:
    document = {"name": "Round", "description": "and back", "nodes": [node("a"), node("b")], "edges": [{"id": "e", "source": "a", "target": "b"}], "viewport": {"zoom": 3},
                "settings": {"max_concurrency": 2, "run_timeout_seconds": 60}, "input_schema": {"type": "object"}, "triggers": [{"event": "round/go"}]}
    place().run("workflows", "import", written("round.json", document), "--publish").expect(DONE)
    assert place().run("workflows", "export", "round").expect(DONE).json() == document
    copy = os.path.join(FILES, "copy.json")
    assert place().run("workflows", "export", "round", "-o", copy).expect(DONE).out == ""
    assert re.fullmatch(r"other +draft +Other\n", place().run("workflows", "import", copy, "--name", "Other").expect(DONE).out)
    assert place().run("workflows", "export", "Other").json() == {**document, "name": "Other"}
    done = place().run("workflows", "import", "-", "--json", stdin=json.dumps({**document, "nodes": [node("a")], "edges": []})).expect(DONE).json()
    assert (done["version"], done["has_draft"], done["draft_version"]) == (1, True, 2), done
    assert place().run("workflows", "export", "round", "--version", "1").json() == document


def test_lists_and_single_ones_are_for_people_and_programs(use: Any) -> None:
    slug = imported("Looked at", node("a"))
    place().run("workflows", "publish", slug).expect(DONE)
    imported("Looked at", node("a"), node("b"))
    assert re.search(r"^looked-at +published v1 \+ draft +Looked at$", place().run("workflows", "list").expect(DONE).out, re.M)
    assert [w["workflow"] for w in place().run("workflows", "list", "-q", "looked", "--json").expect(DONE).json()["data"]] == [slug]
    assert place().run("workflows", "list", "-q", "nothing like it").expect(DONE).out == "no workflows\n"
    shown = place().run("workflows", "get", slug).expect(DONE).out
    assert "status       published v1 + draft\n" in shown and "graph        2 nodes, 1 edges\n" in shown, shown
    assert len(place().run("workflows", "get", slug, "--version", "1", "--json").expect(DONE).json()["definition"]["nodes"]) == 1
    place().run("workflows", "get", "nobody").expect(FAILED, "there is no workflow", "(404)")
    place().run("workflows", "list", "-s", "gone").expect(FAILED, "must be one of", "(400)")


def test_differences_are_a_line_each(use: Any) -> None:
    slug = imported("Changing", node("a"), node("gone"), triggers=[{"event": "a/b"}])
    place().run("workflows", "publish", slug).expect(DONE)
    moved = node("a", x=2) | {"position": {"x": 99}}
    imported("Changing", moved, node("new"), triggers=[{"event": "a/c"}])
    lines = place().run("workflows", "diff", slug).expect(DONE).out.splitlines()
    assert lines == ["+ node new (transform)", "- node gone (transform)", "~ node a data.config.mapping.x: 1 → 2", '~ edge e0 target: "gone" → "new"', '~ triggers [0].event: "a/b" → "a/c"'], lines
    assert place().run("workflows", "diff", slug, "--from", "1", "--to", "1").expect(DONE).out == "no difference\n"
    assert place().run("workflows", "diff", slug, "--json").expect(DONE).json()["to"] == 2
    place().run("workflows", "diff", slug, "--to", "9").expect(FAILED, "has no version 9", "(404)")


def test_what_is_not_valid_says_so_by_its_exit_code(use: Any) -> None:
    broken = {"name": "Broken", "nodes": [node("a"), {"id": "b", "type": "no_such_type", "data": {}}], "edges": [{"source": "a", "target": "b"}],
              "triggers": [{"cron": "now and then"}]}
    path = written("broken.json", broken)
    done = place().run("workflows", "validate", "-f", path)
    assert done.code == FAILED and "unregistered_type  b: " in done.out and "bad_trigger" in done.out and done.out.endswith("not valid\n"), done.out
    place().run("workflows", "get", "broken").expect(FAILED, "(404)")
    place().run("workflows", "import", path, "--publish").expect(FAILED, "(422)", "· b: ", "triggers[0].cron")
    assert place().run("workflows", "validate", "broken", "--json").json()["valid"] is False
    assert place().run("workflows", "validate", "-f", written("good.json", {"nodes": [node("a")], "edges": []})).expect(DONE).out == "valid\n"


def test_archived_ones_start_no_more(use: Any) -> None:
    slug = imported("Old one", node("a"))
    place().run("workflows", "publish", slug).expect(DONE)
    assert re.fullmatch(r"old-one +archived v1 +Old one\n", place().run("workflows", "archive", slug).expect(DONE).out)
    place().run("workflows", "run", slug).expect(FAILED, "is not published", "(409)")
    done = place().run("workflows", "publish", slug, "nobody")
    assert done.code == FAILED and "is archived" in done.err and "there is no workflow" in done.err, "one that fails does not stop the others"


def test_files_that_are_none_are_told_apart(use: Any) -> None:
    place().run("workflows", "import", os.path.join(FILES, "missing.json")).expect(FAILED, "cannot read", "No such file")
    place().run("workflows", "import", written("text.json", "{\n  not json")).expect(FAILED, "is no JSON", "line 2")
    place().run("workflows", "import", written("list.json", [])).expect(FAILED, "is no workflow", "→ ")
    place().run("workflows", "import", written("nameless.json", {"nodes": [], "edges": []})).expect(FAILED, "has no name", "--name")
    place().run("workflows", "import", written("odd.json", {"name": "Odd", "nodes": 5})).expect(FAILED, "its nodes are not a list", "(400)")
    place().run("workflows", "export", "looked-at", "-o", os.path.join(FILES, "no", "where")).expect(FAILED, "cannot write")


WRONG = {
    "workflows": "workflows list, get, export, import, validate, publish, diff, run or archive?",
    "workflows fly": "workflows has no command fly",
    "workflows list x": "unexpected x",
    "workflows get": "workflows get needs a workflow",
    "workflows get a b": "unexpected b",
    "workflows get a --version x": "--version must be the number of a version",
    "workflows export": "workflows export needs a workflow",
    "workflows import": "workflows import needs one file",
    "workflows validate": "needs a workflow, or --file, and not both",
    "workflows validate a -f b": "not both",
    "workflows publish": "workflows publish needs a workflow",
    "workflows diff a --from 0": "--from must be the number of a version",
    "workflows run a -d [1]": "--data must be a JSON object",
}


def test_wrong_use_is_exit_code_2_with_a_reason(use: Any) -> None:
    for line, said in WRONG.items():
        done = flowforge(*line.split(" ")).expect(USAGE, said, "→ ")
        assert done.out == "", line


if __name__ == "__main__":
    run(globals())
