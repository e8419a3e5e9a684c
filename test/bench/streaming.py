"""The benchmark of steps that are told while a call goes on: bash test/bench/run.sh streaming (part of `make bench`; `make install` first).

One function of ten steps, and of two hundred, served by the Python SDK and by the TypeScript SDK: a call per step, a request per step, and a line of
the answer per step. The ratio is to a call per step.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TYPESCRIPT = os.path.join(HERE, "..", "..", "sdk", "typescript")
sys.path.append(os.path.join(HERE, "..", "tap"))  # last: its modules may have the names of Python's
sys.path.insert(0, os.path.join(HERE, "..", "..", "sdk", "python", "src"))
from flowforge import Client, FlowForge, step  # noqa: E402
from flowforge.server import Server  # noqa: E402
from gateway import Gateway  # noqa: E402
from harness import Cluster  # noqa: E402

STEPS = (10, 200)
ROUNDS = 7
BAR = 2  # times a call per step
WAYS = {"off": "a call per step", "calls": "a request per step", "lines": "a line per step"}


class Python:
    """The app in this process."""

    def __init__(self, url, streaming):
        app = FlowForge(f"python-{streaming}", url, streaming=streaming)

        @app.function(id="many", trigger=app.trigger.event(f"python-{streaming}/many"))
        async def many(ctx):
            for n in range(ctx.event.data["steps"]):
                await step.run(f"s{n}", lambda: None)

        self.server = Server(app, "127.0.0.1", 0, "/api/flowforge")
        self.server.start()
        app.register(self.server.url)

    def stop(self):
        self.server.stop()


class TypeScript:
    """The app in a process of its own; it says when it is registered."""

    def __init__(self, url, streaming):
        environment = {**os.environ, "FLOWFORGE_URL": url, "STREAMING": streaming}
        self.process = subprocess.Popen(["node", os.path.join(HERE, "streaming.mjs")], env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "registered\n", "the app does not begin"

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    @staticmethod
    def build():
        if not os.path.isdir(os.path.join(TYPESCRIPT, "node_modules")):
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=TYPESCRIPT, check=True)
        subprocess.run(["npm", "run", "--silent", "build"], cwd=TYPESCRIPT, check=True)


def seconds(client, event, steps):
    """The shortest time from the first call of a run to its end."""
    runs = [client.runs.wait(client.send(event, {"steps": steps}).runs[0]) for _ in range(ROUNDS)]
    assert all(run.status == "completed" for run in runs)
    return min(run.data["timing"]["running_ms"] for run in runs) / 1000


def measure(url, kind):
    """How long runs take, by steps and way."""
    took = {}
    for streaming in WAYS:
        app = kind(url, streaming)
        try:
            for steps in STEPS:
                took[steps, streaming] = seconds(Client(url), f"{kind.__name__.lower()}-{streaming}/many", steps)
        finally:
            app.stop()
    return took


def show(name, took):
    for steps in STEPS:
        for streaming, words in WAYS.items():
            ratio = took[steps, "off"] / took[steps, streaming]
            verdict = "" if streaming != "lines" else f"   bar {BAR} times: {'met' if ratio > BAR else 'MISSED'}"
            line = f"{name}: {steps} steps of a run, {words}, steps/s"
            print(f"{line:66} {steps / took[steps, streaming]:14.0f}   {ratio:5.1f} times{verdict}", flush=True)


def main():
    TypeScript.build()
    cluster = Cluster()
    gateway = None
    try:
        gateway = Gateway(cluster)
        for kind in (Python, TypeScript):
            show(kind.__name__, measure(f"http://127.0.0.1:{gateway.port}", kind))
    finally:
        if gateway:
            gateway.stop()
        cluster.remove()


if __name__ == "__main__":
    main()
