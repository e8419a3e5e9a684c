"""What holds for every graph, tried on random ones: usage properties.py [SEED [CASES]]. Prints TAP.

Plans are compared with what test/graph/graphs.py computes from definitions; warnings about what may be skipped with what happens when every
condition is decided in every way. A failure prints the seed that repeats it.
"""
import itertools
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lang"))
import graphs
import session

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else int(time.time())
CASES = int(sys.argv[2]) if len(sys.argv) > 2 else 1000


def ask(call, definitions):
    return session.call_many(f"jsonb_build_object('value', {call}(c->0))", [[d] for d in definitions])


def sound_graphs():
    made = graphs.Graphs(SEED)
    return [made.acyclic() for _ in range(CASES)]


def plans_are_what_they_are_defined_as():
    """roots, leaves, levels, ancestors, descendants and exclusive sets are what their definitions say"""
    for definition, ours in zip(definitions := sound_graphs(), ask("ff_workflow_plan", definitions)):
        for name, wanted in graphs.plan(definition).items():
            assert ours["value"][name] == wanted, f"seed {SEED}: {json.dumps(definition)}\n{name}\nours: {ours['value'][name]}\nwanted: {wanted}"
    return CASES


def orders_and_paths_follow_the_edges():
    """in the order each node comes after its parents and before none that was free earlier; the critical path is a way as long as the levels"""
    for definition, ours in zip(definitions := sound_graphs(), ask("ff_workflow_plan", definitions)):
        kinds, edges = graphs.ties(definition)
        ours = ours["value"]
        where = {x: i for i, x in enumerate(ours["order"])}
        assert sorted(where) == sorted(kinds), f"seed {SEED}: {definition}"
        free = {x: max((where[source] for source, target, _ in edges if target == x), default=-1) for x in kinds}
        expected = sorted(kinds, key=lambda x: (free[x], list(kinds).index(x)))
        assert ours["order"] == expected, f"seed {SEED}: {json.dumps(definition)}\n{ours['order']}\nwanted {expected}"
        path = ours["critical_path"]
        assert len(path) == len(ours["levels"]) and path[0] in ours["roots"], f"seed {SEED}: {json.dumps(definition)}: {path}"
        assert all(any(e[:2] == pair for e in edges) for pair in zip(path, path[1:])), f"seed {SEED}: {json.dumps(definition)}: {path}"
    return CASES


def cycles_are_named():
    """of a graph with a cycle there is no plan, and the error's nodes are a cycle of it"""
    made = graphs.Graphs(SEED)
    definitions = [made.cyclic() for _ in range(CASES)]
    for definition, ours in zip(definitions, ask("ff_workflow_validate", definitions)):
        _, edges = graphs.ties(definition)
        found = [e for e in ours["value"]["errors"] if e["code"] == "cycle"]
        assert len(found) == 1, f"seed {SEED}: {json.dumps(definition)}: {ours}"
        named = found[0]["message"].split(": ", 1)[1].split(" -> ")
        assert named[0] == named[-1] == found[0]["node_id"] and all(any(e[:2] == pair for e in edges) for pair in zip(named, named[1:])), f"seed {SEED}: {json.dumps(definition)}: {named}"
    return CASES


def runs(definition):
    """For every way to decide the conditions, which nodes run."""
    kinds, edges = graphs.ties(definition)
    order = sorted(kinds, key=lambda x: len([y for y in kinds if x in graphs.reachable(edges, [y])]))
    conditions = [x for x in kinds if kinds[x] == "condition"]
    for decisions in itertools.product(["true", "false"], repeat=len(conditions)):
        taken = dict(zip(conditions, decisions))
        alive = set()
        for x in order:
            ways = [e for e in edges if e[1] == x]
            if not ways or any(source in alive and label in (None, taken.get(source)) for source, _, label in ways):
                alive.add(x)
        yield alive


def skipping_is_foreseen():
    """a reference is warned of if and only if some decisions let its node run and skip what it names"""
    made = graphs.Graphs(SEED)
    definitions = []
    while len(definitions) < CASES // 4:
        definition = made.acyclic(10, 3.5)
        if sum(node["type"] == "condition" for node in definition["nodes"]) > 6:
            continue
        plan = graphs.plan(definition)
        for node in definition["nodes"]:
            node["data"]["config"] = {"expression": "input.x"} if node["type"] == "condition" else {"mapping": {x: "{{ %s.x }}" % x for x in plan["ancestors"][node["id"]]}}
        definitions.append(definition)
    warned = 0
    for definition, ours in zip(definitions, ask("ff_workflow_validate", definitions)):
        every = list(runs(definition))
        found = {(w["node_id"], w["path"].split(".")[1]) for w in ours["value"]["warnings"] if w["code"] == "skipped_reference"}
        wanted = {(node["id"], x) for node in definition["nodes"] for x in node["data"]["config"].get("mapping", {}) if any(node["id"] in alive and x not in alive for alive in every)}
        assert found == wanted, f"seed {SEED}: {json.dumps(definition)}\nfound too much: {found - wanted}\nmissed: {wanted - found}"
        warned += len(wanted)
    assert warned > len(definitions) / 10, f"hardly anything may be skipped: {warned}"
    return len(definitions)


if __name__ == "__main__":
    session.create_database()
    sys.exit(0 if session.run_tests([plans_are_what_they_are_defined_as, orders_and_paths_follow_the_edges, cycles_are_named, skipping_is_foreseen]) else 1)
