"""Graphs over their lives: pauses and what ends them, calls of functions, cancelling, retrying, replaying, versions."""
import json
import os
import time

from graphs import (Ended, approval, check_log, condition, end, graph, is_paused, launch, literal, log, loop, node, play, publish, query, reaches, rows,
                    shared, start, steps, value)
from harness import run, wait_for


def status_of(cluster, run_id):
    return cluster.sql(f"select status from flowforge.runs where run_id = '{run_id}'")


def resume(cluster, run_id, step, data):
    return cluster.psql(stdin=f"select ff_resume('{run_id}', '{step}', {literal(data)})").stdout.strip()


def sqlstate(cluster, text):
    done = cluster.psql("-v", "VERBOSITY=sqlstate", "-c", text, check=False)
    return done.stderr.split(":")[1].strip() if done.returncode else None


def restart(cluster):
    cluster.stop("fast")
    cluster.start()
    cluster.wait_working()


# --- pauses (rule 7) ---

def test_a_run_is_paused_only_when_nothing_else_can_run(use):
    cluster = shared()
    run_id = start(cluster, [approval("ask", prompt="Ship {{ input.what }}?"), query("slow", "select pg_sleep(0.7)"), node("nap", "delay", {"seconds": 1.2}),
                             value("after", {"said": "{{ ask.said }}"})], "ask>after slow>after nap>after", {"what": "it"})
    reaches(cluster, run_id, "ask", "waiting")
    assert status_of(cluster, run_id) == "running"
    reaches(cluster, run_id, "slow", "completed")
    assert status_of(cluster, run_id) == "running", "it sleeps, which ends by itself"
    is_paused(cluster, run_id)
    paused = log(cluster, run_id)[-1]
    assert paused["type"] == "run.paused" and paused["data"]["status"] == "paused" and paused["data"]["waiting_step_id"] == "ask", paused
    assert paused["data"]["reason"] == "Ship it?" and paused["data"]["duration_ms"] >= 1200, paused
    assert resume(cluster, run_id, "ask", {"said": "yes"}) == "resuming"
    ended = end(cluster, run_id)
    assert ended.output == {"said": "yes"} and ended.result("ask") == {"said": "yes"}
    assert ended.types().count("run.paused") == 1
    resumed = ended.of("run.resumed")
    assert len(resumed) == 1 and resumed[0]["data"] == {"status": "running", "resumed_step_id": "ask"}, resumed


def test_all_outputs_of_parallel_waits_and_siblings_are_kept(use):
    cluster = shared()
    names = ["w0", "w1", "w2"]
    run_id = start(cluster, [approval(n) for n in names] + [query("q", "select 5 as five from pg_sleep(0.3)"), value("t", {"x": 1}),
                             value("join", {n: "{{ " + n + ".n }}" for n in names} | {"q": "{{ q.rows.0.five }}", "t": "{{ t.x }}"})],
                   "w0>join w1>join w2>join q>join t>join")
    is_paused(cluster, run_id)
    assert len([e for e in log(cluster, run_id) if e["type"] == "step.waiting"]) == 3
    restart(cluster)
    assert status_of(cluster, run_id) == "paused" and log(cluster, run_id)[-1]["type"] == "run.paused", "coming back is no event"
    for number, name in enumerate(names):
        assert resume(cluster, run_id, name, {"n": number}) == "resuming"
        if number < 2:
            reaches(cluster, run_id, name, "completed")
            is_paused(cluster, run_id)
    ended = end(cluster, run_id)
    assert ended.output == {"w0": 0, "w1": 1, "w2": 2, "q": 5, "t": 1}, ended.output
    assert ended.types().count("run.paused") == ended.types().count("run.resumed") == 3


