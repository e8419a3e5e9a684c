"""The vectors that all SDKs and the engine share."""

from __future__ import annotations

import json
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from flowforge.errors import ConfigurationError, SignatureError
from flowforge.signing import TOLERANCE_SECONDS, hash_key, hash_step, sign, verify
from flowforge.values import canonical, parse_duration, parse_instant

VECTORS = Path(__file__).parents[2] / "vectors"


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


@pytest.mark.parametrize("case", vectors("jcs")["documents"], ids=lambda case: case["json"][:20])
def test_a_document_has_its_canonical_text(case: Any) -> None:
    assert canonical(json.loads(case["json"])) == case["canonical"]


def test_numbers_have_their_canonical_text() -> None:
    for case in vectors("jcs")["numbers"]:
        (number,) = struct.unpack(">d", bytes.fromhex(case["bits"]))
        if case["canonical"] is None:
            with pytest.raises(ValueError):
                canonical(number)
        else:
            assert canonical(number) == case["canonical"], case


def test_keys_have_their_hash() -> None:
    for case in vectors("key_hash")["keys"]:
        if case["hash"] is None:
            with pytest.raises(ConfigurationError):
                hash_key(case["key"])
        else:
            assert hash_key(case["key"]) == case["hash"]


@pytest.mark.parametrize("case", vectors("signature")["sign"])
def test_a_body_has_its_signature(case: Any) -> None:
    body, at = case["body"].encode(), case["t"]
    assert sign(case["key"], body, at) == case["header"]
    verify([case["key"]], case["header"], body, now=at + TOLERANCE_SECONDS)
    for wrong in (
        lambda: verify([case["key"]], case["header"], body + b" x", now=at),
        lambda: verify(["signkey-test-00"], case["header"], body, now=at),
        lambda: verify([case["key"]], case["header"], body, now=at + TOLERANCE_SECONDS + 1),
        lambda: verify([case["key"]], case["header"], body, now=at - TOLERANCE_SECONDS - 1),
        lambda: verify([case["key"]], "", body, now=at),
        lambda: verify([case["key"]], "t=x&s=y", body, now=at),
    ):
        with pytest.raises(SignatureError):
            wrong()


def test_the_tolerance_is_that_of_the_vectors() -> None:
    assert vectors("signature")["tolerance_seconds"] == TOLERANCE_SECONDS


def test_a_body_that_a_framework_has_written_again_is_known_by_its_canonical_form() -> None:
    header = sign("signkey-test-0123", b'{"a":1,"b":[2]}', 1_700_000_000)
    verify(["signkey-test-ffff", "signkey-test-0123"], header, b'{ "b": [2.0], "a": 1 }', now=1_700_000_000)


def test_step_ids_have_their_hash() -> None:
    for case in vectors("step_id")["ids"]:
        assert hash_step(case["id"]) == case["hash"]
    assert hash_step("my-step-id", 1) == hash_step("my-step-id:1")


def test_durations_are_read_as_everywhere() -> None:
    for case in vectors("time")["durations"]:
        found = parse_duration(case["text"])
        assert found == (None if case["usec"] is None else timedelta(microseconds=case["usec"])), case


def test_instants_are_read_as_everywhere() -> None:
    for case in vectors("time")["instants"]:
        found = parse_instant(case["text"])
        wanted = None if case["utc"] is None else datetime.fromisoformat(case["utc"].replace("Z", "+00:00"))
        assert (found and found.astimezone(timezone.utc)) == wanted, case
