"""The server's API from outside of functions: events, runs, workflows, approvals.

Every method waits for the server's answer and raises an `ApiError` when it refuses, with the server's code. `asend` and `asend_many` are
awaited; the others go into async code by `await asyncio.to_thread(client.runs.get, id)`.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union
from urllib.parse import quote, urlencode

from .errors import ApiError, FlowForgeError, RunFailed, UnreachableError
from .events import NewEvent, event_json
from .limits import given
from .settings import Settings, sdk_headers
from .transport import ask, check, stream
from .values import Duration, duration_text, parse_duration

JSON = Dict[str, Any]
AnyEvent = Union[NewEvent, JSON]
SEND_ATTEMPTS = 5
FIRST_PAUSE, LAST_PAUSE = 0.02, 1.0  # seconds between looks at a run that is waited for
STREAM_SILENCE = 60.0  # seconds after which a stream is taken for broken; the server says something every 15


@dataclass(frozen=True)
class Sent:
    """What came of sending events. Attributes: ids, of the events in order; runs, the ids of those they started."""

    ids: List[str]
    runs: List[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The id of the first event."""
        return self.ids[0]


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        id: a UUID; `ulid` is the same as functions see it.
        function: the slug.
        status: pending, running, paused, completed, failed or cancelled.
        output: what the function returned; error: why it failed, {name, message, …}. None in lists.
        created_at, ended_at: ISO 8601.
        data: everything the server says of it.
    """

    id: str
    ulid: str
    function: str
    status: str
    output: Any
    error: Optional[JSON]
    created_at: str
    ended_at: Optional[str]
    data: JSON

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.ended_at is not None

    @classmethod
    def from_json(cls, told: JSON) -> Run:
        """A run as the server tells it."""
        return cls(
            told["id"],
            told["ulid"],
            told["function"],
            told["status"],
            told.get("output"),
            told.get("error"),
            told["created_at"],
            told.get("ended_at"),
            told,
        )


class Page(List[Any]):
    """Part of a list. Attributes: next_cursor, to be given as `cursor` for what follows; None on the last page."""

    next_cursor: Optional[str] = None


class _Resource:
    """Things of a kind that are at one path."""

    path = ""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def _ask(self, method: str, path: str, body: Any = None, headers: Optional[Dict[str, str]] = None) -> Any:
        return check(ask(self._settings, method, f"/api/v1{path}", body, headers))

    def _post(self, path: str, body: Any = None) -> Any:
        """A POST that is done once, however often it has to be made."""
        return self._ask("POST", path, {} if body is None else body, {"idempotency-key": str(uuid.uuid4())})

    def _get(self, id: str) -> JSON:
        return dict(self._ask("GET", f"{self.path}/{quote(id)}"))

    def _do(self, id: str, verb: str, **said: Any) -> JSON:
        return dict(self._post(f"{self.path}/{quote(id)}/{verb}", given(**said)))

    def _list(self, **filters: Any) -> Page:
        told = self._ask("GET", f"{self.path}?{urlencode(given(**filters))}")
        page = Page(told["data"])
        page.next_cursor = told.get("next_cursor")
        return page


def _seconds(timeout: Duration) -> float:
    parsed = parse_duration(duration_text(timeout, "the timeout"))
    assert parsed is not None
    return parsed.total_seconds()


class Runs(_Resource):
    """Runs. Ids may be UUIDs or ULIDs."""

    path = "/runs"

    def get(self, id: str) -> Run:
        """One run with its output."""
        return Run.from_json(self._get(id))

    def list(
        self,
        *,
        function: Optional[str] = None,
        status: Optional[str] = None,
        event: Optional[str] = None,
        search: Optional[str] = None,
        since: Optional[str] = None,
        until: Optional[str] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
    ) -> Page:
        """Runs that meet the filters, newest first, as a `Page` of `Run`."""
        page = self._list(
            function=function, status=status, event=event, search=search, since=since, until=until, limit=limit, cursor=cursor
        )
        page[:] = [Run.from_json(each) for each in page]
        return page

    def steps(self, id: str) -> List[JSON]:
        """The steps of a run, as they finished."""
        return list(self._ask("GET", f"/runs/{quote(id)}/steps")["data"])

    def wait(self, id: str, timeout: Duration = "5m") -> Run:
        """Waits until a run has ended, and gives it. Raises TimeoutError when it has not in time."""
        deadline = time.monotonic() + _seconds(timeout)
        pause = FIRST_PAUSE
        while True:
            run = self.get(id)
            if run.ended:
                return run
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"run {id} has not ended in time; it is {run.status}")
            time.sleep(min(pause, left))
            pause = min(LAST_PAUSE, pause * 1.5)

    def result(self, id: str, timeout: Duration = "5m") -> Any:
        """Waits for a run and gives what its function returned. Raises RunFailed, TimeoutError."""
        run = self.wait(id, timeout)
        if run.status != "completed":
            raise RunFailed(run)
        return run.output

    def cancel(self, id: str, reason: Optional[str] = None) -> str:
        """Cancels a run; gives what that did, "cancelling" or for example "already completed"."""
        return str(self._do(id, "cancel", reason=reason)["result"])

    def retry(self, id: str) -> str:
        """Makes a run that failed or was cancelled go on, with the steps it has finished; gives "retrying" or "already running"."""
        return str(self._do(id, "retry")["result"])

    def replay(self, id: str, from_step: Optional[str] = None, input: Any = None) -> str:
        """Runs the function again as a new run, whose id it gives. With `from_step` (a name or id) what finished before that step is kept;
        `input` is then the arguments of the step (a list), and otherwise the data of the event."""
        return str(self._do(id, "replay", from_step=from_step, input=input)["id"])

    def resume(self, id: str, step: Optional[str] = None, data: Any = None) -> str:
        """Lets a step that waits go on with data; gives what that did."""
        return str(self._do(id, "resume", step_id=step, data=data)["result"])

    def stream(self, id: str) -> Iterator[JSON]:
        """Follows a run live until it has ended: a snapshot first, then each event of its log, {type, seq, step_id, data, …}.

        A connection that breaks is made again where it was. Example: `for event in client.runs.stream(run_id): print(event["type"])`
        """
        last: Optional[str] = None
        failures = 0
        while True:
            try:
                for seen, told in self._messages(id, last):
                    last, failures = seen, 0
                    yield told
                if self.get(id).ended:
                    return
            except UnreachableError:
                failures += 1
                if failures >= SEND_ATTEMPTS:
                    raise
            time.sleep(0.1)

    def _messages(self, id: str, last: Optional[str]) -> Iterator[Any]:
        bearer = self._settings.client_bearers()[0]
        headers = {**sdk_headers(), "accept": "text/event-stream"}
        if bearer:
            headers["authorization"] = f"Bearer {bearer}"
        if last is not None:
            headers["last-event-id"] = last
        for raw in stream(f"{self._settings.url}/api/v1/runs/{quote(id)}/stream", headers, STREAM_SILENCE):
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if line.startswith("id:"):
                last = line[3:].strip()
            elif line.startswith("data:"):
                yield last, json.loads(line[5:])


class _Shown(_Resource):
    """What the server tells as it is."""

    def get(self, id: str) -> JSON:
        """One of them, with all that the server says of it."""
        return self._get(id)


class Workflows(_Shown):
    """Workflows that are drawn: graphs. Ids may be UUIDs, slugs or names."""

    path = "/workflows"

    def list(
        self, *, status: Optional[str] = None, search: Optional[str] = None, limit: Optional[int] = None, cursor: Optional[str] = None
    ) -> Page:
        """Workflows, newest first: "draft", "published" or "archived" ones, with a word in their name or description."""
        return self._list(status=status, search=search, limit=limit, cursor=cursor)

    def create(self, name: str, definition: Optional[JSON] = None, **more: Any) -> JSON:
        """Makes a draft; `more`: `description`, `settings`, `triggers`, `input_schema`, …"""
        return dict(self._post(self.path, given(name=name, definition=definition, **more)))

    def update(self, id: str, **changes: Any) -> JSON:
        """Changes the draft: `name`, `definition`, `settings`, …; of a published workflow it begins the draft of the next version."""
        return dict(self._ask("PUT", f"{self.path}/{quote(id)}", changes))

    def validate(self, id: str) -> JSON:
        """What keeps the draft from being published: {valid, errors, warnings}."""
        return self._do(id, "validate")

    def publish(self, id: str) -> JSON:
        """Puts the draft into use. Raises InvalidError when it is not valid."""
        return self._do(id, "publish")

    def run(self, id: str, input: Optional[JSON] = None) -> str:
        """Runs the published version; gives the run's id."""
        return str(self._do(id, "run", input=input)["id"])

    def archive(self, id: str) -> JSON:
        """Takes it out of use."""
        return self._do(id, "archive")

    def delete(self, id: str) -> None:
        """Deletes a draft or an archived workflow."""
        self._ask("DELETE", f"{self.path}/{quote(id)}")


