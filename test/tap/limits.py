"""Limits of concurrency and throttles: never one step more than they allow, by rows and as apps see it, and no room left empty."""
import json
import os
import random
import threading
import time

from graphs import graph, prepare, publish, query, value
from harness import App, Cluster, kill, run, wait_for

random.seed(int(os.environ.get("FLOWFORGE_SEED", "8288")))


class LimitedApp(App):
    """An app whose function has flow control; counts who is in it at once, by key, a run once however often it is called."""

    def __init__(self, name="tap", options=None, key=None, **more):
        self.options = options or {}
        self.key = key or (lambda event: "")
        self.inside = {}  # key: {run: calls}
        self.peak = {}
        self.started = {}  # run: when it was first called
        self.order = []
        self.given_up = set()  # runs that are cancelled: the engine waits for their calls no longer, this app has not heard of it
        super().__init__(name, **more)

    def registration(self):
        registration = super().registration()
        registration["functions"][0].update(self.options)
        return registration

    def serve(self):
        super().serve()
        handler, app = self.server.RequestHandlerClass, self
        answered, replied = handler.do_POST, handler.reply

        def reply(self, *answer):
            # Out of the function before the engine knows it.
            if self.command == "POST":
                app.leave(*self.entered)
            replied(self, *answer)

        def do_post(self):
            # What the body says is read twice: here, and by the handler.
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            self.entered = app.enter(json.loads(body))
            self.rfile = Again(body, self.rfile)
            try:
                answered(self)
            finally:
                self.rfile = self.rfile.rest

        handler.do_POST, handler.reply = do_post, reply

    def enter(self, body):
        run_id, key = body["ctx"]["run_id"], self.key(body["event"])
        with self.lock:
            inside = self.inside.setdefault(key, {})
            if run_id not in self.given_up:
                inside[run_id] = inside.get(run_id, 0) + 1
            self.peak[key] = max(self.peak.get(key, 0), self.count(inside))
            if run_id not in self.started:
                self.started[run_id] = time.monotonic()
                self.order.append(body["event"]["data"].get("n"))
        return key, run_id

    def count(self, inside):
        return len(inside)

    def leave(self, key, run_id):
        with self.lock:
            inside = self.inside[key]
            if run_id not in self.given_up:
                inside[run_id] -= 1
                if inside[run_id] == 0:
                    del inside[run_id]

    def give_up(self, run_id):
        with self.lock:
            self.given_up.add(run_id)
            for inside in self.inside.values():
                inside.pop(run_id, None)


class Again:
    """A request's body that has been read already, and what follows it."""

    def __init__(self, body, rest):
        self.body, self.rest = body, rest

    def read(self, _):
        return self.body

    def __getattr__(self, name):
        return getattr(self.rest, name)


class Calls:
    """Mixed into an app: every call counts, not every run."""

    def count(self, inside):
        return sum(inside.values())


class EachCall(Calls, LimitedApp):
    pass


USED = """select coalesce(max(u.running), 0) from (
    select k.key, sum(c.granted - c.released) as running from flowforge.claim c cross join unnest(c.keys) with ordinality as k (key, place)
    where k.key <> 0 and k.place > 1 and c.granted > c.released group by k.key) u"""

# Keys with room that somebody waits for; only right where all claims have one limit.
IDLE = """select count(*) from (
    select k.key, sum(c.granted - c.released) as running, sum(c.asked - c.granted) as waiting
    from flowforge.claim c cross join unnest(c.keys) with ordinality as k (key, place) where k.key <> 0 and k.place > 1 group by k.key) u
    where u.waiting > 0 and u.running < {limit}"""


class Watch(threading.Thread):
    """Looks at the rows again and again: never more than the limit, and room that stays empty for long is a fault."""

    def __init__(self, cluster, limit, patience=8.0):
        super().__init__(daemon=True)
        self.cluster, self.limit, self.patience = cluster, limit, patience
        self.most = self.looks = 0
        self.longest = 0.0
        self.stopped = False
        self.start()

    def run(self):
        since = None
        while not self.stopped:
            used = self.cluster.try_sql(USED)
            idle = self.cluster.try_sql(IDLE.format(limit=self.limit))
            if used is None or idle is None:
                since = None
                continue
            self.looks += 1
            self.most = max(self.most, int(used))
            if idle == "0":
                since = None
            elif since is None:
                since = time.monotonic()
            else:
                self.longest = max(self.longest, time.monotonic() - since)
            time.sleep(0.01)

    def finish(self):
        self.stopped = True
        self.join()
        assert self.looks > 0 and self.most <= self.limit, f"{self.most} steps ran at once, {self.limit} may"
        assert self.longest < self.patience, f"room stayed empty for {self.longest:.2f} s while somebody waited"


