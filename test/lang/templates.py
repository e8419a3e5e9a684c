"""Random templates that the language and Jinja2 both understand, and Jinja2 set up to write values as the language does."""
import json
import random

import jinja2

CONTEXT = {
    "n": 3, "zero": 0, "s": "héllo World", "low": "abc", "yes": True, "no": False, "nothing": None, "l": [3, 1, 2], "words": ["b", "a", "b"], "void": [],
    "o": {"k": 5, "v": "text", "deep": {"list": [10, 20]}}, "items2": [{"p": 3, "name": "x"}, {"p": 1, "name": "y"}, {"p": 2, "name": "z"}],
}


def as_text(value):
    """What a value is within a text."""
    if isinstance(value, jinja2.Undefined):
        return value
    if isinstance(value, str):
        return value
    return json.dumps(list(value) if isinstance(value, range) else value, ensure_ascii=False, separators=(",", ":"))


def environment():
    made = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, finalize=as_text)
    for name in ("batch", "slice", "unique", "map", "selectattr", "reverse"):
        made.filters[name] = listed(made.filters[name])
    made.filters["join"] = lambda items, sep="": sep.join(map(as_text, items))
    made.filters["unique"] = lambda items: [x for i, x in enumerate(items) if x not in items[:i]]
    made.filters["values"] = lambda value: [value[key] for key in sorted(value, key=lambda k: (len(k), k))]
    made.filters["keys"] = lambda value: sorted(value, key=lambda k: (len(k), k))
    return made


def listed(filter_function):
    """Jinja's filters give generators; the language has lists only."""
    def apply(*args, **named):
        made = filter_function(*args, **named)
        return made if isinstance(made, (str, jinja2.Undefined)) else [list(x) if isinstance(x, list) else x for x in made]
    for name in ("jinja_pass_arg", "contextfunction"):
        if hasattr(filter_function, name):
            setattr(apply, name, getattr(filter_function, name))
    return apply


class Templates:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.numbers = ["n", "zero", "o.k", "l.0", "o.deep.list.1"]
        self.texts = ["s", "low", "o.v", "words.0"]

    def choose(self, *options):
        return self.random.choice(options)

    def number(self, depth=2):
        if depth == 0 or self.random.random() < 0.4:
            return self.choose(str(self.random.randint(0, 12)), *self.numbers)
        d = depth - 1
        return self.choose(f"({self.number(d)} + {self.number(d)})", f"({self.number(d)} * {self.number(d)})", f"{self.list()} | length",
                           f"{self.text(d)} | length", "l | sum", "l | min", "l | max", "l | first", "l | last", f"(-({self.number(d)})) | abs", "'42' | int",
                           "items2 | map(attribute='p') | sum", f"({self.number(d)} if {self.test(d)} else {self.number(d)})", "missing | default(4)", "o.missing | default(7)")

    def text(self, depth=2):
        if depth == 0 or self.random.random() < 0.4:
            return self.choose("'a-b c'", "''", '"it\'s"', *self.texts)
        d = depth - 1
        return self.choose(f"{self.text(d)} | upper", f"{self.text(d)} | lower", f"{self.text(d)} | trim", f"{self.text(d)} | title",
                           f"{self.text(d)} | replace('l', 'LL')", f"{self.text(d)} | reverse", f"{self.list()} | join(', ')", f"({self.text(d)} + {self.text(d)})",
                           f"{self.text(d)} | urlencode", f"({self.text(d)} * 4) | truncate({self.random.randint(3, 20)})",
                           f"({self.text(d)} * 3) | truncate(9, true, '..', {self.random.randint(0, 6)})",
                           "missing | default('d')", "void | first | default('d')", "items2 | map(attribute='name') | join", f"{self.number(d)} | string",
                           "'' | default('e', true)")

    def list(self):
        return self.choose("l", "words", "void", "l | sort", "words | unique", "l | reverse", "l | sort(reverse=true)", "items2 | map(attribute='name')",
                           f"items2 | selectattr('p', '{self.choose('>', '==', '<=', 'ne')}', {self.random.randint(0, 3)}) | map(attribute='p')",
                           f"range({self.random.randint(0, 4)})", f"l | batch({self.random.randint(1, 4)})", f"l | batch({self.random.randint(1, 4)}, 0)",
                           f"words | slice({self.random.randint(1, 4)})", "words | slice(2, 'f')", "o | keys", "o.deep | values")

    def test(self, depth=1):
        if depth <= 0:
            return self.choose("yes", "no", "nothing", "void", "l", "s", "zero")
        d = depth - 1
        return self.choose(f"{self.number(d)} > {self.number(d)}", f"{self.number(d)} in l", f"not {self.test(d)}", f"{self.test(d)} and {self.test(d)}",
                           f"{self.test(d)} or {self.test(d)}", f"{self.text(d)} == {self.text(d)}", f"'l' in {self.text(d)}", f"1 < {self.number(d)} < 6")

    def value(self):
        return self.choose(self.number, self.text, self.list, self.test)()

    def bad(self):
        return self.choose("missing", "o.missing", "o.missing.x", "missing.x | default(1)", "l.9", "missing | upper")

    def mark(self, opening, inside, closing):
        """Braces, sometimes with the signs that trim."""
        left = "-" if self.random.random() < 0.1 else ""
        right = "-" if self.random.random() < 0.1 else ""
        return f"{opening}{left} {inside} {right}{closing}"

    def plain(self):
        return self.choose("a", " ", "\n", "text with spaces ", "é", "} %} #}", "<b>&'\"", "{ ", " \n ")

    def parts(self, depth):
        return "".join(self.part(depth) for _ in range(self.random.randint(1, 3)))

    def part(self, depth):
        kind = self.random.random()
        if kind < 0.3:
            return self.plain()
        if kind < 0.62 or depth == 0:
            return self.mark("{{", self.bad() if self.random.random() < 0.03 else self.value(), "}}")
        if kind < 0.66:
            return self.mark("{#", "a comment {{ n }}", "#}")
        if kind < 0.72:
            name = self.choose("v", "w")
            return self.mark("{%", f"set {name} = {self.number()}", "%}") + self.mark("{{", name, "}}")
        if kind < 0.86:
            text = self.mark("{%", f"if {self.test()}", "%}") + self.parts(depth - 1)
            if self.random.random() < 0.4:
                text += self.mark("{%", f"elif {self.test()}", "%}") + self.parts(depth - 1)
            if self.random.random() < 0.6:
                text += self.mark("{%", "else", "%}") + self.parts(depth - 1)
            return text + self.mark("{%", "endif", "%}")
        body = self.parts(depth - 1)
        if self.random.random() < 0.5:
            body += self.mark("{{", self.choose("loop.index", "loop.index0", "loop.first", "loop.last", "x", "loop.index * 2"), "}}")
        return self.mark("{%", f"for x in {self.list()}", "%}") + body + self.mark("{%", "endfor", "%}")

    def template(self):
        """Never a whole value, whose type the language keeps and Jinja does not."""
        return "." + self.parts(3)
