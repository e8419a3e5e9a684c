"""What starts, times, stops and repeats runs: timeouts, cancelOn, backoff, pauses, and the invariants only a living server can break."""
import json
import time
from concurrent.futures import ThreadPoolExecutor

from harness import App, Cluster, run, wait_for


class Scripted(App):
    """An app whose functions are given: name -> (configuration, what it answers to a call's body)."""

    def __init__(self, name, functions):
        self.functions = functions
        self.called = []
        self.answers = []
        super().__init__(name)

    def registration(self):
        url = f"http://127.0.0.1:{self.port}/api/inngest"
        registration = super().registration()
        registration["functions"] = [
            {"id": f"{self.name}-{function}", "name": function, "triggers": [{"event": f"{self.name}/{function}"}], **config,
             "steps": {"step": {"id": "step", "name": "step", "retries": config.get("retries", {"attempts": 3}),
                                "runtime": {"type": "http", "url": f"{url}?fnId={self.name}-{function}&stepId=step"}}}}
            for function, (config, _) in self.functions.items()]
        return registration

    def answer(self, body):
        function = body["event"]["name"].split("/")[1]
        if function == "function.invoked":
            function = body["event"]["data"]["_inngest"]["fn_id"].split("-", 1)[1]
        with self.lock:
            self.called.append((function, body, time.monotonic()))
        answer = self.functions[function][1](body)
        with self.lock:
            self.answers.append((function, answer[1] if answer[0] == 206 else []))
        return answer

    def calls_of(self, function):
        with self.lock:
            return [(body, at) for name, body, at in self.called if name == function]


def op(kind, step, **more):
    return {"id": step, "op": kind, "name": step, "displayName": step, "opts": {}, **more}


def sleeps(seconds):
    return lambda body: (206, [op("Sleep", "nap", name=f"{seconds}s")]) if "nap" not in body["steps"] else (200, "slept")


def fails(body):
    return 500, {"name": "Boom", "message": "it broke"}


def ended(cluster, run_id, seconds=20):
    cluster_row = f"select json_build_object('status', status, 'output', output, 'error', error, 'took', " \
                  f"extract(epoch from ended_at - created_at)) from flowforge.runs where run_id = '{run_id}' and ended_at is not null"
    return json.loads(wait_for(lambda: cluster.sql(cluster_row), seconds, f"run {run_id} has ended"))


def start(cluster, event, data=None):
    event_id = cluster.sql(f"select ff_send_event('{event}', $json${json.dumps(data or {})}$json$)")
    return cluster.sql(f"select run_id from flowforge.run where event_id = '{event_id}'")


def serve(use, functions, settings=None):
    cluster = use(Cluster(settings))
    app = use(Scripted("c", functions))
    cluster.register(app)
    return cluster, app


def test_fsck_finds_a_finished_run_that_is_still_called(use):
    cluster = use(Cluster())
    app = use(App(steps=1, delay=3))
    cluster.register(app)
    cluster.send(app.event)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.calls()") == "1", what="a call is under way")
    found = cluster.sql("""
        begin;
        insert into flowforge.run_end (tenant_id, run_id, status, ended_at) select tenant_id, run_id, 'completed', now() from flowforge.run;
        select string_agg(invariant, '; ' order by invariant collate "C") from flowforge.fsck();
        rollback""")
    assert "a finished run is not called" in found.split("; "), found
    cluster.wait_all_ended(1)


def test_a_run_that_takes_longer_than_its_finish_timeout_is_cancelled_wherever_it_is(use):
    def hangs(body):
        time.sleep(8)
        return 200, "late"

    limit = {"timeouts": {"finish": "1s"}}
    cluster, app = serve(use, {"sleeping": (limit, sleeps(60)), "calling": (limit, hangs), "failing": (limit, fails),
                               "quick": (limit, lambda body: (200, 1))}, {"flowforge.retry_interval": "0"})
    runs = {name: start(cluster, f"c/{name}") for name in app.functions}
    for name in ("sleeping", "calling", "failing"):
        end = ended(cluster, runs[name])
        assert end["status"] == "cancelled", (name, end)
        assert end["error"] == {"name": "Timeout", "message": "the run did not end within 1 s (timeouts.finish)"}, end
        assert 0.9 < end["took"] < 7, (name, end)
    assert ended(cluster, runs["quick"])["status"] == "completed"
    time.sleep(8)  # the late answer is dropped
    assert ended(cluster, runs["calling"])["status"] == "cancelled"
    cluster.assert_clean()