def send(cluster, event, rows):
    """Sends an event for each of the rows of data (JSON)."""
    literal = json.dumps([{"name": event, "data": row} for row in rows])
    return cluster.sql(f"select count(*) from ff_send_events($json${literal}$json$)")


def one(use, options, **more):
    cluster = use(Cluster())
    app = use(LimitedApp(options=options, **more))
    cluster.register(app)
    return cluster, app


def test_no_more_steps_run_than_the_limit_allows_and_no_fewer(use):
    cluster, app = one(use, {"concurrency": 3}, steps=3, delay=0.02)
    watch = Watch(cluster, 3)
    send(cluster, app.event, [{"n": n} for n in range(60)])
    cluster.wait_all_ended(60)
    watch.finish()
    assert app.peak == {"": 3}, app.peak
    cluster.assert_clean()
    assert cluster.sql("select count(*) from flowforge.claim") == "0"


def test_each_key_has_its_own_room(use):
    cluster, app = one(use, {"concurrency": [{"limit": 2, "key": "event.data.user"}]}, key=lambda event: event["data"]["user"], steps=2, delay=0.02)
    watch = Watch(cluster, 2)
    send(cluster, app.event, [{"n": n, "user": n % 7} for n in range(84)])
    cluster.wait_all_ended(84)
    watch.finish()
    assert sorted(app.peak) == list(range(7)) and set(app.peak.values()) == {2}, app.peak


