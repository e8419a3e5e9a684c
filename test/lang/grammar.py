"""Random expressions and templates of the language, for the property tests and the fuzzer.

An expression is a tree of tuples, so that one tree can be spelled three ways: as Python for Python itself to evaluate, in the language's
Python spelling and in its CEL spelling. Trees are typed, since Python coerces where the language does not (True + 1): booleans meet
only booleans.
"""
import json
import random

CONTEXT = {
    "a": 7, "b": -3, "zero": 0, "big": 9007199254740993, "s": "héllo", "t": "a,b", "empty": "", "l": [3, 1, 2], "m": ["x", "y", "x"],
    "nested": [[1], [2, 3], []], "o": {"k": 5, "v": "text", "deep": {"list": [10, 20, 30], "null": None}}, "none": None,
    "items": [{"p": 3, "name": "x"}, {"p": 1, "name": "y"}, {"p": 2, "name": "z"}],
}
NUMBERS = ["a", "b", "zero", "big"]
TEXTS = ["s", "t", "empty"]
LISTS = ["l", "m", "nested"]
COMPARISONS = ["<", "<=", ">", ">=", "==", "!="]
LITERAL_TEXTS = ["", "x", "it's", 'say "hi"', "a\\b", "line\nbreak", "tab\t", "é😀", "{{ a }}", "%"]