def test_resuming_twice_is_resuming_once(use):
    cluster = shared()
    run_id = start(cluster, [node("wait", "wait_for_event", {"event_name": "x/y"}), approval("ask")], "wait>ask")
    reaches(cluster, run_id, "wait", "waiting")
    assert cluster.sql(f"begin; select ff_resume('{run_id}', 'wait', '{{\"n\": 1}}'); select ff_resume('{run_id}', 'wait', '{{\"n\": 2}}'); commit").split() == [
        "resuming", "already", "resuming"]
    reaches(cluster, run_id, "wait", "completed")
    assert resume(cluster, run_id, "wait", {"n": 3}) == "already done"
    reaches(cluster, run_id, "ask", "waiting")
    assert resume(cluster, run_id, "ask", {"ok": 1}) == "resuming"
    assert resume(cluster, run_id, "ask", {"ok": 2}).startswith("already")
    ended = end(cluster, run_id)
    assert ended.result("wait") == {"n": 1} and ended.output == {"ok": 1}
    assert ended.types("wait").count("step.completed") == 1
    assert resume(cluster, run_id, "ask", {}) == "already done"
    assert cluster.sql(f"select ff_resume('{run_id}'::uuid)") == "already completed"
    assert sqlstate(cluster, f"select ff_resume('{run_id}', 'nobody')") == "FF060"


def request_of(cluster, run_id):
    return wait_for(lambda: cluster.sql(f"select approval_id from flowforge.approvals where run_id = '{run_id}' and status = 'pending'"), what="the request")


def test_who_approves_gives_the_output_and_who_rejects_an_error(use):
    cluster = shared()
    form = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "integer"}}}
    run_id = start(cluster, [approval("ask", form=form, prompt="How much?"), value("then", {"amount": "{{ ask.amount }}"})], "ask>then")
    request = request_of(cluster, run_id)
    assert sqlstate(cluster, f"select ff_approve('{request}', '{{\"amount\": \"x\"}}')") == "FF409"
    assert sqlstate(cluster, f"select ff_resume('{run_id}', 'ask', '{{}}')") == "FF409"
    cluster.sql(f"select ff_approve('{request}', '{{\"amount\": 5}}')")
    assert end(cluster, run_id).output == {"amount": 5}
    for on_error, status in (("fail", "failed"), ("skip", "completed"), ("continue", "completed")):
        run_id = start(cluster, [approval("ask", on_error=on_error, max_attempts=3), value("then", {})], "ask>then")
        cluster.sql(f"select ff_reject('{request_of(cluster, run_id)}', 'too soon')")
        ended = end(cluster, run_id, status)
        assert ended.steps["ask"]["error"] == {"name": "Rejected", "message": "rejected by postgres: too soon"}, ended.steps["ask"]
        assert not ended.of("step.retrying"), "a decision is final"
        if on_error == "continue":
            assert ended.result("ask") == {"_error": "rejected by postgres: too soon"}


def test_what_is_not_decided_in_time_expires_by_on_error(use):
    cluster = shared()
    for wait in (lambda **d: approval("wait", timeout="300ms", **d), lambda **d: node("wait", "wait_for_event", {"event_name": "x/never", "timeout": 0.3}, **d)):
        for on_error, status, left in (("fail", "failed", "failed"), ("skip", "completed", "skipped"), ("continue", "completed", "failed")):
            ended = play(cluster, [wait(on_error=on_error), value("then", {})], "wait>then", status=status)
            assert ended.steps["wait"]["status"] == left and ended.steps["wait"]["error"]["name"] == "TimedOut", ended.steps["wait"]
            assert ended.of("step.waiting")[0]["data"]["until"] is not None
            assert ended.of("run.resumed")[0]["data"]["resumed_step_id"] == "wait"
    assert cluster.sql("select count(*) from flowforge.approvals where status = 'pending'") == "0"
    assert cluster.sql("select count(*) from flowforge.wait") == "0"


