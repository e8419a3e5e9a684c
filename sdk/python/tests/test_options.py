"""The options of functions: what is registered for them, what is refused, and what they do on a running server."""

from __future__ import annotations

import collections
import dataclasses
import re
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from servers import FlowForgeServer, ended, until

import flowforge
from flowforge import (
    Batch,
    CancelOn,
    Concurrency,
    ConfigurationError,
    Context,
    Debounce,
    FlowForge,
    InvalidError,
    Priority,
    RateLimit,
    Retries,
    Singleton,
    StepTimeout,
    SyncContext,
    Throttle,
    Timeouts,
    Trigger,
    step,
)
from flowforge.options import Options

# --- what is registered ---


def config(**options: Any) -> Dict[str, Any]:
    app = FlowForge("shop", "http://127.0.0.1:9")
    return app.function(id="f", **options)(lambda ctx: None).registration("http://x/api")


def test_every_option_is_registered() -> None:
    trigger = FlowForge("x", "http://127.0.0.1:9").trigger
    told = config(
        name="All",
        trigger=[
            trigger.event("order/*", if_="event.data.total > 0"),
            trigger.cron("TZ=Europe/Paris 0 9 * * 1", jitter="30s", catch_up="all", catch_up_window=timedelta(hours=6)),
        ],
        retries=Retries(2, backoff="linear", base="500ms", cap=60, jitter=0.5),
        concurrency=[Concurrency(2, "event.data.c", "fn"), Concurrency(10, scope="account")],
        rate=RateLimit(60, "1m", "event.data.c"),
        throttle=Throttle(10, 60, burst=2),
        debounce=Debounce("2s", "event.data.c", "1m"),
        priority=Priority("event.data.vip ? 120 : 0"),
        singleton=Singleton("cancel", "event.data.c"),
        idempotency="event.data.id",
        timeouts=Timeouts("10m", "1.5h", 30),
        cancel_on=[CancelOn("order/cancelled", match="id", timeout="1d"), "order/gone"],
    )
    url = told.pop("steps")["step"]
    assert url["runtime"]["url"] == "http://x/api?fnId=shop-f&stepId=step" and url["retries"] == {
        "attempts": 2,
        "backoff": "linear",
        "base": "500ms",
        "cap": "60s",
        "jitter": 0.5,
    }
    assert told == {
        "id": "shop-f",
        "name": "All",
        "triggers": [
            {"event": "order/*", "expression": "event.data.total > 0"},
            {"cron": "TZ=Europe/Paris 0 9 * * 1", "jitter": "30s", "catchUp": "all", "catchUpWindow": "21600s"},
        ],
        "concurrency": [{"limit": 2, "key": "event.data.c", "scope": "fn"}, {"limit": 10, "scope": "account"}],
        "rateLimit": {"limit": 60, "period": "1m", "key": "event.data.c"},
        "throttle": {"limit": 10, "period": "60s", "burst": 2},
        "debounce": {"period": "2s", "key": "event.data.c", "timeout": "1m"},
        "priority": {"run": "event.data.vip ? 120 : 0"},
        "singleton": {"mode": "cancel", "key": "event.data.c"},
        "idempotency": "event.data.id",
        "timeouts": {"start": "10m", "finish": "5400s", "step": "30s"},
        "cancel": [
            {"event": "order/cancelled", "if": "event.data.id == async.data.id", "timeout": "1d"},
            {"event": "order/gone"},
        ],
    }
    batch = config(batch=Batch(10, "5s", "event.data.k", "event.data.x"))["batchEvents"]
    assert batch == {"maxSize": 10, "timeout": "5s", "key": "event.data.k", "if": "event.data.x"}


