"""FlowForge, its peers and the raw limits, side by side: compare.py [--rounds N] [--only NAME,...] [--quick].

Every figure is measured: in a database of its own, made for it from a template and dropped after it, on one private server, by a process of its
own, one at a time. A round measures everything once, row by row, each row for all, so that what disturbs the machine disturbs all alike; the
best of the rounds counts. README.md says how each peer is set up.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from bench_tools import Noop, busy_seconds, registration  # noqa: E402
from harness import Cluster, wait_for  # noqa: E402
from raw_limits import Limits, metered, url, used  # noqa: E402
from peers_table import PEERS, print_cpu, print_table, table_rows  # noqa: E402

NODE = os.path.join(HERE, "node_modules", "node", "bin", "node")
SETTINGS = {"shared_buffers": "'512MB'", "max_wal_size": "'8GB'", "checkpoint_timeout": "'30min'", "max_connections": "200", "jit": "off", "flowforge.databases": "'flowforge'"}
SYSTEMS = (*PEERS, "limit", "flowforge")
WITHOUT_WORKERS = ("send", "batch")  # rows that only send: FlowForge's executors keep away, as the peers' workers do


def measure(cluster, database, *arguments):
    """What measure.mjs says."""
    done = subprocess.run([NODE, os.path.join(HERE, "measure.mjs"), *map(str, arguments)], capture_output=True, text=True, timeout=900,
                          env=dict(os.environ, DATABASE_URL=url(cluster, database), NODE_ENV="production"))
    if done.returncode != 0 or not done.stdout.strip():
        raise RuntimeError(f"{' '.join(map(str, arguments))}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


class Comparison:
    def __init__(self, options):
        self.options = options
        self.cluster = Cluster(settings=SETTINGS, create=False)
        self.cells = {}
        os.environ["POSTMASTER"] = str(self.cluster.postmaster())

    def prepare(self, systems):
        self.can = {}
        for system in systems:
            if system == "limit":
                self.limits = Limits(self.cluster, NODE)
                continue
            self.cluster.sql(f"create database {system}_template", database="postgres")
            measure(self.cluster, f"{system}_template", system, "install")
            self.can[system] = measure(self.cluster, "postgres", system, "describe")

    def fresh(self, system, row):
        """A database as it is after installing; FlowForge's executors know theirs by its name."""
        name = "flowforge" if system == "flowforge" and row.row not in WITHOUT_WORKERS else "measured"
        self.cluster.sql(f"create database {name} template {system}_template", database="postgres")
        self.cluster.sql("checkpoint", database="postgres")
        return name

    def value(self, system, row):
        if system == "limit":
            self.cluster.sql("checkpoint", database="postgres")
            take = getattr(self.limits, row.name, None)
            return take(self.seconds(5)) if take else None
        count = self.count(system, row)
        if row.kind not in self.can[system]["kinds"] or count == 0:
            return None
        database = self.fresh(system, row)
        try:
            script = self.can[system].get("script")
            if row.row == "send":
                return (metered(self.cluster, script, self.seconds(5), 8, database) if script else
                        measure(self.cluster, database, system, "send", self.seconds(5)))
            if row.row == "http":
                return self.over_http(database, row, count)
            return measure(self.cluster, database, system, row.row, count)
        finally:
            self.cluster.sql(f"drop database {database} with (force)", database="postgres")

    def over_http(self, database, row, count):
        app = Noop("stream" if row.name == "stream" else "steps", 5)
        try:
            wait_for(self.cluster.works, 60, "all executors work")
            self.cluster.sql("select flowforge.register_app($j$" + json.dumps(registration(app.port, "http")) + "$j$)", database=database)
            return measure(self.cluster, database, "flowforge", "http", count)
        finally:
            app.stop()

    def seconds(self, full):
        return max(1, full // 4) if self.options.quick else full

    def count(self, system, row):
        full = row.size if system == "flowforge" else row.peer_size
        return full // (4 if system == "flowforge" else 10) if self.options.quick and full > 1000 else full

    def undisturbed(self, system, row):
        """What is measured, and the share of the machine that others had meanwhile."""
        busy, own, at = busy_seconds(), used(self.cluster), time.monotonic()
        value = self.value(system, row)
        whole = (time.monotonic() - at) * os.cpu_count()
        others = max(0, busy_seconds() - busy - (used(self.cluster) - own))
        self.others, self.whole = self.others + others, self.whole + whole
        return value, others / whole

    def round(self, rows, systems):
        for row in rows:
            for system in systems:
                try:
                    value, disturbed = self.undisturbed(system, row)
                except Exception as error:
                    print(f"{row.name}, {system}: {error}", file=sys.stderr, flush=True)
                    self.failed = True
                    continue
                if value is not None:
                    print(f"  {row.name:8} {system:10} {json.dumps(value):60} others {disturbed:.0%}", file=sys.stderr, flush=True)
                    self.keep(row, system, value)

    def keep(self, row, system, value):
        """The best of the rounds, for each thing that was measured by itself."""
        cells = self.cells.setdefault(row.name, {})
        if not isinstance(value, dict):
            value = {"ms": value}
        cells[system] = {name: (max if name == "rate" else min)(v, cells.get(system, value)[name]) for name, v in value.items()}

    failed, others, whole = False, 0, 0


def chosen(options):
    names = options.only.split(",") if options.only else []
    rows = table_rows()
    unknown = [n for n in names if n not in SYSTEMS and n not in (r.name for r in rows)]
    if unknown:
        sys.exit(f"compare.py: there is no {', '.join(unknown)}; rows: {', '.join(r.name for r in rows)}; systems: {', '.join(SYSTEMS)}")
    return ([r for r in rows if r.name in names] or rows), ([s for s in SYSTEMS if s in names] or list(SYSTEMS))


def main():
    parser = argparse.ArgumentParser(description="FlowForge, its peers and the raw limits, side by side.")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured; the best counts (3)")
    parser.add_argument("--only", metavar="NAME,...", help="rows and systems to measure")
    parser.add_argument("--quick", action="store_true", help="a tenth of the queues, a quarter for FlowForge, and seconds instead of five")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the server is stopped
    rows, systems = chosen(options)
    comparison = Comparison(options)
    try:
        comparison.prepare(systems)
        try:
            for number in range(options.rounds):
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
                comparison.round(rows, systems)
        except KeyboardInterrupt:  # what was measured until then is told
            comparison.failed = True
        for show in (print_table, print_cpu):
            show([r for r in rows if r.name in comparison.cells], comparison.cells, [s for s in systems if s in PEERS])
        print(f"other programs had {comparison.others / max(1, comparison.whole):.0%} of the machine meanwhile")
    finally:
        comparison.cluster.remove()
    sys.exit(comparison.failed)


if __name__ == "__main__":
    main()
