"""Registering very many functions at once takes a moment and not a minute, the first time and every other time."""
import json
import time

from harness import Cluster, run

MANY = 10000
SECONDS = 100  # of each registration; on an idle machine it takes two, and one by one they took minutes on a busy one


def registration(count, kind):
    return json.dumps([{"id": f"many-{n}", "triggers": [{"event": "many/go", "expression": f"event.data.{kind} == '{n}'"}],
                        "timeouts": {"start": "1h"}} for n in range(count)])


def register(cluster, functions):
    began = time.monotonic()
    done = cluster.psql("-f", "-", stdin=f"select ff_register_app('http://127.0.0.1:9/api', 'many', $f${functions}$f$) -> 'modified'")
    took = time.monotonic() - began
    assert done.stdout.strip() == "true", done.stdout
    assert took < SECONDS, f"it takes {took:.1f} s"


def test_ten_thousand_functions_are_registered_in_one_call_and_then_others(use):
    cluster = use(Cluster({"flowforge.executors": "1"}))
    register(cluster, registration(MANY, "kind"))
    assert cluster.sql("select count(*), count(distinct event || expression) from flowforge.trigger") == f"{MANY}|{MANY}"
    register(cluster, registration(MANY - 1, "kind"))
    assert cluster.sql("select slug from flowforge.function where archived_at is not null") == f"many-{MANY - 1}"
    register(cluster, registration(MANY, "other"))
    assert cluster.sql("select version, count(*) from flowforge.function group by 1") == f"2|{MANY}"
    cluster.assert_sound()


def test_of_many_functions_the_wrong_ones_are_told_in_their_order(use):
    cluster = use(Cluster({"flowforge.executors": "1"}))
    functions = json.loads(registration(100, "kind"))
    functions[7]["triggers"].append({"event": "a*"})
    functions[7]["id"] = ""
    functions[50] = 7
    functions[99]["timeouts"] = {"start": "soon"}
    done = cluster.psql("-c", f"select ff_register_app('http://127.0.0.1:9/api', 'many', $f${json.dumps(functions)}$f$)", check=False)
    detail = done.stderr[done.stderr.index("DETAIL:"):done.stderr.index("HINT:")]
    assert [line.split("functions[")[1].split(":")[0] for line in detail.splitlines()] == ["50]", "7].id", "7].triggers[1].event", "99].timeouts.start"], detail
    assert cluster.sql("select count(*) from flowforge.function") == "0"


if __name__ == "__main__":
    run(globals())
