"""What holds for every expression and template, tried on random ones: usage properties.py [SEED [CASES]]. Prints TAP.

Python evaluates the expressions' Python spelling, Jinja2 renders the templates: two implementations that are not ours. Where the
language differs on purpose (no coercion, exact numbers, values as JSON) the generators stay clear of it; sql/lang.sql and
sql/template.sql say what it does there. A failure prints the seed that repeats it.
"""
import os
import random
import re
import string
import sys
import time

import grammar
import jinja2
import session
import templates

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else int(time.time())
CASES = int(sys.argv[2]) if len(sys.argv) > 2 else 2000

KINDS = {NameError: {"FF102"}, KeyError: {"FF103"}, IndexError: {"FF104"}, ZeroDivisionError: {"FF108"}, TypeError: {"FF105", "FF106", "FF107"},
         ValueError: {"FF107"}}


def python_result(tree):
    try:
        return {"value": eval(grammar.python(tree), {"__builtins__": {}, **BUILTINS, **grammar.CONTEXT})}
    except Exception as error:
        return {"error": KINDS[type(error)]}


BUILTINS = {"len": len, "abs": abs, "min": min, "max": max, "sum": sum, "sorted": sorted, "all": all, "any": any, "bool": bool}


def same(ours, oracle):
    if "error" in ours or "error" in oracle:
        return ours.get("error", "") in oracle.get("error", ())
    return typed(ours["value"]) == typed(oracle["value"])


def typed(value):
    """Python takes True for 1."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, (list, tuple)):
        return [typed(x) for x in value]
    if isinstance(value, dict):
        return {key: typed(x) for key, x in value.items()}
    return value


def random_expressions():
    trees = grammar.Trees(SEED)
    speller = grammar.Speller(SEED)
    made = [random.Random(SEED + i).choice([trees.any, trees.boolean])(5) for i in range(CASES)]
    return made, [speller.spell(tree) for tree in made]


def python_agrees():
    """an expression gives what Python gives for it, or the same kind of error"""
    trees, texts = random_expressions()
    answers = session.evaluate([[text, grammar.CONTEXT] for text in texts])
    wrong = 0
    for tree, text, ours in zip(trees, texts, answers):
        if ours.get("error") in ("FF110",):
            continue
        oracle = python_result(tree)
        assert same(ours, oracle), f"seed {SEED}: {text}\nPython's spelling: {grammar.python(tree)}\nours: {ours}\nPython: {oracle}"
        wrong += "error" in ours
    assert wrong < len(texts) / 2, "most of the expressions are errors"
    return len(texts)


def printing_keeps_the_meaning():
    """an expression printed and read again is the same expression"""
    _, texts = random_expressions()
    printed = session.canonical(texts)
    for text, answer in zip(texts, printed):
        assert "value" in answer, f"seed {SEED}: {text}: {answer}"
    once = [answer["value"] for answer in printed]
    for text, first, again in zip(texts, once, session.canonical(once)):
        assert again.get("value") == first, f"seed {SEED}: {text}\nprinted: {first}\nagain: {again}"
    before = session.evaluate([[text, grammar.CONTEXT] for text in texts])
    after = session.evaluate([[text, grammar.CONTEXT] for text in once])
    for text, first, x, y in zip(texts, once, before, after):
        assert (x.get("value"), x.get("error")) == (y.get("value"), y.get("error")), f"seed {SEED}: {text}\nprinted: {first}\n{x}\n{y}"
    return len(texts)


def filter_mode_never_fails():
    """in filter mode an expression that can be read gives a value, and strict mode's where there is one"""
    _, texts = random_expressions()
    cases = [[text, grammar.CONTEXT] for text in texts]
    for text, strict, lenient in zip(texts, session.evaluate(cases), session.evaluate(cases, "filter")):
        assert "error" not in lenient, f"seed {SEED}: {text}: {lenient}"
        assert "error" in strict or strict["value"] == lenient["value"], f"seed {SEED}: {text}: {strict} {lenient}"
    return len(texts)


