"""SendEvent, Approval, Lock and Unlock: what an app asks for by an operation, and what comes of it."""
import json
import os
import random
import subprocess
import time

from harness import kill, run, wait_for
from script import Script, end, one, op, play, shared, sql, start


def error_of(memo):
    assert set(memo) == {"error"}, memo
    return memo["error"]


def sqlstate(cluster, text):
    """The SQLSTATE of a statement's error, or None."""
    done = cluster.psql("-v", "VERBOSITY=sqlstate", "-c", text, check=False)
    return done.stderr.split(":")[1].strip() if done.returncode else None


def request_of(cluster, run_id):
    return wait_for(lambda: cluster.sql(f"select approval_id from flowforge.approvals where run_id = '{run_id}'"), what="the request is there")


def http(cluster, method, path, body=None):
    """What the gateway would pass on, and what it would answer: (status, JSON)."""
    given = "null" if body is None else "convert_to($b$" + json.dumps(body) + "$b$, 'UTF8')"
    row = cluster.sql(f"select s.status, convert_from(s.body, 'UTF8') from flowforge.serve('{method}', '{path.split('?')[0]}', "
                      f"'{(path.split('?') + [''])[1]}', '{{}}', {given}) s")
    status, text = row.split("|", 1)
    return int(status), json.loads(text)


# --- SendEvent ---

def test_events_are_recorded_with_the_step_and_start_their_runs(use):
    cluster, app = shared()
    other = use(Script(name="started", event="sent/two"))
    other.scripts["x"] = []
    cluster.register(other)
    done = play(cluster, app, [op("SendEvent", "send", events=[
        {"name": "sent/one", "data": {"n": 1}, "id": "only-once"}, {"name": "sent/two", "data": {"script": "x"}, "ts": 1700000000000}])])
    ids = done["send"]["data"]["ids"]
    rows = cluster.sql("select string_agg(name || ' ' || flowforge.ulid(event_id), ',' order by name) from flowforge.event where name like 'sent/%' "
                       "and name <> 'sent/inside'")
    assert rows == f"sent/one {ids[0]},sent/two {ids[1]}", (rows, ids)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.runs where function = 'started-main' and status = 'completed'") == "1",
             what="the event's run completes")
    again = play(cluster, app, [op("SendEvent", "send", events=[{"name": "sent/one", "id": "only-once"}])])
    assert again["send"]["data"]["ids"] == ids[:1], "a repeat gives the first one's id"
    assert cluster.sql("select count(*) from flowforge.event where name = 'sent/one'") == "1"
    assert one(cluster, app, op("SendEvent", "none", events=[])) == {"data": {"ids": []}}
    assert len(one(cluster, app, op("SendEvent", "single", events={"name": "sent/three"}))["data"]["ids"]) == 1


def test_a_function_may_wait_for_what_its_own_event_is(use):
    cluster, app = shared()
    done = play(cluster, app, [[op("SendEvent", "send", events=[{"name": "self/reply", "data": {"n": 5}}]),
                                op("WaitForEvent", "reply", event="self/reply", timeout="20s")]])
    assert done["reply"]["data"] == {"n": 5}, done


def test_events_that_are_none_fail_the_step(use):
    cluster, app = shared()
    for events, code in (([{"name": "inngest/function.failed"}], "FF001"), ([{"name": "flowforge/x"}], "FF001"), ([{"data": {}}], "FF001"),
                         ([{"name": "a", "data": [1]}], "FF002"), ([{"name": "a", "data": {"x": "y" * 600000}}], "FF003"),
                         ([{"name": "a", "ts": 1}], "FF004"), ([7], "FF005"), ([{"name": "a", "id": 5}], "FF005"),
                         ([{"name": "a"}] * 5001, "FF006")):
        error = error_of(one(cluster, app, op("SendEvent", "bad", events=events)))
        assert error["code"] == code and error["name"] == "EventError", (code, error)
    assert error_of(one(cluster, app, op("SendEvent", "bad")))["name"] == "StepOptionsError"
    assert error_of(one(cluster, app, op("SendEvent", "bad", events="a")))["name"] == "StepOptionsError"
    assert cluster.sql("select count(*) from flowforge.event where name = 'a'") == "0"


