"""One call of a function, as the server makes it, and what is answered."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional

from .errors import Interrupt, StepError, describe, is_final, retry_after
from .events import Event
from .plan import Operation, Operations, Plan, operation
from .signing import hash_step

COMPLETE = hash_step("complete")  # the function itself, where a step is named
ENTRY = "step"  # instead of a step's hash: a call of the function, not of one of its steps

Report = Callable[[Operations], str]
"""Tells the server of steps while the call goes on: "kept"; "stale" when the call is over; "failed" when it could not be told."""


@dataclass
class Call:
    """What the server asks for.

    Attributes:
        event, events: what started the run.
        steps: the memos by hash.
        order: the hashes of the steps in the order in which they finished.
        run_id: of the run, as a ULID.
        attempt, max_attempts: from 0; None when the server does not say how many there are.
        target: the hash of the one step that is to be run, or "step".
        plan_only: whether steps are to be planned, not run, because several run at once.
        report: tells the server of finished steps; None: the call ends with each.
        stand_in: what runs instead of a step's handler, by the step's id with its count, or None; for tests.
    """

    event: Event
    events: List[Event] = field(default_factory=list)
    steps: Dict[str, Any] = field(default_factory=dict)
    order: List[str] = field(default_factory=list)
    run_id: str = ""
    attempt: int = 0
    max_attempts: Optional[int] = None
    target: str = ENTRY
    plan_only: bool = False
    report: Optional[Report] = None
    stand_in: Optional[Callable[[str], Optional[Callable[..., Any]]]] = None


@dataclass
class Answer:
    """What we answer: operations (206), a result (200), or an error.

    Attributes: ops or None; output; error, the exception itself; retry_after in seconds; final, whether another attempt is no use.
    """

    ops: Optional[Operations] = None
    output: Any = None
    error: Optional[BaseException] = None
    retry_after: Optional[float] = None
    final: bool = False

    def last_ops(self) -> Operations:
        """The answer as operations, for where a status can no longer be told."""
        if self.ops is None and self.error is None:
            return [{"op": "RunComplete", "id": COMPLETE, "data": self.output}]
        ops = [dict(op) for op in self.ops or []]
        if self.ops is None and self.error is not None:
            kind = "StepFailed" if self.final else "StepError"
            ops = [{"op": kind, "id": COMPLETE, "name": "function", "displayName": "function", "opts": {}, "error": describe(self.error)}]
        if self.retry_after is not None:
            for op in ops:
                op["retry_after"] = retry_after_text(self.retry_after)
        return ops

    @classmethod
    def of_error(cls, error: BaseException) -> Answer:
        """What a function that raised answers."""
        return cls(error=error, final=is_final(error), retry_after=retry_after(error))


def retry_after_text(seconds: float) -> str:
    """Seconds as the wire has them: whole ones, not too many."""
    return str(min(9_999_999, math.ceil(seconds)))


class Memo:
    """A finished step: its data, its error, or other input for a step that is still to run."""

    def __init__(self, value: Any, plan: Plan) -> None:
        self.error: Optional[StepError] = None
        self.input: Optional[List[Any]] = None
        self.data: Any = value
        if not isinstance(value, dict) or len(value) != 1:
            return
        if "data" in value:
            self.data = value["data"]
        elif isinstance(value.get("error"), dict):
            self.error = StepError.of(value["error"], plan.id)
        elif isinstance(value.get("input"), list):
            self.input = value["input"]


class Wanted:
    """A step that a function has come to, in this call."""

    def __init__(self, plan: Plan, hash: str, index: int, race: bool) -> None:
        self.plan = plan
        self.hash = hash
        self.index = index
        self.race = race

    def operation(self, **more: Any) -> Operation:
        """As it is told to the server."""
        if self.plan.runs_here and not more:
            return operation(self.plan, self.hash, self.index, self.race, op="StepPlanned", data=None)
        return operation(self.plan, self.hash, self.index, self.race, **more)


def numbered(step_id: str, index: int) -> str:
    """A step's id with the count of its earlier uses: "s", "s:1", "s:2"."""
    return step_id if index == 0 else f"{step_id}:{index}"


class Progress:
    """What a call has come to: which ids were used, what is remembered, what ended it. Both interpreters stand on it."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.attempt = call.attempt
        self.memos = dict(call.steps)
        self.rank = {hash: place for place, hash in enumerate(call.order)}
        self.answer: Optional[Answer] = None
        self.inside = False
        self._used: Dict[str, int] = {}
        self._lock = threading.Lock()

    def want(self, plan: Plan, race: bool) -> Wanted:
        """Names the step: the n-th use of an id in a call is another step than the first."""
        with self._lock:
            index = self._used.get(plan.id, 0)
            self._used[plan.id] = index + 1
        if self.call.stand_in is not None and plan.runs_here:
            plan.handler = self.call.stand_in(numbered(plan.id, index)) or plan.handler
        return Wanted(plan, hash_step(plan.id, index), index, race)

    def memo(self, wanted: Wanted) -> Optional[Memo]:
        """What is remembered of the step. A memo that is null is one."""
        if wanted.hash not in self.memos:
            return None
        memo = Memo(self.memos[wanted.hash], wanted.plan)
        if memo.input is not None:
            wanted.plan.arguments = memo.input
            return None
        return memo

    @staticmethod
    def read(memo: Memo, plan: Plan) -> Any:
        """What the step gives: returns it, or raises its error."""
        if memo.error is not None:
            raise memo.error
        return plan.read(memo.data)

    def can_run(self) -> bool:
        """Whether a step may run in this call without having been planned."""
        return self.call.target == ENTRY and not self.call.plan_only

    # --- how a step that ran here ended ---

    def succeeded(self, wanted: Wanted, data: Any, timing: Dict[str, int]) -> None:
        """Tells the server; afterwards the step is remembered, or the call is over."""
        self._tell(wanted, {"data": data}, self._ended(wanted, data=data, timing=timing), None)

    def failed(self, wanted: Wanted, error: Exception, timing: Dict[str, int]) -> None:
        """The same, of a step that raised."""
        attempts = self.call.max_attempts if wanted.plan.attempts is None else wanted.plan.attempts + 1
        over = is_final(error) or (attempts is not None and self.attempt + 1 >= attempts)
        told = describe(error)
        op = self._ended(wanted, op="StepFailed" if over else "StepError", error=told, timing=timing)
        if over:
            self._tell(wanted, {"error": told}, op, error)
        else:
            self.end(Answer(ops=[op], error=error, retry_after=retry_after(error)))

    def _ended(self, wanted: Wanted, **more: Any) -> Operation:
        op = wanted.operation(**more)
        if self.call.target == ENTRY:  # the call in which it is tried again is one of many steps, and may take longer than this one
            op["opts"].pop("timeout", None)
        return op

    def _tell(self, wanted: Wanted, memo: Any, op: Operation, error: Optional[Exception]) -> None:
        report = self.call.report if self.call.target == ENTRY else None
        outcome = report([op]) if report else "failed"
        if outcome == "kept":
            self.attempt = 0
            self.rank[wanted.hash] = len(self.rank)
            self.memos[wanted.hash] = memo
        elif outcome == "stale":
            self.end(Answer(ops=[]))
        else:
            self.end(Answer(ops=[op], error=error, final=error is not None))

    def end(self, answer: Answer) -> None:
        """Ends the call with an answer; the first counts."""
        if self.answer is None:
            self.answer = answer

    def interrupt(self) -> Interrupt:
        """What is raised in the function when the call is over."""
        return Interrupt("the call is over; the server makes another when there is more to do")
