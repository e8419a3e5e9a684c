"""What an app answers over HTTP: registration, calls, signatures, and every adapter."""

from __future__ import annotations

import io
import json
from typing import Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import urlsplit

import pytest
from applications import ASGI, WSGI

from flowforge import (
    Context,
    FlowForge,
    NonRetryableError,
    RetryAfterError,
    SyncContext,
    step,
)
from flowforge.serve import Answered, Request
from flowforge.settings import Settings
from flowforge.signing import hash_step, sign, verify

KEY = "signkey-test-0123456789abcdef0123456789abcdef"
URL = "http://app.test/api/flowforge"
Asked = Tuple[int, Dict[str, str], bytes]
Ask = Callable[[str, str, bytes, Dict[str, str]], Asked]


def make_app(signing_key: Optional[str] = None, **options: Any) -> FlowForge:
    app = FlowForge("shop", "http://127.0.0.1:9", signing_key=signing_key, **options)

    @app.function(id="three")
    async def three(ctx: Context) -> Any:
        return [await step.run(f"s{n}", lambda n=n: [n, "é"]) for n in range(3)]

    @app.function(id="three-sync")
    def three_sync(ctx: SyncContext) -> Any:
        return [ctx.step.run(f"s{n}", lambda n=n: [n, "é"]) for n in range(3)]

    @app.function(id="echo")
    def echo(ctx: SyncContext) -> Any:
        return [ctx.event.data, ctx.run_id, ctx.attempt, ctx.max_attempts, len(ctx.events)]

    @app.function(id="busy")
    async def busy(ctx: Context) -> Any:
        await step.run("first", lambda: 1)
        raise RetryAfterError(30, "the bank is closed")

    @app.function(id="refuses")
    def refuses(ctx: SyncContext) -> Any:
        raise NonRetryableError("never")

    return app


def call_body(attempt: int = 0, streams: bool = True, **more: Any) -> bytes:
    context = {"run_id": "01M7X48DDQY5A8AA99DVBKTVDC", "attempt": attempt, "max_attempts": 4, "stack": {"stack": [], "current": 0}}
    if streams:
        context["fn_id"] = "shop-f"
    event = {"id": "e", "name": "shop/x", "data": {"n": 1}, "ts": 1, "user": {}}
    return json.dumps({"event": event, "events": [event], "steps": {}, "ctx": {**context, **more.pop("ctx", {})}, **more}).encode()


def ask(app: FlowForge, method: str, query: str, body: bytes = b"", headers: Optional[Dict[str, str]] = None) -> Answered:
    return app.service("test").handle(Request(method, URL, query, headers or {}, body))


def lines_of(app: FlowForge, text: bytes) -> List[Any]:
    found = []
    for line in text.split(b"\n"):
        if app.settings.signing_key and line:
            header, _, line = line.partition(b" ")
            verify([app.settings.signing_key], header.decode(), line)
        if line:
            found.append(json.loads(line))
    return found


# --- adapters: each is asked as its server asks it ---


def stdlib(app: FlowForge) -> Ask:
    import http.client

    from flowforge.server import Server

    server = Server(app, "127.0.0.1", 0, "/api/flowforge")
    server.start()

    def asked(method: str, target: str, body: bytes, headers: Dict[str, str]) -> Asked:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    return asked


def wsgi(application: Any) -> Ask:
    def asked(method: str, target: str, body: bytes, headers: Dict[str, str]) -> Asked:
        parts = urlsplit(target)
        environ: Dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": parts.path,
            "SCRIPT_NAME": "",
            "QUERY_STRING": parts.query,
            "SERVER_NAME": "app.test",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "app.test",
            "wsgi.url_scheme": "http",
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/json",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
        }
        told: List[Any] = []
        answer = application(environ, lambda status, head, *_: told.extend((int(status.split()[0]), head)))
        content = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        return told[0], {name.lower(): value for name, value in told[1]}, content

    return asked


