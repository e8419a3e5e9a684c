"""Functions whose configuration is the point: every setting of the package, as it is registered."""

from __future__ import annotations

import datetime
import os
from typing import Any

import inngest

from functions import Definitions


def define_flow(define: Definitions) -> None:
    on, event = define.on, define.event
    minute = datetime.timedelta(minutes=1)

    nightly = os.environ.get("BAD_CRON", "TZ=Europe/Paris 30 3 * * 1-5")

    @on("nightly", inngest.TriggerCron(cron=nightly, jitter="10s"))
    async def _(ctx: Any) -> Any:
        return "every night"

    @on("batched", batch_events=inngest.Batch(max_size=3, timeout=minute, key="event.data.customer", if_exp="event.data.n > 0"))
    async def _(ctx: Any) -> Any:
        return len(ctx.events)

    @on(
        "controlled",
        concurrency=[inngest.Concurrency(limit=2, key="event.data.customer", scope="fn"), inngest.Concurrency(limit=10, scope="account")],
        debounce=inngest.Debounce(period=1000, key="event.data.customer", timeout=minute),
        priority=inngest.Priority(run="event.data.vip ? 120 : 0"),
        rate_limit=inngest.RateLimit(limit=100, period=minute, key="event.data.customer"),
        throttle=inngest.Throttle(limit=100, period=minute, burst=10, key="event.data.customer"),
        timeouts=inngest.Timeouts(start=minute, finish=datetime.timedelta(hours=1)),
        singleton=inngest.Singleton(mode="skip", key="event.data.customer"),
        idempotency="event.data.id",
        name="All the controls",
    )
    async def _(ctx: Any) -> Any:
        return "controlled"

    same = "event.data.id == async.data.id"

    @on("cancellable", cancel=[inngest.Cancel(event=event("cancelled"), if_exp=same, timeout=datetime.timedelta(days=1))])
    async def _(ctx: Any) -> Any:
        await ctx.step.sleep("long", 60_000)
        return "not cancelled"
