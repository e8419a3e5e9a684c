"""The command line acting on runs and functions of a live server."""
from __future__ import annotations

import json
import re
from typing import Any

from place import DONE, FAILED, UNREACHABLE, USAGE, flowforge, place
from harness import run, wait_for

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


def status(run_id: str) -> str:
    return str(place().run("runs", "get", run_id, "--json").json()["run"]["status"])


def sleeping(**data: Any) -> str:
    run_id = place().send("shop/nap", {"for": "1h", **data})
    wait_for(lambda: "sleeps until" in place().run("runs", "explain", run_id).out, what="it sleeps")
    return run_id


def test_explain_says_why_a_run_is_not_running(use: Any) -> None:
    run_id = sleeping()
    done = place().run("runs", "explain", run_id).expect(DONE)
    assert re.fullmatch(r'step "doze" sleeps until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+\n', done.out), done.out
    answer = place().run("runs", "explain", run_id, "--json").expect(DONE).json()
    assert [c["cause"] for c in answer["causes"]] == ["sleeping"]
    place().run("runs", "explain", "0" * 26).expect(FAILED, "does not exist", "(404)")
    place().run("runs", "cancel", run_id).expect(DONE)


def test_cancel_retry_and_replay_act_on_runs_by_their_ids(use: Any) -> None:
    first, second = sleeping(), sleeping()
    done = place().run("runs", "cancel", first, second, "--reason", "enough").expect(DONE)
    assert done.out == f"{first}  cancelling\n{second}  cancelling\n", done.out
    wait_for(lambda: status(second) == "cancelled", what="it is cancelled")
    assert place().run("runs", "get", second, "--json").json()["run"]["error"]["message"] == "enough"
    assert place().run("runs", "cancel", second).expect(DONE).out == f"{second}  already cancelled\n"
    assert place().run("runs", "retry", second).expect(DONE).out == f"{second}  retrying\n"
    wait_for(lambda: status(second) in ("pending", "running"), what="it goes on")
    place().run("runs", "cancel", second).expect(DONE)
    greeted = place().send("shop/greet", {"name": "bob"})
    place().ended(greeted)
    place().run("runs", "retry", greeted).expect(FAILED, "has completed", "(409)", "→ ")
    done = place().run("runs", "replay", greeted, "-d", '{"name": "eve"}').expect(DONE)
    found = re.fullmatch(rf"{greeted}  ({ID})\n", done.out)
    assert found, done.out
    place().ended(found[1])
    assert place().run("runs", "get", found[1], "--json").json()["run"]["output"] == "hello eve"
    answer = place().run("runs", "replay", greeted, "--step", "look up", "--json").expect(DONE).json()
    assert answer["replay_of"] == greeted
    place().run("runs", "replay", greeted, "--step", "nowhere").expect(FAILED, "no finished step", "look up", "(404)")
    done = place().run("runs", "cancel", "0" * 26, greeted)
    assert done.code == FAILED and "already completed" in done.out, "one that fails does not stop the others"


def test_a_waiting_step_is_resumed(use: Any) -> None:
    run_id = sleeping()
    place().run("runs", "resume", run_id, "--step", "nowhere").expect(FAILED, "no step", "(404)", "→ ")
    done = place().run("runs", "resume", run_id, "--step", "doze", "-d", "[1]").expect(DONE)
    assert done.out == f"{run_id}  resuming\n", done.out
    place().ended(run_id)
    assert place().run("runs", "resume", run_id).expect(DONE).out == f"{run_id}  already completed\n"
    answer = place().run("runs", "resume", run_id, "--step", "doze", "--json").expect(DONE).json()
    assert answer["result"] == "already done"


def test_many_are_acted_on_by_a_filter(use: Any) -> None:
    runs = [sleeping(lot=7) for _ in range(2)]
    where = '{"function": "shop-nap", "if": "event.data.lot == 7"}'
    done = place().run("runs", "cancel", "--where", where, "--dry-run").expect(DONE)
    assert sorted(done.out.splitlines()) == sorted(f"{r}  would be cancelled" for r in runs), done.out
    assert place().run("runs", "cancel", "--where", where, "--json").expect(DONE).json()["count"] == 2
    for run_id in runs:
        wait_for(lambda: status(run_id) == "cancelled", what="it is cancelled")
    assert place().run("runs", "cancel", "--where", where).expect(DONE).out == "no run meets the filter\n"
    one = place().run("runs", "retry", "--where", where[:-1] + ', "status": "cancelled", "limit": 1}').expect(DONE).out
    assert re.fullmatch(rf"{ID}  retrying\nas many as the limit allows; there may be more\n", one), one
    place().run("runs", "cancel", "--where", where).expect(DONE)
    place().run("runs", "cancel", "--where", '{"colour": 1}').expect(FAILED, "colour", "(400)")


