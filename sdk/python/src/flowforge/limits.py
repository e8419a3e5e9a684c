"""What an option's value may be: each check gives the value as it is registered, or says what is wrong with it and of which option."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, NoReturn, Optional, Sequence, TypeVar, Union

from .errors import ConfigurationError
from .values import Duration, duration_text, instant_text, parse_duration, parse_instant

T = TypeVar("T")
DAY, YEAR = "1d", "366d"
MOST = 1_000_000_000
_PERIODS = {"sec": "1s", "second": "1s", "min": "1m", "minute": "1m", "hour": "1h", "day": "1d"}


def given(**members: Any) -> Dict[str, Any]:
    """The members that are not None; a name that is Python's own has a _ behind it (`if_`)."""
    return {name.rstrip("_"): value for name, value in members.items() if value is not None}


def refuse(what: str, wanted: str, value: Any) -> NoReturn:
    """Raises ConfigurationError."""
    raise ConfigurationError(f"{what} must be {wanted}; it is {value!r}")


def required(value: Optional[T], what: str) -> T:
    """A value that cannot be left out."""
    if value is None:
        raise ConfigurationError(f"{what} is missing")
    return value


def whole(value: Optional[int], what: str, low: int, high: int) -> Optional[int]:
    """A whole number of a range."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high):
        refuse(what, f"a whole number from {low} to {high}", value)
    return value


def share(value: Optional[float], what: str) -> Optional[float]:
    """A number from 0 to 1."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1):
        refuse(what, "a number from 0 to 1", value)
    return value


def text(value: Optional[str], what: str) -> Optional[str]:
    """A text with something in it: an expression, for example."""
    if value is not None and (not isinstance(value, str) or not value.strip()):
        refuse(what, "a text that is not empty", value)
    return value


def one_of(value: Optional[str], what: str, choices: Sequence[str]) -> Optional[str]:
    """One of a few words."""
    if value is not None and value not in choices:
        refuse(what, " or ".join(f'"{choice}"' for choice in choices), value)
    return value


def span(value: Optional[Duration], what: str, low: str = "0s", high: str = YEAR) -> Optional[str]:
    """A duration of a range."""
    if value is None:
        return None
    found = duration_text(value, what)
    length, least, most = parse_duration(found), parse_duration(low), parse_duration(high)
    assert length is not None and least is not None and most is not None
    if not least <= length <= most:
        refuse(what, f"from {low} to {high}", value)
    return duration_text(length) if "." in found else found


def when(value: Union[Duration, datetime, None], what: str) -> Optional[str]:
    """A duration, or the time at which it is over."""
    if isinstance(value, datetime) or (isinstance(value, str) and parse_instant(value) is not None):
        return instant_text(value, what)
    return span(value, what)


def rate_text(value: str, what: str) -> str:
    """So many in a period: "60/min", "10/1h30m"; or "10s", which is one in ten seconds."""
    count, slash, period = value.rpartition("/")
    if slash:
        period = _PERIODS.get(period, period if period[:1].isdigit() else f"1{period}")
    length = parse_duration(period)
    counts = not slash or (count.isdecimal() and 1 <= int(count) <= MOST)
    if not counts or length is None or not 1 <= length.total_seconds() <= 86400:
        refuse(what, 'like "60/min", "10/1h" or "10s", which is one in ten seconds, in a period from 1s to 24h', value)
    return value


def event_name(value: Optional[str], what: str) -> Optional[str]:
    """The name of an event, or all below a prefix: "order/*"."""
    if value is None:
        return None
    named = isinstance(value, str) and 0 < len(value.encode("utf-8", "replace")) <= 512
    if not named or ("*" in value and (value.count("*") > 1 or value[-2:] not in ("/*", ".*"))):
        refuse(what, 'the name of an event like "order/created", or all below a prefix like "order/*"', value)
    return value
