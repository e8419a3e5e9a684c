"""Graphs: what an executor's memory grows to while a run has much more data than it may have: 1,000 nodes or items that give 100 KB each.

What is measured is the executor's own memory (RssAnon: shared buffers that it has touched are not), beyond what it had before the run.
"""
import json
import threading
import time

from bench_tools import anonymous_kb, executor_pids, say
from graphs import graph, literal, loop, prepare, query, value
from harness import Cluster, wait_for

NODES, SIZE = 1000, 102400
ROOM = 40  # MB beyond the setting: what is being written, with a result of up to 4 MB in it
JOIN = "transforms side by side, and a join of all"

# Each is another text, and none compresses.
TEXT = f"select $1::int as n, string_agg(md5(random()::text), '') as text from generate_series(1, {SIZE // 32})"


def copies(names, source):
    return [value(name, {"n": 1, "text": "{{ %s.text }}" % source}) for name in names]


def chain_of_statements():
    nodes = [query("n0", TEXT, 0)] + [query(f"n{i}", TEXT, "{{ n%d.rows.0.n + 1 }}" % (i - 1)) for i in range(1, NODES)]
    return nodes, " ".join(f"n{i}>n{i + 1}" for i in range(NODES - 1))


def chain_of_transforms():
    nodes = [query("first", TEXT, 0), value("n0", {"text": "{{ first.rows.0.text }}"})]
    nodes += [value(f"n{i}", {"text": "{{ n%d.text }}" % (i - 1)}) for i in range(1, NODES)]
    return nodes, "first>n0 " + " ".join(f"n{i}>n{i + 1}" for i in range(NODES - 1))


def side_by_side(joined):
    """A fan, and a join that names so many of its nodes; 0: there is none, and all of them are what the run gives."""
    names = [f"n{i}" for i in range(NODES)]
    nodes = [query("first", TEXT, 0), value("copy", {"text": "{{ first.rows.0.text }}"}), *copies(names, "copy")]
    flow = "first>copy " + " ".join(f"copy>{n}" for n in names)
    if joined:
        nodes.append(value("join", {n: "{{ %s.n }}" % n for n in names[::NODES // joined]}))
        flow += " " + " ".join(f"{n}>join" for n in names)
    return nodes, flow


def statements_side_by_side():
    names = [f"n{i}" for i in range(NODES)]
    nodes = [value("first", {"n": 1}), *(query(n, TEXT, "{{ first.n }}") for n in names), value("join", {"n": "{{ n7.rows.0.n }}"})]
    return nodes, " ".join(f"first>{n} {n}>join" for n in names)


def loops(count, each):
    nodes = [loop(f"n{i}", list(range(each)), "database_query", {"query": TEXT, "params": ["{{ _item }}"]}, max_parallel=8, on_error="continue")
             for i in range(count)]
    nodes.append(value("end", {"ok": True}))
    return nodes, " ".join(f"n{i}>n{i + 1}" for i in range(count - 1)) + f" n{count - 1}>end"


SHAPES = {
    "a chain of statements": chain_of_statements,
    "a chain of transforms": chain_of_transforms,
    "statements side by side, and their join": statements_side_by_side,
    "transforms side by side, and a join of 50": lambda: side_by_side(50),
    "transforms side by side that all are the result": lambda: side_by_side(0),
    JOIN: lambda: side_by_side(NODES),
    "25 loops of 36 items": lambda: loops(25, 36),
    "a loop of 1,000 items, which is too much": lambda: loops(1, NODES),
}


class Watch:
    """The most memory the processes have had since it began, in MB."""

    def __init__(self, pids):
        self.pids, self.most, self.over = pids, 0, False
        self.before = anonymous_kb(pids)
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def look(self):
        while not self.over:
            self.most = max(self.most, anonymous_kb(self.pids) - self.before)
            time.sleep(0.01)

    def stop(self):
        self.over = True
        self.thread.join()
        return self.most / 1024


def play(cluster, name, nodes, flow, expected):
    definition = graph(nodes, flow) | {"settings": {"max_concurrency": 8}}
    run = cluster.psql(stdin=f"begin; select null from ff_workflow_create('{name}', {literal(json.dumps(definition))}); select null from ff_workflow_set_role('{name}', 'worker'); "
                             f"select null from ff_workflow_publish('{name}'); commit; select ff_workflow_run('{name}', '{{}}')").stdout.split()[-1]
    wait_for(lambda: cluster.sql(f"select count(*) from flowforge.run_end where run_id = '{run}'") == "1", 300, "the run has ended")
    status = cluster.sql(f"select status from flowforge.runs where run_id = '{run}'")
    assert status == expected, (name, status)
    return int(cluster.sql(f"select coalesce(sum(octet_length(memo::text)), 0) from flowforge.step where run_id = '{run}'"))


def graph_memory(close):
    for setting in (32, 256):
        for number, (shape, make) in enumerate(SHAPES.items()):
            cluster = close(prepare(Cluster(settings={"flowforge.executors": "1", "flowforge.sql_workers": "4", "flowforge.executor_memory": f"{setting}MB"})))
            watch = Watch(executor_pids(cluster))
            started = time.monotonic()
            # What all of its config names has to be there at once: half of the setting is the most for that.
            expected = "failed" if shape == JOIN and setting * 1024 * 1024 / 2 < NODES * SIZE else "completed"
            written = play(cluster, f"shape {number}", *make(), expected)
            seconds, most = time.monotonic() - started, watch.stop()
            assert executor_pids(cluster) == watch.pids, "the same process"
            cluster.stop("fast")
            say(f"{setting} MB: {shape}", f"{most:.0f} MB", f"{setting + ROOM} MB", most <= setting + ROOM)
            say(f"  {expected}, MB of outputs", f"{written >> 20}")
            say("  seconds", f"{seconds:.1f}")
