"""Fan-out: one run's events to many WebSockets of one gateway, messages a second and how late they come. Usage:

    fanout.py PATH_OF_FLOWFORGE [SUBSCRIBERS [MESSAGES A SECOND FOR EACH [SECONDS]]]

What is measured is the gateway: the database is the small stand-in of test/gateway, which says each message's time of commit. The subscribers
are this one process, on the same machine, so the figures are what gateway and subscribers reach together.
"""

from __future__ import annotations

import resource
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "gateway"))

from protocol_test import RUN, Bench
from websocket_test import Socket

BATCHES_A_SECOND = 20
PADDING = "x" * 120  # what a step's event is long


def publish(bench: Bench, rate: int, seconds: int) -> None:
    """Commits and announces batches at an even pace, in one session."""
    size = max(1, rate // BATCHES_A_SECOND)
    command = ["psql", "-XqAt", "-h", str(bench.home), "-U", "postgres", "-d", "flowforge"]
    with subprocess.Popen([*bench.user, *command], stdin=subprocess.PIPE, text=True) as session:
        assert session.stdin is not None
        began = time.monotonic()
        for batch in range(seconds * BATCHES_A_SECOND):
            time.sleep(max(0.0, began + batch / BATCHES_A_SECOND - time.monotonic()))
            first = batch * size + 1
            session.stdin.write(
                f"begin; insert into flowforge.news select '{RUN}', n, format(E'event: e\\nid: %s\\ndata: {{\"at\": %s, \"seq\": %s, \"data\": "
                f"\"{PADDING}\"}}\\n\\n', n, (extract(epoch from clock_timestamp()) * 1000000)::bigint, n) "
                f"from generate_series({first}, {first + size - 1}) n; notify flowforge, '{RUN}'; commit;\n")
            session.stdin.flush()


def measure(bench: Bench, subscribers: int, rate: int, seconds: int) -> None:
    clients = [Socket(bench.port) for _ in range(subscribers)]
    poll = select.epoll()
    by_fd = {}
    for client in clients:
        client.json()
        client.socket.setblocking(False)
        by_fd[client.socket.fileno()] = client.socket
        poll.register(client.socket.fileno(), select.EPOLLIN)
    wanted = max(1, rate // BATCHES_A_SECOND) * BATCHES_A_SECOND * seconds * subscribers
    publisher = threading.Thread(target=publish, args=(bench, rate, seconds))
    publisher.start()
    mark = b'{"at": '
    count, seen, late = 0, 0, []
    began = last = time.monotonic()
    while count < wanted and time.monotonic() - last < 10:
        for fd, _ in poll.poll(1):
            data = by_fd[fd].recv(1 << 15)  # small enough that its memory is not mapped anew each time
            count += data.count(mark)
            first = data.find(mark) + len(mark)  # the oldest of what has come at once
            if len(mark) <= first <= len(data) - 16:
                late.append(time.time() * 1_000_000 - int(data[first:first + 16]))
        last = time.monotonic() if count > seen else last
        seen = count
    took = last - began
    publisher.join()
    late.sort()
    used = sum(map(int, Path(f"/proc/{bench.gateway.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) / 100
    print(f"{subscribers} subscribers, {rate} messages a second each: {count} of {wanted} messages, {count / took:,.0f} a second; "
          f"late by {late[len(late) // 2] / 1000:.1f} ms (half), {late[len(late) * 99 // 100] / 1000:.1f} ms (99 %), {late[-1] / 1000:.1f} ms (all); "
          f"the gateway used {used:.1f} s of processor time", flush=True)
    assert count == wanted, "some are missing"


def main() -> None:
    numbers = [*map(int, sys.argv[2:]), *(1000, 100, 10)[len(sys.argv) - 2:]]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    bench = Bench(sys.argv[1])
    try:
        measure(bench, *numbers)
    finally:
        bench.close()


if __name__ == "__main__":
    main()
