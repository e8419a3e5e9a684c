"""What limits and starts a function: objects, or shorthand that the server reads (`concurrency=5`, `rate="60/min"`, `throttle="10s"`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Literal, Optional, Sequence, Union

from .errors import ConfigurationError
from .values import Duration, duration_text, when_text


def _given(**parts: Any) -> Dict[str, Any]:
    return {key: value for key, value in parts.items() if value is not None}


def _period(value: Optional[Duration], what: str) -> Optional[str]:
    return None if value is None else duration_text(value, what)


@dataclass(frozen=True)
class Trigger:
    """What starts a function. Made by `flowforge.trigger.event(...)` and `.cron(...)`."""

    event: Optional[str] = None
    if_: Optional[str] = None
    cron: Optional[str] = None
    jitter: Optional[Duration] = None
    catch_up: Optional[str] = None
    catch_up_window: Optional[Duration] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        missed = {"catchUp": self.catch_up, "catchUpWindow": _period(self.catch_up_window, "catch_up_window")}
        return _given(event=self.event, expression=self.if_, cron=self.cron, jitter=_period(self.jitter, "jitter"), **missed)


class Triggers:
    """The ways to start a function."""

    def event(self, name: str, if_: Optional[str] = None) -> Trigger:
        """An event, by its name or a pattern like "order/*", if an expression over `event` is true.

        Example: `flowforge.trigger.event("order/created", if_="event.data.total > 0")`
        """
        if not name:
            raise ConfigurationError("an event trigger needs the name of an event")
        return Trigger(event=name, if_=if_)

    def cron(
        self,
        schedule: str,
        jitter: Optional[Duration] = None,
        catch_up: Optional[Literal["skip", "last", "all"]] = None,
        catch_up_window: Optional[Duration] = None,
    ) -> Trigger:
        """The time: five fields, or six with seconds first, or "@daily", with "TZ=Europe/Paris " before them if it is not UTC.

        `jitter` starts it up to so much later. `catch_up` says what is made up for of the times at which the server was down, within
        `catch_up_window`: nothing, the last (the default), or all.

        Example: `flowforge.trigger.cron("TZ=Europe/Paris 0 9 * * 1-5", catch_up="skip")`
        """
        return Trigger(cron=schedule, jitter=jitter, catch_up=catch_up, catch_up_window=catch_up_window)


@dataclass(frozen=True)
class Concurrency:
    """So many steps at once, of each value of `key` (an expression over `event`). scope: "fn", "env" or "account"."""

    limit: int
    key: Optional[str] = None
    scope: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return _given(limit=self.limit, key=self.key, scope=self.scope)


@dataclass(frozen=True)
class RateLimit:
    """So many runs in a period; events beyond start none."""

    limit: int
    period: Duration
    key: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return _given(limit=self.limit, period=_period(self.period, "period"), key=self.key)


@dataclass(frozen=True)
class Throttle:
    """So many runs start in a period, `burst` more at once; others wait."""

    limit: int
    period: Duration
    key: Optional[str] = None
    burst: Optional[int] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return _given(limit=self.limit, period=_period(self.period, "period"), key=self.key, burst=self.burst)


@dataclass(frozen=True)
class Debounce:
    """The last event starts a run when no other has come for a period; at the latest after `timeout`."""

    period: Duration
    key: Optional[str] = None
    timeout: Optional[Duration] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return _given(period=_period(self.period, "period"), key=self.key, timeout=_period(self.timeout, "timeout"))


@dataclass(frozen=True)
class Batch:
    """One run for up to `max_size` events, or for those that have come when `timeout` is over."""

    max_size: int
    timeout: Optional[Duration] = None
    key: Optional[str] = None
    if_: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return _given(maxSize=self.max_size, timeout=_period(self.timeout, "timeout"), key=self.key, **_given(**{"if": self.if_}))


@dataclass(frozen=True)
class Priority:
    """Seconds of head start, -600 to 600, an expression over `event`."""

    run: str

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return {"run": self.run}


@dataclass(frozen=True)
class Singleton:
    """One live run of each value of `key`: "skip" starts no other, "cancel" ends it for the new one."""

    mode: str = "skip"
    key: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return _given(mode=self.mode, key=self.key)


@dataclass(frozen=True)
class Timeouts:
    """A run is cancelled when it has not started, or not finished, in time."""

    start: Optional[Duration] = None
    finish: Optional[Duration] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return _given(start=_period(self.start, "start"), finish=_period(self.finish, "finish"))


@dataclass(frozen=True)
class CancelOn:
    """An event that cancels a run: one with the same value at the path `match`, or for which the expression `if_` is true."""

    event: str
    match: Optional[str] = None
    if_: Optional[str] = None
    timeout: Optional[Duration] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        if self.match is not None and self.if_ is not None:
            raise ConfigurationError("cancel_on has match and if_; use one of them")
        path = self.match if self.match is None or self.match.startswith("data.") else f"data.{self.match}"
        condition = self.if_ if path is None else f"event.{path} == async.{path}"
        return _given(event=self.event, timeout=None if self.timeout is None else when_text(self.timeout), **_given(**{"if": condition}))


ConcurrencyOption = Union[int, Concurrency, Sequence[Concurrency], None]
RateOption = Union[str, RateLimit, None]
ThrottleOption = Union[str, Throttle, None]
DebounceOption = Union[Duration, Debounce, None]
CancelOption = Union[str, CancelOn, Sequence[Union[str, CancelOn]], None]


def concurrency_json(option: ConcurrencyOption) -> Any:
    """One or two limits."""
    if isinstance(option, bool) or (isinstance(option, int) and option < 0):
        raise ConfigurationError(f"concurrency must be a number of steps; it is {option!r}")
    if option is None or isinstance(option, int):
        return option
    many = [option] if isinstance(option, Concurrency) else list(option)
    if len(many) > 2:
        raise ConfigurationError(f"concurrency has {len(many)} limits; there can be two")
    return [each.to_json() for each in many]


def object_or_text(option: Any) -> Any:
    """An object's JSON; shorthand as it is."""
    return option if option is None or isinstance(option, str) else option.to_json()


def debounce_json(option: DebounceOption) -> Any:
    """An object, or the period."""
    return option.to_json() if isinstance(option, Debounce) else _period(option, "debounce")


def cancel_json(option: CancelOption) -> Optional[List[Dict[str, Any]]]:
    """Events by name, or with conditions."""
    if option is None:
        return None
    many = [option] if isinstance(option, (str, CancelOn)) else list(option)
    return [(CancelOn(each) if isinstance(each, str) else each).to_json() for each in many]