# --- Approval ---

def test_an_approval_gives_the_run_who_decided_what_when_and_why(use):
    cluster, app = shared()
    run_id = start(cluster, app, [op("Approval", "ask", prompt="Ship it?")])
    request = request_of(cluster, run_id)
    assert cluster.sql(f"select prompt || status || function from flowforge.approvals where approval_id = '{request}'") == "Ship it?pendingscript-main"
    assert cluster.sql(f"select op || status from flowforge.steps where run_id = '{run_id}'") == "approvalwaiting"
    cluster.sql("create role alice")
    cluster.sql("grant execute on function ff_approve, ff_reject to alice")
    assert cluster.sql(f"set role alice; select ff_approve('{request}', '{{\"limit\": 5}}', 'looks good')") == "approved"
    decision = end(cluster, run_id)[1]["ask"]["data"]
    at = decision.pop("at")
    assert decision == {"approved": True, "data": {"limit": 5}, "by": "alice", "reason": "looks good"}, decision
    row = cluster.sql(f"select status, decided_by, data, reason, decided_at = '{at}' from flowforge.approvals where approval_id = '{request}'")
    assert row == 'approved|alice|{"limit": 5}|looks good|t', row


def test_a_rejection_is_a_decision_too(use):
    cluster, app = shared()
    run_id = start(cluster, app, [op("Approval", "ask", prompt="Ship it?")])
    assert cluster.sql(f"select ff_reject('{request_of(cluster, run_id)}', 'too soon')") == "rejected"
    decision = end(cluster, run_id)[1]["ask"]["data"]
    assert (decision["approved"], decision["by"], decision["reason"]) == (False, "postgres", "too soon"), decision


