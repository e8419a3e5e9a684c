"""The language's benchmark: bash test/bench/run.sh lang (part of `make bench`; `make install` first).

Evaluates over rows of a table, each a context of its own, and takes off what reading the rows alone costs. The limit it is compared with is
what PostgreSQL's own jsonb operators need for the same in the same run.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tap"))
from harness import Cluster  # noqa: E402

ROWS = 200000
ROUNDS = 5
BAR = 2000  # ns

FILTER = "event.data.total > 100 && event.data.kind == ''x''"
WORK = {
    "reading the rows": "c",
    "jsonb operators": "(c->'event'->'data'->'total')::numeric > 100 and c->'event'->'data'->>'kind' = 'x'",
    "jsonpath": "c @@ '$.event.data.total > 100 && $.event.data.kind == \"x\"'",
    "ff_eval": f"ff_eval('{FILTER}', c)",
    "ff_eval, filter mode": f"ff_eval('{FILTER}', c, 'filter')",
    "to_jsonb(format())": "to_jsonb(format('order %s of %s', c#>>'{event,data,id}', c#>>'{event,data,kind}'))",
    "ff_render": "ff_render('\"order {{ event.data.id }} of {{ event.data.kind }}\"', c)",
}


def measure(cluster):
    """Nanoseconds a row, the best of some rounds, and for what is compiled each time the same."""
    queries = "\n".join(f"explain (analyze, timing off, summary on) select count({work}) from c;" for work in WORK.values()) * ROUNDS
    compiled = "explain (analyze, timing off) select count(ff_eval(format('n == %s || n == 1 && n < 2', i), '{\"n\": 1}')) from generate_series(1, 20000) i;"
    script = f"""
        set max_parallel_workers_per_gather = 0;
        set jit = off;
        create temp table c as select jsonb_build_object('event', jsonb_build_object('name', 'order', 'ts', 1700000000000, 'id', i,
            'data', jsonb_build_object('total', 50 + i % 100, 'kind', 'x', 'id', i, 'name', 'abc'))) c from generate_series(1, {ROWS}) i;
        analyze c;
        {queries}
        {compiled}"""
    times = [float(ms) for ms in re.findall(r"Execution Time: ([\d.]+) ms", cluster.psql("-f", "-", stdin=script).stdout)]
    best = {name: min(times[i:-1:len(WORK)]) * 1e6 / ROWS for i, name in enumerate(WORK)}
    rows = best.pop("reading the rows")
    return {name: ns - rows for name, ns in best.items()}, times[-1] * 1e6 / 20000


def main():
    cluster = Cluster()
    try:
        ns, compiled = measure(cluster)
    finally:
        cluster.remove()
    for name, value in ns.items():
        print(f"{name + ', ns a row':58} {value:14.0f}")
    good = ns["ff_eval, filter mode"] < BAR
    print(f"{'a filter, as a ratio to jsonb operators':58} {ns['ff_eval, filter mode'] / ns['jsonb operators']:14.2f}")
    print(f"{'a filter, ns':58} {ns['ff_eval, filter mode']:14.0f}   bar {BAR}: {'met' if good else 'MISSED'}")
    print(f"{'a template, as a ratio to format()':58} {ns['ff_render'] / ns['to_jsonb(format())']:14.2f}")
    print(f"{'an expression never seen, compiled and evaluated, ns':58} {compiled:14.0f}")


if __name__ == "__main__":
    main()
