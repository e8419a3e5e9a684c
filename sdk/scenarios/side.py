"""What the test sees of an application beside what the server says of it: as side.mjs, which explains it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, Set
from urllib.parse import unquote


class Side:
    """Counts entries, keeps what functions leave, and has the gates; `send` sends an event and gives its answer."""

    def __init__(self, send: Callable[[str], Any]) -> None:
        self._send = send
        self._entered: Dict[str, Dict[str, int]] = defaultdict(dict)
        self._seen: Dict[str, Any] = {}
        self._open: Set[str] = set()
        self._lock = threading.Lock()

    def enter(self, run: str, name: str) -> int:
        """Notes one entry; gives how many there were before."""
        with self._lock:
            before = self._entered[run].get(name, 0)
            self._entered[run][name] = before + 1
            return before

    def leave(self, key: str, value: Any) -> None:
        self._seen[key] = value

    def is_open(self, key: str) -> bool:
        return key in self._open

    async def passed(self, key: str) -> None:
        """Waits until the test has opened the gate."""
        while key not in self._open:
            await asyncio.sleep(0.02)

    def answer(self, place: str, key: str) -> Any:
        if place == "entered":
            return self._entered.get(key, {})
        if place == "seen":
            return self._seen.get(key)
        if place == "send":
            return self._send(key)
        self._open.add(key)
        return {}

    def serve(self) -> str:
        """Answers in a thread of its own; gives the URL."""
        side = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, place, key = self.path.split("/")
                text = json.dumps(side.answer(place, unquote(key))).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"
