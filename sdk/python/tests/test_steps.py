"""What steps do, run in memory: each test is one function as a user writes it, async and not."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, List

import pytest

from flowforge import (
    Context,
    FlowForge,
    Function,
    NonRetryableError,
    Retries,
    RetryAfterError,
    StepError,
    StepTimeout,
    StepUsageError,
    SyncContext,
    step,
    sync_step,
)
from flowforge.testing import START, TestingError, run
from flowforge.values import plain

app = FlowForge(app_id="test", url="http://127.0.0.1:9")
numbers = iter(range(10_000))


def made(handler: Callable[[Any], Any], **options: Any) -> Function:
    return app.function(id=f"f{next(numbers)}", **options)(handler)


class Counter:
    """Counts how often each step's body was entered."""

    def __init__(self) -> None:
        self.calls: List[str] = []

    def __call__(self, name: str, value: Any = None) -> Callable[[], Any]:
        def body() -> Any:
            self.calls.append(name)
            return value

        return body


def test_ten_steps_are_one_call() -> None:
    count = Counter()

    async def ten(ctx: Context) -> int:
        return sum([await step.run(f"s{n}", count(f"s{n}", n)) for n in range(10)])

    def ten_sync(ctx: SyncContext) -> int:
        return sum(ctx.step.run(f"s{n}", count(f"s{n}", n)) for n in range(10))

    for function in (ten, ten_sync):
        count.calls.clear()
        result = run(made(function))
        assert (result.output, result.calls) == (45, 1)
        assert count.calls == [f"s{n}" for n in range(10)]


def test_a_step_that_gives_none_runs_once() -> None:
    count = Counter()

    async def nothing(ctx: Context) -> Any:
        first = await step.run("nothing", count("nothing"))
        await step.sleep("pause", "1s")
        return [first, await step.run("after", count("after"))]

    result = run(made(nothing))
    assert result.output == [None, None]
    assert count.calls == ["nothing", "after"]


def test_a_result_that_looks_like_a_command_is_a_result() -> None:
    """Results with a member "type" were taken for commands in an earlier system."""
    results: List[Any] = [
        {"type": "sleep", "duration_seconds": 9},
        {"error": {"message": "none"}},
        {"data": 1},
        {"input": [1]},
        {"op": "Sleep"},
    ]
    count = Counter()

    async def like_commands(ctx: Context) -> Any:
        found = [await step.run("s", count("s", each)) for each in results]
        await step.sleep("nap", "1s")
        return found

    result = run(made(like_commands))
    assert (result.output, result.elapsed, len(count.calls)) == (results, timedelta(seconds=1), len(results))


def test_an_id_used_again_is_another_step() -> None:
    async def loop(ctx: Context) -> Any:
        found = []
        for n in range(3):
            found.append(await step.run("same", lambda n=n: n))
            await step.sleep("nap", 1)
        return found

    result = run(made(loop))
    assert result.output == [0, 1, 2]
    assert list(result.steps) == ["same", "nap", "same:1", "nap:1", "same:2", "nap:2"]
    assert result.elapsed == timedelta(seconds=3)


def test_except_exception_does_not_catch_what_ends_a_call() -> None:
    caught = []

    async def careless(ctx: Context) -> str:
        try:
            await step.sleep("pause", "1h")
        except Exception as error:
            caught.append(error)
        return "done"

    def careless_sync(ctx: SyncContext) -> str:
        try:
            ctx.step.sleep("pause", "1h")
        except Exception as error:
            caught.append(error)
        return "done"

    for function in (careless, careless_sync):
        result = run(made(function))
        assert (result.output, result.calls, result.elapsed) == ("done", 2, timedelta(hours=1))
    assert caught == []


def test_even_a_bare_except_does_not_change_what_happens() -> None:
    async def worse(ctx: Context) -> str:
        try:
            await step.sleep("pause", "1h")
        except BaseException:
            pass
        return "done"

    def worse_sync(ctx: SyncContext) -> str:
        try:
            ctx.step.sleep("pause", "1h")
        except BaseException:
            pass
        ctx.step.run("after", lambda: 1)
        return "done"

    for function in (worse, worse_sync):
        result = run(made(function))
        assert (result.output, result.calls, result.elapsed) == ("done", 2, timedelta(hours=1))


