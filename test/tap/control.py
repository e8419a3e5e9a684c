"""What starts, times, stops and repeats runs: timeouts, cancelOn, backoff, pauses, and the invariants only a living server can break."""
import json
import time

from harness import App, Cluster, run, wait_for


class Scripted(App):
    """An app whose functions are given: name -> (configuration, what it answers to a call's body)."""

    def __init__(self, name, functions):
        self.functions = functions
        self.called = []
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
        return self.functions[function][1](body)

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
        time.sleep(4)
        return 200, "late"

    limit = {"timeouts": {"finish": "1s"}}
    cluster, app = serve(use, {"sleeping": (limit, sleeps(60)), "calling": (limit, hangs), "failing": (limit, fails),
                               "quick": (limit, lambda body: (200, 1))}, {"flowforge.retry_interval": "0"})
    runs = {name: start(cluster, f"c/{name}") for name in app.functions}
    for name in ("sleeping", "calling", "failing"):
        end = ended(cluster, runs[name])
        assert end["status"] == "cancelled", (name, end)
        assert end["error"] == {"name": "Timeout", "message": "the run did not end within 1 s (timeouts.finish)"}, end
        assert 0.9 < end["took"] < 2.5, (name, end)
    assert ended(cluster, runs["quick"])["status"] == "completed"
    time.sleep(4)  # the late answer is dropped
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
    assert 0.9 < end["took"] < 2, end
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
    assert len(times) == 4 and times[2] - times[0] < 2, times
    end = ended(cluster, start(cluster, "c/wrong"))
    assert end["status"] == "failed" and "backoff" in end["error"]["message"], end


def test_retry_after_goes_before_the_policy(use):

    cluster, app = serve(use, {"later": ({"retries": {"attempts": 1, "backoff": "fixed", "base": "1h"}}, fails)})
    app.headers = {"retry-after": "1"}
    end = ended(cluster, start(cluster, "c/later"))
    assert end["status"] == "failed" and 0.9 < end["took"] < 3, end


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


if __name__ == "__main__":
    run(globals())