def test_the_finish_timeout_survives_a_restart(use):
    cluster, app = serve(use, {"sleeping": ({"timeouts": {"finish": "2s"}}, sleeps(60))})
    run_id = start(cluster, "c/sleeping")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked") == "1", what="the run is parked")
    cluster.stop()
    time.sleep(2)
    cluster.start()
    assert ended(cluster, run_id)["status"] == "cancelled"


def test_a_run_that_does_not_start_in_time_is_cancelled(use):
    cluster, app = serve(use, {"late": ({"timeouts": {"start": "1s"}}, sleeps(2))})
    run_id = start(cluster, "c/late")
    assert ended(cluster, run_id)["status"] == "completed", "one that has started may take its time"
    cluster.sql("update flowforge.function set url = 'http://127.0.0.1:1/'")
    run_id = start(cluster, "c/late")
    end = ended(cluster, run_id)
    assert (end["status"], end["error"]["message"]) == ("cancelled", "the run did not start within 1 s (timeouts.start)"), end
    assert 0.9 < end["took"] < 30, end
    cluster.assert_clean()


def test_a_call_that_takes_longer_than_its_step_may_is_tried_again(use):
    def slow_at_first(body):
        if body["ctx"]["attempt"] == 0:
            time.sleep(2)
        return 200, body["ctx"]["attempt"]

    def plans(body):
        if body["ctx"]["step_id"] == "own":
            time.sleep(2)
            return 206, [op("StepRun", "own", data=1)]
        if "own" in body["steps"]:
            return 200, body["steps"]["own"]
        return 206, [op("StepPlanned", "own", opts={"timeout": "300ms", "retries": 1}), op("StepPlanned", "other", opts={})]

    def answer_other(body):
        return (206, [op("StepRun", "other", data=2)]) if body["ctx"]["step_id"] == "other" else plans(body)

    cluster, app = serve(use, {"slow": ({"timeouts": {"step": "500ms"}}, slow_at_first), "planned": ({}, answer_other)})
    assert ended(cluster, start(cluster, "c/slow"))["output"] == 1
    run_id = start(cluster, "c/planned")
    end = ended(cluster, run_id)
    assert end["output"]["error"] == {"name": "StepTimeout", "message": "the app did not answer within 0.3 s (the step's timeout)"}, end
    attempts = [body["ctx"]["attempt"] for body, _ in app.calls_of("planned") if body["ctx"]["step_id"] == "own"]
    assert attempts == [0, 1], f"one retry is what the step says: {attempts}"
    assert {body["ctx"]["max_attempts"] for body, _ in app.calls_of("planned") if body["ctx"]["step_id"] == "own"} == {2}


def test_an_app_may_have_a_read_timeout_of_its_own(use):
    def slow(body):
        time.sleep(1.5)
        return 200, "late"

    cluster, app = serve(use, {"slow": ({"retries": {"attempts": 0}}, slow)})
    assert ended(cluster, start(cluster, "c/slow"))["status"] == "completed"
    assert cluster.sql("select ff_app_timeout('c', '0.5 s')") == "00:00:00.5"
    end = ended(cluster, start(cluster, "c/slow"))
    assert end["status"] == "failed" and end["error"]["name"] == "CallTimeout", end
    cluster.sql("select ff_app_timeout('c', null)")
    assert ended(cluster, start(cluster, "c/slow"))["status"] == "completed"


