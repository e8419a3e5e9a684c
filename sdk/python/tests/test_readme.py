"""The README does what it says, against a server."""

from __future__ import annotations

import ast
import re
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest
from servers import FlowForgeServer, until

from flowforge import FlowForge
from flowforge.worker import Worker

README = Path(__file__).parents[1] / "README.md"


def paid(namespace: Dict[str, Any]) -> bool:
    """Pays again, in case the run did not wait yet."""
    namespace["client"].send("payment/received", {"id": "o1"})
    return bool(namespace["client"].runs.get(namespace["run"]).ended)


def test_every_snippet_of_the_readme_runs(dev_server: FlowForgeServer, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    workers: List[Worker] = []

    def work(app: FlowForge) -> None:
        worker = Worker(app, "127.0.0.1", 0, "/api/flowforge")
        workers.append(worker)
        threading.Thread(target=worker.run, daemon=True).start()
        until("the app is registered", lambda: worker.registrations)

    monkeypatch.setenv("FLOWFORGE_URL", dev_server.url)
    monkeypatch.setattr(FlowForge, "work", work)
    namespace: Dict[str, Any] = {"__name__": "readme"}
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    assert len(snippets) == 8
    try:
        for number, snippet in enumerate(snippets):
            if number == 2:  # the reader has had time
                until("the run has ended", lambda: paid(namespace))
            exec(compile(snippet, f"README.md, snippet {number + 1}", "exec"), namespace)
            if number == 2:
                expected = re.search(r"# (\{.*\})", snippet)
                assert expected is not None
                assert ast.literal_eval(capsys.readouterr().out) == ast.literal_eval(expected.group(1))
    finally:
        for worker in workers:
            worker.stop()
