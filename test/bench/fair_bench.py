"""The fair queue: what a run costs when a million wait behind it, and how soon another tenant's run is there. In process, so that nothing
but the engine is measured."""
from bench_tools import anonymous_kb, cpu_seconds, executor_pids, percentile, say
from graph_bench import chain, event_to_end, publish, Session
from harness import Cluster, wait_for

SMALL, LARGE, MEASURED = 40000, 1000000, 30000


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


def fair(close):
    cluster = close(Cluster(settings={"flowforge.executors": "1", "max_wal_size": "'8GB'", "track_commit_timestamp": "on",
                                      "shared_buffers": "'512MB'"}))
    cluster.sql("insert into flowforge.tenant (tenant_id, name) values (2, 'beside')")
    publish(cluster, "one", chain(1))
    cluster.psql(stdin="set flowforge.tenant = 2;\n" + "select ff_workflow_create('one', definition, triggers => '[{\"event\": \"bench/one\"}]') is not null "
                 "from (select v.config -> 'graph' as definition from flowforge.function_version v where v.tenant_id = 1 limit 1) d;\n"
                 "select ff_workflow_publish('one') is not null;")
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
