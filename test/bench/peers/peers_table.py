"""The rows of the comparison, what FlowForge is to reach in each, and the table."""
from dataclasses import dataclass
from typing import Callable

QUEUES = ("pgmq", "pgboss", "graphile")
DURABLE = ("dbos", "absurd")
PEERS = (*QUEUES, *DURABLE)


@dataclass
class Row:
    """`row` is what rows.mjs measures and `kind` the work it needs; `lower` says that less is better."""
    name: str
    what: str
    row: str
    kind: str
    goal: str
    met: Callable[[dict], bool | None]
    size: int  # of FlowForge's work
    peer_size: int
    lower: bool = False


def best(cells, peers=PEERS, lower=False):
    values = [main(cells[p]) for p in peers if cells.get(p) is not None]
    return (min if lower else max)(values) if values else None


def main(value):
    """What counts of a cell: a rate, milliseconds, or their median."""
    return next(value[name] for name in ("rate", "ms", "p50") if name in value)


def at_least(share, of):
    """FlowForge has at least `share` of what `of` finds in the cells; None where that was not measured."""
    def met(cells):
        base = of(cells)
        return None if base is None or cells.get("flowforge") is None else main(cells["flowforge"]) >= share * base
    return met


def at_most(*limits):
    def met(cells):
        value = cells.get("flowforge")
        return None if value is None else all(value[name] <= most for name, most in limits)
    return met


def both(*conditions):
    def met(cells):
        found = [condition(cells) for condition in conditions]
        return None if None in found else all(found)
    return met


def one(system):
    return lambda cells: main(cells[system]) if system in cells else None


def durable(cells):
    return best(cells, DURABLE)


def table_rows():
    return [
        Row("send", "an event sent, 8 SQL clients, one a call", "send", "one", ">= 0.5 of the limit", at_least(0.5, one("limit")), 1, 1),
        Row("batch", "events sent, 1,000 a call", "batch", "one", ">= 0.15 of the limit", at_least(0.15, one("limit")), 50000, 20000),
        Row("drain", "single-step runs queued, drained", "drain", "one", ">= pgmq, >= 25 x DBOS", both(at_least(1, one("pgmq")), at_least(25, one("dbos"))), 20000, 20000),
        Row("five", "runs of 5 steps in process", "five", "five", ">= 40 x the best durable peer", at_least(40, durable), 20000, 2000),
        Row("http", "runs of 5 steps over HTTP, a call each", "http", "http", ">= 6 x the best durable peer", at_least(6, durable), 10000, 0),
        Row("stream", "runs of 5 steps over HTTP, streamed", "http", "http", ">= 20 x the best durable peer", at_least(20, durable), 20000, 0),
        Row("idle", "idle: call to step's start, p50 / p99", "idle", "one", "<= 0.5 / 3 ms", at_most(("p50", 0.5), ("p99", 3)), 200, 200, lower=True),
        Row("fan", "1,000 children and their join", "fan", "fan", "<= 150 ms", at_most(("ms", 150)), 1000, 1000, lower=True),
        Row("items", "1,000 items of a loop and their join", "items", "items", "", lambda cells: None, 1000, 0, lower=True),
        Row("timers", "1,000 timers due at once: late by, p50 / p99", "timers", "timer", "p99 <= 20 ms", at_most(("p99", 20)), 1000, 1000, lower=True),
    ]


def shown(value: dict | None) -> str:
    if value is None:
        return "-"
    if "p50" in value:
        return f"{value['p50']:.1f} / {value['p99']:.1f} ms"
    if "ms" in value:
        return f"{value['ms']:.2f} ms" if value["ms"] < 10 else f"{value['ms']:,.0f} ms"
    return f"{value['rate']:,.0f}/s"


def ratio(value, base, lower):
    """How many times better FlowForge is."""
    if value is None or base is None:
        return "-"
    times = base / main(value) if lower else main(value) / base
    return f"{times:.2f}" if times < 10 else f"{times:.0f}"


def print_table(rows, cells, peers):
    head = ["work", *peers, "raw limit", "FlowForge", "ratio to limit", "to best peer", "goal", "met?"]
    lines = [head]
    for row in rows:
        found = cells[row.name]
        ours = found.get("flowforge")
        rivals = cells["five"] if row.name in ("http", "stream") and "five" in cells else found  # their handlers run in process
        met = row.met({**found, **{p: rivals[p] for p in DURABLE if rivals.get(p) is not None}})
        lines.append([row.what, *(shown(found.get(p)) for p in peers), shown(found.get("limit")), shown(ours),
                      ratio(ours, one("limit")(found), row.lower), ratio(ours, best(rivals, lower=row.lower), row.lower), row.goal or "-",
                      {True: "yes", False: "NO", None: "-"}[met]])
    print_lines(lines)


def print_cpu(rows, cells, peers):
    """What one of what is counted costs, which other programs disturb less than how long it takes."""
    rows = [row for row in rows if any("cpu" in value for value in cells[row.name].values())]
    systems = [*peers, "limit", "flowforge"]
    lines = [["CPU microseconds of server and worker each", *peers, "raw limit", "FlowForge"]]
    for row in rows:
        costs = [cells[row.name].get(system, {}).get("cpu") for system in systems]
        lines.append([row.what, *("-" if cost is None else f"{cost:,.1f}" for cost in costs)])
    if rows:
        print()
        print_lines(lines)


def print_lines(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for at, line in enumerate(lines):
        print("| " + " | ".join(text.ljust(width) if i == 0 else text.rjust(width) for i, (text, width) in enumerate(zip(line, widths))) + " |")
        if at == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
