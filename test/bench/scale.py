"""Whether the cost of a run stays what it is: scale.py [--scale S] [held] [history] [million]. Without a name, all of them.

held      a transaction is left open for ten minutes while runs of five steps go through
history   a million queued runs are drained, and ten million steps are in history
million   a million runs sleep: what the executors' memory holds of them, and how soon they work after a restart

--scale says how large they are, 1 (the default) as large as said here; minutes shrink with it, too.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from bench_tools import Noop, cpu_seconds, executor_pids, registration, say
from graph_bench import Session, chain, edge, node, publish
from harness import Cluster, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
SETTINGS = {"max_wal_size": "'8GB'", "checkpoint_timeout": "'30min'", "shared_buffers": "'1GB'"}


def ended(cluster):
    return int(cluster.sql("select sum(runs_ended) from flowforge.executors()"))


class Feeder:
    """Keeps between a thousand and three thousand runs queued, from one open session."""

    def __init__(self, cluster):
        self.session = Session(cluster)
        self.sent = 0

    def feed(self):
        while self.sent - self.ended() < 2000:
            self.session.ask("select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', 'bench/steps')) from generate_series(1, 1000)))")
            self.sent += 1000

    def ended(self):
        return int(self.session.ask("select sum(runs_ended) from flowforge.executors()"))

    def window(self, seconds, pids):
        """Runs a second, and the executors' CPU seconds a run, while runs are fed for so long."""
        at, before, cpu = time.monotonic(), self.ended(), cpu_seconds(pids)
        while time.monotonic() - at < seconds:
            self.feed()
            time.sleep(0.05)
        count = self.ended() - before
        return count / (time.monotonic() - at), (cpu_seconds(pids) - cpu) / count

    def stop(self):
        self.session.stop()


class HotTable:
    """What the server counts of run_hot, from now on."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.updates, self.hot = self.counts()

    def ask(self, what):
        return self.cluster.sql(f"select {what} from pg_stat_user_tables where relid = 'flowforge.run_hot'::regclass")

    def counts(self):
        return map(int, self.ask("n_tup_upd, n_tup_hot_upd").split("|"))

    def hot_share(self):
        updates, hot = self.counts()
        return (hot - self.hot) / max(1, updates - self.updates)

    def dead(self):
        return int(self.ask("n_dead_tup"))

    def megabytes(self):
        return int(self.cluster.sql("select pg_total_relation_size('flowforge.run_hot')")) / 1048576


def held(close, scale):
    """The rate at the end of the ten minutes against that before; and what the hot table is like before, meanwhile and afterwards."""
    cluster = close(Cluster(settings=SETTINGS | {"autovacuum_naptime": "'15s'"}))
    app = close(Noop("steps", 5))
    cluster.sql("select flowforge.register_app($j$" + json.dumps(registration(app.port, "steps")) + "$j$)")
    feeder = close(Feeder(cluster))
    pids = executor_pids(cluster)
    window = max(5, 60 * scale)
    feeder.window(5, pids)
    table = HotTable(cluster)
    before, cpu_before = feeder.window(window, pids)
    hot_before, dead_before = table.hot_share(), table.dead()
    table = HotTable(cluster)
    holder = close(Session(cluster))
    holder.do("begin")
    holder.ask("select txid_current()")
    if 600 * scale > window:
        feeder.window(600 * scale - window, pids)
    during, cpu_during = feeder.window(window, pids)
    hot, dead, size = table.hot_share(), table.dead(), table.megabytes()
    holder.do("rollback")
    released = holder.ask("select now()")
    vacuumed = f"last_autovacuum > '{released}'"
    deadline = time.monotonic() + 120
    while table.ask(vacuumed) != "t" and time.monotonic() < deadline:
        feeder.window(2, pids)
    after = table.dead()
    say(f"runs of five steps a second, before a transaction is held for {600 * scale:.0f} s", f"{before:.0f}")
    say("  while it is, at the end", f"{during:.0f}")
    say("  share that is left", f"{during / before:.2f}", "0.90", during >= 0.9 * before)
    say("  executors' CPU a run, before", f"{cpu_before * 1e6:.0f} us")
    say("  while it is held", f"{cpu_during * 1e6:.0f} us", "1.10 x", cpu_during <= 1.1 * cpu_before)
    say("  updates of run_hot that are HOT, before", f"{hot_before:.1%}", "90 %", hot_before >= 0.9)
    say("  while it is held", f"{hot:.1%}", "90 %", hot >= 0.9)
    say("  dead tuples of run_hot before", f"{dead_before}")
    say("  while it is held, at the end", f"{dead}")
    say("  size of run_hot and its index then", f"{size:.0f} MB")
    say("  dead tuples once it is over and autovacuum has come by", f"{after}", "50000", after < 50000)


COPY = """
create temporary table model as select r.run_id from flowforge.run r join flowforge.run_end e using (tenant_id, run_id) order by r.run_id limit 1000;
create temporary table copy as select m.run_id, flowforge.uuid7() as new_run, flowforge.uuid7() as new_event from model m, generate_series(1, {times});
create index on copy (run_id); analyze copy;
insert into flowforge.event select e.tenant_id, c.new_event, e.name, e.data, e.user_data, null, e.v, e.ts, e.received_at, e.meta
    from copy c join flowforge.run r using (run_id) join flowforge.event e on e.event_id = r.event_id;