def test_two_limits_hold_together(use):
    options = {"concurrency": [{"limit": 4}, {"limit": 1, "key": "event.data.user"}]}
    cluster, app = one(use, options, key=lambda event: event["data"]["user"], steps=1, delay=0.03)
    everybody = [0]

    def count(inside):
        everybody[0] = max(everybody[0], sum(len(runs) for runs in app.inside.values()))
        return len(inside)

    app.count = count
    send(cluster, app.event, [{"n": n, "user": n // 10} for n in range(100)])
    cluster.wait_all_ended(100)
    assert set(app.peak.values()) == {1}, app.peak
    assert everybody[0] == 4, everybody


def test_a_limit_of_the_account_is_shared_by_functions(use):
    cluster = use(Cluster())
    options = {"concurrency": {"limit": 2, "scope": "account", "key": "'openai'"}}
    apps = [use(LimitedApp(name, options, steps=1, delay=0.03)) for name in ("one", "two")]
    for app in apps:
        cluster.register(app)
    watch = Watch(cluster, 2)
    for app in apps:
        send(cluster, app.event, [{"n": n} for n in range(20)])
    cluster.wait_all_ended(40)
    watch.finish()
    assert watch.most == 2


def test_workflows_have_limits_in_their_settings(use):
    cluster = prepare(use(Cluster(settings={"flowforge.sql_workers": "8"})))
    slow = "insert into shop.mark (what) select 'in' from pg_sleep(0.15)"
    slug = publish(cluster, [query("first", slow), query("second", slow), value("end", {"done": True})], "first>end second>end",
                   settings={"concurrency": [{"limit": 3}]})
    watch = Watch(cluster, 3)
    cluster.sql(f"select count(ff_workflow_run('{slug}')) from generate_series(1, 8)")
    cluster.wait_all_ended(8)
    watch.finish()
    assert watch.most == 3, watch.most
    assert cluster.statuses() == {"completed": 8}
    assert cluster.sql("select count(*) from shop.mark") == "16"
    cluster.assert_clean()


def test_a_tenant_has_a_limit_of_its_own(use):
    cluster, app = one(use, {}, steps=2, delay=5, sleep="100ms")
    cluster.sql("select ff_set_tenant(1, max_running => 3)")
    watch = Watch(cluster, 3)
    send(cluster, app.event, [{"n": n} for n in range(30)])
    wait_for(lambda: len(app.started) == 3, what="three have started")
    said = cluster.sql("select ff_explain(max(run_id::text)::uuid) from flowforge.run")
    assert "the limit of 3 steps at a time of the tenant is reached: 3 of 3 taken" in said, said
    app.delay = 0.05
    wait_for(lambda: len(app.started) >= 12, what="some have ended")
    watch.finish()
    assert app.peak == {"": 3}, app.peak
    cluster.sql("select ff_set_tenant(1, max_running => 0)")
    send(cluster, app.event, [{"n": n} for n in range(30)])
    wait_for(lambda: app.peak[""] > 3, what="nothing limits any more")
    cluster.wait_all_ended(60)
    cluster.assert_clean()
    assert cluster.sql("select count(*) from flowforge.claim") == "0"


def test_a_waiting_run_says_what_it_waits_for(use):
    cluster, app = one(use, {"concurrency": [{"limit": 2, "key": "event.data.user"}]}, steps=1, delay=3)
    send(cluster, app.event, [{"n": n, "user": 1} for n in range(5)])
    wait_for(lambda: len(app.started) == 2, what="two have started")
    taken = sorted(app.started)
    said = cluster.sql("select ff_explain(max(run_id::text)::uuid) from flowforge.run")
    assert 'the limit of 2 steps at a time of the function "tap-main" for its value of event.data.user is reached: 2 of 2 taken by' in said, said
    assert all(f"run {name}" in said for name in taken) and said.endswith("2 wait before it"), said
    cluster.assert_sound()
    cluster.wait_all_ended(5)


def test_waiting_work_keeps_its_order(use):
    cluster, app = one(use, {"concurrency": 1}, steps=1, delay=0.005)
    send(cluster, app.event, [{"n": n} for n in range(50)])
    cluster.wait_all_ended(50)
    assert app.order == sorted(app.order), app.order


def test_a_head_start_passes_others(use):
    cluster, app = one(use, {"concurrency": 1, "priority": {"run": "event.data.vip ? 120 : 0"}}, steps=1, delay=0.05)
    send(cluster, app.event, [{"n": n, "vip": n >= 8} for n in range(10)])
    cluster.wait_all_ended(10)
    assert app.order[-7:] == [1, 2, 3, 4, 5, 6, 7] and 8 in app.order[:3] and 9 in app.order[:3], app.order


def test_sleeping_and_backing_off_take_no_room(use):
    cluster, app = one(use, {"concurrency": 1}, steps=1, delay=0.005, sleep="2s")
    began = time.monotonic()
    send(cluster, app.event, [{"n": n} for n in range(20)])
    cluster.wait_all_ended(20)
    assert time.monotonic() - began < 35, "sleeping runs kept others out"
    assert app.peak == {"": 1}, app.peak


class Parallel(EachCall):
    """Plans eight steps at once."""

    def answer(self, body):
        done = body["steps"]
        target = body["ctx"].get("step_id", "step")
        ids = [f"{number:040d}" for number in range(8)]
        if target != "step" and len(target) == 40:
            return 206, [{"id": target, "op": "StepRun", "name": target, "displayName": target, "data": 1}]
        wanted = [{"id": i, "op": "StepPlanned", "name": i, "displayName": i} for i in ids if i not in done]
        return (206, wanted) if wanted else (200, {"steps": len(done)})

    def serve(self):
        super().serve()
        handler = self.server.RequestHandlerClass
        answered = handler.do_POST

        def do_post(self):
            self.step = self.path.split("stepId=")[1].split("&")[0]
            answered(self)

        handler.do_POST = do_post


def test_parallel_steps_of_a_run_count_one_by_one(use):
    cluster = use(Cluster())
    app = use(Parallel(options={"concurrency": 3}, delay=0.05))
    cluster.register(app)
    watch = Watch(cluster, 3)
    send(cluster, app.event, [{"n": n} for n in range(3)])
    cluster.wait_all_ended(3)
    watch.finish()
    assert app.peak[""] == 3, app.peak
    assert cluster.sql("select count(*) from flowforge.step") == "24"
    cluster.assert_clean()


def test_a_change_of_the_limit_counts_at_once(use):
    cluster, app = one(use, {"concurrency": 1}, steps=1, delay=0.2)
    send(cluster, app.event, [{"n": n} for n in range(300)])
    wait_for(lambda: len(app.started) >= 2, what="two runs have started")
    app.options = {"concurrency": 8}
    cluster.register(app)
    wait_for(lambda: app.peak[""] == 8, 5, "eight run at once")
    app.options = {}
    cluster.register(app)
    wait_for(lambda: app.peak[""] > 8, 5, "more than eight run at once")
    cluster.wait_all_ended(300)
    cluster.assert_clean()


def test_cancelled_and_timed_out_runs_leave_room(use):
    cluster, app = one(use, {"concurrency": 1, "timeouts": {"start": "1s"}}, steps=1, delay=2)
    send(cluster, app.event, [{"n": n} for n in range(5)])
    wait_for(lambda: len(app.started) == 1, what="the first run has started")
    cluster.wait_all_ended(5)
    assert cluster.statuses() == {"completed": 1, "cancelled": 4}, cluster.statuses()
    send(cluster, app.event, [{"n": n} for n in range(5, 7)])
    wait_for(lambda: len(app.started) == 2, what="the next has started")
    cluster.sql("select ff_cancel(run_id) from flowforge.runs where status in ('running', 'queued')")
    cluster.wait_all_ended(7)
    send(cluster, app.event, [{"n": 9}])
    wait_for(lambda: 9 in app.order, 10, what="room is free again")
    cluster.wait_all_ended(8)
    assert cluster.sql("select count(*) from flowforge.claim") == "0"


def test_a_paused_function_lets_go_what_it_has(use):
    cluster, app = one(use, {"concurrency": 2}, steps=4, delay=0.05)
    send(cluster, app.event, [{"n": n} for n in range(6)])
    wait_for(lambda: app.calls > 3, what="some steps have run")
    cluster.sql("select ff_pause('tap-main')")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.claim where granted > released") == "0", what="nothing has room")
    calls = app.calls
    time.sleep(0.5)
    assert app.calls <= calls + 2, "a paused function was called"
    assert cluster.sql("select count(*) from flowforge.claim where asked > granted") != "0"
    cluster.sql("select ff_resume('tap-main')")
    cluster.wait_all_ended(6)
    assert app.peak == {"": 2}, app.peak


def test_a_throttle_spaces_starts(use):
    cluster, app = one(use, {"throttle": {"limit": 10, "period": "5s", "burst": 3}}, steps=1)
    send(cluster, app.event, [{"n": n} for n in range(12)])
    cluster.wait_all_ended(12)
    times = sorted(app.started.values())
    assert times[2] - times[0] < 0.9, f"a burst of three was not let in at once: {times[2] - times[0]}"
    starts = [at - times[0] for at in times[3:]]
    assert all(0.5 * n - 0.4 < at < 0.5 * n + 5 for n, at in enumerate(starts, 1)), starts
    assert app.order[3:] == sorted(app.order[3:]), app.order


def test_a_throttle_survives_a_restart(use):
    cluster, app = one(use, {"throttle": {"limit": 1, "period": "3s"}}, steps=1)
    send(cluster, app.event, [{"n": n} for n in range(2)])
    wait_for(lambda: len(app.started) == 1, what="the first has started")
    cluster.stop()
    cluster.start()
    cluster.wait_all_ended(2)
    first, second = sorted(app.started.values())
    assert 2.9 < second - first < 60, second - first


def test_a_throttle_bounds_starts_only(use):
    cluster, app = one(use, {"throttle": {"limit": 1, "period": "1s"}}, steps=2, delay=0.3, sleep="200ms")
    send(cluster, app.event, [{"n": n} for n in range(3)])
    wait_for(lambda: len(app.started) == 2, what="two have started")
    cluster.stop("immediate")
    cluster.start()
    cluster.wait_all_ended(3)
    assert cluster.sql("select count(*) from flowforge.claim") == "0"
    cluster.assert_clean()


def test_a_million_waiting_behind_one_key_cost_nothing(use):
    waiting = int(os.environ.get("FLOWFORGE_WAITING", "100000"))
    cluster, app = one(use, {"concurrency": 1}, steps=1)
    for _ in range(waiting // 5000):
        cluster.sql(f"select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', '{app.event}', 'data', "
                    "jsonb_build_object('n', i))) from generate_series(1, 5000) i))")
    began, calls = time.monotonic(), app.calls
    time.sleep(5)
    each = (time.monotonic() - began) / (app.calls - calls)
    assert each < 0.05, f"{each * 1000:.1f} ms a run"
    assert app.peak == {"": 1}
    cluster.stop()
    cluster.start()
    began, calls = time.monotonic(), app.calls
    wait_for(lambda: app.calls > calls, 10, "it goes on after a restart")


def test_limits_are_exact_whatever_is_killed(use):
    keys, runs = 50, 600
    cluster = use(Cluster(settings={"flowforge.executors": "3"}))
    app = use(LimitedApp(options={"concurrency": [{"limit": 2, "key": "event.data.user"}]}, key=lambda event: event["data"]["user"],
                         steps=2, delay=0.03, sleep="100ms"))
    cluster.register(app)
    watch = Watch(cluster, 2, patience=20)
    send(cluster, app.event, [{"n": n, "user": random.randrange(keys)} for n in range(runs)])
    for number in range(int(os.environ.get("FLOWFORGE_KILLS", "4"))):
        time.sleep(random.uniform(0.3, 1.0))
        kind = number % 3
        if kind == 0:
            victims = cluster.processes("flowforge executor")
            if victims:
                kill(random.choice(victims))
        elif kind == 1:
            cluster.try_sql("select pg_terminate_backend(pid) from pg_stat_activity where backend_type like 'flowforge executor%' limit 1")
        else:
            cluster.kill_postmaster()
        for line in (cluster.try_sql("select run_id, ulid from flowforge.runs where ended_at is null order by random() limit 3") or "").splitlines():
            run_id, ulid = line.split("|")
            app.give_up(ulid)
            cluster.try_sql(f"select ff_cancel('{run_id}')")
        wait_for(lambda: cluster.try_sql("select 1") == "1", 60, "the server is back")
    cluster.wait_all_ended(runs)
    watch.finish()
    assert max(app.peak.values()) == 2, app.peak
    cluster.assert_sound()
    cluster.assert_clean()
    assert cluster.sql("select count(*) from flowforge.claim") == "0"


run(globals())