def test_retries_are_spaced_as_the_function_says(use):
    policies = {
        "fixed": {"attempts": 3, "backoff": "fixed", "base": "300ms"},
        "linear": {"attempts": 3, "backoff": "linear", "base": "200ms"},
        "exponential": {"attempts": 3, "backoff": "exponential", "base": "200ms", "jitter": 0, "cap": "500ms"},
        "list": {"attempts": 3, "backoff": ["100ms", "600ms"]}}
    wanted = {"fixed": [0.3, 0.3, 0.3], "linear": [0.2, 0.4, 0.6], "exponential": [0.2, 0.4, 0.5], "list": [0.1, 0.6, 0.6]}
    cluster, app = serve(use, {name: ({"retries": policy}, fails) for name, policy in policies.items()}, {"flowforge.retry_interval": "5000"})
    runs = {name: start(cluster, f"c/{name}") for name in policies}
    for name in policies:
        end = ended(cluster, runs[name])
        assert end["status"] == "failed" and end["error"]["name"] == "Boom", end
        times = [at for _, at in app.calls_of(name)]
        delays = [b - a for a, b in zip(times, times[1:])]
        assert len(delays) == 3 and all(w - 0.02 < d < w + 0.4 for w, d in zip(wanted[name], delays)), (name, delays)


def test_a_step_may_say_how_it_is_tried_again(use):
    def step(body):
        if "own" in body["steps"]:
            return 200, body["steps"]["own"]
        return 206, [op("StepError", "own", error={"name": "E", "message": "no"}, opts={"retries": {"attempts": 2, "backoff": ["200ms"]}})]

    def wrong(body):
        return 206, [op("StepError", "own", error={"name": "E", "message": "no"}, opts={"retries": {"backoff": "quadratic"}})]

    cluster, app = serve(use, {"step": ({}, step), "wrong": ({}, wrong)}, {"flowforge.retry_interval": "5000"})
    end = ended(cluster, start(cluster, "c/step"))
    assert end["output"]["error"]["message"] == "no", end
    times = [at for _, at in app.calls_of("step")]
    assert len(times) == 4 and times[2] - times[0] < 5, times
    end = ended(cluster, start(cluster, "c/wrong"))
    assert end["status"] == "failed" and "backoff" in end["error"]["message"], end


def test_retry_after_goes_before_the_policy(use):

    cluster, app = serve(use, {"later": ({"retries": {"attempts": 1, "backoff": "fixed", "base": "1h"}}, fails)})
    app.headers = {"retry-after": "1"}
    end = ended(cluster, start(cluster, "c/later"))
    assert end["status"] == "failed" and 0.9 < end["took"] < 60, end


def test_an_event_cancels_the_runs_that_name_it(use):
    cancel = {"cancel": [{"event": "c/stop", "if": "event.data.id == async.data.id"}, {"event": "c/stop-all"},
                         {"event": "c/brief", "timeout": "1s"}]}
    cluster, app = serve(use, {"order": (cancel, sleeps(60)), "quick": (cancel, lambda body: (200, 1))})
    first, second, third = (start(cluster, "c/order", {"id": n}) for n in (1, 2, 3))
    assert ended(cluster, start(cluster, "c/quick", {"id": 9}))["status"] == "completed"
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked") == "3", what="the runs sleep")
    assert cluster.sql("select count(*) from flowforge.wait") == "9", "those of the finished run are gone"
    event = cluster.sql("select flowforge.ulid(ff_send_event('c/stop', '{\"id\": 2}'))")
    end = ended(cluster, second)
    assert (end["status"], end["error"]) == ("cancelled", {"name": "Cancelled", "message": f"the event c/stop ({event}) cancels this run (cancelOn)"}), end
    time.sleep(1)
    cluster.sql("select ff_send_event('c/brief')")
    cluster.sql("select ff_send_event('c/stop', '{\"id\": 2}')")
    time.sleep(0.5)
    assert cluster.statuses() == {"live": 2, "cancelled": 1, "completed": 1}, "its time is over, and it is not theirs"
    cluster.assert_sound()
    cluster.sql("select ff_send_event('c/stop-all')")
    assert {ended(cluster, r)["status"] for r in (first, third)} == {"cancelled"}
    cluster.assert_clean()


