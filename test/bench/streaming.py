"""The benchmark of steps that are told while a call goes on: bash test/bench/run.sh streaming (part of `make bench`; `make install` first).

One function of many steps, served by the Python SDK: a call per step, a request per step, and a line of the answer per step. The ratio is to a call
per step.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "tap"))  # last: its modules may have the names of Python's
sys.path.insert(0, os.path.join(HERE, "..", "..", "sdk", "python", "src"))
from flowforge import FlowForge, step  # noqa: E402
from flowforge.server import Server  # noqa: E402
from gateway import Gateway  # noqa: E402
from harness import Cluster  # noqa: E402

STEPS = 200
ROUNDS = 5
BAR = 2  # times a call per step


def serve(gateway):
    app = FlowForge("bench", f"http://127.0.0.1:{gateway.port}")

    @app.function(id="many", trigger=app.trigger.event("bench/many"))
    async def many(ctx):
        for n in range(STEPS):
            await step.run(f"s{n}", lambda: None)

    server = Server(app, "127.0.0.1", 0, "/api/flowforge")
    server.start()
    app.register(server.url)
    return app


def seconds(app):
    """The shortest time from the first call of a run to its end."""
    runs = [app.runs.wait(app.send("bench/many").runs[0]) for _ in range(ROUNDS)]
    assert all(run.status == "completed" for run in runs)
    return min(run.data["timing"]["running_ms"] for run in runs) / 1000


def main():
    cluster = Cluster()
    gateway = None
    try:
        gateway = Gateway(cluster)
        app = serve(gateway)
        took = {}
        for app.streaming in ("off", "calls", "lines"):
            took[app.streaming] = seconds(app)
    finally:
        if gateway:
            gateway.stop()
        cluster.remove()
    for name, words in (("off", "a call per step"), ("calls", "a request per step"), ("lines", "a line per step")):
        ratio = took["off"] / took[name]
        verdict = "" if name != "lines" else f"   bar {BAR} times: {'met' if ratio > BAR else 'MISSED'}"
        print(f"{f'{STEPS} steps of a run, {words}, steps/s':58} {STEPS / took[name]:14.0f}   {ratio:5.1f} times{verdict}")


if __name__ == "__main__":
    main()