def test_shorthand_is_registered_as_what_it_means() -> None:
    told = config(concurrency=5, rate="60/min", throttle="10s", debounce="2s", singleton="skip", priority=120)
    assert (told["concurrency"], told["rateLimit"], told["throttle"], told["debounce"]) == (5, "60/min", "10s", "2s")
    assert (told["singleton"], told["priority"]) == ({"mode": "skip"}, {"run": "120"})
    assert config(retries=Retries(backoff=["1s", 2, timedelta(minutes=1)]))["steps"]["step"]["retries"] == {"backoff": ["1s", "2s", "60s"]}
    assert "retries" not in config()["steps"]["step"]


def test_a_failure_handler_is_a_function_of_its_own() -> None:
    app = FlowForge("shop", "http://127.0.0.1:9")
    app.function(id="f", on_failure=lambda ctx: None)(lambda ctx: None)
    names = {each["id"]: each for each in app.registration("http://x", "test")["functions"]}
    assert names["shop-f-failure"]["triggers"] == [{"event": "inngest/function.failed", "expression": "event.data.function_id == 'shop-f'"}]


WRONG: List[Tuple[Dict[str, Any], str]] = [
    ({"retries": 21}, "retries must be a whole number from 0 to 20; it is 21"),
    ({"retries": 2.5}, "retries must be a whole number"),
    ({"retries": Retries(-1)}, "retries.attempts must be a whole number from 0 to 20"),
    ({"retries": Retries(backoff="often")}, 'retries.backoff must be "fixed" or "linear" or "exponential"'),
    ({"retries": Retries(backoff=[])}, "retries.backoff has 0 delays"),
    ({"retries": Retries(backoff=["1s", "soon"])}, r"retries.backoff\[1\] must be like"),
    ({"retries": Retries(jitter=2)}, "retries.jitter must be a number from 0 to 1"),
    ({"retries": Retries(base="-1s")}, "retries.base must be like"),
    ({"concurrency": -1}, "concurrency must be a whole number"),
    ({"concurrency": "five"}, "concurrency must be a number of steps, a Concurrency, or two"),
    ({"concurrency": Concurrency(1, scope="world")}, 'concurrency.scope must be "fn" or "env" or "account"'),
    ({"concurrency": [Concurrency(1)] * 3}, "concurrency has 3 limits"),
    ({"rate": "often"}, 'rate must be like "60/min"'),
    ({"rate": "1/week"}, 'rate must be like "60/min"'),
    ({"rate": RateLimit(0, "1m")}, "rate.limit must be a whole number from 1"),
    ({"rate": RateLimit(1, "2d")}, "rate.period must be from 1s to 24h"),
    ({"throttle": "0/1m"}, 'throttle must be like "60/min"'),
    ({"throttle": 10}, "throttle must be a Throttle"),
    ({"throttle": Throttle(1, 60, burst=-1)}, "throttle.burst must be a whole number"),
    ({"debounce": "soon"}, "debounce must be like"),
    ({"debounce": -1}, "debounce must be a positive number"),
    ({"debounce": Debounce("1m", timeout="1s")}, "debounce.timeout must be from 1m to 31d"),
    ({"batch": Batch(0)}, "batch.max_size must be a whole number from 1 to 1000"),
    ({"batch": Batch(5, "1h")}, "batch.timeout must be from 1s to 10m"),
    ({"batch": Batch(5), "debounce": "2s"}, "batch cannot be combined with debounce"),
    ({"priority": 601}, "priority must be a whole number from -600 to 600"),
    ({"priority": " "}, "priority must be a text that is not empty"),
    ({"singleton": "both"}, 'singleton must be "skip" or "cancel"'),
    ({"singleton": Singleton("skip", key="")}, "singleton.key must be a text"),
    ({"idempotency": 7}, "idempotency must be a text"),
    ({"timeouts": Timeouts(start="never")}, "timeouts.start must be like"),
    ({"timeouts": Timeouts(step="2026-01-01T00:00:00Z")}, "timeouts.step must be like"),
    ({"timeouts": {"start": "1s"}}, "timeouts must be a Timeouts"),
    ({"cancel_on": CancelOn("x", match="a", if_="true")}, "cancel_on has match and if_"),
    ({"cancel_on": "a*b"}, "cancel_on.event must be the name of an event"),
    ({"cancel_on": ["x"] * 6}, "cancel_on has 6 events"),
    ({"cancel_on": CancelOn("x", timeout="soon")}, "cancel_on.timeout must be like"),
    ({"trigger": "order/created"}, r"trigger must be flowforge.trigger.event\(...\)"),
    ({"trigger": [Trigger(event="x")] * 11}, "trigger has 11 elements"),
    ({"trigger": Trigger()}, "either an event or a cron schedule"),
    ({"name": ""}, "name must be a text"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[f"{next(iter(options))}-{n}" for n, (options, _) in enumerate(WRONG)])
def test_an_option_that_makes_no_sense_is_refused_by_its_name_when_it_is_written(options: Dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f'function "f": .*{words}'):
        config(**options)


def test_a_trigger_that_makes_no_sense_is_refused_when_it_is_written() -> None:
    trigger = FlowForge("shop", "http://127.0.0.1:9").trigger
    for wrong, words in (
        (lambda: trigger.event(""), "the event of a trigger must be the name of an event"),
        (lambda: trigger.event("order*"), "the event of a trigger must be"),
        (lambda: trigger.event("x", if_=""), "if_ of a trigger must be a text"),
        (lambda: trigger.cron(""), "the schedule of a trigger must be a text"),
        (lambda: trigger.cron("@daily", jitter="2d"), "jitter must be from 0s to 1d"),
        (lambda: trigger.cron("@daily", catch_up="some"), 'catch_up must be "skip" or "last" or "all"'),
        (lambda: trigger.cron("@daily", catch_up_window="90d"), "catch_up_window must be from 0s to 31d"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            wrong()


def test_every_example_of_the_readme_is_an_option() -> None:
    trigger = FlowForge("shop", "http://127.0.0.1:9").trigger
    names = {**vars(flowforge), "trigger": trigger}
    table = (Path(__file__).parents[1] / "README.md").read_text().split("## Options of a function")[1].split("\n## ")[0]
    seen = []
    for option, examples in re.findall(r"^\| `(\w+)`.*? \| (.*) \|$", table, re.M):
        for example in re.findall(r"`((?:[\d\"A-Z]|trigger\.).*?)`", examples):
            config(**{option: eval(example, names)})
            seen.append(option)
    assert set(seen) == {field.name for field in dataclasses.fields(Options)} - {"name"}


def test_apps_and_settings_that_make_no_sense_are_refused() -> None:
    app = FlowForge("shop", "http://127.0.0.1:9")
    app.function(id="twice")(lambda ctx: None)
    for wrong in (
        lambda: app.function(id="twice")(lambda ctx: None),
        lambda: app.function(id="no spaces")(lambda ctx: None),
        lambda: FlowForge(""),
        lambda: FlowForge("x", "ftp://x"),
        lambda: FlowForge("x", signing_key="signkey-prod-xyz"),
        lambda: FlowForge("x", streaming="fast"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError):
            wrong()


# --- what the options do ---


class Live:
    """An app whose functions note what happens to them."""

    def __init__(self, server: FlowForgeServer) -> None:
        self.server = server
        self.app = server.app("opt")
        self.times: Dict[str, List[float]] = collections.defaultdict(list)
        self.calls: Dict[str, int] = collections.defaultdict(int)
        self.order: List[str] = []
        self.never = threading.Event()
        self.gate = threading.Event()
        self.at_once = self.most = 0
        self.lock = threading.Lock()

    def fails(self, ctx: Any, times: int, value: Any = None) -> Any:
        """A handler that fails so many times."""

        def handler() -> Any:
            self.times[ctx.run_id].append(time.monotonic())
            if len(self.times[ctx.run_id]) <= times:
                raise ValueError("not yet")
            return value

        return handler

    def pauses(self, run_id: str) -> List[float]:
        times = self.times[run_id]
        return [later - earlier for earlier, later in zip(times, times[1:])]


@pytest.fixture(scope="module")
def live(dev_server: FlowForgeServer) -> Iterator[Live]:
    live = Live(dev_server)
    retried(live)
    timed(live)
    limited(live)
    dev_server.serve(live.app)
    yield live
    live.never.set()


def retried(live: Live) -> None:
    app, event = live.app, live.app.trigger.event

    @app.function(id="listed", trigger=event("opt/listed"), retries=Retries(3, backoff=["400ms", "100ms"]))
    async def listed(ctx: Context) -> Any:
        return await step.run("flaky", live.fails(ctx, 3, "done"))

    @app.function(id="own", trigger=event("opt/own"), retries=0)
    async def own(ctx: Context) -> Any:
        return await step.run("flaky", live.fails(ctx, 2, "done"), retries=Retries(2, backoff="fixed", base="300ms"))

    @app.function(id="own-sync", trigger=event("opt/own-sync"), retries=0)
    def own_sync(ctx: SyncContext) -> Any:
        return ctx.step.run("flaky", live.fails(ctx, 1, "done"), retries=1)


def timed(live: Live) -> None:
    app, event = live.app, live.app.trigger.event
    patience = Retries(1, backoff="fixed", base="10ms")

    @app.function(id="late", trigger=event("opt/late"), retries=patience)
    async def late(ctx: Context) -> Any:
        import asyncio

        cancelled: List[bool] = []

        async def slow() -> None:
            live.calls[ctx.run_id] += 1
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        try:
            await step.run("slow", slow, timeout="200ms")
        except StepTimeout as error:
            return [error.name, error.message, cancelled, await step.run("after", lambda: "after", timeout="1m")]

    @app.function(id="late-sync", trigger=event("opt/late-sync"), retries=patience)
    def late_sync(ctx: SyncContext) -> Any:
        def slow() -> None:
            live.calls[ctx.run_id] += 1
            live.never.wait()

        try:
            ctx.step.run("slow", slow, timeout=0.2)
        except StepTimeout as error:
            return error.name

    @app.function(id="late-together", trigger=event("opt/late-together"), retries=patience)
    async def late_together(ctx: Context) -> Any:
        def slow() -> None:
            live.calls[ctx.run_id] += 1
            live.never.wait(5)

        async def caught() -> str:
            try:
                return await step.run("slow", slow, timeout="300ms")
            except StepTimeout as error:
                return error.name

        return await step.parallel(caught(), step.run("quick", lambda: "quick"))

    @app.function(id="late-steps", trigger=event("opt/late-steps"), retries=patience, timeouts=Timeouts(step="1s"))
    async def late_steps(ctx: Context) -> Any:
        live.calls[ctx.run_id] += 1
        quick = [await step.run(f"quick{n}", lambda n=n: n) for n in range(3)]
        try:
            await step.run("slow", lambda: live.never.wait(5))
        except StepTimeout as error:
            return [quick, error.name, await step.run("after", lambda: "after")]

    @app.function(id="endless", trigger=event("opt/endless"), timeouts=Timeouts(finish="500ms"))
    async def endless(ctx: Context) -> None:
        await step.sleep("long", "1h")


def limited(live: Live) -> None:
    app, event = live.app, live.app.trigger.event

    @app.function(id="one", trigger=event("opt/one"), concurrency=1)
    def one(ctx: SyncContext) -> int:
        with live.lock:
            live.at_once += 1
            live.most = max(live.most, live.at_once)
        time.sleep(0.05)
        with live.lock:
            live.at_once -= 1
        return live.most

    @app.function(id="keyed", trigger=event("opt/keyed"), concurrency=Concurrency(1, key="event.data.key"), priority="event.data.head")
    def keyed(ctx: SyncContext) -> None:
        live.order.append(ctx.event.data["name"])
        if ctx.event.data["name"] == "first":
            live.gate.wait()

    @app.function(id="rated", trigger=event("opt/rated"), rate="2/hour")
    async def rated(ctx: Context) -> None: ...

    @app.function(id="throttled", trigger=event("opt/throttled"), throttle="1h")
    async def throttled(ctx: Context) -> None: ...

    @app.function(id="debounced", trigger=event("opt/debounced"), debounce="1s")
    async def debounced(ctx: Context) -> Any:
        return ctx.event.data["n"]

    @app.function(id="batched", trigger=event("opt/batched"), batch=Batch(3, "10m"))
    async def batched(ctx: Context) -> Any:
        return [each.data["n"] for each in ctx.events]

    @app.function(id="single", trigger=event("opt/single"), singleton=Singleton("skip", key="event.data.key"))
    async def single(ctx: Context) -> None:
        await step.wait_for_event("end", event="opt/end", match="data.key")

    @app.function(id="latest", trigger=event("opt/latest"), singleton="cancel", cancel_on=CancelOn("opt/stop", match="data.key"))
    async def latest(ctx: Context) -> None:
        await step.sleep("long", "1h")

    @app.function(id="once", trigger=event("opt/once"), idempotency="event.data.id")
    async def once(ctx: Context) -> None: ...


def test_delays_between_attempts_are_those_of_the_list(live: Live) -> None:
    run = ended(live.app, "opt/listed")
    assert run.output == "done"
    pauses = live.pauses(run.ulid)
    assert len(pauses) == 3 and pauses[0] >= 0.4 and min(pauses[1:]) >= 0.1, pauses


def test_a_step_has_retries_of_its_own(live: Live) -> None:
    run = ended(live.app, "opt/own")
    assert run.output == "done"
    pauses = live.pauses(run.ulid)
    assert len(pauses) == 2 and min(pauses) >= 0.3, pauses
    run = ended(live.app, "opt/own-sync")
    assert (run.output, len(live.times[run.ulid])) == ("done", 2)


def test_a_step_that_takes_longer_than_its_timeout_is_tried_again_and_then_a_step_timeout(live: Live) -> None:
    run = ended(live.app, "opt/late")
    assert run.output == ["StepTimeout", 'step "slow" took longer than 200ms', [True], "after"]
    assert live.calls[run.ulid] == 2
    for event in ("opt/late-sync", "opt/late-together"):
        run = ended(live.app, event)
        assert run.output == ("StepTimeout" if event == "opt/late-sync" else ["StepTimeout", "quick"])
        assert live.calls[run.ulid] == 2


def test_timeouts_step_is_of_each_step_and_not_of_all_together(live: Live) -> None:
    run = ended(live.app, "opt/late-steps")
    assert run.output == [[0, 1, 2], "StepTimeout", "after"]
    assert live.calls[run.ulid] >= 11, "what comes next was asked for six times, and each step called for by itself"
    (slow,) = (each for each in live.app.runs.steps(run.id) if each["name"] == "slow")
    assert slow["status"] == "failed"


def test_timeouts_finish_ends_a_run(live: Live) -> None:
    run = ended(live.app, "opt/endless", status="cancelled")
    assert run.error is not None and "timeouts.finish" in run.error["message"]


def test_concurrency_is_never_exceeded(live: Live) -> None:
    runs = live.app.send_many([{"name": "opt/one"} for _ in range(6)]).runs
    assert [live.app.runs.wait(run).output for run in runs] == [1] * 6


def test_priority_gives_a_head_start_to_what_waits(live: Live) -> None:
    def start(name: str, head: int) -> str:
        return live.app.send("opt/keyed", {"key": "k", "name": name, "head": head}).runs[0]

    first = start("first", 0)
    until("the first has begun", lambda: live.order == ["first"])
    runs = [first, start("later", 0), start("sooner", 300)]
    live.gate.set()
    assert [live.app.runs.wait(run).status for run in runs] == ["completed"] * 3
    assert live.order == ["first", "sooner", "later"]


def test_rate_starts_so_many_runs_and_no_more(live: Live) -> None:
    assert [len(live.app.send("opt/rated").runs) for _ in range(4)] == [1, 1, 0, 0]


def test_throttle_makes_the_others_wait(live: Live) -> None:
    first, second = (live.app.send("opt/throttled").runs[0] for _ in range(2))
    assert live.app.runs.wait(first).status == "completed"
    assert live.app.runs.get(second).status == "pending"
    assert live.app.runs.cancel(second) == "cancelling"


def test_debounce_starts_one_run_with_the_last_event(live: Live) -> None:
    assert [live.app.send("opt/debounced", {"n": n}).runs for n in range(3)] == [[], [], []]
    (run,) = until("it has started", lambda: live.app.runs.list(function="opt-debounced"))
    assert live.app.runs.result(run.id) == 2


def test_a_batch_is_one_run_of_many_events(live: Live) -> None:
    sent = [live.app.send("opt/batched", {"n": n}).runs for n in range(3)]
    assert [len(runs) for runs in sent] == [0, 0, 1]
    assert live.app.runs.result(sent[2][0]) == [0, 1, 2]


def test_a_singleton_is_alone_with_its_key(live: Live) -> None:
    assert [len(live.app.send("opt/single", {"key": key}).runs) for key in "aab"] == [1, 0, 1]
    first, second = (live.app.send("opt/latest", {"key": "k"}).runs[0] for _ in range(2))
    assert live.app.runs.wait(first).status == "cancelled"
    until("it sleeps", lambda: any(each["status"] == "sleeping" for each in live.app.runs.steps(second)))
    live.app.send("opt/stop", {"key": "other"})
    live.app.send("opt/stop", {"key": "k"})
    assert live.app.runs.wait(second).status == "cancelled"


def test_idempotency_starts_one_run_a_value(live: Live) -> None:
    assert [len(live.app.send("opt/once", {"id": id}).runs) for id in (1, 1, 2)] == [1, 0, 1]


def test_a_schedule_runs_a_function_and_keeps_what_is_to_become_of_missed_times(live: Live) -> None:
    app = live.server.app("opt-cron")
    ticks: List[Any] = []
    every_second = app.trigger.cron("* * * * * *", catch_up="skip")
    nightly = app.trigger.cron("TZ=Europe/Paris 0 3 * * *", jitter="30s", catch_up="all", catch_up_window="6h")

    @app.function(id="timed", trigger=[every_second, nightly])
    def timed(ctx: SyncContext) -> None:
        ticks.append(ctx.event.data["cron"])

    url = live.server.serve(app)
    until("it has run", lambda: ticks)
    assert ticks[0] == "* * * * * *"
    kept = live.server.sql("select jitter, catch_up, catch_up_window from flowforge.schedule where cron like 'TZ=%'")
    assert kept == "00:00:30|all|06:00:00"
    app.functions.clear()
    app.register(url)
    assert live.server.sql("select count(*) from flowforge.schedule") == "0"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"concurrency": Concurrency(1, key="event.data.")}, r"concurrency\[0\].key"),
        ({"priority": "event.data.vip ?"}, "priority.run"),
        ({"cancel_on": CancelOn("x", if_="event.")}, r"cancel\[0\].if"),
        ({"trigger": Trigger(cron="every other tuesday")}, "every other tuesday"),
    ],
)
def test_an_expression_that_cannot_be_read_is_refused_when_it_is_registered(live: Live, options: Dict[str, Any], words: str) -> None:
    app = live.server.app("opt-bad")
    app.function(id="f", **options)(lambda ctx: None)
    with pytest.raises(InvalidError, match=words) as refused:
        app.register("http://127.0.0.1:9/api/flowforge")
    assert refused.value.status == 400 and "opt-bad-f" in refused.value.message
