"""A function and its registration."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence

from .call import Answer, Call
from .context import Context, SyncContext
from .errors import ConfigurationError
from .interpret_async import AsyncInterpreter
from .interpret_sync import SyncInterpreter
from .options import Options, Trigger, retries_json
from .steps import Step, SyncStep

Handler = Callable[[Any], Any]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass
class Function:
    """A function of an app. Made by `FlowForge.function`; can be called like the function it was made of.

    Attributes: app_id, id; handler, the function itself; options; on_failure, the function for runs that fail, or None.
    """

    app_id: str
    id: str
    handler: Handler
    options: Options = field(default_factory=Options)
    on_failure: Optional[Function] = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not _ID.fullmatch(self.id):
            raise ConfigurationError(f"the id of a function is of letters, digits, -, _ and .; it is {self.id!r}")
        if not callable(self.handler):
            raise ConfigurationError(f'function "{self.id}" must be a function; it is {self.handler!r}')
        try:
            self._settings()
        except ConfigurationError as error:
            raise ConfigurationError(f'function "{self.id}": {error}') from None
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
        settings = self._settings()
        runtime = {"type": "http", "url": f"{url}?fnId={self.slug}&stepId=step"}
        settings["steps"]["step"].update(id="step", name="step", runtime=runtime)
        return {"id": self.slug, "name": self.options.name or self.id, **settings}

    def _settings(self) -> Dict[str, Any]:
        retries = retries_json(self.options.retries)
        return {**self.options.to_json(), "steps": {"step": {} if retries is None else {"retries": retries}}}

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
    options = Options(
        name=f"{function.options.name or function.id} (failure)",
        trigger=Trigger(event="inngest/function.failed", if_=f"event.data.function_id == '{function.slug}'"),
        retries=1,
    )
    return Function(function.app_id, f"{function.id}-failure", handler, options)


def with_failures(functions: Sequence[Function]) -> List[Function]:
    """The functions and those for their failures."""
    return [each for function in functions for each in (function, function.on_failure) if each is not None]
