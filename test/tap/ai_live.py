"""What people who follow a run see of a model's answer as it comes: through the executor, the database and the gateway, to a client."""
import http.client
import json
import os
import re
import subprocess
import threading
import time

from ai_wire import KEY, Everywhere, prepared
from harness import free_port, run, wait_for
from script import end, op, start

PROGRAM = os.environ.get("FLOWFORGE_BIN", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "gateway", "flowforge"))
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


class Gateway:
    def __init__(self, cluster):
        self.port = free_port()
        database = f"postgresql://flowforge_gateway@127.0.0.1:{cluster.port}/{cluster.database}"
        self.process = subprocess.Popen([PROGRAM, "serve", "--db", database, "-p", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.ready, 20, "the gateway is ready")

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        return connection.getresponse()

    def ready(self):
        try:
            return self.get("/ready").status == 200
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class Follower(threading.Thread):
    """Follows a run to its end: messages as (event, id, data, when)."""

    def __init__(self, gateway, run_id):
        super().__init__()
        self.messages = []
        self.response = gateway.get(f"/api/v1/runs/{run_id}/stream")
        assert self.response.status == 200
        self.start()

    def run(self):
        fields = {}
        for line in self.response:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "" and "event" in fields:
                self.messages.append((fields["event"], fields.get("id"), json.loads(fields["data"]), time.monotonic()))
            fields = {} if name == "" else {**fields, name: value}

    def deltas(self):
        self.join(30)
        assert not self.is_alive(), "the stream does not end"
        return [message for message in self.messages if message[0] == "step.delta"]


class Model:
    """Streams pieces of text when it is let, and whole answers of OpenAI's format."""

    def __init__(self, pieces, pause=0.0):
        self.pieces, self.pause, self.go, self.begun = pieces, pause, threading.Event(), threading.Event()

    def __call__(self, wfile, _):
        wfile.write(SSE)
        for piece in self.pieces:
            self.say(wfile, {"delta": {"content": piece}})
            if not self.begun.is_set():
                self.begun.set()
                assert self.go.wait(30)
            time.sleep(self.pause)
        self.say(wfile, {"delta": {}, "finish_reason": "stop"})
        return False

    @staticmethod
    def say(wfile, choice):
        wfile.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
        wfile.flush()


def streamed(cluster, app, web, model, **options):
    web.answers = Everywhere(model)
    return start(cluster, app, [op("Ai", "ask", provider="openai", model="gpt-4o", prompt="x", stream=True, **options)])


def content(cluster, run_id):
    return end(cluster, run_id)[1]["ask"]["data"]["content"]


def gateway_of(use):
    cluster, app, web = prepared(use)
    return cluster, app, web, use(Gateway(cluster))


def test_a_follower_sees_the_text_as_it_comes_and_can_put_it_together(use):
    cluster, app, web, gateway = gateway_of(use)
    words = ["Once ", "upon ", "a tîme \n", "\"there\" ", "was 🗼 ", "\\ and no end."] * 20
    model = Model(words, 0.01)
    run_id = streamed(cluster, app, web, model)
    assert model.begun.wait(20)
    follower = Follower(gateway, run_id)
    time.sleep(0.5)
    model.go.set()
    deltas = follower.deltas()
    assert len(deltas) > 5, deltas
    text = ""
    for _, number, data, _ in deltas:
        assert number is None and data["offset"] == len(text), data
        assert (data["type"], data["run_id"], data["step_id"], data["attempt"]) == ("step.delta", run_id, "ask".ljust(40, "0"), 0), data
        text += data["text"]
    assert text == "".join(words) == content(cluster, run_id), text
    kinds = [message[0] for message in follower.messages]
    assert kinds[-1] == "run.completed" and kinds.index("step.completed") > max(i for i, kind in enumerate(kinds) if kind == "step.delta"), kinds
    numbers = [int(number) for _, number, _, _ in follower.messages if number is not None]
    assert numbers == sorted(set(numbers)), "what is only for watching disturbs the seqs"
    assert cluster.sql(f"select count(*) from flowforge.run_event_batch where run_id = '{run_id}' and events::text like '%delta%'") == "0"


def test_text_is_gathered_for_50_ms_before_it_is_told(use):
    cluster, app, web, gateway = gateway_of(use)
    model = Model(["ab"] * 300, 0.004)
    run_id = streamed(cluster, app, web, model)
    assert model.begun.wait(20)
    follower = Follower(gateway, run_id)
    time.sleep(0.5)
    model.go.set()
    deltas = follower.deltas()
    took = deltas[-1][3] - deltas[0][3]
    assert 5 < len(deltas) < took / 0.05 + 5, (len(deltas), took)
    assert "".join(data["text"] for _, _, data, _ in deltas) == "ab" * 300


def test_what_has_come_is_told_while_the_model_pauses(use):
    cluster, app, web, gateway = gateway_of(use)
    model = Model(["a", "b", "c"], 0.8)
    run_id = streamed(cluster, app, web, model)
    assert model.begun.wait(20)
    follower = Follower(gateway, run_id)
    time.sleep(0.3)
    model.go.set()
    deltas = follower.deltas()
    assert "".join(data["text"] for _, _, data, _ in deltas) == "abc" and deltas[-1][3] - deltas[-2][3] > 0.5, deltas


def test_long_pieces_are_told_in_parts_that_a_notification_can_hold(use):
    cluster, app, web, gateway = gateway_of(use)
    pieces = ["start ", "x" * 20000, "é" * 9000, "\x01" * 5000, "🗼" * 4000, "end"]
    model = Model(pieces)
    run_id = streamed(cluster, app, web, model)
    assert model.begun.wait(20)
    follower = Follower(gateway, run_id)
    time.sleep(0.5)
    model.go.set()
    text = ""
    for _, _, data, _ in follower.deltas():
        assert data["offset"] == len(text)
        text += data["text"]
    assert text == "".join(pieces) == content(cluster, run_id)


def test_a_key_that_comes_in_pieces_is_told_to_nobody(use):
    cluster, app, web, gateway = gateway_of(use)
    model = Model(["the key is ", *KEY, " and sk-sec", "onds"], 0.06)
    run_id = streamed(cluster, app, web, model)
    assert model.begun.wait(20)
    follower = Follower(gateway, run_id)
    time.sleep(0.5)
    model.go.set()
    deltas = follower.deltas()
    assert "".join(data["text"] for _, _, data, _ in deltas) == "the key is [redacted] and sk-seconds" == content(cluster, run_id), deltas
    assert not any(KEY[:12] in data["text"] for _, _, data, _ in deltas)


def heard(cluster, work, *before):
    """The notifications a superuser's session hears while work goes on, told beforehand what is given."""
    session = subprocess.Popen([os.path.join(subprocess.check_output(["pg_config", "--bindir"], text=True).strip(), "psql"), "-XqAt", "-h", "127.0.0.1",
                                "-p", str(cluster.port), "-U", "postgres", cluster.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    session.stdin.write("".join(f"{text};\n" for text in ("select flowforge.stream_listen()", *before)) + "select 'ready';\n")
    session.stdin.flush()
    for line in session.stdout:
        if line == "ready\n":
            break
    work()
    out, _ = session.communicate("select 'over';\n", timeout=30)
    return re.findall(r'Asynchronous notification "flowforge_[0-9a-f]{32}" with payload "(.*)" received', out)


def test_nothing_is_told_of_runs_that_nobody_follows(use):
    cluster, app, web = prepared(use)

    def play_one():
        model = Model(["a", "b"])
        model.go.set()
        assert content(cluster, streamed(cluster, app, web, model)) == "ab"

    assert heard(cluster, play_one) == []


def test_who_comes_first_but_late_is_told_from_the_beginning(use):
    cluster, app, web = prepared(use)
    model = Model(["Once ", "upon ", "a time"])
    run_id = streamed(cluster, app, web, model)
    assert model.begun.wait(20)

    def finish():
        model.go.set()
        assert content(cluster, run_id) == "Once upon a time"

    payloads = heard(cluster, finish, f"select flowforge.stream_follow(array['{run_id}']::uuid[])")
    assert payloads and all(payload.startswith(run_id + " ") for payload in payloads), payloads
    told = [json.loads(payload.partition(" ")[2]) for payload in payloads]
    assert told[0]["offset"] == 0 and "".join(one["text"] for one in told) == "Once upon a time", told


def test_an_attempt_that_fails_is_told_apart_from_the_next(use):
    cluster, app, web = prepared(use)
    first, second = Model(["wrong "]), Model(["right"])
    second.go.set()
    left = [lambda wfile, _: (wfile.write(SSE), Model.say(wfile, {"delta": {"content": "wrong "}}), first.begun.set(), first.go.wait(30), False)[-1], second]
    run_id = streamed(cluster, app, web, lambda wfile, request: left.pop(0)(wfile, request))
    assert first.begun.wait(20)

    def finish():
        first.go.set()
        assert content(cluster, run_id) == "right"

    told = [json.loads(payload.partition(" ")[2]) for payload in heard(cluster, finish, f"select flowforge.stream_follow(array['{run_id}']::uuid[])")]
    assert [(one["attempt"], one["offset"], one["text"]) for one in told] == [(0, 0, "wrong "), (1, 0, "right")], told


def test_only_the_gateway_may_listen(use):
    cluster, _, _ = prepared(use)
    cluster.sql("drop role if exists eavesdropper; create role eavesdropper")
    for call in ("flowforge.stream_listen()", "flowforge.stream_follow('{}')"):
        done = cluster.psql("-v", "VERBOSITY=sqlstate", "-c", f"set role eavesdropper; select {call}", check=False)
        assert "42501" in done.stderr, done.stderr
    assert cluster.sql("select count(*) from pg_stat_activity where query ~ 'flowforge_[0-9a-f]{32}'") == "0", "the channel's name is to be seen"


def test_every_invariant_holds_after_all_of_this(use):
    cluster, _, _ = prepared(use)
    cluster.assert_sound()


if __name__ == "__main__":
    run(globals())
