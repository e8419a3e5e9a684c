"""How the SDK's types look to a type checker; mypy --strict reads this file, nobody runs it."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from flowforge import Concurrency, Context, Decision, Event, FlowForge, Function, Retries, Rows, SyncContext, Timeouts, step, sync_step

flowforge = FlowForge(app_id="typed")


def total(order: Dict[str, int], factor: int) -> int:
    return sum(order.values()) * factor


async def name(id: str) -> str:
    return id


@flowforge.function(id="async", trigger=flowforge.trigger.event("x"), concurrency=5, rate="60/min", throttle="10s", debounce="2s")
async def function(ctx: Context) -> Optional[str]:
    number: int = await step.run("total", total, {"a": 1}, 2)
    text: str = await ctx.step.run("name", name, "x", retries=2)
    event: Optional[Event] = await step.wait_for_event("event", event="y", timeout="1h")
    rows: Rows = await step.sql("rows", "select 1")
    decision: Decision = await step.approve("ok", "?")
    ids: List[str] = await step.send_event("tell", "x/y", {"n": number})
    limited: int = await step.run("total", total, {"a": 1}, 2, retries=Retries(2, backoff="fixed", base=1), timeout="10s")
    risk: Dict[str, Any] = await step.ai("risk", model="small", prompt="?", max_tokens=number + limited)
    await step.ai("risk", model="small", promt="?")  # type: ignore[call-arg]
    wrong: str = await step.run("total", total, {"a": 1}, 2)  # type: ignore[arg-type]
    await step.sleep("forever", object())  # type: ignore[arg-type]
    return text + wrong if risk and event and rows and decision.approved and ids else None


@flowforge.function(
    id="sync", concurrency=[Concurrency(1, key="event.data.x")], retries=Retries(3), timeouts=Timeouts(step="1m"), priority=60
)
def other(ctx: SyncContext) -> int:
    number: int = sync_step.run("total", total, {"a": 1}, 2)
    text: str = ctx.step.run("text", str.upper, "x")
    return number + len(text)


made: Function = other
slug: str = function.slug
run_id: str = flowforge.send("x", {}).runs[0]
