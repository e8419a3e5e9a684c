"""The steps a function can take: `step` for async functions, `sync_step` for others, and the same as `ctx.step`.

A step's id is a text that is the same on every call of the function for a run. The result of a step is kept by the server: later
calls are given it and do not run the step again. An id used again in a run, as in a loop, is another step each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, List, Optional, Sequence, TypedDict, TypeVar, Union, cast, overload

from . import plan, scope
from .errors import StepUsageError
from .events import Decision, Event, NewEvent, Response, Rows, Signal
from .interpret_async import AsyncBranch, AsyncInterpreter
from .interpret_sync import SyncInterpreter
from .options import RetriesOption
from .plan import Timeout
from .values import Duration, Instant

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .function import Function

T = TypeVar("T")
Target = Union[str, "Function"]
Events = Union[str, NewEvent, Dict[str, Any], Sequence[Union[NewEvent, Dict[str, Any]]]]


def _slug(function: Target) -> str:
    return function if isinstance(function, str) else function.slug


class AiOptions(TypedDict, total=False):
    """What `step.ai` may say beside the model: `prompt`, or `messages`, is what is asked; `num_retries` how often it is asked again."""

    prompt: str
    messages: List[Dict[str, Any]]
    system: str
    tools: List[Dict[str, Any]]
    tool_choice: Any
    max_tokens: int
    temperature: float
    stop: Union[str, List[str]]
    response_format: Any
    provider: str
    stream: bool
    num_retries: int


class AgentOptions(TypedDict, total=False):
    """What `step.agent` may say beside the task."""

    agent: str
    model: str
    system: str
    tools: List[Any]
    max_iterations: int
    max_tool_calls: int


class AiStep:
    """`step.ai(...)` asks a model; `step.ai.wrap(...)` runs your own call of one."""

    def __init__(self, taker: AsyncInterpreter) -> None:
        self._taker = taker

    async def __call__(self, id: str, *, model: str, **options: Unpack[AiOptions]) -> Dict[str, Any]:
        """Asks a model; the server calls its provider with the key it keeps, and records tokens and cost.

        Gives {content, finish_reason, model, provider, tool_calls, usage, parsed?}. Raises StepError when the provider refuses.
        See `AiOptions`.

        Example: `(await step.ai("risk", model="gpt-4o", prompt="Is this order a fraud?"))["content"]`
        """
        return cast(Dict[str, Any], await self._taker.take(plan.ai(id, model, dict(options), AiOptions.__annotations__)))

    @overload
    async def wrap(self, id: str, handler: Callable[..., Awaitable[T]], *arguments: Any) -> T: ...

    @overload
    async def wrap(self, id: str, handler: Callable[..., T], *arguments: Any) -> T: ...

    async def wrap(self, id: str, handler: Callable[..., Any], *arguments: Any) -> Any:
        """Runs your own call of a model as a step. Its arguments are kept with it, and a run can be replayed with others.

        Example: `await step.ai.wrap("draft", client.complete, "Write a poem")`
        """
        return await self._taker.take(plan.wrap(id, handler, arguments))


class Step:
    """The steps of an async function. All are awaited; several at once in `asyncio.gather` or `step.parallel` run side by side."""

    def __init__(self, taker: AsyncInterpreter) -> None:
        self._taker = taker
        self.ai = AiStep(taker)

    @overload
    async def run(
        self,
        id: str,
        handler: Callable[..., Awaitable[T]],
        *arguments: Any,
        retries: RetriesOption = None,
        timeout: Optional[Duration] = None,
    ) -> T: ...

    @overload
    async def run(
        self, id: str, handler: Callable[..., T], *arguments: Any, retries: RetriesOption = None, timeout: Optional[Duration] = None
    ) -> T: ...

    async def run(
        self, id: str, handler: Callable[..., Any], *arguments: Any, retries: RetriesOption = None, timeout: Optional[Duration] = None
    ) -> Any:
        """Runs `handler(*arguments)` once and gives its result, as JSON; None is a result like any other.

        The handler may be async; one that is not runs in a thread. What it raises is tried again, as `retries` (a number or a
        `Retries`) says, or else the function; then the step raises StepError. An attempt that takes longer than `timeout` counts as
        failed, the last one as StepTimeout: what is async is cancelled, and a thread, which nothing can stop, left alone.

        Example: `order = await step.run("validate", validate_order, ctx.event.data, timeout="10s")`
        """
        return await self._taker.take(plan.run(id, handler, arguments, retries, timeout))

    async def sleep(self, id: str, duration: Duration) -> None:
        """Sleeps: "30s", "1h30m", seconds, or a timedelta; at most 366 days. Nothing runs meanwhile.

        Example: `await step.sleep("cool-off", "30s")`
        """
        await self._taker.take(plan.sleep(id, duration))

    async def sleep_until(self, id: str, time: Instant) -> None:
        """Sleeps until a time: an aware datetime, or an ISO 8601 text.

        Example: `await step.sleep_until("morning", "2026-01-31T08:00:00Z")`
        """
        await self._taker.take(plan.sleep_until(id, time))

    async def wait_for_event(
        self, id: str, *, event: str, match: Optional[str] = None, if_: Optional[str] = None, timeout: Timeout = None
    ) -> Optional[Event]:
        """Waits for an event; None when none has come in time (a year, if no timeout is given).

        `match` is a path that must be the same in the event that started the run; `if_` an expression over `event` and `async`, the one
        that comes.

        Example: `paid = await step.wait_for_event("payment", event="payment/received", match="data.order_id", timeout="24h")`
        """
        return cast(Optional[Event], await self._taker.take(plan.wait_for_event(id, event, match, if_, timeout)))

    async def wait_for_signal(self, id: str, *, signal: str, timeout: Timeout = None, on_conflict: str = "fail") -> Optional[Signal]:
        """Waits for a signal by its name, which one run at a time may wait for; None when it has not come in time.

        `on_conflict`: "fail" fails if another run waits for it, "replace" takes its place.

        Example: `signal = await step.wait_for_signal("go", signal="order-o1", timeout="1h")`
        """
        return cast(Optional[Signal], await self._taker.take(plan.wait_for_signal(id, signal, timeout, on_conflict)))

    async def invoke(self, id: str, *, function: Target, data: Any = None, timeout: Timeout = None) -> Any:
        """Runs another function and gives its result. `function` is one of yours, or a slug like "app-function".

        Raises StepError when it fails, StepTimeout when it takes too long.

        Example: `await step.invoke("charge", function=charge, data={"amount": 42})`
        """
        return await self._taker.take(plan.invoke(id, _slug(function), data, timeout))

    async def send_event(self, id: str, events: Events, data: Any = None) -> List[str]:
        """Sends an event or several, exactly once, and gives their ids.

        Example: `await step.send_event("tell", "order/shipped", {"id": "o1"})`
        """
        return cast(List[str], await self._taker.take(plan.send_event(id, events, data)))

    async def fetch(
        self, id: str, url: str, *, method: str = "GET", headers: Optional[Dict[str, str]] = None, body: Any = None
    ) -> Response:
        """Has the server make an HTTP request; a body that is not a text is sent as JSON. Raises StepError when nobody answers.

        Example: `(await step.fetch("rates", "https://example.com/rates")).json()`
        """
        return cast(Response, await self._taker.take(plan.fetch(id, url, method, headers, body)))

    async def sql(
        self, id: str, query: str, params: Sequence[Any] = (), *, role: Optional[str] = None, timeout: Optional[Duration] = None
    ) -> Rows:
        """Runs one statement in the server's database, as the app's role, committed together with its result: exactly once.

        Example: `rows = await step.sql("ship", "update orders set state = $1 where id = $2 returning *", ["shipped", "o1"])`
        """
        return cast(Rows, await self._taker.take(plan.sql(id, query, params, role, timeout)))

    async def approve(
        self,
        id: str,
        prompt: str,
        *,
        approvers: Optional[Sequence[str]] = None,
        form: Optional[Dict[str, Any]] = None,
        timeout: Timeout = None,
    ) -> Decision:
        """Asks people for a decision and waits for it. `form` is a JSON Schema of what they are to give. No answer in time is a no.

        Example: `if await step.approve("refund", "Refund 42 €?", approvers=["ann"], timeout="2d"): ...`
        """
        return cast(Decision, await self._taker.take(plan.approve(id, prompt, approvers, form, timeout)))

    async def agent(self, id: str, task: str, **options: Unpack[AgentOptions]) -> Dict[str, Any]:
        """Has an agent do a task. Needs a server that knows the operation `Agent`; others fail the run and say that they do not."""
        return cast(Dict[str, Any], await self._taker.take(plan.agent(id, task, dict(options), AgentOptions.__annotations__)))

    async def lock(self, id: str, key: str, *, timeout: Timeout = None) -> None:
        """Waits for the lock of a key, which the run holds until it ends or unlocks. Raises StepError when the time is over.

        Example: `await step.lock("mine", "account-7")`
        """
        await self._taker.take(plan.lock(id, key, timeout))

    async def unlock(self, id: str, key: str) -> None:
        """Gives the lock of a key back."""
        await self._taker.take(plan.unlock(id, key))

    async def parallel(self, *branches: AsyncBranch) -> List[Any]:
        """Runs steps, or coroutines of several, side by side and gives their results in order. Raises what the first of them
        that fails raises.

        Example: `a, b = await step.parallel(step.run("a", f), step.run("b", g))`
        """
        return cast(List[Any], await self._taker.parallel(branches, False)) if branches else []

    async def race(self, *branches: AsyncBranch) -> Any:
        """Gives the result of whichever ends first; what the others do no longer counts. The winner is the same on every call.

        Example: `await step.race(step.sleep("late", "1h"), step.wait_for_event("paid", event="order/paid"))`
        """
        if not branches:
            raise StepUsageError("a race needs branches")
        return await self._taker.parallel(branches, True)


class SyncAiStep:
    """`step.ai(...)` asks a model; `step.ai.wrap(...)` runs your own call of one."""

    def __init__(self, taker: SyncInterpreter) -> None:
        self._taker = taker

    def __call__(self, id: str, *, model: str, **options: Unpack[AiOptions]) -> Dict[str, Any]:
        """As `AiStep.__call__`, without await."""
        return cast(Dict[str, Any], self._taker.take(plan.ai(id, model, dict(options), AiOptions.__annotations__)))

    def wrap(self, id: str, handler: Callable[..., T], *arguments: Any) -> T:
        """As `AiStep.wrap`, without await."""
        return cast(T, self._taker.take(plan.wrap(id, handler, arguments)))


class SyncStep:
    """The steps of a function that is not async: those of `Step`, without await. Branches are functions, as in
    `step.parallel(lambda: step.run("a", f), lambda: step.run("b", g))`.
    """

    def __init__(self, taker: SyncInterpreter) -> None:
        self._taker = taker
        self.ai = SyncAiStep(taker)

    def run(
        self, id: str, handler: Callable[..., T], *arguments: Any, retries: RetriesOption = None, timeout: Optional[Duration] = None
    ) -> T:
        """As `Step.run`; the handler runs in the thread at hand, or in one of its own if it has a timeout."""
        return cast(T, self._taker.take(plan.run(id, handler, arguments, retries, timeout)))

    def sleep(self, id: str, duration: Duration) -> None:
        """As `Step.sleep`."""
        self._taker.take(plan.sleep(id, duration))

    def sleep_until(self, id: str, time: Instant) -> None:
        """As `Step.sleep_until`."""
        self._taker.take(plan.sleep_until(id, time))

    def wait_for_event(
        self, id: str, *, event: str, match: Optional[str] = None, if_: Optional[str] = None, timeout: Timeout = None
    ) -> Optional[Event]:
        """As `Step.wait_for_event`."""
        return cast(Optional[Event], self._taker.take(plan.wait_for_event(id, event, match, if_, timeout)))

    def wait_for_signal(self, id: str, *, signal: str, timeout: Timeout = None, on_conflict: str = "fail") -> Optional[Signal]:
        """As `Step.wait_for_signal`."""
        return cast(Optional[Signal], self._taker.take(plan.wait_for_signal(id, signal, timeout, on_conflict)))

    def invoke(self, id: str, *, function: Target, data: Any = None, timeout: Timeout = None) -> Any:
        """As `Step.invoke`."""
        return self._taker.take(plan.invoke(id, _slug(function), data, timeout))

    def send_event(self, id: str, events: Events, data: Any = None) -> List[str]:
        """As `Step.send_event`."""
        return cast(List[str], self._taker.take(plan.send_event(id, events, data)))

    def fetch(self, id: str, url: str, *, method: str = "GET", headers: Optional[Dict[str, str]] = None, body: Any = None) -> Response:
        """As `Step.fetch`."""
        return cast(Response, self._taker.take(plan.fetch(id, url, method, headers, body)))

    def sql(
        self, id: str, query: str, params: Sequence[Any] = (), *, role: Optional[str] = None, timeout: Optional[Duration] = None
    ) -> Rows:
        """As `Step.sql`."""
        return cast(Rows, self._taker.take(plan.sql(id, query, params, role, timeout)))

    def approve(
        self,
        id: str,
        prompt: str,
        *,
        approvers: Optional[Sequence[str]] = None,
        form: Optional[Dict[str, Any]] = None,
        timeout: Timeout = None,
    ) -> Decision:
        """As `Step.approve`."""
        return cast(Decision, self._taker.take(plan.approve(id, prompt, approvers, form, timeout)))

    def agent(self, id: str, task: str, **options: Unpack[AgentOptions]) -> Dict[str, Any]:
        """As `Step.agent`."""
        return cast(Dict[str, Any], self._taker.take(plan.agent(id, task, dict(options), AgentOptions.__annotations__)))

    def lock(self, id: str, key: str, *, timeout: Timeout = None) -> None:
        """As `Step.lock`."""
        self._taker.take(plan.lock(id, key, timeout))

    def unlock(self, id: str, key: str) -> None:
        """As `Step.unlock`."""
        self._taker.take(plan.unlock(id, key))

    def parallel(self, *branches: Callable[[], Any]) -> List[Any]:
        """As `Step.parallel`; each branch is a function."""
        return cast(List[Any], self._taker.parallel(branches, False)) if branches else []

    def race(self, *branches: Callable[[], Any]) -> Any:
        """As `Step.race`; each branch is a function."""
        if not branches:
            raise StepUsageError("a race needs branches")
        return self._taker.parallel(branches, True)


class _Current:
    """The steps of the call that the code at hand belongs to."""

    def __getattr__(self, name: str) -> Any:
        interpreter = scope.current.get()
        if interpreter is None:
            raise StepUsageError(f"step.{name} is for code that a function of FlowForge runs; here none is running")
        steps = Step(interpreter) if isinstance(interpreter, AsyncInterpreter) else SyncStep(interpreter)
        return getattr(steps, name)


step = cast(Step, _Current())
"""The steps of the function that is running: a context variable, so that functions running side by side never mix."""
sync_step = cast(SyncStep, step)
"""The same, typed for functions that are not async."""
