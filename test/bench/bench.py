"""The benchmarks of `make bench`. No figure fails anything: machines are noisy; what counts is the ratio within one run."""
import http.client
import json
import os
import statistics
import subprocess
import sys
import time

from bench_tools import Noop, anonymous_kb, cpu_seconds, executor_pids, percentile, pgbench, registration, say, server_cpu_seconds
from auth_bench import auth
from fair_bench import fair
from gateway_bench import gateway
from graph_bench import graphs
from graph_memory import graph_memory
from harness import Cluster, wait_for


def send(close):
    """ff_send_event with one matching function, against a plain two-row insert, both by 8 clients."""
    cluster = close(Cluster(settings={"flowforge.databases": "'nowhere'"}, create=False))
    cluster.sql("create database flowforge", database="postgres")
    cluster.sql("create extension flowforge; create table a (id bigserial primary key, v text); create table b (id bigserial primary key, v text)")
    for table in ("event", "run", "step", "run_end", "run_event_batch"):
        cluster.sql(f"select flowforge.maintain('{table}', 1, interval '0')")
    cluster.sql("select flowforge.register_app($j$" + json.dumps(registration(9)) + "$j$)")
    ratios, rates = [], []
    for _ in range(3):
        plain = pgbench(cluster, "with x as (insert into a (v) values ('x')) insert into b (v) values ('y');\n")
        ours = pgbench(cluster, "select ff_send_event('bench/one', '{\"id\": 1}');\n")
        ratios.append(ours / plain)
        rates.append(ours)
    ratio = statistics.median(ratios)
    say("events sent a second, 8 clients", f"{statistics.median(rates):.0f}")
    say("  ratio to a two-row insert", f"{ratio:.2f}", "0.5", ratio >= 0.5)


def throughput(close):
    """20,000 queued runs of one step. The limit: single-row inserts by 8 clients, a commit each, which is what a queue
    that commits every step could do at most, before any of its work."""
    cluster = close(Cluster())
    cluster.sql("create table plain (id bigserial primary key, v text)")
    limit = pgbench(cluster, "insert into plain (v) values ('x');\n", seconds=4)
    app = close(Noop())
    cluster.sql("select flowforge.register_app($j$" + json.dumps(registration(app.port)) + "$j$)")
    pids = executor_pids(cluster)
    before, server_before = cpu_seconds(pids), server_cpu_seconds(cluster)
    started = time.monotonic()
    for _ in range(4):
        cluster.send("bench/one", 5000)
    sent, server_sent = time.monotonic(), server_cpu_seconds(cluster)
    executors_sent = cpu_seconds(pids)
    wait_for(lambda: cluster.sql("select sum(runs_ended) from flowforge.executors()") == "20000", 300, "20,000 runs ended")
    seconds = time.monotonic() - started
    executors, server = cpu_seconds(pids) - before, server_cpu_seconds(cluster) - server_before
    sending = server_sent - server_before - (executors_sent - before)
    commits, steps = map(int, cluster.sql("select sum(commits), sum(steps) from flowforge.executors()").split("|"))
    say("one-step runs a second (two calls each)", f"{20000 / seconds:.0f}")
    say("  ratio to single-row commits a second, 8 clients", f"{20000 / seconds / limit:.2f}")
    say("  sending 20,000 events took", f"{sent - started:.1f} s")
    say("  executors' CPU a run", f"{executors / 20000 * 1e6:.0f} us")
    say("  other server processes' CPU a run (sending, WAL, ...)", f"{(server - executors) / 20000 * 1e6:.0f} us")
    say("    of it while sending", f"{sending / 20000 * 1e6:.0f} us")
    say("  commits a run", f"{commits / 20000:.4f}")
    say("  steps a commit", f"{steps / commits:.1f}", "16", steps / commits >= 16)


