"""The fair queue: what a run costs when a million wait behind it, and how soon another tenant's run is there. In process, so that nothing
but the engine is measured."""
import json
import threading
import time

from bench_tools import anonymous_kb, cpu_seconds, executor_pids, percentile, say
from graph_bench import chain, event_to_end, publish, Session
from harness import App, Cluster, wait_for

SMALL, LARGE, MEASURED = 40000, 1000000, 30000

# What the executor can do is bounded by calls, not by the machine: CALLS at once, each of CALL seconds.
CALLS, CALL, NEIGHBOURS, SECONDS = 8, 0.08, 4, 20
SHARE = CALLS / CALL / NEIGHBOURS  # runs a second


def queue(cluster, count):
    """Queued runs, each with its event, as a sender would have left them."""
    for _ in range(0, count, 20000):
        cluster.sql("with n as (select flowforge.uuid7() as event_id, flowforge.uuid7() as run_id from generate_series(1, 20000)), "
                    "e as (insert into flowforge.event (tenant_id, event_id, name, data, ts) "
                    "select 1, n.event_id, 'bench/one', '{\"n\": 1}', now() from n), "
                    "r as (insert into flowforge.run (tenant_id, run_id, function_id, version, event_id, created_at) "
                    "select 1, n.run_id, f.function_id, f.version, n.event_id, clock_timestamp() from n, flowforge.function f where f.tenant_id = 1) "
                    "insert into flowforge.run_hot (slot, run_id, tenant_id, function_id, version, event_id) "
                    "select flowforge.slot(n.run_id), n.run_id, 1, f.function_id, f.version, n.event_id from n, flowforge.function f where f.tenant_id = 1")


def ended(cluster):
    return int(cluster.sql("select sum(runs_ended) from flowforge.executors()"))


def drain(cluster, backlog):
    """The executor's CPU a run, in microseconds, for the first of so many queued runs, once it has begun."""
    cluster.sql("select ff_pause('one')")
    queue(cluster, backlog)
    cluster.sql("vacuum analyze")
    cluster.sql("checkpoint")
    pids = executor_pids(cluster)
    before = ended(cluster)
    cluster.sql("select ff_resume('one')")
    wait_for(lambda: ended(cluster) > before + 4000, 60, "the first runs have ended")
    cpu, first = cpu_seconds(pids), ended(cluster)
    wait_for(lambda: ended(cluster) > before + 4000 + MEASURED, 120, "runs have ended")
    return (cpu_seconds(pids) - cpu) / (ended(cluster) - first) * 1e6


def beside(cluster):
    """Milliseconds until another tenant's run has ended, one at a time, while the first tenant's million are drained."""
    session = Session(cluster)
    session.do("set flowforge.tenant = 2")
    times = event_to_end(session, "one", 100)
    session.stop()
    return times


def sender(cluster, tenant, a_second):
    """Sends events of a tenant evenly for so many seconds, a hundredth of a second's at once if there are that many."""
    session = Session(cluster)
    session.do(f"set flowforge.tenant = {tenant}")
    began, sent = time.monotonic(), 0
    while time.monotonic() < began + SECONDS:
        due = int((time.monotonic() - began) * a_second) - sent
        if due > 0:
            session.ask(f"select count(ff_send_event('bench{tenant}/go')) from generate_series(1, {due})")
            sent += due
        time.sleep(0.01)
    session.stop()


def beside_one_at(cluster, times):
    """99 % of the other tenants' runs end within so many milliseconds of their event while the first tenant sends so many times its share."""
    since = cluster.sql("select clock_timestamp()")
    threads = [threading.Thread(target=sender, args=(cluster, tenant, SHARE * (times if tenant == 1 else 0.5))) for tenant in range(1, NEIGHBOURS + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: cluster.sql(f"select count(*) from flowforge.runs where tenant_id > 1 and created_at > '{since}' and ended_at is null") == "0", 60, "they have ended")
    took = [float(t) for t in cluster.sql("select extract(epoch from ended_at - created_at) * 1000 from flowforge.runs "
                                          f"where tenant_id > 1 and created_at > '{since}'").split()]
    left = int(cluster.sql("select count(*) from flowforge.run_hot where tenant_id = 1"))
    return percentile(took, 99), left


def neighbours(close):
    cluster = close(Cluster(settings={"flowforge.executors": "1", "flowforge.max_in_flight": str(CALLS)}))
    for tenant in range(1, NEIGHBOURS + 1):
        cluster.sql(f"insert into flowforge.tenant (tenant_id, name) values ({tenant}, 'tenant {tenant}') on conflict do nothing")
        app = close(App(name=f"bench{tenant}", steps=0, delay=CALL))
        cluster.sql(f"set flowforge.tenant = {tenant}; select flowforge.register_app($json${json.dumps(app.registration())}$json$)")
        cluster.sql(f"set flowforge.tenant = {tenant}; select ff_send_event('bench{tenant}/go')")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_end") == str(NEIGHBOURS), 60, "everybody has been served once")
    within, _ = beside_one_at(cluster, 1)
    beyond, left = beside_one_at(cluster, 10)
    say("others' runs, event to end, one tenant at its share, p99", f"{within:.1f} ms")
    say("  ratio while it sends ten times that", f"{beyond / within:.2f}", "1.5", beyond / within <= 1.5 and left > 0)


def fair(close):
    cluster = close(Cluster(settings={"flowforge.executors": "1", "max_wal_size": "'8GB'", "track_commit_timestamp": "on",
                                      "shared_buffers": "'512MB'"}))
    cluster.sql("insert into flowforge.tenant (tenant_id, name) values (2, 'beside')")
    publish(cluster, "one", chain(1))
    cluster.psql(stdin="set flowforge.tenant = 2;\n" + "select ff_workflow_create('one', definition, triggers => '[{\"event\": \"bench/one\"}]') is not null "
                 "from (select v.config -> 'graph' as definition from flowforge.function_version v where v.tenant_id = 1 limit 1) d;\n"
                 "select ff_workflow_publish('one') is not null;")
    neighbours(close)
    small = drain(cluster, SMALL)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_hot") == "0", 60, "the small backlog is done")
    memory = anonymous_kb(executor_pids(cluster))
    large = drain(cluster, LARGE)
    grown = (anonymous_kb(executor_pids(cluster)) - memory) / 1024
    say("an executor's CPU a run, a few runs queued", f"{small:.0f} us")
    say(f"  ratio with {LARGE:,} queued", f"{large / small:.2f}", "1.15", large / small <= 1.15)
    say("  its memory grew", f"{grown:.1f} MB", "20 MB", grown < 20)
    times = beside(cluster)
    left = int(cluster.sql("select count(*) from flowforge.run_hot"))
    say("another tenant's run, event to end, beside them, p50", f"{percentile(times, 50):.1f} ms", "100 ms", percentile(times, 50) < 100 and left > 100000)
    say("  p99", f"{percentile(times, 99):.1f} ms")