def test_events_end_waits_that_they_match(use):
    cluster = shared()

    def waiting(config, data=None, before=()):
        run_id = start(cluster, [*before, node("wait", "wait_for_event", {"event_name": "order/paid", **config}), value("then", {"got": "{{ wait }}"})],
                       ("" if not before else f"{before[0]['id']}>wait ") + "wait>then", data)
        reaches(cluster, run_id, "wait", "waiting")
        return run_id

    any_one = waiting({})
    path = waiting({"match": "data.order"}, {"order": "o'1"})
    value_of = waiting({"match": {"order": "{{ input.id }}", "kind": "big\"x"}}, {"id": 7})
    filtered = waiting({"if": "async.data.total > {{ input.least }} and async.data.who == {{ who.name }}"}, {"least": 10},
                       [value("who", {"name": "a' or 'a' == 'a"})])
    waits = rows(cluster, f"select type, data from flowforge.run_event where run_id = '{any_one}' and type = 'step.waiting'")
    assert waits[0]["data"]["waiting_for"] == "event" and waits[0]["data"]["label"] == "wait", waits

    def send(data):
        cluster.psql(stdin=f"select ff_send_event('order/paid', {literal(data)})")

    send({"n": 1, "order": "other", "total": 11, "who": "a"})
    assert end(cluster, any_one).output["got"]["n"] == 1
    time.sleep(0.3)
    assert [status_of(cluster, r) for r in (path, value_of, filtered)] == ["paused"] * 3
    send({"order": "o'1"})
    assert end(cluster, path).output == {"got": {"order": "o'1"}}
    send({"order": 7, "kind": "big"})
    send({"order": 7, "kind": "big\"x", "n": 3})
    assert end(cluster, value_of).output["got"]["n"] == 3
    send({"total": 11, "who": "b"})
    send({"total": 11, "who": "a' or 'a' == 'a"})
    assert end(cluster, filtered).output["got"]["total"] == 11


def test_delays_take_their_time_and_say_how_long_it_was(use):
    ended = play(shared(), [node("nap", "delay", {"seconds": 0.4}), node("none", "delay", {"seconds": "0"}), node("past", "delay", {"until": "2020-01-01T00:00:00Z"})],
                 "nap>none none>past")
    assert 0.4 <= ended.result("nap")["delayed_seconds"] < 30 and ended.result("none") == {"delayed_seconds": 0}, ended.steps
    waiting = ended.of("step.waiting")
    assert len(waiting) == 1 and waiting[0]["data"]["waiting_for"] == "sleep" and waiting[0]["data"]["until"], waiting
    assert "run.paused" not in ended.types()


# --- function_call ---

def test_a_function_may_be_a_graph_or_a_function_of_the_database(use):
    cluster = shared()
    callee = publish(cluster, [value("a", {"twice": "{{ input.n * 2 }}"})])
    cluster.sql("create function shop.add(input jsonb) returns jsonb language sql as $$ select jsonb_build_object('sum', (input ->> 'a')::int + (input ->> 'b')::int) $$; "
                "alter function shop.add owner to worker")
    cluster.sql("select ff_register_function('add', 'shop.add(jsonb)', role => 'worker')")
    ended = play(cluster, [node("g", "function_call", {"function": callee, "args": {"n": "{{ input.n }}"}}),
                           node("f", "function_call", {"function": "add", "args": {"a": "{{ g.twice }}", "b": 1}}),
                           node("none", "function_call", {"function": callee + "-two"}, on_error="skip")], "g>f f>none", {"n": 4})
    assert ended.result("g") == {"twice": 8}, ended.result("g")
    assert ended.result("f") == {"sum": 9}, ended.result("f")
    assert [e["data"]["waiting_for"] for e in ended.of("step.waiting")] == ["invoke"] * 3
    assert ended.steps["none"]["status"] == "skipped"
    plain = publish(cluster, [value("a", {"x": 1})])
    assert play(cluster, [node("g", "function_call", {"function": plain})]).output == {"x": 1}, "without arguments"


def test_a_function_that_fails_fails_its_caller_with_its_error(use):
    cluster = shared()
    callee = publish(cluster, [query("q", "select shop.fails()")])
    ended = play(cluster, [node("call", "function_call", {"function": callee})], status="failed")
    assert ended.error["message"] == "it fails", ended.error
    sleeper = publish(cluster, [node("nap", "delay", {"seconds": 60})])
    run_id = start(cluster, [node("call", "function_call", {"function": sleeper})])
    child = wait_for(lambda: cluster.sql(f"select run_id from flowforge.run where parent_run_id = '{run_id}'"), what="the child")
    cluster.sql(f"select ff_cancel('{child}')")
    assert "cancelled" in end(cluster, run_id, "failed").error["message"]
    end(cluster, child, "cancelled")


