"""What the server asks an app over HTTP, and the app's answers, whatever framework carries them.

PUT registers, POST calls a function, GET tells how the app is configured. Adapters turn their framework's request into a `Request`
and our `Answered` into its response, and do nothing else.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, AsyncGenerator, Callable, Coroutine, Dict, Iterator, Mapping, Optional, Tuple, TypeVar, Union
from urllib.parse import parse_qs, quote

from .call import ENTRY, Answer, Call, retry_after_text
from .errors import ApiError, FlowForgeError, SignatureError, describe
from .events import Event
from .function import Function
from .plan import Operation, Operations
from .settings import VERSION, sdk_headers
from .signing import hash_key, sign, verify
from .transport import ask, check

if TYPE_CHECKING:
    from .app import FlowForge

log = logging.getLogger("flowforge")
T = TypeVar("T")
JSON = Dict[str, Any]


@dataclass
class Request:
    """A request to an app. Attributes: method, url (without the query), query, headers (names in lower case), body."""

    method: str
    url: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def parameter(self, name: str) -> Optional[str]:
        """A parameter of the query."""
        values = parse_qs(self.query).get(name)
        return values[0] if values else None


@dataclass
class Answered:
    """The response of an app: a body, or lines that come one by one. Who can send no more of them closes the iterator."""

    status: int
    headers: Dict[str, str]
    body: bytes = b""
    lines: Optional[Iterator[bytes]] = None
    async_lines: Optional[AsyncGenerator[bytes, None]] = None


class Loop:
    """An event loop in a thread of its own, for async functions of apps whose server has none. One for all calls, so that what belongs to
    a loop, like a pool of connections, can be shared by them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Has the loop do the work; gives what tells the thread at hand when it is done."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="flowforge-loop", daemon=True).start()
            loop = self._loop
        return asyncio.run_coroutine_threadsafe(work, loop)


_loop = Loop()


