"""An application around functions.py, started as a child process by the harness as ../app.mjs is.

    FRAMEWORK=fastapi|flask  APP_ID=name  PORT=0  python app.py

Its environment (INNGEST_DEV, or INNGEST_BASE_URL with keys) is all it knows about the server. Prints {"port": n} when it listens;
beside /api/inngest it answers GET /calls/{run}, GET /seen/{key} and POST /send.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
from typing import Any

import fastapi
import flask
import inngest
import inngest.fast_api
import inngest.flask
import uvicorn
import werkzeug.serving

from blocking import blocking
from flow import define_flow
from functions import Definitions, define_functions

framework = os.environ["FRAMEWORK"]
quiet = logging.getLogger("quiet")
quiet.addHandler(logging.NullHandler())
quiet.propagate = False
client = inngest.Inngest(app_id=os.environ["APP_ID"], logger=quiet, app_version=os.environ.get("APP_VERSION"))
definitions = Definitions(client, blocking if framework == "flask" else lambda handler: handler)
define_functions(definitions)
define_flow(definitions)


def announce(port: int) -> None:
    print(json.dumps({"port": port}), flush=True)


def read_events(body: list[dict[str, Any]]) -> list[inngest.Event]:
    return [inngest.Event(**event) for event in body]


def serve_fastapi(listener: socket.socket) -> None:
    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, definitions.functions)

    @app.get("/calls/{run}")
    async def calls(run: str) -> Any:
        return definitions.calls.of(run)

    @app.get("/seen/{key}")
    async def seen(key: str) -> Any:
        return definitions.seen.get(key)

    @app.post("/send")
    async def send(request: fastapi.Request) -> Any:
        try:
            return {"ids": await client.send(read_events(await request.json()))}
        except Exception as error:
            return fastapi.responses.JSONResponse({"message": str(error)}, 502)

    announce(listener.getsockname()[1])
    uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_keep_alive=60)).run([listener])


def serve_flask(listener: socket.socket) -> None:
    app = flask.Flask("app")
    inngest.flask.serve(app, client, definitions.functions)
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)

    @app.get("/calls/<run>")
    def calls(run: str) -> Any:
        return flask.jsonify(definitions.calls.of(run))

    @app.get("/seen/<key>")
    def seen(key: str) -> Any:
        return flask.jsonify(definitions.seen.get(key))

    @app.post("/send")
    def send() -> Any:
        try:
            return {"ids": client.send_sync(read_events(flask.request.get_json()))}
        except Exception as error:
            return {"message": str(error)}, 502

    port = listener.getsockname()[1]
    server = werkzeug.serving.make_server("127.0.0.1", port, app, threaded=True, fd=listener.fileno())
    announce(port)
    server.serve_forever()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(os.environ.get("PORT", "0"))))
listener.listen(128)
{"fastapi": serve_fastapi, "flask": serve_flask}[framework](listener)
