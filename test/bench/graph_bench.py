"""Graphs: what the interpreter costs. All nodes are in process, so that nothing but the engine is measured."""
import json
import statistics
import subprocess
import time

from bench_tools import cpu_seconds, executor_pids, percentile, say
from harness import Cluster, wait_for

CHAIN, WIDE, QUEUED = 10, 1000, 5000


def node(name, value):
    return {"id": name, "type": "transform", "data": {"config": {"mapping": {"v": value}}}}


def edge(source, target):
    return {"id": f"{source}-{target}", "source": source, "target": target}


def chain(length):
    names = [f"n{i}" for i in range(length)]
    return {"nodes": [node(n, "{{ input.n }}" if i == 0 else f"{{{{ {names[i - 1]}.v + 1 }}}}") for i, n in enumerate(names)],
            "edges": [edge(a, b) for a, b in zip(names, names[1:])]}


def fan(width):
    names = [f"n{i}" for i in range(width)]
    return {"nodes": [node("first", "{{ input.n }}"), *(node(n, "{{ first.v }}") for n in names), node("last", "{{ n7.v }}")],
            "edges": [e for n in names for e in (edge("first", n), edge(n, "last"))]}


def publish(cluster, name, definition):
    cluster.psql(stdin=f"select ff_workflow_create('{name}', $j${json.dumps(definition)}$j$, triggers => '[{{\"event\": \"bench/{name}\"}}]') is not null")
    cluster.sql(f"select ff_workflow_publish('{name}') is not null")


class Session:
    """A psql that stays open, so that connecting is not measured."""

    def __init__(self, cluster):
        self.psql = subprocess.Popen(["psql", "-XqAt", "-h", cluster.directory, "-p", str(cluster.port), "-U", "postgres", cluster.database],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def do(self, statement):
        self.psql.stdin.write(statement + ";\n")

    def ask(self, statement):
        self.psql.stdin.write(statement + ";\n")
        self.psql.stdin.flush()
        return self.psql.stdout.readline().strip()

    def stop(self):
        self.psql.stdin.close()
        self.psql.wait()


def event_to_end(session, name, count, pause=0.02):
    """Milliseconds from when the server got the sending statement until the transaction that ended the run had committed."""
    session.do(f"prepare send(jsonb) as select ff_send_event('bench/{name}', $1), statement_timestamp()")
    sent = []
    for i in range(count):
        sent.append(session.ask(f"execute send('{{\"n\": {i}}}')").split("|"))
        time.sleep(pause)
    time.sleep(0.5)
    session.do("deallocate send")
    values = ", ".join(f"('{event}'::uuid, '{at}'::timestamptz)" for event, at in sent)
    times = session.ask("select string_agg((extract(epoch from pg_xact_commit_timestamp(e.xmin) - s.at) * 1000)::text, ' ') "
                        f"from (values {values}) s (event, at) join flowforge.run r on r.event_id = s.event "
                        "join flowforge.run_end e on e.run_id = r.run_id and e.status = 'completed'").split()
    assert len(times) == count, (len(times), count)
    return [float(t) for t in times]


def graphs(close):
    cluster = close(Cluster(settings={"flowforge.executors": "1", "track_commit_timestamp": "on"}))
    publish(cluster, "chain", chain(CHAIN))
    publish(cluster, "fan", fan(WIDE))
    session = close(Session(cluster))

    event_to_end(session, "chain", 20)
    times = event_to_end(session, "chain", 200)
    p50 = percentile(times, 50)
    say(f"a chain of {CHAIN} nodes, event to end, p50", f"{p50:.2f} ms", "3 ms", p50 < 3)
    say("  p99", f"{percentile(times, 99):.2f} ms")

    event_to_end(session, "fan", 2, 0.5)
    wide = statistics.median(event_to_end(session, "fan", 9, 0.5))
    say(f"{WIDE:,} nodes side by side and their join, event to end", f"{wide:.0f} ms", "300 ms", wide < 300)

    cluster.sql("select ff_pause('chain')")
    for _ in range(QUEUED // 1000):
        cluster.sql("select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', 'bench/chain', 'data', jsonb_build_object('n', i))) "
                    "from generate_series(1, 1000) i))")
    pids = executor_pids(cluster)
    ended = int(cluster.sql("select sum(runs_ended) from flowforge.executors()"))
    before, commits = cpu_seconds(pids), int(cluster.sql("select sum(commits) from flowforge.executors()"))
    started = time.monotonic()
    cluster.sql("select ff_resume('chain')")
    wait_for(lambda: int(cluster.sql("select sum(runs_ended) from flowforge.executors()")) == ended + QUEUED, 300, "all runs ended")
    seconds, used = time.monotonic() - started, cpu_seconds(pids) - before
    commits = int(cluster.sql("select sum(commits) from flowforge.executors()")) - commits
    nodes = QUEUED * CHAIN
    say(f"{QUEUED:,} queued chains, nodes a second of one executor", f"{nodes / seconds:.0f}")
    say("  nodes a second of its CPU", f"{nodes / used:.0f}", "20000", nodes / used >= 20000)
    say("  commits a run", f"{commits / QUEUED:.3f}")

    definition = json.dumps(chain(1000))
    took = min(float(session.ask("select extract(epoch from clock_timestamp() - statement_timestamp()) * 1000 from "
                                 f"(select ff_workflow_validate($j${definition}$j$) ->> 'valid' as v offset 0) s where v = 'true'")) for _ in range(5))
    say("validating a graph of 1,000 nodes", f"{took:.1f} ms", "20 ms", took < 20)
