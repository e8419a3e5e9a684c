"""What a function is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

from .events import Event
from .steps import Step, SyncStep


@dataclass(frozen=True)
class _Given:
    event: Event
    events: List[Event]
    run_id: str
    function_id: str
    attempt: int
    max_attempts: Optional[int]


@dataclass(frozen=True)
class Context(_Given):
    """What an async function is given.

    Attributes:
        event: what started the run; of a batch the first.
        events: all events of a batch.
        run_id: the run's id, a ULID.
        function_id: the function's slug, "app-function".
        attempt: of this call, from 0.
        max_attempts: or None when the server does not say.
        step: the same as `flowforge.step`.
    """

    step: Step


@dataclass(frozen=True)
class SyncContext(_Given):
    """The same for a function that is not async."""

    step: SyncStep