def jinja_agrees():
    """a template gives the text Jinja2 gives, or is an error as it is there"""
    made = templates.Templates(SEED)
    jinja = templates.environment()
    texts = [made.template() for _ in range(CASES)]
    errors = 0
    for text, ours in zip(texts, session.render([[text, templates.CONTEXT] for text in texts])):
        try:
            oracle = {"value": jinja.from_string(text).render(templates.CONTEXT)}
        except jinja2.UndefinedError:
            oracle = {"error": {"FF102", "FF103", "FF104", "FF106"}}
        assert same(ours, oracle), f"seed {SEED}: {text!r}\nours:  {ours}\nJinja: {oracle}"
        errors += "error" in ours
    assert errors < len(texts) / 2, "most of the templates are errors"
    return len(texts)


PIECES = ["{{", "}}", "{%", "%}", "{#", "#}", "{{ n }}", "{{ secret }}", "{% if n %}", "{% endif %}", "{% for x in l %}", "'", '"', "\\", "-", "|", "upper", "n", " ", "\n", "{", "}", "é"]


def hostile_text(source):
    return "".join(source.choice(PIECES) for _ in range(source.randint(0, 6)))


def data_is_never_rendered():
    """a text of the data comes out as it is, whatever is in it"""
    source = random.Random(SEED)
    forms = [("a{{ v }}b", "a%sb"), (" {{ v }} {{ v }}", " %s %s"), ("{% for x in l %}<{{ x }}>{% endfor %}.", "<%s><%s>."), ("{% set y = v %}{{ y }};", "%s;"),
             ("{{ o.v }}{{ o.missing | default(v) }}", "%s%s"), ("{% if v == v %}{{ l | join('') }}{% endif %}!", "%s%s!"), ("{{ v + v }}.", "%s%s."),
             ("{{ [v] | first }}{{ l.1 }} ", "%s%s "), ("{{ v | string }}{{ o | values | last }}-", "%s%s-")]
    cases, expected = [], []
    for _ in range(CASES):
        value = hostile_text(source)
        form, result = source.choice(forms)
        cases.append([[form, "{{ v }}", {"{{ v }}": "{{ [v] }}"}], {"v": value, "l": [value, value], "o": {"v": value}, "n": 1, "secret": "leaked"}])
        expected.append([result.replace("%s", value), value, {"{{ v }}": [value]}])
    for case, ours, wanted in zip(cases, session.render(cases), expected):
        assert ours == {"value": wanted}, f"seed {SEED}: {case}\nours: {ours}\nwanted: {wanted}"
    return len(cases)


def braces_change_nothing():
    """an expression in braces, as a graph writes it, gives what it gives without them"""
    _, texts = random_expressions()
    texts = [text for text in texts if not any(sign in text for sign in ("|", "{{", "{%"))]  # which are filters and templates there
    plain = session.evaluate([[text, grammar.CONTEXT] for text in texts])
    braced = session.evaluate([["{{ " + text + " }}", grammar.CONTEXT] for text in texts], "graph")
    bare = session.evaluate([[text, grammar.CONTEXT] for text in texts], "graph")
    for text, *results in zip(texts, plain, braced, bare):
        assert len({str((x.get("value"), x.get("error"))) for x in results}) == 1, f"seed {SEED}: {text}\n{results}"
    return len(texts)


