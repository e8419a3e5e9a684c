"""Schedules on a running server: the executor's clock, pg_cron, crashes and restarts. Each instant is fired once."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Cluster, kill, run, wait_for  # noqa: E402

TICKS = "select count(*), count(distinct external_id) from flowforge.event where name = 'tick/go'"


def ticks(cluster):
    """How many events the schedule has sent, and for how many instants; None while the server is not there."""
    answer = cluster.try_sql(TICKS)
    return tuple(map(int, answer.split("|"))) if answer else (0, 0)


def missing_seconds(cluster):
    """The instants of an every-second schedule that were not fired, between the first that was and the last."""
    return cluster.sql("select count(*) from (select generate_series(min(ts), max(ts), '1 s') from flowforge.event where name = 'tick/go' "
                       "except select ts from flowforge.event where name = 'tick/go') gone")


def test_without_pg_cron_the_executor_fires_on_the_second(use):
    cluster = use(Cluster())
    cluster.sql("select ff_schedule('tick', '* * * * * *', 'tick/go')")
    wait_for(lambda: ticks(cluster)[0] >= 3, 10, "three seconds have been fired")
    late = cluster.sql("select extract(epoch from received_at - ts) from flowforge.event where name = 'tick/go' order by 1").split()
    assert 0 <= float(late[0]) < 0.5 and float(late[-1]) < 60, f"events were sent {late} s late"
    assert ticks(cluster)[0] == ticks(cluster)[1]
    cluster.sql("select ff_unschedule('tick')")
    before = ticks(cluster)
    time.sleep(2.2)
    assert ticks(cluster) == before, "a schedule that is gone fired"


def test_many_who_look_at_once_fire_an_instant_once(use):
    cluster = use(Cluster())
    cluster.sql("select ff_schedule('tick', '* * * * * *', 'tick/go')")
    until = time.monotonic() + 4
    while time.monotonic() < until:
        cluster.psql(*["-c", "select flowforge.run_schedule(1, schedule_id) from flowforge.schedule"] * 5)
    sent, instants = ticks(cluster)
    assert sent == instants and sent >= 3, f"{sent} events for {instants} instants"


def test_kills_lose_and_repeat_nothing_that_is_to_be_caught_up(use):
    cluster = use(Cluster())
    cluster.sql("select ff_schedule('tick', '* * * * * *', 'tick/go', catch_up => 'all')")
    wait_for(lambda: ticks(cluster)[0] >= 1, 10, "a second has been fired")
    for _ in range(3):
        pid = wait_for(lambda: cluster.try_sql("select pid from flowforge.executors() where executor = 0 and pid is not null"), 30, "the clock runs")
        kill(int(pid))
        time.sleep(1.3)
    wait_for(lambda: cluster.try_sql("select 1"), 30, "the server is back")
    cluster.wait_working()
    kill(cluster.postmaster(), signal.SIGQUIT)
    time.sleep(1.5)
    cluster.start()
    cluster.wait_working()
    before = ticks(cluster)[0]
    wait_for(lambda: ticks(cluster)[0] > before + 1, 15, "the clock goes on")
    sent, instants = ticks(cluster)
    assert sent == instants, f"{sent} events for {instants} instants"
    assert missing_seconds(cluster) == "0"


def test_what_was_missed_while_down_is_caught_up_at_the_start(use):
    cluster = use(Cluster())
    for policy in ("skip", "last", "all"):
        cluster.sql(f"select ff_schedule('{policy}', '0 * * * *', 'missed/{policy}', catch_up => '{policy}', catch_up_window => '1 day')")
    cluster.sql("update flowforge.schedule set last_at = date_trunc('hour', now()) - interval '3 hours', next_run_at = now() + interval '10 min'")
    cluster.stop()
    # As it is when the server has been down since: the schedules are overdue when it starts.
    cluster.start()
    cluster.wait_working()
    cluster.sql("update flowforge.schedule s set next_run_at = flowforge.next_fire(s), job_id = null")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.schedule where next_run_at < now()") == "0", 10, "all is caught up")
    count = dict(line.split("|") for line in cluster.sql(
        "select name, count(*) from flowforge.event where name like 'missed/%' group by 1").splitlines())
    recent = int(cluster.sql("select (now() - date_trunc('hour', now()) < interval '70 s')::integer"))
    assert count["missed/last"] == "1" and count["missed/all"] == "3", count
    assert recent or "missed/skip" not in count, count


def commits_in_4_seconds(cluster):
    """How many transactions are committed, but for the two of the session that counts."""
    count = "select xact_commit from pg_stat_database where datname = current_database()"
    lines = cluster.psql("-c", count, "-c", "select pg_sleep(4)", "-c", count).stdout.split()
    return int(lines[-1]) - int(lines[0]) - 2


def test_an_idle_clock_asks_nothing(use):
    cluster = use(Cluster(settings={"autovacuum": "off"}))
    cluster.sql("select ff_schedule('rare', '@yearly', 'tick/go')")
    time.sleep(7)  # the sweep after the last change
    idle = commits_in_4_seconds(cluster)
    assert idle <= 0, f"{idle} transactions though nothing was due"
    cluster.sql("select ff_schedule('tick', '* * * * * *', 'tick/go')")
    busy = commits_in_4_seconds(cluster)
    assert busy >= 2, f"{busy} transactions of four seconds' clock were counted"


def test_pg_cron_fires_whole_minutes(use):
    cluster = use(Cluster(settings={"shared_preload_libraries": "'flowforge,pg_cron'", "cron.database_name": "'flowforge'",
                                    "cron.use_background_workers": "on", "max_worker_processes": "24"}))
    cluster.sql("create extension pg_cron")
    cluster.sql("select ff_schedule('tick', '* * * * *', 'tick/go')")
    assert cluster.sql("select fired_by from flowforge.schedules") == "pg_cron"
    wait_for(lambda: time.sleep(0.5) or ticks(cluster)[0] >= 1, 75, "a minute has been fired")
    time.sleep(6)
    assert ticks(cluster) == (1, 1), ticks(cluster)
    job = cluster.sql("select status, command from cron.job_run_details order by runid desc limit 1")
    assert job.startswith("succeeded|select flowforge.run_schedule("), job
    late = float(cluster.sql("select extract(epoch from max(received_at - ts)) from flowforge.event where name = 'tick/go'"))
    assert late < 30, f"it was not pg_cron: {late} s late"


run(globals())