def test_a_call_that_nobody_waits_for_gives_the_run_it_started(use):
    cluster = shared()
    callee = publish(cluster, [query("q", "select pg_sleep(0.5)")])
    ended = play(cluster, [node("call", "function_call", {"function": callee, "args": {"n": 1}, "wait": False})])
    child = cluster.sql(f"select run_id from flowforge.run where flowforge.ulid(run_id) = '{ended.output['run_id']}'")
    assert child and end(cluster, child).status == "completed"
    assert ended.types("call") == ["step.started", "step.completed", "context.updated"]
    ended = play(cluster, [node("call", "function_call", {"function": "nobody-at-all", "wait": False}, on_error="skip")])
    assert ended.steps["call"]["status"] == "skipped" and "nobody-at-all" in ended.of("step.skipped")[0]["data"]["reason"], ended.steps


def test_graphs_that_call_themselves_are_bounded(use):
    cluster = shared()
    name = publish(cluster, [node("again", "function_call", {"function": "circle"})], name="circle")
    begun = time.monotonic()
    ended = end(cluster, launch(cluster, name), "failed", 60)
    assert ended.error["name"] == "InvocationTooDeep", ended.error
    assert cluster.sql("select count(*) from flowforge.runs where function = 'circle' and status = 'failed'") == "101"
    assert time.monotonic() - begun < 60


# --- cancelling (rule 9) ---

def cancelled(cluster, run_id, reason="enough"):
    assert cluster.sql(f"select ff_cancel('{run_id}', '{reason}')") == "cancelling"
    ended = end(cluster, run_id, "cancelled")
    assert len(ended.of("run.cancelled")) == 1 and ended.of("run.cancelled")[0]["data"] == {"status": "cancelled", "reason": reason}
    assert cluster.sql(f"select ff_cancel('{run_id}')") == "already cancelled"
    assert cluster.sql(f"select count(*) from flowforge.wait where run_id = '{run_id}'") == "0"
    assert cluster.sql(f"select count(*) from flowforge.approvals where run_id = '{run_id}' and status = 'pending'") == "0"
    return ended


def test_cancelling_ends_what_runs_and_closes_what_waits(use):
    cluster = shared()
    cluster.sql("truncate shop.mark")
    run_id = start(cluster, [query("long", "insert into shop.mark select 'late' from pg_sleep(2)"), approval("ask"), node("nap", "delay", {"seconds": 60}),
                             node("event", "wait_for_event", {"event_name": "x/never"}), query("flaky", "select shop.flaky(1000000)", max_attempts=9, backoff_base=60),
                             loop("each", [1, 2, 3, 4], "database_query", {"query": "insert into shop.mark select 'late' from pg_sleep(2)"}, max_parallel=2),
                             value("done", {}), value("join", {})], "long>join ask>join nap>join event>join flaky>join each>join done>join")
    for step, status in (("ask", "waiting"), ("nap", "sleeping"), ("event", "waiting"), ("flaky", "retrying"), ("each", "running"), ("long", "running")):
        reaches(cluster, run_id, step, status)
    ended = cancelled(cluster, run_id)
    assert {name: row["status"] for name, row in ended.steps.items()} == {
        **dict.fromkeys(("long", "ask", "nap", "event", "flaky", "each", "each[0]", "each[1]"), "cancelled"), "done": "completed"}, ended.steps
    assert all(row["ended_at"] for row in ended.steps.values())
    time.sleep(2.3)
    assert cluster.sql("select count(*) from shop.mark") == "0", "no late effects"
    assert Ended(cluster, run_id).log == ended.log