class Service:
    """An app as its server sees it."""

    def __init__(self, app: FlowForge, framework: str) -> None:
        self.app = app
        self.framework = framework

    def handle(self, request: Request) -> Answered:
        """Answers a request in the thread at hand."""
        try:
            prepared = self._prepare(request)
            if isinstance(prepared, Answered):
                return prepared
            function, call = prepared
            if self._has_lines(call):
                return self._begin_lines(function, call)
            answer = _loop.start(function.call_async(call)).result() if function.is_async else function.call_sync(call)
        except Exception as error:
            return self._failed(error)
        return self._answer(answer)

    async def handle_async(self, request: Request) -> Answered:
        """Answers a request in the event loop at hand; what blocks runs in a thread."""
        try:
            prepared = await asyncio.to_thread(self._prepare, request)
            if isinstance(prepared, Answered):
                return prepared
            function, call = prepared
            if self._has_lines(call):
                return await self._begin_async_lines(function, call)
            answer = await (function.call_async(call) if function.is_async else asyncio.to_thread(function.call_sync, call))
        except Exception as error:
            return self._failed(error)
        return await asyncio.to_thread(self._answer, answer)

    # --- answers that come line by line ---

    def _has_lines(self, call: Call) -> bool:
        return self.app.streaming == "lines" and call.report is not None

    def _begin_lines(self, function: Function, call: Call) -> Answered:
        """Lets the function run on its own; gives its answer, or the lines once it has finished a step."""
        items: SimpleQueue[Union[_Line, Answer]] = SimpleQueue()
        lines = _Lines(items.put)
        call.report = lines.report

        def work() -> None:
            try:
                answer = _loop.start(function.call_async(call)).result() if function.is_async else function.call_sync(call)
            except BaseException as error:
                answer = Answer.of_error(error)
            items.put(answer)

        threading.Thread(target=contextvars.copy_context().run, args=(work,), name=f"flowforge-{function.id}", daemon=True).start()
        first = items.get()
        if isinstance(first, Answer):
            return self._answer(first)
        return Answered(206, self._line_headers(), lines=self._lines(first, items, lines))

    def _lines(self, item: Union[_Line, Answer], items: SimpleQueue[Union[_Line, Answer]], lines: _Lines) -> Iterator[bytes]:
        try:
            while not isinstance(item, Answer):
                yield self._line(item.op)
                item.left.set()
                item = items.get()
            for op in item.last_ops():
                yield self._line(op)
        finally:
            lines.open = False

    async def _begin_async_lines(self, function: Function, call: Call) -> Answered:
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[Union[_Line, Answer]] = asyncio.Queue()

        def put(item: Union[_Line, Answer]) -> None:
            loop.call_soon_threadsafe(items.put_nowait, item)

        lines = _Lines(put)
        call.report = lines.report

        async def work() -> None:
            try:
                put(await (function.call_async(call) if function.is_async else asyncio.to_thread(function.call_sync, call)))
            except BaseException as error:
                put(Answer.of_error(error))

        task = asyncio.ensure_future(work())
        first = await items.get()
        if isinstance(first, Answer):
            return self._answer(first)
        return Answered(206, self._line_headers(), async_lines=self._async_lines(first, items, lines, task))

    async def _async_lines(
        self,
        item: Union[_Line, Answer],
        items: asyncio.Queue[Union[_Line, Answer]],
        lines: _Lines,
        task: asyncio.Future[None],
    ) -> AsyncGenerator[bytes, None]:
        try:
            while not isinstance(item, Answer):
                yield self._line(item.op)
                item.left.set()
                item = await items.get()
            for op in item.last_ops():
                yield self._line(op)
            await task
        finally:
            lines.open = False

    def _line_headers(self) -> Dict[str, str]:
        more = {"content-type": "application/x-ndjson", "cache-control": "no-store", "x-accel-buffering": "no"}
        return {"x-inngest-req-version": "2", **sdk_headers(self.framework), **more}

    def _line(self, op: Operation) -> bytes:
        text = _dumps(op)
        key = self.app.settings.signing_key
        return (b"" if key is None else sign(key, text).encode() + b" ") + text + b"\n"

    # --- requests ---

    def _prepare(self, request: Request) -> Answered | Tuple[Function, Call]:
        """What there is to be called, or the answer if that is nothing."""
        if request.method == "POST":
            self._verify(request)
            if request.parameter("probe") == "trust":
                return self._reply(200, b"")
            return self._call(request)
        if request.method == "PUT":
            return self._register(request)
        if request.method == "GET":
            return self._introspect(request)
        return self._reply(405, _dumps({"message": "use GET, POST or PUT"}), {"allow": "GET, POST, PUT"})

    def _verify(self, request: Request) -> None:
        if not self.app.settings.is_dev:
            verify(self.app.settings.signing_keys, request.headers.get("x-inngest-signature", ""), request.body)

    def _call(self, request: Request) -> Answered | Tuple[Function, Call]:
        try:
            told = json.loads(request.body)
            context = told["ctx"]
            run_id = str(context["run_id"])
        except (ValueError, KeyError, TypeError):
            return self._reply(400, _dumps({"name": "BadRequest", "message": "this is not a call of a function"}))
        function = self.app.find(request.parameter("fnId") or "")
        if function is None:
            message = f'the app {self.app.app_id} has no function "{request.parameter("fnId")}"; register it again'
            return self._reply(404, _dumps({"name": "FunctionNotFound", "message": message}), {"x-inngest-no-retry": "false"})
        if told.get("use_api") or context.get("use_api"):
            told["steps"] = self._fetch(run_id, "actions")
            told["events"] = self._fetch(run_id, "batch")
        events = [Event.from_json(each) for each in told.get("events") or [told["event"]]]
        call = Call(
            event=Event.from_json(told.get("event") or {}),
            events=events,
            steps=told.get("steps") or {},
            order=list((context.get("stack") or {}).get("stack") or []),
            run_id=run_id,
            attempt=int(context.get("attempt") or 0),
            max_attempts=context.get("max_attempts"),
            target=request.parameter("stepId") or ENTRY,
            plan_only=bool(context.get("disable_immediate_execution")) or function.options.limits_steps,
        )
        if self.app.streaming != "off" and context.get("fn_id") and not call.plan_only and call.target == ENTRY:
            call.report = _Reporter(self.app, context, request.headers).report
        return function, call

    def _fetch(self, run_id: str, what: str) -> Any:
        return check(ask(self.app.settings, "GET", f"/v0/runs/{quote(run_id)}/{what}", bearers=self.app.settings.app_bearers()))

    def _register(self, request: Request) -> Answered:
        url = self._own_url(request)
        if request.headers.get("x-inngest-sync-kind") == "in_band":
            self._verify(request)
            return self._reply(200, _dumps(self._in_band(url)), {"x-inngest-sync-kind": "in_band"})
        kind = request.headers.get("x-inngest-server-kind")
        try:
            result = self.app.register(url, framework=self.framework, server_kind=kind, deploy_id=request.parameter("deployId"))
        except ApiError as error:
            return self._reply(500, _dumps({"message": str(error), "modified": False}))
        return self._reply(
            200, _dumps({"message": "registered", "modified": bool(result.get("modified"))}), {"x-inngest-sync-kind": "out_of_band"}
        )

    def _own_url(self, request: Request) -> str:
        settings = self.app.settings
        origin, path = request.url.split("://", 1)[0], "/" + request.url.split("://", 1)[-1].partition("/")[2]
        host = request.url.split("://", 1)[-1].partition("/")[0]
        return (settings.serve_origin or f"{origin}://{host}").rstrip("/") + (settings.serve_path or path)

    def _in_band(self, url: str) -> JSON:
        return {
            **self.app.registration(url, self.framework),
            "app_id": self.app.app_id,
            "env": None,
            "inspection": self._configuration(),
            "platform": None,
            "sdk_author": "flowforge",
            "sdk_language": "py",
            "sdk_version": VERSION,
        }

    def _introspect(self, request: Request) -> Answered:
        told: JSON = {
            "schema_version": "2024-05-24",
            "mode": "dev" if self.app.settings.is_dev else "cloud",
            "function_count": len(self.app.registered()),
            "has_event_key": bool(self.app.settings.event_key),
            "has_signing_key": bool(self.app.settings.signing_key),
            "extra": {},
        }
        if not self.app.settings.is_dev:
            try:
                self._verify(request)
                told.update(self._configuration(), authentication_succeeded=True)
            except SignatureError:
                told["authentication_succeeded"] = False
        return self._reply(200, _dumps(told))

    def _configuration(self) -> JSON:
        settings = self.app.settings
        short = [hash_key(key).rsplit("-", 1)[-1][:12] for key in settings.signing_keys]
        event_key = hashlib.sha256(settings.event_key.encode()).hexdigest()[:12] if settings.event_key else None
        return {
            "app_id": self.app.app_id,
            "api_origin": settings.url,
            "event_api_origin": settings.url,
            "framework": self.framework,
            "sdk_language": "py",
            "sdk_version": VERSION,
            "serve_origin": settings.serve_origin,
            "serve_path": settings.serve_path,
            "signing_key_hash": short[0] if short else None,
            "signing_key_fallback_hash": short[1] if len(short) > 1 else None,
            "event_key_hash": event_key,
            "env": None,
        }

    # --- answers ---

    def _answer(self, answer: Answer) -> Answered:
        headers = {"x-inngest-no-retry": "true" if answer.final else "false"}
        if answer.retry_after is not None:
            headers["retry-after"] = retry_after_text(answer.retry_after)
        if answer.ops is not None:
            return self._reply(206, _dumps(answer.ops), headers)
        if answer.error is not None:
            return self._reply(400 if answer.final else 500, _dumps(describe(answer.error)), headers)
        return self._reply(200, _dumps(answer.output))

    def _failed(self, error: Exception) -> Answered:
        if isinstance(error, SignatureError):
            log.warning("%s", error)
            return Answered(401, {"x-inngest-sdk-handled": "true", "content-type": "application/json"}, _dumps({"message": "Unauthorized"}))
        if not isinstance(error, FlowForgeError):
            log.exception("a call could not be answered")
        return self._reply(500, _dumps(describe(error)), {"x-inngest-no-retry": "false"})

    def _reply(self, status: int, body: bytes, more: Optional[Dict[str, str]] = None) -> Answered:
        headers = {"content-type": "application/json", "x-inngest-req-version": "2", **sdk_headers(self.framework), **(more or {})}
        if self.app.settings.signing_key is not None:
            headers["x-inngest-signature"] = sign(self.app.settings.signing_key, body)
        return Answered(status, headers, body)


