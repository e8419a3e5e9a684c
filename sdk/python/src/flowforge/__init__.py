"""Durable functions on FlowForge: write steps in Python, PostgreSQL keeps them.

from flowforge import Context, FlowForge, step

flowforge = FlowForge(app_id="shop")

@flowforge.function(id="greet", trigger=flowforge.trigger.event("shop/greet"))
async def greet(ctx: Context):
    name = await step.run("name", lambda: ctx.event.data["name"].title())
    await step.sleep("pause", "1s")
    return f"Hello, {name}!"

flowforge.work()
"""

from .app import FlowForge
from .client import Client, Page, Run, Sent
from .context import Context, SyncContext
from .errors import (
    ApiError,
    AuthError,
    ConfigurationError,
    ConflictError,
    FlowForgeError,
    Interrupt,
    InvalidError,
    NonRetryableError,
    NotFoundError,
    RetryAfterError,
    RunFailed,
    SignatureError,
    StepError,
    StepTimeout,
    StepUsageError,
    UnreachableError,
)
from .events import Decision, Event, NewEvent, Response, Rows, Signal
from .function import Function
from .options import Batch, CancelOn, Concurrency, Debounce, Priority, RateLimit, Retries, Singleton, Throttle, Timeouts, Trigger
from .settings import VERSION as __version__
from .steps import Step, SyncStep, step, sync_step

__all__ = [
    "ApiError",
    "AuthError",
    "Batch",
    "CancelOn",
    "Client",
    "Concurrency",
    "ConfigurationError",
    "ConflictError",
    "Context",
    "Debounce",
    "Decision",
    "Event",
    "FlowForge",
    "FlowForgeError",
    "Function",
    "Interrupt",
    "InvalidError",
    "NewEvent",
    "NonRetryableError",
    "NotFoundError",
    "Page",
    "Priority",
    "RateLimit",
    "Response",
    "Retries",
    "RetryAfterError",
    "Rows",
    "Run",
    "RunFailed",
    "Sent",
    "Signal",
    "SignatureError",
    "Singleton",
    "Step",
    "StepError",
    "StepTimeout",
    "StepUsageError",
    "SyncContext",
    "SyncStep",
    "Throttle",
    "Timeouts",
    "Trigger",
    "UnreachableError",
    "__version__",
    "step",
    "sync_step",
]
