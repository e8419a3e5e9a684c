"""Values on the wire: what Python objects are as JSON, canonical JSON (RFC 8785), durations and instants."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Optional, Union
from uuid import UUID

from .errors import ConfigurationError, NonRetryableError

Duration = Union[str, int, float, timedelta]
"""`"1h30m"`, seconds, or a timedelta."""
Instant = Union[str, datetime]
"""An ISO 8601 text or an aware datetime."""

_UNITS = {"ns": 1, "us": 1_000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 604800 * 10**9}
_PART = re.compile(r"(\d+)(?:\.(\d+))?(ns|us|ms|s|m|h|d|w)")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.(\d{1,9}))?(Z|[+-]\d{2}:?\d{2})")
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")


# --- JSON ---


def to_json(value: Any) -> Any:
    """What `json` knows, made of what it does not: dataclasses, pydantic models, enums, dates, decimals, uuids, sets, bytes (as text).

    Raises TypeError for anything else.
    """
    if hasattr(value, "model_dump"):  # pydantic, without having it
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode()
    raise TypeError(f"a value of type {type(value).__name__} has no JSON")


def dumps(value: Any) -> str:
    """JSON as the wire wants it.

    Raises NonRetryableError for what has none: NaN, circles, objects of unknown types, text that is not Unicode.
    """
    try:
        text = json.dumps(value, default=to_json, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NonRetryableError(f"a value must be JSON: {error}") from error
    if "\\u0000" in text and _has_zero(json.loads(text)):
        raise NonRetryableError("a value must be JSON that PostgreSQL can keep: it has a text with the character U+0000")
    return text


def _exact(digits: str) -> Union[int, float]:
    """A whole number as it comes back, if a double can hold it."""
    double = float(digits)
    if not math.isfinite(double) or int(double) != int(digits):
        shown = digits if len(digits) < 40 else f"{digits[:20]}…"
        raise NonRetryableError(f"a value must be JSON, whose numbers are doubles, and no double is {shown}; use a text")
    return _as_kept(digits)


def _as_kept(digits: str) -> Union[int, float]:
    """A double as canonical JSON writes it: 2.0 is 2."""
    number = float(digits)
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def _has_zero(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_zero(key) or _has_zero(each) for key, each in value.items())
    return isinstance(value, list) and any(_has_zero(each) for each in value)


def plain(value: Any) -> Any:
    """The value as it comes back from the server: what a step returns is this on every call, the first one too.

    The server tells apps everything in canonical JSON (RFC 8785), whose numbers are doubles: 2.0 comes back as 2. Raises NonRetryableError
    for what has no JSON, and for whole numbers that no double is, like 2**53 + 1, which would come back as others.
    """
    return json.loads(dumps(value), parse_int=_exact, parse_float=_as_kept)


def _number(value: float) -> str:
    """ECMAScript's text of a number, which RFC 8785 prescribes."""
    if not math.isfinite(value):
        raise ValueError("JSON has no NaN and no infinity")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    digits, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = digits.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    mantissa = digits if count == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{sign}{mantissa}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def canonical(value: Any) -> str:
    """Canonical JSON (RFC 8785) of a value that `json.loads` has given. Raises ValueError for NaN and infinities."""
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        return _number(float(value))
    if isinstance(value, list):
        return f"[{','.join(canonical(each) for each in value)}]"
    names = sorted(value, key=lambda name: str(name).encode("utf-16-be", "surrogatepass"))
    return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{canonical(value[name])}" for name in names) + "}"


# --- time ---


def _nanoseconds(text: str) -> Optional[int]:
    at, total = 0, 0
    for part in _PART.finditer(text):
        if part.start() != at:
            return None
        at = part.end()
        unit = _UNITS[part.group(3)]
        fraction = part.group(2) or ""
        total += int(part.group(1)) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
    return total if at == len(text) and at > 0 else None


def parse_duration(text: str) -> Optional[timedelta]:
    """A duration like "1h30m" (units ns us ms s m h d w), exact to microseconds; None when the text is none."""
    total = _nanoseconds(text)
    return None if total is None else timedelta(microseconds=(total + 500) // 1000)


def parse_instant(text: str) -> Optional[datetime]:
    """An ISO 8601 time with its offset, or an HTTP date; None when the text is neither."""
    try:
        if _HTTP_DATE.fullmatch(text):
            return parsedate_to_datetime(text)
        match = _INSTANT.fullmatch(text)
        if match is None:
            return None
        offset = "+00:00" if match.group(2) == "Z" else match.group(2)
        if ":" not in offset:
            offset = f"{offset[:3]}:{offset[3:]}"
        micro = (match.group(1) or "").ljust(6, "0")[:6]
        return datetime.fromisoformat(f"{text[:19]}.{micro}{offset}")
    except ValueError:
        return None


def duration_text(value: Duration, what: str = "a duration") -> str:
    """A duration as the wire has it: "500ms". Raises ConfigurationError."""
    if isinstance(value, str):
        if parse_duration(value) is None:
            raise ConfigurationError(f'{what} must be like "30s" or "1h30m", seconds, or a timedelta; it is {value!r}')
        return value
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(value, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds) or seconds < 0:
        raise ConfigurationError(f"{what} must be a positive number of seconds; it is {value!r}")
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def instant_text(value: Instant, what: str = "a time") -> str:
    """A time as the wire has it. Raises ConfigurationError for datetimes without a time zone."""
    if isinstance(value, str):
        if parse_instant(value) is None:
            raise ConfigurationError(f'{what} must be like "2026-01-31T12:00:00Z"; it is {value!r}')
        return value
    if value.tzinfo is None:
        raise ConfigurationError(f"{what} must have a time zone: use datetime.now(timezone.utc), not datetime.now()")
    text = value.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
