"""The scenarios' functions, served by FlowForge's package for Python: APP_ID=name python python.py. As typescript.mjs."""

from __future__ import annotations

import json
import os

from flowforge import FlowForge
from flowforge.server import Server

from functions import Functions
from side import Side

flowforge = FlowForge(os.environ["APP_ID"])
side = Side(lambda event: {"ids": flowforge.send(event, {"value": "from outside"}).ids})
Functions(flowforge, side).define()
server = Server(flowforge, "127.0.0.1", 0, "/api/flowforge")
print(json.dumps({"url": server.url, "side": side.serve()}), flush=True)
server.run()