insert into flowforge.run select r.tenant_id, c.new_run, r.function_id, r.version, c.new_event, null, null, r.created_at from copy c join flowforge.run r using (run_id);
insert into flowforge.step select s.tenant_id, c.new_run, s.step_id, s.position, s.op, s.name, s.status, s.attempt, s.memo, s.started_at, s.ended_at, s.detail
    from copy c join flowforge.step s using (run_id);
insert into flowforge.run_end select e.tenant_id, c.new_run, e.status, e.output, e.error, e.started_at, e.ended_at from copy c join flowforge.run_end e using (run_id);
insert into flowforge.run_event_batch select b.tenant_id, c.new_run, b.seq, b.events from copy c join flowforge.run_event_batch b using (run_id);
drop table copy, model;
"""


def queue(cluster, name, count):
    """Queues runs of a paused function."""
    cluster.sql(f"select ff_pause('{name}')")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        for start in range(0, count, 1000):
            script.write("select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', "
                         f"'bench/{name}', 'data', jsonb_build_object('n', i))) from generate_series(1, {min(1000, count - start)}) i));\n")
        script.flush()
        cluster.psql("-f", script.name)


def drain(cluster, name, first, count):
    """Runs a second until the first of the queued have ended, and until all have; the executors' CPU seconds a run of all."""
    pids = executor_pids(cluster)
    before, cpu, at = ended(cluster), cpu_seconds(pids), time.monotonic()
    cluster.sql(f"select ff_resume('{name}')")
    wait_for(lambda: ended(cluster) - before >= first, 600, f"{first} runs ended")
    early = (ended(cluster) - before) / (time.monotonic() - at)
    wait_for(lambda: ended(cluster) - before >= count, 3000, f"{count} runs ended")
    return early, count / (time.monotonic() - at), (cpu_seconds(pids) - cpu) / count


