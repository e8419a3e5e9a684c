"""Runs a function to its end in memory: no server, no waiting.

    from flowforge.testing import run

    def test_a_paid_order_is_shipped():
        result = run(process_order, {"id": "o1"}, steps={"risk": {"content": "low"}}, events={"payment": {"order_id": "o1"}})
        assert result.status == "completed"
        assert result.output == {"order": "o1", "paid": True}

The function is called as the server calls it: again after each step that ends a call, with retries; parallel steps are planned and called
one by one.
Time is virtual: what sleeps or waits ends at once, and the clock says that the time has gone by.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from .call import ENTRY, Answer, Call, numbered
from .errors import FlowForgeError, StepError, describe
from .events import Decision, Event, NewEvent, event_json
from .function import Function
from .options import retries_json
from .plan import Operation
from .values import parse_duration, parse_instant, plain

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
YEAR = timedelta(days=366)
DEFAULT_RETRIES = 3
MAX_CALLS = 20_000
_MATCH = re.compile(r"event\.([\w.]+) == async\.\1")


class TestingError(FlowForgeError, AssertionError):
    """The test has not said what a step gives, or something that cannot be."""

    __test__ = False


@dataclass
class Result:
    """How a run ended.

    Attributes:
        status: "completed" or "failed".
        output: what the function returned.
        error: {name, message, …} when it failed.
        steps: what each finished step gave, by its id ("s", then "s:1" for its next use), in the order in which they finished; of one
            that failed the StepError.
        attempts: how often each step that ran here was tried.
        sent: the events that were sent, {name, data, …}.
        calls: how often the function was called.
        elapsed: the time that went by, a timedelta.
    """

    status: str = "running"
    output: Any = None
    error: Optional[Dict[str, Any]] = None
    steps: Dict[str, Any] = field(default_factory=dict)
    attempts: Dict[str, int] = field(default_factory=dict)
    sent: List[Dict[str, Any]] = field(default_factory=list)
    calls: int = 0
    elapsed: timedelta = timedelta(0)


@dataclass
class _Item:
    """A step that is not finished: when something happens to it, and what it is then, or that it has to be called."""

    id: str
    op: Operation
    due: datetime
    place: int
    memo: Any = None
    calls: bool = False
    attempt: int = 0


def run(function: Function, data: Any = None, **options: Any) -> Result:
    """Runs a function until it has ended.

    Args:
        function: what the decorator has made.
        data: of the event that starts it; or an `Event`, a dict with a name, or a list of them for a batch.
        steps: what steps give instead of what they would do, by id: a value; a function, called with the arguments of the step if it is
            one that runs here, and without if not; an exception, which the step then fails with for good. Steps that only the server can
            take (ai, fetch, sql, approve, agent, signals) must be here. A list of rows for sql, True or False for approve, a body for
            fetch.
        events: what waits are given, by step id or event name: the data of the event, an `Event`, or None. A wait that is not
            here times out.
        functions: that may be invoked.
        retries: the server's default, 3.
        now: when the run begins.

    Example: `run(greet, {"name": "ann"}).output`
    """
    outcome: List[Any] = []

    def work() -> None:
        try:
            outcome.append(asyncio.run(arun(function, data, **options)))
        except BaseException as error:
            outcome.append(error)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        work()
    else:  # within an event loop: in a thread with one of its own
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    result: Result = outcome[0]
    return result


async def arun(
    function: Function,
    data: Any = None,
    *,
    steps: Optional[Mapping[str, Any]] = None,
    events: Optional[Mapping[str, Any]] = None,
    functions: Sequence[Function] = (),
    retries: int = DEFAULT_RETRIES,
    now: datetime = START,
) -> Result:
    """`run`, awaited."""
    return await _Simulation(function, _events(data, now), steps or {}, events or {}, functions, retries, now).run()


def _events(data: Any, now: datetime) -> List[Dict[str, Any]]:
    many = data if isinstance(data, list) else [data]
    told = []
    for number, each in enumerate(many):
        if isinstance(each, (Event, NewEvent)):
            each = plain(each)
        elif not (isinstance(each, dict) and isinstance(each.get("name"), str) and "data" in each):
            each = {"name": "test/event", "data": {} if each is None else plain(each)}
        told.append({"id": f"event-{number}", "ts": round(now.timestamp() * 1000), "user": {}, **each})
    return told


class _Simulation:
    """The server, as far as one run needs it."""

    def __init__(
        self,
        function: Function,
        events: List[Dict[str, Any]],
        mocks: Mapping[str, Any],
        waits: Mapping[str, Any],
        functions: Sequence[Function],
        retries: int,
        now: datetime,
    ) -> None:
        self.function = function
        self.events = events
        self.mocks = mocks
        self.waits = waits
        self.functions = {each.slug: each for each in functions}
        self.retries = retries if function.options.attempts is None else function.options.attempts
        self.start = self.now = now
        self.result = Result()
        self.memos: Dict[str, Any] = {}
        self.order: List[str] = []
        self.pending: Dict[str, _Item] = {}
        self.known: Dict[str, str] = {}
        self.plan = False
        self.race = False
        self.placed = 0

    async def run(self) -> Result:
        attempt = 0
        while self.result.status == "running":
            answer = await self._call(ENTRY, attempt)
            attempt = await self._take(answer, attempt)
            while self.result.status == "running" and self.pending and not await self._next():
                pass
            if not self.pending:
                self.plan = self.race = False
        self.result.elapsed = self.now - self.start
        return self.result

    # --- calls ---

    async def _call(self, target: str, attempt: int) -> Answer:
        self.result.calls += 1
        if self.result.calls > MAX_CALLS:
            raise TestingError(f"the function was called {MAX_CALLS} times; does it ever end?")
        events = [Event.from_json(each) for each in plain(self.events)]
        call = Call(
            event=events[0],
            events=events,
            steps=plain(self.memos),
            order=list(self.order),
            run_id="01KDXZ00000000000000000000",
            attempt=attempt,
            max_attempts=self.retries + 1,
            target=target,
            plan_only=self.plan,
            report=None if self.plan or target != ENTRY else self._report,
            stand_in=self._stand_in,
        )
        if self.function.is_async:
            return await self.function.call_async(call)
        return await asyncio.to_thread(self.function.call_sync, call)

    def _report(self, ops: List[Operation]) -> str:
        for op in ops:
            self._note(op)
            self._finish(op, {"error": op["error"]} if "error" in op else {"data": op["data"]})
        return "kept"

    def _stand_in(self, step_id: str) -> Any:
        if step_id not in self.mocks:
            return None
        mock = self.mocks[step_id]
        if isinstance(mock, BaseException) or (isinstance(mock, type) and issubclass(mock, BaseException)):
            return lambda *_: _raise(mock)
        return mock if callable(mock) else (lambda *_: mock)

    # --- what comes of a call ---

    async def _take(self, answer: Answer, attempt: int) -> int:
        """Takes the answer to a call of the function; gives the attempt of the next one."""
        if answer.ops is None and answer.error is None:
            self.result.status, self.result.output = "completed", answer.output
        elif answer.ops is None:
            assert answer.error is not None
            if answer.final or attempt >= self.retries:
                self.result.status, self.result.error = "failed", describe(answer.error)
                return attempt
            self.now += self._pause(answer, attempt)
            return attempt + 1
        else:
            if len(answer.ops) > 1:
                self.plan = True
            for op in answer.ops:
                if op["op"] == "StepError":
                    self._note(op)
                    self.now += self._pause(answer, attempt, op)
                    return attempt + 1
                await self._begin(op)
        return 0

    def _pause(self, answer: Answer, attempt: int, op: Optional[Operation] = None) -> timedelta:
        """What the server waits before it tries again, nothing of it left to chance."""
        if answer.retry_after is not None:
            return timedelta(seconds=answer.retry_after)
        said = None if op is None else op["opts"].get("retries")
        own = said if isinstance(said, dict) and set(said) != {"attempts"} else retries_json(self.function.options.retries)
        return _backoff(own or {}, attempt)

    def _id(self, op: Operation) -> str:
        self.known[op["id"]] = numbered(op["userland"]["id"], op["userland"].get("index", 0))
        return self.known[op["id"]]

    def _note(self, op: Operation) -> None:
        step_id = self._id(op)
        self.result.attempts[step_id] = self.result.attempts.get(step_id, 0) + 1

    def _finish(self, op: Operation, memo: Any) -> None:
        if op["id"] in self.memos:
            return
        self.memos[op["id"]] = memo
        self.order.append(op["id"])
        error = memo.get("error") if isinstance(memo, dict) and len(memo) == 1 else None
        data = memo["data"] if isinstance(memo, dict) and set(memo) == {"data"} else memo
        self.result.steps[self._id(op)] = StepError.of(error, self._id(op)) if error else data

    async def _begin(self, op: Operation) -> None:
        if op["op"] in ("StepRun", "StepFailed"):
            self._note(op)
            self._finish(op, {"error": op["error"]} if "error" in op else {"data": op["data"]})
            return
        if op["op"] == "StepNotFound":
            raise TestingError(op["error"]["message"])
        if op["id"] in self.pending or op["id"] in self.memos:
            return
        self.race = self.race or op["opts"].get("parallelMode") == "race"
        self.placed += 1
        item = _Item(self._id(op), op, self.now, self.placed)
        self.pending[op["id"]] = item
        if op["op"] == "StepPlanned":
            item.calls = True
        else:
            item.memo, item.due = await self._served(op, item.id)

    async def _next(self) -> bool:
        """Lets the first thing happen that is due; gives whether the function is to be called."""
        item = min(self.pending.values(), key=lambda each: (each.due, each.place))
        self.now = max(self.now, item.due)
        if item.calls:
            answer = await self._call(item.op["id"], item.attempt)
            op = (answer.ops or [{}])[0]
            if op.get("op") == "StepError":
                self._note(op)
                item.due = self.now + self._pause(answer, item.attempt, op)
                item.attempt += 1
                return False
            if op.get("op") not in ("StepRun", "StepFailed"):
                raise TestingError(f'the function did not come to step "{item.id}" when it was called for it')
            await self._begin(op)
        else:
            self._finish(item.op, item.memo)
        del self.pending[item.op["id"]]
        return self.race or not self.pending

    # --- steps the server takes ---

    async def _served(self, op: Operation, step_id: str) -> Any:
        """The memo of a step that the server takes, and when it has it."""
        kind, opts = op["op"], op["opts"]
        if kind == "WaitForEvent":
            return self._awaited(op, step_id)
        if step_id in self.mocks:
            return await self._mocked(kind, self.mocks[step_id]), self.now
        if kind == "Sleep":
            return None, self._when(op["name"])
        if kind == "SendEvent":
            sent = [event_json(each) for each in opts["events"]]
            self.result.sent += sent
            return {"data": {"ids": [f"sent-{len(self.result.sent) - len(sent) + n}" for n in range(len(sent))]}}, self.now
        if kind == "InvokeFunction" and opts["function_id"] in self.functions:
            return await self._invoke(opts)
        if kind in ("Lock", "Unlock"):
            return {"data": {"key": opts["key"]}}, self.now
        raise TestingError(f'say what step "{step_id}" ({kind}) gives: run(..., steps={{"{step_id}": ...}})')

    def _when(self, text: str) -> datetime:
        duration = parse_duration(text)
        instant = parse_instant(text) if duration is None else self.now + duration
        assert instant is not None
        return instant

    def _awaited(self, op: Operation, step_id: str) -> Any:
        chosen = self.waits.get(step_id, self.waits.get(op["name"]))
        if chosen is None:
            timeout = op["opts"].get("timeout")
            return None, self._when(timeout) if timeout else self.now + YEAR
        if isinstance(chosen, (Event, NewEvent)):
            chosen = plain(chosen)
        elif not (isinstance(chosen, dict) and "data" in chosen and isinstance(chosen.get("name"), str)):
            chosen = {"name": op["name"], "data": plain(chosen)}
        event = {"id": f"event-{step_id}", "ts": round(self.now.timestamp() * 1000), "user": {}, **chosen}
        match = _MATCH.fullmatch(op["opts"].get("if", ""))
        if match and _at(self.events[0], match.group(1)) != _at(event, match.group(1)):
            raise TestingError(f'the event for step "{step_id}" has another {match.group(1)} than the one that started the run')
        return event, self.now

    async def _mocked(self, kind: str, mock: Any) -> Any:
        if isinstance(mock, type) and issubclass(mock, BaseException):
            mock = mock()
        if callable(mock):
            mock = mock()
        if inspect.isawaitable(mock):
            mock = await mock
        if isinstance(mock, BaseException):
            return {"error": describe(mock)}
        if kind == "Sleep":
            return None
        if kind == "WaitForSignal":
            return None if mock is None else {"data": {"signal": "", "data": plain(mock)}}
        if kind == "Approval":
            decision = mock if isinstance(mock, Decision) else Decision(**mock) if isinstance(mock, dict) else Decision(bool(mock))
            return {"data": plain(decision)}
        if kind == "Sql":
            return {"data": {"rows": plain(list(mock)), "count": len(mock)}}
        if kind == "SendEvent":
            return {"data": {"ids": list(mock)}}
        if kind == "Gateway":
            import json

            body = mock if isinstance(mock, str) else json.dumps(plain(mock))
            return {"data": {"url": "", "status_code": 200, "headers": {}, "body": body}}
        return {"data": plain(mock)}

    async def _invoke(self, opts: Dict[str, Any]) -> Any:
        child = self.functions[opts["function_id"]]
        data = _events({"name": "inngest/function.invoked", "data": opts["payload"]["data"]}, self.now)
        result = await _Simulation(child, data, self.mocks, self.waits, list(self.functions.values()), self.retries, self.now).run()
        self.result.sent += result.sent
        memo = {"data": result.output} if result.status == "completed" else {"error": result.error}
        return memo, self.now + result.elapsed


def _backoff(retries: Mapping[str, Any], attempt: int) -> timedelta:
    """The delay after an attempt (from 0), of a `Retries` as it is registered."""
    kind = retries.get("backoff", "exponential")
    if isinstance(kind, list):
        return min(_length(kind[min(attempt, len(kind) - 1)]), _length(retries.get("cap", "366d")))
    times: int = {"fixed": 1, "linear": attempt + 1}.get(kind, 2**attempt)
    return min(_length(retries.get("base", "1s")) * times, _length(retries.get("cap", "5m")))


def _length(text: str) -> timedelta:
    length = parse_duration(text)
    assert length is not None
    return length


def _at(event: Mapping[str, Any], path: str) -> Any:
    value: Any = event
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _raise(error: Union[BaseException, type]) -> None:
    from .errors import NonRetryableError

    raised = error() if isinstance(error, type) else error
    if isinstance(raised, (NonRetryableError, StepError)):
        raise raised
    told = describe(raised)
    raise StepError(told)


__all__ = ["Result", "TestingError", "arun", "run"]
