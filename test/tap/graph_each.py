"""for_each: an item is a step of its own, in order, within its bounds, and done once whatever dies."""
import os
import random
import time

from graphs import (approval, end, is_paused, launch, log, loop, node, play, prepare, publish, query, reaches, rows, shared, start, steps, value)
from harness import Cluster, kill, run, wait_for

ITEMS = int(os.environ.get("FLOWFORGE_ITEMS", "2000"))


def transform(items, mapping, **more):
    return loop("each", items, "transform", {"mapping": mapping}, **more)


def test_results_are_in_the_order_of_the_items(use):
    ended = play(shared(), [loop("each", [0.4, 0.1, 0.3, 0.0, 0.2], "database_query", {"query": "select $1::numeric as n, $2::int as i from pg_sleep($1::float8)",
                                                                                      "params": ["{{ _item }}", "{{ _index }}"]}, max_parallel=4),
                            value("after", {"count": "{{ each.count }}", "third": "{{ each.results.2.rows.0.i }}"})], "each>after")
    result = ended.result("each")
    assert [r["rows"][0] for r in result["results"]] == [{"n": n, "i": i} for i, n in enumerate([0.4, 0.1, 0.3, 0.0, 0.2])], result
    assert result["items"] == [0.4, 0.1, 0.3, 0.0, 0.2] and result["count"] == 5 and ended.output == {"count": 5, "third": 2}
    order = [e["step_id"] for e in ended.of("step.completed") if e["step_id"].startswith("each[")]
    assert order != sorted(order), "they ran side by side"


def test_every_item_is_a_step_with_its_own_row_and_events(use):
    ended = play(shared(), [transform(["a", "b"], {"item": "{{ _item }}", "at": "{{ _index }}", "given": "{{ input.x }}"})], "", {"x": 1})
    for i, item in enumerate("ab"):
        step = f"each[{i}]"
        assert ended.result(step) == {"item": item, "at": i, "given": 1} and ended.steps[step]["op"] == "transform"
        assert ended.types(step) == ["step.started", "step.completed"], ended.types(step)
        assert ended.of("step.started", step)[0]["data"]["step_type"] == "transform"
    assert ended.steps["each"]["op"] == "for_each" and ended.types("each") == ["step.started", "step.completed", "context.updated"]
    assert set(ended.of("context.updated")[0]["data"]["keys_added"]) == {"items", "count", "results"}
    assert ended.place("step.started", "each") < ended.place("step.started", "each[0]") < ended.place("step.completed", "each")


def test_its_row_says_when_it_began_and_with_what(use):
    ended = play(shared(), [loop("each", "{{ input.list }}", "database_query", {"query": "select pg_sleep(0.3)"})], "", {"list": [1, 2]})
    assert ended.of("step.completed", "each")[0]["data"]["duration_ms"] >= 600
    assert ended.steps["each"]["detail"]["input"] == {"items": [1, 2], "handler": "database_query", "item_config": {"query": "select pg_sleep(0.3)"}}


def test_no_more_items_than_max_parallel_are_under_way(use):
    cluster = shared()
    for limit in (1, 3):
        cluster.sql("truncate shop.mark")
        play(cluster, [loop("each", list(range(7)), "database_query", {"query": "insert into shop.mark select w, t from (select '+' as w, clock_timestamp() as t "
                                                                              "union all select '-', clock_timestamp() from pg_sleep(0.15)) x"}, max_parallel=limit)])
        most = cluster.sql("select max(s) from (select sum(case what when '+' then 1 else -1 end) over (order by at) as s from shop.mark) x")
        assert most == str(limit), (limit, most)


def test_an_item_that_fails_is_told_in_its_place(use):
    config = {"query": "select 10 / $1::int as n", "params": ["{{ _item }}"]}
    ended = play(shared(), [loop("each", [1, 0, 5, "x"], "database_query", config, max_parallel=4), value("end", {"bad": "{{ each.results.1._error }}"})], "each>end")
    results = ended.result("each")["results"]
    assert results[0]["rows"] == [{"n": 10}] and results[2]["rows"] == [{"n": 2}]
    assert results[1] == {"_error": "division by zero", "_index": 1}, results
    assert results[3]["_index"] == 3 and "invalid input syntax" in results[3]["_error"]
    assert ended.steps["each[1]"]["status"] == "failed" and ended.output == {"bad": "division by zero"}
    assert not ended.of("context.updated", "each[1]")