def _dumps(value: Any) -> bytes:
    """JSON of what has been through `plain`; an error's own words may hold what is no Unicode."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class _Line:
    """A finished step on its way to the server, and whether it has left this process."""

    def __init__(self, op: Operation) -> None:
        self.op = op
        self.left = threading.Event()


class _Lines:
    """Tells the server of finished steps in lines of the answer.

    The function goes on when a line has been written: who kills the process then kills no finished step.
    """

    def __init__(self, put: Callable[[_Line], None]) -> None:
        self._put = put
        self.open = True

    def report(self, ops: Operations) -> str:
        """See `call.Report`."""
        for op in ops:
            line = _Line(op)
            self._put(line)
            while self.open and not line.left.wait(1.0):
                pass
            if not self.open:
                return "stale"
        return "kept"


class _Reporter:
    """Tells the server of finished steps by requests, each of which is answered when the step is kept."""

    def __init__(self, app: FlowForge, context: JSON, headers: Mapping[str, str]) -> None:
        self._app = app
        self._run_id = str(context["run_id"])
        generation = headers.get("x-inngest-generation-id", "")
        self._said = {
            "run_id": self._run_id,
            "fn_id": context.get("fn_id"),
            "qi_id": context.get("qi_id"),
            "request_id": headers.get("x-request-id"),
            "generation_id": int(generation) if generation.isdigit() else None,
        }

    def report(self, ops: Operations) -> str:
        """See `call.Report`. What cannot be told now is told in the answer."""
        said = {key: value for key, value in {**self._said, "steps": ops}.items() if value is not None}
        settings = self._app.settings
        try:
            reply = ask(settings, "POST", f"/v1/checkpoint/{quote(self._run_id)}/async", said, bearers=settings.app_bearers())
        except ApiError as error:
            log.warning("a finished step is told in the answer, because: %s", error)
            return "failed"
        if reply.status == 409:
            return "stale"
        return "kept" if 200 <= reply.status < 300 else "failed"
