"""What is the client's, and what only Python has, against a running server, in development mode and signed.

What every client can is in sdk/scenarios.
"""

from __future__ import annotations

import asyncio
import collections
from typing import Any, Dict, Iterator, List

import pytest
from servers import EVENT_KEY, FlowForgeServer, ended, until

from flowforge import (
    AuthError,
    Client,
    ConflictError,
    Context,
    FlowForge,
    InvalidError,
    NonRetryableError,
    NotFoundError,
    RunFailed,
    StepError,
    SyncContext,
    step,
    sync_step,
)

# Results that say what an operation, or the memo of one, says.
COMMANDS: List[Any] = [
    {"type": "sleep", "duration_seconds": 3600},
    {"op": "Sleep", "name": "1h", "id": "x", "opts": {}},
    {"data": {"data": None}},
    {"error": {"name": "Error", "message": "no error at all"}},
    {"input": [1]},
]
TEXT = "é日本🚀 \\ \" '\u2028\n"


class Live:
    """The app under test: its functions, and how often each step's body was entered."""

    def __init__(self, server: FlowForgeServer) -> None:
        self.server = server
        self.app = server.app("live")
        self.entered: Dict[str, List[str]] = collections.defaultdict(list)
        self.calls: Dict[str, int] = collections.defaultdict(int)
        functions(self)

    def body(self, ctx: Any, name: str, value: Any = None) -> Any:
        def entered() -> Any:
            self.entered[ctx.run_id].append(name)
            return value

        return entered


@pytest.fixture(scope="module")
def live(server: FlowForgeServer) -> Iterator[Live]:
    live = Live(server)
    server.sql("create role clerk login")
    server.serve(live.app)
    server.sql("select ff_set_app_role('live', 'clerk')")
    yield live


def functions(live: Live) -> None:
    app, event = live.app, live.app.trigger.event

    @app.function(id="ten", trigger=event("live/ten"))
    async def ten(ctx: Context) -> Any:
        live.calls[ctx.run_id] += 1
        return [await step.run(f"s{n}", live.body(ctx, f"s{n}", n)) for n in range(10)]

    @app.function(id="ten-sync", trigger=event("live/ten-sync"))
    def ten_sync(ctx: SyncContext) -> Any:
        live.calls[ctx.run_id] += 1
        return [ctx.step.run(f"s{n}", live.body(ctx, f"s{n}", n)) for n in range(10)]

    @app.function(id="parallel-sync", trigger=event("live/parallel-sync"))
    def parallel_sync(ctx: SyncContext) -> Any:
        run = ctx.step.run
        both = ctx.step.parallel(lambda: run("a", live.body(ctx, "a", 1)), lambda: run("b", live.body(ctx, "b")))
        return [both, run("end", live.body(ctx, "end", "end"))]

    @app.function(id="caught", trigger=event("live/caught"), retries=1)
    async def caught(ctx: Context) -> Any:
        def refuse() -> None:
            live.entered[ctx.run_id].append("pay")
            raise ValueError(f"declined {TEXT}")

        try:
            await step.run("pay", refuse)
        except StepError as error:
            found = [error.name, error.message, "refuse" in (error.stack or "")]
        return [found, await step.run("other", live.body(ctx, "other", "cash"))]

    @app.function(id="refused", trigger=event("live/refused"))
    async def refused(ctx: Context) -> None:
        def refuse() -> None:
            live.entered[ctx.run_id].append("look")
            raise NonRetryableError("no such customer")

        await step.run("look", refuse)

    @app.function(id="double")
    async def double(ctx: Context) -> Any:
        return await step.run("double", lambda: ctx.event.data["n"] * 2)

    @app.function(id="asks", trigger=event("live/asks"))
    async def asks(ctx: Context) -> Any:
        decision = await step.approve("ask", "Ship it?", form={"type": "object", "required": ["carrier"]})
        return [decision.approved, decision.data, decision.by]

    @app.function(id="signalled", trigger=event("live/signalled"))
    async def signalled(ctx: Context) -> Any:
        signal = await step.wait_for_signal("go", signal="go", timeout="1m")
        return [signal.name, signal.data] if signal else None

    @app.function(id="server-sync", trigger=event("live/server-sync"))
    def server_steps_sync(ctx: SyncContext) -> Any:
        rows = ctx.step.sql("one", "select $1::int + 1 as n", [1])
        sync_step.sleep("nap", "50ms")
        return [list(rows), sync_step.invoke("double", function=double, data={"n": 4})]

    @app.function(id="sleeper", trigger=event("live/sleeper"))
    async def sleeper(ctx: Context) -> None:
        await step.run("before", live.body(ctx, "before"))
        await step.sleep("long", "1h")

    @app.function(id="replayed", trigger=event("live/replayed"))
    async def replayed(ctx: Context) -> Any:
        def run_id() -> str:
            return ctx.run_id

        return [await step.run(name, run_id) for name in ("a", "b", "c")]

    @app.function(id="input", trigger=event("live/input"))
    async def edited(ctx: Context) -> Any:
        return await step.ai.wrap("draft", lambda text: f"{text}!", "first")

    @app.function(id="numbers", trigger=event("live/numbers"))
    async def numbers(ctx: Context) -> Any:
        found = await step.run("numbers", lambda: [2**53, -(2**53), 2.0, 0.1, 1e20, 1e21, 1e-7])
        live.entered[ctx.run_id].append(repr(found))
        await step.sleep("nap", "50ms")
        return [ctx.event.data["n"], found]

    @app.function(id="commands", trigger=event("live/commands"))
    async def commands(ctx: Context) -> Any:
        found = [await step.run("like a command", live.body(ctx, "ran", each)) for each in COMMANDS]
        await step.sleep("nap", "50ms")
        return found

    @app.function(id="nothing", trigger=event("live/nothing"))
    async def nothing(ctx: Context) -> None:
        return None

    @app.function(id="agent", trigger=event("live/agent"))
    async def agent(ctx: Context) -> Any:
        return await step.agent("agent", "find out", model="small")


