"""Events, and what the steps give that is more than JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Union

from .values import plain


@dataclass(frozen=True)
class Event:
    """An event as a function sees it.

    Attributes:
        name: like "order/created".
        data: what it carries.
        id: the server's id of it, or what its sender gave it.
        ts: when it happened, in milliseconds since 1970.
        user: what was sent as the event's user; {} without.
        v: the version of its form, or None.
    """

    name: str
    data: Dict[str, Any] = field(default_factory=dict)
    id: str = ""
    ts: int = 0
    user: Dict[str, Any] = field(default_factory=dict)
    v: Optional[str] = None

    @property
    def time(self) -> datetime:
        """`ts` as a datetime in UTC."""
        return datetime.fromtimestamp(self.ts / 1000, timezone.utc)

    @classmethod
    def from_json(cls, json: Dict[str, Any]) -> Event:
        """An event from the wire."""
        return cls(
            name=str(json.get("name", "")),
            data=json.get("data") or {},
            id=str(json.get("id") or ""),
            ts=int(json.get("ts") or 0),
            user=json.get("user") or {},
            v=json.get("v"),
        )


@dataclass
class NewEvent:
    """An event to be sent.

    Attributes:
        name: like "order/created", at most 512 bytes.
        data: a dict, a dataclass or a pydantic model.
        id: makes repeats of the event harmless for a day.
        ts: when it happened, in milliseconds since 1970 or as an aware datetime; now.
        user: who did it.
    """

    name: str
    data: Any = None
    id: Optional[str] = None
    ts: Union[int, datetime, None] = None
    user: Optional[Dict[str, Any]] = None

    def to_json(self) -> Dict[str, Any]:
        """The event as the wire has it. Raises NonRetryableError for data that is no JSON."""
        ts = round(self.ts.timestamp() * 1000) if isinstance(self.ts, datetime) else self.ts
        parts = {"name": self.name, "data": {} if self.data is None else plain(self.data), "id": self.id, "ts": ts, "user": self.user}
        return {key: value for key, value in parts.items() if value is not None}


def event_json(event: Union[NewEvent, Dict[str, Any], str], data: Any = None) -> Dict[str, Any]:
    """An event as the wire has it, from any of the ways to say one."""
    if isinstance(event, str):
        event = NewEvent(event, data)
    if isinstance(event, NewEvent):
        return event.to_json()
    told: Dict[str, Any] = plain(event)
    return told


class Rows(List[Dict[str, Any]]):
    """The rows of a statement, a dict each.

    Attributes: row_count, the number of rows it gave or changed.
    """

    row_count: int = 0


@dataclass(frozen=True)
class Decision:
    """What somebody decided about a request for approval.

    Attributes:
        approved: false when it was rejected, and when nobody decided in time.
        data: what the form asked for, or whatever the approver gave.
        by: who decided, or None.
        reason: why it was rejected, or None.
        at: when, ISO 8601.
    """

    approved: bool
    data: Any = None
    by: Optional[str] = None
    reason: Optional[str] = None
    at: Optional[str] = None

    def __bool__(self) -> bool:
        return self.approved


@dataclass(frozen=True)
class Response:
    """The answer to a `step.fetch`.

    Attributes: url (the one asked in the end), status, headers (names in lower case), body (a text).
    """

    url: str
    status: int
    headers: Dict[str, str]
    body: str

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON. Raises ValueError when it is none."""
        import json

        return json.loads(self.body)


@dataclass(frozen=True)
class Signal:
    """A signal that came. Attributes: name, data."""

    name: str
    data: Any = None
