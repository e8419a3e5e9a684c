"""What can be done from outside of functions, on a running server: runs, workflows, approvals, signals, and the ids of things."""

from __future__ import annotations

import asyncio
import collections
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from servers import FlowForgeServer, ended, until

from flowforge import (
    ConflictError,
    Context,
    FlowForge,
    InvalidError,
    NewEvent,
    NonRetryableError,
    NotFoundError,
    RunFailed,
    SyncContext,
    step,
)

VECTORS = Path(__file__).parents[2] / "vectors"


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


class Live:
    """An app, and how often each of its steps was entered."""

    def __init__(self, server: FlowForgeServer) -> None:
        self.server = server
        self.app: FlowForge = server.app("cli")
        self.entered: Dict[str, List[str]] = collections.defaultdict(list)
        self.broken = True

    def enter(self, ctx: Any, name: str) -> Any:
        def entered() -> str:
            self.entered[ctx.run_id].append(name)
            if name == "repaired" and self.broken:
                raise NonRetryableError("it is broken")
            return name

        return entered


@pytest.fixture(scope="module")
def live(dev_server: FlowForgeServer) -> Iterator[Live]:
    live = Live(dev_server)
    app, event = live.app, live.app.trigger.event

    @app.function(id="three", trigger=event("cli/three"))
    async def three(ctx: Context) -> Any:
        return [await step.run(name, live.enter(ctx, name)) for name in "abc"] + [ctx.event.data.get("n")]

    @app.function(id="repaired", trigger=event("cli/repaired"))
    async def repaired(ctx: Context) -> Any:
        return [await step.run(name, live.enter(ctx, name)) for name in ("before", "repaired")]

    @app.function(id="waits", trigger=event("cli/waits"))
    async def waits(ctx: Context) -> Any:
        found = await step.wait_for_event("paid", event="cli/paid", timeout="1d")
        await step.sleep("long", "1d")
        signal = await step.wait_for_signal("go", signal="cli-go", timeout="1d")
        return [found and found.data, signal and signal.data]

    @app.function(id="asks", trigger=event("cli/asks"))
    def asks(ctx: SyncContext) -> Any:
        decision = ctx.step.approve("ask", "Ship it?", approvers=["ann"], timeout=ctx.event.data["timeout"])
        return [bool(decision), decision.data, decision.by, decision.reason]

    dev_server.serve(app)
    yield live


def begun(live: Live, event: str, status: str, **data: Any) -> str:
    """Starts a run and waits until a step of it has a status; gives its id."""
    run = live.app.send(event, data).runs[0]
    until(f"a step is {status}", lambda: any(each["status"] == status for each in live.app.runs.steps(run)))
    return run


# --- runs ---


def test_a_run_is_waited_for_and_told_of(live: Live) -> None:
    run = live.app.runs.wait(live.app.send("cli/three", {"n": 1}).runs[0])
    assert (run.status, run.ended, run.function, run.output) == ("completed", True, "cli-three", ["a", "b", "c", 1])
    assert live.app.runs.get(run.ulid).id == live.app.runs.get(run.id).id == run.id, "either of its ids will do"
    assert live.app.runs.result(run.id) == run.output
    sleeper = begun(live, "cli/waits", "waiting")
    with pytest.raises(TimeoutError, match="has not ended in time"):
        live.app.runs.wait(sleeper, 0.2)
    assert live.app.runs.cancel(sleeper, "enough") == "cancelling"
    with pytest.raises(RunFailed, match="cancelled"):
        live.app.runs.result(sleeper)
    assert live.app.runs.cancel(sleeper) == "already cancelled"


def test_a_stream_tells_a_run_from_its_beginning_to_its_end(live: Live) -> None:
    run = begun(live, "cli/waits", "waiting")
    seen = []
    for event in live.app.runs.stream(run):
        seen.append(event["type"])
        if len(seen) == 1:
            live.app.runs.cancel(run)
    assert seen[0] == "snapshot" and "run.cancelled" in seen, seen
    assert live.app.runs.get(run).ended


def test_a_failed_run_goes_on_where_it_failed(live: Live) -> None:
    live.broken = True
    run = ended(live.app, "cli/repaired", status="failed")
    live.broken = False
    assert live.app.runs.retry(run.id) in ("retrying", "already running")
    assert live.app.runs.result(run.id) == ["before", "repaired"]
    assert live.entered[run.ulid] == ["before", "repaired", "repaired"], "what had finished did not run again"
    with pytest.raises(ConflictError):
        live.app.runs.retry(run.id)


def test_a_replay_is_a_new_run_from_a_step_on_or_with_other_data(live: Live) -> None:
    run = ended(live.app, "cli/three", {"n": 1})
    again = live.app.runs.wait(live.app.runs.replay(run.id, from_step="b"))
    assert (again.output, live.entered[again.ulid]) == (["a", "b", "c", 1], ["b", "c"])
    other = live.app.runs.wait(live.app.runs.replay(run.id, input={"n": 2}))
    assert (other.output, live.entered[other.ulid]) == (["a", "b", "c", 2], ["a", "b", "c"])
    assert len({run.id, again.id, other.id}) == 3
    with pytest.raises(NotFoundError):
        live.app.runs.replay(run.id, from_step="nowhere")


