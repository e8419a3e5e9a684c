"""What the benchmarks share: how figures are said, what processes have used, and what is measured against."""
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tap"))  # the harness of the tests
from harness import BIN, free_port  # noqa: E402


def say(name, value, bar=None, good=None):
    print(f"{name:58} {value:>14}" + (f"   bar {bar}: {'met' if good else 'MISSED'}" if bar else ""), flush=True)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def executor_pids(cluster):
    return [int(p) for p in cluster.sql("select string_agg(pid::text, ',') from flowforge.executors()").split(",")]


def process_times(pid):
    """A process' parent, and the CPU seconds of itself and of the children it has reaped."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    own, reaped = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return int(fields[1]), own / os.sysconf("SC_CLK_TCK"), reaped / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    return sum(process_times(pid)[1] for pid in pids)


def server_cpu_seconds(cluster):
    """All processes of the server: executors, backends, writers, and those that have ended. One that ends meanwhile could be counted in both
    places, or in none; then all are counted anew."""
    postmaster = cluster.postmaster()
    while True:
        first = process_times(postmaster)
        total = sum(first[1:])
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    parent, own, reaped = process_times(int(name))
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if parent == postmaster:
                    total += own + reaped
        if process_times(postmaster)[2] == first[2]:
            return total


def busy_seconds():
    """CPU seconds that the machine has worked, for whomever."""
    user, nice, system, _, _, irq, softirq = map(int, open("/proc/stat").readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def anonymous_kb(pids):
    return sum(int(re.search(r"RssAnon:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) for pid in pids)


def registration(port, name="one"):
    """An app of one function, bench-NAME, which the event bench/NAME starts."""
    url = f"http://127.0.0.1:{port}/api/inngest"
    return {"url": url, "appName": "bench", "framework": "none", "sdk": "js:v0", "v": "0.1", "functions": [{
        "id": f"bench-{name}", "name": name, "triggers": [{"event": f"bench/{name}"}], "steps": {"step": {
            "id": "step", "name": "step", "retries": {"attempts": 3},
            "runtime": {"type": "http", "url": f"{url}?fnId=bench-{name}&stepId=step"}}}}]}


class Noop:
    """The app of noop_app.c, compiled to what NOOP_APP names."""

    def __init__(self, *arguments, times=None):
        self.port = free_port()
        environment = dict(os.environ, **({"NOOP_TIMES": times} if times else {}))
        self.process = subprocess.Popen([os.environ["NOOP_APP"], str(self.port), *map(str, arguments)], env=environment)
        time.sleep(0.2)

    def stop(self):
        self.process.kill()
        self.process.wait()


def pgbench(cluster, script, seconds=6, clients=8, database=None):
    """Transactions a second of a script."""
    path = os.path.join(cluster.directory, "script.sql")
    with open(path, "w") as f:
        f.write(script)
    out = subprocess.run([f"{BIN}/pgbench", "-n", "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds), "-M", "prepared", "-f", path, "-h",
                          cluster.directory, "-p", str(cluster.port), "-U", "postgres", database or cluster.database],
                         capture_output=True, text=True, check=True).stdout
    return float(re.search(r"tps = ([\d.]+)", out).group(1))