def test_functions_are_listed_run_paused_and_resumed(use: Any) -> None:
    assert re.search(r"^shop-greet +shop/greet$", place().run("functions", "list", "-a", "shop").expect(DONE).out, re.M)
    assert place().run("functions", "list", "--app", "nobody").expect(DONE).out == "no functions\n"
    assert place().run("functions", "pause", "shop-greet", "repairs").expect(DONE).out == "shop-greet  paused\n"
    done = place().run("functions", "run", "shop-greet", "-d", '{"name": "eve"}', "--json").expect(DONE).json()
    wait_for(lambda: "has been paused since" in place().run("runs", "explain", done["id"]).out, what="it is paused")
    assert place().run("functions", "resume", "shop-greet").expect(DONE).out == "shop-greet  resumed\n"
    place().ended(done["id"])
    assert place().run("runs", "get", done["id"], "--json").json()["run"]["output"] == "hello eve"
    assert place().run("functions", "pause", "--app", "shop").expect(DONE).out == "shop  paused\n"
    assert place().run("functions", "resume", "--app", "shop").expect(DONE).out == "shop  resumed\n"
    place().run("functions", "run", "shop-nobody").expect(FAILED, "there is no function", "(404)")
    once = [place().run("functions", "run", "shop-nap", "-k", "once").expect(DONE).out for _ in range(2)]
    assert once[0] == once[1]


def asked(prompt: str, **config: Any) -> str:
    """Starts a run of a graph that asks; gives the request's id."""
    node = json.dumps({"nodes": [{"id": "ask", "type": "wait_for_approval", "data": {"config": {"prompt": prompt, **config}}}], "edges": []})
    sql = place().cluster.sql
    slug = sql(f"select workflow from ff_workflow_create('{prompt}', '{node}')")
    sql(f"select ff_workflow_publish('{slug}')")
    run_id = sql(f"select ff_workflow_run('{slug}')")
    return str(wait_for(lambda: sql(f"select approval_id from flowforge.approvals where run_id = '{run_id}'"), what="it asks"))


def row_of(request: str) -> str:
    return str(place().cluster.sql(f"select status, decided_by, data, reason from flowforge.approvals where approval_id = '{request}'"))


def test_requests_are_approved_and_rejected(use: Any) -> None:
    assert place().run("approvals").expect(DONE).out == "no requests\n"
    one = asked("One", approvers=["ann", "bob"], form={"type": "object", "required": ["limit"]})
    place().run("approve", one, "-d", '{"limit": 1}').expect(FAILED, "not among those who decide", "(403)", "→ ")
    place().run("approve", one, "-b", "ann").expect(FAILED, "what the form asks for", "(422)")
    assert re.fullmatch(rf"{one}  one +One\n", place().run("approvals").expect(DONE).out)
    assert [a["id"] for a in place().run("approvals", "--json").expect(DONE).json()["data"]] == [one]
    done = place().run("approve", one, "--by", "ann", "--data", '{"limit": 5}', "--reason", "fine").expect(DONE)
    assert done.out == f"{one}  approved\n", done.out
    assert row_of(one) == 'approved|ann|{"limit": 5}|fine', row_of(one)
    assert place().run("approve", one, "-b", "bob", "-d", '{"limit": 6}').expect(DONE).out == f"{one}  already approved\n"
    place().run("reject", one, "-b", "bob").expect(FAILED, "already approved", "(409)")
    two, three = asked("Two"), asked("Three")
    done = place().run("reject", two, "0" * 26, three, "-r", "no")
    assert done.code == FAILED and done.out == f"{two}  rejected\n{three}  rejected\n" and "there is no approval request" in done.err, done
    assert row_of(three) == "rejected|api||no", row_of(three)
    assert [line.split()[0] for line in place().run("approvals", "-s", "rejected").expect(DONE).out.splitlines()] == [three, two]
    four = asked("Four")
    assert place().run("approve", four, "--json").expect(DONE).json()["result"] == "approved"
    place().run("approve", four, env={"FLOWFORGE_URL": "http://127.0.0.1:9"}).expect(UNREACHABLE)


WRONG = {
    "approve": "approve needs ids of requests",
    "approve a -d {": "--data is no JSON",
    "reject": "reject needs ids of requests",
    "reject a -d 1": "reject has no option -d",
    "runs explain": "runs explain needs a run's id",
    "runs explain a b": "unexpected b",
    "runs cancel": "runs cancel needs ids of runs, or --where",
    "runs cancel a --where {}": "not both",
    "runs cancel a --dry-run": "--dry-run goes with --where",
    "runs cancel --where [1]": "--where must be a JSON object",
    "runs cancel --where {": "--where is no JSON",
    "runs retry a --reason x": "runs retry has no option --reason",
    "runs replay": "runs replay needs ids of runs, or --where",
    "runs replay --where {} -d 1": "--data goes with ids",
    "runs replay a -d {": "--data is no JSON",
    "runs resume": "runs resume needs a run's id",
    "runs resume a b": "unexpected b",
    "runs resume a -d {": "--data is no JSON",
    "functions": "functions list, run, pause or resume?",
    "functions fly": "functions has no command fly",
    "functions list x": "unexpected x",
    "functions run": "functions run needs one function's id",
    "functions run a -d [1]": "--data must be a JSON object",
    "functions pause": "functions pause needs an id",
    "functions resume a b c": "functions resume needs an id",
}


def test_wrong_use_is_exit_code_2_with_a_reason(use: Any) -> None:
    for line, said in WRONG.items():
        done = flowforge(*line.split(" ")).expect(USAGE, said, "→ ")
        assert done.out == "", line


if __name__ == "__main__":
    run(globals())
