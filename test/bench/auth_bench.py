"""What it costs to find out who asks and to run a route's function as their database role: events posted with an API key, beside the same function
on a route that is open to everybody and acts for its owner. The CPU time of the server for an event, in turns; the best of each counts."""
import json

from bench_tools import pgbench, say, server_cpu_seconds
from harness import Cluster

TURNS = 4
SECONDS = 4
BODY = json.dumps({"name": "bench/event", "data": {"order": 17, "total": 99.5, "items": ["a", "b", "c"]}})
OPEN = """
create function public.{name}(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.{function}(request);
end
$$;
insert into flowforge.route (method, pattern, function, lane, scope, tag, summary, request_schema, response_schema)
select 'POST', '{pattern}', 'public.{name}', lane, 'public', tag, 'The same, open to everybody', request_schema, response_schema
from flowforge.route where function = 'flowforge.{function}';
"""


def call(path, token=None):
    headers = {"x-request-id": "0" * 32, "content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    return (f"select status, headers, body from flowforge.serve('POST', '{path}', '', '{json.dumps(headers)}'::jsonb, "
            f"'\\x{BODY.encode().hex()}'::bytea);\n")


def cost(cluster, script):
    """The server's CPU time of an event that is there, in microseconds."""
    count, cpu = int(cluster.sql("select count(*) from flowforge.event")), server_cpu_seconds(cluster)
    pgbench(cluster, script, seconds=SECONDS, clients=2)
    used = server_cpu_seconds(cluster) - cpu
    return used / (int(cluster.sql("select count(*) from flowforge.event")) - count) * 1e6


def auth(close):
    cluster = close(Cluster(settings={"flowforge.databases": "'nowhere'"}, create=False))
    cluster.sql("create database flowforge", database="postgres")
    cluster.sql("create extension flowforge")
    cluster.sql("select flowforge.maintain('event', 1, interval '0')")
    keys = [cluster.sql(f"select key from ff_key_create('bench', 'live', '{{{scope}}}')") for scope in ("events:send", "admin")]
    for path, name, function in (("/api/v1/events", "open_send", "api_send_event"), ("/e/bench", "open_receive", "api_receive")):
        cluster.sql(OPEN.format(name=name, function=function, pattern=f"/{name}"))
        scripts = {"without": call(f"/{name}"), "key": call(path, keys[0]), "roles": call(path, keys[0]) + call(path, keys[1])}
        costs = {what: [] for what in scripts}
        for _ in range(TURNS):
            for what, script in scripts.items():
                costs[what].append(cost(cluster, script))
        best = {what: min(times) for what, times in costs.items()}
        say(f"POST {path}: CPU of an event, by a key as its role", f"{best['key']:.0f} us")
        say("  ratio to nobody asked for, as the owner", f"{best['key'] / best['without']:.2f}", "1.15", best["key"] <= 1.15 * best["without"])
        say("  ratio of two roles in turn on a connection", f"{best['roles'] / best['without']:.2f}")