def test_ten_steps_are_one_call_of_a_function_that_is_not_async(live: Live) -> None:
    run = ended(live.app, "live/ten-sync")
    assert run.output == list(range(10))
    assert live.entered[run.ulid] == [f"s{n}" for n in range(10)]
    assert live.calls[run.ulid] == 1
    assert [(each["name"], each["status"]) for each in live.app.runs.steps(run.id)] == [(f"s{n}", "completed") for n in range(10)]


def test_without_streaming_each_step_is_a_call(live: Live) -> None:
    live.app.streaming = "off"
    try:
        run = ended(live.app, "live/ten")
    finally:
        live.app.streaming = "lines"
    assert live.entered[run.ulid] == [f"s{n}" for n in range(10)]
    assert live.calls[run.ulid] == 11


def test_parallel_steps_run_once_each_without_async(live: Live) -> None:
    run = ended(live.app, "live/parallel-sync")
    assert run.output == [[1, None], "end"]
    assert sorted(live.entered[run.ulid]) == ["a", "b", "end"]


def test_a_step_that_fails_for_good_can_be_caught(live: Live) -> None:
    run = ended(live.app, "live/caught")
    assert run.output == [["ValueError", f"declined {TEXT}", True], "cash"]
    assert live.entered[run.ulid] == ["pay", "pay", "other"]


def test_some_errors_are_not_tried_again(live: Live) -> None:
    run = ended(live.app, "live/refused", status="failed")
    assert run.error is not None
    assert (run.error["name"], run.error["message"]) == ("NonRetryableError", "no such customer")
    assert live.entered[run.ulid] == ["look"]
    with pytest.raises(RunFailed, match="no such customer"):
        live.app.runs.result(run.id)


def test_functions_that_are_not_async_take_the_server_s_steps(live: Live) -> None:
    assert ended(live.app, "live/server-sync").output == [[{"n": 2}], 8]


def test_requests_are_decided(live: Live) -> None:
    app = live.app
    run = app.send("live/asks").runs[0]
    (asked,) = until("it asks", lambda: app.approvals.list(status="pending", run=run))
    assert asked["prompt"] == "Ship it?"
    with pytest.raises(InvalidError) as refused:
        app.approvals.approve(asked["id"], {}, by="ann")
    assert refused.value.status == 422 and (refused.value.code or "").startswith("FF")
    assert app.approvals.approve(asked["id"], {"carrier": "post"}, by="ann")["result"] == "approved"
    with pytest.raises(ConflictError):
        app.approvals.reject(asked["id"], by="bob")
    assert app.runs.result(run) == [True, {"carrier": "post"}, "ann"]


def test_a_rejected_request_is_a_no(live: Live) -> None:
    run = live.app.send("live/asks").runs[0]
    (asked,) = until("it asks", lambda: live.app.approvals.list(status="pending", run=run))
    live.app.approvals.reject(asked["id"], reason="too dear", by="bob")
    assert live.app.runs.result(run) == [False, None, "bob"]


def test_a_signal_reaches_the_run_that_waits_for_it(live: Live) -> None:
    run = live.app.send("live/signalled").runs[0]
    until("it waits", lambda: any(each["status"] == "waiting" for each in live.app.runs.steps(run)))
    assert live.app.signal("go", {"by": TEXT}) != ""
    assert live.app.runs.result(run) == ["go", {"by": TEXT}]
    with pytest.raises(NotFoundError):
        live.app.signal("go")