def data_never_rewrites_a_condition():
    """a value compares as itself in a graph's condition, and in a wait's expression that it was bound into, whatever is in it"""
    source = random.Random(SEED)
    hostile = PIECES + ["' or true or '", '" or 1 == 1 or "', "\\'", "true", "1", "async", "{{ other }}", "\\u0027", "\t"]
    cases, expected, waits = [], [], []
    for _ in range(CASES):
        value, other = ("".join(source.choice(hostile) for _ in range(source.randint(0, 4))) for _ in range(2))
        if source.random() < 0.3:
            value = source.choice([[value, None], {value or "k": [value]}, -1.5, 10**30, True, None, [], {}])
        context = {"v": value, "w": other, "l": [value]}
        form, result = source.choice([("{{ v }} == {{ w }}", value == other), ("'<{{ w }}>' == '<' + w + '>'", True), ("{{ v }} in l and {{ v }} == v", True), ("[{{ v }}, '{{ w }}']", [value, other]),
                                      ("{{ l }} == [{{ v }}]", True), ("l.all(x, x == {{ v }})", True)])
        cases.append([form, context])
        expected.append(result)
        waits.append([value, other])
    for case, ours, wanted in zip(cases, session.evaluate(cases, "graph"), expected):
        assert typed(ours.get("value")) == typed(wanted), f"seed {SEED}: {case}\nours: {ours}\nwanted: {wanted}"
    bound = session.bind([["async.v == {{ v }} && '{{ w }}' == async.w", {"v": v, "w": w}] for v, w in waits])
    for (v, w), text, same, other in zip(waits, bound, session.evaluate([[b.get("value", ""), {"async": {"v": v, "w": w}}] for b, (v, w) in zip(bound, waits)], "filter"),
                                         session.evaluate([[b.get("value", ""), {"async": {"v": [v], "w": w}}] for b, (v, w) in zip(bound, waits)], "filter")):
        assert (same.get("value"), other.get("value")) == (True, False), f"seed {SEED}: {v!r} {w!r}: {text}\n{same} {other}"
    return len(cases)


def text_is_left_alone():
    """a text without {{ and {% comes back unchanged"""
    source = random.Random(SEED)
    alphabet = string.printable + "éß漢😀"
    cases = []
    while len(cases) < CASES:
        text = "".join(source.choice(PIECES + list(alphabet)) for _ in range(source.randint(0, 30))).replace("{{", "{ ").replace("{%", "{ ")
        if "{{" not in text and "{%" not in text:
            cases.append([text, {}])
    for case, ours in zip(cases, session.render(cases)):
        assert ours == {"value": case[0]}, f"seed {SEED}: {case[0]!r}: {ours}"
    return len(cases)


def references_are_all_that_is_read():
    """a template without data in the arguments of filters needs only what its references name"""
    made = templates.Templates(SEED)
    texts = [made.template() for _ in range(CASES)]
    whole = session.render([[text, templates.CONTEXT] for text in texts])
    reduced = []
    for text, refs in zip(texts, session.references(texts)):
        assert 'value' in refs, f"seed {SEED}: {text!r}: {refs}"
        roots = {path.split(".")[0] for path in refs["value"]}
        assert refs["value"] == sorted(set(refs["value"]), key=lambda x: x.encode()), f"seed {SEED}: {refs}"
        reduced.append([text, {name: value for name, value in templates.CONTEXT.items() if name in roots}])
    for text, all_of_it, part in zip(texts, whole, session.render(reduced)):
        assert (all_of_it.get("value"), all_of_it.get("error")) == (part.get("value"), part.get("error")), f"seed {SEED}: {text!r}\n{all_of_it}\n{part}"
    return len(texts)


def examples_of_the_manual():
    """what docs/expressions.md shows is what psql gives"""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "expressions.md")
    with open(path, encoding="utf-8") as manual:
        blocks = re.findall(r"```sql\n(.*?)```", manual.read(), re.S)
    examples = [example for block in blocks for example in re.findall(r"(.*?);\n-- (.*?)\n", block, re.S)]
    for statement, result in examples:
        assert session.run_sql(statement) == [result], f"{statement}\nthe manual: {result}\npsql: {session.run_sql(statement)}"
    assert len(examples) > 5
    return len(examples)


if __name__ == "__main__":
    session.create_database()
    sys.exit(0 if session.run_tests([python_agrees, printing_keeps_the_meaning, filter_mode_never_fails, jinja_agrees, data_is_never_rendered, braces_change_nothing, data_never_rewrites_a_condition, text_is_left_alone,
                                     references_are_all_that_is_read, examples_of_the_manual]) else 1)
