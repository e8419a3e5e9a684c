"""What an earlier system got wrong, and must be impossible here: each fault is a test, against a running server."""

from __future__ import annotations

import collections
from typing import Any, Dict, Iterator, List

import pytest
from servers import FlowForgeServer, ended, until

from flowforge import Context, FlowForge, NonRetryableError, StepError, SyncContext, step, sync_step


class Live:
    """An app, and what its steps did, by run."""

    def __init__(self, server: FlowForgeServer) -> None:
        self.app: FlowForge = server.app("fault")
        self.did: Dict[str, List[Any]] = collections.defaultdict(list)

    def does(self, ctx: Any, name: str, value: Any = None) -> Any:
        """A handler that notes that it ran, and gives a value or raises it."""

        def handler() -> Any:
            self.did[ctx.run_id].append(name)
            if isinstance(value, Exception):
                raise value
            return value

        return handler


@pytest.fixture(scope="module")
def live(dev_server: FlowForgeServer) -> Iterator[Live]:
    live = Live(dev_server)
    functions(live)
    dev_server.serve(live.app)
    yield live


def functions(live: Live) -> None:
    app, event = live.app, live.app.trigger.event

    @app.function(id="who", trigger=event("fault/who"))
    async def who(ctx: Context) -> Any:
        name = ctx.event.data["name"]
        found = []
        for n in range(5):
            found.append(await step.run(f"{name}-{n}", live.does(ctx, name, name)))
            await step.sleep(f"{name}-nap-{n}", "10ms")
        return found

    @app.function(id="careless", trigger=event("fault/careless"))
    async def careless(ctx: Context) -> Any:
        caught = []
        try:
            await step.sleep("nap", "50ms")
            await step.run("work", live.does(ctx, "work"))
            await step.wait_for_event("never", event="fault/never", timeout="50ms")
        except Exception as error:
            caught.append(repr(error))
        return caught

    @app.function(id="careless-sync", trigger=event("fault/careless-sync"))
    def careless_sync(ctx: SyncContext) -> Any:
        caught = []
        try:
            sync_step.sleep("nap", "50ms")
            sync_step.run("work", live.does(ctx, "work"))
        except Exception as error:
            caught.append(repr(error))
        return caught

    @app.function(id="none", trigger=event("fault/none"))
    async def none(ctx: Context) -> Any:
        first = await step.run("nothing", live.does(ctx, "nothing"))
        await step.sleep("nap", "50ms")
        return [first, await step.run("after", live.does(ctx, "after"))]

    @app.function(id="loop", trigger=event("fault/loop"))
    async def loop(ctx: Context) -> Any:
        found = []
        for n in range(3):
            found.append(await step.run("same", live.does(ctx, "same", n)))
            await step.sleep("nap", "10ms")
        return found

    @app.function(id="fan", trigger=event("fault/fan"))
    async def fan(ctx: Context) -> Any:
        return await step.parallel(*(step.run(f"s{n}", live.does(ctx, f"s{n}", n)) for n in range(5)))

    @app.function(id="waits", trigger=event("fault/waits"))
    async def waits(ctx: Context) -> Any:
        paid = await step.wait_for_event("paid", event="fault/paid", match="data.id", timeout="1h")
        late = await step.wait_for_event("late", event="fault/late", timeout="100ms")
        return [paid.name, paid.data, paid.id != "", late] if paid else None

    @app.function(id="child")
    async def child(ctx: Context) -> Any:
        return {"doubled": ctx.event.data["n"] * 2}

    @app.function(id="told", trigger=event("fault/told"))
    def told(ctx: SyncContext) -> None:
        live.did["told"].append(ctx.event.data["n"])

    @app.function(id="parent", trigger=event("fault/parent"))
    async def parent(ctx: Context) -> Any:
        answer = await step.invoke("call", function=child, data={"n": 21})
        ids = await step.send_event("tell", "fault/told", {"n": answer["doubled"]})
        return [answer, len(ids)]

    @app.function(id="asks", trigger=event("fault/asks"))
    async def asks(ctx: Context) -> Any:
        decision = await step.approve("ship", "Ship it?", timeout=ctx.event.data.get("timeout"))
        return [decision.approved, decision.data, "shipped" if decision else "kept"]

    @app.function(id="tool", trigger=event("fault/tool"))
    async def tool(ctx: Context) -> Any:
        try:
            await step.run("tool", live.does(ctx, "tool", NonRetryableError("the tool is broken")))
        except StepError as error:
            caught = error.message
        await step.sleep("nap", "50ms")
        return [caught, await step.run("after", live.does(ctx, "after", "after"))]


def test_steps_of_runs_side_by_side_are_never_those_of_another(live: Live) -> None:
    names = [f"n{n}" for n in range(8)]
    runs = live.app.send_many([{"name": "fault/who", "data": {"name": name}} for name in names]).runs
    for name, id in zip(names, runs):
        run = live.app.runs.wait(id)
        assert run.output == [name] * 5
        assert live.did[run.ulid] == [name] * 5
        assert all(each["name"].startswith(f"{name}-") for each in live.app.runs.steps(id))


@pytest.mark.parametrize("event", ["fault/careless", "fault/careless-sync"])
def test_except_exception_swallows_nothing(live: Live, event: str) -> None:
    run = ended(live.app, event)
    assert (run.output, live.did[run.ulid]) == ([], ["work"])


def test_a_step_that_gives_none_has_run_once(live: Live) -> None:
    run = ended(live.app, "fault/none")
    assert (run.output, live.did[run.ulid]) == ([None, None], ["nothing", "after"])


def test_a_step_in_a_loop_is_another_step_each_time(live: Live) -> None:
    run = ended(live.app, "fault/loop")
    assert (run.output, live.did[run.ulid]) == ([0, 1, 2], ["same"] * 3)


def test_parallel_steps_all_give_their_results(live: Live) -> None:
    run = ended(live.app, "fault/fan")
    assert (run.output, sorted(live.did[run.ulid])) == ([0, 1, 2, 3, 4], ["s0", "s1", "s2", "s3", "s4"])


def test_a_wait_gives_the_whole_event_or_ends_when_its_time_is_over(live: Live) -> None:
    run = live.app.send("fault/waits", {"id": "w"}).runs[0]
    until("it waits", lambda: any(each["status"] == "waiting" for each in live.app.runs.steps(run)))
    live.app.send("fault/paid", {"id": "w", "sum": 3})
    assert live.app.runs.result(run) == ["fault/paid", {"id": "w", "sum": 3}, True, None]


def test_invoke_runs_the_function_and_send_event_sends_the_event(live: Live) -> None:
    assert ended(live.app, "fault/parent").output == [{"doubled": 42}, 1]
    until("the event has started its function", lambda: live.did["told"] == [42])


def test_an_approval_approves_a_rejection_rejects_and_silence_is_a_no(live: Live) -> None:
    approvals = live.app.approvals
    yes, no = (live.app.send("fault/asks").runs[0] for _ in range(2))
    for run, decide in ((yes, approvals.approve), (no, approvals.reject)):
        (asked,) = until("it asks", lambda run=run: approvals.list(run=run))
        decide(asked["id"])
    assert live.app.runs.result(yes)[0::2] == [True, "shipped"]
    assert live.app.runs.result(no)[0::2] == [False, "kept"]
    assert ended(live.app, "fault/asks", {"timeout": "100ms"}).output == [False, None, "kept"]


def test_a_failed_tool_call_is_remembered_and_does_not_run_again(live: Live) -> None:
    run = ended(live.app, "fault/tool")
    assert (run.output, live.did[run.ulid]) == (["the tool is broken", "after"], ["tool", "after"])