def round_trips(port, count=200):
    """Milliseconds of plain requests to the app on a kept connection: the floor below which no call can be."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    taken = []
    for _ in range(count):
        at = time.perf_counter()
        connection.request("POST", "/", b"{}")
        connection.getresponse().read()
        taken.append((time.perf_counter() - at) * 1000)
        time.sleep(0.01)
    connection.close()
    return taken


def latency(close):
    """One event at a time on an idle server, from before the sending statement, so commit included, to the app's call."""
    cluster = close(Cluster())
    times = os.path.join(cluster.directory, "times")
    app = close(Noop(times=times))
    floor = percentile(round_trips(app.port), 50)
    cluster.sql("select flowforge.register_app($j$" + json.dumps(registration(app.port)) + "$j$)")
    psql = subprocess.Popen(["psql", "-XqAt", "-h", cluster.directory, "-p", str(cluster.port), "-U", "postgres", cluster.database],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    sent = []
    for _ in range(400):
        sent.append(time.time() * 1e6)
        psql.stdin.write("select ff_send_event('bench/one') is not null;\n")
        psql.stdin.flush()
        psql.stdout.readline()
        time.sleep(0.05)
    psql.stdin.close()
    psql.wait()
    time.sleep(0.5)
    called = [int(line) for line in open(times)]
    first = []
    for at in sent[20:]:
        later = [c for c in called if c >= at]
        first.append((min(later) - at) / 1000 if later else 1000)
    p50, p99 = percentile(first, 50), percentile(first, 99)
    say("sending an event to its app called, p50", f"{p50:.2f} ms", "3 ms", p50 < 3)
    say("sending an event to its app called, p99", f"{p99:.2f} ms", "10 ms", p99 < 10)
    say("  ratio of p50 to a plain request's to the same app", f"{p50 / floor:.1f}")


def sleepers(close):
    """100,000 runs that sleep until instants spread over a minute; the app tells how late its call after the sleep is."""
    cluster = close(Cluster(settings={"max_wal_size": "'4GB'"}))
    times = os.path.join(cluster.directory, "late")
    base = int(time.time() * 1000) + 200000
    app = close(Noop("sleep", base, times=times))
    cluster.sql("select flowforge.register_app($j$" + json.dumps(registration(app.port)) + "$j$)")
    pids = executor_pids(cluster)
    cluster.send("bench/one", 1000)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked") == "1000", 30, "1,000 runs sleep")
    before = anonymous_kb(pids)
    for _ in range(20):
        cluster.send("bench/one", 4950)
    wait_for(lambda: time.sleep(1) or cluster.sql("select count(*) from flowforge.run_parked") == "100000", 190, "100,000 runs sleep")
    grown = (anonymous_kb(pids) - before) / 1024
    say("100,000 sleeping runs: executors' memory grew (from 1,000)", f"{grown:.1f} MB", "20 MB", grown < 20)
    time.sleep(max(0, base / 1000 - time.time() - 1))
    cpu = cpu_seconds(pids)
    wait_for(lambda: time.sleep(5) or cluster.sql("select sum(runs_ended) from flowforge.executors()") == "100000", 300, "all have ended")
    late = [int(line) / 1000 for line in open(times)]
    p50, p99 = percentile(late, 50), percentile(late, 99)
    say("  woken and called", f"{len(late)}", "100000", len(late) == 100000)
    say("  executors' CPU a run while waking", f"{(cpu_seconds(pids) - cpu) / 100000 * 1e6:.0f} us")
    say("  called late after the instant, p50", f"{p50:.1f} ms")
    say("  called late after the instant, p99", f"{p99:.1f} ms", "50 ms", p99 < 50)


def triggers(close):
    """An event for one function, when it is the only one and when it is one of 10,000: of other names, and of the same name with other filters."""
    cluster = close(Cluster(settings={"flowforge.databases": "'nowhere'"}, create=False))
    cluster.sql("create database flowforge", database="postgres")
    cluster.sql("create extension flowforge")
    one = """jsonb_build_object('event', 'bench/one', 'expression', 'event.data.kind == ''k0'' && event.data.n > 0')"""
    named = """jsonb_build_object('event', case i % 3 when 0 then 'other/' || i when 1 then 'other/' || i || '/*' else 'bench/' || i end)"""
    filtered = """jsonb_build_object('event', 'bench/one', 'expression', format('event.data.kind == ''k%s'' && event.data.n > 0', i))"""
    for tenant, count, others in ((1, 1, one), (2, 10000, named), (3, 10000, filtered)):
        started = time.monotonic()
        cluster.sql(f"set flowforge.tenant = {tenant}; select ff_register_app('http://127.0.0.1:9/x', 'bench', jsonb_agg(jsonb_build_object('id', 'f' || i, "
                    f"'triggers', jsonb_build_array(case i when 0 then {one} else {others} end)))) from generate_series(0, {count - 1}) i")
        if count > 1:
            say("registering 10,000 functions", f"{time.monotonic() - started:.1f} s")
    batch = ("select extract(epoch from clock_timestamp() - statement_timestamp()) from (select count(ff_send_event('bench/one', "
             "'{\"kind\": \"k0\", \"n\": 1}')) as n from generate_series(1, 1000)) s where n = 1000")
    turn = [argument for tenant in (1, 2, 3) for argument in ("-c", f"set flowforge.tenant = {tenant}", "-c", "begin", "-c", batch, "-c", "rollback")]
    times = [float(line) for line in cluster.psql(*turn * 12).stdout.split()]
    runs = cluster.psql("-c", "set flowforge.tenant = 3", "-c", "select ff_send_event('bench/one', '{\"kind\": \"k0\", \"n\": 1}') is not null",
                        "-c", "select count(*) from flowforge.run").stdout.split()
    assert runs == ["t", "1"], runs
    best = [min(times[3 + at::3]) for at in range(3)]
    say("sending an event that one function matches, one registered", f"{best[0] * 1000:.1f} us")
    for at, what in ((1, "10,000 with other event names"), (2, "10,000 with the same name and other filters")):
        say(f"  ratio with {what}", f"{best[at] / best[0]:.2f}", "1.20", best[at] / best[0] <= 1.2)


PARTS = {"send": send, "triggers": triggers, "throughput": throughput, "latency": latency, "graphs": graphs,
         "memory": graph_memory, "fair": fair, "gateway": gateway, "auth": auth, "sleepers": sleepers}


def main():
    failed = False
    for part in sys.argv[1:] or PARTS:
        opened = []
        try:
            PARTS[part](lambda thing: opened.append(thing) or thing)
        except Exception as error:
            failed = True
            say(f"{part}: stopped", "", str(error), False)
        finally:
            for thing in reversed(opened):
                (thing.remove if isinstance(thing, Cluster) else thing.stop)()
    sys.exit(failed)


if __name__ == "__main__":
    main()
