"""A function and its registration."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

from .call import Answer, Call
from .context import Context, SyncContext
from .errors import ConfigurationError
from .interpret_async import AsyncInterpreter
from .interpret_sync import SyncInterpreter
from .options import (
    Batch,
    CancelOption,
    ConcurrencyOption,
    DebounceOption,
    Priority,
    RateOption,
    Singleton,
    ThrottleOption,
    Timeouts,
    Trigger,
    cancel_json,
    concurrency_json,
    debounce_json,
    object_or_text,
)
from .steps import Step, SyncStep

Handler = Callable[[Any], Any]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass
class Options:
    """What the decorator was given; see `FlowForge.function`."""

    name: Optional[str] = None
    retries: Optional[int] = None
    concurrency: ConcurrencyOption = None
    rate: RateOption = None
    throttle: ThrottleOption = None
    debounce: DebounceOption = None
    batch: Optional[Batch] = None
    priority: Union[str, Priority, None] = None
    singleton: Union[str, Singleton, None] = None
    idempotency: Optional[str] = None
    timeouts: Optional[Timeouts] = None
    cancel_on: CancelOption = None

    def to_json(self) -> Dict[str, Any]:
        """The members of the registration."""
        priority = Priority(self.priority) if isinstance(self.priority, str) else self.priority
        singleton = Singleton(self.singleton) if isinstance(self.singleton, str) else self.singleton
        parts = {
            "concurrency": concurrency_json(self.concurrency),
            "rateLimit": object_or_text(self.rate),
            "throttle": object_or_text(self.throttle),
            "debounce": debounce_json(self.debounce),
            "batchEvents": None if self.batch is None else self.batch.to_json(),
            "priority": None if priority is None else priority.to_json(),
            "singleton": None if singleton is None else singleton.to_json(),
            "idempotency": self.idempotency,
            "timeouts": None if self.timeouts is None else self.timeouts.to_json(),
            "cancel": cancel_json(self.cancel_on),
        }
        return {key: value for key, value in parts.items() if value is not None}


@dataclass
class Function:
    """A function of an app. Made by `FlowForge.function`; can be called like the function it was made of.

    Attributes: app_id, id; handler, the function itself; triggers; options; on_failure, the function for runs that fail, or None.
    """

    app_id: str
    id: str
    handler: Handler
    triggers: Sequence[Trigger] = ()
    options: Options = field(default_factory=Options)
    on_failure: Optional[Function] = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ConfigurationError(f"the id of a function is of letters, digits, -, _ and .; it is {self.id!r}")
        if self.options.retries is not None and not 0 <= self.options.retries <= 20:
            raise ConfigurationError(f"retries of function {self.id} must be 0 to 20; it is {self.options.retries}")
        if len(self.triggers) > 10:
            raise ConfigurationError(f"function {self.id} has {len(self.triggers)} triggers; there can be ten")
        self.options.to_json()
        self.__doc__ = self.handler.__doc__

    def __call__(self, ctx: Any) -> Any:
        return self.handler(ctx)

    @property
    def slug(self) -> str:
        """How the server knows it: "app-function"."""
        return f"{self.app_id}-{self.id}"

    @property
    def is_async(self) -> bool:
        """Whether it is an async function."""
        return inspect.iscoroutinefunction(self.handler)

    def registration(self, url: str) -> Dict[str, Any]:
        """The function as it is registered, served at a URL."""
        runtime = {"type": "http", "url": f"{url}?fnId={self.slug}&stepId=step"}
        step: Dict[str, Any] = {"id": "step", "name": "step", "runtime": runtime}
        if self.options.retries is not None:
            step["retries"] = {"attempts": self.options.retries}
        return {
            "id": self.slug,
            "name": self.options.name or self.id,
            "triggers": [each.to_json() for each in self.triggers],
            "steps": {"step": step},
            **self.options.to_json(),
        }

    # --- calls ---

    async def call_async(self, call: Call) -> Answer:
        """Makes a call of an async function."""
        interpreter = AsyncInterpreter(call)
        context = Context(call.event, call.events, call.run_id, self.slug, call.attempt, call.max_attempts, Step(interpreter))
        return await interpreter.run(lambda: self.handler(context))

    def call_sync(self, call: Call) -> Answer:
        """Makes a call of a function that is not async."""
        interpreter = SyncInterpreter(call)
        context = SyncContext(call.event, call.events, call.run_id, self.slug, call.attempt, call.max_attempts, SyncStep(interpreter))
        return interpreter.run(lambda: self.handler(context))


def failure_of(function: Function, handler: Handler) -> Function:
    """The function that runs when a run of another has failed for good."""
    trigger = Trigger(event="inngest/function.failed", if_=f"event.data.function_id == '{function.slug}'")
    return Function(
        function.app_id,
        f"{function.id}-failure",
        handler,
        [trigger],
        Options(name=f"{function.options.name or function.id} (failure)", retries=1),
    )


def with_failures(functions: Sequence[Function]) -> List[Function]:
    """The functions and those for their failures."""
    return [each for function in functions for each in (function, function.on_failure) if each is not None]
