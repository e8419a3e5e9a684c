"""Checks many values by schemas in one go through psql (PGHOST, PGPORT, PGUSER say where)."""
import json
import os
import subprocess

DATABASE = os.environ.get("FLOWFORGE_SCHEMA_DATABASE", "flowforge_schema")
REFUSED = {"$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties", "additionalItems", "dependencies", "$anchor"}


def run_sql(script, database=DATABASE):
    """Gives the lines psql prints; raises when it fails."""
    done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"], input=script, capture_output=True, text=True,
                          encoding="utf-8")
    if done.returncode != 0:
        raise RuntimeError(f"psql failed: {done.stderr}")
    return done.stdout.split("\n")[:-1]


def create_database():
    run_sql(f"set client_min_messages = warning; drop database if exists {DATABASE}", "postgres")
    run_sql(f"create database {DATABASE}", "postgres")
    run_sql("create extension flowforge")


def check(cases):
    """cases: [schema, value]; a list of findings for each."""
    text = json.dumps(cases, ensure_ascii=True)
    assert "$cases$" not in text
    lines = run_sql("select flowforge.schema_check(c->0, c->1) from jsonb_array_elements($cases$" + text + "$cases$) with ordinality u (c, i) order by i")
    assert len(lines) == len(cases)
    return [json.loads(line) for line in lines]


def must_be_refused(schema):
    """Whether a schema uses what is known and left out, or refers to another document."""
    if isinstance(schema, list):
        return any(must_be_refused(part) for part in schema)
    if not isinstance(schema, dict):
        return False
    reference = schema.get("$ref")
    return (bool(REFUSED & schema.keys()) or (isinstance(reference, str) and not (reference == "#" or reference.startswith("#/")))
            or any(must_be_refused(part) for part in schema.values()))
