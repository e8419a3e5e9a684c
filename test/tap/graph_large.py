"""Graphs that are large: many nodes, much data, and what is more than they may have."""
import atexit
import json
import os
import time

from graphs import (Ended, approval, end, is_paused, launch, literal, log, loop, node, play, prepare, publish, query, reaches, rows, shared, start, steps, value)
from harness import Cluster, run, wait_for


def anonymous_memory(pid):
    """Kilobytes of a process that are its own: shared buffers it has touched are not."""
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith("RssAnon")).split()[1])


def executors(cluster):
    return [int(pid) for pid in cluster.sql("select string_agg(pid::text, ' ') from flowforge.executors()").split()]


def chain(count):
    return " ".join(f"n{i}>n{i + 1}" for i in range(count - 1))


def test_a_chain_of_a_thousand_nodes_runs_to_its_end(use):
    nodes = [value("n0", {"n": 1})] + [value(f"n{i}", {"n": "{{ n%d.n + 1 }}" % (i - 1)}) for i in range(1, 1000)]
    begun = time.monotonic()
    ended = play(shared(), nodes, chain(1000), seconds=60)
    assert ended.output == {"n": 1000} and len(ended.steps) == 1000
    print(f"# {time.monotonic() - begun:.2f} s with publishing")


def test_a_thousand_nodes_side_by_side_join(use):
    count = 1000
    nodes = [value("root", {"n": 1})] + [value(f"m{i}", {"n": "{{ root.n }}"}) for i in range(count)] + [
        value("join", {"sum": "{{ " + " + ".join(f"m{i}.n" for i in range(0, count, 50)) + " }}"})]
    ended = play(shared(), nodes, " ".join(f"root>m{i} m{i}>join" for i in range(count)), seconds=60)
    assert ended.output == {"sum": 20} and len(ended.steps) == count + 2


def memory_of(use, count, size):
    """Runs a chain of nodes whose outputs are `size` bytes each; gives the most memory, in MB, that an executor had beyond what it began with."""
    cluster = use(prepare(Cluster(settings={"flowforge.sql_workers": "2"})))
    cluster.sql("alter system set flowforge.executor_memory = '16MB'")
    cluster.sql("select pg_reload_conf()")
    # Each output is another text that does not compress, and says which it is.
    big = f"select $1::int as n, string_agg(md5(random()::text), '') as text from generate_series(1, {size // 32})"
    nodes = [query("n0", big, 0)] + [query(f"n{i}", big, "{{ n%d.rows.0.n + 1 }}" % (i - 1)) for i in range(1, count)]
    nodes.append(value("end", {"n": "{{ n%d.rows.0.n }}" % (count - 1), "first": "{{ n0.rows.0.n }}", "length": "{{ n7.rows.0.text | length }}"}))
    before = {pid: anonymous_memory(pid) for pid in executors(cluster)}
    run_id = launch(cluster, publish(cluster, nodes, chain(count) + f" n{count - 1}>end"))
    most = 0

    def over():
        nonlocal most
        most = max([most] + [anonymous_memory(pid) - before[pid] for pid in before])
        return cluster.sql(f"select count(*) from flowforge.run_end where run_id = '{run_id}'") == "1"

    wait_for(over, 120, "the run has ended")
    assert end(cluster, run_id).output == {"n": count - 1, "first": 0, "length": size}
    assert executors(cluster) == list(before), "the same processes"
    print(f"# {count * size >> 20} MB of outputs, {most / 1024:.0f} MB more memory at most")
    return most / 1024


def test_a_context_of_three_hundred_large_outputs_keeps_to_the_executors_memory(use):
    assert memory_of(use, 300, 102400) < 40


def test_a_context_that_is_much_larger_than_the_executors_memory_can_be_run(use):
    assert memory_of(use, 120, 1024000) < 60


BIG = "select string_agg(md5(random()::text), '') as text from generate_series(1, 9600)"  # 300 kB that do not compress


def small():
    """A cluster whose executors have a megabyte for runs: everything large is forgotten whenever something has been written."""
    if not _small:
        cluster = Cluster(settings={"flowforge.sql_workers": "4", "flowforge.executor_memory": "1MB"})
        atexit.register(cluster.remove)
        _small.append(prepare(cluster))
    return _small[0]


_small = []


def test_items_see_what_was_forgotten_since_the_loop_began(use):
    nodes = [query("big", BIG), loop("each", list(range(12)), "database_query",
                                     {"query": "select $1::int as n, repeat('x', 300000) as t, pg_sleep(0.02)", "params": ["{{ big.rows.0.text | length }}"]}, max_parallel=2),
             value("z", {"n": "{{ each.count }}"})]
    ended = play(small(), nodes, "big>each each>z")
    assert [item["rows"][0]["n"] for item in ended.result("each")["results"]] == [307200] * 12


def test_a_loop_whose_results_are_too_large_together_is_an_error(use):
    query_of_a_megabyte = {"query": "select string_agg(md5(random()::text), '') as t from generate_series(1, 32000)"}
    for on_error, status in (("fail", "failed"), ("continue", "completed")):
        ended = play(small(), [loop("each", list(range(6)), "database_query", query_of_a_megabyte, max_parallel=3, on_error=on_error), value("z", {"ok": True})],
                     "each>z", status=status)
        assert "flowforge.output_limit" in ended.steps["each"]["error"]["message"] and "or more" in ended.steps["each"]["error"]["message"]
        assert len(ended.steps["each[5]"]["output"]["rows"][0]["t"]) == 1024000


