"""Servers that tests share; they are started when the first test wants one."""

from __future__ import annotations

from typing import Iterator

import pytest
from servers import FlowForgeServer


@pytest.fixture(scope="module", params=["dev", "signed"])
def server(request: pytest.FixtureRequest) -> Iterator[FlowForgeServer]:
    """A server in development mode and then one with keys: every test that asks for it is run with both."""
    server = FlowForgeServer(signed=request.param == "signed")
    try:
        yield server
    finally:
        if request.session.testsfailed:
            print(server.cluster.tail())
        server.stop()


@pytest.fixture(scope="module")
def dev_server() -> Iterator[FlowForgeServer]:
    """A server in development mode."""
    server = FlowForgeServer()
    try:
        yield server
    finally:
        server.stop()
