"""Graphs for the tests that run some: nodes and edges in few words, runs of them, and what every log of a run must be like.

`flow` is written as "a>b b>c:true": an edge from a to b, and one from b to c with the label true.
"""
import atexit
import json
import os

from harness import Cluster, wait_for

TERMINAL = {"run.completed", "run.failed", "run.cancelled"}

# What the payload of each event has: exactly these members.
MEMBERS = {
    "run.started": {"status"},
    "run.completed": {"status", "duration_ms", "output"},
    "run.failed": {"status", "error", "failed_step_id", "duration_ms"},
    "run.paused": {"status", "waiting_step_id", "reason", "duration_ms"},
    "run.resumed": {"status", "resumed_step_id"},
    "run.cancelled": {"status", "reason"},
    "step.started": {"step_type", "step_label", "attempt"},
    "step.completed": {"step_type", "status", "output_summary", "duration_ms"},
    "step.failed": {"step_type", "status", "error", "attempt"},
    "step.skipped": {"status", "reason"},
    "step.waiting": {"step_type", "status", "waiting_for", "label", "until"},
    "step.retrying": {"attempt", "max_attempts", "backoff_seconds", "error"},
    "context.updated": {"step_id", "keys_added"},
}
LIFECYCLE = {"run.created", "run.retried", "run.replayed"}  # of every run, drawn as a graph or not

# After which events of a step an event of it may come; None: it is its first in this life of the run.
FOLLOWS = {
    "step.started": {None, "step.retrying"},
    "step.waiting": {"step.started"},
    "step.retrying": {"step.started", "step.waiting"},
    "step.completed": {"step.started", "step.waiting"},
    "step.failed": {"step.started", "step.waiting"},
    "step.skipped": {None, "step.started", "step.waiting"},
}
ENDS = {"step.completed": "completed", "step.failed": "failed", "step.skipped": "skipped"}


def node(name, kind="transform", config=None, **data):
    if config is None:
        config = {"mapping": {"from": name}} if kind == "transform" else {}
    return {"id": name, "type": kind, "position": {"x": 0, "y": 0}, "data": {"label": data.pop("label", name), "config": config, **data}}


def value(name, mapping, **data):
    return node(name, "transform", {"mapping": mapping}, **data)


def query(name, text, *params, **data):
    return node(name, "database_query", {"query": text, "params": list(params)}, **data)


def condition(name, expression, **data):
    return node(name, "condition", {"expression": expression}, **data)


def approval(name, **config):
    data = {key: config.pop(key) for key in ("on_error", "max_attempts", "backoff_base", "timeout_seconds") if key in config}
    return node(name, "wait_for_approval", config, **data)


def loop(name, items, handler, item_config, **config):
    data = {key: config.pop(key) for key in ("on_error", "max_attempts", "backoff_base", "timeout_seconds") if key in config}
    return node(name, "for_each", {"items": items, "handler": handler, "item_config": item_config, **config}, **data)


def graph(nodes, flow=""):
    edges = []
    for number, text in enumerate(flow.split()):
        ends, _, label = text.partition(":")
        source, target = ends.split(">")
        edges.append({"id": f"e{number}", "source": source, "target": target, **({"sourceHandle": label} if label else {})})
    return {"nodes": nodes, "edges": edges}


def literal(document):
    text = document if isinstance(document, str) else json.dumps(document)
    return "$json$" + text + "$json$"


_shared = []


def prepare(cluster):
    """The role that the graphs' statements run as, and what they work on."""
    cluster.sql("""
        create role worker login; alter role worker set search_path = shop, public; create schema shop authorization worker;
        set role worker;
        create table shop.mark (what text, at timestamptz default clock_timestamp());
        create sequence shop.tries;
        create function shop.fails() returns int language plpgsql as $$ begin raise exception 'it fails'; end $$;
        -- Fails until it has been called `times` times; a sequence does not roll back.
        create function shop.flaky(times int, code text default '40001') returns int language plpgsql as $$
        declare n int := nextval('shop.tries');
        begin
            if n <= times then raise exception using errcode = code, message = 'try ' || n; end if;
            return n;
        end $$;""")
    return cluster


def shared(settings=None):
    """One cluster for all tests of a file."""
    if not _shared:
        cluster = Cluster(settings={"flowforge.sql_workers": "4", **(settings or {})})
        atexit.register(cluster.remove)
        _shared.append(prepare(cluster))
    return _shared[0]


_names = iter(range(1, 1 << 30))


def publish(cluster, nodes, flow="", name=None, settings=None, input_schema=None):
    """Makes a workflow, publishes it, and gives its slug."""
    name = name or f"flow-{os.getpid()}-{next(_names)}"
    definition = graph(nodes, flow)
    if settings is not None:
        definition["settings"] = settings
    if input_schema is not None:
        definition["input_schema"] = input_schema
    return cluster.psql(stdin=f"""begin;
        select null from ff_workflow_create('{name}', {literal(definition)});
        select null from ff_workflow_set_role('{name}', 'worker');
        select workflow from ff_workflow_publish('{name}'); commit""").stdout.split("\n")[-2]


def launch(cluster, workflow, data=None, draft=False):
    return cluster.psql(stdin=f"select ff_workflow_run('{workflow}', {literal(data or {})}, draft => {str(draft).lower()})").stdout.strip()


def start(cluster, nodes, flow="", data=None, **options):
    return launch(cluster, publish(cluster, nodes, flow, **options), data)


