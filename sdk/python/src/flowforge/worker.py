"""`flowforge.work()`: serves an app and keeps it registered."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Dict, Optional

from .errors import ApiError
from .server import Server

if TYPE_CHECKING:
    from .app import FlowForge

log = logging.getLogger("flowforge")
LOOK_SECONDS = 1.0  # between looks at what is registered and at the files
AGAIN_SECONDS = 30.0  # until it is registered again though nothing has changed: the server may have lost it
FIRST_DELAY, LAST_DELAY = 0.25, 10.0  # between attempts while the server does not answer


def speak() -> None:
    """Shows people what a worker says, unless the program has said itself where messages go."""
    if not log.hasHandlers():
        shown = logging.StreamHandler()
        shown.setFormatter(logging.Formatter("flowforge: %(message)s"))
        log.addHandler(shown)
        log.setLevel(logging.INFO)


class Worker:
    """Attributes: server, registrations (how often the server has taken the registration)."""

    def __init__(self, app: FlowForge, host: str, port: int, path: str, url: Optional[str] = None, reload: bool = False) -> None:
        self.app = app
        self.server = Server(app, host, port, path)
        self.url = url or self.server.url
        self.registrations = 0
        self._reload = reload
        self._stop = threading.Event()

    def run(self) -> None:
        """Works until the process is interrupted."""
        speak()
        self.server.start()
        try:
            self.keep()
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()

    def stop(self) -> None:
        """Ends `run` and `keep`, from another thread."""
        self._stop.set()
        self.server.stop()

    def keep(self) -> None:
        """Registers, and again when there is a reason to, until stopped."""
        told, due, delay = "", 0.0, FIRST_DELAY
        files = self._files()
        while not self._stop.is_set():
            digest = json.dumps(self.app.registration(self.url, "python"), sort_keys=True)
            if digest != told or time.monotonic() >= due:
                if self._register(digest != told):
                    told, due, delay = digest, time.monotonic() + AGAIN_SECONDS, FIRST_DELAY
                else:
                    told = ""
                    self._stop.wait(delay)
                    delay = min(LAST_DELAY, delay * 2)
                    continue
            self._stop.wait(LOOK_SECONDS)
            if self._reload and files != self._files():
                log.info("a file has changed; beginning anew")
                self.server.stop()
                os.execv(sys.executable, [sys.executable, *sys.argv])

    def _register(self, new: bool) -> bool:
        try:
            self.app.register(self.url)
        except ApiError as error:
            log.warning("not registered: %s%s", error, f" ({error.hint})" if error.hint else "")
            return False
        self.registrations += 1
        if new:
            count = len(self.app.functions)
            log.info("%s is registered with %d function%s, served at %s", self.app.app_id, count, "" if count == 1 else "s", self.url)
        return True

    def _files(self) -> Dict[str, float]:
        if not self._reload:
            return {}
        found = {}
        for module in list(sys.modules.values()):
            name = getattr(module, "__file__", None)
            if name and name.startswith(os.getcwd()) and "site-packages" not in name and os.path.exists(name):
                found[name] = os.stat(name).st_mtime
        return found