def test_a_run_is_cancelled_by_what_comes_after_its_event_and_not_by_its_event(use):
    cancel = {"cancel": [{"event": "c/order", "if": "event.data.id == async.data.id"}]}
    cluster, app = serve(use, {"order": (cancel, sleeps(60))})
    cluster.sql("select ff_send_event('c/order', '{\"id\": 1}'); ")
    # In one call, and in one transaction: each cancels the one before it, not itself.
    cluster.sql("begin; select ff_send_events('[{\"name\": \"c/order\", \"data\": {\"id\": 1}}, {\"name\": \"c/order\", \"data\": {\"id\": 2}}, "
                "{\"name\": \"c/order\", \"data\": {\"id\": 1}}]'); select ff_send_event('c/order', '{\"id\": 2}'); commit")
    wait_for(lambda: cluster.statuses() == {"live": 2, "cancelled": 3}, what="the last of each order lives")
    lives = cluster.sql("select string_agg(r.run_id::text, ',' order by r.run_id) from flowforge.runs r where status = 'running' or status = 'pending'")
    last = cluster.sql("select string_agg(run_id::text, ',' order by run_id) from (select distinct on (e.data) r.run_id from flowforge.run r "
                       "join flowforge.event e using (tenant_id, event_id) order by e.data, r.run_id desc) x")
    assert lives == last


def test_ends_are_events(use):
    seen = []

    def note(body):
        seen.append(body["event"])
        return 200, None

    def invokes(body):
        if "call" in body["steps"]:
            return 200, body["steps"]["call"]
        return 206, [op("InvokeFunction", "call", opts={"function_id": "c-child", "payload": {"data": {"n": 1}}})]

    handlers = {f"on-{kind}": ({"triggers": [{"event": f"{prefix}/function.{kind}"}]}, note)
                for prefix, kind in (("flowforge", "cancelled"), ("inngest", "failed"), ("flowforge", "finished"))}
    cluster, app = serve(use, {"sleeping": ({}, sleeps(60)), "failing": ({"retries": {"attempts": 0}}, fails), "child": ({}, lambda body: (200, 7)),
                               "parent": ({}, invokes), **handlers})
    app.answer = lambda body: note(body) if "/function." in body["event"]["name"] and "invoked" not in body["event"]["name"] \
        else Scripted.answer(app, body)
    sleeping, failing, parent = (start(cluster, f"c/{name}") for name in ("sleeping", "failing", "parent"))
    ended(cluster, failing)
    ended(cluster, parent)
    cluster.sql(f"select ff_cancel('{sleeping}', 'enough')")
    ended(cluster, sleeping)
    wait_for(lambda: len(seen) >= 6, what="the handlers ran")
    events = {(e["name"].split(".")[1], e["data"]["function_id"]): e["data"] for e in seen}
    assert events["cancelled", "c-sleeping"]["error"] == {"name": "Cancelled", "message": "enough"}
    assert events["cancelled", "c-sleeping"]["_inngest"] == {"status": "Cancelled"}
    assert events["failed", "c-failing"]["error"]["name"] == "Boom"
    assert events["finished", "c-child"]["result"] == 7 and events["finished", "c-child"]["correlation_id"].endswith(".call")
    assert "correlation_id" not in events["finished", "c-parent"]
    assert {kind for kind, function in events if function.startswith("c-on")} == set(), "the ends of handlers are no events"
    time.sleep(0.5)
    assert len(seen) == 6, [e["name"] for e in seen]


