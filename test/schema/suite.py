"""The public JSON-Schema-Test-Suite: usage suite.py DIRECTORY, its tests/draft2020-12. Prints TAP, a line a file.

A schema that uses what is refused (another document, dynamic references, unevaluated members) must be refused, not passed over.
"""
import json
import os
import sys

import session

# What is left out on purpose: other documents, anchors, content in texts, vocabularies; and numbers or texts jsonb cannot hold.
LEFT_OUT = {"anchor.json", "dynamicRef.json", "unevaluatedItems.json", "unevaluatedProperties.json", "refRemote.json", "vocabulary.json",
            "content.json", "format.json"}  # which says that formats demand nothing: ours do
UNSUPPORTED = ("a quoted string with", "address-literal after the @ is valid")  # addresses nobody has
FORMATS = {"date-time.json", "date.json", "time.json", "email.json", "uri.json", "uuid.json"}


def read(path):
    with open(path, encoding="utf-8") as file:
        return [(f"{group['description']}: {test['description']}", group["schema"], test["data"], test["valid"])
                for group in json.load(file) for test in group["tests"]]


def wrong_answers(path):
    cases = [case for case in read(path) if "\\u0000" not in json.dumps(case) and not any(part in case[0] for part in UNSUPPORTED)]
    answers = session.check([[schema, data] for _, schema, data, _ in cases])
    wrong = []
    for (name, schema, data, valid), findings in zip(cases, answers):
        refused = any(finding["keyword"] in ("schema", "limit") for finding in findings)
        if refused and not session.must_be_refused(schema):
            wrong.append(f"{name}: {json.dumps(schema)} is refused: {findings}")
        elif not refused and (findings == []) != valid:
            wrong.append(f"{name}: {json.dumps(schema)} of {json.dumps(data)} gives {findings}")
    return len(cases), wrong


def main(directory):
    names = sorted(name for name in os.listdir(directory) if name.endswith(".json") and name not in LEFT_OUT)
    paths = [os.path.join(directory, name) for name in names]
    paths += [os.path.join(directory, "optional", "format", name) for name in sorted(FORMATS)]
    failed = 0
    for number, path in enumerate(paths, 1):
        count, wrong = wrong_answers(path)
        failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {number} - {os.path.basename(path)} ({count} cases)")
        for line in wrong:
            print("#", line)
    print(f"1..{len(paths)}")
    return failed


if __name__ == "__main__":
    session.create_database()
    sys.exit(1 if main(sys.argv[1]) else 0)