def test_a_step_that_waits_is_resumed(live: Live) -> None:
    run = begun(live, "cli/waits", "waiting")
    assert live.app.runs.resume(run, "paid", {"sum": 3}) == "resuming"
    until("it sleeps", lambda: any(each["status"] == "sleeping" for each in live.app.runs.steps(run)))
    assert live.app.runs.resume(run) == "resuming", "the only one that waits"

    def signalled() -> bool:
        try:
            return bool(live.app.signal("cli-go", [1]))
        except NotFoundError:
            return False

    until("it waits for the signal", signalled)
    assert live.app.runs.result(run) == [{"sum": 3}, [1]]


def test_runs_are_found_by_what_they_are(live: Live) -> None:
    runs = live.app.send_many([{"name": "cli/three", "data": {"n": n}} for n in range(3)])
    assert len(runs.ids) == len(runs.runs) == 3
    for run in runs.runs:
        live.app.runs.wait(run)
    found, cursor = [], None
    while len(found) < 3:
        page = live.app.runs.list(function="cli-three", status="completed", limit=2, cursor=cursor)
        found, cursor = found + [each.id for each in page], page.next_cursor
    assert found[:3] == runs.runs[::-1]
    assert len(asyncio.run(live.app.asend_many([NewEvent("cli/three"), NewEvent("cli/nobody")])).runs) == 1
    with pytest.raises(InvalidError):
        live.app.runs.list(status="happy")


# --- workflows ---


def drawing(expression: str) -> Dict[str, Any]:
    return {"nodes": [{"id": "due", "type": "transform", "data": {"config": {"mapping": {"sum": expression}}}}], "edges": []}


def test_a_workflow_is_made_published_run_and_archived(live: Live) -> None:
    workflows = live.app.workflows
    made = workflows.create("Bill", drawing("{{ input.price * }}"), description="of an order")
    id = made["id"]
    assert (made["status"], made["description"]) == ("draft", "of an order")
    checked = workflows.validate(id)
    assert checked["valid"] is False and checked["errors"][0]["node_id"] == "due"
    with pytest.raises(InvalidError) as refused:
        workflows.publish(id)
    assert refused.value.status == 422
    workflows.update(id, definition=drawing("{{ input.price * input.amount }}"), name="Billing")
    assert workflows.validate(id)["valid"] is True
    published = workflows.publish(id)
    assert (published["status"], published["version"]) == ("published", 1)
    assert live.app.runs.result(workflows.run(id, {"price": 3, "amount": 14})) == {"sum": 42}
    assert live.app.runs.result(workflows.run(id, {"price": 2**53 + 1, "amount": 1})) == {"sum": 2**53 + 1}, "no double on this way"
    assert [each["id"] for each in workflows.list(search="Billing", status="published")] == [id]
    assert workflows.get(id)["definition"] == drawing("{{ input.price * input.amount }}")
    with pytest.raises(ConflictError):
        workflows.delete(id)
    assert workflows.archive(id)["status"] == "archived"
    with pytest.raises(ConflictError):
        workflows.run(id)
    workflows.delete(id)
    with pytest.raises(NotFoundError):
        workflows.get(id)


# --- approvals ---


def asked(live: Live, timeout: str = "1h") -> Any:
    run = live.app.send("cli/asks", {"timeout": timeout}).runs[0]
    return until("it asks", lambda: live.app.approvals.list(run=run))[0]


def test_a_request_is_approved_rejected_or_expires(live: Live) -> None:
    approvals, runs = live.app.approvals, live.app.runs
    yes, no, late = asked(live), asked(live), asked(live, "300ms")
    assert (yes["prompt"], yes["approvers"], yes["status"]) == ("Ship it?", ["ann"], "pending")
    assert approvals.get(yes["id"])["run_id"] == yes["run_id"]
    assert yes["id"] in [each["id"] for each in approvals.list(status="pending")]
    assert approvals.approve(yes["id"], {"carrier": "post"}, by="ann")["result"] == "approved"
    assert approvals.reject(no["id"], "too dear", by="ann")["result"] == "rejected"
    assert runs.result(yes["run_id"]) == [True, {"carrier": "post"}, "ann", None]
    assert runs.result(no["run_id"]) == [False, None, "ann", "too dear"]
    assert runs.result(late["run_id"])[:3] == [False, None, None]
    assert approvals.get(late["id"])["status"] == "expired"
    with pytest.raises(ConflictError):
        approvals.approve(no["id"], by="ann")
    with pytest.raises(NotFoundError):
        approvals.approve("01a1fc1a-9244-7aed-9c04-e9d8ae78fef1")


# --- ids ---


def test_ids_are_those_of_the_vectors(live: Live) -> None:
    told = vectors("id")
    for pair in told["pairs"]:
        assert (
            live.server.sql(f"select flowforge.ulid('{pair['uuid']}'), flowforge.id('{pair['ulid']}')") == f"{pair['ulid']}|{pair['uuid']}"
        )
    for text in told["not_ids"]:
        with pytest.raises(AssertionError, match="is not an id"):
            live.server.sql(f"select flowforge.id('{text}')")
        with pytest.raises((NotFoundError, InvalidError)):
            live.app.runs.get(text or "-")
    for case in told["seeded"]:
        seed = f"select flowforge.ulid(flowforge.seed_id('{case['seed']}', {case['index']}))"
        assert live.server.sql(seed) == case["ulid"]
