"""Every scenario against a running server, in development mode and signed."""

from __future__ import annotations

import asyncio
import collections
from typing import Any, Dict, Iterator, List

import pytest
from servers import EVENT_KEY, FlowForgeServer, Web, ended, until

from flowforge import (
    AuthError,
    Client,
    ConflictError,
    Context,
    FlowForge,
    InvalidError,
    NonRetryableError,
    NotFoundError,
    RetryAfterError,
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


def answer(method: str, path: str, body: Any) -> Any:
    if path.endswith("/chat/completions"):
        message = {"role": "assistant", "content": f"low ({body['messages'][-1]['content']})"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        return {"id": "c", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}
    return {"method": method, "path": path, "body": body}


class Live:
    """The app under test: its functions, and how often each step's body was entered."""

    def __init__(self, server: FlowForgeServer, web: str) -> None:
        self.server = server
        self.web = web
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
    web = Web(answer)
    live = Live(server, web.url)
    server.sql("create role clerk login")
    server.sql("create table orders (id text primary key, total numeric); alter table orders owner to clerk")
    server.serve(live.app)
    server.sql("select ff_set_app_role('live', 'clerk')")
    server.sql(f"select ff_set_ai_provider('fake', base_url => '{web.url}/v1')")
    yield live
    web.stop()


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

    @app.function(id="thousand", trigger=event("live/thousand"))
    async def thousand(ctx: Context) -> int:
        live.calls[ctx.run_id] += 1
        return sum([await step.run("s", lambda n=n: n) for n in range(1000)])

    @app.function(id="parallel", trigger=event("live/parallel"))
    async def parallel(ctx: Context) -> Any:
        first = await asyncio.gather(*(step.run(f"s{n}", live.body(ctx, f"s{n}", n)) for n in range(4)))
        nap = step.sleep("nap", "200ms")
        second = await step.parallel(step.run("a", live.body(ctx, "a")), nap, step.run("b", live.body(ctx, "b", "b")))
        return [first, second, await step.run("end", live.body(ctx, "end", "end"))]

    @app.function(id="parallel-sync", trigger=event("live/parallel-sync"))
    def parallel_sync(ctx: SyncContext) -> Any:
        run = ctx.step.run
        both = ctx.step.parallel(lambda: run("a", live.body(ctx, "a", 1)), lambda: run("b", live.body(ctx, "b")))
        return [both, run("end", live.body(ctx, "end", "end"))]

    @app.function(id="race", trigger=event("live/race"))
    async def race(ctx: Context) -> Any:
        won = await step.race(step.sleep("late", "1h"), step.run("quick", live.body(ctx, "quick", "quick")))
        await step.sleep("nap", "100ms")
        return [won, await step.run("end", live.body(ctx, "end", won))]

    @app.function(id="retries", trigger=event("live/retries"), retries=3)
    async def retries(ctx: Context) -> Any:
        def flaky() -> str:
            live.entered[ctx.run_id].append("flaky")
            if live.entered[ctx.run_id].count("flaky") < 3:
                raise RetryAfterError(1, "not yet")
            return "third time lucky"

        await step.run("before", live.body(ctx, "before"))
        value = await step.run("flaky", flaky)
        return [value, await step.run("after", live.body(ctx, "after"))]

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

    failures: List[Any] = []

    async def on_failure(ctx: Context) -> None:
        failures.append([ctx.event.data["run_id"], ctx.event.data["error"]["message"]])

    live.__dict__["failures"] = failures

    @app.function(id="fails", trigger=event("live/fails"), retries=1, on_failure=on_failure)
    def fails(ctx: SyncContext) -> None:
        live.calls[ctx.run_id] += 1
        raise ValueError("between steps")

    @app.function(id="waits", trigger=event("live/waits"))
    async def waits(ctx: Context) -> Any:
        paid = await step.wait_for_event("payment", event="live/paid", match="data.id", timeout="1m")
        never = await step.wait_for_event("never", event="live/never", timeout="100ms")
        signal = await step.wait_for_signal("go", signal=f"go-{ctx.event.data['id']}", timeout="1m")
        late = await step.wait_for_signal("late", signal=f"late-{ctx.event.data['id']}", timeout="100ms")
        return [paid.data if paid else None, never, signal.data if signal else None, late]

    @app.function(id="double")
    async def double(ctx: Context) -> Any:
        if ctx.event.data["n"] < 0:
            raise NonRetryableError("negative")
        return await step.run("double", lambda: ctx.event.data["n"] * 2)

    @app.function(id="server", trigger=event("live/server"))
    async def server_steps(ctx: Context) -> Any:
        key = ctx.event.data["key"]
        await step.lock("lock", key)
        rows = await step.sql("insert", "insert into orders values ($1, $2) returning id, total", [key, 42.5])
        decision = await step.approve("ask", f"Ship {key}?", form={"type": "object", "required": ["carrier"]})
        ids = await step.send_event("tell", [{"name": "live/told", "data": {"key": key}}])
        answer = await step.fetch("fetch", f"{live.web}/rates", method="POST", body={"key": key})
        risk = await step.ai("risk", model="small", provider="fake", prompt="ok?")
        draft = await step.ai.wrap("draft", str.upper, "abc")
        doubled = await step.invoke("double", function=double, data={"n": 21})
        try:
            await step.invoke("negative", function="live-double", data={"n": -1})
        except StepError as error:
            doubled = [doubled, error.message]
        await step.sleep_until("past", "2020-01-01T00:00:00Z")
        await step.unlock("unlock", key)
        sent = [len(ids), answer.json(), risk["content"], draft, doubled]
        return [list(rows), decision.approved, decision.data, decision.by, *sent]

    @app.function(id="server-sync", trigger=event("live/server-sync"))
    def server_steps_sync(ctx: SyncContext) -> Any:
        rows = ctx.step.sql("one", "select $1::int + 1 as n", [1])
        sync_step.sleep("nap", "50ms")
        return [list(rows), sync_step.invoke("double", function=double, data={"n": 4})]

    @app.function(id="sleeper", trigger=event("live/sleeper"), cancel_on="live/stop")
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

    @app.function(id="large", trigger=event("live/large"))
    async def large(ctx: Context) -> Any:
        found = [await step.run(f"s{n}", lambda n=n: str(n) * 1_500_000) for n in range(4)]
        await step.sleep("nap", "50ms")
        return [len(each) for each in found] + [await step.run("end", lambda: found[3][0])]

    @app.function(id="values", trigger=event("live/values"))
    async def values(ctx: Context) -> Any:
        found = [await step.run(TEXT, lambda: {TEXT: [TEXT, None, 1.5, 9007199254740992, True, {}, []]})]
        nothing = await step.run("nothing", live.body(ctx, "nothing"))
        await step.sleep("nap", "50ms")
        return [ctx.event.data, found[0], nothing]

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


@pytest.mark.parametrize("event", ["ten", "ten-sync"])
def test_ten_steps_are_one_call(live: Live, event: str) -> None:
    run = ended(live.app, f"live/{event}")
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


def test_a_thousand_steps_are_one_call(live: Live) -> None:
    run = ended(live.app, "live/thousand")
    assert run.output == 499_500
    assert live.calls[run.ulid] == 1


def test_parallel_steps_run_once_each(live: Live) -> None:
    run = ended(live.app, "live/parallel")
    assert run.output == [[0, 1, 2, 3], [None, None, "b"], "end"]
    assert sorted(live.entered[run.ulid]) == ["a", "b", "end", "s0", "s1", "s2", "s3"]
    run = ended(live.app, "live/parallel-sync")
    assert run.output == [[1, None], "end"]
    assert sorted(live.entered[run.ulid]) == ["a", "b", "end"]


def test_the_first_wins_a_race(live: Live) -> None:
    run = ended(live.app, "live/race")
    assert run.output == ["quick", "quick"]
    assert live.entered[run.ulid] == ["quick", "end"]


def test_a_failing_step_is_tried_again_and_nothing_else(live: Live) -> None:
    run = ended(live.app, "live/retries")
    assert run.output == ["third time lucky", None]
    assert live.entered[run.ulid] == ["before", "flaky", "flaky", "flaky", "after"]
    assert run.data["timing"]["running_ms"] >= 2000, "twice it was told to wait a second"


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


def test_a_function_that_fails_is_tried_again_and_then_told_of(live: Live) -> None:
    run = ended(live.app, "live/fails", status="failed")
    assert live.calls[run.ulid] == 2
    until("the failure is told", lambda: [run.ulid, "between steps"] in live.__dict__["failures"])


def test_waits_give_what_they_waited_for(live: Live) -> None:
    app = live.app
    run = app.send("live/waits", {"id": "w1"}).runs[0]
    until("it waits", lambda: any(each["status"] == "waiting" for each in app.runs.steps(run)))
    app.send("live/paid", {"id": "other"})
    app.send("live/paid", {"id": "w1", "sum": 3})

    def signalled() -> bool:
        try:
            return app.signal("go-w1", {"by": TEXT}) != ""
        except NotFoundError:
            return False

    until("it waits for the signal", signalled)
    assert app.runs.result(run) == [{"id": "w1", "sum": 3}, None, {"by": TEXT}, None]


def test_the_server_takes_its_steps(live: Live) -> None:
    app = live.app
    run = app.send("live/server", {"key": "o1"}).runs[0]
    (asked,) = until("it asks", lambda: app.approvals.list(status="pending", run=run))
    assert asked["prompt"] == "Ship o1?"
    with pytest.raises(InvalidError) as refused:
        app.approvals.approve(asked["id"], {}, by="ann")
    assert refused.value.status == 422 and (refused.value.code or "").startswith("FF")
    assert app.approvals.approve(asked["id"], {"carrier": "post"}, by="ann")["result"] == "approved"
    with pytest.raises(ConflictError):
        app.approvals.reject(asked["id"], by="bob")
    rows, *decision = app.runs.result(run)[:4]
    assert rows == [{"id": "o1", "total": 42.5}]
    assert decision[:2] == [True, {"carrier": "post"}]
    sent, answered, risk, draft, doubled = app.runs.get(run).output[4:]
    assert (sent, answered) == (1, {"method": "POST", "path": "/rates", "body": {"key": "o1"}})
    assert (risk, draft, doubled) == ("low (ok?)", "ABC", [42, "negative"])
    assert live.server.sql("select count(*) from flowforge.event where name = 'live/told'") == "1"
    assert ended(app, "live/server-sync").output == [[{"n": 2}], 8]


def test_a_rejected_request_is_a_no(live: Live) -> None:
    run = live.app.send("live/server", {"key": "o2"}).runs[0]
    (asked,) = until("it asks", lambda: live.app.approvals.list(status="pending", run=run))
    live.app.approvals.reject(asked["id"], reason="too dear", by="bob")
    assert live.app.runs.result(run)[1:3] == [False, None]


def test_a_cancelled_run_ends(live: Live) -> None:
    app = live.app
    by_name, by_event = (app.send("live/sleeper").runs[0] for _ in range(2))
    for run in (by_name, by_event):
        until("it sleeps", lambda run=run: any(each["status"] == "sleeping" for each in app.runs.steps(run)))
    assert app.runs.cancel(by_name, "enough") == "cancelling"
    assert app.runs.wait(by_name).status == "cancelled"
    assert app.runs.cancel(by_name) == "already cancelled"
    app.send("live/stop")
    assert app.runs.wait(by_event).status == "cancelled"


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


def test_state_that_is_too_large_for_a_call_is_fetched(live: Live) -> None:
    assert ended(live.app, "live/large").output == [1_500_000] * 4 + ["3"]


def test_values_come_back_as_they_went(live: Live) -> None:
    data = {"text": TEXT, "list": [None, -0.5, 1e21], "none": None}
    run = ended(live.app, "live/values", data)
    assert run.output == [data, {TEXT: [TEXT, None, 1.5, 9007199254740992, True, {}, []]}, None]
    assert live.entered[run.ulid] == ["nothing"], "a step that gave None has run once"
    assert ended(live.app, "live/nothing").output is None


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