def test_a_run_that_has_not_begun_or_is_paused_can_be_cancelled(use):
    cluster = shared()
    name = publish(cluster, [approval("ask")])
    run_id = cluster.psql(stdin=f"begin; select ff_workflow_run('{name}') as r \\gset\nselect ff_cancel(:'r', 'never'); commit; select :'r'").stdout.split()[-1]
    ended = end(cluster, run_id, "cancelled")
    assert ended.of("run.cancelled")[0]["data"]["reason"] == "never"
    run_id = launch(cluster, name)
    is_paused(cluster, run_id)
    cancelled(cluster, run_id)
    run_id = launch(cluster, name)
    is_paused(cluster, run_id)
    restart(cluster)
    cancelled(cluster, run_id)
    cluster.sql(f"select ff_pause('{name}')")
    run_id = launch(cluster, name)
    time.sleep(0.3)
    cluster.sql(f"select ff_cancel('{run_id}')")
    ended = end(cluster, run_id, "cancelled")
    assert "step.started" not in ended.types()
    cluster.sql(f"select ff_resume('{name}')")


def test_cancelling_while_a_statement_commits_keeps_the_books(use):
    cluster = shared()
    cluster.sql("truncate shop.mark")
    name = publish(cluster, [query("q", "insert into shop.mark select $1 from pg_sleep(0.02 * random())", "{{ input.n }}"), value("v", {}),
                             query("r", "insert into shop.mark select $1 from pg_sleep(0.02 * random())", "{{ input.n }}")], "q>v v>r")
    kept = 0
    for number in range(25):
        run_id = launch(cluster, name, {"n": f"m{number}"})
        time.sleep(0.012 * (number % 6))
        cluster.sql(f"select ff_cancel('{run_id}')")
        cluster.sql(f"select null from ff_wait('{run_id}')")
        ended = Ended(cluster, run_id)
        check_log(ended)
        done = sum(ended.steps.get(s, {}).get("status") == "completed" for s in "qr")
        assert cluster.sql(f"select count(*) from shop.mark where what = 'm{number}'") == str(done), ended.log
        kept += done
    print(f"# {kept} of 50 statements committed")


# --- ff_retry, ff_replay ---

def test_a_retry_goes_on_from_the_failed_nodes_with_the_next_attempt(use):
    cluster = shared()
    cluster.sql("truncate shop.mark; alter sequence shop.tries restart")
    run_id = start(cluster, [query("once", "insert into shop.mark values ('once') returning what"), value("v", {"w": "{{ once.rows.0.what }}"}),
                             query("bad", "select shop.flaky(4) as n", max_attempts=2, backoff_base=0.05), query("slow", "select pg_sleep(0.2)"), value("end", {"n": "{{ bad.rows.0.n }}", "w": "{{ v.w }}"})],
                   "once>v v>bad v>slow slow>end bad>end")
    for life, status in ((1, "failed"), (2, "failed"), (3, "completed")):
        ended = end(cluster, run_id, status)
        attempts = [e["data"]["attempt"] for e in ended.of("step.started", "bad")]
        assert attempts == list(range(1, 2 * life + 1))[:5], (life, attempts)
        assert ended.types("once").count("step.started") == ended.types("slow").count("step.started") == 1
        if status == "failed":
            assert cluster.sql(f"select ff_retry('{run_id}')") == "retrying"
    assert ended.output == {"n": 5, "w": "once"}, ended.output
    assert ended.steps["bad"]["attempt"] == 4, ended.steps["bad"]
    assert cluster.sql("select count(*) from shop.mark") == "1"
    assert sqlstate(cluster, f"select ff_retry('{run_id}')") == "FF014"


def test_a_cancelled_run_goes_on_where_it_was_cut_short(use):
    cluster = shared()
    run_id = start(cluster, [value("a", {"x": 1}), approval("ask"), loop("each", [1, 2, 3], "delay", {"seconds": "{{ 60 if _item == 2 else 0 }}"}, max_parallel=3),
                             value("end", {"x": "{{ a.x }}", "ok": "{{ ask.ok }}", "n": "{{ each.results }}"})], "a>ask a>each ask>end each>end")
    reaches(cluster, run_id, "each[1]", "sleeping")
    cancelled(cluster, run_id)
    cluster.sql(f"select ff_retry('{run_id}')")
    reaches(cluster, run_id, "each[1]", "sleeping")
    request = request_of(cluster, run_id)
    cluster.sql(f"select ff_resume('{run_id}', 'each[1]')")
    cluster.sql(f"select ff_approve('{request}', '{{\"ok\": true}}')")
    ended = end(cluster, run_id)
    assert ended.output["ok"] is True and len(ended.output["n"]) == 3
    assert ended.types("a").count("step.started") == 1 and ended.types("each[0]").count("step.started") == 1
    assert ended.types("each").count("step.started") == 2


