"""Keys, signatures and the hashes of step ids."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from typing import Optional
from urllib.parse import parse_qs

from .errors import ConfigurationError, SignatureError
from .values import canonical

TOLERANCE_SECONDS = 300
_PREFIX = re.compile(r"^signkey-\w+-")


def _split(key: str) -> tuple[str, str]:
    match = _PREFIX.match(key)
    prefix = match.group(0) if match else ""
    return prefix, key[len(prefix) :]


def hash_key(key: str) -> str:
    """What we show the server instead of the key itself. Raises ConfigurationError when it is no key.

    Example: `hash_key("signkey-prod-12345678")` is `"signkey-prod-b2ed…"`.
    """
    prefix, secret = _split(key)
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", secret):
        raise ConfigurationError("the signing key must be signkey-<name>-<hex>, with an even number of hexadecimal digits")
    return prefix + hashlib.sha256(bytes.fromhex(secret)).hexdigest()


def sign(key: str, body: bytes, at: Optional[int] = None) -> str:
    """The signature header of a body, made at a time in Unix seconds (now)."""
    at = int(time.time()) if at is None else at
    secret = _split(key)[1].encode()
    return f"t={at}&s={hmac.new(secret, body + str(at).encode(), hashlib.sha256).hexdigest()}"


def verify(keys: list[str], header: str, body: bytes, now: Optional[float] = None) -> None:
    """Raises SignatureError unless the header signs the body with one of the keys, within five minutes of now.

    A body that a framework has read and written again is known by its canonical form.
    """
    fields = parse_qs(header or "")
    try:
        at, given = int(fields["t"][0]), fields["s"][0]
    except (KeyError, ValueError):
        raise SignatureError("the request is not signed") from None
    if abs((time.time() if now is None else now) - at) > TOLERANCE_SECONDS:
        raise SignatureError("the signature of the request is more than five minutes old, or a clock is wrong")
    for text in (body, _canonical(body)):
        for key in keys:
            if text is not None and hmac.compare_digest(sign(key, text, at), f"t={at}&s={given}"):
                return
    raise SignatureError("the signature of the request is wrong: are the server's signing key and ours the same?")


def _canonical(body: bytes) -> Optional[bytes]:
    try:
        return canonical(json.loads(body)).encode() if body else None
    except (ValueError, RecursionError):
        return None


def hash_step(step_id: str, repeat: int = 0) -> str:
    """The 40 hexadecimal digits by which the server knows a step; `repeat` counts earlier uses of the id in a call."""
    text = step_id if repeat == 0 else f"{step_id}:{repeat}"
    return hashlib.sha1(text.encode("utf-8", "surrogatepass")).hexdigest()
