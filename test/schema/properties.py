"""Random schemas and values, compared with Python's jsonschema: usage properties.py [SEED [CASES]]. Prints TAP.

Both must agree on whether a value fits; where it does not, on the places that are named first. A failure prints the seed that repeats it.
"""
import json
import random
import sys
import time

import jsonschema
import session

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else int(time.time())
CASES = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
NAMES = ["a", "b", "c/d", "e~", "ä", "long name", ""]
TEXTS = ["", "a", "ab", "abc", "äöü", "💡", "word", "{{ a }}", "2", "true"]
NUMBERS = [0, 1, -1, 2, 2.5, 1.0, 0.1, 10, 1e3, -7, 100]
PATTERNS = ["^a", "b$", "^[a-z]+$", "[0-9]", ".", "^(ab|c)*$", r"\bword\b", "^.{2,3}$", "^$"]
COMPOSING = ["allOf", "anyOf", "oneOf"]


def some(r, choices, most):
    return [r.choice(choices) for _ in range(r.randint(0, most))]


def value(r, depth=3):
    kind = r.choice("0bnsnsao" if depth > 0 else "0bns")
    if kind == "a":
        return [value(r, depth - 1) for _ in range(r.randint(0, 4))]
    if kind == "o":
        return {name: value(r, depth - 1) for name in some(r, NAMES, 4)}
    return {"0": None, "b": r.random() < 0.5, "n": r.choice(NUMBERS), "s": r.choice(TEXTS)}[kind]


def composed(r, depth):
    keyword = r.choice(COMPOSING + ["not", "if", "$ref"])
    if keyword == "not":
        return {"not": schema(r, depth - 1)}
    if keyword == "if":
        return {name: schema(r, depth - 1) for name in ["if"] + r.sample(["then", "else"], r.randint(0, 2))}
    if keyword == "$ref":
        return {"$ref": "#/$defs/" + r.choice(["one", "two~0"])}
    return {keyword: [schema(r, depth - 1) for _ in range(r.randint(1, 3))]}


def scalar_keywords(r):
    return r.choice([
        lambda: {"type": r.choice(["object", "array", "string", "number", "integer", "boolean", "null"])},
        lambda: {"type": r.sample(["object", "array", "string", "number", "integer", "boolean", "null"], r.randint(1, 4))},
        lambda: {"enum": [value(r, 1) for _ in range(r.randint(0, 5))]},
        lambda: {"const": value(r, 1)},
        lambda: {"minimum": r.choice(NUMBERS)}, lambda: {"maximum": r.choice(NUMBERS)},
        lambda: {"exclusiveMinimum": r.choice(NUMBERS)}, lambda: {"exclusiveMaximum": r.choice(NUMBERS)},
        lambda: {"multipleOf": r.choice([1, 2, 5, 2.5])},
        lambda: {"minLength": r.randint(0, 3)}, lambda: {"maxLength": r.randint(0, 3)},
        lambda: {"pattern": r.choice(PATTERNS)},
    ])()


def container_keywords(r, depth):
    return r.choice([
        lambda: {"properties": {name: schema(r, depth - 1) for name in some(r, NAMES, 3)}},
        lambda: {"additionalProperties": schema(r, depth - 1)},
        lambda: {"patternProperties": {pattern: schema(r, depth - 1) for pattern in some(r, PATTERNS, 2)}},
        lambda: {"propertyNames": schema(r, 0)},
        lambda: {"required": sorted(set(some(r, NAMES, 2)))},
        lambda: {"minProperties": r.randint(0, 2)}, lambda: {"maxProperties": r.randint(0, 3)},
        lambda: {"dependentRequired": {r.choice(NAMES): sorted(set(some(r, NAMES, 2)))}},
        lambda: {"dependentSchemas": {r.choice(NAMES): schema(r, depth - 1)}},
        lambda: {"items": schema(r, depth - 1)},
        lambda: {"prefixItems": [schema(r, depth - 1) for _ in range(r.randint(1, 3))]},
        lambda: {"contains": schema(r, depth - 1), "minContains": r.randint(0, 2)},
        lambda: {"contains": schema(r, depth - 1), "maxContains": r.randint(0, 2)},
        lambda: {"minItems": r.randint(0, 2)}, lambda: {"maxItems": r.randint(0, 3)}, lambda: {"uniqueItems": r.random() < 0.8},
    ])()


def schema(r, depth=3):
    if r.random() < 0.06:
        return r.random() < 0.7
    made = {}
    for _ in range(r.randint(1, 3)):
        if depth > 0 and r.random() < 0.2:
            made |= composed(r, depth)
        elif depth > 0 and r.random() < 0.6:
            made |= container_keywords(r, depth)
        else:
            made |= scalar_keywords(r)
    return made


def document(r):
    """A schema with parts to refer to; those refer to none, so that nothing goes in circles."""
    parts = {"one": scalar_keywords(r), "two~": container_keywords(r, 0) if r.random() < 0.5 else scalar_keywords(r)}
    whole = schema(r)
    return whole | {"$defs": parts} if isinstance(whole, dict) else whole


def pointer(path):
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


# What is named differently: a name or a member that is not allowed is named itself, not the object it is in.
ELSEWHERE = {"additionalProperties", "propertyNames", "false", "items", None}


def agree(case, findings):
    errors = list(jsonschema.Draft202012Validator(case[0]).iter_errors(case[1]))
    if bool(errors) != bool(findings):
        return False
    ours = {finding["path"] for finding in findings if finding["keyword"] not in ELSEWHERE}
    theirs = {pointer(error.absolute_path) for error in errors if error.validator not in ELSEWHERE and "propertyNames" not in error.absolute_schema_path}
    return len(findings) >= 100 or ours == theirs


def refers_without_parts(part):
    if isinstance(part, list):
        return any(refers_without_parts(inner) for inner in part)
    return isinstance(part, dict) and ("$ref" in part or any(refers_without_parts(inner) for inner in part.values()))


def main():
    r = random.Random(SEED)
    cases = []
    while len(cases) < CASES:
        case = [document(r), value(r)]
        if not (refers_without_parts(case[0].get("$defs")) if isinstance(case[0], dict) else False):
            cases.append(case)
    wrong = [(case, findings) for case, findings in zip(cases, session.check(cases)) if not agree(case, findings)]
    fitting = sum(not findings for findings in session.check(cases))
    print(f"{'not ok' if wrong else 'ok'} 1 - Python's jsonschema and ours agree on {CASES} random schemas and values, {fitting} of which fit (seed {SEED})")
    for case, findings in wrong[:5]:
        print("#", json.dumps(case, ensure_ascii=False), "ours:", findings, "theirs:",
              [(pointer(e.absolute_path), e.validator) for e in jsonschema.Draft202012Validator(case[0]).iter_errors(case[1])])
    print("1..1")
    return not wrong


if __name__ == "__main__":
    session.create_database()
    sys.exit(0 if main() else 1)