def steps(*names, then=None):
    """A function that runs steps one by one; `fragile` fails while app.broken."""
    def answer(body):
        done = body["steps"]
        for name in names:
            if name not in done or "input" in (done[name] or {}):
                if name == "fragile" and answer.broken:
                    return 206, [op("StepFailed", name, error={"name": "Broken", "message": "not yet"})]
                given = (done.get(name) or {}).get("input")
                return 206, [op("StepRun", name, data={"name": name, "input": given, "event": body["event"]["data"]})]
            if "error" in done[name]:
                return 400, done[name]["error"]
        return 200, {name: done[name].get("data") for name in names}
    answer.broken = True
    return answer


def executed(app, function):
    return [step["id"] for answer in app.answers if answer[0] == function for step in answer[1] if step["op"] in ("StepRun", "StepFailed")]


def test_a_failed_run_is_retried_as_the_same_run(use):
    work = steps("first", "fragile", "last")
    cluster, app = serve(use, {"work": ({}, work), "parent": ({}, lambda body: (
        (200, body["steps"]["call"]) if "call" in body["steps"] else
        (206, [op("InvokeFunction", "call", opts={"function_id": "c-work", "payload": {"data": {}}})])))})
    run_id = start(cluster, "c/work", {"n": 1})
    assert ended(cluster, run_id)["error"]["name"] == "Broken"
    cluster.assert_sound()
    parent = start(cluster, "c/parent")
    assert ended(cluster, parent)["output"]["error"]["name"] == "Broken", "the parent had its answer"
    child = cluster.sql(f"select run_id from flowforge.run where parent_run_id = '{parent}'")
    work.broken = False
    assert cluster.sql(f"select ff_retry('{run_id}')") == "retrying"
    end = ended(cluster, run_id)
    assert end["status"] == "completed" and end["output"]["last"]["name"] == "last", end
    assert executed(app, "work").count("first") == 2, "once in each run: what has completed stays"
    assert cluster.sql(f"select ff_retry('{child}')") == "retrying"
    assert ended(cluster, child)["status"] == "completed"
    log = cluster.sql(f"select string_agg(type, ' ' order by seq) from flowforge.run_event where run_id = '{run_id}'")
    assert log == ("run.created run.started step.completed step.failed run.failed run.retried run.started step.completed step.completed "
                   "run.completed"), log
    done = cluster.psql("-c", f"select ff_retry('{run_id}')", check=False)
    assert "has completed and cannot be retried" in done.stderr and "ff_replay" in done.stderr, done.stderr
    cluster.assert_clean()


def test_retrying_twice_at_once_makes_the_run_go_on_once(use):
    work = steps("first", "fragile")
    cluster, app = serve(use, {"work": ({}, work)})
    run_id = start(cluster, "c/work")
    ended(cluster, run_id)
    work.broken = False
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: cluster.sql(f"select ff_retry('{run_id}')"), range(1)))
        said += list(pool.map(lambda _: cluster.psql("-c", f"select ff_retry('{run_id}')", check=False).stdout.strip(), range(8)))
    assert said.count("retrying") == 1 and set(said) <= {"retrying", "already running", ""}, said
    assert ended(cluster, run_id)["status"] == "completed"
    assert executed(app, "work") == ["first", "fragile", "fragile"]


def test_a_cancelled_run_can_be_retried_and_its_timeouts_begin_anew(use):
    cluster, app = serve(use, {"naps": ({"timeouts": {"start": "2s", "finish": "3s"}, "cancel": [{"event": "c/stop"}]}, sleeps(1.5))})
    run_id = start(cluster, "c/naps")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked") == "1", what="the run sleeps")
    cluster.sql("select ff_send_event('c/stop')")
    assert ended(cluster, run_id)["status"] == "cancelled"
    time.sleep(3)
    assert cluster.sql(f"select ff_retry('{run_id}')") == "retrying"
    assert ended(cluster, run_id)["status"] == "completed"
    assert cluster.sql(f"select ff_retry('{start(cluster, 'c/naps')}')") == "already running"
    cluster.sql("select ff_send_event('c/stop')")
    wait_for(lambda: cluster.statuses() == {"completed": 1, "cancelled": 1}, what="both have ended")
    cluster.assert_clean()