def test_a_cancelled_run_ends(live: Live) -> None:
    app = live.app
    run = app.send("live/sleeper").runs[0]
    until("it sleeps", lambda: any(each["status"] == "sleeping" for each in app.runs.steps(run)))
    assert app.runs.cancel(run, "enough") == "cancelling"
    assert app.runs.wait(run).status == "cancelled"
    assert app.runs.cancel(run) == "already cancelled"


def test_a_run_is_replayed_from_a_step(live: Live) -> None:
    first = ended(live.app, "live/replayed")
    again = live.app.runs.wait(live.app.runs.replay(first.id, from_step="b"))
    assert again.output == [first.ulid, again.ulid, again.ulid]
    edited = ended(live.app, "live/input")
    assert edited.output == "first!"
    assert live.app.runs.result(live.app.runs.replay(edited.id, from_step="draft", input=["second"])) == "second!"


def test_a_failed_run_is_retried(live: Live) -> None:
    run = ended(live.app, "live/refused", status="failed")
    assert live.app.runs.retry(run.id) in ("retrying", "already running")
    until("it was called again", lambda: len(live.entered[run.ulid]) == 2)
    assert live.app.runs.wait(run.id).status == "failed"


def test_a_result_that_looks_like_a_command_is_a_result(live: Live) -> None:
    run = ended(live.app, "live/commands")
    assert run.output == COMMANDS
    assert live.entered[run.ulid] == ["ran"] * len(COMMANDS)


def test_numbers_are_the_same_on_every_call_and_whole_ones_exact_or_refused(live: Live) -> None:
    run = ended(live.app, "live/numbers", {"n": 2**53})
    assert run.output == [2**53, [2**53, -(2**53), 2, 0.1, 1e20, 1e21, 1e-7]]
    assert len(live.entered[run.ulid]) == 2 and len(set(live.entered[run.ulid])) == 1, live.entered[run.ulid]
    with pytest.raises(NonRetryableError, match="no double is 9007199254740993"):
        live.app.send("live/numbers", {"n": 2**53 + 1})


def test_a_server_without_agents_says_so(live: Live) -> None:
    run = ended(live.app, "live/agent", status="failed")
    assert run.error is not None and "Agent" in run.error["message"]


def test_a_run_is_followed_to_its_end(live: Live) -> None:
    run = live.app.send("live/ten").runs[0]
    seen = [each["type"] for each in live.app.runs.stream(run)]
    assert seen[0] == "snapshot"
    assert live.app.runs.get(run).ended
    with pytest.raises(TimeoutError):
        live.app.runs.wait(live.app.send("live/sleeper").runs[0], "300ms")


def test_runs_are_listed_by_page(live: Live) -> None:
    ids = [ended(live.app, "live/nothing").id for _ in range(3)]
    page = live.app.runs.list(function="live-nothing", status="completed", limit=2)
    assert [each.id for each in page] == ids[:0:-1]
    rest = live.app.runs.list(function="live-nothing", limit=2, cursor=page.next_cursor)
    assert rest[0].id == ids[0]


def test_an_event_sent_again_starts_nothing(live: Live) -> None:
    first = live.app.send("live/nothing", {}, id="once")
    assert live.app.send("live/nothing", {}, id="once").ids == first.ids
    assert len(live.app.send_many([{"name": "live/nothing"}, {"name": "live/none"}]).runs) == 1
    assert len(asyncio.run(live.app.asend("live/nothing")).runs) == 1


def test_refusals_have_the_server_s_code(live: Live) -> None:
    with pytest.raises(NotFoundError) as unknown:
        live.app.runs.get("01a1fc1a-9244-7aed-9c04-e9d8ae78fef1")
    assert unknown.value.code is not None and unknown.value.code.startswith("FF")
    with pytest.raises(InvalidError):
        live.app.send("")
    bad = live.server.app("bad")
    bad.function(id="timed", trigger=bad.trigger.cron("every other tuesday"))(lambda ctx: None)
    with pytest.raises(InvalidError, match="every other tuesday"):
        bad.register("http://127.0.0.1:9/api/flowforge")
    if live.server.signed:
        with pytest.raises(AuthError):
            FlowForge("live", live.server.url, signing_key="signkey-test-00").runs.list()
        with pytest.raises(AuthError):
            Client(live.server.url).send("live/nothing")
        assert len(Client(live.server.url, event_key=EVENT_KEY).send("live/nothing").ids) == 1
