"""ff_resume: what lets a waiting step go on at once, and what refuses to."""
import json

from harness import run, wait_for
from script import end, op, shared, sql, start
from steps import http, sqlstate


def waiting(cluster, app, *operations):
    """A run all of whose operations wait."""
    run_id = start(cluster, app, [list(operations)])
    wait_for(lambda: cluster.sql(f"select count(*) from flowforge.steps where run_id = '{run_id}' and status in ('waiting', 'sleeping')")
             == str(len(operations)), what="they wait")
    return run_id


def resume(cluster, run_id, *arguments):
    return cluster.sql(f"select ff_resume('{run_id}'::uuid{''.join(', ' + a for a in arguments)})")


def resumed_by(cluster, run_id):
    return cluster.sql(f"select string_agg(name || ' ' || (data ->> 'by'), ',' order by name) from flowforge.run_event "
                       f"where run_id = '{run_id}' and type = 'step.resumed'")


def test_a_wait_for_an_event_goes_on_with_an_event_of_the_data(use):
    cluster, app = shared()
    run_id = waiting(cluster, app, op("WaitForEvent", "reply", event="resume/reply", timeout="1h"))
    assert resume(cluster, run_id, "'reply'", "'{\"n\": 1}'") == "resuming"
    handed = end(cluster, run_id)[1]["reply"]
    assert (handed["name"], handed["data"]) == ("resume/reply", {"n": 1}) and handed["ts"] > 1700000000000, handed
    assert cluster.sql(f"select status, output from flowforge.steps where run_id = '{run_id}'") == 'completed|{"n": 1}'
    assert cluster.sql(f"select count(*) from flowforge.wait where run_id = '{run_id}'") == "0"
    assert resumed_by(cluster, run_id) == "reply postgres"


def test_a_wait_for_a_signal_goes_on_with_a_signal_of_the_data(use):
    cluster, app = shared()
    run_id = waiting(cluster, app, op("WaitForSignal", "sign", signal="resume/sign", timeout="1h"))
    assert resume(cluster, run_id, "null", "'[1]'") == "resuming"
    assert end(cluster, run_id)[1]["sign"] == {"data": {"signal": "resume/sign", "data": [1]}}
    assert cluster.sql("select ff_send_signal('resume/sign') is null") == "t", "nobody waits for it any more"


def test_a_sleep_ends_now(use):
    cluster, app = shared()
    run_id = waiting(cluster, app, op("Sleep", "nap", duration="1h"))
    assert resume(cluster, run_id) == "resuming"
    assert end(cluster, run_id) == ("completed", {"nap": {"data": {}}})


def test_an_approval_is_given_by_whoever_resumes(use):
    cluster, app = shared()
    cluster.sql("create role bob; create role eve; grant execute on function ff_resume(uuid, text, jsonb) to bob, eve")
    run_id = waiting(cluster, app, op("Approval", "ask", prompt="Ship it?", approvers=["bob"], form={"required": ["n"]}))
    call = f"ff_resume('{run_id}'::uuid, 'ask'"
    assert sqlstate(cluster, f"set role eve; select {call}, '{{\"n\": 1}}')") == "FF408"
    assert sqlstate(cluster, f"set role bob; select {call})") == "FF409", "the data is what the form asks for"
    assert cluster.sql(f"set role bob; select {call}, '{{\"n\": 1}}')") == "resuming"
    decision = end(cluster, run_id)[1]["ask"]["data"]
    assert (decision["approved"], decision["data"], decision["by"]) == (True, {"n": 1}, "bob"), decision
    assert cluster.sql(f"select status, decided_by from flowforge.approvals where run_id = '{run_id}'") == "approved|bob"


def test_of_several_waiting_steps_one_must_be_named(use):
    cluster, app = shared()
    run_id = waiting(cluster, app, op("Sleep", "nap", duration="1h"), op("WaitForSignal", "sign", signal="resume/two", timeout="1h"),
                     op("WaitForEvent", "reply", event="resume/none", timeout="1h"))
    said = cluster.psql("-v", "VERBOSITY=verbose", "-c", f"select ff_resume('{run_id}'::uuid)", check=False).stderr
    assert "FF014" in said and all(f'"{name}" ({kind}, id ' in said for name, kind in (("nap", "sleep"), ("sign", "signal"), ("reply", "wait"))), said
    assert resume(cluster, run_id, "'nap'") == "resuming"
    wait_for(lambda: resume(cluster, run_id, "'nap'") == "already done", what="a second call finds it done")
    assert resume(cluster, run_id, "'" + "sign".ljust(40, "0") + "'", "'1'") == "resuming", "by its id"
    wait_for(lambda: resume(cluster, run_id, "'sign'") == "already done", what="the signal's step is done")
    assert resume(cluster, run_id, "null", "'2'") == "resuming", "the only one left"
    handed = end(cluster, run_id)[1]
    assert handed["sign"]["data"]["data"] == 1 and handed["reply"]["data"] == 2, handed
    assert resume(cluster, run_id) == "already completed"
    assert resume(cluster, run_id, "'nap'") == "already done"


