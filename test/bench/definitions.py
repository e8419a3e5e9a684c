"""The benchmark of definitions: bash test/bench/run.sh definitions (part of `make bench`; `make install` first).

Validates and plans a graph of 1,000 nodes, a chain in which each node names what comes before it: the most that can come before anything.
Processor time of the session is what counts, so that others on the machine do not.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tap"))
from harness import Cluster  # noqa: E402

ROUNDS = 20
BAR = 20  # ms

SCRIPT = f"""
create temp table g as select jsonb_build_object(
    'nodes', (select jsonb_agg(jsonb_build_object('id', 'n' || i, 'type', 'http_request', 'position', '{{"x": 1, "y": 2}}'::jsonb, 'data', jsonb_build_object('label', 'Node ' || i,
        'config', jsonb_build_object('url', format('https://x.y/{{{{ n%s.body.id }}}}/%s', i - 1, i), 'method', 'POST', 'headers', '{{"X-A": "{{{{ input.k }}}}"}}'::jsonb,
        'body', jsonb_build_object('a', format('{{{{ n%s.body.x }}}}', i - 1), 'b', 2)))) order by i) from generate_series(1, 1000) i),
    'edges', (select jsonb_agg(jsonb_build_object('id', 'e' || i, 'source', 'n' || i, 'target', 'n' || i + 1)) from generate_series(1, 999) i)) d;
update g set d = jsonb_set(d, '{{nodes,0,data,config}}', '{{"url": "https://x.y/{{{{ input.k }}}}"}}');
create temp table spent (n serial, user_ms numeric);
create function pg_temp.spend() returns void language sql as $$
    insert into spent (user_ms) select 10 * (split_part(s, ' ', 14)::numeric + split_part(s, ' ', 15)::numeric) from pg_read_file('/proc/self/stat') s
$$;
select ff_workflow_validate(d) -> 'valid' from g;
select pg_temp.spend();
do $$ begin for i in 1..{ROUNDS} loop perform ff_workflow_validate(d) from g; end loop; end $$;
select pg_temp.spend();
do $$ begin for i in 1..{ROUNDS} loop perform ff_workflow_plan(d) from g; end loop; end $$;
select pg_temp.spend();
select string_agg(round(user_ms / {ROUNDS}, 1)::text, ' ') from (select user_ms - lag(user_ms) over (order by n) as user_ms from spent) s where user_ms is not null;
"""


def main():
    cluster = Cluster()
    try:
        lines = cluster.psql("-f", "-", stdin=SCRIPT).stdout.split("\n")
    finally:
        cluster.remove()
    assert "true" in lines, lines
    validate, plan = (float(x) for x in [line for line in lines if line][-1].split())
    print(f"{'validating a graph of 1,000 nodes, ms':58} {validate:14.1f}   bar {BAR}: {'met' if validate < BAR else 'MISSED'}")
    print(f"{'planning it (a chain: 1,000,000 ancestors and descendants)':58} {plan:14.1f}")


if __name__ == "__main__":
    main()