def asgi(application: Any) -> Ask:
    import asyncio

    async def talk(method: str, target: str, body: bytes, headers: Dict[str, str]) -> Asked:
        parts = urlsplit(target)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "root_path": "",
            "query_string": parts.query.encode(),
            "scheme": "http",
            "server": ("app.test", 80),
            "client": ("127.0.0.1", 1),
            "headers": [(b"host", b"app.test"), *((name.encode(), value.encode()) for name, value in headers.items())],
        }
        messages = [{"type": "http.request", "body": body[:10], "more_body": True}, {"type": "http.request", "body": body[10:]}]
        sent: List[Any] = []

        async def receive() -> Any:
            if messages:
                return messages.pop(0)
            await asyncio.sleep(3600)

        async def send(message: Any) -> None:
            sent.append(message)

        await application(scope, receive, send)
        head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], head, b"".join(each.get("body", b"") for each in sent[1:])

    return lambda *request: asyncio.run(talk(*request))


ADAPTERS: Dict[str, Callable[[FlowForge], Ask]] = {
    "stdlib": stdlib,
    **{name: lambda app, make=make: asgi(make(app)) for name, make in ASGI.items()},
    **{name: lambda app, make=make: wsgi(make(app)) for name, make in WSGI.items()},
}


@pytest.mark.parametrize("signed", [False, True], ids=["dev", "signed"])
@pytest.mark.parametrize("name", list(ADAPTERS))
def test_an_adapter_carries_calls_lines_and_registration(name: str, signed: bool) -> None:
    app = make_app(KEY if signed else None)
    asked = ADAPTERS[name](app)

    def post(slug: str, body: bytes) -> Asked:
        headers = {"content-type": "application/json", "x-inngest-signature": sign(KEY, body) if signed else ""}
        return asked("POST", f"/api/flowforge?fnId=shop-{slug}&stepId=step", body, headers)

    for slug in ("three", "three-sync"):
        status, headers, content = post(slug, call_body())
        assert (status, headers["content-type"], headers["x-inngest-req-version"]) == (206, "application/x-ndjson", "2")
        assert headers["x-inngest-sdk"].startswith("flowforge-py:v")
        lines = lines_of(app, content)
        assert [line["op"] for line in lines] == ["StepRun"] * 3 + ["RunComplete"]
        assert lines[1]["data"] == [1, "é"] and lines[1]["id"] == hash_step("s1")
        assert lines[-1]["data"] == [[0, "é"], [1, "é"], [2, "é"]]
    status, headers, content = post("echo", call_body(attempt=2))
    assert (status, json.loads(content)) == (200, [{"n": 1}, "01M7X48DDQY5A8AA99DVBKTVDC", 2, 4, 1])
    if signed:
        verify([KEY], headers["x-inngest-signature"], content)
        status, headers, content = asked(
            "POST", "/api/flowforge?fnId=shop-echo&stepId=step", call_body(), {"content-type": "application/json"}
        )
        assert (status, json.loads(content)) == (401, {"message": "Unauthorized"})
        assert "x-inngest-sdk" not in headers
    body = b'{"url":"x"}'
    headers = {
        "x-inngest-sync-kind": "in_band",
        "content-type": "application/json",
        "x-inngest-signature": sign(KEY, body) if signed else "",
    }
    status, headers, content = asked("PUT", "/api/flowforge", body, headers)
    assert (status, headers["x-inngest-sync-kind"]) == (200, "in_band")
    told = json.loads(content)
    assert told["app_id"] == "shop" and len(told["functions"]) == 5
    assert urlsplit(told["functions"][0]["steps"]["step"]["runtime"]["url"]).path == "/api/flowforge"
    assert told["framework"] == ("python" if name == "stdlib" else name)
    status, _, content = asked("GET", "/api/flowforge", b"", {})
    assert (status, json.loads(content)["function_count"]) == (200, 5)


# --- answers ---