def test_outputs_that_are_too_large_together_are_the_error_of_the_node_that_names_them(use):
    names = [f"q{i}" for i in range(5)]
    megabyte = "select string_agg(md5(random()::text), '') as text from generate_series(1, 32000)"
    nodes = [*(query(n, megabyte) for n in names), value("one", {"n": "{{ q3.rows.0.text | length }}"}),
             value("all", {n: "{{ %s.rows.0.text | length }}" % n for n in names}, on_error="continue"), value("z", {"error": "{{ all._error }}", "n": "{{ one.n }}"})]
    ended = play(small(), nodes, " ".join(f"{n}>all" for n in names) + " q3>one one>z all>z")
    assert ended.output == {"error": 'the outputs that "all" names are too large together', "n": 1024000}, ended.output
    assert "flowforge.executor_memory" in ended.steps["all"]["error"]["detail"] and ended.steps["all"]["error"]["code"] == "FF503"


def test_outputs_of_a_megabyte_pass_and_larger_ones_are_refused(use):
    cluster = shared()
    text = "ü" * 500000
    ended = play(cluster, [value("a", {"t": "{{ input.t }}"}), query("q", "select $1::text as t, length($1::text) as n", "{{ a.t }}"), value("z", {"t": "{{ q.rows.0.t }}"})],
                 "a>q q>z", {"t": text[:200000]})
    assert ended.output["t"] == text[:200000] and ended.result("q")["rows"][0]["n"] == 200000
    ended = play(cluster, [query("q", "select repeat('x', 1000000) as t"), value("z", {"t": "{{ q.rows.0.t }}", "l": ["{{ q.rows }}"]})], "q>z")
    assert len(ended.output["t"]) == len(ended.output["l"][0][0]["t"]) == 1000000
    for on_error, status in (("fail", "failed"), ("continue", "completed")):
        ended = play(cluster, [query("q", "select repeat('x', 1000000) as t"),
                               value("big", {f"t{i}": "{{ q.rows.0.t }}" for i in range(6)}, on_error=on_error), value("z", {})], "q>big big>z", status=status)
        assert "flowforge.output_limit" in ended.steps["big"]["error"]["message"], ended.steps["big"]["error"]
    ended = play(cluster, [query("big", "select repeat('x', 5000000) as t")], status="failed")
    assert "large" in ended.error["message"] or "limit" in ended.error["message"], ended.error
    ended = play(cluster, [loop("each", [1, 6], "database_query", {"query": "select repeat('x', $1::int * 1000000) as t", "params": ["{{ _item }}"]})])
    assert "_error" in ended.result("each")["results"][1] and len(ended.result("each")["results"][0]["rows"][0]["t"]) == 1000000


def test_a_run_whose_leaves_together_are_too_large_completes(use):
    ended = play(shared(), [query("q", "select repeat('x', 1000000) as t")] + [value(f"v{i}", {"t": "{{ q.rows.0.t }}"}) for i in range(6)],
                 " ".join(f"q>v{i}" for i in range(6)))
    assert ended.output == {"_truncated": True}, str(ended.output)[:200]
    assert all(len(ended.result(f"v{i}")["t"]) == 1000000 for i in range(6))


def test_an_error_that_is_large_is_as_good_as_a_small_one(use):
    """Its row is read again after a restart, however large it is."""
    cluster = shared()
    for on_error in ("continue", "skip"):
        run_id = start(cluster, [query("bad", "do $$ begin raise exception '%', repeat('x', 60000); end $$", on_error=on_error), approval("ask"), value("z", {"ok": True})],
                       "bad>ask ask>z")
        is_paused(cluster, run_id)
        cluster.stop("fast")
        cluster.start()
        cluster.wait_working()
        cluster.sql(f"select ff_resume('{run_id}', 'ask')")
        ended = end(cluster, run_id)
        assert ended.output == {"ok": True} and ended.steps["bad"]["status"] == ("failed" if on_error == "continue" else "skipped")


def test_what_was_forgotten_is_read_again(use):
    """A large output that only a node far behind names, after the run has left memory."""
    cluster = shared()
    run_id = start(cluster, [query("q", "select repeat('y', 300000) as t"), approval("ask"), value("v", {"n": "{{ q.rows.0.t | length }}"}),
                             loop("each", "{{ v.n > 0 and [1, 2] or [] }}", "transform", {"mapping": {"c": "{{ q.rows.0.t | length }}"}})], "q>ask ask>v v>each")
    is_paused(cluster, run_id)
    cluster.stop("immediate")
    cluster.start()
    cluster.wait_working()
    cluster.sql(f"select ff_resume('{run_id}', 'ask')")
    assert end(cluster, run_id).result("each")["results"] == [{"c": 300000}] * 2


def test_many_runs_of_one_graph_are_side_by_side(use):
    cluster = shared()
    name = publish(cluster, [value("a", {"n": "{{ input.n }}"}), node("nap", "delay", {"seconds": 0.2}), query("q", "select $1::int * 2 as n", "{{ a.n }}"),
                             value("z", {"n": "{{ q.rows.0.n }}"})], "a>nap nap>q q>z")
    cluster.sql(f"select count(ff_workflow_run('{name}', jsonb_build_object('n', i))) from generate_series(1, 300) i")
    wait_for(lambda: cluster.sql(f"select count(*) from flowforge.runs where function = '{name}' and status = 'completed'") == "300", 60, "all have ended")
    wrong = cluster.sql("select count(*) from flowforge.runs r join flowforge.event e on e.event_id = r.event_id "
                        f"where r.function = '{name}' and (r.output ->> 'n')::int <> 2 * (e.data ->> 'n')::int")
    assert wrong == "0"


def test_every_invariant_holds_after_all_of_this(use):
    for cluster in (shared(), small()):
        cluster.assert_sound()
        cluster.assert_clean()


if __name__ == "__main__":
    run(globals())