def history(close, scale):
    cluster = close(Cluster(settings=SETTINGS))
    publish(cluster, "five", chain(5))
    small, queued, steps = 20000, int(1000000 * scale), int(10000000 * scale)
    queue(cluster, "five", small)
    drain(cluster, "five", small, small)  # warm
    rates = []
    for _ in range(3):
        queue(cluster, "five", small)
        rates.append(drain(cluster, "five", small, small))
    rate, cpu = max(r for _, r, _ in rates), min(c for _, _, c in rates)
    there = int(cluster.sql("select count(*) from flowforge.step"))
    rounds = max(0, steps - there) // 500000
    for times in [100] * rounds + [max(0, steps - there - rounds * 500000) // 5000]:
        if times > 0:
            cluster.psql(stdin=COPY.format(times=times))
    cluster.sql("vacuum analyze")
    cluster.sql("checkpoint")
    there = int(cluster.sql("select count(*) from flowforge.step"))
    queue(cluster, "five", queued)
    early, whole, used = drain(cluster, "five", min(small, queued), queued)
    say("runs of five steps drained a second, little there", f"{rate:.0f}")
    say(f"  {queued:,} queued, {there:,} steps in history, the first {min(small, queued):,}", f"{early:.0f}", "0.85 x", early >= 0.85 * rate)
    say("  all of them", f"{whole:.0f}", "0.85 x", whole >= 0.85 * rate)
    say("  executors' CPU a run, little there", f"{cpu * 1e6:.0f} us")
    say("  then", f"{used * 1e6:.0f} us", "1.15 x", used <= 1.15 * cpu)


def resident_mb(pids):
    """The largest resident set, shared buffers not counted."""
    def kb(pid):
        fields = dict(line.split(":") for line in open(f"/proc/{pid}/status") if line.startswith("Rss"))
        return int(fields["RssAnon"].split()[0]) + int(fields["RssFile"].split()[0])
    return max(kb(pid) for pid in pids) / 1024


def million(close, scale):
    cluster = close(Cluster(settings=SETTINGS))
    sleep = {"id": "sleep", "type": "delay", "data": {"config": {"until": "{{ input.until }}"}}}
    publish(cluster, "sleeper", {"nodes": [sleep, node("woken", "{{ input.until }}")], "edges": [edge("sleep", "woken")]})
    count = int(1000000 * scale)
    send = ("select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', 'bench/sleeper', 'data', "
            "jsonb_build_object('until', {until}))) from generate_series(1, {count})))")
    session = close(Session(cluster))
    for start in range(0, count, 1000):
        session.ask(send.format(until=f"now() + interval '{1 + start % 86400} seconds 2 hours'", count=min(1000, count - start)))
    wait_for(lambda: int(cluster.sql("select count(*) from flowforge.run_parked")) == count, 900, f"{count} runs sleep")
    resident = resident_mb(executor_pids(cluster))
    say(f"{count:,} sleeping runs: an executor's resident memory", f"{resident:.0f} MB", "150 MB", resident < 150)
    session.ask(send.format(until="now() + interval '3 seconds'", count=1))
    wait_for(lambda: int(cluster.sql("select count(*) from flowforge.run_parked")) == count + 1, 30, "one more sleeps")
    cluster.stop()
    time.sleep(3)
    at = time.time()
    cluster.start()
    woken = "select extract(epoch from started_at) from flowforge.step where step_id = 'woken'"
    first = float(wait_for(lambda: cluster.try_sql(woken), 120, "what was due meanwhile is done")) - at
    say("  from the server's start to the first that is dispatched", f"{first:.1f} s", "5 s", first < 5)
    resident = resident_mb(executor_pids(cluster))
    say("  an executor's resident memory after it", f"{resident:.0f} MB", "150 MB", resident < 150)


PARTS = {"held": held, "history": history, "million": million}


def run(parts, scale):
    """Whether any of them could not be finished."""
    failed = False
    for part in parts:
        opened = []
        try:
            PARTS[part](lambda thing: opened.append(thing) or thing, scale)
        except Exception as error:
            failed = True
            say(f"{part}: stopped", "", str(error), False)
        finally:
            for thing in reversed(opened):
                (thing.remove if isinstance(thing, Cluster) else thing.stop)()
    return failed


def main():
    parser = argparse.ArgumentParser(description="Whether the cost of a run stays what it is.")
    parser.add_argument("--scale", type=float, default=1.0, help="how large, 1 as large as the descriptions say (1)")
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    options = parser.parse_args()
    if not 0 < options.scale <= 10 or not set(options.parts) <= set(PARTS):
        parser.error(f"--scale is above 0 and at most 10; parts are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(prefix="flowforge-noop-") as directory:
        os.environ["NOOP_APP"] = os.path.join(directory, "noop_app")
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-o", os.environ["NOOP_APP"], os.path.join(HERE, "noop_app.c")], check=True)
        sys.exit(run(options.parts or PARTS, options.scale))


if __name__ == "__main__":
    main()
