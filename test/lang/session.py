"""Runs many expressions or templates in one go through psql (PGHOST, PGPORT, PGUSER say where), and prints TAP."""
import json
import os
import subprocess
import traceback

DATABASE = os.environ.get("FLOWFORGE_LANG_DATABASE", "flowforge_lang")
HELPERS = """
create or replace function pg_temp.try_eval(expression text, context jsonb, mode text) returns jsonb language plpgsql as $$
begin
	return jsonb_build_object('value', public.ff_eval(expression, context, mode));
exception when others then
	return jsonb_build_object('error', sqlstate, 'message', sqlerrm);
end
$$;
create or replace function pg_temp.try_print(expression text) returns jsonb language plpgsql as $$
begin
	return jsonb_build_object('value', flowforge.canonical_expression(expression));
exception when others then
	return jsonb_build_object('error', sqlstate, 'message', sqlerrm);
end
$$;
create or replace function pg_temp.try_bind(expression text, context jsonb) returns jsonb language plpgsql as $$
begin
	return jsonb_build_object('value', flowforge.bound_expression(expression, context));
exception when others then
	return jsonb_build_object('error', sqlstate, 'message', sqlerrm);
end
$$;
create or replace function pg_temp.try_render(template jsonb, context jsonb) returns jsonb language plpgsql as $$
begin
	return jsonb_build_object('value', public.ff_render(template, context));
exception when others then
	return jsonb_build_object('error', sqlstate, 'message', sqlerrm);
end
$$;
create or replace function pg_temp.try_refs(template jsonb) returns jsonb language plpgsql as $$
begin
	return jsonb_build_object('value', to_jsonb(public.ff_template_refs(template)));
exception when others then
	return jsonb_build_object('error', sqlstate, 'message', sqlerrm);
end
$$;
"""


def run_sql(script, database=DATABASE):
    """Gives the lines psql prints; raises when it fails."""
    done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"], input=script, capture_output=True, text=True,
                          encoding="utf-8")
    if done.returncode != 0:
        raise RuntimeError(f"psql failed: {done.stderr}")
    return done.stdout.split("\n")[:-1]


def create_database():
    run_sql(f"drop database if exists {DATABASE}", "postgres")
    run_sql(f"create database {DATABASE}", "postgres")
    run_sql("create extension flowforge")


def call_many(call, cases):
    """The answers of `call`, SQL over the case `c` (jsonb), one for each case: {"value": ...} or {"error": SQLSTATE, "message": ...}."""
    text = json.dumps(cases, ensure_ascii=True)
    assert "$cases$" not in text
    lines = run_sql(f"{HELPERS}\nselect {call} from jsonb_array_elements($cases${text}$cases$) with ordinality u (c, i) order by i")
    assert len(lines) == len(cases)
    return [json.loads(line) for line in lines]


def evaluate(cases, mode="strict"):
    """cases: [expression, context]"""
    return call_many(f"pg_temp.try_eval(c->>0, c->1, '{mode}')", cases)


def bind(cases):
    """cases: [expression, context]"""
    return call_many("pg_temp.try_bind(c->>0, c->1)", cases)


def render(cases):
    """cases: [template, context]"""
    return call_many("pg_temp.try_render(c->0, c->1)", cases)


def references(templates):
    return call_many("pg_temp.try_refs(c->0)", [[t] for t in templates])


def canonical(expressions):
    return call_many("pg_temp.try_print(c->>0)", [[e] for e in expressions])


def run_tests(tests):
    """Each test is a function; its docstring is the sentence that must hold."""
    failed = 0
    for number, test in enumerate(tests, 1):
        try:
            cases = test()
            print(f"ok {number} - {test.__doc__} ({cases} cases)")
        except Exception:
            failed += 1
            print(f"not ok {number} - {test.__doc__}")
            print("\n".join("# " + line for line in traceback.format_exc().split("\n")))
    print(f"1..{len(tests)}")
    return failed == 0
