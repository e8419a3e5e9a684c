"""What can go wrong, as exceptions, and how an exception is told to the server and back.

Everything the SDK raises for people to catch is a `FlowForgeError`. What ends a call of a function is `Interrupt`, which is none of
them and no `Exception` either: `except Exception` around a step does not catch it.
"""

from __future__ import annotations

import traceback
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Optional, Union


class FlowForgeError(Exception):
    """The root of all errors of this package."""


class ConfigurationError(FlowForgeError):
    """A function, an option or an environment variable makes no sense."""


class SignatureError(FlowForgeError):
    """A request is not signed with our key, or too long ago."""


class NonRetryableError(FlowForgeError):
    """Raise it in a step or a function when another attempt is no use.

    Example: `raise NonRetryableError("there is no such customer")`.
    """


class RetryAfterError(FlowForgeError):
    """Raise it when the next attempt is to come after some time.

    Args:
        after: seconds, a timedelta, or the time itself as an aware datetime.
        message: why.

    Example: `raise RetryAfterError(30, "the bank is closed")`.
    """

    def __init__(self, after: Union[float, timedelta, datetime], message: str = "") -> None:
        if isinstance(after, datetime):
            after = after - datetime.now(timezone.utc)
        seconds = after.total_seconds() if isinstance(after, timedelta) else float(after)
        self.seconds = max(0.0, seconds)
        super().__init__(message or f"to be tried again in {self.seconds:g} s")


class StepError(FlowForgeError):
    """A step has failed for good. Catch it to go on without the step.

    Attributes:
        name: the class of the error as it was raised in the step.
        message: its message.
        step_id: the id the function gave the step.
        stack: where it was raised, as text, or None.
        data: the error as the server keeps it.
    """

    def __init__(self, error: Dict[str, Any], step_id: str = "") -> None:
        self.name = str(error.get("name") or "Error")
        self.message = str(error.get("message") or "the step failed and did not say why")
        self.step_id = step_id
        self.stack = error.get("stack") if isinstance(error.get("stack"), str) else None
        self.data = error
        super().__init__(self.message)

    @classmethod
    def of(cls, error: Dict[str, Any], step_id: str) -> StepError:
        """The exception for an error the server keeps."""
        timed_out = error.get("name") in ("InngestInvokeTimeoutError", "LockTimeout", "StepTimeout", "TimeoutError")
        return StepTimeout(error, step_id) if timed_out else cls(error, step_id)


class StepTimeout(StepError):
    """A step has failed because its time was over: an invoked function, a lock, a step with a time limit."""


class TimeLimitError(FlowForgeError):
    """A step has taken longer than its `timeout`. It is tried again, and raises StepTimeout when all attempts are over."""


class StepUsageError(NonRetryableError):
    """A step is used where it cannot be: within another step, outside of a function, or without an id."""


class ApiError(FlowForgeError):
    """The server has refused a request.

    Attributes:
        status: the HTTP status; 0 when there was no answer.
        code: the server's code, like "FF204", or None.
        detail, hint: what more it says, or None.
    """

    def __init__(
        self, status: int, message: str, code: Optional[str] = None, detail: Optional[str] = None, hint: Optional[str] = None
    ) -> None:
        self.status = status
        self.message = message
        self.code = code
        self.detail = detail
        self.hint = hint
        super().__init__(": ".join(part for part in (f"{code or status}", message, detail) if part))


class UnreachableError(ApiError):
    """The server could not be reached, or gave no answer."""


class AuthError(ApiError):
    """The server does not know the key (401), or the key may not do this (403)."""


class NotFoundError(ApiError):
    """There is no such thing (404)."""


class ConflictError(ApiError):
    """It has been done already, or is no longer possible (409, 412)."""


class InvalidError(ApiError):
    """The request makes no sense to the server (400, 413, 422)."""


class RunFailed(FlowForgeError):
    """`runs.result` was asked for the result of a run that failed or was cancelled.

    Attributes: run, the `Run`.
    """

    def __init__(self, run: Any) -> None:
        self.run = run
        error = run.error if isinstance(run.error, dict) else {}
        super().__init__(f"run {run.id} {run.status}: {error.get('message', run.error)}")


class Interrupt(BaseException):
    """Ends a call of a function, which the server makes again when there is more to do.

    Not an `Exception`, so that `except Exception` does not catch it. Code that catches it nevertheless (`except BaseException`, a bare
    `except`) must raise it again.
    """


def describe(error: BaseException) -> Dict[str, Any]:
    """The error as the protocol has it: {name, message, stack, cause?}. An error that came from a step stays what it is."""
    if isinstance(error, StepError):
        return error.data
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    told: Dict[str, Any] = {
        "name": "StepTimeout" if isinstance(error, TimeLimitError) else type(error).__name__,
        "message": str(error) or type(error).__name__,
        "stack": "".join(lines)[-20_000:],
        "__serialized": True,
    }
    cause = error.__cause__
    if cause is not None and cause is not error:
        told["cause"] = {"name": type(cause).__name__, "message": str(cause), "__serialized": True}
    return told


def is_final(error: BaseException) -> bool:
    """Whether another attempt is no use. A step that has failed for good fails again, being remembered."""
    return isinstance(error, (NonRetryableError, StepError, ConfigurationError))


def retry_after(error: BaseException) -> Optional[float]:
    """Seconds until the next attempt, if the error says so."""
    return error.seconds if isinstance(error, RetryAfterError) else None