def test_finally_runs_when_a_call_ends() -> None:
    cleaned = []

    async def tidy(ctx: Context) -> None:
        try:
            await step.sleep("pause", "1h")
        finally:
            cleaned.append(1)

    run(made(tidy))
    assert len(cleaned) == 2


def test_gathered_steps_are_planned_and_run_once_each() -> None:
    count = Counter()

    async def fan(ctx: Context) -> Any:
        gathered = await asyncio.gather(*(step.run(f"s{n}", count(f"s{n}", n)) for n in range(5)))
        return [gathered, await step.run("after", count("after", "end"))]

    result = run(made(fan))
    assert result.output == [[0, 1, 2, 3, 4], "end"]
    assert sorted(count.calls) == ["after", "s0", "s1", "s2", "s3", "s4"]
    assert result.calls == 7


def test_branches_of_several_steps_run_side_by_side() -> None:
    async def branch(name: str) -> List[str]:
        first = await step.run(f"{name}1", lambda: f"{name}1")
        await step.sleep(f"{name}-nap", "10s")
        return [first, await step.run(f"{name}2", lambda: f"{name}2")]

    async def fan(ctx: Context) -> Any:
        return await step.parallel(branch("a"), branch("b"), lambda: branch("c"))

    def fan_sync(ctx: SyncContext) -> Any:
        def branch_sync(name: str) -> List[str]:
            first = sync_step.run(f"{name}1", lambda: f"{name}1")
            sync_step.sleep(f"{name}-nap", "10s")
            return [first, sync_step.run(f"{name}2", lambda: f"{name}2")]

        return sync_step.parallel(*(lambda name=name: branch_sync(name) for name in "abc"))

    for function in (fan, fan_sync):
        result = run(made(function))
        assert result.output == [["a1", "a2"], ["b1", "b2"], ["c1", "c2"]]
        assert result.elapsed == timedelta(seconds=10), "they slept at the same time"


def test_the_first_wins_a_race_and_wins_it_on_every_call() -> None:
    async def race(ctx: Context) -> Any:
        won = await step.race(step.sleep("late", "1h"), step.wait_for_event("never", event="x", timeout="2h"), quick())
        await step.sleep("afterwards", "3h")
        return [won, await step.run("end", lambda: won)]

    async def quick() -> str:
        await step.sleep("soon", "1m")
        return await step.run("quick", lambda: "quick")

    def race_sync(ctx: SyncContext) -> Any:
        def quick_sync() -> str:
            sync_step.sleep("soon", "1m")
            return sync_step.run("quick", lambda: "quick")

        won = sync_step.race(lambda: sync_step.sleep("late", "1h"), quick_sync)
        sync_step.sleep("afterwards", "3h")
        return [won, sync_step.run("end", lambda: won)]

    for function in (race, race_sync):
        result = run(made(function))
        assert result.output == ["quick", "quick"], result.error
        assert result.elapsed == timedelta(hours=3, minutes=1)


def test_a_failing_step_is_tried_again_and_nothing_else() -> None:
    count = Counter()

    def flaky() -> str:
        count.calls.append("flaky")
        if count.calls.count("flaky") < 3:
            raise ValueError("not yet")
        return "third time lucky"

    async def retried(ctx: Context) -> Any:
        await step.run("before", count("before"))
        value = await step.run("flaky", flaky)
        return [value, ctx.attempt]

    def retried_sync(ctx: SyncContext) -> Any:
        ctx.step.run("before", count("before"))
        return [ctx.step.run("flaky", flaky), ctx.attempt]

    for function in (retried, retried_sync):
        count.calls.clear()
        result = run(made(function))
        assert result.output == ["third time lucky", 2]
        assert count.calls == ["before", "flaky", "flaky", "flaky"]
        assert result.attempts == {"before": 1, "flaky": 3}


