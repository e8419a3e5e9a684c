"""An app: functions, and the ways to serve them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Literal, Optional

from .client import Client
from .errors import ConfigurationError
from .function import Function, Handler, failure_of, with_failures
from .options import (
    Batch,
    CancelOption,
    ConcurrencyOption,
    DebounceOption,
    Options,
    PriorityOption,
    RateOption,
    RetriesOption,
    SingletonOption,
    ThrottleOption,
    Timeouts,
    TriggerOption,
    Triggers,
)
from .serve import Service
from .settings import VERSION, Settings
from .transport import ask, check

if TYPE_CHECKING:
    from .adapters.asgi import AsgiApp
    from .adapters.wsgi import WsgiApp

PATH = "/api/flowforge"


class FlowForge(Client):
    """An app and its functions, and a client of the server.

    Args:
        app_id: the app's name; a function's slug is "app-function".
        url: of the server; FLOWFORGE_URL, or http://localhost:8288.
        event_key, signing_key, signing_key_fallback, api_key: FLOWFORGE_EVENT_KEY and so on. Without a signing key the app is
            in development mode, in which nothing is signed.
        serve_origin, serve_path: what the server reaches the app by, if that is not what its requests say.
        app_version: shown to people.
        streaming: how finished steps are told while a call goes on, so that a function of many steps is one call. "lines": in lines of the
            answer, the quickest. "calls": by a request each, which is answered when the step is kept; for proxies that hold answers back.
            "off": each step is a call.

    Example: `flowforge = FlowForge(app_id="shop")`
    """

    def __init__(
        self,
        app_id: str,
        url: Optional[str] = None,
        *,
        event_key: Optional[str] = None,
        signing_key: Optional[str] = None,
        signing_key_fallback: Optional[str] = None,
        api_key: Optional[str] = None,
        serve_origin: Optional[str] = None,
        serve_path: Optional[str] = None,
        app_version: Optional[str] = None,
        streaming: Literal["lines", "calls", "off"] = "lines",
    ) -> None:
        if not app_id:
            raise ConfigurationError("an app needs an app_id")
        super().__init__(
            settings=Settings.read(
                url=url,
                event_key=event_key,
                signing_key=signing_key,
                signing_key_fallback=signing_key_fallback,
                api_key=api_key,
                serve_origin=serve_origin,
                serve_path=serve_path,
            )
        )
        self.app_id = app_id
        self.app_version = app_version
        if streaming not in ("lines", "calls", "off"):
            raise ConfigurationError(f'streaming must be "lines", "calls" or "off"; it is {streaming!r}')
        self.streaming: Literal["lines", "calls", "off"] = streaming
        self.trigger = Triggers()
        self.functions: Dict[str, Function] = {}

    # --- functions ---

    def function(
        self,
        *,
        id: str,
        trigger: TriggerOption = None,
        name: Optional[str] = None,
        retries: RetriesOption = None,
        concurrency: ConcurrencyOption = None,
        rate: RateOption = None,
        throttle: ThrottleOption = None,
        debounce: DebounceOption = None,
        batch: Optional[Batch] = None,
        priority: PriorityOption = None,
        singleton: SingletonOption = None,
        idempotency: Optional[str] = None,
        timeouts: Optional[Timeouts] = None,
        cancel_on: CancelOption = None,
        on_failure: Optional[Handler] = None,
    ) -> Callable[[Handler], Function]:
        """Makes a function durable. It takes a `Context` and may be async or not.

        Args:
            id: its name in the app.
            trigger: what starts it, one or up to ten; none: it is started by name only.
            name: for people.
            retries: of each step, and of the code between steps: 0 to 20, or a `Retries`, which says when, too; the server's default if not
                given.
            concurrency: so many steps at once: 5, a `Concurrency`, or two.
            rate: "60/min" or a `RateLimit`. throttle: "10s", "10/1m" or a `Throttle`. debounce: "2s" or a `Debounce`.
            batch: one run for many events, a `Batch`; not together with what asks one event.
            priority: seconds of head start, -600 to 600, or an expression over `event` that gives them.
            singleton: one run at a time: "skip", "cancel" or a `Singleton`.
            idempotency: an expression, one run for each of its values in a day.
            timeouts: how long a run or a step may take, a `Timeouts`.
            cancel_on: what cancels a run: the name of an event, a `CancelOn`, or up to five.
            on_failure: called like a function when a run has failed for good; its event's data has `error`, `run_id` and the `event`.

        Raises ConfigurationError, which names the option that makes no sense.
        """
        options = Options(
            name, trigger, retries, concurrency, rate, throttle, debounce, batch, priority, singleton, idempotency, timeouts, cancel_on
        )

        def decorate(handler: Handler) -> Function:
            function = Function(self.app_id, id, handler, options)
            if on_failure is not None:
                function.on_failure = failure_of(function, on_failure)
            for each in with_failures([function]):
                if each.slug in self.functions:
                    raise ConfigurationError(f'the app {self.app_id} has two functions with the id "{each.id}"')
                self.functions[each.slug] = each
            return function

        return decorate

    def find(self, slug: str) -> Optional[Function]:
        """A function by its slug, "app-function"."""
        return self.functions.get(slug)

    def registered(self) -> List[Function]:
        """All functions, those for failures too."""
        return list(self.functions.values())

    # --- registration ---

    def registration(self, url: str, framework: str) -> Dict[str, Any]:
        """What the server is told of the app."""
        told = {
            "url": url,
            "deployType": "ping",
            "framework": framework,
            "appName": self.app_id,
            "sdk": f"py:v{VERSION}",
            "v": "0.1",
            "appVersion": self.app_version,
            "capabilities": {"trust_probe": "v1"},
            "functions": [function.registration(url) for function in self.registered()],
        }
        return {key: value for key, value in told.items() if value is not None}

    def register(
        self, url: str, *, framework: str = "python", server_kind: Optional[str] = None, deploy_id: Optional[str] = None
    ) -> Dict[str, Any]:
        """Tells the server which functions are served at a URL. Raises ApiError with the reason when it refuses.

        Example: `flowforge.register("http://worker:8080/api/flowforge")`
        """
        headers = {"x-inngest-framework": framework, "x-inngest-sync-kind": "out_of_band"}
        if server_kind:
            headers["x-inngest-expected-server-kind"] = server_kind
        body = {**self.registration(url, framework), **({"deployId": deploy_id} if deploy_id else {})}
        return dict(check(ask(self.settings, "POST", "/fn/register", body, headers, self.settings.app_bearers())))

    # --- serving ---

    def service(self, framework: str) -> Service:
        """What an adapter for a framework stands on."""
        return Service(self, framework)

    def asgi_app(self) -> AsgiApp:
        """An ASGI application, for uvicorn, hypercorn or to be mounted. Example: `app = flowforge.asgi_app()`."""
        from .adapters.asgi import AsgiApp

        return AsgiApp(self.service("asgi"))

    def wsgi_app(self) -> WsgiApp:
        """A WSGI application, for gunicorn, uwsgi or to be mounted. Example: `app = flowforge.wsgi_app()`."""
        from .adapters.wsgi import WsgiApp

        return WsgiApp(self.service("wsgi"))

    def serve(self, port: int = 8080, host: str = "127.0.0.1", path: str = PATH) -> None:
        """Serves the functions until the process is interrupted, on the standard library. Register with PUT, or use `work`."""
        from .server import Server

        Server(self, host, port, path).run()

    def work(self, port: int = 0, host: str = "127.0.0.1", path: str = PATH, url: Optional[str] = None, reload: bool = False) -> None:
        """Serves the functions, registers them, and again whenever they change or the server has lost them, until interrupted.

        Args:
            port: 0 takes a free one.
            url: what the server reaches the app by; http://host:port/path if not given.
            reload: begins anew when one of the program's files has changed.
        """
        from .worker import Worker

        Worker(self, host, port, path, url, reload).run()
