"""The functions of functions.mjs for Python: same ids, same steps, same results."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from datetime import datetime, timezone
from typing import Any, Awaitable, Callable, List

from flowforge import Batch, CancelOn, Context, FlowForge, NonRetryableError, RetryAfterError, StepError, step
from flowforge.function import Function

from side import Side

Handler = Callable[[Context], Awaitable[Any]]


class PaymentRefused(Exception):
    pass


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def large_text() -> str:
    """300 KB that do not become nothing when they are compressed."""
    return "".join(digest(f"part {i}") for i in range(4800))


def fail(error: Exception) -> Any:
    raise error


class Functions:
    """Defines the functions of an app one by one."""

    def __init__(self, app: FlowForge, side: Side) -> None:
        self.app = app
        self.side = side

    def define(self) -> None:
        self.define_steps()
        self.define_values()
        self.define_parallel()
        self.define_failures()
        self.define_waits()
        self.define_invocations()
        self.define_others()
        self.define_order()
        self.define_own()

    def event(self, name: str) -> str:
        return f"{self.app.app_id}/{name}"

    def on(self, id: str, retries: int = 1, **options: Any) -> Callable[[Handler], Function]:
        """Defines a function that the event of its name starts; each call of it is counted."""

        def define(handler: Handler) -> Function:
            async def counted(ctx: Context) -> Any:
                self.side.enter(ctx.run_id, "()")
                return await handler(ctx)

            return self.app.function(id=id, trigger=self.app.trigger.event(self.event(id)), retries=retries, **options)(counted)

        return define

    async def counted(self, ctx: Context, id: str, body: Callable[[int], Any] | None = None) -> Any:
        """A step whose code is counted; it gives its id if it has no body."""

        async def run() -> Any:
            before = self.side.enter(ctx.run_id, id)
            result = id if body is None else body(before)
            return await result if isinstance(result, Awaitable) else result

        return await step.run(id, run)

    def define_steps(self) -> None:
        on, counted, side = self.on, self.counted, self.side

        @on("sequence")
        async def _(ctx: Context) -> Any:
            a = await counted(ctx, "a", lambda _: {"n": ctx.event.data["n"] + 1})
            b = await counted(ctx, "b", lambda _: {"n": a["n"] * 2})
            c = await counted(ctx, "c", lambda _: [a["n"], b["n"]])
            return {"c": c, "attempt": ctx.attempt}

        @on("no-steps")
        async def _(ctx: Context) -> Any:
            return {"echo": ctx.event.data.get("value")}

        @on("loop")
        async def _(ctx: Context) -> Any:
            return [await counted(ctx, "turn", lambda before, i=i: before + i * 10) for i in range(4)]

        @on("ten")
        async def _(ctx: Context) -> Any:
            return [await counted(ctx, f"s{i}", lambda _, i=i: i) for i in range(10)]

        @on("thousand")
        async def _(ctx: Context) -> Any:
            total = sum([await counted(ctx, "add", lambda _, i=i: i) for i in range(998)])
            await step.sleep("nap", "50ms")
            return total + await counted(ctx, "last", lambda _: 1)

        @on("sleep")
        async def _(ctx: Context) -> Any:
            def now(_: int) -> int:
                return time.time_ns() // 1_000_000

            start = await counted(ctx, "start", now)
            await step.sleep("nap", "1s")
            middle = await counted(ctx, "middle", now)
            await step.sleep_until("until", datetime.fromtimestamp((middle + 1000) / 1000, timezone.utc))
            end = await counted(ctx, "end", now)
            return {"nap": middle - start, "until": end - middle}

        @on("held")
        async def _(ctx: Context) -> Any:
            async def second() -> str:
                await side.passed(ctx.event.data["key"])
                side.leave(ctx.event.data["key"], "passed")
                return "second"

            await counted(ctx, "first")
            await counted(ctx, "second", lambda _: second())
            await counted(ctx, "third")
            return "done"

        @on("replayed")
        async def _(ctx: Context) -> Any:
            a = await counted(ctx, "a", lambda _: ctx.event.data["n"])
            b = await counted(ctx, "b", lambda _: a + 1)
            return await counted(ctx, "c", lambda _: [a, b])

        @on("wrapped")
        async def _(ctx: Context) -> Any:
            def louder(text: str) -> str:
                side.enter(ctx.run_id, "loud")
                return text.upper()

            loud = await step.ai.wrap("loud", louder, "abc")
            return {"loud": loud, "last": await counted(ctx, "last")}

        @on("swallows")
        async def _(ctx: Context) -> Any:
            try:
                await counted(ctx, "before")
                await step.sleep("nap", "50ms")
                await step.wait_for_event("never", event=self.event("never"), timeout="100ms")
                await asyncio.gather(counted(ctx, "p"), counted(ctx, "q"))
            except Exception as error:
                return {"swallowed": str(error)}
            return "not disturbed"

    def define_values(self) -> None:
        on, counted = self.on, self.counted

        @on("nothing")
        async def _(ctx: Context) -> Any:
            await counted(ctx, "only")

        @on("empty")
        async def _(ctx: Context) -> Any:
            found = {
                "nothing": await counted(ctx, "nothing", lambda _: None),
                "missing": await counted(ctx, "missing", lambda _: None),
                "no": await counted(ctx, "no", lambda _: False),
                "zero": await counted(ctx, "zero", lambda _: 0),
                "text": await counted(ctx, "text", lambda _: ""),
                "data": await counted(ctx, "data", lambda _: {"data": {"data": None}, "error": None}),
            }
            await step.sleep("nap", "50ms")
            return found

        @on("large")
        async def _(ctx: Context) -> Any:
            text = await counted(ctx, "make", lambda _: large_text())
            await step.sleep("nap", "50ms")
            return {"length": len(text), "sum": await counted(ctx, "measure", lambda _: digest(text)), "text": text}

        @on("heavy")
        async def _(ctx: Context) -> Any:
            sizes = [len(await counted(ctx, f"part {i}", lambda _, i=i: str(i) * 1_000_000)) for i in range(5)]
            await step.sleep("nap", "50ms")
            return {"sizes": sizes, "last": await counted(ctx, "last")}

        @on("unicode")
        async def _(ctx: Context) -> Any:
            text = await counted(ctx, "füße 日本 🚀", lambda _: ctx.event.data["text"])
            await step.sleep("nap", "50ms")
            return {"text": text, "back": await counted(ctx, "again", lambda _: {text: text})}

    def define_parallel(self) -> None:
        on, counted = self.on, self.counted

        @on("parallel")
        async def _(ctx: Context) -> Any:
            values = await asyncio.gather(*(counted(ctx, id) for id in ("p1", "p2", "p3")))
            return {"values": values, "after": await counted(ctx, "after", lambda _: "+".join(values))}

        @on("chains")
        async def _(ctx: Context) -> Any:
            async def chain(name: str, length: int) -> List[str]:
                return [await counted(ctx, f"{name}{i}") for i in range(1, length + 1)]

            return await asyncio.gather(chain("a", 3), chain("b", 2), chain("c", 1))

        @on("sleep-and-run")
        async def _(ctx: Context) -> Any:
            slept, value = await asyncio.gather(step.sleep("nap", "300ms"), counted(ctx, "work"))
            return {"slept": slept, "value": value, "after": await counted(ctx, "after")}

        @on("settled", retries=0)
        async def _(ctx: Context) -> Any:
            bad = counted(ctx, "bad", lambda _: fail(PaymentRefused("bad step é日本🚀")))
            results = await asyncio.gather(counted(ctx, "good"), bad, return_exceptions=True)
            await counted(ctx, "after")
            return [result.message if isinstance(result, StepError) else result for result in results]

        @on("parallel-retry", retries=2)
        async def _(ctx: Context) -> Any:
            shaky = counted(ctx, "shaky", lambda before: fail(ValueError("shaky")) if before < 2 else "shaky")
            return await asyncio.gather(counted(ctx, "steady"), shaky)

        @on("race")
        async def _(ctx: Context) -> Any:
            async def slow() -> Any:
                await step.sleep("slow", ctx.event.data["slow"])
                return ctx.event.data["more"] and await counted(ctx, "slow end")

            winner = await step.race(slow(), counted(ctx, "fast"))
            await step.sleep("nap", "50ms")
            return {"winner": winner, "after": await counted(ctx, "after")}

        @on("timed-race")
        async def _(ctx: Context) -> Any:
            never = step.wait_for_event("never", event=self.event("never"), timeout="1h")
            winner = await step.race(never, step.sleep("limit", "100ms"))
            return {"winner": winner, "after": await counted(ctx, "after")}

    def define_failures(self) -> None:
        on, counted, side = self.on, self.counted, self.side

        @on("retried-step", retries=3)
        async def _(ctx: Context) -> Any:
            await counted(ctx, "before")
            value = await counted(ctx, "flaky", lambda before: fail(ValueError("not yet")) if before < 2 else "third time lucky")
            await counted(ctx, "after")
            return value

        @on("retried-function", retries=2)
        async def _(ctx: Context) -> Any:
            await counted(ctx, "before")
            if side.enter(ctx.run_id, "between") == 0:
                raise ValueError("between steps")
            return await counted(ctx, "after")

        @on("exhausted")
        async def _(ctx: Context) -> Any:
            def refuse(_: int) -> None:
                raise PaymentRefused("card declined") from ValueError("limit reached")

            await counted(ctx, "before")
            await counted(ctx, "always", refuse)

        @on("caught")
        async def _(ctx: Context) -> Any:
            try:
                await counted(ctx, "charge", lambda _: fail(PaymentRefused("card declined")))
            except StepError as error:
                return {"undone": await counted(ctx, "undo"), "name": error.name, "message": error.message}
            return "charged"

        @on("final-step", retries=5)
        async def _(ctx: Context) -> Any:
            def refuse(_: int) -> None:
                raise NonRetryableError("never") from ValueError("because")

            await counted(ctx, "refuse", refuse)

        @on("final-function", retries=5)
        async def _(ctx: Context) -> Any:
            raise NonRetryableError("not even once more")

        @on("retry-after", retries=3)
        async def _(ctx: Context) -> Any:
            await counted(ctx, "later", lambda before: fail(RetryAfterError(2, "busy")) if before == 0 else "now")
            return "done"

        @on("mended")
        async def _(ctx: Context) -> Any:
            key = ctx.event.data["key"]
            await counted(ctx, "before")
            return await counted(ctx, "broken", lambda _: "mended" if side.is_open(key) else fail(NonRetryableError("broken")))

        async def on_failure(ctx: Context) -> None:
            data = ctx.event.data
            cleaned, message = await counted(ctx, "clean up"), data["error"]["message"]
            side.leave(data["event"]["data"]["key"], {"message": message, "told": message, "run": data["run_id"], "cleaned": cleaned})

        @on("fails", retries=0, on_failure=on_failure)
        async def _(ctx: Context) -> Any:
            raise PaymentRefused("refused on purpose")

    def define_waits(self) -> None:
        on, counted, event = self.on, self.counted, self.event

        @on("wait")
        async def _(ctx: Context) -> Any:
            await counted(ctx, "before")
            answer = await step.wait_for_event("answer", event=event("answer"), timeout="1m", match="data.key")
            await counted(ctx, "after")
            return answer and {"name": answer.name, "data": answer.data}

        @on("wait-if")
        async def _(ctx: Context) -> Any:
            enough = "event.data.key == async.data.key && async.data.amount >= 100"
            answer = await step.wait_for_event("answer", event=event("answer"), timeout="1m", if_=enough)
            return {"amount": answer and answer.data["amount"]}

        @on("wait-timeout")
        async def _(ctx: Context) -> Any:
            return {"answer": await step.wait_for_event("answer", event=event("never"), timeout="300ms")}

        @on("wait-and-send")
        async def _(ctx: Context) -> Any:
            key = ctx.event.data["key"]
            wait = step.wait_for_event("answer", event=event("echo"), timeout="1m", match="data.key")
            answer, _ = await asyncio.gather(wait, step.send_event("ask", event("echo"), {"key": key}))
            return {"heard": answer and answer.data["key"]}

        @on("signal")
        async def _(ctx: Context) -> Any:
            got = await step.wait_for_signal("signal", signal=ctx.event.data["key"], timeout=ctx.event.data["timeout"])
            return {"got": got and got.data}

        @on("sleeper", cancel_on=CancelOn(event("stop"), match="data.key"))
        async def _(ctx: Context) -> Any:
            await counted(ctx, "before")
            await step.sleep("long", "1h")
            return await counted(ctx, "after")

    def define_invocations(self) -> None:
        on, counted = self.on, self.counted

        @on("child", retries=0)
        async def child(ctx: Context) -> Any:
            doubled = await counted(ctx, "double", lambda _: ctx.event.data["n"] * 2)
            if ctx.event.data.get("fail"):
                raise NonRetryableError("the child refused")
            return {"doubled": doubled}

        async def caught(work: Awaitable[Any]) -> Any:
            try:
                return {"value": await work}
            except StepError as error:
                return {"caught": error.message}

        @on("invoke")
        async def _(ctx: Context) -> Any:
            await counted(ctx, "before")
            result = await step.invoke("call", function=child, data={"n": ctx.event.data["n"]})
            await counted(ctx, "after")
            return result

        @on("invoke-parallel")
        async def _(ctx: Context) -> Any:
            results = await asyncio.gather(*(step.invoke(f"call {n}", function=child, data={"n": n}) for n in (1, 2, 3)))
            return [result["doubled"] for result in results]

        @on("invoke-failing", retries=0)
        async def _(ctx: Context) -> Any:
            return await caught(step.invoke("call", function=child, data={"n": 1, "fail": True}))

        @on("invoke-unknown", retries=0)
        async def _(ctx: Context) -> Any:
            return await caught(step.invoke("call", function=f"{self.app.app_id}-nobody", data={}))

    def define_others(self) -> None:
        on, counted, event = self.on, self.counted, self.event

        @on("send")
        async def _(ctx: Context) -> Any:
            await counted(ctx, "before")
            told = [{"name": event("told"), "data": {"key": ctx.event.data["key"], "n": n}} for n in (1, 2)]
            ids = await step.send_event("tell", told)
            await counted(ctx, "after")
            return {"ids": ids}

        @on("told")
        async def _(ctx: Context) -> Any:
            return ctx.event.data

        @on("batch", batch=Batch(3, "1m"))
        async def _(ctx: Context) -> Any:
            return {"first": ctx.event.data["n"], "all": sorted(each.data["n"] for each in ctx.events)}

        @on("fetch")
        async def _(ctx: Context) -> Any:
            response = await step.fetch("ask", ctx.event.data["url"], method="POST", body={"a": "ä"})
            asked = response.json()
            method, body, type = asked["method"], json.loads(asked["body"]), asked["headers"].get("content-type")
            return {"status": response.status, "answer": response.headers.get("x-answer"), "method": method, "body": body, "type": type}

        @on("ai")
        async def _(ctx: Context) -> Any:
            return {"content": (await step.ai("ask", provider="fake", model="small", prompt="2 + 2?"))["content"]}

    def define_order(self) -> None:
        on, counted, event = self.on, self.counted, self.event

        @on("make-receipt")
        async def receipt(ctx: Context) -> Any:
            return await counted(ctx, "number", lambda _: {"receipt": f"R-{ctx.event.data['id']}"})

        @on("pay")
        async def _(ctx: Context) -> Any:
            await step.send_event("received", event("payment"), {"id": ctx.event.data["id"], "amount": ctx.event.data["total"]})

        @on("order", retries=3)
        async def _(ctx: Context) -> Any:
            id, total = ctx.event.data["id"], ctx.event.data["total"]
            await counted(ctx, "validate")
            charge = await counted(ctx, "charge", lambda before: fail(ValueError("the bank did not answer")) if before == 0 else f"C-{id}")
            await step.sleep("cool off", "100ms")
            shelf, label = await asyncio.gather(counted(ctx, "reserve", lambda _: 7), counted(ctx, "print", lambda _: f"L-{id}"))
            payment, _ = await asyncio.gather(
                step.wait_for_event("payment", event=event("payment"), timeout="1m", match="data.id"),
                step.send_event("invoice", event("pay"), {"id": id, "total": total}),
            )
            paper = await step.invoke("receipt", function=receipt, data={"id": id})
            gift = "given"
            try:
                await counted(ctx, "gift", lambda _: fail(NonRetryableError("out of gifts")))
            except StepError:
                gift = await counted(ctx, "voucher")
            paid = payment and payment.data["amount"]
            return {"charge": charge, "shelf": shelf, "label": label, "paid": paid, "receipt": paper["receipt"], "gift": gift}

    def define_own(self) -> None:
        on, counted = self.on, self.counted

        @on("sql", retries=0)
        async def _(ctx: Context) -> Any:
            insert = "insert into orders (id, total) values ($1, $2) returning id, total::float8"
            rows = await step.sql("insert", insert, [ctx.event.data["key"], 42.5])
            try:
                await step.sql("again", insert, [ctx.event.data["key"], 1])
            except StepError as error:
                return {"rows": list(rows), "refused": error.message}
            return {"rows": list(rows)}

        @on("approve")
        async def _(ctx: Context) -> Any:
            form = {"type": "object", "required": ["carrier"]}
            decision = await step.approve("ask", f"Ship {ctx.event.data['key']}?", form=form, timeout=ctx.event.data["timeout"])
            return {"approved": decision.approved, "data": decision.data, "by": decision.by, "reason": decision.reason}

        @on("lock")
        async def _(ctx: Context) -> Any:
            await step.lock("lock", ctx.event.data["key"])
            await counted(ctx, "alone")
            await step.unlock("unlock", ctx.event.data["key"])
            return "done"

        @on("groups")
        async def _(ctx: Context) -> Any:
            async def chain() -> List[str]:
                return [await counted(ctx, "b1"), await counted(ctx, "b2")]

            return await step.parallel(counted(ctx, "a"), chain(), step.sleep("c", "50ms"))