def test_a_loop_that_failed_goes_on_with_the_items_that_have_not_completed(use):
    cluster = shared()
    cluster.sql("truncate shop.mark; create table shop.gate (open boolean); insert into shop.gate values (false); alter table shop.gate owner to worker")
    text = "with m as (insert into shop.mark values ($1)) select 1 / (case when $1 <> '3' or (select open from shop.gate) then 1 else 0 end) as one"
    run_id = start(cluster, [loop("each", ["1", "2", "3", "4"], "database_query", {"query": text, "params": ["{{ _item }}"]}, on_item_error="fail", max_parallel=1),
                             value("end", {"n": "{{ each.count }}"})], "each>end")
    ended = end(cluster, run_id, "failed")
    assert ended.of("step.failed", "each")[0]["data"]["attempt"] == 1 and "each[3]" not in ended.steps
    cluster.sql("update shop.gate set open = true")
    cluster.sql(f"select ff_retry('{run_id}')")
    ended = end(cluster, run_id)
    assert ended.output == {"n": 4}
    assert [e["data"]["attempt"] for e in ended.of("step.started", "each")] == [1, 2] and ended.steps["each"]["attempt"] == 1
    assert [e["data"]["attempt"] for e in ended.of("step.started", "each[2]")] == [1, 2]
    assert cluster.sql("select string_agg(what, '' order by at) from shop.mark") == "1234", "what failed left nothing, what completed is not done again"


def test_what_backs_off_says_so_and_takes_no_data(use):
    cluster = shared()
    run_id = start(cluster, [node("wait", "wait_for_event", {"event_name": "x/never", "timeout": 0.1}, max_attempts=2, backoff_base=60)])
    reaches(cluster, run_id, "wait", "retrying")
    assert sqlstate(cluster, f"select ff_resume('{run_id}', 'wait', '{{}}')") == "FF014"
    assert sqlstate(cluster, f"select ff_resume('{run_id}'::uuid)") == "FF014"
    assert "failed at attempt 1 of 2" in cluster.sql(f"select ff_explain('{run_id}')"), cluster.sql(f"select ff_explain('{run_id}')")
    assert status_of(cluster, run_id) == "running"
    restart(cluster)
    assert cluster.sql(f"select status || attempt from flowforge.steps where run_id = '{run_id}'") == "retrying1"
    cancelled(cluster, run_id)


def test_a_replay_keeps_what_is_not_downstream(use):
    cluster = shared()
    cluster.sql("truncate shop.mark")
    mark = "insert into shop.mark values ($1) returning what"
    run_id = start(cluster, [query("a", mark, "a"), query("b", mark, "b{{ input.n }}"), query("side", mark, "side"), query("c", mark, "c{{ b.rows.0.what }}"),
                             value("end", {"a": "{{ a.rows.0.what }}", "c": "{{ c.rows.0.what }}", "side": "{{ side.rows.0.what }}"})],
                   "a>b b>c c>end a>side side>end", {"n": 1})
    end(cluster, run_id)
    replay = cluster.sql(f"select ff_replay('{run_id}', 'b')")
    ended = end(cluster, replay)
    assert ended.output == {"a": "a", "c": "cb1", "side": "side"}, ended.output
    told = {entry["step_id"]: entry["data"] for entry in ended.log if entry["type"] == "step.completed"}
    assert told["a"] == {entry["step_id"]: entry["data"] for entry in end(cluster, run_id).log if entry["type"] == "step.completed"}["a"]
    assert told["a"]["output_summary"]["rows"] == [{"what": "a"}]
    counts = dict(line.split("|") for line in cluster.sql("select what, count(*) from shop.mark group by 1").split("\n"))
    assert counts == {"a": "1", "b1": "2", "side": "1", "cb1": "2"}, counts
    edited = cluster.psql(stdin=f"select ff_replay('{run_id}', 'b', {literal([{'query': mark, 'params': ['edited']}])})").stdout.strip()
    assert end(cluster, edited).output == {"a": "a", "c": "cedited", "side": "side"}
    whole = cluster.sql(f"select ff_replay('{run_id}')")
    assert end(cluster, whole).types("side").count("step.started") == 1


