"""The functions of ../functions.mjs, for the Python package: the same ids, events and results.

Written once as async handlers; blocking.py gives them to frameworks without asyncio. What the package has no word for (a race that
ends with its first step, a cause of an error, the number of attempts) is left out, and the tests know.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import inngest

Handler = Callable[[Any], Awaitable[Any]]
Trigger = inngest.TriggerEvent | inngest.TriggerCron


class Calls:
    """How often each step body of each run was entered."""

    def __init__(self) -> None:
        self._by_run: dict[str, dict[str, int]] = defaultdict(dict)

    def hit(self, run: str, name: str) -> int:
        """Notes one entry into `name` of `run`; gives how many there were before."""
        before = self._by_run[run].get(name, 0)
        self._by_run[run][name] = before + 1
        return before

    def of(self, run: str) -> dict[str, int]:
        return self._by_run.get(run, {})


class PaymentRefused(Exception):
    pass


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def large_text() -> str:
    """300 KB of text, not compressible to nothing, the same every time."""
    return "".join(digest(f"part {i}") for i in range(300 * 1024 // 64))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Definitions:
    """The functions of an app, as they are defined one by one."""

    def __init__(self, client: inngest.Inngest, wrap: Callable[[Handler], Callable[[Any], Any]]) -> None:
        self.client = client
        self.wrap = wrap
        self.functions: list[inngest.Function[Any]] = []
        self.calls = Calls()
        self.seen: dict[str, Any] = {}

    def event(self, name: str) -> str:
        return f"{self.client.app_id}/{name}"

    def on(self, id: str, trigger: str | Trigger | list[str | Trigger] | None = None, **options: Any) -> Callable[[Handler], inngest.Function[Any]]:
        """Defines a function; its trigger is the event of its name when it has no other."""
        given = trigger if isinstance(trigger, list) else [trigger or id]
        triggers = [inngest.TriggerEvent(event=self.event(t)) if isinstance(t, str) else t for t in given]
        if "on_failure" in options:
            options["on_failure"] = self.wrap(options["on_failure"])

        def define(handler: Handler) -> inngest.Function[Any]:
            function = self.client.create_function(fn_id=id, trigger=triggers, **options)(self.wrap(handler))
            self.functions.append(function)
            return function

        return define

    async def counted(self, ctx: Any, id: str, body: Callable[[int], Any] | None = None) -> Any:
        """A step whose body is counted; without a body it gives its id."""

        async def run() -> Any:
            before = self.calls.hit(ctx.run_id, id)
            result = id if body is None else body(before)
            return await result if isinstance(result, Awaitable) else result

        return await ctx.step.run(id, run)


def fail_before(times: int, error: Exception, result: Any) -> Callable[[int], Any]:
    """A body that raises the error `times` times before it gives its result."""

    def body(before: int) -> Any:
        if before < times:
            raise error
        return result

    return body


def define_functions(define: Definitions) -> None:
    define_steps(define)
    define_parallel(define)
    define_values(define)
    define_waits(define)
    define_invocations(define)
    define_failures(define)
    define_triggers(define)
    define_orders(define)


def define_steps(define: Definitions) -> None:
    on, counted, calls = define.on, define.counted, define.calls

    @on("sequence")
    async def _(ctx: Any) -> Any:
        a = await counted(ctx, "a", lambda _: {"n": ctx.event.data["n"] + 1})
        b = await counted(ctx, "b", lambda _: {"n": a["n"] * 2})
        c = await counted(ctx, "c", lambda _: [a["n"], b["n"]])
        return {"c": c, "attempt": ctx.attempt}

    @on("context", retries=2)
    async def _(ctx: Any) -> Any:
        await counted(ctx, "look")
        events = [event.model_dump() for event in ctx.events]
        return {"event": ctx.event.model_dump(), "events": events, "runId": ctx.run_id, "attempt": ctx.attempt}

    @on("retried-step", retries=3)
    async def _(ctx: Any) -> Any:
        await counted(ctx, "before")
        value = await counted(ctx, "flaky", fail_before(2, Exception("not yet"), "third time lucky"))
        await counted(ctx, "after")
        return {"value": value, "attempt": ctx.attempt}

    @on("retried-function", retries=2)
    async def _(ctx: Any) -> Any:
        await counted(ctx, "before")
        if calls.hit(ctx.run_id, "between") == 0:
            raise Exception("between steps")
        await counted(ctx, "after")
        return "done"

    @on("sleep")
    async def _(ctx: Any) -> Any:
        start = await counted(ctx, "start", lambda _: now_ms())
        await ctx.step.sleep("nap", 1000)
        middle = await counted(ctx, "middle", lambda _: now_ms())
        until = datetime.datetime.fromtimestamp((middle + 1000) / 1000, datetime.timezone.utc)
        await ctx.step.sleep_until("until", until)
        end = await counted(ctx, "end", lambda _: now_ms())
        return {"nap": middle - start, "until": end - middle}

    @on("loop")
    async def _(ctx: Any) -> Any:
        turns = []
        for i in range(4):
            turns.append(await ctx.step.run("turn", lambda i=i: calls.hit(ctx.run_id, f"turn {i}") + i * 10))
        return turns

    @on("many-steps")
    async def _(ctx: Any) -> Any:
        total = 0
        for i in range(50):
            total += await counted(ctx, f"s{i}", lambda _, i=i: i)
        return total

    @on("no-steps")
    async def _(ctx: Any) -> Any:
        return {"echo": ctx.event.data.get("value")}

    @on("slow", retries=0)
    async def _(ctx: Any) -> Any:
        await counted(ctx, "long", lambda _: time.sleep(ctx.event.data.get("ms", 2000) / 1000))
        await counted(ctx, "next")
        return "late"


def define_parallel(define: Definitions) -> None:
    on, counted = define.on, define.counted

    @on("parallel")
    async def _(ctx: Any) -> Any:
        async def slowly(id: str) -> Any:
            def body(_: int) -> str:
                time.sleep(0.1)
                return id

            return await counted(ctx, id, body)

        values = await ctx.group.parallel(tuple((lambda id=id: slowly(id)) for id in ("p1", "p2", "p3")))
        after = await counted(ctx, "after", lambda _: "+".join(values))
        return {"values": list(values), "after": after}

    @on("parallel-retry", retries=2)
    async def _(ctx: Any) -> Any:
        shaky = fail_before(2, Exception("shaky"), "shaky")
        return list(await ctx.group.parallel((lambda: counted(ctx, "steady"), lambda: counted(ctx, "shaky", shaky))))

    @on("chains")
    async def _(ctx: Any) -> Any:
        async def chain(name: str, length: int) -> list[str]:
            return [await counted(ctx, f"{name}{i}") for i in range(1, length + 1)]

        return list(await ctx.group.parallel((lambda: chain("a", 3), lambda: chain("b", 2), lambda: chain("c", 1))))

    @on("declared-chains")
    async def _(ctx: Any) -> Any:
        async def slow() -> str:
            await ctx.step.sleep("slow", 3000)
            return "slow"

        async def fast() -> list[str]:
            return [await counted(ctx, f"fast{i}") for i in range(1, 4)]

        mode = inngest.ParallelMode.RACE
        return list(await ctx.group.parallel((slow, fast), parallel_mode=mode))

    @on("settled", retries=0)
    async def _(ctx: Any) -> Any:
        def bad(_: int) -> None:
            raise Exception("bad step")

        async def caught() -> str:
            try:
                return await counted(ctx, "bad", bad)
            except inngest.StepError as error:
                return error.message

        values = await ctx.group.parallel((lambda: counted(ctx, "good"), caught))
        await counted(ctx, "after")
        return list(values)

    @on("sleep-and-run")
    async def _(ctx: Any) -> Any:
        slept, value = await ctx.group.parallel((lambda: ctx.step.sleep("nap", 1000), lambda: counted(ctx, "work")))
        await counted(ctx, "after")
        return {"slept": slept, "value": value}

    @on("busy")
    async def _(ctx: Any) -> Any:
        n, total = ctx.event.data["n"], 0
        for i in range(1, 4):
            total += await counted(ctx, f"add {i}", lambda _, i=i: n * i)
        x, y = await ctx.group.parallel((lambda: counted(ctx, "x", lambda _: total), lambda: counted(ctx, "y", lambda _: -total)))
        return {"n": n, "sum": total, "zero": x + y}


def define_values(define: Definitions) -> None:
    on, counted = define.on, define.counted

    @on("null-memo")
    async def _(ctx: Any) -> Any:
        return {
            "nothing": await counted(ctx, "nothing", lambda _: None),
            "missing": await counted(ctx, "missing", lambda _: None),
            "no": await counted(ctx, "no", lambda _: False),
            "zero": await counted(ctx, "zero", lambda _: 0),
            "empty": await counted(ctx, "empty", lambda _: ""),
            "data": await counted(ctx, "data", lambda _: {"data": {"data": None}, "error": None}),
        }

    @on("undefined")
    async def _(ctx: Any) -> Any:
        await counted(ctx, "only")

    @on("large")
    async def _(ctx: Any) -> Any:
        text = await counted(ctx, "make", lambda _: large_text())
        sum = await counted(ctx, "measure", lambda _: digest(text))
        return {"length": len(text), "sum": sum, "text": text}

    @on("unicode")
    async def _(ctx: Any) -> Any:
        text = await counted(ctx, "füße 日本 🚀", lambda _: ctx.event.data["text"])
        back = await counted(ctx, "again", lambda _: {text: text})
        return {"text": text, "back": back}


def define_waits(define: Definitions) -> None:
    on, counted, event = define.on, define.counted, define.event

    @on("wait-timeout")
    async def _(ctx: Any) -> Any:
        return {"answer": await ctx.step.wait_for_event("answer", event=event("never"), timeout=1000)}

    @on("wait-match")
    async def _(ctx: Any) -> Any:
        await counted(ctx, "before")
        same = "event.data.key == async.data.key"
        answer = await ctx.step.wait_for_event("answer", event=event("answer"), timeout=30_000, if_exp=same)
        await counted(ctx, "after")
        return {"answer": answer and answer.model_dump()}

    @on("wait-if")
    async def _(ctx: Any) -> Any:
        enough = "event.data.key == async.data.key && async.data.amount >= 100"
        answer = await ctx.step.wait_for_event("answer", event=event("answer"), timeout=30_000, if_exp=enough)
        return {"amount": answer and answer.data["amount"]}

    @on("wait-and-send")
    async def _(ctx: Any) -> Any:
        key = ctx.event.data["key"]
        same = "event.data.key == async.data.key"
        ask = inngest.Event(name=event("echo"), data={"key": key})
        answer, _ = await ctx.group.parallel((
            lambda: ctx.step.wait_for_event("answer", event=event("echo"), timeout=20_000, if_exp=same),
            lambda: ctx.step.send_event("ask", ask),
        ))
        return {"heard": answer and answer.data["key"]}

    @on("send")
    async def _(ctx: Any) -> Any:
        await counted(ctx, "before")
        key = ctx.event.data["key"]
        ids = await ctx.step.send_event("tell", [inngest.Event(name=event("told"), data={"key": key, "n": n}) for n in (1, 2)])
        await counted(ctx, "after")
        return {"ids": ids}

    @on("told")
    async def _(ctx: Any) -> Any:
        await counted(ctx, "hear")
        return ctx.event.data


def define_invocations(define: Definitions) -> None:
    on, counted = define.on, define.counted

    @on("child", retries=0)
    async def child(ctx: Any) -> Any:
        doubled = await counted(ctx, "double", lambda _: ctx.event.data["n"] * 2)
        if ctx.event.data.get("fail"):
            raise inngest.NonRetriableError("the child refused")
        return {"doubled": doubled}

    @on("invoke")
    async def _(ctx: Any) -> Any:
        await counted(ctx, "before")
        result = await ctx.step.invoke("call child", function=child, data={"n": ctx.event.data["n"]})
        await counted(ctx, "after")
        return result

    @on("invoke-failing", retries=0)
    async def _(ctx: Any) -> Any:
        try:
            await ctx.step.invoke("call child", function=child, data={"n": 1, "fail": True})
        except inngest.StepError as error:
            return {"caught": error.message}
        return {"caught": None}

    @on("invoke-unknown", retries=0)
    async def _(ctx: Any) -> Any:
        try:
            await ctx.step.invoke_by_id("call nobody", function_id="nobody", data={})
        except inngest.StepError as error:
            return {"caught": error.message}
        return {"caught": None}

    @on("invoke-parallel")
    async def _(ctx: Any) -> Any:
        results = await ctx.group.parallel(
            tuple((lambda n=n: ctx.step.invoke(f"call {n}", function=child, data={"n": n})) for n in (1, 2, 3))
        )
        return [result["doubled"] for result in results]


def define_failures(define: Definitions) -> None:
    on, counted, calls, seen = define.on, define.counted, define.calls, define.seen

    @on("exhausted", retries=1)
    async def _(ctx: Any) -> Any:
        await counted(ctx, "before")
        await counted(ctx, "always", fail_before(99, PaymentRefused("card declined"), None))

    async def clean_up(ctx: Any) -> str:
        await counted(ctx, "clean up")
        failed, error = ctx.event.data["event"], ctx.event.data["error"]
        seen[failed["data"]["key"]] = {
            "event": ctx.event.model_dump(),
            "error": {"name": error["name"], "message": error["message"]},
            "cleanups": calls.of(ctx.run_id)["clean up"],
        }
        return "cleaned"

    @on("fails", retries=0, on_failure=clean_up)
    async def _(ctx: Any) -> Any:
        raise PaymentRefused("refused on purpose")

    @on("non-retriable", retries=5)
    async def _(ctx: Any) -> Any:
        await counted(ctx, "refuse", fail_before(99, inngest.NonRetriableError("never"), None))

    @on("non-retriable-function", retries=5)
    async def _(ctx: Any) -> Any:
        calls.hit(ctx.run_id, "body")
        raise inngest.NonRetriableError("not even once more")

    @on("retry-after", retries=3)
    async def _(ctx: Any) -> Any:
        times = seen.setdefault(ctx.run_id, [])

        def later(before: int) -> str:
            times.append(now_ms())
            if before == 0:
                raise inngest.RetryAfterError("busy", 2000)
            return "now"

        await counted(ctx, "later", later)
        return {"waited": times[1] - times[0]}

    @on("caught", retries=1)
    async def _(ctx: Any) -> Any:
        try:
            await counted(ctx, "charge", fail_before(99, PaymentRefused("card declined"), None))
        except inngest.StepError as error:
            name, message = error.name, error.message
            return {"undone": await counted(ctx, "undo"), "name": name, "message": message}
        return "charged"


def define_triggers(define: Definitions) -> None:
    on, counted, event = define.on, define.counted, define.event

    priced = inngest.TriggerEvent(event=event("priced"), expression="event.data.total > 10 && event.data.kind == 'book'")

    @on("expensive", priced)
    async def _(ctx: Any) -> Any:
        return "expensive"

    @on("any-price", "priced")
    async def _(ctx: Any) -> Any:
        return "any"

    @on("timed", [inngest.TriggerCron(cron="TZ=Europe/Paris 30 2 29 2 *"), "also-timed"])
    async def _(ctx: Any) -> Any:
        await counted(ctx, "tick")
        return {"name": ctx.event.name, "id": ctx.event.id, "data": ctx.event.data, "ts": ctx.event.ts}

    @on("two-triggers", ["left", "right"])
    async def _(ctx: Any) -> Any:
        return ctx.event.name


def define_orders(define: Definitions) -> None:
    """The whole order workflow: every kind of step in one run."""
    on, counted, event, seen = define.on, define.counted, define.event, define.seen

    @on("make-receipt", "receipt.requested")
    async def receipt(ctx: Any) -> Any:
        return await counted(ctx, "number", lambda _: {"receipt": f"R-{ctx.event.data['id']}"})

    @on("pay", "invoice.sent")
    async def _(ctx: Any) -> Any:
        data = {"id": ctx.event.data["id"], "amount": ctx.event.data["total"]}
        await ctx.step.send_event("received", inngest.Event(name=event("payment.received"), data=data))

    @on("order", "order.created", retries=3)
    async def _(ctx: Any) -> Any:
        id, total = ctx.event.data["id"], ctx.event.data["total"]
        step, parallel = ctx.step, ctx.group.parallel
        await counted(ctx, "validate", lambda _: {"ok": True})
        charge = await counted(ctx, "charge", fail_before(1, Exception("the bank did not answer"), {"charge": f"C-{id}"}))
        await step.sleep("cool off", 1000)
        stock, label = await parallel((
            lambda: counted(ctx, "reserve", lambda _: {"shelf": 7}),
            lambda: counted(ctx, "print", lambda _: {"label": f"L-{id}"}),
        ))
        paid, same = event("payment.received"), "event.data.id == async.data.id"
        invoice = inngest.Event(name=event("invoice.sent"), data={"id": id, "total": total})
        payment, _ = await parallel((
            lambda: step.wait_for_event("payment", event=paid, timeout=60_000, if_exp=same),
            lambda: step.send_event("invoice", invoice),
        ))
        paper = await step.invoke("receipt", function=receipt, data={"id": id})
        gift = "given"
        try:
            await counted(ctx, "gift", fail_before(99, PaymentRefused("out of gifts"), None))
        except inngest.StepError:
            gift = await counted(ctx, "voucher", lambda _: "voucher")
        await step.send_event("shipped", inngest.Event(name=event("order.shipped"), data={"id": id}))
        return {
            "charge": charge["charge"], "shelf": stock["shelf"], "label": label["label"],
            "paid": payment and payment.data["amount"], "receipt": paper["receipt"], "gift": gift,
        }

    async def lost(ctx: Any) -> None:
        seen[ctx.event.data["event"]["data"]["id"]] = {"shipping": ctx.event.data["error"]["message"]}

    @on("ship", "order.shipped", retries=0, on_failure=lost)
    async def _(ctx: Any) -> Any:
        if ctx.event.data["id"].startswith("lost"):
            raise Exception("the parcel is lost")
        return "delivered"