def test_what_is_resumed_twice_in_one_transaction_is_resumed_once(use):
    cluster, app = shared()
    run_id = waiting(cluster, app, op("Sleep", "nap", duration="1h"))
    said = cluster.sql(f"begin; select ff_resume('{run_id}'::uuid, 'nap', '1'); select ff_resume('{run_id}', 'nap', '2'); commit")
    assert said.split() == ["resuming", "already", "resuming"], said
    assert end(cluster, run_id)[1]["nap"] == {"data": 1}


def test_a_transaction_that_is_rolled_back_resumes_nothing(use):
    cluster, app = shared()
    run_id = waiting(cluster, app, op("Sleep", "nap", duration="1h"))
    cluster.sql(f"begin; select ff_resume('{run_id}'::uuid); rollback")
    assert cluster.sql(f"select status from flowforge.steps where run_id = '{run_id}'") == "sleeping"
    assert cluster.sql(f"select ff_resume('{run_id}')") == "resuming", "a UUID is no function's id"
    end(cluster, run_id)


def test_what_does_not_wait_for_data_is_not_resumed(use):
    cluster, app = shared()
    run_id = start(cluster, app, [sql("busy", "select pg_sleep(3)")])
    wait_for(lambda: cluster.sql(f"select count(*) from flowforge.steps where run_id = '{run_id}'") == "1", what="it is asked for")
    assert sqlstate(cluster, f"select ff_resume('{run_id}'::uuid)") == "FF014"
    assert sqlstate(cluster, f"select ff_resume('{run_id}'::uuid, 'busy')") == "FF014"
    assert sqlstate(cluster, f"select ff_resume('{run_id}'::uuid, 'nowhere')") == "FF060"
    assert sqlstate(cluster, "select ff_resume('01a1fd2e-9f96-7c76-b5dc-f8d6d7eba319'::uuid)") == "FF010"
    assert sqlstate(cluster, "select ff_resume(null::uuid)") == "FF010"
    cluster.sql(f"select ff_cancel('{run_id}')")
    end(cluster, run_id)
    assert resume(cluster, run_id) == "already cancelled"


def test_a_run_is_resumed_over_http(use):
    cluster, app = shared()
    run_id = waiting(cluster, app, op("Approval", "ask", prompt="?", approvers=["carol"]), op("Sleep", "nap", duration="1h"))
    path = f"/api/v1/runs/{run_id}/resume"
    assert http(cluster, "POST", path, {"step_id": 7})[0] == 400
    status, problem = http(cluster, "POST", path, {})
    assert status == 409 and '"nap" (sleep' in problem["detail"], problem
    assert http(cluster, "POST", path, {"step_id": "ask"})[0] == 403
    status, answer = http(cluster, "POST", path, {"step_id": "ask", "data": {"ok": True}, "by": "carol"})
    assert (status, answer["result"], answer["id"]) == (202, "resuming", run_id), answer
    wait_for(lambda: http(cluster, "POST", path, {"step_id": "ask"}) [1]["result"] == "already done", what="it is done")
    assert http(cluster, "POST", path)[0] == 202, "the only one left"
    handed = end(cluster, run_id)[1]
    assert handed["ask"]["data"]["by"] == "carol" and handed["ask"]["data"]["data"] == {"ok": True}, handed
    assert http(cluster, "POST", path)[0:1] == (200,)
    assert http(cluster, "POST", "/api/v1/runs/01a1fd2e-9f96-7c76-b5dc-f8d6d7eba319/resume")[0] == 404
    assert json.loads(cluster.sql("select coalesce(json_agg(f), '[]') from flowforge.fsck() f")) == []


if __name__ == "__main__":
    run(globals())
