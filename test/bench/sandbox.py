"""The sandbox's benchmark: bash test/bench/run.sh sandbox (part of `make bench`; `make install` first).

A trivial call, from the order to the answer and to the child's end, one after another and four at a time. What it is compared with is the
start of another engine for the same, measured in the same run.
"""
import os
import selectors
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sandbox"))
from sandbox import REQUEST, Zygote  # noqa: E402

CALLS = 2000
BAR = 5.0  # ms
BODY = b'{"code": "return {n: input.n + 1}", "context": {"a": {"n": 1}}, "input": {"n": 1}}'


def node():
    began = time.perf_counter()
    subprocess.run(["node", "-e", "({n: 1 + 1})"], check=True)
    return (time.perf_counter() - began) * 1000


def answered(zygote):
    """Milliseconds until the answer is there, and until the child is gone."""
    began = time.perf_counter()
    number, stream = zygote.start()
    stream.sendall(struct.pack("=II", len(BODY), REQUEST) + BODY)
    zygote.frame(stream)
    answer = time.perf_counter()
    stream.close()
    zygote.wait_ended(number)
    return (answer - began) * 1000, (time.perf_counter() - began) * 1000


def side_by_side(zygote, width):
    """Calls a second, so many at a time."""
    selector = selectors.DefaultSelector()
    left, under_way = CALLS, 0
    began = time.perf_counter()
    while left or under_way:
        while left and under_way < width:
            _, stream = zygote.start()
            stream.sendall(struct.pack("=II", len(BODY), REQUEST) + BODY)
            selector.register(stream, selectors.EVENT_READ)
            left, under_way = left - 1, under_way + 1
        for key, _ in selector.select():
            zygote.frame(key.fileobj)
            selector.unregister(key.fileobj)
            key.fileobj.close()
            zygote.notice()
            under_way -= 1
    return CALLS / (time.perf_counter() - began)


def percentile(values, part):
    return sorted(values)[int(len(values) * part)]


def show(name, value, note=""):
    print(f"{name:58} {value:14.2f}{note}")


def main():
    program = os.path.join(subprocess.check_output(["pg_config", "--bindir"], text=True).strip(), "flowforge-sandbox")
    nodes = [node() for _ in range(10)]
    zygote = Zygote(program)
    for _ in range(100):
        answered(zygote)
    calls = [answered(zygote) for _ in range(CALLS)]
    rate = side_by_side(zygote, 4)
    zygote.close()
    good = percentile([call[0] for call in calls], 0.5) < BAR
    show("the start of a zygote, ms", zygote.start_ms)
    for name, values in (("a trivial call until its answer", [call[0] for call in calls]),
                         ("a trivial call until its process is gone", [call[1] for call in calls])):
        for part in (50, 99):
            show(f"{name}, p{part}, ms", percentile(values, part / 100))
    show("an answer, as a ratio to the start of node, p50", percentile([call[0] for call in calls], 0.5) / percentile(nodes, 0.5))
    show("calls a second, 4 at a time", rate)
    show("an answer, p50, ms", percentile([call[0] for call in calls], 0.5), f"   bar {BAR}: {'met' if good else 'MISSED'}")


if __name__ == "__main__":
    main()