def test_the_time_between_attempts_is_what_the_function_or_the_step_says() -> None:
    def elapsed(retries: Any, own: Any = None) -> timedelta:
        tries: List[int] = []

        def flaky() -> None:
            tries.append(1)
            if len(tries) < 4:
                raise ValueError("not yet")

        result = run(made(lambda ctx: sync_step.run("flaky", flaky, retries=own), retries=retries))
        assert (result.status, len(tries)) == ("completed", 4)
        return result.elapsed

    assert elapsed(3) == timedelta(seconds=1 + 2 + 4)
    assert elapsed(Retries(3, backoff=["1m", "1h"])) == timedelta(hours=2, minutes=1)
    assert elapsed(Retries(3, backoff="linear", base="1m", cap="2m")) == timedelta(minutes=1 + 2 + 2)
    assert elapsed(0, Retries(3, backoff="fixed", base="10s")) == timedelta(seconds=30)
    assert elapsed(Retries(0, backoff="fixed", base="1m"), 3) == timedelta(minutes=3)
    assert elapsed(Retries(0, backoff="fixed", base="1m"), Retries(3)) == timedelta(minutes=3)


def test_a_step_that_takes_longer_than_it_may_is_a_timeout() -> None:
    async def patient(ctx: Context) -> Any:
        try:
            await step.run("slow", asyncio.sleep, 3600, retries=1, timeout="20ms")
        except StepTimeout as error:
            return [error.name, error.message, await step.run("quick", lambda: "quick", timeout="1m")]

    result = run(made(patient))
    assert result.output == ["StepTimeout", 'step "slow" took longer than 20ms', "quick"]
    assert result.attempts == {"slow": 2, "quick": 1}


def test_an_error_in_time_is_the_error_of_the_step() -> None:
    def refuse() -> None:
        raise TimeoutError("of its own")

    async def later() -> None:
        refuse()

    for body in (refuse, later):
        result = run(made(lambda ctx, body=body: sync_step.run("s", body, timeout="1m"), retries=0))
        assert result.error is not None and (result.error["name"], result.error["message"]) == ("TimeoutError", "of its own")


def test_a_step_that_fails_for_good_can_be_caught() -> None:
    class Refused(Exception):
        pass

    def refuse() -> None:
        raise Refused("card declined") from ValueError("limit")

    async def caught(ctx: Context) -> Any:
        try:
            await step.run("pay", refuse)
        except StepError as error:
            return [error.name, error.message, error.step_id, "refuse" in (error.stack or ""), error.data["cause"]["message"]]

    result = run(made(caught, retries=1))
    assert result.output == ["Refused", "card declined", "pay", True, "limit"]
    assert result.attempts == {"pay": 2}


def test_an_error_of_a_step_that_nobody_catches_fails_the_run() -> None:
    def refuse() -> None:
        raise ValueError("no")

    result = run(made(lambda ctx: sync_step.run("pay", refuse), retries=1))
    assert result.status == "failed"
    assert result.error is not None and (result.error["name"], result.error["message"]) == ("ValueError", "no")
    assert result.attempts == {"pay": 2}


def test_some_errors_are_not_tried_again() -> None:
    tries = []

    def refuse() -> None:
        tries.append(1)
        raise NonRetryableError("no such customer")

    assert run(made(lambda ctx: sync_step.run("look", refuse))).status == "failed"
    assert len(tries) == 1

    async def function_too(ctx: Context) -> None:
        tries.append(2)
        raise NonRetryableError("never")

    assert run(made(function_too)).status == "failed"
    assert tries == [1, 2]


def test_an_error_can_say_when_to_try_again() -> None:
    tries = []

    async def busy(ctx: Context) -> str:
        tries.append(ctx.attempt)
        if len(tries) == 1:
            raise RetryAfterError(timedelta(minutes=5), "the bank is closed")
        return "open"

    result = run(made(busy))
    assert (result.output, result.elapsed, tries) == ("open", timedelta(minutes=5), [0, 1])
    assert RetryAfterError(datetime.now(timezone.utc) + timedelta(seconds=30)).seconds == pytest.approx(30, abs=5)


def test_a_failed_step_is_remembered_as_failed() -> None:
    """Failed tool calls that ran again on every replay were a fault of an earlier system."""
    tries = []

    def tool() -> None:
        tries.append(1)
        raise NonRetryableError("the tool is broken")

    async def agent(ctx: Context) -> str:
        for _ in range(3):
            try:
                await step.run("tool", tool)
            except StepError:
                pass
            await step.sleep("nap", 1)
        return "done"

    result = run(made(agent))
    assert result.output == "done"
    assert len(tries) == 3, "three steps, each tried once over all calls"
    assert [type(each).__name__ for name, each in result.steps.items() if name.startswith("tool")] == ["StepError"] * 3