def test_an_error_says_whether_and_when_to_try_again() -> None:
    app = make_app()
    answered = ask(app, "POST", "fnId=shop-refuses", call_body())
    assert (answered.status, answered.headers["x-inngest-no-retry"]) == (400, "true")
    told = json.loads(answered.body)
    assert (told["name"], told["message"]) == ("NonRetryableError", "never")
    assert "refuses" in told["stack"]
    done = {"steps": {hash_step("first"): {"data": 1}}}
    answered = ask(app, "POST", "fnId=shop-busy", call_body(**done))
    assert (answered.status, answered.headers["x-inngest-no-retry"], answered.headers["retry-after"]) == (500, "false", "30")
    (first, last) = lines_of(app, b"".join(ask(app, "POST", "fnId=shop-busy", call_body()).lines or []))
    assert (first["op"], last["op"], last["retry_after"]) == ("StepRun", "StepError", "30")


def test_a_call_that_cannot_be_answered_is_told_why() -> None:
    app = make_app()
    assert ask(app, "POST", "fnId=shop-none", call_body()).status == 404
    assert ask(app, "POST", "fnId=shop-echo", b"{nonsense").status == 400
    assert ask(app, "POST", "fnId=shop-echo", b"[]").status == 400
    assert ask(app, "DELETE", "").status == 405
    (missing,) = json.loads(ask(app, "POST", f"fnId=shop-three-sync&stepId={hash_step('gone')}", call_body(streams=False)).body)
    assert missing["op"] == "StepNotFound"
    answered = ask(app, "PUT", "")
    assert answered.status == 500 and "did not answer" in json.loads(answered.body)["message"]


def test_a_step_that_is_called_for_is_the_only_one_that_runs() -> None:
    app = make_app()
    ran = []

    @app.function(id="fan")
    async def fan(ctx: Context) -> Any:
        return await step.parallel(*(step.run(f"s{n}", lambda n=n: ran.append(n)) for n in range(3)))

    answered = ask(app, "POST", "fnId=shop-fan", call_body())
    assert [each["op"] for each in json.loads(answered.body)] == ["StepPlanned"] * 3
    answered = ask(app, "POST", f"fnId=shop-fan&stepId={hash_step('s1')}", call_body(streams=False))
    assert [(each["op"], each["displayName"]) for each in json.loads(answered.body)] == [("StepRun", "s1")]
    assert ran == [1]


def test_who_stops_reading_stops_the_function() -> None:
    app = make_app()
    ran: List[int] = []

    @app.function(id="long")
    def long(ctx: SyncContext) -> None:
        for n in range(100_000):
            ctx.step.run("s", lambda n=n: ran.append(n))

    answered = ask(app, "POST", "fnId=shop-long", call_body())
    assert answered.lines is not None
    next(answered.lines)
    answered.lines.close()  # type: ignore[attr-defined]
    import time

    time.sleep(0.1)
    count = len(ran)
    time.sleep(0.1)
    assert len(ran) == count < 100_000


def test_a_signed_app_proves_its_key_and_shows_how_it_is_configured() -> None:
    app = make_app(KEY)
    assert ask(app, "POST", "probe=trust", b"", {"x-inngest-signature": sign(KEY, b"")}).status == 200
    assert ask(app, "POST", "probe=trust", b"", {"x-inngest-signature": sign("signkey-test-00", b"")}).status == 401
    told = json.loads(ask(app, "GET", "", b"", {"x-inngest-signature": sign(KEY, b"")}).body)
    assert told["authentication_succeeded"] is True and told["signing_key_hash"] == "223e0a160af9"
    told = json.loads(ask(app, "GET", "").body)
    assert told["authentication_succeeded"] is False and "signing_key_hash" not in told


# --- settings ---


def test_settings_come_from_the_environment() -> None:
    settings = Settings.read(
        {"FLOWFORGE_URL": "https://flow.test/", "FLOWFORGE_SIGNING_KEY": KEY, "FLOWFORGE_API_KEY": "ff_live_1"}, event_key="given"
    )
    assert (settings.url, settings.event_key, settings.is_dev) == ("https://flow.test", "given", False)
    assert settings.client_bearers() == ["ff_live_1"] and settings.app_bearers()[0].startswith("signkey-test-")
    assert Settings.read({}).url == "http://localhost:8288"