def test_a_second_decision_is_told_what_was_decided(use):
    cluster, app = shared()
    run_id = start(cluster, app, [op("Approval", "ask", prompt="?")])
    request = request_of(cluster, run_id)
    cluster.sql(f"select ff_approve('{request}', null, 'first')")
    assert cluster.sql(f"select ff_approve('{request}', '{{\"other\": 1}}', 'second')") == "already approved"
    said = cluster.psql("-c", f"select ff_reject('{request}')", check=False).stderr
    assert "already approved" in said and '"postgres" decided at' in said and "first" in said, said
    assert sqlstate(cluster, f"select ff_reject('{request}')") == "FF407"
    assert end(cluster, run_id)[1]["ask"]["data"]["reason"] == "first"
    assert sqlstate(cluster, "select ff_approve('01a1fd2e-9f96-7c76-b5dc-f8d6d7eba319')") == "FF406"
    # Two at the same time: the second waits for the first, whichever that is.
    run_id = start(cluster, app, [op("Approval", "ask", prompt="?")])
    request = request_of(cluster, run_id)
    environment = dict(os.environ, PGHOST=cluster.directory, PGPORT=str(cluster.port), PGUSER="postgres", PGDATABASE=cluster.database)
    first = subprocess.Popen(["psql", "-XqAt"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    first.stdin.write(f"begin; select ff_reject('{request}', 'slowly'); select pg_sleep(0.5); commit;\n")
    first.stdin.flush()
    time.sleep(0.2)
    assert sqlstate(cluster, f"select ff_approve('{request}')") == "FF407"
    first.communicate()
    assert end(cluster, run_id)[1]["ask"]["data"]["reason"] == "slowly"


def test_a_decision_that_is_rolled_back_was_none(use):
    cluster, app = shared()
    run_id = start(cluster, app, [op("Approval", "ask", prompt="?")])
    request = request_of(cluster, run_id)
    cluster.sql(f"begin; select ff_approve('{request}'); rollback")
    assert cluster.sql(f"select status from flowforge.approvals where approval_id = '{request}'") == "pending"
    cluster.sql(f"select ff_reject('{request}')")
    assert end(cluster, run_id)[1]["ask"]["data"]["approved"] is False


def test_a_request_expires_but_not_while_somebody_decides(use):
    cluster, app = shared()
    done = play(cluster, app, [op("Approval", "ask", prompt="?", timeout="300ms")])
    decision = done["ask"]["data"]
    assert (decision["approved"], decision["by"], decision["reason"]) == (False, None, "timed out"), decision
    request = cluster.sql("select approval_id from flowforge.approvals where status = 'expired'")
    assert sqlstate(cluster, f"select ff_approve('{request}')") == "FF407"
    run_id = start(cluster, app, [op("Approval", "ask", prompt="?", timeout="6s")])
    request = request_of(cluster, run_id)
    deciding = f"begin; select ff_approve('{request}'); select pg_sleep(8); select clock_timestamp(); commit"
    other = start(cluster, app, [op("Sleep", "nap", duration="1500ms")])
    decided = cluster.sql(deciding).splitlines()
    assert decided[0] == "approved"
    assert end(cluster, run_id)[1]["ask"]["data"]["approved"] is True
    assert cluster.sql(f"select ended_at < '{decided[2]}' from flowforge.runs where run_id = '{other}'") == "t", "nobody waits for whoever decides"


def test_a_cancelled_run_asks_no_more(use):
    cluster, app = shared()
    run_id = start(cluster, app, [op("Approval", "ask", prompt="?")])
    request = request_of(cluster, run_id)
    cluster.sql(f"select ff_cancel('{run_id}')")
    assert end(cluster, run_id)[0] == "cancelled"
    assert cluster.sql(f"select status from flowforge.approvals where approval_id = '{request}'") == "cancelled"
    assert sqlstate(cluster, f"select ff_approve('{request}')") == "FF407"


def test_only_approvers_decide(use):
    cluster, app = shared()
    cluster.sql("create role bob; create role finance; create role carol; grant finance to carol; "
                "grant execute on function ff_approve to bob, carol")
    run_id = start(cluster, app, [op("Approval", "ask", prompt="?", approvers=["finance", "dave@example.com"])])
    request = request_of(cluster, run_id)
    assert sqlstate(cluster, f"set role bob; select ff_approve('{request}')") == "FF408"
    assert http(cluster, "POST", f"/api/v1/approvals/{request}/approve", {"by": "eve@example.com"})[0] == 403
    assert http(cluster, "POST", f"/api/v1/approvals/{request}/approve")[0] == 403
    assert cluster.sql(f"set role carol; select ff_approve('{request}')") == "approved"
    assert end(cluster, run_id)[1]["ask"]["data"]["by"] == "carol"
    cluster.sql("create role nobody")
    assert sqlstate(cluster, f"set role nobody; select ff_approve('{request}')") == "42501"


def test_data_that_is_nested_too_deeply_is_refused(use):
    cluster, app = shared()
    run_id = start(cluster, app, [op("Approval", "ask", prompt="?"), op("WaitForSignal", "wait", signal="deep", timeout="20s")])
    deep = "(repeat('[', 3000) || repeat(']', 3000))::jsonb"
    assert sqlstate(cluster, f"select ff_approve('{request_of(cluster, run_id)}', {deep})") == "FF007"
    cluster.sql(f"select ff_approve('{request_of(cluster, run_id)}', '[[1]]')")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.signal where name = 'deep'") == "1", what="the run waits for the signal")
    assert sqlstate(cluster, f"select ff_send_signal('deep', {deep})") == "FF007"
    cluster.sql("select ff_send_signal('deep', '[[2]]')")
    assert end(cluster, run_id)[0] == "completed"


def test_the_data_is_what_the_form_asks_for(use):
    cluster, app = shared()
    form = {"type": "object", "required": ["amount"], "properties": {
        "amount": {"type": "integer", "minimum": 1, "maximum": 10}, "why": {"type": "string", "maxLength": 5}, "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"type": "string"}}}}
    run_id = start(cluster, app, [op("Approval", "ask", prompt="?", form=form)])
    request = request_of(cluster, run_id)
    for data, said in (("null", "data must be an object, not null"), ('{}', 'data must have the member "amount"'),
                       ('{"amount": "1"}', "data/amount must be a whole number, not a text"), ('{"amount": 1.5}', "not 1.5"),
                       ('{"amount": 11}', "must be at most 10"), ('{"amount": 0}', "must be at least 1"),
                       ('{"amount": 1, "why": "because"}', "must have at most 5 characters"), ('{"amount": 1, "kind": "c"}', "must be one of"),
                       ('{"amount": 1, "tags": ["a", 1]}', "data/tags/1 must be a text, not a number")):
        done = cluster.psql("-c", f"select ff_approve('{request}', '{data}')", check=False)
        assert said in done.stderr, (data, done.stderr)
    assert sqlstate(cluster, f"select ff_approve('{request}')") == "FF409"
    assert cluster.sql(f"""select ff_approve('{request}', '{{"amount": 2.0, "why": "ok", "kind": "a", "tags": []}}')""") == "approved"
    assert end(cluster, run_id)[0] == "completed"


def test_a_form_that_is_no_schema_fails_the_step(use):
    cluster, app = shared()
    error = error_of(one(cluster, app, op("Approval", "bad", prompt="?", form={"properties": {"a": {"type": "text"}}})))
    assert 'a form that is not a JSON Schema: at "/properties/a/type"' in error["message"], error


def test_approvals_over_http(use):
    cluster, app = shared()
    first = start(cluster, app, [op("Approval", "ask", prompt="One?")])
    second = start(cluster, app, [op("Approval", "ask", prompt="Two?")])
    requests = [request_of(cluster, first), request_of(cluster, second)]
    status, page = http(cluster, "GET", f"/api/v1/approvals?status=pending&run={first}")
    assert status == 200 and [a["prompt"] for a in page["data"]] == ["One?"], page
    status, shown = http(cluster, "GET", f"/api/v1/approvals/{requests[1]}")
    assert (status, shown["prompt"], shown["status"]) == (200, "Two?", "pending"), shown
    status, shown = http(cluster, "POST", f"/api/v1/approvals/{requests[0]}/approve", {"data": {"ok": 1}, "comment": "fine", "by": "ann@example.com"})
    assert (status, shown["result"], shown["decided_by"]) == (200, "approved", "ann@example.com"), shown
    status, shown = http(cluster, "POST", f"/api/v1/approvals/{requests[0]}/approve", {})
    assert (status, shown["result"], shown["decided_by"]) == (200, "already approved", "ann@example.com"), shown
    status, problem = http(cluster, "POST", f"/api/v1/approvals/{requests[0]}/reject")
    assert status == 409 and "ann@example.com" in problem["detail"], problem
    assert http(cluster, "POST", f"/api/v1/approvals/{requests[1]}/reject", {"reason": "no", "by": "ann"})[1]["result"] == "rejected"
    assert end(cluster, first)[1]["ask"]["data"]["data"] == {"ok": 1}
    assert end(cluster, second)[1]["ask"]["data"]["reason"] == "no"
    assert http(cluster, "POST", "/api/v1/approvals/01a1fd2e-9f96-7c76-b5dc-f8d6d7eba319/approve")[0] == 404
    assert http(cluster, "GET", "/api/v1/approvals/01a1fd2e-9f96-7c76-b5dc-f8d6d7eba319")[0] == 404
    assert http(cluster, "GET", "/api/v1/approvals/zzz")[0] == 400
    assert http(cluster, "GET", "/api/v1/approvals?status=maybe")[0] == 400
    assert http(cluster, "POST", f"/api/v1/approvals/{requests[1]}/approve", {"comment": 5})[0] == 400


def test_requests_that_make_no_sense_fail_the_step(use):
    cluster, app = shared()
    for opts, said in (({}, "no prompt"), ({"prompt": ""}, "no prompt"), ({"prompt": "x" * 70000}, "64 KB"), ({"prompt": "?", "approvers": []}, "approvers"),
                       ({"prompt": "?", "approvers": [1]}, "approvers"), ({"prompt": "?", "form": "x"}, "form"), ({"prompt": "?", "timeout": "late"}, "timeout")):
        error = error_of(one(cluster, app, op("Approval", "bad", **opts)))
        assert said in error["message"], (opts, error)


# --- Lock ---

def holders(cluster, key):
    return cluster.sql(f"select count(*) filter (where held) || ' ' || count(*) filter (where not held) from flowforge.locks where key = '{key}'")


def test_a_lock_is_held_by_one_run_at_a_time_and_given_in_order(use):
    cluster, app = shared()
    cluster.sql("create table shop.turns (n serial, who int, at timestamptz default clock_timestamp(), what text); "
                "alter table shop.turns owner to worker; grant all on all sequences in schema shop to worker")
    enter = "insert into turns (who, what) values ($1, 'in')"
    leave = "insert into turns (who, what) select $1::int, 'out' from pg_sleep(0.05)"
    runs = []
    for number in range(6):
        runs.append(start(cluster, app, [op("Lock", "lock", key="turns"), sql("in", enter, number), sql("out", leave, number),
                                         op("Unlock", "unlock", key="turns")]))
        wait_for(lambda: cluster.sql(f"select count(*) from flowforge.locks where run_id = '{runs[-1]}'") == "1"
                 or cluster.sql(f"select count(*) from flowforge.run_end where run_id = '{runs[-1]}'") == "1", what="it is in the queue")
    for run_id in runs:
        status, output = end(cluster, run_id)
        assert output["lock"] == {"data": {"key": "turns", "locked": True}} and output["unlock"] == {"data": {"key": "turns", "unlocked": True}}, output
    assert cluster.sql("select string_agg(who || what, ' ' order by n) from shop.turns") == " ".join(f"{n}in {n}out" for n in range(6))
    assert holders(cluster, "turns") == "0 0"


def test_a_run_that_ends_in_any_way_gives_its_locks_back(use):
    cluster, app = shared()
    cancelled = start(cluster, app, [op("Lock", "lock", key="ends"), op("Sleep", "long", duration="1h")])
    wait_for(lambda: holders(cluster, "ends") == "1 0", what="it holds the lock")
    completed = start(cluster, app, [op("Lock", "lock", key="ends")])
    wait_for(lambda: holders(cluster, "ends") == "1 1", what="the second waits")
    waiting = start(cluster, app, [op("Lock", "lock", key="ends")])
    wait_for(lambda: holders(cluster, "ends") == "1 2", what="the third waits")
    cluster.sql(f"select ff_cancel('{waiting}')")
    assert end(cluster, waiting)[0] == "cancelled"
    assert holders(cluster, "ends") == "1 1", "whoever is cancelled leaves the queue"
    cluster.sql(f"select ff_cancel('{cancelled}')")
    assert end(cluster, completed)[0] == "completed"
    assert holders(cluster, "ends") == "0 0"


def test_a_run_that_is_retried_or_replayed_asks_for_its_locks_again(use):
    cluster, app = shared()
    script = [op("Lock", "lock", key="again"), sql("s", "select 1 as n"), op("WaitForSignal", "wait", signal="again-a", timeout="1m")]
    first = start(cluster, app, script)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.signal where name = 'again-a'") == "1", what="the first has the lock and waits")
    cluster.sql(f"select ff_cancel('{first}')")
    end(cluster, first)
    second = start(cluster, app, [op("Lock", "lock", key="again"), op("WaitForSignal", "wait", signal="again-b", timeout="1m")])
    wait_for(lambda: cluster.sql("select count(*) from flowforge.signal where name = 'again-b'") == "1", what="the second has the lock")
    replayed = cluster.sql(f"select ff_replay('{first}', 's')")
    queue = "select string_agg(run_id::text, ' ' order by place) from flowforge.locks where key = 'again'"
    wait_for(lambda: cluster.sql(queue) == f"{second} {replayed}", what="the replay waits for the lock")
    cluster.sql(f"select ff_retry('{first}')")
    wait_for(lambda: cluster.sql(queue) == f"{second} {replayed} {first}", what="so does the retried run")
    cluster.assert_sound()
    cluster.sql("select ff_send_signal('again-b')")
    for run_id in (replayed, first):
        wait_for(lambda: cluster.sql(queue).startswith(run_id), what="one after the other has it")
        wait_for(lambda: cluster.sql("select ff_send_signal('again-a')") == run_id, what="and its signal")
        assert end(cluster, run_id)[0] == "completed"
    cluster.assert_sound()
    # What was unlocked stays so.
    done = start(cluster, app, [op("Lock", "lock", key="gone"), op("Unlock", "unlock", key="gone"), op("WaitForSignal", "wait", signal="gone", timeout="1m")])
    wait_for(lambda: cluster.sql("select count(*) from flowforge.signal where name = 'gone'") == "1", what="the lock has been given back")
    cluster.sql(f"select ff_cancel('{done}')")
    end(cluster, done)
    cluster.sql(f"select ff_retry('{done}')")
    wait_for(lambda: cluster.sql("select ff_send_signal('gone')") == done, what="the retried run waits")
    assert end(cluster, done)[0] == "completed"
    assert cluster.sql(f"select count(*) from flowforge.run_event where run_id = '{done}' and type = 'step.completed' and name = 'lock'") == "1"


def test_a_lock_that_is_not_to_be_had_in_time_is_an_error_of_the_step(use):
    cluster, app = shared()
    holder = start(cluster, app, [op("Lock", "lock", key="late"), op("Sleep", "long", duration="1h")])
    wait_for(lambda: holders(cluster, "late") == "1 0", what="it is held")
    error = error_of(one(cluster, app, op("Lock", "lock", key="late", timeout="200ms")))
    assert error["name"] == "LockTimeoutError" and "late" in error["message"], error
    assert holders(cluster, "late") == "1 0"
    cluster.sql(f"select ff_cancel('{holder}')")
    end(cluster, holder)
    assert one(cluster, app, op("Lock", "lock", key="late", timeout="200ms"))["data"]["locked"] is True


def test_whoever_holds_a_lock_has_it_again_at_once_and_unlocks_it_once(use):
    cluster, app = shared()
    done = play(cluster, app, [op("Lock", "a", key="twice"), op("Lock", "b", key="twice", timeout="5s"), op("Unlock", "c", key="twice"),
                               op("Unlock", "d", key="twice"), op("Unlock", "e", key="never")])
    assert done["b"]["data"]["locked"] and done["c"]["data"]["unlocked"], done
    assert not done["d"]["data"]["unlocked"] and not done["e"]["data"]["unlocked"], done


def test_locks_without_a_usable_key_fail_the_step(use):
    cluster, app = shared()
    for kind in ("Lock", "Unlock"):
        for opts, said in (({}, "no key"), ({"key": ""}, "no key"), ({"key": 7}, "no key"), ({"key": "k" * 513}, "512")):
            assert said in error_of(one(cluster, app, op(kind, "bad", **opts)))["message"], (kind, opts)
    assert "timeout" in error_of(one(cluster, app, op("Lock", "bad", key="k", timeout="x")))["message"]


def test_locks_survive_the_death_of_the_server_and_of_executors(use):
    cluster, app = shared()
    cluster.sql("create table shop.inside (who int, what text, n serial); alter table shop.inside owner to worker; "
                "grant all on all sequences in schema shop to worker")
    runs = [start(cluster, app, [op("Lock", "lock", key=f"crash{number % 2}"),
                                 sql("in", "insert into inside values ($1, 'in')", number),
                                 sql("out", "insert into inside select $1::int, 'out' from pg_sleep(0.05)", number),
                                 op("Unlock", "unlock", key=f"crash{number % 2}")]) for number in range(16)]
    for victim in ("flowforge.executors()", "pg_stat_activity where backend_type = 'checkpointer'", "flowforge.executors()"):
        time.sleep(0.3)
        pids = wait_for(lambda: cluster.try_sql(f"select string_agg(pid::text, ',') from {victim}"), what="there is somebody to kill")
        kill(int(random.choice(pids.split(","))))
        wait_for(lambda: cluster.try_sql("select 1") == "1", 60, "the server is back")
    for run_id in runs:
        assert end(cluster, run_id, 60)[0] == "completed"
    for key in range(2):
        order = cluster.sql(f"select string_agg(who || what, ' ' order by n) from shop.inside where who % 2 = {key}").split()
        for first, second in zip(order[::2], order[1::2]):
            assert first == second.replace("out", "in"), f"two were inside at once: {order}"
    assert cluster.sql("select count(*) from flowforge.lock") == "0"
    cluster.assert_clean()


def test_every_invariant_holds_after_all_of_this(use):
    cluster, _ = shared()
    cluster.assert_sound()


if __name__ == "__main__":
    run(globals())
