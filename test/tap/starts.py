"""Which events start a run: rate limits, idempotency and singletons, by many senders at once and with executors that end runs."""
import json
import os
import random
import threading
import time

from harness import App, Cluster, kill, run, wait_for

random.seed(int(os.environ.get("FLOWFORGE_SEED", "8288")))


class FlowApp(App):
    """An app whose function has flow control."""

    def __init__(self, options, name="tap", **more):
        self.options = options
        super().__init__(name, **more)

    def registration(self):
        registration = super().registration()
        registration["functions"][0].update(self.options)
        return registration


def one(use, options, **more):
    cluster = use(Cluster())
    app = use(FlowApp(options, **more))
    cluster.register(app)
    return cluster, app


def send(cluster, app, *rows):
    literal = json.dumps([{"name": app.event, "data": row} for row in rows])
    return cluster.sql(f"select count(*) from ff_send_events($json${literal}$json$)")


def runs(cluster):
    """The data of the events that started runs, with the status of each."""
    rows = cluster.sql("""select coalesce(json_agg(json_build_object('data', e.data, 'status', r.status, 'error', r.error ->> 'message') order by r.run_id), '[]')
        from flowforge.runs r join flowforge.events e using (event_id)""")
    return json.loads(rows)


def skipped(cluster):
    return json.loads(cluster.sql("select coalesce(json_object_agg(reason, n), '{}') from (select reason, count(*) as n from flowforge.skipped_runs group by reason) s"))


