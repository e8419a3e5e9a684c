"""Runs the async handlers of functions.py in a framework without asyncio.

The package has two faces: `Step` and `Group` for async handlers, `StepSync` and `GroupSync` for the others. The functions under test
are written once, for the first; here the second gets their shape. Nothing on that side ever suspends, so a coroutine that is sent
None once has run to its end.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import inngest


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine that awaits nothing real, and gives what it returns."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise RuntimeError("a handler without asyncio waited for something")


class BlockingStep:
    """`StepSync` with the methods of `Step`."""

    def __init__(self, step: inngest.StepSync) -> None:
        self._step = step

    async def run(self, step_id: str, handler: Callable[[], Any]) -> Any:
        def body() -> Any:
            result = handler()
            return drive(result) if inspect.iscoroutine(result) else result

        return self._step.run(step_id, body)

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        call = getattr(self._step, method)

        async def wrapped(*args: Any, **options: Any) -> Any:
            return call(*args, **options)

        return wrapped


class BlockingGroup:
    """`GroupSync` with the methods of `Group`."""

    def __init__(self, group: Any) -> None:
        self._group = group

    async def parallel(self, callables: tuple[Callable[[], Any], ...], **options: Any) -> Any:
        return self._group.parallel(tuple((lambda c=c: drive(c())) for c in callables), **options)


def blocking(handler: Callable[[Any], Coroutine[Any, Any, Any]]) -> Callable[[inngest.ContextSync], Any]:
    """The handler for a framework without asyncio."""

    def run(ctx: inngest.ContextSync) -> Any:
        shape = SimpleNamespace(**{name: getattr(ctx, name) for name in ("attempt", "event", "events", "run_id")})
        shape.step = BlockingStep(ctx.step)
        shape.group = BlockingGroup(ctx.group)
        return drive(handler(shape))

    return run
