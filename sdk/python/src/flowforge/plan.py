"""What a function can ask for as a step, in the protocol's words.

Each function here makes a `Plan`: the operation for the server, or a handler for us, and how the memo becomes what the step gives.
Nothing here knows how or when a plan is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, Collection, Dict, List, Optional, Sequence, Union

from . import limits
from .errors import ConfigurationError, StepUsageError
from .events import Decision, Event, NewEvent, Response, Rows, Signal, event_json
from .limits import given
from .options import RetriesOption, retries_json, same_at
from .values import Duration, Instant, duration_text, instant_text, parse_duration, plain

Timeout = Union[Duration, datetime, None]


def _same(value: Any) -> Any:
    return value


@dataclass
class Plan:
    """A step somebody wants.

    Attributes:
        id: as the function has it; repeats are told apart later.
        op: the protocol's word for it; StepRun is one we run ourselves.
        name: what people see, and for some operations what the server acts on.
        opts: for the server.
        handler, arguments: what a StepRun runs.
        read: from the data of the memo to what the step gives.
        attempts: after the first, instead of the function's.
        seconds: that the handler may take, or None.
    """

    id: str
    op: str
    name: str
    opts: Dict[str, Any] = field(default_factory=dict)
    handler: Optional[Callable[..., Any]] = None
    arguments: Sequence[Any] = ()
    read: Callable[[Any], Any] = _same
    attempts: Optional[int] = None
    seconds: Optional[float] = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or self.id == "":
            raise StepUsageError(f"a step needs an id, a text that is the same on every call; it is {self.id!r}")

    @property
    def runs_here(self) -> bool:
        """Whether we take the step, and not the server."""
        return self.op == "StepRun"


def _limit(id: str, timeout: Timeout) -> Optional[str]:
    return limits.when(timeout, f'the timeout of step "{id}"')


def _options(id: str, options: Dict[str, Any], known: Collection[str]) -> Dict[str, Any]:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigurationError(f'step "{id}" has no option {unknown[0]}; it may have {", ".join(sorted(known))}')
    told: Dict[str, Any] = plain(given(**options))
    return told


def run(
    id: str, handler: Callable[..., Any], arguments: Sequence[Any], retries: RetriesOption = None, timeout: Optional[Duration] = None
) -> Plan:
    """A handler, run here, once."""
    if not callable(handler):
        raise StepUsageError(
            f'step "{id}" needs a function to run; it is {type(handler).__name__}. Write step.run("{id}", f, x), not step.run("{id}", f(x))'
        )
    said = retries_json(retries, f'retries of step "{id}"')
    limit = limits.span(timeout, f'the timeout of step "{id}"', "1ms")
    length = None if limit is None else parse_duration(limit)
    return Plan(
        id,
        "StepRun",
        id,
        given(retries=said, timeout=limit),
        handler,
        arguments,
        attempts=None if said is None else said.get("attempts"),
        seconds=None if length is None else length.total_seconds(),
    )


def wrap(id: str, handler: Callable[..., Any], arguments: Sequence[Any]) -> Plan:
    """The same, its arguments shown to people, who can replay the run with others."""
    plan = run(id, handler, arguments)
    plan.opts = {"type": "step.ai.wrap", "input": plain(list(arguments))}
    return plan


def sleep(id: str, duration: Duration) -> Plan:
    """A time to wait."""
    return Plan(id, "Sleep", duration_text(duration, f'the duration of step "{id}"'))


def sleep_until(id: str, time: Instant) -> Plan:
    """A time to wait for."""
    return Plan(id, "Sleep", instant_text(time, f'the time of step "{id}"'))


def wait_for_event(id: str, event: str, match: Optional[str], if_: Optional[str], timeout: Timeout) -> Plan:
    """An event that is to come."""
    if match is not None and if_ is not None:
        raise ConfigurationError(f'step "{id}" has match and if_; use one of them')
    opts = given(timeout=_limit(id, timeout), if_=same_at(match) if match else if_)
    return Plan(id, "WaitForEvent", event, opts, read=lambda memo: None if memo is None else Event.from_json(memo))


def wait_for_signal(id: str, signal: str, timeout: Timeout, on_conflict: str) -> Plan:
    """A signal that is to come."""
    opts = given(signal=signal, timeout=_limit(id, timeout), conflict=on_conflict)
    return Plan(id, "WaitForSignal", signal, opts, read=lambda memo: None if memo is None else Signal(memo["signal"], memo.get("data")))


def invoke(id: str, slug: str, data: Any, timeout: Timeout) -> Plan:
    """A run of another function, and its result."""
    payload = {"data": {} if data is None else plain(data)}
    return Plan(id, "InvokeFunction", id, given(function_id=slug, payload=payload, timeout=_limit(id, timeout)))


def send_event(id: str, events: Union[str, NewEvent, Dict[str, Any], Sequence[Union[NewEvent, Dict[str, Any]]]], data: Any) -> Plan:
    """Events, recorded in the transaction that remembers the step."""
    many = [event_json(events, data)] if isinstance(events, (str, NewEvent, dict)) else [event_json(each) for each in events]
    return Plan(id, "SendEvent", id, {"events": many}, read=lambda memo: list(memo["ids"]))


def ai(id: str, model: str, options: Dict[str, Any], known: Collection[str]) -> Plan:
    """A question to a model."""
    return Plan(id, "Ai", id, {"model": model, **_options(id, options, known)})


def fetch(id: str, url: str, method: str, headers: Optional[Dict[str, str]], body: Any) -> Plan:
    """An HTTP request, made by the server."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, str):
        body = plain(body)
        if not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = "application/json"
    return Plan(
        id,
        "Gateway",
        id,
        given(url=url, method=method.upper(), headers=headers, body=body),
        read=lambda memo: Response(memo["url"], memo["status_code"], memo["headers"], memo["body"]),
    )