def test_nodes_that_wait_for_their_turn_say_so(use):
    cluster = shared()
    nodes = [value("a", {}), query("q1", "select pg_sleep(3)"), query("q2", "select pg_sleep(3)"), query("q3", "select 1", label="third"), value("z", {}), node("nap", "delay", {"seconds": 3})]
    run_id = start(cluster, nodes, "a>q1 a>q2 a>q3 a>nap q1>z q2>z q3>z nap>z", settings={"max_concurrency": 2})
    wait_for(lambda: cluster.sql(f"select count(*) from flowforge.steps where run_id = '{run_id}' and step_id in ('q1', 'q2', 'nap')") == "3", what="two are worked on")
    waiting = rows(cluster, f"select step_id, sentence from flowforge.run_causes('{run_id}') where cause = 'waiting for its turn'")
    assert waiting == [{"step_id": "q3", "sentence": 'step "third" waits for its turn: 2 nodes are worked on, and settings.max_concurrency is 2'}], waiting
    assert 'step "third" waits for its turn' in cluster.sql(f"select ff_explain('{run_id}')")
    end(cluster, run_id)


def test_versions_that_test_runs_had_are_forgotten(use):
    cluster = shared()
    name = f"tried-{os.getpid()}"
    for mapping in ({"n": 1}, {"n": 2}, {"n": 3}):
        document = literal(graph([value("a", mapping), *([approval("ask")] if mapping == {"n": 2} else [])], "a>ask" if mapping == {"n": 2} else ""))
        cluster.psql(stdin=f"select workflow from ff_workflow_create('{name}', {document})" if mapping == {"n": 1} else f"select workflow from ff_workflow_update('{name}', {document})")
        run_id = launch(cluster, name, draft=True)
        if mapping == {"n": 2}:
            live = run_id
            is_paused(cluster, live)
        else:
            end(cluster, run_id)
    versions = f"select string_agg(v.version::text, ' ' order by v.version desc) from flowforge.function_version v join flowforge.function f using (tenant_id, function_id) where f.slug = '{name}'"
    assert cluster.sql(versions) == "-1 -2 -3"
    assert cluster.sql("select flowforge.forget_snapshots('30 days')") == "0"
    cluster.sql("update flowforge.function_version set created_at = now() - interval '32 days' where version < 0")
    assert cluster.sql("select flowforge.forget_snapshots('0 days')") == "0"
    assert int(cluster.sql("select flowforge.forget_snapshots('30 days')")) >= 1
    assert cluster.sql(versions) == "-2 -3", "the second has a live run, the third is the draft's"
    cluster.sql(f"select ff_resume('{live}', 'ask')")
    end(cluster, live)
    end(cluster, launch(cluster, name, draft=True))
    assert int(cluster.sql("select flowforge.forget_snapshots('30 days')")) >= 1
    assert cluster.sql(versions) == "-3"
    assert cluster.sql(f"select now() - v.created_at < interval '1 hour' from flowforge.function_version v join flowforge.function f using (tenant_id, function_id) where f.slug = '{name}'") == "t"


def test_a_replay_from_a_condition_may_go_the_other_way(use):
    cluster = shared()
    run_id = start(cluster, [condition("c", "input.go"), value("yes", {"way": "yes"}), value("no", {"way": "no"})], "c>yes:true c>no:false", {"go": True})
    assert end(cluster, run_id).output == {"yes": {"way": "yes"}}
    edited = cluster.psql(stdin=f"select ff_replay('{run_id}', 'c', {literal([{'expression': 'false'}])})").stdout.strip()
    ended = end(cluster, edited)
    assert ended.output == {"no": {"way": "no"}} and ended.steps["yes"]["status"] == "skipped"