def test_a_retried_run_is_cancelled_by_its_events(use):
    cluster, app = serve(use, {"naps": ({"cancel": [{"event": "c/stop", "if": "async.data.id == event.data.id"}]}, sleeps(30))})
    run_id = start(cluster, "c/naps", {"id": 5})
    for _ in range(2):
        wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked") == "1", what="the run sleeps")
        cluster.sql("select ff_send_event('c/stop', '{\"id\": 5}')")
        assert ended(cluster, run_id)["status"] == "cancelled"
        cluster.sql(f"select ff_retry('{run_id}')")
    cluster.sql(f"select ff_cancel('{run_id}')")
    ended(cluster, run_id)
    cluster.assert_clean()


def test_a_run_is_replayed_as_a_new_run_from_the_beginning_or_a_step(use):
    work = steps("first", "second", "third")
    cluster, app = serve(use, {"work": ({}, work)})
    run_id = start(cluster, "c/work", {"n": 1})
    ended(cluster, run_id)
    again = cluster.sql(f"select ff_replay('{run_id}')")
    assert ended(cluster, again)["output"]["third"]["event"] == {"n": 1}
    edited = cluster.sql(f"select ff_replay('{run_id}', null, '{{\"n\": 2}}')")
    assert ended(cluster, edited)["output"]["third"]["event"] == {"n": 2}
    before = len(executed(app, "work"))
    third = cluster.sql(f"select ff_replay('{run_id}', 'third')")
    assert ended(cluster, third)["status"] == "completed"
    assert executed(app, "work")[before:] == ["third"]
    second = cluster.sql(f"select ff_replay('{run_id}', 'second', '[{{\"more\": true}}, 7]')")
    end = ended(cluster, second)
    assert end["output"]["second"]["input"] == [{"more": True}, 7] and end["output"]["third"]["input"] is None, end
    assert executed(app, "work")[before + 1:] == ["second", "third"]
    assert cluster.sql(f"select ff_replay('{run_id}', 'first', '\"one\"') is not null") == "t"
    log = cluster.sql(f"select string_agg(type, ' ' order by seq) from flowforge.run_event where run_id = '{third}'")
    assert log == "run.created run.replayed step.completed step.completed run.started step.completed run.completed", log
    assert cluster.sql(f"select data ->> 'name' from flowforge.run_event where run_id = '{third}' and seq = 2") == "third"
    wait_for(lambda: cluster.statuses() == {"completed": 6}, what="all have completed")
    cluster.assert_clean()


def test_an_edited_input_survives_a_restart(use):
    work = steps("first", "second")
    cluster, app = serve(use, {"work": ({}, work)})
    run_id = start(cluster, "c/work")
    ended(cluster, run_id)
    cluster.sql("update flowforge.function set url = 'http://127.0.0.1:1/'")
    replay = cluster.sql(f"select ff_replay('{run_id}', 'second', '[9]')")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked") == "1", what="the app is out of reach")
    cluster.stop()
    cluster.start()
    cluster.register(app)
    cluster.sql(f"update flowforge.function set url = 'http://127.0.0.1:{app.port}/api/inngest?fnId=c-work&stepId=step'")
    assert ended(cluster, replay, 40)["output"]["second"]["input"] == [9]


def test_a_function_is_run_without_an_event(use):
    cluster, app = serve(use, {"work": ({}, steps("first"))})
    run_id = cluster.sql("select ff_run('c-work', '{\"n\": 3}')")
    assert ended(cluster, run_id)["output"]["first"]["event"]["n"] == 3
    once = cluster.sql("select ff_run('c-work', '{}', 'key')")
    assert cluster.sql("select ff_run('c-work', '{\"other\": 1}', 'key')") == once
    assert cluster.sql("select ff_run('c-work', '{}', 'another')") != once
    for call, message in (("ff_run('c-none')", "there is no function"), ("ff_run(null)", "needs the id"), ("ff_run('c-work', '[]')", "not a JSON object")):
        done = cluster.psql("-c", f"select {call}", check=False)
        assert message in done.stderr, done.stderr
    cluster.wait_all_ended(3)


