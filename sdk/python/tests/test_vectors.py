"""The vectors that all SDKs and the engine share."""

from __future__ import annotations

import asyncio
import json
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict

import pytest

from flowforge import (
    Batch,
    CancelOn,
    Concurrency,
    Context,
    Debounce,
    FlowForge,
    RateLimit,
    Retries,
    Singleton,
    Throttle,
    Timeouts,
    Trigger,
    step,
)
from flowforge.call import Call
from flowforge.errors import ConfigurationError, SignatureError
from flowforge.events import Event
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


# --- what goes over the wire: the vectors are in the words of the TypeScript SDK, and its numbers are milliseconds ---

WORDS = {"if": "if_", "maxSize": "max_size", "catchUp": "catch_up", "catchUpWindow": "catch_up_window", "onConflict": "on_conflict"}
TIMES = ("period", "timeout", "jitter", "base", "cap", "start", "finish", "step", "catch_up_window")


def seconds(value: Any) -> Any:
    return value / 1000 if isinstance(value, int) else value


def in_python(options: Dict[str, Any]) -> Dict[str, Any]:
    """Options by their names here."""
    named = {WORDS.get(name, name): value for name, value in options.items()}
    return {name: seconds(value) if name in TIMES else value for name, value in named.items()}


def made(kind: Any, value: Any) -> Any:
    return kind(**in_python(value)) if isinstance(value, dict) else value


def many(kind: Any, value: Any) -> Any:
    return [made(kind, each) for each in value] if isinstance(value, list) else made(kind, value)


def trigger_of(value: Any) -> Trigger:
    return Trigger(event=value) if isinstance(value, str) else Trigger(**in_python(value))


def retries_of(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    backoff = value.get("backoff")
    return Retries(**{**value, "backoff": [seconds(each) for each in backoff] if isinstance(backoff, list) else backoff})


def options_of(given: Dict[str, Any]) -> Dict[str, Any]:
    """What the decorator is given for what `createFunction` is given."""
    triggers = given.get("trigger", [])
    found = {
        "trigger": [trigger_of(each) for each in (triggers if isinstance(triggers, list) else [triggers])],
        "retries": retries_of(given.get("retries")),
        "concurrency": many(Concurrency, given.get("concurrency")),
        "rate": made(RateLimit, given.get("rateLimit", given.get("rate"))),
        "throttle": made(Throttle, given.get("throttle")),
        "debounce": made(Debounce, given.get("debounce")),
        "batch": made(Batch, given.get("batchEvents")),
        "priority": given.get("priority"),
        "singleton": made(Singleton, given.get("singleton")),
        "idempotency": given.get("idempotency"),
        "timeouts": made(Timeouts, given.get("timeouts")),
        "cancel_on": many(CancelOn, given.get("cancelOn")),
    }
    return {name: value for name, value in found.items() if value is not None}


def same(value: Any) -> Any:
    """Durations by their length: 60000ms and 60s are the same."""
    if isinstance(value, dict):
        return {name: same(each) for name, each in value.items()}
    if isinstance(value, list):
        return [same(each) for each in value]
    return (parse_duration(value) or value) if isinstance(value, str) else value


def config_of(options: Dict[str, Any]) -> Dict[str, Any]:
    told = FlowForge("shop", "http://127.0.0.1:9").function(id="f", **options_of(options))(lambda ctx: None)
    config = told.registration("http://localhost:3000/api")
    runtime = config["steps"]["step"].pop("runtime")
    assert (config.pop("id"), config.pop("name")) == ("shop-f", "f")
    assert runtime == {"type": "http", "url": "http://localhost:3000/api?fnId=shop-f&stepId=step"}
    return config


@pytest.mark.parametrize("case", vectors("wire_config")["configs"])
def test_options_are_registered_as_by_every_sdk(case: Any) -> None:
    assert same(config_of(case["options"])) == same(case["config"])


@pytest.mark.parametrize("case", vectors("wire_config")["refused"])
def test_options_are_refused_as_by_every_sdk(case: Any) -> None:
    if {"rate", "rateLimit"} <= set(case["options"]):  # which has one name here
        with pytest.raises(TypeError, match="rateLimit"):
            FlowForge("shop").function(id="f", **case["options"])
        return
    (option,) = case["options"]
    with pytest.raises(ConfigurationError, match={"cancelOn": "cancel_on"}.get(option, option)):
        config_of(case["options"])


ARGUMENTS = {"approve": "prompt", "lock": "key", "unlock": "key"}
TOOLS = {"sleepUntil": "sleep_until", "waitForEvent": "wait_for_event", "waitForSignal": "wait_for_signal", "sendEvent": "send_event"}


async def called(tool: str, id: str, arguments: Any) -> Any:
    """Takes the step that the TypeScript SDK takes by this call."""
    tool = TOOLS.get(tool, tool)
    if tool == "run":
        return await step.run(id, lambda: 1)
    if tool == "sleep":
        return await step.sleep(id, seconds(arguments[0]))
    *positional, last = arguments
    named = in_python(last) if isinstance(last, dict) and tool != "send_event" else {}
    if not named:
        positional = arguments
    if tool in ARGUMENTS:
        positional = [named.pop(ARGUMENTS[tool])]
    return await getattr(step, tool)(id, *positional, **named)


@pytest.mark.parametrize("case", vectors("wire_ops")["ops"], ids=lambda case: case["call"][0])
def test_a_step_is_the_operation_that_it_is_in_every_sdk(case: Any) -> None:
    tool, id, *arguments = case["call"]

    async def function(ctx: Context) -> Any:
        return await called(tool, id, arguments)

    made = FlowForge("shop").function(id="f")(function)
    answer = asyncio.run(made.call_async(Call(event=Event("x"), plan_only=bool(case.get("planned")))))
    assert answer.ops == [{"id": hash_step(id), "displayName": id, "userland": {"id": id}, **case["op"]}]


def test_every_file_of_vectors_is_read_here_or_against_a_server() -> None:
    here = Path(__file__).read_text() + (Path(__file__).parent / "test_client.py").read_text()
    assert [path.stem for path in sorted(VECTORS.iterdir()) if f'vectors("{path.stem}")' not in here] == []
