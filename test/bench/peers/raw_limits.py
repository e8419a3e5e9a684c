"""The raw limits: what this machine's server, or its network, does of the same kind when nothing but that is asked of it."""
import json
import os
import re
import subprocess

from bench_tools import Noop, pgbench, server_cpu_seconds

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = """
create table plain (id bigserial primary key, v text);
create table queue (id bigserial primary key, v text);
create sequence hundred;
create table step (run bigint, step integer, v jsonb, at timestamptz not null default clock_timestamp(), primary key (run, step));
-- Five-step runs a hundred to a commit: what a procedure inserts goes through saved plans.
create procedure five_steps(runs integer) language plpgsql as $$
begin
    for run in 1..runs loop
        for i in 1..5 loop
            insert into step (run, step, v) values (run, i, '{"ok": true}');
        end loop;
        if run % 100 = 0 then
            commit;
        end if;
    end loop;
end
$$;
"""
# What the engine asks an app, about.
ASKED = json.dumps({"ctx": {"run_id": "01JD6ZQ0000000000000000000", "attempt": 0, "stack": {"stack": [], "current": 0}, "fn_id": "bench-http"},
                    "event": {"id": "01JD6ZQ0000000000000000000", "name": "bench/http", "data": {"n": 1}, "user": {}, "ts": 1763700000000},
                    "events": [{"id": "01JD6ZQ0000000000000000000", "name": "bench/http", "data": {"n": 1}, "user": {}, "ts": 1763700000000}],
                    "steps": {}, "version": 2, "use_api": False})


def url(cluster, database):
    return f"postgresql://postgres@127.0.0.1:{cluster.port}/{database}"


def used(cluster):
    """CPU seconds of this process, the server, and what was started and has ended."""
    return sum(os.times()[:4]) + server_cpu_seconds(cluster)


def metered(cluster, script, seconds, clients, database, times=1):
    """A script's transactions a second and the CPU microseconds of one, where each is `times` of what is counted."""
    before = used(cluster)
    rate = times * pgbench(cluster, script + "\n", seconds, clients, database)
    return {"rate": rate, "cpu": (used(cluster) - before) / (rate * seconds) * 1e6}


class Limits:
    """Each method is a row's; `size` says how much work, `seconds` how long."""

    def __init__(self, cluster, node):
        self.cluster, self.node = cluster, node
        cluster.sql("create database limits", database="postgres")
        cluster.psql(stdin=SCHEMA, database="limits")

    def bench(self, *arguments, times=1):
        return metered(self.cluster, *arguments, "limits", times)

    def send(self, seconds):
        return self.bench("insert into plain (v) values ('x');", seconds, 8)

    def batch(self, seconds):
        return self.bench("insert into plain (v) select 'x' from generate_series(1, 1000);", seconds, 1, times=1000)

    def drain(self, seconds):
        """Rows deleted in hundreds by two clients, none of whom looks for what is next: so many are queued that they do not get through."""
        self.cluster.psql(stdin=f"truncate queue restart identity; alter sequence hundred restart; insert into queue (v) select 'x' from generate_series(1, {seconds * 400000})",
                          database="limits")
        found = self.bench("delete from queue where id in (select i from (select nextval('hundred') as h offset 0) s, generate_series(100 * h - 99, 100 * h) i);",
                           seconds, 2, times=100)
        assert self.cluster.sql("select exists (select from queue)", database="limits") == "t", "the queue was too short"
        return found

    def five(self, seconds):
        runs = 10000 * seconds
        self.cluster.sql("truncate step", database="limits")
        before = used(self.cluster)
        out = self.cluster.psql("-c", r"\timing on", "-c", f"call five_steps({runs})", database="limits").stdout
        return {"rate": runs / (float(re.search(r"Time: ([\d.]+) ms", out).group(1)) / 1000), "cpu": (used(self.cluster) - before) / runs * 1e6}

    def requests(self, seconds, *mode):
        """Requests a second that the no-op app answers to 64 connections."""
        app = Noop(*mode)
        script = os.path.join(self.cluster.directory, "request.lua")
        with open(script, "w") as f:
            f.write(f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = [[{ASKED}]]\n")
        try:
            out = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{app.port}/"], capture_output=True, text=True, check=True).stdout
        finally:
            app.stop()
        return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))

    def http(self, seconds):
        return {"rate": self.requests(seconds, "steps", 5) / 6}

    def stream(self, seconds):
        return {"rate": self.requests(seconds, "stream", 5)}

    def idle(self, seconds):
        """Milliseconds of a single insert's commit on an idle server."""
        out = subprocess.run([self.node, os.path.join(HERE, "commits.mjs"), str(seconds * 20)], capture_output=True, text=True, check=True,
                             env=dict(os.environ, DATABASE_URL=url(self.cluster, "limits"))).stdout
        return {"ms": json.loads(out)}