def test_on_item_error_fail_ends_it_after_what_is_under_way(use):
    cluster = shared()
    cluster.sql("truncate shop.mark")
    config = {"query": "insert into shop.mark select $1::text from pg_sleep(0.3) where 1 / ($1::int - 1) is not null", "params": ["{{ _item }}"]}
    ended = play(cluster, [loop("each", [1, 2, 3, 4, 5, 6], "database_query", config, max_parallel=2, on_item_error="fail"), value("after", {})], "each>after",
                 status="failed")
    assert ended.error["message"] == "division by zero" and ended.of("run.failed")[0]["data"]["failed_step_id"] == "each"
    assert ended.steps["each[0]"]["status"] == "failed" and ended.steps["each"]["status"] == "failed"
    assert "each[5]" not in ended.steps, "nothing new begins"


def test_items_are_tried_again_by_themselves(use):
    cluster = shared()
    cluster.sql("alter sequence shop.tries restart")
    ended = play(cluster, [loop("each", [1, 2, 3], "database_query", {"query": "select shop.flaky(2) as n"}, max_attempts=3, backoff_base=0.1, max_parallel=1)])
    assert [r["rows"][0]["n"] for r in ended.result("each")["results"]] == [3, 4, 5], ended.result("each")
    assert len(ended.of("step.retrying", "each[0]")) == 2 and not ended.of("step.retrying", "each[1]")
    assert ended.types("each").count("step.started") == 1


def test_items_may_wait(use):
    begun = time.monotonic()
    ended = play(shared(), [loop("each", [0.3] * 20, "delay", {"seconds": "{{ _item }}"}, max_parallel=10)])
    assert 0.6 <= time.monotonic() - begun < 6
    assert all(r["delayed_seconds"] >= 0.3 for r in ended.result("each")["results"])
    cluster = shared()
    callee = publish(cluster, [value("v", {"twice": "{{ input.n * 2 }}"})])
    ended = play(cluster, [loop("each", [1, 2, 3], "function_call", {"function": callee, "args": {"n": "{{ _item }}"}}, max_parallel=2)])
    assert [r["twice"] for r in ended.result("each")["results"]] == [2, 4, 6]


def test_items_may_wait_for_people(use):
    cluster = shared()
    run_id = start(cluster, [loop("each", ["a", "b"], "wait_for_approval", {"prompt": "{{ _item }}?"}, max_parallel=2), value("end", {"all": "{{ each.results }}"})],
                   "each>end")
    is_paused(cluster, run_id)
    paused = [e for e in log(cluster, run_id) if e["type"] == "run.paused"]
    assert len(paused) == 1 and paused[0]["data"]["waiting_step_id"] == "each[0]" and paused[0]["data"]["reason"] == "a?", paused
    cluster.stop("fast")
    cluster.start()
    cluster.wait_working()
    for name in ("each[1]", "each[0]"):
        cluster.sql(f"select ff_resume('{run_id}', '{name}', '{{\"said\": \"{name[5]}\"}}')")
    assert end(cluster, run_id).output == {"all": [{"said": "0"}, {"said": "1"}]}


def test_lists_that_are_empty_long_or_none(use):
    assert play(shared(), [transform([], {"x": 1}), value("end", {"n": "{{ each.count }}"})], "each>end").output == {"n": 0}
    assert play(shared(), [transform("{{ input.l }}", {"x": 1})], "", {"l": []}).output == {"items": [], "count": 0, "results": []}
    for wrong in (None, 5, "abc", {"a": 1}, True):
        ended = play(shared(), [transform("{{ input.l }}", {"x": 1})], "", {"l": wrong}, status="failed")
        assert ended.error["message"] == "items is not a list", ended.error
    ended = play(shared(), [transform("{{ input.l }}", "{{ _item }}", max_parallel=1000)], "", {"l": list(range(3000))}, seconds=60)
    assert ended.result("each")["results"] == [{"result": n} for n in range(3000)]


def test_without_a_handler_the_items_are_the_results(use):
    ended = play(shared(), [node("each", "for_each", {"items": [1, {"a": None}, "x"]})])
    assert ended.output == {"items": [1, {"a": None}, "x"], "count": 3, "results": [1, {"a": None}, "x"]}, ended.output