class Trees:
    """Makes random trees, at most `depth` deep."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.bound = []  # variables of macros around the place, all numbers

    def any(self, depth):
        return self.random.choice([self.number, self.text, self.list, self.object, self.null])(depth)

    def null(self, depth):
        return self.random.choice([("null",), ("name", "none"), ("member", ("member", ("name", "o"), "deep"), "null")])

    def number(self, depth):
        choose = self.random.choice
        if depth <= 0 or self.random.random() < 0.2:
            names = NUMBERS + ["nobody"] if self.random.random() < 0.03 else NUMBERS
            return choose([("number", self.random.randint(0, 20)), ("number", self.random.getrandbits(self.random.randint(1, 90))),
                           ("name", choose(names + self.bound))])
        d = depth - 1
        return choose([
            lambda: ("binary", choose("+-*%"), self.number(d), self.number(d)),
            lambda: ("binary", choose("+-*"), self.number(d), self.number(d)),
            lambda: ("minus", self.number(d)),
            lambda: ("condition", self.boolean(d), self.number(d), self.number(d)),
            lambda: (choose(["and", "or"]), [self.number(d) for _ in range(self.random.randint(2, 3))]),
            lambda: ("call", "size", [choose([self.text, self.list, self.object])(d)]),
            lambda: ("call", "abs", [self.number(d)]),
            lambda: ("call", choose(["min", "max"]), [self.number(d) for _ in range(self.random.randint(2, 3))]),
            lambda: ("index", ("name", "l"), self.number(0) if self.random.random() < 0.3 else ("number", self.random.randint(0, 3))),
            lambda: ("index", ("name", "l"), ("minus", ("number", self.random.randint(0, 4)))),
            lambda: ("member", ("name", "o"), choose(["k", "k", "k", "nothing"])),
            lambda: ("call", "sum", [("macro", "map", ("name", "l"), *self.body(d, self.number))]),
        ])()

    def text(self, depth):
        choose = self.random.choice
        if depth <= 0 or self.random.random() < 0.2:
            return choose([("text", choose(LITERAL_TEXTS)), ("name", choose(TEXTS))])
        d = depth - 1
        return choose([
            lambda: ("binary", "+", self.text(d), self.text(d)),
            lambda: ("repeat", self.text(d), self.random.randint(-1, 3)),
            lambda: ("condition", self.boolean(d), self.text(d), self.text(d)),
            lambda: (choose(["and", "or"]), [self.text(d), self.text(d)]),
            lambda: ("index", self.text(d), ("number", self.random.randint(0, 3))),
            lambda: ("call", "upper", [("text", choose(["abc", "Ab C"]))]),
            lambda: ("call", "replace", [self.text(d), ("text", choose(["a", ",", "ab"])), self.text(0)]),
            lambda: ("call", "join", [("name", "m"), self.text(0)]),
            lambda: ("member", ("name", "o"), "v"),
        ])()

    def list(self, depth):
        choose = self.random.choice
        if depth <= 0 or self.random.random() < 0.2:
            return choose([("name", choose(LISTS)), ("list", [])])
        d = depth - 1
        return choose([
            lambda: ("list", [self.any(d) for _ in range(self.random.randint(0, 3))]),
            lambda: ("binary", "+", self.list(d), self.list(d)),
            lambda: ("repeat", self.list(d), self.random.randint(-1, 3)),
            lambda: ("condition", self.boolean(d), self.list(d), self.list(d)),
            lambda: ("macro", choose(["map", "filter"]), ("name", "l"), *self.body(d, self.number)),
            lambda: ("macro", "filter", ("name", "l"), *self.body(d, self.boolean)),
            lambda: ("call", "sort", [("name", choose(["l", "m", "nested"]))]),
            lambda: ("call", "split", [self.text(d), ("text", choose([",", "b"]))]),
            lambda: ("index", ("name", "nested"), ("number", self.random.randint(0, 3))),
        ])()

    def object(self, depth):
        if depth <= 0 or self.random.random() < 0.4:
            return ("name", "o")
        return ("object", [(key, self.any(depth - 1)) for key in self.random.sample(["a", "b", "c c"], self.random.randint(0, 3))])

    def boolean(self, depth):
        choose = self.random.choice
        d = depth - 1
        if depth <= 0:
            return choose([("true",), ("false",)])
        return choose([
            lambda: self.comparison(d, self.number),
            lambda: self.comparison(d, self.text),
            lambda: ("compare", [choose(["==", "!="])], [self.any(d), self.any(d)]),
            lambda: ("compare", [choose(["in", "not in"])], [self.any(d), self.list(d)]),
            lambda: ("compare", [choose(["in", "not in"])], [self.text(d), choose([self.text, self.object])(d)]),
            lambda: (choose(["and", "or"]), [self.boolean(d) for _ in range(self.random.randint(2, 3))]),
            lambda: ("not", choose([self.boolean, self.any])(d)),
            lambda: ("call", "bool", [self.any(d)]),
            lambda: ("call", choose(["startsWith", "endsWith"]), [self.text(d), self.text(0)]),
            lambda: ("macro", choose(["all", "exists"]), ("name", "l"), *self.body(d, self.boolean)),
            lambda: ("condition", self.boolean(d), self.boolean(d), self.boolean(d)),
        ])()

    def comparison(self, depth, operand):
        count = self.random.choice([1, 1, 2])
        return ("compare", [self.random.choice(COMPARISONS) for _ in range(count)], [operand(depth) for _ in range(count + 1)])

    def body(self, depth, make):
        variable = self.random.choice(["x", "y", "a"])
        self.bound.append(variable)
        tree = make(depth)
        self.bound.pop()
        return variable, tree


# --- spelling ---

def python(tree):
    """As Python evaluates it, every part in parentheses, with the names of CONTEXT."""
    kind = tree[0]
    if kind in ("number", "text"):
        return repr(tree[1])
    if kind in ("true", "false", "null"):
        return {"true": "True", "false": "False", "null": "None"}[kind]
    if kind == "name":
        return tree[1]
    if kind == "list":
        return "[" + ", ".join(map(python, tree[1])) + "]"
    if kind == "object":
        return "{" + ", ".join(f"{key!r}: {python(value)}" for key, value in tree[1]) + "}"
    if kind == "binary":
        return f"({python(tree[2])} {tree[1]} {python(tree[3])})"
    if kind == "repeat":
        return f"({python(tree[1])} * {tree[2]})"
    if kind == "minus":
        return f"(-{python(tree[1])})"
    if kind == "not":
        return f"(not {python(tree[1])})"
    if kind in ("and", "or"):
        return "(" + f" {kind} ".join(map(python, tree[1])) + ")"
    if kind == "compare":
        return "(" + python(tree[2][0]) + "".join(f" {op} {python(x)}" for op, x in zip(tree[1], tree[2][1:])) + ")"
    if kind == "condition":
        return f"({python(tree[2])} if {python(tree[1])} else {python(tree[3])})"
    if kind == "member":
        return f"{python(tree[1])}[{tree[2]!r}]"
    if kind == "index":
        return f"{python(tree[1])}[{python(tree[2])}]"
    if kind == "macro":
        _, name, items, variable, body = tree
        return {"map": f"[{python(body)} for {variable} in {python(items)}]",
                "filter": f"[{variable} for {variable} in {python(items)} if {python(body)}]",
                "all": f"all({python(body)} for {variable} in {python(items)})",
                "exists": f"any({python(body)} for {variable} in {python(items)})"}[name]
    _, name, args = tree
    args = list(map(python, args))
    if name in ("startsWith", "endsWith", "upper", "replace", "split"):
        return f"{args[0]}.{name.lower()}({', '.join(args[1:])})"
    if name == "join":
        return f"{args[1]}.join({args[0]})"
    return f"{ {'size': 'len', 'sort': 'sorted'}.get(name, name)}({', '.join(args)})"


LEVELS = {"condition": 0, "or": 1, "and": 2, "not": 3, "compare": 4, "minus": 7}


def level(tree):
    if tree[0] == "binary":
        return 5 if tree[1] in "+-" else 6
    if tree[0] == "repeat":
        return 6
    return LEVELS.get(tree[0], 8)


class Speller:
    """Spells a tree in the language, choosing at random between its spellings and leaving out parentheses where they may be."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def quoted(self, text):
        quote = self.random.choice("'\"")
        text = text.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("\n", "\\n").replace("\t", "\\t")
        return quote + text + quote

    def spell(self, tree, least=0):
        text = self.inside(tree)
        return f"({text})" if level(tree) < least or self.random.random() < 0.05 else text

    def choose(self, *spellings):
        return self.random.choice(spellings)

    def inside(self, tree):
        kind = tree[0]
        if kind == "number":
            return str(tree[1])
        if kind == "text":
            return self.quoted(tree[1])
        if kind in ("true", "false", "null"):
            return self.choose(*{"true": ("true", "True"), "false": ("false", "False"), "null": ("null", "None")}[kind])
        if kind == "name":
            return tree[1]
        if kind == "list":
            items = ", ".join(map(self.spell, tree[1]))
            return f"({items})" if len(tree[1]) != 1 and self.random.random() < 0.2 else f"[{items}]"
        if kind == "object":
            return "{" + ", ".join(f"{self.quoted(key)}: {self.spell(value)}" for key, value in tree[1]) + "}"
        if kind == "binary":
            own = level(tree)
            return f"{self.spell(tree[2], own)} {tree[1]} {self.spell(tree[3], own + 1)}"
        if kind == "repeat":
            return f"{self.spell(tree[1], 6)} * {tree[2]}"
        if kind == "minus":
            return f"-{self.spell(tree[1], 7)}"
        if kind == "not":
            return self.choose("not ", "!") + self.spell(tree[1], 3)
        if kind in ("and", "or"):
            sign = {"and": (" and ", " && "), "or": (" or ", " || ")}[kind]
            parts = [self.spell(x, level(tree) + 1) for x in tree[1]]
            return parts[0] + "".join(self.choose(*sign) + part for part in parts[1:])
        if kind == "compare":
            parts = [self.spell(x, 5) for x in tree[2]]
            return parts[0] + "".join(f" {op} {part}" for op, part in zip(tree[1], parts[1:]))
        if kind == "condition":
            test, yes, no = self.spell(tree[1], 1), self.spell(tree[2], 1), self.spell(tree[3])
            return self.choose(f"{test} ? {yes} : {no}", f"{yes} if {test} else {no}")
        if kind == "member":
            return self.choose(f"{self.spell(tree[1], 8)}.{tree[2]}", f"{self.spell(tree[1], 8)}[{self.quoted(tree[2])}]")
        if kind == "index":
            return f"{self.object_of(tree[1])}[{self.spell(tree[2])}]"
        if kind == "macro":
            return f"{self.object_of(tree[2])}.{tree[1]}({tree[3]}, {self.spell(tree[4])})"
        _, name, args = tree
        if self.random.random() < 0.3 and name not in ("abs",):
            return f"{self.object_of(args[0])}.{name}({', '.join(map(self.spell, args[1:]))})"
        return f"{name}({', '.join(map(self.spell, args))})"

    def object_of(self, tree):
        return f"({self.spell(tree)})" if tree[0] == "number" else self.spell(tree, 8)


def as_json(value):
    return json.dumps(value, ensure_ascii=False)