def test_many_runs_are_cancelled_retried_and_replayed_by_a_filter(use):
    work = steps("first", "fragile")
    cluster, app = serve(use, {"work": ({}, work), "naps": ({}, sleeps(60)), "fine": ({}, steps("one"))})
    for n in range(6):
        start(cluster, "c/work", {"n": n})
        start(cluster, "c/naps", {"n": n})
    wait_for(lambda: cluster.statuses() == {"failed": 6, "live": 6}, what="half of them have failed")

    def by(what, **conditions):
        return cluster.sql(f"select string_agg(result || ' ' || n, ', ' order by n) from (select result, e.data ->> 'n' as n "
                           f"from {what}($json${json.dumps(conditions)}$json$) w join flowforge.run r using (run_id) "
                           f"join flowforge.event e using (tenant_id, event_id)) x")

    assert by("ff_retry_where", function="c-work", dry_run=True, limit=2) == "would be retried 0, would be retried 1"
    assert cluster.statuses() == {"failed": 6, "live": 6}, "a dry run does nothing"
    work.broken = False
    assert by("ff_retry_where", **{"event": "c/work", "if": "event.data.n >= 4"}) == "retrying 4, retrying 5"
    wait_for(lambda: cluster.statuses() == {"failed": 4, "live": 6, "completed": 2}, what="two were retried")
    assert by("ff_retry_where", app="c", error="Broken", limit=3) == "retrying 0, retrying 1, retrying 2"
    assert by("ff_retry_where", error="Other") == ""
    assert by("ff_cancel_where", function="c-naps", reason="enough", **{"if": "event.data.n < 2"}) == "cancelling 0, cancelling 1"
    wait_for(lambda: cluster.statuses() == {"failed": 1, "live": 4, "completed": 5, "cancelled": 2}, what="two were cancelled")
    assert cluster.sql("select distinct error ->> 'message' from flowforge.runs where status = 'cancelled'") == "enough"
    assert by("ff_cancel_where", since="2999-01-01T00:00:00Z") == ""
    assert by("ff_cancel_where", until="2999-01-01T00:00:00Z", status="running") == ", ".join(f"cancelling {n}" for n in range(2, 6))
    runs = json.loads(cluster.sql("select json_agg(run_id) from flowforge.runs where status = 'completed'"))
    assert by("ff_replay_where", runs=runs[:2], from_step="fragile", dry_run=True).startswith("would be replayed")
    before = len(executed(app, "work"))
    assert by("ff_replay_where", runs=runs[:2], from_step="fragile").startswith("replayed")
    wait_for(lambda: cluster.statuses() == {"failed": 1, "completed": 7, "cancelled": 6}, what="two were replayed")
    assert executed(app, "work")[before:] == ["fragile", "fragile"]
    cluster.assert_clean()


def test_nothing_of_a_paused_function_is_called_until_it_is_resumed(use):
    cluster, app = serve(use, {"work": ({}, steps("first")), "naps": ({}, sleeps(1)), "other": ({}, steps("one"))})
    napping = start(cluster, "c/naps")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked") == "1", what="the run sleeps")
    assert cluster.sql("select ff_pause('c-naps', 'repairs')") == "paused"
    assert cluster.sql("select ff_pause('c-naps')") == "already paused"
    assert cluster.sql("select ff_pause('c-work')") == "paused"
    calls = len(app.called)
    run_id = start(cluster, "c/work")
    assert ended(cluster, start(cluster, "c/other"))["status"] == "completed"
    time.sleep(2)
    assert len(app.called) == calls + 2, "only the other function is called"
    cluster.assert_sound()
    assert cluster.sql("select count(*) from flowforge.run_hot") == "2"
    cluster.stop()  # a pause is a row
    cluster.start()
    cluster.wait_working()
    time.sleep(1)
    assert cluster.statuses() == {"live": 2, "completed": 1}
    assert cluster.sql("select ff_resume('c-work')") == "resumed"
    assert ended(cluster, run_id)["status"] == "completed"
    assert cluster.sql("select ff_resume('c-work')") == "not paused"
    assert cluster.sql("select ff_resume('c-naps')") == "resumed"
    assert ended(cluster, napping)["status"] == "completed"
    cluster.assert_clean()