def senders(cluster, app, count, calls, rows):
    """So many clients at once, each of which makes so many calls of a few events."""

    def work(seed):
        dice = random.Random(seed)
        for _ in range(calls):
            send(cluster, app, *(rows(dice) for _ in range(dice.randint(1, 5))))

    threads = [threading.Thread(target=work, args=(random.random(),)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def busiest(cluster, seconds):
    """The most starts of one key within any stretch of so many seconds, by the runs' own rows."""
    return int(cluster.sql(f"""select coalesce(max(n), 0) from (
        select count(*) over (partition by e.data -> 'key' order by r.created_at
            range between current row and '{seconds} s -1 microsecond'::interval following) as n
        from flowforge.run r join flowforge.event e using (event_id)) w"""))


def test_a_rate_limit_holds_in_every_window_whoever_sends(use):
    cluster, app = one(use, {"rateLimit": {"limit": 3, "period": "1s", "key": "event.data.key"}}, steps=1)
    until = time.monotonic() + 5
    sent = [0]

    def work(seed):
        dice = random.Random(seed)
        while time.monotonic() < until:
            rows = [{"key": dice.randrange(5)} for _ in range(dice.randint(1, 4))]
            sent[0] += int(send(cluster, app, *rows))

    threads = [threading.Thread(target=work, args=(random.random(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    started = int(cluster.sql("select count(*) from flowforge.run"))
    assert busiest(cluster, 1) == 3, busiest(cluster, 1)
    assert started >= 3 * 5 * 3, f"{started} of {sent[0]} started: room stayed empty"
    assert started + skipped(cluster)["rate_limit"] == int(cluster.sql("select count(*) from flowforge.event"))
    cluster.wait_all_ended(started)
    cluster.assert_sound()


def test_a_high_rate_limit_is_never_exceeded(use):
    cluster, app = one(use, {"rateLimit": "100/1s"}, steps=1)
    until = time.monotonic() + 4
    while time.monotonic() < until:
        send(cluster, app, *({"n": n} for n in range(random.randint(1, 60))))
    assert 90 <= busiest(cluster, 1) <= 100, busiest(cluster, 1)
    cluster.assert_sound()


def test_an_idempotency_value_has_one_run_whoever_sends(use):
    cluster, app = one(use, {"idempotency": "event.data.id"}, steps=1)
    senders(cluster, app, 4, 20, lambda dice: {"id": dice.randrange(40)})
    ids = [r["data"]["id"] for r in runs(cluster)]
    assert len(ids) == len(set(ids)), ids
    events = json.loads(cluster.sql("select json_agg(distinct data -> 'id') from flowforge.event"))
    assert sorted(ids) == sorted(events)
    cluster.wait_all_ended(len(ids))
    cluster.assert_sound()


def test_a_singleton_key_is_free_when_its_run_has_ended(use):
    cluster, app = one(use, {"singleton": {"mode": "skip", "key": "event.data.key"}}, steps=1, delay=0.5)
    send(cluster, app, {"key": 1, "n": 1}, {"key": 2, "n": 2})
    send(cluster, app, {"key": 1, "n": 3})
    cluster.wait_all_ended(2)
    assert cluster.sql("select count(*) from flowforge.flow_single") == "0"
    send(cluster, app, {"key": 1, "n": 4})
    cluster.wait_all_ended(3)
    assert [r["data"]["n"] for r in runs(cluster)] == [1, 2, 4] and skipped(cluster) == {"singleton": 1}
    cluster.assert_clean()


def test_a_singleton_has_one_live_run_a_key_whoever_sends(use):
    cluster, app = one(use, {"singleton": {"mode": "skip", "key": "event.data.key"}}, steps=1, delay=0.02)
    faults = []
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            most = cluster.sql("""select coalesce(max(n), 0) from (select count(*) as n from flowforge.live_run l
                join flowforge.event e using (event_id) group by e.data -> 'key') k""")
            if int(most) > 1:
                faults.append(most)

    watcher = threading.Thread(target=watch)
    watcher.start()
    senders(cluster, app, 4, 30, lambda dice: {"key": dice.randrange(4)})
    stop.set()
    watcher.join()
    assert not faults, faults
    started = len(runs(cluster))
    assert started > 8, started
    cluster.wait_all_ended(started)
    assert cluster.sql("select count(*) from flowforge.flow_single") == "0"
    cluster.assert_clean()


def test_a_new_run_of_a_singleton_cancels_the_old_one(use):
    cluster, app = one(use, {"singleton": {"mode": "cancel", "key": "event.data.key"}}, steps=1, sleep="1h")
    send(cluster, app, {"key": 1, "n": 1}, {"key": 2, "n": 2})
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked") == "2", what="both sleep")
    send(cluster, app, {"key": 1, "n": 3})
    wait_for(lambda: cluster.statuses().get("cancelled") == 1, what="the old one is cancelled")
    told = {r["data"]["n"]: (r["status"], r["error"]) for r in runs(cluster)}
    assert told[1][0] == "cancelled" and "replaced by run" in told[1][1], told
    assert told[2][0] == "running" and cluster.sql("select count(*) from flowforge.flow_single") == "2", told
    # A run that ends by itself, and a sender who replaces it at that moment: nothing hangs, and the key is the last one's.
    senders(cluster, app, 4, 10, lambda dice: {"key": 1, "n": 4})
    wait_for(lambda: int(cluster.sql("select count(*) from flowforge.live_run")) == 2, what="one run a key is left")
    cluster.assert_sound()
    cluster.sql("select ff_cancel(run_id) from flowforge.live_run")
    cluster.wait_all_ended(len(runs(cluster)))
    assert cluster.sql("select count(*) from flowforge.flow_single") == "0"
    cluster.assert_clean()


def test_a_sender_who_is_about_to_replace_a_run_holds_up_nobody(use):
    cluster, app = one(use, {"singleton": {"mode": "cancel"}}, steps=1, delay=0.5)
    send(cluster, app, {"n": 1})
    # Its transaction stays open while the run it replaces ends, and is then rolled back.
    cluster.sql(f"begin; select ff_send_event('{app.event}', '{{\"n\": 2}}'); select pg_sleep(2); "
                "do $$ begin assert (select count(*) from flowforge.run_end) = 1; end $$; rollback")
    cluster.wait_all_ended(1)
    assert cluster.statuses() == {"completed": 1}
    # The row that was locked is still there, and in nobody's way.
    assert cluster.sql("select count(*) from flowforge.flow_single") == "1"
    send(cluster, app, {"n": 3})
    cluster.wait_all_ended(2)
    assert cluster.statuses() == {"completed": 2} and cluster.sql("select count(*) from flowforge.flow_single") == "0"
    cluster.assert_clean()


def test_singletons_and_rate_limits_survive_crashes(use):
    cluster, app = one(use, {"singleton": {"mode": "skip", "key": "event.data.key"}, "rateLimit": {"limit": 5, "period": "2s", "key": "event.data.key"},
                             "idempotency": "event.data.id"}, steps=2, delay=0.02)
    for number in range(60):
        cluster.try_sql(f"select ff_send_event('{app.event}', '{{\"key\": {number % 3}, \"id\": {number % 50}}}')")
        if number % 20 == 7:
            for pid in cluster.processes("flowforge executor"):
                kill(pid)
        time.sleep(0.02)
    wait_for(lambda: cluster.try_sql("select count(*) from flowforge.live_run") == "0", 60, "all runs end")
    ids = [r["data"]["id"] for r in runs(cluster)]
    assert len(ids) == len(set(ids)) and len(ids) >= 3, ids
    assert busiest(cluster, 2) <= 5
    wait_for(lambda: cluster.sql("select count(*) from flowforge.flow_single") == "0", what="all keys are given back")
    cluster.assert_clean()


run(globals())
