"""What the benchmarks share: how figures are said, and what processes have used."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tap"))  # the harness of the tests


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
    """All processes of the server: executors, backends, writers, and those that have ended."""
    postmaster = cluster.postmaster()
    total = sum(process_times(postmaster)[1:])
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent, own, reaped = process_times(int(name))
            except FileNotFoundError:
                continue
            if parent == postmaster:
                total += own + reaped
    return total


def anonymous_kb(pids):
    return sum(int(re.search(r"RssAnon:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) for pid in pids)
