"""Random definitions of graphs, sound ones and broken ones; and what a plan must be, computed anew."""
import random

TYPES = ["transform", "condition", "delay", "http_request", "for_each", "wait_for_event", "inline_code", "nosuch", "", None, 5]
JUNK = [None, True, False, 0, -1, 1e300, 10**40, 2.5, "", "x", "input", "_item", "a[3]", "é" * 30, [], {}, [1, [2, {"id": "a"}]], {"a": {"b": None}}, "{{ a.x }}", "{{ a. }}", "{% if %}", "\u0001", "true", "n0"]
TEXTS = ["plain", "{{ input.x }}", "{{ %s.x }}", "{{ %s | default(1) }}", "{%% for x in %s.l %%}{{ x }}{%% endfor %%}", "{{ _item }}", "{{ nope.x }}", "{{ a b }}", "{{", "{{ %s.x | nosuch }}", "sk-abcdefghijklmnopqrstuvwxyz",
         "{{ %s - 1 }}", "'{{ %s.x }}' == 1", "{{ %s.x }} > 2 and not %s.y", "1 == 1", "x" * 300]


class Graphs:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def acyclic(self, most=14, density=2.2):
        """A sound graph: conditions have labelled edges, some edges none."""
        ids = [f"n{i}" for i in range(self.random.randint(1, most))]
        self.random.shuffle(ids)
        order = ids[:]
        self.random.shuffle(order)
        conditions = {x for x in ids if self.random.random() < 0.4}
        nodes = [{"id": x, "type": "condition" if x in conditions else "transform", "data": {"config": {}}} for x in ids]
        edges = []
        for at, source in enumerate(order):
            for target in order[at + 1:]:
                if self.random.random() < density / len(order):
                    label = self.random.choice(["true", "false", "true", "false", None, "maybe"]) if source in conditions else self.random.choice([None, "out"])
                    edges.append(self.edge(source, target, label))
                    if self.random.random() < 0.1:
                        edges.append(self.random.choice(edges))
        edges += [{"source": "nobody", "target": self.random.choice(ids)} for _ in range(self.random.randint(0, 1))]
        self.random.shuffle(edges)
        return {"nodes": nodes, "edges": edges}

    def edge(self, source, target, label):
        edge = {"source": source, "target": target}
        return edge | self.random.choice([{"sourceHandle": label}, {"data": {"condition": label}}, {"sourceHandle": "bottom" if label in ("true", "false") else label, "data": {"condition": label}}])

    def cyclic(self):
        """With a cycle somewhere; gives its nodes, too, when there is no other."""
        definition = self.acyclic()
        ids = [node["id"] for node in definition["nodes"]]
        ring = self.random.sample(ids, self.random.randint(1, len(ids)))
        definition["edges"] += [{"source": a, "target": b} for a, b in zip(ring, ring[1:] + ring[:1])]
        return definition

    def text(self, ids):
        text = self.random.choice(TEXTS)
        return text % tuple(self.random.choice(ids) for _ in range(text.count("%s")))

    def value(self, ids, depth=0):
        kind = self.random.random()
        if kind < 0.25 and depth < 3:
            return {self.random.choice(["url", "expression", "items", "handler", "item_config", "if", "code", "seconds", "mapping", "secret", "x.y", ""]): self.value(ids, depth + 1) for _ in range(self.random.randint(0, 4))}
        if kind < 0.35 and depth < 3:
            return [self.value(ids, depth + 1) for _ in range(self.random.randint(0, 3))]
        return self.text(ids) if kind < 0.85 else self.random.choice(JUNK)

    def wild(self):
        """Of the form of a graph, with anything in it."""
        definition = self.random.choice([self.acyclic, self.cyclic])()
        ids = [node["id"] for node in definition["nodes"]]
        for node in definition["nodes"]:
            node["type"] = self.random.choice(TYPES)
            node["data"] = {"config": self.value(ids), "on_error": self.random.choice(["fail", "skip", "continue", None, 5]), "max_attempts": self.random.choice([None, 1, 3, 0, "x"]),
                            "backoff_base": self.random.choice([None, 2, 1e300]), "timeout_seconds": self.random.choice([None, 0, 5, -5])}
            if self.random.random() < 0.1:
                node["id"] = self.random.choice(JUNK + ids)
        if self.random.random() < 0.3:
            definition["settings"] = self.random.choice(JUNK + [{"max_concurrency": 5}, {"max_concurrency": "x", "run_timeout_seconds": -1}])
        return definition

    def mutated(self):
        """With parts replaced by something else."""
        definition = self.wild()
        for _ in range(self.random.randint(1, 4)):
            definition = self.replaced(definition)
        return definition

    def replaced(self, value):
        if self.random.random() < 0.1 or not isinstance(value, (dict, list)) or not value:
            return self.random.choice(JUNK)
        if isinstance(value, list):
            at = self.random.randrange(len(value))
            return value[:at] + [self.replaced(value[at])] + value[at + 1:]
        key = self.random.choice(sorted(value))
        return value | {key: self.replaced(value[key])}


# --- a plan, computed without ours ---

def ties(definition):
    """(source, target, label) of each edge that counts, each once, in the order of the document."""
    kinds = {node["id"]: node["type"] for node in definition["nodes"]}
    found = []
    for edge in definition["edges"]:
        if edge["source"] not in kinds or edge["target"] not in kinds:
            continue
        labels = [edge.get("sourceHandle"), (edge.get("data") or {}).get("condition")]
        sound = [label for label in labels if label in ("true", "false")] + [label for label in labels if label]
        tie = (edge["source"], edge["target"], (sound + [None])[0] if kinds[edge["source"]] == "condition" else None)
        if tie not in found:
            found.append(tie)
    return kinds, found


def reachable(edges, starts):
    seen = set(starts)
    while True:
        more = {target for source, target, _ in edges if source in seen} - seen
        if not more:
            return seen
        seen |= more


def plan(definition):
    """By definitions, not by algorithms: reachability, longest distances, and what is cut off when a branch is cut."""
    kinds, edges = ties(definition)
    ids = list(kinds)
    roots = [x for x in ids if not any(target == x for _, target, _ in edges)]
    down = {x: reachable(edges, [x]) - {x} for x in ids}
    level = {}

    def distance(x):
        if x not in level:
            level[x] = max((distance(source) + 1 for source, target, _ in edges if target == x), default=0)
        return level[x]

    exclusive = {}
    for x in ids:
        if kinds[x] == "condition":
            exclusive[x] = {label: [y for y in ids if y not in reachable([e for e in edges if e[0] != x or e[2] != label], roots)] for label in ("true", "false")}
    return {"roots": roots, "leaves": [x for x in ids if not down[x]], "levels": [[x for x in ids if distance(x) == n] for n in range(max(map(distance, ids)) + 1)],
            "ancestors": {x: [y for y in ids if x in down[y]] for x in ids}, "descendants": {x: [y for y in ids if y in down[x]] for x in ids}, "exclusive": exclusive}
