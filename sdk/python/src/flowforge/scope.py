"""Which call of a function the code at hand belongs to: context variables, so that calls side by side never mix."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Optional


class Branch:
    """One of the ways of a race or of parallel steps: when the last of its steps finished, by the order of the run."""

    def __init__(self, race: bool) -> None:
        self.race = race
        self.finished = -1
        self.interrupted = False


current: ContextVar[Optional[Any]] = ContextVar("flowforge_call", default=None)
"""The interpreter of the call, or None outside of functions."""
branch: ContextVar[Optional[Branch]] = ContextVar("flowforge_branch", default=None)
"""The innermost branch, or None."""
running_step: ContextVar[Optional[str]] = ContextVar("flowforge_step", default=None)
"""The id of the step whose handler this is, or None."""