def test_one_item_of_a_for_each_can_be_replayed(use):
    cluster = shared()
    cluster.sql("truncate shop.mark")
    run_id = start(cluster, [loop("each", ["x", "y", "z"], "database_query", {"query": "insert into shop.mark values ($1) returning what", "params": ["{{ _item }}"]}),
                             value("end", {"n": "{{ each.count }}"})], "each>end")
    end(cluster, run_id)
    replay = cluster.sql(f"select ff_replay('{run_id}', 'each[1]')")
    ended = end(cluster, replay)
    assert [r["rows"][0]["what"] for r in ended.result("each")["results"]] == ["x", "y", "z"]
    assert cluster.sql("select string_agg(what || n, ' ' order by what) from (select what, count(*) as n from shop.mark group by 1) m") == "x1 y2 z1"
    assert ended.types("each[1]").count("step.started") == 1 and ended.types("each[0]").count("step.started") == 0
    edited = cluster.psql(stdin=f"select ff_replay('{run_id}', 'each', {literal([{'items': [1, 2], 'handler': 'delay', 'item_config': {'seconds': 5}}])})").stdout.strip()
    reaches(cluster, edited, "each[0]", "sleeping")
    restart(cluster)
    assert end(cluster, edited).result("each")["count"] == 2


# --- versions and drafts ---

def test_a_run_keeps_the_version_it_started_with(use):
    cluster = shared()
    name = publish(cluster, [approval("ask"), value("end", {"version": 1})], "ask>end")
    first = launch(cluster, name)
    is_paused(cluster, first)
    cluster.psql(stdin=f"select null from ff_workflow_update('{name}', {literal(graph([value('end', {'version': 2})]))}); select null from ff_workflow_publish('{name}')")
    assert end(cluster, launch(cluster, name)).output == {"version": 2}
    restart(cluster)
    resume(cluster, first, "ask", {})
    assert end(cluster, first).output == {"version": 1}
    assert end(cluster, cluster.sql(f"select ff_replay('{first}', 'end')")).output == {"version": 2}, "a replay is a new run"


def test_a_draft_runs_only_as_a_test(use):
    cluster = shared()
    cluster.psql(stdin=f"select null from ff_workflow_create('drafted', {literal(graph([value('a', {'v': 1})]) | {'triggers': [{'event': 'draft/go'}]})})")
    assert sqlstate(cluster, "select ff_workflow_run('drafted')") == "FF513"
    cluster.sql("select ff_send_event('draft/go')")
    first = launch(cluster, "drafted", draft=True)
    assert end(cluster, first).output == {"v": 1}
    assert cluster.sql("select count(*) from flowforge.runs where function = 'drafted'") == "1", "drafts have no triggers"
    cluster.psql(stdin=f"select null from ff_workflow_update('drafted', {literal(graph([approval('ask'), value('a', {'v': 2})], 'ask>a'))})")
    second = launch(cluster, "drafted", draft=True)
    is_paused(cluster, second)
    cluster.psql(stdin=f"select null from ff_workflow_update('drafted', {literal(graph([value('a', {'v': 3})]))})")
    assert end(cluster, launch(cluster, "drafted", draft=True)).output == {"v": 3}
    resume(cluster, second, "ask", {})
    assert end(cluster, second).output == {"v": 2}, "a test run keeps its draft, too"
    cluster.sql("select null from ff_workflow_publish('drafted')")
    cluster.sql("select ff_send_event('draft/go')")
    run_id = wait_for(lambda: cluster.sql("select run_id from flowforge.runs where function = 'drafted' and version > 0"), what="the trigger starts it")
    assert end(cluster, run_id).output == {"v": 3}


def test_every_invariant_holds_after_all_of_this(use):
    wait_for(lambda: shared().sql("select count(*) from flowforge.live_run") == "0", what="all is quiet")
    shared().assert_sound()
    shared().assert_clean()


if __name__ == "__main__":
    run(globals())
