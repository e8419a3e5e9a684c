"""What a function can ask for as a step, in the protocol's words.

Each function here makes a `Plan`: the operation for the server, or a handler for us, and how the memo becomes what the step gives.
Nothing here knows how or when a plan is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

from .errors import ConfigurationError, StepUsageError
from .events import Decision, Event, NewEvent, Response, Rows, Signal, event_json
from .values import Duration, Instant, duration_text, instant_text, plain, when_text


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
        retries: of this step, instead of the function's.
    """

    id: str
    op: str
    name: str
    opts: Dict[str, Any] = field(default_factory=dict)
    handler: Optional[Callable[..., Any]] = None
    arguments: Sequence[Any] = ()
    read: Callable[[Any], Any] = _same
    retries: Optional[int] = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or self.id == "":
            raise StepUsageError(f"a step needs an id, a text that is the same on every call; it is {self.id!r}")

    @property
    def runs_here(self) -> bool:
        """Whether we take the step, and not the server."""
        return self.op == "StepRun"


def _given(**options: Any) -> Dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def run(id: str, handler: Callable[..., Any], arguments: Sequence[Any], retries: Optional[int]) -> Plan:
    """A handler, run here, once."""
    if not callable(handler):
        raise StepUsageError(
            f'step "{id}" needs a function to run; it is {type(handler).__name__}. Write step.run("{id}", f, x), not step.run("{id}", f(x))'
        )
    if retries is not None and not 0 <= retries <= 20:
        raise ConfigurationError(f'retries of step "{id}" must be 0 to 20; it is {retries}')
    return Plan(id, "StepRun", id, _given(retries=retries), handler, arguments, retries=retries)


def wrap(id: str, handler: Callable[..., Any], arguments: Sequence[Any]) -> Plan:
    """The same, its arguments shown to people, who can replay the run with others."""
    plan = run(id, handler, arguments, None)
    plan.opts = {"type": "step.ai.wrap", "input": plain(list(arguments))}
    return plan


def sleep(id: str, duration: Duration) -> Plan:
    """A time to wait."""
    return Plan(id, "Sleep", duration_text(duration, f'the duration of step "{id}"'))


def sleep_until(id: str, time: Instant) -> Plan:
    """A time to wait for."""
    return Plan(id, "Sleep", instant_text(time, f'the time of step "{id}"'))


def _match(path: str) -> str:
    if path.split(".", 1)[0] != "data":
        path = f"data.{path}"
    return f"event.{path} == async.{path}"


def wait_for_event(id: str, event: str, match: Optional[str], if_: Optional[str], timeout: Union[Duration, datetime, None]) -> Plan:
    """An event that is to come."""
    if match is not None and if_ is not None:
        raise ConfigurationError(f'step "{id}" has match and if_; use one of them')
    opts = _given(event=event, timeout=None if timeout is None else when_text(timeout), **{"if": _match(match) if match else if_})
    return Plan(id, "WaitForEvent", event, opts, read=lambda memo: None if memo is None else Event.from_json(memo))


def wait_for_signal(id: str, signal: str, timeout: Union[Duration, datetime, None], on_conflict: str) -> Plan:
    """A signal that is to come."""
    opts = _given(signal=signal, timeout=None if timeout is None else when_text(timeout), conflict=on_conflict)
    return Plan(id, "WaitForSignal", signal, opts, read=lambda memo: None if memo is None else Signal(memo["signal"], memo.get("data")))


def invoke(id: str, slug: str, data: Any, timeout: Union[Duration, datetime, None]) -> Plan:
    """A run of another function, and its result."""
    payload = {"data": {} if data is None else plain(data)}
    return Plan(
        id, "InvokeFunction", id, _given(function_id=slug, payload=payload, timeout=None if timeout is None else when_text(timeout))
    )


def send_event(id: str, events: Union[str, NewEvent, Dict[str, Any], Sequence[Union[NewEvent, Dict[str, Any]]]], data: Any) -> Plan:
    """Events, recorded in the transaction that remembers the step."""
    many = [event_json(events, data)] if isinstance(events, (str, NewEvent, dict)) else [event_json(each) for each in events]
    return Plan(id, "SendEvent", id, {"events": many}, read=lambda memo: list(memo["ids"]))


def ai(id: str, options: Dict[str, Any]) -> Plan:
    """A question to a model."""
    return Plan(id, "Ai", id, plain(_given(**options)))


def fetch(id: str, url: str, method: str, headers: Optional[Dict[str, str]], body: Any) -> Plan:
    """An HTTP request, made by the server."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, str):
        body = plain(body)
        if not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = "application/json"
        import json

        body = json.dumps(body)
    return Plan(
        id,
        "Gateway",
        id,
        _given(url=url, method=method.upper(), headers=headers, body=body),
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
        _given(query=query, params=plain(list(params)), role=role, timeout=None if timeout is None else duration_text(timeout)),
        read=_rows,
    )


def approve(
    id: str, prompt: str, approvers: Optional[Sequence[str]], form: Optional[Dict[str, Any]], timeout: Union[Duration, datetime, None]
) -> Plan:
    """A decision of a person."""
    opts = _given(
        prompt=prompt,
        approvers=None if approvers is None else list(approvers),
        form=form,
        timeout=None if timeout is None else when_text(timeout),
    )
    return Plan(
        id,
        "Approval",
        id,
        opts,
        read=lambda memo: Decision(bool(memo["approved"]), memo.get("data"), memo.get("by"), memo.get("reason"), memo.get("at")),
    )


def agent(id: str, options: Dict[str, Any]) -> Plan:
    """A loop of model and tools, run by the server."""
    return Plan(id, "Agent", id, plain(_given(**options)))


def lock(id: str, key: str, timeout: Union[Duration, datetime, None]) -> Plan:
    """The lock of a key."""
    return Plan(id, "Lock", id, _given(key=key, timeout=None if timeout is None else when_text(timeout)), read=lambda memo: None)


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
