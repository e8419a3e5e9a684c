"""A Sql step's effect happens exactly once: steps that add 1 to a table, and deaths of everything at random instants."""
import os
import random
import signal
import time

from harness import Cluster, kill, run, wait_for
from script import Script, op, sql

KILLS = int(os.environ.get("FLOWFORGE_KILLS", "20"))
RUNS_A_KILL = 6

ADD = ("with a as (update shop.tally set n = n + 1 where slot = $2::int % 4) insert into shop.mark (run, step, waited) "
       "select $1, $2::int, pg_sleep(random() * 0.05)::text")


class Adder(Script):
    """Each run adds 1 three times, the last two side by side, and names itself in every mark."""

    def answer(self, body):
        run_id = body["ctx"]["run_id"]
        self.scripts[run_id] = [sql("add0", ADD, run_id, 0), [sql("add1", ADD, run_id, 1), sql("add2", ADD, run_id, 2)]]
        body["event"]["data"]["script"] = run_id
        return super().answer(body)


def pids(cluster, source):
    text = cluster.try_sql(f"select string_agg(pid::text, ',') from {source} where pid is not null")
    return [int(p) for p in text.split(",")] if text else []


def is_back(cluster):
    wait_for(lambda: cluster.try_sql("select 1") == "1", 60, "the server is back")


def kill_postmaster(cluster):
    children = pids(cluster, "pg_stat_activity")
    kill(cluster.postmaster())
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), 30, "all processes are gone")
    time.sleep(0.3)
    cluster.start()


def strike(cluster):
    """One death: of a sql worker, an executor, any backend, or the postmaster; by a crash, or by a request to end."""
    dice = random.random()
    if dice < 0.15:
        kill_postmaster(cluster)
        return
    source = "flowforge.sql_workers()" if dice < 0.6 else "flowforge.executors()" if dice < 0.9 else "pg_stat_activity"
    victims = pids(cluster, source)
    if victims:
        kill(random.choice(victims), signal.SIGKILL if random.random() < 0.5 and source != "pg_stat_activity" else signal.SIGTERM)


def strike_again(cluster):
    """A second death while the first is being recovered from."""
    time.sleep(random.uniform(0.2, 0.8))
    victims = pids(cluster, "flowforge.executors()") + pids(cluster, "flowforge.sql_workers()")
    if victims:
        kill(random.choice(victims))


def prepare(use):
    random.seed(int(os.environ.get("FLOWFORGE_SEED", "8288")))
    cluster = use(Cluster(settings={"flowforge.sql_workers": "4"}))
    app = use(Adder(name="adder", retries=20))
    cluster.register(app)
    cluster.sql("create role worker login; create schema shop authorization worker; select ff_set_app_role('adder', 'worker'); set role worker; "
                "create table shop.tally (slot int, n bigint); insert into shop.tally select s, 0 from generate_series(0, 3) s; "
                "create table shop.mark (run text, step int, waited text)")
    return cluster, app


def failures(cluster):
    """Why runs have failed, and how many; None while the server is not there."""
    return cluster.try_sql("select string_agg(distinct n || ' x ' || error, '; ') from (select error::text, count(*) as n from flowforge.run_end "
                           "where status = 'failed' group by 1) e")


def assert_exactly_once(cluster):
    steps = cluster.sql("select count(*) from flowforge.step where op = 'sql' and status = 'completed'")
    assert cluster.sql("select sum(n) from shop.tally") == steps, f"{steps} steps, the counter says " + cluster.sql("select sum(n) from shop.tally")
    wrong = cluster.sql("""
        select count(*) from (select flowforge.ulid(run_id) as run, name from flowforge.step where op = 'sql' and status = 'completed') s
        full join (select run, 'add' || step as name from shop.mark) m using (run, name)
        group by run, name having count(s.*) <> 1 or count(m.*) <> 1 limit 1""")
    assert wrong == "", "a step's effect is not there once"
    unsaid = cluster.sql("""
        select count(*) from flowforge.step s where op = 'sql' and not exists (
            select from flowforge.run_event e where e.run_id = s.run_id and e.step_id = s.step_id and e.type = 'step.completed')""")
    assert unsaid == "0", f"the log does not tell of {unsaid} steps"
    last = cluster.sql("""
        select count(*) from (select distinct on (run_id) run_id, type from flowforge.run_event order by run_id, seq desc) l
        join flowforge.run_end e using (run_id) where l.type <> 'run.' || e.status""")
    assert last == "0", f"{last} logs do not end as their runs did"
    failed = cluster.sql("select count(*) from flowforge.step where op = 'sql' and status <> 'completed'")
    assert failed == "0", f"{failed} steps failed"
    return int(steps)


def test_the_counter_equals_the_completed_steps_whatever_dies(use):
    cluster, app = prepare(use)
    cancelled = 0
    for number in range(KILLS):
        is_back(cluster)
        cluster.try_sql(f"select count(ff_send_event('{app.event}')) from generate_series(1, {RUNS_A_KILL})")
        if random.random() < 0.3:
            time.sleep(random.uniform(0.02, 0.3))
            cancelled += cluster.try_sql("select ff_cancel(run_id) from flowforge.live_run order by random() limit 2") is not None
        time.sleep(random.uniform(0.02, 0.5))
        strike(cluster)
        if random.random() < 0.2:
            strike_again(cluster)
        if number % 50 == 49:
            print(f"# {number + 1} deaths", flush=True)
        failed = failures(cluster)
        assert not failed, failed
        cluster.assert_sound()
    is_back(cluster)
    total = int(cluster.sql("select count(*) from flowforge.run"))
    cluster.wait_all_ended(total, 300)
    assert failures(cluster) == ""
    steps = assert_exactly_once(cluster)
    print(f"# {KILLS} deaths, {total} runs, {cancelled} cancellations, {steps} steps", flush=True)
    cluster.assert_clean()


def test_cancelling_and_committing_at_once_keep_the_books(use):
    cluster, app = prepare(use)
    for _ in range(10):
        cluster.sql(f"select count(ff_send_event('{app.event}')) from generate_series(1, 20)")
        for _ in range(8):
            time.sleep(random.uniform(0.01, 0.06))
            cluster.sql("select ff_cancel(run_id) from flowforge.live_run order by random() limit 3")
    total = int(cluster.sql("select count(*) from flowforge.run"))
    cluster.wait_all_ended(total, 120)
    steps = assert_exactly_once(cluster)
    statuses = cluster.statuses()
    print(f"# {statuses}, {steps} steps", flush=True)
    assert statuses.get("cancelled", 0) > 20 and statuses.get("completed", 0) > 20, statuses
    cluster.assert_clean()


if __name__ == "__main__":
    run(globals())