def test_a_wait_gives_the_event_or_none() -> None:
    async def waiting(ctx: Context) -> Any:
        paid = await step.wait_for_event("payment", event="payment/received", match="data.order", timeout="24h")
        late = await step.wait_for_event("refund", event="refund/asked", timeout="1h")
        return [paid.name if paid else None, paid.data if paid else None, late]

    function = made(waiting)
    result = run(function, {"order": "o1"}, events={"payment": {"order": "o1", "sum": 3}})
    assert result.output == ["payment/received", {"order": "o1", "sum": 3}, None]
    assert result.elapsed == timedelta(hours=1)
    with pytest.raises(TestingError, match=r"another data\.order"):
        run(function, {"order": "o1"}, events={"payment/received": {"order": "o2"}})


def test_an_approval_that_is_given_approves() -> None:
    async def asking(ctx: Context) -> Any:
        decision = await step.approve("ok", "Ship it?", approvers=["ann"])
        return "shipped" if decision else f"kept: {decision.reason}"

    function = made(asking)
    assert run(function, steps={"ok": True}).output == "shipped"
    assert run(function, steps={"ok": {"approved": False, "reason": "too dear"}}).output == "kept: too dear"
    with pytest.raises(TestingError, match="ok"):
        run(function)


def test_an_invoked_function_runs_and_events_are_sent() -> None:
    async def child(ctx: Context) -> int:
        await step.sleep("nap", "1m")
        return int(ctx.event.data["n"]) * 2

    child_function = made(child)

    async def parent(ctx: Context) -> Any:
        ids = await step.send_event("tell", "test/told", {"n": 1})
        return [len(ids), await step.invoke("double", function=child_function, data={"n": 21})]

    result = run(made(parent), functions=[child_function])
    assert result.output == [1, 42]
    assert result.sent == [{"name": "test/told", "data": {"n": 1}}]
    assert result.elapsed == timedelta(minutes=1)


def test_an_invoked_function_that_takes_too_long_is_a_timeout() -> None:
    error = StepTimeout({"name": "InngestInvokeTimeoutError", "message": "too late"}, "call")

    async def parent(ctx: Context) -> str:
        try:
            await step.invoke("call", function="other-app-f", timeout="1m")
        except StepTimeout as timeout:
            return timeout.message
        return "in time"

    assert run(made(parent), steps={"call": error}).output == "too late"


def test_steps_of_the_server_give_what_they_say() -> None:
    async def all_kinds(ctx: Context) -> Any:
        risk = await step.ai("risk", model="gpt-4o", prompt="?")
        rows = await step.sql("rows", "select $1 as n", [1])
        rates = await step.fetch("rates", "https://example.com/rates")
        signal = await step.wait_for_signal("go", signal="go", timeout="1h")
        wrapped = await step.ai.wrap("draft", lambda text: text.upper(), "abc")
        await step.lock("mine", "key")
        await step.unlock("yours", "key")
        await step.sleep_until("new-year", "2026-01-02T00:00:00Z")
        return [risk["content"], list(rows), rows.row_count, rates.json(), signal.data if signal else None, wrapped]

    result = run(made(all_kinds), steps={"risk": {"content": "low"}, "rows": [{"n": 1}], "rates": {"eur": 1}, "go": [1, 2]})
    assert result.output == ["low", [{"n": 1}], 1, {"eur": 1}, [1, 2], "ABC"]
    assert START + result.elapsed == datetime(2026, 1, 2, tzinfo=timezone.utc)


def test_two_functions_side_by_side_do_not_mix() -> None:
    """A process-wide `step` was a fault of an earlier system."""

    async def slow(ctx: Context) -> Any:
        found = []
        for n in range(20):
            found.append(await step.run(f"{ctx.event.data['who']}-{n}", lambda n=n: [ctx.event.data["who"], n]))
            await asyncio.sleep(0.001)
        return found

    function = made(slow)

    async def both() -> Any:
        from flowforge.testing import arun

        return await asyncio.gather(*(arun(function, {"who": who}) for who in "abcd"))

    for who, result in zip("abcd", asyncio.run(both())):
        assert result.output == [[who, n] for n in range(20)]
        assert all(name.startswith(who) for name in result.steps)


