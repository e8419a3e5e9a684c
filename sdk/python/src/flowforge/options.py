"""What starts a function and what limits it: objects, or shorthand (`concurrency=5`, `rate="60/min"`, `throttle="10s"`).

Each has `to_json`, its part of the registration, which refuses what makes no sense and names the option. Expressions are the server's: it
reads them when the function is registered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Dict, List, Literal, Optional, Sequence, Union, cast

from . import limits
from .errors import ConfigurationError
from .limits import MOST, given, required
from .values import Duration

# --- what starts a function ---


@dataclass(frozen=True)
class Trigger:
    """What starts a function. Made by `flowforge.trigger.event(...)` and `.cron(...)`."""

    event: Optional[str] = None
    if_: Optional[str] = None
    cron: Optional[str] = None
    jitter: Optional[Duration] = None
    catch_up: Optional[Literal["skip", "last", "all"]] = None
    catch_up_window: Optional[Duration] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        if (self.event is None) == (self.cron is None):
            raise ConfigurationError("a trigger needs either an event or a cron schedule; use two triggers for both")
        return given(
            event=limits.event_name(self.event, "the event of a trigger"),
            expression=limits.text(self.if_, "if_ of a trigger"),
            cron=limits.text(self.cron, "the schedule of a trigger"),
            jitter=limits.span(self.jitter, "jitter", high=limits.DAY),
            catchUp=limits.one_of(self.catch_up, "catch_up", ("skip", "last", "all")),
            catchUpWindow=limits.span(self.catch_up_window, "catch_up_window", high="31d"),
        )


class Triggers:
    """The ways to start a function. They raise ConfigurationError."""

    def event(self, name: str, if_: Optional[str] = None) -> Trigger:
        """An event, by its name or a pattern like "order/*", if an expression over `event` is true.

        Example: `flowforge.trigger.event("order/created", if_="event.data.total > 0")`
        """
        return _checked(Trigger(event=name, if_=if_))

    def cron(
        self,
        schedule: str,
        jitter: Optional[Duration] = None,
        catch_up: Optional[Literal["skip", "last", "all"]] = None,
        catch_up_window: Optional[Duration] = None,
    ) -> Trigger:
        """The time: five fields, six with seconds first, or "@daily", with "TZ=Europe/Paris " before them if it is not UTC.

        Args:
            jitter: it starts up to so much later, at random; at most a day.
            catch_up: what becomes of times the server has missed: "skip" them, run the "last" (the default), or "all".
            catch_up_window: how far back they count; a day if not given, at most 31.

        Example: `flowforge.trigger.cron("TZ=Europe/Paris 0 9 * * 1-5", catch_up="all", catch_up_window="6h")`
        """
        return _checked(Trigger(cron=schedule, jitter=jitter, catch_up=catch_up, catch_up_window=catch_up_window))


def _checked(trigger: Trigger) -> Trigger:
    trigger.to_json()
    return trigger


# --- how it is tried again, and how long it may take ---


@dataclass(frozen=True)
class Retries:
    """How often what fails is tried again, and when. `RetryAfterError` goes before it.

    Attributes:
        attempts: after the first, 0 to 20; as many as without a `Retries` if not given.
        backoff: "fixed" (`base` each time), "linear" (`base`, 2 `base`, 3 `base`, …), "exponential" (`base`, 2 `base`, 4 `base`, …), or the
            delays themselves, up to twenty, of which the last one stands for all further ones.
        base: the first delay; a second. cap: the longest; five minutes.
        jitter: the share of a delay that is left to chance, from 0 to 1: 0.5 for "exponential", else 0.

    Example: `Retries(5, backoff=["1s", "10s", "1m"], jitter=0.2)`
    """

    attempts: Optional[int] = None
    backoff: Union[Literal["fixed", "linear", "exponential"], Sequence[Duration], None] = None
    base: Optional[Duration] = None
    cap: Optional[Duration] = None
    jitter: Optional[float] = None

    def to_json(self, what: str = "retries") -> Dict[str, Any]:
        """As it is registered."""
        return given(
            attempts=limits.whole(self.attempts, f"{what}.attempts", 0, 20),
            backoff=self._backoff(f"{what}.backoff"),
            base=limits.span(self.base, f"{what}.base"),
            cap=limits.span(self.cap, f"{what}.cap"),
            jitter=limits.share(self.jitter, f"{what}.jitter"),
        )

    def _backoff(self, what: str) -> Union[str, List[str], None]:
        if self.backoff is None or isinstance(self.backoff, str):
            return limits.one_of(self.backoff, what, ("fixed", "linear", "exponential"))
        delays = _listed(self.backoff, (str, int, float, timedelta), what, "a word or a list of delays")
        if not 1 <= len(delays) <= 20:
            raise ConfigurationError(f"{what} has {len(delays)} delays; there can be 1 to 20")
        return [required(limits.span(delay, f"{what}[{place}]"), what) for place, delay in enumerate(delays)]


@dataclass(frozen=True)
class Timeouts:
    """How long a run may take.

    Attributes:
        start: a run that has not begun in time is cancelled. finish: one that has not ended in time, too.
        step: a step that takes longer counts as failed and is tried again; when all attempts are over it raises StepTimeout. Each step is
            then a call of its own, which the server gives up.
    """

    start: Optional[Duration] = None
    finish: Optional[Duration] = None
    step: Optional[Duration] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return given(
            start=limits.span(self.start, "timeouts.start"),
            finish=limits.span(self.finish, "timeouts.finish"),
            step=limits.span(self.step, "timeouts.step"),
        )


@dataclass(frozen=True)
class CancelOn:
    """An event that cancels a run: one with the same value at the path `match`, or for which the expression `if_` over `event`, which
    started the run, and `async`, which has come, is true; within `timeout`, if there is one."""

    event: str
    match: Optional[str] = None
    if_: Optional[str] = None
    timeout: Union[Duration, datetime, None] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        if self.match is not None and self.if_ is not None:
            raise ConfigurationError("cancel_on has match and if_; use one of them")
        match = limits.text(self.match, "cancel_on.match")
        return given(
            event=required(limits.event_name(self.event, "cancel_on.event"), "cancel_on.event"),
            if_=limits.text(self.if_, "cancel_on.if_") if match is None else same_at(match),
            timeout=limits.when(self.timeout, "cancel_on.timeout"),
        )


def same_at(path: str) -> str:
    """The expression for "the same value in both events", of a path in their data."""
    path = path if path.split(".", 1)[0] == "data" else f"data.{path}"
    return f"event.{path} == async.{path}"


# --- flow control ---


@dataclass(frozen=True)
class Concurrency:
    """So many steps at once, of each value of `key` (an expression over `event`). `scope`: of this function ("fn", the default), or of all
    functions that have the same key ("env", "account")."""

    limit: int
    key: Optional[str] = None
    scope: Optional[Literal["fn", "env", "account"]] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return given(
            limit=required(limits.whole(self.limit, "concurrency.limit", 0, 1_000_000), "concurrency.limit"),
            key=limits.text(self.key, "concurrency.key"),
            scope=limits.one_of(self.scope, "concurrency.scope", ("fn", "env", "account")),
        )


@dataclass(frozen=True)
class RateLimit:
    """So many runs in a period, of each value of `key`; events beyond start none."""

    limit: int
    period: Duration
    key: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return given(
            limit=required(limits.whole(self.limit, "rate.limit", 1, MOST), "rate.limit"),
            period=required(limits.span(self.period, "rate.period", "1s", "24h"), "rate.period"),
            key=limits.text(self.key, "rate.key"),
        )


@dataclass(frozen=True)
class Throttle:
    """So many runs start in a period, evenly, of each value of `key`; `burst` of them may come at once. The others wait."""

    limit: int
    period: Duration
    key: Optional[str] = None
    burst: Optional[int] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return given(
            limit=required(limits.whole(self.limit, "throttle.limit", 1, MOST), "throttle.limit"),
            period=required(limits.span(self.period, "throttle.period", "1s", "24h"), "throttle.period"),
            burst=limits.whole(self.burst, "throttle.burst", 0, MOST),
            key=limits.text(self.key, "throttle.key"),
        )


@dataclass(frozen=True)
class Debounce:
    """The last event of a `key` starts a run when no other has come for a period; at the latest so long after the first as `timeout`."""

    period: Duration
    key: Optional[str] = None
    timeout: Optional[Duration] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        period = required(limits.span(self.period, "debounce.period", "1s", "7d"), "debounce.period")
        return given(
            period=period,
            timeout=limits.span(self.timeout, "debounce.timeout", period, "31d"),
            key=limits.text(self.key, "debounce.key"),
        )


@dataclass(frozen=True)
class Batch:
    """One run for up to `max_size` events of a `key`, or for those that have come when `timeout` is over: a minute, if not given. Events
    for which the expression `if_` is not true have a run of their own."""

    max_size: int
    timeout: Optional[Duration] = None
    key: Optional[str] = None
    if_: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        return given(
            maxSize=required(limits.whole(self.max_size, "batch.max_size", 1, 1000), "batch.max_size"),
            timeout=limits.span(self.timeout, "batch.timeout", "1s", "10m"),
            key=limits.text(self.key, "batch.key"),
            if_=limits.text(self.if_, "batch.if_"),
        )


@dataclass(frozen=True)
class Priority:
    """Seconds of head start, -600 to 600: a number, or an expression over `event`."""

    run: Union[str, int]

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        if isinstance(self.run, str):
            return given(run=limits.text(self.run, "priority"))
        return {"run": str(required(limits.whole(self.run, "priority", -600, 600), "priority"))}


@dataclass(frozen=True)
class Singleton:
    """One live run of each value of `key`: "skip" starts no other, "cancel" ends it for the new one."""

    mode: Literal["skip", "cancel"] = "skip"
    key: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """As it is registered."""
        mode = limits.one_of(self.mode, "singleton", ("skip", "cancel"))
        return given(mode=required(mode, "singleton.mode"), key=limits.text(self.key, "singleton.key"))


# --- what the decorator takes ---

TriggerOption = Union[Trigger, Sequence[Trigger], None]
RetriesOption = Union[int, Retries, None]
ConcurrencyOption = Union[int, Concurrency, Sequence[Concurrency], None]
RateOption = Union[str, RateLimit, None]
ThrottleOption = Union[str, Throttle, None]
DebounceOption = Union[Duration, Debounce, None]
PriorityOption = Union[str, int, Priority, None]
SingletonOption = Union[Literal["skip", "cancel"], Singleton, None]
CancelOption = Union[str, CancelOn, Sequence[Union[str, CancelOn]], None]


@dataclass
class Options:
    """What the decorator was given; see `FlowForge.function`."""

    name: Optional[str] = None
    trigger: TriggerOption = None
    retries: RetriesOption = None
    concurrency: ConcurrencyOption = None
    rate: RateOption = None
    throttle: ThrottleOption = None
    debounce: DebounceOption = None
    batch: Optional[Batch] = None
    priority: PriorityOption = None
    singleton: SingletonOption = None
    idempotency: Optional[str] = None
    timeouts: Optional[Timeouts] = None
    cancel_on: CancelOption = None

    @property
    def limits_steps(self) -> bool:
        """Whether each step may take so long only."""
        return self.timeouts is not None and self.timeouts.step is not None

    @property
    def attempts(self) -> Optional[int]:
        """After the first; None: as many as the server says."""
        return self.retries.attempts if isinstance(self.retries, Retries) else self.retries

    def to_json(self) -> Dict[str, Any]:
        """The members of the registration but `retries`, which stand elsewhere in it. Raises ConfigurationError."""
        limits.text(self.name, "name")
        self._combine()
        return given(
            triggers=self._triggers(),
            concurrency=concurrency_json(self.concurrency),
            rateLimit=_rate_json(self.rate, RateLimit, "rate"),
            throttle=_rate_json(self.throttle, Throttle, "throttle"),
            debounce=_debounce_json(self.debounce),
            batchEvents=_object_json(self.batch, Batch, "batch"),
            priority=_object_json(
                Priority(self.priority) if isinstance(self.priority, (str, int)) else self.priority, Priority, "priority"
            ),
            singleton=_object_json(
                Singleton(self.singleton) if isinstance(self.singleton, str) else self.singleton, Singleton, "singleton"
            ),
            idempotency=limits.text(self.idempotency, "idempotency"),
            timeouts=_object_json(self.timeouts, Timeouts, "timeouts"),
            cancel=cancel_json(self.cancel_on),
        )

    def _triggers(self) -> List[Dict[str, Any]]:
        triggers = _listed(self.trigger, Trigger, "trigger", "flowforge.trigger.event(...), flowforge.trigger.cron(...) or a list of them")
        if len(triggers) > 10:
            raise ConfigurationError(f"trigger has {len(triggers)} elements; there can be ten")
        return [each.to_json() for each in triggers]

    def _combine(self) -> None:
        """A batch has many events, and these ask one."""
        for other in ("cancel_on", "debounce", "singleton", "priority", "idempotency", "rate"):
            if self.batch is not None and getattr(self, other) is not None:
                raise ConfigurationError(f"batch cannot be combined with {other}; leave one of them out")


def retries_json(option: RetriesOption, what: str = "retries") -> Optional[Dict[str, Any]]:
    """How a function is tried again, or a step."""
    if isinstance(option, Retries):
        return option.to_json(what)
    return given(attempts=limits.whole(option, what, 0, 20)) or None


def concurrency_json(option: ConcurrencyOption) -> Any:
    """One or two limits."""
    if option is None or isinstance(option, int):
        return limits.whole(option, "concurrency", 0, 1_000_000)
    many = _listed(option, Concurrency, "concurrency", "a number of steps, a Concurrency, or two")
    if len(many) > 2:
        raise ConfigurationError(f"concurrency has {len(many)} limits; there can be two")
    return [each.to_json() for each in many]


def cancel_json(option: CancelOption) -> Optional[List[Dict[str, Any]]]:
    """Events by name, or with conditions."""
    many = _listed(option, (str, CancelOn), "cancel_on", "the name of an event, a CancelOn, or up to five")
    if len(many) > 5:
        raise ConfigurationError(f"cancel_on has {len(many)} events; there can be five")
    return [(CancelOn(each) if isinstance(each, str) else each).to_json() for each in many] or None


def _rate_json(option: Any, kind: Any, what: str) -> Any:
    return limits.rate_text(option, what) if isinstance(option, str) else _object_json(option, kind, what)


def _debounce_json(option: DebounceOption) -> Any:
    return option.to_json() if isinstance(option, Debounce) else limits.span(option, "debounce", "1s", "7d")


def _object_json(option: Any, kind: Any, what: str) -> Optional[Dict[str, Any]]:
    if option is None:
        return None
    if not isinstance(option, kind):
        limits.refuse(what, f"a {kind.__name__}", option)
    return cast(Dict[str, Any], option.to_json())


def _listed(option: Any, kind: Any, what: str, wanted: str) -> List[Any]:
    """One or several, as a list."""
    if option is None:
        return []
    many = [option] if isinstance(option, kind) else list(option) if isinstance(option, (list, tuple)) else [None]
    if not all(isinstance(each, kind) for each in many):
        limits.refuse(what, wanted, option)
    return many