def test_a_run_that_backs_off_is_kept_while_its_function_is_paused(use):
    cluster, app = serve(use, {"fails": ({"retries": {"attempts": 1, "backoff": "fixed", "base": "1s"}}, fails)})
    run_id = start(cluster, "c/fails")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked") == "1", what="the run backs off")
    cluster.sql("select ff_pause('c-fails')")
    time.sleep(2)
    assert cluster.statuses() == {"live": 1} and len(app.called) == 1
    assert cluster.sql("select count(*) from flowforge.run_hot") == "1", "it waits where the end of the pause finds it"
    cluster.assert_sound()
    cluster.sql("select ff_resume('c-fails')")
    assert ended(cluster, run_id)["status"] == "failed" and len(app.called) == 2


def test_an_app_is_paused_with_all_its_functions(use):
    cluster, app = serve(use, {"a": ({}, steps("first")), "b": ({}, steps("first"))})
    assert cluster.sql("select ff_pause_app('c')") == "paused"
    assert cluster.sql("select ff_pause('c-a')") == "paused"
    runs = [start(cluster, f"c/{name}") for name in "ab"]
    time.sleep(1)
    assert app.called == []
    assert cluster.sql("select ff_resume_app('c')") == "resumed"
    assert ended(cluster, runs[1])["status"] == "completed"
    time.sleep(0.5)
    assert cluster.statuses() == {"live": 1, "completed": 1}, "what was paused by itself stays so"
    cluster.sql("select ff_resume('c-a')")
    assert ended(cluster, runs[0])["status"] == "completed"


def explained(cluster, run_id, beginning):
    return wait_for(lambda: [s for s in [cluster.sql(f"select ff_explain('{run_id}')")] if s.startswith(beginning)], 15, f"it says {beginning}")[0]


def test_a_run_that_waits_for_an_approval_or_a_lock_or_a_statement_says_so(use):
    def asks(body):
        return (200, 1) if body["steps"] else (206, [op("Approval", "ask", opts={"prompt": "Ship it?", "timeout": "1h", "approvers": ["ann", "bob"]})])

    def locks(body):
        if "take" not in body["steps"]:
            return 206, [op("Lock", "take", opts={"key": "press", "timeout": "1h"})]
        return sleeps(60)(body)

    def queries(body):
        return (200, 1) if body["steps"] else (206, [op("Sql", "count", opts={"query": "select pg_sleep(3)"})])

    cluster, app = serve(use, {"asks": ({}, asks), "locks": ({}, locks), "queries": ({}, queries)})
    asking = start(cluster, "c/asks")
    said = explained(cluster, asking, 'step "ask" waits for an approval of ann, bob until ')
    assert said.endswith(': "Ship it?"'), said
    holder = start(cluster, "c/locks")
    explained(cluster, holder, 'step "nap" sleeps until ')
    waiting = start(cluster, "c/locks")
    ulid = cluster.sql(f"select flowforge.ulid('{holder}')")
    explained(cluster, waiting, f'step "take" waits for the lock "press", which run {ulid} has held since ')
    cluster.sql("create role clerk login; select ff_set_app_role('c', 'clerk')")
    querying = start(cluster, "c/queries")
    explained(cluster, querying, 'the server has been working on step "count" since ')
    cluster.sql("select * from ff_cancel_where('{\"app\": \"c\"}')")
    wait_for(lambda: cluster.statuses().get("live", 0) == 0, what="all have ended")


if __name__ == "__main__":
    run(globals())