def test_two_loops_run_side_by_side_and_one_may_feed_another(use):
    ended = play(shared(), [transform("{{ input.l }}", {"n": "{{ _item * 2 }}"}),
                            loop("other", [3, 4], "database_query", {"query": "select $1::int + 1 as n", "params": ["{{ _item }}"]}, max_parallel=2),
                            loop("next", "{{ each.results }}", "transform", {"mapping": {"n": "{{ _item.n + other.count }}"}})],
                 "each>next other>next", {"l": [1, 2]})
    assert ended.result("next")["results"] == [{"n": 4}, {"n": 6}], ended.result("next")


def test_items_that_are_objects_lists_and_nulls_pass_as_they_are(use):
    items = [None, {"a": {"b": "{{ input.secret }}"}}, [1, [2]], "ü🚀", 0, False, ""]
    ended = play(shared(), [transform("{{ input.items }}", {"is": "{{ _item }}"})], "", {"items": items, "secret": 5})
    assert [r["is"] for r in ended.result("each")["results"]] == items


def test_a_sibling_that_fails_stops_the_loop_and_what_runs_is_recorded(use):
    cluster = shared()
    ended = play(cluster, [loop("each", list(range(50)), "database_query", {"query": "select pg_sleep(0.3)"}, max_parallel=2), query("bad", "select shop.fails() from pg_sleep(0.5)"),
                           value("end", {})], "each>end bad>end", status="failed")
    assert ended.steps["each"]["status"] == "cancelled" and 2 <= len([s for s in ended.steps if s.startswith("each[")]) <= 8, list(ended.steps)
    assert all(row["status"] == "completed" for name, row in ended.steps.items() if name.startswith("each["))
    cluster.sql(f"select ff_retry('{ended.run_id}')")
    again = end(cluster, ended.run_id, "failed")
    assert again.types("each[0]").count("step.started") == 1 and again.types("each").count("step.started") == 2


def test_thousands_of_items_are_done_once_each_whatever_is_killed(use):
    random.seed(int(os.environ.get("FLOWFORGE_SEED", "8288")))
    cluster = use(prepare_counting())
    name = publish(cluster, [query("list", "select jsonb_agg(i) as all from generate_series(1, $1::int) i", "{{ input.n }}"),
                             loop("each", "{{ list.rows.0.all }}", "database_query", {"query": "with a as (insert into shop.done values ($1::int)) "
                                                                                    "update shop.tally set n = n + 1 where slot = $1::int % 64", "params": ["{{ _item }}"]}, max_parallel=50),
                             value("end", {"n": "{{ each.count }}"})], "list>each each>end")
    run_id = launch(cluster, name, {"n": ITEMS})
    killed = 0
    for part in (0.1, 0.4, 0.7):
        wait_for(lambda: int(cluster.try_sql("select count(*) from shop.done") or 0) > ITEMS * part, 240, "some items are done")
        time.sleep(random.uniform(0, 0.2))
        before = cluster.sql("select count(*) from flowforge.step where status = 'completed'")
        kill(random.choice([int(p) for p in cluster.sql("select string_agg(pid::text, ' ') from flowforge.executors()").split()]))
        wait_for(lambda: cluster.try_sql("select 1") == "1", 60, "the server is back")
        cluster.wait_working()
        cluster.assert_sound()
        assert int(cluster.sql("select count(*) from flowforge.step where status = 'completed'")) >= int(before)
        killed += 1
    cluster.sql(f"select null from ff_wait('{run_id}', '500 s')")
    assert cluster.sql(f"select status, output from flowforge.runs where run_id = '{run_id}'") == f'completed|{{"n": {ITEMS}}}'
    assert cluster.sql("select sum(n) from shop.tally") == str(ITEMS)
    assert cluster.sql("select count(*), count(distinct i) from shop.done") == f"{ITEMS}|{ITEMS}"
    twice = cluster.sql(f"select count(*) from (select step_id from flowforge.run_event where run_id = '{run_id}' and type = 'step.completed' group by 1 having count(*) > 1) x")
    assert twice == "0"
    assert cluster.sql(f"select count(*) from flowforge.step where run_id = '{run_id}' and status = 'completed'") == str(ITEMS + 3)
    cluster.assert_clean()
    print(f"# {ITEMS} items, {killed} executors killed")


def prepare_counting():
    cluster = prepare(Cluster(settings={"flowforge.sql_workers": "4"}))
    cluster.sql("set role worker; create table shop.tally (slot int primary key, n bigint); insert into shop.tally select s, 0 from generate_series(0, 63) s; "
                "create table shop.done (i int)")
    return cluster


def test_every_invariant_holds_after_all_of_this(use):
    shared().assert_sound()
    shared().assert_clean()


if __name__ == "__main__":
    run(globals())