def test_mocks_stand_in_for_what_steps_run() -> None:
    def charge(amount: int) -> str:
        raise AssertionError("not in tests")

    async def paying(ctx: Context) -> Any:
        first = await step.run("charge", charge, 42)
        try:
            await step.run("refund", charge, 1)
        except StepError as error:
            return [first, error.message]

    result = run(made(paying), steps={"charge": lambda amount: f"charged {amount}", "refund": ValueError("no refunds")})
    assert result.output == ["charged 42", "no refunds"]
    assert result.attempts["refund"] == 1


def test_values_are_the_same_on_the_first_call_as_on_later_ones() -> None:
    @dataclasses.dataclass
    class Order:
        id: str
        at: datetime

    async def typed(ctx: Context) -> Any:
        return await step.run("order", lambda: Order("é😀", datetime(2026, 1, 1, tzinfo=timezone.utc)))

    assert run(made(typed)).output == {"id": "é😀", "at": "2026-01-01T00:00:00+00:00"}
    assert [repr(plain(each)) for each in (2.0, 1e20, 1e21, 0.5, -0.0, 2**53)] == ["2", str(10**20), "1e+21", "0.5", "0", str(2**53)]


def test_pydantic_models_are_accepted() -> None:
    pydantic = pytest.importorskip("pydantic")
    order_type = pydantic.create_model("Order", id=(str, ...), total=(float, 0))

    async def typed(ctx: Context) -> Any:
        order = await step.run("order", lambda: order_type(id="o1", total=2))
        await step.send_event("tell", "order/created", order_type(**order))
        return order_type(**order)

    result = run(made(typed))
    assert result.output == {"id": "o1", "total": 2.0}
    assert result.sent[0]["data"] == {"id": "o1", "total": 2.0}


def test_what_is_no_json_fails_the_step_at_once() -> None:
    for value in (float("nan"), object(), "\ud800", "a\x00b", 2**53 + 1, 10**400):
        result = run(made(lambda ctx, value=value: sync_step.run("bad", lambda: value)))
        assert result.status == "failed" and result.error is not None
        assert "must be JSON" in result.error["message"]
        assert result.attempts == {"bad": 1}


def test_misuse_is_told_in_words() -> None:
    with pytest.raises(StepUsageError, match="none is running"):
        step.run("x", lambda: 1)

    async def nested(ctx: Context) -> Any:
        async def inner() -> Any:
            return await step.run("inner", lambda: 1)

        return await step.run("outer", inner)

    async def called(ctx: Context) -> Any:
        return await step.run("called", 42)  # type: ignore[call-overload]

    async def no_id(ctx: Context) -> Any:
        return await step.run("", lambda: 1)

    async def no_option(ctx: Context) -> Any:
        return await step.ai("ask", model="small", promt="?")  # type: ignore[call-arg]

    async def no_time(ctx: Context) -> Any:
        return await step.run("late", lambda: 1, timeout="soon")

    for function, words in (
        (nested, 'step "inner" is within step "outer"'),
        (called, "not step.run"),
        (no_id, "needs an id"),
        (no_option, 'step "ask" has no option promt; it may have max_tokens'),
        (no_time, 'the timeout of step "late" must be like'),
    ):
        result = run(made(function))
        assert result.status == "failed" and result.error is not None
        assert words in result.error["message"]


def test_a_thousand_steps_are_one_call() -> None:
    async def many(ctx: Context) -> int:
        return sum([await step.run("s", lambda n=n: n) for n in range(1000)])

    result = run(made(many))
    assert (result.output, result.calls, len(result.steps)) == (499_500, 1, 1000)


def test_io_between_steps_is_awaited() -> None:
    async def outside(ctx: Context) -> Any:
        async def slow() -> int:
            await asyncio.sleep(0.05)
            return await step.run("slow", lambda: 1)

        return await asyncio.gather(step.run("fast", lambda: 0), slow())

    assert run(made(outside)).output == [0, 1]


def test_a_step_that_is_given_up_does_not_hold_the_others() -> None:
    async def impatient(ctx: Context) -> Any:
        given_up = asyncio.ensure_future(step.run("given up", lambda: 0))
        await asyncio.sleep(0)
        given_up.cancel()
        return await step.run("next", lambda: 1)

    result = run(made(impatient))
    assert (result.output, list(result.steps)) == (1, ["next"])