def _rows(memo: Any) -> Rows:
    rows = Rows(memo.get("rows") or [])
    rows.row_count = memo.get("count", len(rows))
    return rows


def sql(id: str, query: str, params: Sequence[Any], role: Optional[str], timeout: Optional[Duration]) -> Plan:
    """A statement, run by the server, exactly once."""
    return Plan(
        id,
        "Sql",
        id,
        given(query=query, params=plain(list(params)), role=role, timeout=limits.span(timeout, f'the timeout of step "{id}"')),
        read=_rows,
    )


def approve(id: str, prompt: str, approvers: Optional[Sequence[str]], form: Optional[Dict[str, Any]], timeout: Timeout) -> Plan:
    """A decision of a person."""
    people = None if approvers is None else list(approvers)
    opts = given(prompt=prompt, approvers=people, form=form, timeout=_limit(id, timeout))
    return Plan(
        id,
        "Approval",
        id,
        opts,
        read=lambda memo: Decision(bool(memo["approved"]), memo.get("data"), memo.get("by"), memo.get("reason"), memo.get("at")),
    )


def agent(id: str, task: str, options: Dict[str, Any], known: Collection[str]) -> Plan:
    """A loop of model and tools, run by the server."""
    return Plan(id, "Agent", id, {"task": task, **_options(id, options, known)})


def lock(id: str, key: str, timeout: Timeout) -> Plan:
    """The lock of a key."""
    return Plan(id, "Lock", id, given(key=key, timeout=_limit(id, timeout)), read=lambda memo: None)


def unlock(id: str, key: str) -> Plan:
    """The lock of a key, given back."""
    return Plan(id, "Unlock", id, {"key": key}, read=lambda memo: None)


def operation(plan: Plan, hash: str, index: int, race: bool, **more: Any) -> Dict[str, Any]:
    """The operation as an answer has it."""
    opts = dict(plan.opts)
    if race:
        opts["parallelMode"] = "race"
    userland: Dict[str, Any] = {"id": plan.id}
    if index:
        userland["index"] = index
    told: Dict[str, Any] = {"id": hash, "op": plan.op, "name": plan.name, "displayName": plan.id, "opts": opts, "userland": userland}
    told.update(more)
    return told


Operation = Dict[str, Any]
Operations = List[Operation]