def rows(cluster, statement):
    return json.loads(cluster.psql(stdin=f"select coalesce(json_agg(x), '[]') from ({statement}) x").stdout)


class Ended:
    """A run that has ended: its status, output, error, log, and steps by id."""

    def __init__(self, cluster, run_id):
        self.run_id = run_id
        row = rows(cluster, f"select status, output, error, started_at, ended_at from flowforge.runs where run_id = '{run_id}'")[0]
        self.status, self.output, self.error = row["status"], row["output"], row["error"]
        self.log = log(cluster, run_id)
        self.steps = steps(cluster, run_id)

    def types(self, step=None):
        return [entry["type"] for entry in self.log if step is None or entry["step_id"] == step]

    def of(self, kind, step=None):
        return [entry for entry in self.log if entry["type"] == kind and (step is None or entry["step_id"] == step)]

    def place(self, kind, step):
        """The seq of the only event of this kind and step."""
        found = self.of(kind, step)
        assert len(found) == 1, (kind, step, [e["type"] for e in self.log])
        return found[0]["seq"]

    def result(self, step):
        return self.steps[step]["output"]


def log(cluster, run_id):
    return rows(cluster, f"select seq, type, step_id, data, attempt, at from flowforge.run_event where run_id = '{run_id}' order by seq")


def steps(cluster, run_id):
    found = rows(cluster, f"select step_id, op, status, attempt, output, error, detail, started_at, ended_at from flowforge.steps "
                          f"where run_id = '{run_id}' order by position nulls last")
    assert len({row["step_id"] for row in found}) == len(found), found
    return {row["step_id"]: row for row in found}


def end(cluster, run_id, status="completed", seconds=30):
    """Waits for the end of a run, checks its log, and gives it."""
    cluster.sql(f"select null from ff_wait('{run_id}', '{seconds} s')")
    run = Ended(cluster, run_id)
    assert run.status == status, (run.status, run.error, run.types(), {k: s["status"] for k, s in run.steps.items()})
    check_log(run)
    return run


def play(cluster, nodes, flow="", data=None, status="completed", seconds=30, **options):
    return end(cluster, start(cluster, nodes, flow, data, **options), status, seconds)


def reaches(cluster, run_id, step, status, seconds=20):
    """Waits until a step has a status."""
    wait_for(lambda: cluster.sql(f"select status from flowforge.steps where run_id = '{run_id}' and step_id = '{step}'") == status, seconds,
             f"step {step} is {status}")


def is_paused(cluster, run_id):
    wait_for(lambda: cluster.sql(f"select status from flowforge.runs where run_id = '{run_id}'") == "paused", what="the run is paused")


def check_members(entry, status):
    kind, data = entry["type"], entry["data"]
    wanted = MEMBERS[kind]
    if kind == "run.failed" and "failed_step_id" not in data:
        wanted = wanted - {"failed_step_id"}  # nobody's fault: its time was over
    assert set(data) == wanted, (kind, data)
    if kind in ENDS:
        assert data["status"] == ENDS[kind], entry
    if "duration_ms" in data:
        assert isinstance(data["duration_ms"], int) and data["duration_ms"] >= 0, entry
    if kind in TERMINAL:
        assert data["status"] == kind[4:], (entry, status)


def check_log(run):
    """What holds for the log of every run of a graph that has ended."""
    assert [entry["seq"] for entry in run.log] == list(range(1, len(run.log) + 1)), "the log has gaps"
    assert run.log[-1]["type"] == "run." + run.status, run.types()
    last, attempts, last_life, paused, ended, replayed = {}, {}, {}, False, False, False
    for before, entry in zip([None] + run.log, run.log):
        kind, step = entry["type"], entry["step_id"]
        if kind in LIFECYCLE:
            ended, replayed = False, kind == "run.replayed"
            continue
        replayed = replayed and kind in ENDS  # checkpoints of the run it repeats
        assert kind in MEMBERS, f"an unknown event: {entry}"
        assert not ended, f"{kind} after the run's end"
        check_members(entry, run.status)
        if kind == "context.updated":
            assert before["type"] in ("step.completed", "step.failed") and before["step_id"] == step == entry["data"]["step_id"], (before, entry)
        elif kind in FOLLOWS:
            assert replayed or last.get(step) in FOLLOWS[kind], f"{kind} of {step} after {last.get(step)}"
            last[step] = kind
        if kind == "step.completed" and not step.endswith("]") and not replayed:
            after = run.log[entry["seq"]]
            assert after["type"] == "context.updated" and after["step_id"] == step, after
        if kind == "step.started":
            again = last_life.get(step) == entry["data"]["attempt"]  # what the run's end has cut short
            assert attempts.get(step, 0) < entry["data"]["attempt"] or again, (entry, attempts)
            attempts[step] = entry["data"]["attempt"]
        if kind in ("run.paused", "run.resumed"):
            assert paused == (kind == "run.resumed"), run.types()
            paused = not paused
        if kind in TERMINAL:
            ended, paused, last_life = True, False, dict(attempts)
            # What failed, or was cut short, may begin again in another life.
            last = {step: event for step, event in last.items() if event in ("step.completed", "step.skipped")}
    for step, event in ((e["step_id"], e["type"]) for e in run.log if e["type"] in FOLLOWS):
        assert step in run.steps, f"{step} has no row though it has an event {event}"
    for step, row in run.steps.items():
        events = [t for t in run.types(step) if t in FOLLOWS]
        assert events, f"{step} has a row and no event"
        assert row["status"] == ENDS.get(events[-1], "cancelled"), (step, row["status"], events)
    assert ended