class Approvals(_Shown):
    """Requests for decisions, which `step.approve` makes."""

    path = "/approvals"

    def list(
        self, *, status: Optional[str] = None, run: Optional[str] = None, limit: Optional[int] = None, cursor: Optional[str] = None
    ) -> Page:
        """Requests, newest first: "pending", "approved", "rejected", "expired" or "cancelled" ones, of a run."""
        return self._list(status=status, run=run, limit=limit, cursor=cursor)

    def approve(self, id: str, data: Any = None, by: Optional[str] = None) -> JSON:
        """Says yes; `data` is what the form asks for. Raises ConflictError when it was decided otherwise, InvalidError for other data."""
        return self._do(id, "approve", data=data, by=by)

    def reject(self, id: str, reason: Optional[str] = None, by: Optional[str] = None) -> JSON:
        """Says no."""
        return self._do(id, "reject", reason=reason, by=by)


class Client(_Resource):
    """The server, seen from outside of functions.

    Args: url, api_key, event_key: FLOWFORGE_URL (http://localhost:8288), FLOWFORGE_API_KEY and FLOWFORGE_EVENT_KEY if not given. With
    an event key alone events can be sent, and nothing else.

    Example: `Client().send("order/created", {"id": "o1"}).runs`
    """

    def __init__(
        self,
        url: Optional[str] = None,
        *,
        api_key: Optional[str] = None,
        event_key: Optional[str] = None,
        settings: Optional[Settings] = None,
    ) -> None:
        self.settings = settings or Settings.read(url=url, api_key=api_key, event_key=event_key)
        super().__init__(self.settings)
        self.runs = Runs(self.settings)
        self.workflows = Workflows(self.settings)
        self.approvals = Approvals(self.settings)

    def send(
        self,
        event: Union[str, AnyEvent],
        data: Any = None,
        *,
        id: Optional[str] = None,
        ts: Optional[int] = None,
        user: Optional[JSON] = None,
    ) -> Sent:
        """Sends an event: a name with data (a dict, a dataclass, a pydantic model), a `NewEvent`, or a dict as the API has it.

        It is sent again when the server does not answer, and is recorded once. An `id` makes repeats of the event harmless for a day.

        Example: `client.send("order/created", {"id": "o1"}, id="order-o1")`
        """
        return self.send_many([NewEvent(event, data, id, ts, user) if isinstance(event, str) else event])

    def send_many(self, events: Sequence[AnyEvent]) -> Sent:
        """Sends up to 5,000 events, all or none."""
        if not events:
            return Sent([])
        told = [event_json(each) for each in events]
        key = str(uuid.uuid4())
        for attempt in range(SEND_ATTEMPTS):
            try:
                return self._send(told, key)
            except ApiError as error:
                if attempt == SEND_ATTEMPTS - 1 or not (error.status == 0 or error.status in (429, 502, 503, 504)):
                    raise
                time.sleep(0.1 * 2**attempt)
        raise FlowForgeError("events could not be sent")

    def _send(self, events: List[JSON], key: str) -> Sent:
        settings = self.settings
        if settings.event_key and not settings.api_key and not settings.signing_key:
            for each in events:  # nothing else makes repeats harmless here
                each.setdefault("id", str(uuid.uuid4()))
            return Sent(list(check(ask(settings, "POST", f"/e/{quote(settings.event_key)}", events, bearers=[""]))["ids"]))
        told = self._ask("POST", "/events/batch", events, {"idempotency-key": key})
        return Sent(list(told["ids"]), [run["id"] for run in told["runs"]])

    async def asend(
        self,
        event: Union[str, AnyEvent],
        data: Any = None,
        *,
        id: Optional[str] = None,
        ts: Optional[int] = None,
        user: Optional[JSON] = None,
    ) -> Sent:
        """`send`, awaited."""
        return await asyncio.to_thread(lambda: self.send(event, data, id=id, ts=ts, user=user))

    async def asend_many(self, events: Sequence[AnyEvent]) -> Sent:
        """`send_many`, awaited."""
        return await asyncio.to_thread(self.send_many, events)

    def signal(self, name: str, data: Any = None) -> str:
        """Sends a signal to the run that waits for it; gives the run's id. Raises NotFoundError when none waits."""
        return str(check(ask(self.settings, "POST", "/v1/signals", {"signal": name, "data": data}))["data"]["run_id"])
