"""Graphs as they run: what is ready when, which way they go, what failures do, what is tried again, and the log of it all."""
import base64
import json
import time

from graphs import (approval, check_log, condition, end, graph, is_paused, launch, log, loop, node, play, publish, query, reaches, shared, start,
                    steps, value)
from harness import run, wait_for

SLOW = "select pg_sleep(0.6)"


def marks(cluster, what):
    return int(cluster.sql(f"select count(*) from shop.mark where what = '{what}'"))


def reset(cluster):
    cluster.sql("alter sequence shop.tries restart")


# --- readiness (rule 2) ---

def test_a_chain_passes_outputs_on_and_its_leaf_is_the_runs_output(use):
    ended = play(shared(), [value("a", {"n": "{{ input.n }}"}), value("b", {"n": "{{ a.n }}", "text": "n is {{ a.n }}"}),
                            value("c", {"all": "{{ b }}"})], "a>b b>c", {"n": 5})
    assert ended.output == {"all": {"n": 5, "text": "n is 5"}}, ended.output
    assert ended.types() == ["run.created", "run.started"] + ["step.started", "step.completed", "context.updated"] * 3 + ["run.completed"], ended.types()


def test_a_slow_sibling_does_not_hold_up_another_branch(use):
    ended = play(shared(), [value("root", {}), query("slow", SLOW), value("quick", {}), query("next", "select 1 as one"), value("last", {}),
                            value("join", {})], "root>slow root>quick quick>next next>last slow>join last>join")
    assert ended.place("step.completed", "last") < ended.place("step.completed", "slow") < ended.place("step.started", "join")


def test_a_join_waits_for_all_of_its_parents(use):
    ended = play(shared(), [query("a", "select pg_sleep(0.05)"), query("b", "select pg_sleep(0.2)"), query("c", "select pg_sleep(0.4)"),
                            value("join", {"a": "{{ a.count }}", "b": "{{ b.count }}", "c": "{{ c.count }}"})], "a>join b>join c>join")
    assert ended.output == {"a": 1, "b": 1, "c": 1}
    assert ended.place("step.started", "join") > max(ended.place("step.completed", s) for s in "abc")


def test_roots_begin_side_by_side_and_isolated_nodes_run_too(use):
    ended = play(shared(), [value("a", {"x": 1})])
    assert ended.output == {"x": 1}
    begun = time.monotonic()
    ended = play(shared(), [query(f"q{n}", "select pg_sleep(1.5)") for n in range(4)] + [value("join", {})], "q0>join q1>join q2>join q3>join")
    assert time.monotonic() - begun < 5.5, "four statements take no longer than one"


def test_edges_that_are_there_twice_count_once(use):
    ended = play(shared(), [value("a", {"x": 1}), value("b", {"y": "{{ a.x }}"})], "a>b a>b a>b")
    assert ended.output == {"y": 1} and ended.types("b").count("step.started") == 1


def test_definitions_that_cannot_run_are_refused(use):
    cluster = shared()
    for document, code in ((graph([]), "no_nodes"), (graph([value("a", {})], "a>x"), "edge_target_missing"),
                           (graph([value("a", {})], "x>a"), "edge_source_missing"), (graph([value("a", {}), value("b", {})]), "orphan"),
                           (graph([value("a", {}), value("b", {})], "a>b b>a"), "cycle"), (graph([value("a", {}), value("a", {})], "a>a"), "duplicate_id"),
                           (graph([value("input", {})]), "reserved_id"), (graph([node("a", "nothing")]), "unregistered_type"),
                           (graph([value("a", {"x": "{{ b.x }}"}), value("b", {})], "a>b"), "bad_reference")):
        done = cluster.psql(check=False, stdin=f"""\\set VERBOSITY verbose
            begin; select null from ff_workflow_create('refused', $j${__import__("json").dumps(document)}$j$); select ff_workflow_publish('refused')""")
        assert "FF512" in done.stderr and code in done.stderr, (code, done.stderr)
        assert cluster.sql("select count(*) from flowforge.function where slug = 'refused'") == "0"


# --- conditions (rule 6) ---

def test_a_condition_chooses_a_branch_and_skips_the_other(use):
    for given, taken, passed in ((10, "yes", "no"), (1, "no", "yes")):
        ended = play(shared(), [condition("c", "input.n > 5"), value("yes", {"way": "yes"}), value("no", {"way": "no"})], "c>yes:true c>no:false",
                     {"n": given})
        assert ended.steps[taken]["status"] == "completed" and ended.steps[passed]["status"] == "skipped"
        assert ended.result("c") == {"result": given > 5, "branch": "true" if given > 5 else "false"}
        assert ended.types(passed) == ["step.skipped"]
        assert ended.of("step.skipped", passed)[0]["data"]["reason"] == f"c chose {'true' if given > 5 else 'false'}"
        assert ended.output == {taken: {"way": taken}}, "the output is that of the leaves that ran"


def test_labels_may_stand_in_the_edges_data(use):
    cluster = shared()
    document = graph([condition("c", "input.go"), value("yes", {}), value("no", {})])
    document["edges"] = [{"id": "1", "source": "c", "target": "yes", "data": {"condition": "true"}},
                         {"id": "2", "source": "c", "target": "no", "data": {"condition": "false"}}]
    cluster.psql(stdin=f"select null from ff_workflow_create('labels', $j${__import__('json').dumps(document)}$j$); select null from ff_workflow_publish('labels')")
    ended = end(cluster, launch(cluster, "labels", {"go": False}))
    assert ended.steps["yes"]["status"] == "skipped" and ended.steps["no"]["status"] == "completed"


def test_the_merge_of_a_diamond_runs_once(use):
    for go in (True, False):
        ended = play(shared(), [condition("c", "input.go"), value("yes", {"v": 1}), value("no", {"v": 2}), value("merge", {"done": True})],
                     "c>yes:true c>no:false yes>merge no>merge", {"go": go})
        assert ended.output == {"done": True} and ended.types("merge").count("step.completed") == 1


def test_a_merge_that_an_edge_of_the_condition_leads_to_runs_on_either_side(use):
    for go in (True, False):
        ended = play(shared(), [condition("c", "input.go"), value("yes", {}), value("merge", {})], "c>yes:true c>merge:false yes>merge", {"go": go})
        assert ended.steps["merge"]["status"] == "completed", go
        both = play(shared(), [condition("c", "input.go"), value("next", {})], "c>next:true c>next:false", {"go": go})
        assert both.steps["next"]["status"] == "completed"


def test_a_join_fed_by_two_conditions_runs_if_either_side_is_live(use):
    nodes = [condition("c", "input.c"), condition("d", "input.d"), value("cy", {}), value("cn", {}), value("dy", {}), value("dn", {}), value("join", {})]
    for c in (True, False):
        for d in (True, False):
            ended = play(shared(), nodes, "c>cy:true c>cn:false d>dy:true d>dn:false cy>join dy>join", {"c": c, "d": d})
            assert ended.steps["join"]["status"] == ("completed" if c or d else "skipped"), (c, d)
            ended = play(shared(), nodes[:2] + nodes[-1:] + [value("x", {}), value("y", {})], "c>join:true c>x:false d>join:true d>y:false", {"c": c, "d": d})
            assert ended.steps["join"]["status"] == ("completed" if c or d else "skipped"), (c, d)


def test_a_node_that_a_live_root_feeds_is_not_skipped(use):
    ended = play(shared(), [condition("c", "false"), value("root", {}), value("yes", {}), value("no", {}), value("fed", {"x": 1})],
                 "c>yes:true c>no:false yes>fed root>fed")
    assert ended.steps["yes"]["status"] == "skipped" and ended.steps["fed"]["status"] == "completed"


def test_conditions_in_a_skipped_subtree_are_never_evaluated(use):
    ended = play(shared(), [condition("c", "false"), condition("inner", "1 / 0 > 1"), value("x", {}), value("y", {}), value("z", {}), value("no", {}),
                            value("merge", {})],
                 "c>inner:true c>no:false inner>x:true inner>y:false x>z y>z z>merge no>merge")
    for name in ("inner", "x", "y", "z"):
        assert ended.types(name) == ["step.skipped"], (name, ended.types(name))
        assert ended.steps[name]["status"] == "skipped"
    assert ended.steps["merge"]["status"] == "completed"
    assert ended.of("step.skipped", "inner")[0]["data"]["reason"] == "c chose false"
    assert ended.of("step.skipped", "z")[0]["data"]["reason"] == "every path to it was skipped"


def test_truth_is_that_of_the_value_and_texts_are_never_pasted_into_expressions(use):
    for given, truth in ((0, False), (1, True), ("", False), ("false", True), ([], False), ([0], True), ({}, False), ({"a": None}, True), (None, False),
                         ("x' or '1' == '1", True), ("1 == 2", True)):
        ended = play(shared(), [condition("c", "{{ input.v }}"), value("y", {}), value("n", {})], "c>y:true c>n:false", {"v": given})
        assert ended.result("c")["result"] is truth, given
    ended = play(shared(), [condition("c", "{{ input.v }} == \"a\" or false"), value("y", {}), value("n", {})], "c>y:true c>n:false",
                 {"v": "a\" == \"a\" or \"b"})
    assert ended.result("c")["result"] is False


# --- on_error (rule 5) ---

# Each kind of node that can fail by itself, and a part of what it says then.
FAILING = {"condition": (lambda **d: condition("bad", "input.missing.deeper > 1", **d), "missing"),
           "transform": (lambda **d: value("bad", {"x": "{{ input.missing }}"}, **d), "missing"),
           "for_each": (lambda **d: loop("bad", "{{ input.n }}", "transform", {"mapping": {}}, **d), "items is not a list"),
           "item": (lambda **d: loop("bad", [1, 2], "transform", {"mapping": {"x": "{{ _item.x }}"}}, on_item_error="fail", **d), "cannot navigate"),
           "database_query": (lambda **d: query("bad", "select 1 / 0", **d), "division by zero"),
           "function_call": (lambda **d: node("bad", "function_call", {"function": "nobody-at-all"}, **d), "nobody-at-all"),
           "delay": (lambda **d: node("bad", "delay", {"seconds": "{{ input.word }}"}, **d), "seconds")}


def play_failing(kind, on_error, status):
    make = FAILING[kind][0]
    nodes = [value("before", {}), make(on_error=on_error), value("after", {"came": True})]
    flow = "before>bad bad>after"
    if kind == "condition":
        nodes += [value("no", {}), value("any", {"came": True})]
        flow = "before>bad bad>after:true bad>no:false bad>any"
    return play(shared(), nodes, flow, {"n": 5, "word": "soon"}, status)


def test_fail_fails_the_run_and_says_where(use):
    for kind, (_, said) in FAILING.items():
        ended = play_failing(kind, "fail", "failed")
        assert said in ended.error["message"], (kind, ended.error)
        failed = ended.of("run.failed")[0]["data"]
        assert failed["failed_step_id"] == "bad" and failed["error"] == ended.error, failed
        assert ended.steps["bad"]["status"] == "failed" and ended.steps["bad"]["error"] == ended.error
        assert ended.of("step.failed", "bad")[0]["data"]["error"] == ended.error
        assert "after" not in ended.steps, "nothing new starts"


def test_skip_marks_the_node_skipped_with_the_error_and_goes_on(use):
    for kind, (_, said) in FAILING.items():
        ended = play_failing(kind, "skip", "completed")
        assert ended.steps["bad"]["status"] == "skipped" and said in ended.steps["bad"]["error"]["message"], (kind, ended.steps["bad"])
        skipped = ended.of("step.skipped", "bad")
        assert len(skipped) == 1 and said in skipped[0]["data"]["reason"], (kind, skipped)
        assert not ended.of("step.failed", "bad") and not ended.of("context.updated", "bad")
        assert ended.steps["bad"]["output"] is None
        if kind == "condition":
            assert [ended.steps[s]["status"] for s in ("after", "no", "any")] == ["skipped", "skipped", "completed"], ended.steps
        else:
            assert ended.steps["after"]["status"] == "completed"


def test_continue_marks_it_failed_and_its_output_is_the_error(use):
    for kind, (_, said) in FAILING.items():
        ended = play_failing(kind, "continue", "completed")
        assert ended.steps["bad"]["status"] == "failed", (kind, ended.steps["bad"])
        assert set(ended.result("bad")) == {"_error"} and said in ended.result("bad")["_error"], ended.result("bad")
        assert ended.steps["any" if kind == "condition" else "after"]["status"] == "completed"
        updated = ended.of("context.updated", "bad")
        assert len(updated) == 1 and updated[0]["data"]["keys_added"] == ["_error"], (kind, updated)
        assert updated[0]["seq"] == ended.place("step.failed", "bad") + 1
    ended = play(shared(), [query("bad", "select 1 / 0", on_error="continue"), value("tell", {"what": "{{ bad._error }}"})], "bad>tell")
    assert ended.output == {"what": "division by zero"}, ended.output


def test_running_siblings_are_recorded_when_one_fails_and_nothing_new_starts(use):
    ended = play(shared(), [query("bad", "select shop.fails() from pg_sleep(0.1)"), query("slow", "select pg_sleep(0.8), 7 as seven"), value("after", {}),
                            query("quick", "select 1")], "slow>after bad>after quick>after", status="failed")
    assert ended.steps["slow"]["status"] == "completed" and ended.result("slow")["rows"][0]["seven"] == 7
    assert ended.place("step.failed", "bad") < ended.place("step.completed", "slow") < ended.place("run.failed", None)
    assert "after" not in ended.steps and ended.error["message"] == "it fails"


def test_a_sibling_that_fails_after_the_run_is_lost_is_not_tried_again(use):
    ended = play(shared(), [query("bad", "select shop.fails() from pg_sleep(0.1)"),
                            query("slow", "select shop.flaky(1000000) from pg_sleep(0.6)", max_attempts=5, backoff_base=0.1),
                            value("after", {})], "slow>after bad>after", status="failed")
    assert ended.steps["slow"]["status"] == "failed", ended.steps["slow"]
    assert not ended.of("step.retrying"), ended.types()


def test_what_waits_when_the_run_fails_is_closed(use):
    ended = play(shared(), [query("bad", "select shop.fails() from pg_sleep(0.2)"), node("nap", "delay", {"seconds": 60}), approval("ask"), value("after", {})],
                 "bad>after nap>after ask>after", status="failed")
    assert [ended.steps[s]["status"] for s in ("nap", "ask")] == ["cancelled", "cancelled"]
    assert shared().sql(f"select status from flowforge.approvals where run_id = '{ended.run_id}'") == "cancelled"


def test_two_failures_are_both_recorded_and_the_first_is_the_runs(use):
    ended = play(shared(), [query("one", "select shop.fails() from pg_sleep(0.1)"), query("two", "select shop.fails() from pg_sleep(0.6)"), value("after", {})],
                 "one>after two>after", status="failed")
    assert ended.of("run.failed")[0]["data"]["failed_step_id"] == "one"
    assert ended.steps["two"]["status"] == "failed" and ended.steps["one"]["error"] == ended.error


# --- retries and time (rule 4) ---

def backoffs(ended, step):
    return [(e["data"]["attempt"], e["data"]["max_attempts"], e["data"]["backoff_seconds"]) for e in ended.of("step.retrying", step)]


def test_retries_are_spaced_by_the_nodes_policy(use):
    for strategy, base, wanted in (("fixed", 0.2, [0.2, 0.2, 0.2]), ("linear", 0.2, [0.2, 0.4, 0.6]), ("exponential", 0.5, [0.5, 0.25, 0.125]),
                                   ("exponential", 1.2, [1.2, 1.44, 1.728])):
        reset(shared())
        ended = play(shared(), [query("flaky", "select shop.flaky(3) as n", max_attempts=4, backoff_strategy=strategy, backoff_base=base)])
        found = backoffs(ended, "flaky")
        assert [f[:2] for f in found] == [(1, 4), (2, 4), (3, 4)], found
        assert all(abs(f[2] - w) < 0.002 for f, w in zip(found, wanted)), (strategy, found)
        assert [e["data"]["attempt"] for e in ended.of("step.started", "flaky")] == [1, 2, 3, 4]
        assert ended.result("flaky")["rows"] == [{"n": 4}]
        assert ended.of("step.retrying")[0]["data"]["error"]["message"] == "try 1", ended.of("step.retrying")[0]
        assert len(ended.of("step.failed")) == 0
        took = [cell for cell in ended.log if cell["type"] == "step.started"]
        assert took[1]["at"] > took[0]["at"]


def test_every_backoff_is_capped_at_five_minutes(use):
    cluster = shared()
    for strategy, base in (("fixed", 4000), ("linear", 400), ("exponential", 301)):
        run_id = start(cluster, [query("flaky", "select shop.flaky(1000000)", max_attempts=3, backoff_strategy=strategy, backoff_base=base)])
        reaches(cluster, run_id, "flaky", "retrying")
        due = cluster.sql(f"select round(extract(epoch from due_at - now())) from flowforge.steps where run_id = '{run_id}'")
        assert 295 <= int(due) <= 300, (strategy, due)
        cluster.sql(f"select ff_cancel('{run_id}')")
        assert end(cluster, run_id, "cancelled").steps["flaky"]["status"] == "cancelled"


def test_the_last_attempt_fails_the_step_once(use):
    ended = play(shared(), [query("bad", "select shop.flaky(1000000)", max_attempts=3, backoff_base=0.05)], status="failed")
    assert [t for t in ended.types("bad")] == ["step.started", "step.retrying", "step.started", "step.retrying", "step.started", "step.failed"]
    assert ended.of("step.failed")[0]["data"]["attempt"] == 3 and ended.steps["bad"]["attempt"] == 2


def test_an_error_that_will_not_go_away_is_not_tried_again(use):
    for bad in (query("bad", "select 1 / 0", max_attempts=5), query("bad", "select nothing", max_attempts=5), value("bad", {"x": "{{ input.x }}"}, max_attempts=5)):
        ended = play(shared(), [bad], status="failed")
        assert ended.types("bad") == ["step.started", "step.failed"], ended.types("bad")


def test_an_attempt_that_takes_too_long_is_ended_and_tried_again(use):
    begun = time.monotonic()
    ended = play(shared(), [query("slow", "select pg_sleep(20)", timeout_seconds=0.4, max_attempts=2, backoff_base=0.1)], status="failed")
    assert time.monotonic() - begun < 19
    assert ended.types("slow") == ["step.started", "step.retrying", "step.started", "step.failed"], ended.types("slow")
    for none in (0, None):
        assert play(shared(), [query("slow", "select pg_sleep(0.2)", timeout_seconds=none)]).status == "completed"


def test_a_function_that_fails_is_called_again(use):
    cluster = shared()
    reset(cluster)
    callee = publish(cluster, [query("q", "select shop.flaky(2, 'P0001') as n")])
    ended = play(cluster, [node("call", "function_call", {"function": callee}, max_attempts=3, backoff_base=0.2, backoff_strategy="linear")])
    assert [f[0] for f in backoffs(ended, "call")] == [1, 2] and ended.result("call")["rows"] == [{"n": 3}], ended.types()
    assert ended.types("call") == ["step.started", "step.waiting", "step.retrying"] * 2 + ["step.started", "step.waiting", "step.completed", "context.updated"]
    assert cluster.sql(f"select count(*) from flowforge.run where parent_run_id = '{ended.run_id}'") == "3"
    ended = play(cluster, [node("call", "function_call", {"function": "nobody-at-all"}, max_attempts=3, backoff_base=0.2)], status="failed")
    assert not ended.of("step.retrying"), "it will not be there the next time"


def test_an_attempt_is_logged_when_it_begins(use):
    cluster = shared()
    reset(cluster)
    run_id = start(cluster, [query("q", "select shop.flaky(1), pg_sleep(3)", max_attempts=2, backoff_base=0.1)])
    wait_for(lambda: cluster.sql("select count(*) from pg_stat_activity where query like '%shop.flaky(1)%' and wait_event = 'PgSleep'") == "1", what="it is tried again")
    types = cluster.sql(f"select string_agg(type || coalesce(':' || (data ->> 'attempt'), ''), ' ' order by seq) from flowforge.run_event where run_id = '{run_id}' and step_id = 'q'")
    assert types == "step.started:1 step.retrying:1 step.started:2", types
    assert end(cluster, run_id).types("q") == ["step.started", "step.retrying", "step.started", "step.completed", "context.updated"]


def test_a_call_hears_of_the_run_of_its_own_attempt_only(use):
    """What the first attempt called ends while the second one waits for what it has called itself."""
    cluster = shared()
    cluster.sql("create sequence shop.call; grant all on sequence shop.call to worker")
    callee = publish(cluster, [query("n", "select nextval('shop.call') as n"), query("nap", "select pg_sleep(case $1::int when 1 then 3 else 1.8 end)", "{{ n.rows.0.n }}"),
                               value("z", {"n": "{{ n.rows.0.n }}"})], "n>nap n>z nap>z")
    ended = play(cluster, [node("call", "function_call", {"function": callee}, timeout_seconds=2.2, max_attempts=2, backoff_base=0.1)])
    assert ended.result("call") == {"n": 2}, ended.result("call")
    assert ended.types("call").count("step.started") == 2


def test_waits_have_the_nodes_timeout_and_attempts_too(use):
    cluster = shared()
    for wait in (node("wait", "wait_for_event", {"event_name": "never/comes"}, timeout_seconds=0.2, max_attempts=2, backoff_base=0.1),
                 node("wait", "delay", {"seconds": 60}, timeout_seconds=0.2, max_attempts=2, backoff_base=0.1),
                 approval("wait", timeout_seconds=0.2, max_attempts=2, backoff_base=0.1)):
        ended = play(cluster, [wait], status="failed")
        assert ended.types("wait") == ["step.started", "step.waiting", "step.retrying", "step.started", "step.waiting", "step.failed"], ended.types("wait")
        assert ended.error["name"] == "TimedOut", ended.error
    ended = play(cluster, [node("wait", "delay", {"seconds": 0.2}, timeout_seconds=0.2)])
    assert 0.2 <= ended.result("wait")["delayed_seconds"] < 30
    callee = publish(cluster, [node("nap", "delay", {"seconds": 5})])
    ended = play(cluster, [node("call", "function_call", {"function": callee}, timeout_seconds=0.3)], status="failed")
    assert "imed out" in ended.error["message"], ended.error


def test_a_run_past_its_time_fails(use):
    cluster = shared()
    for last in (query("long", "select pg_sleep(30)"), node("long", "delay", {"seconds": 60}), approval("long"),
                 loop("long", [1, 2, 3], "delay", {"seconds": 60}, max_parallel=2), query("long", "select shop.flaky(1000000)", max_attempts=100, backoff_base=60)):
        begun = time.monotonic()
        ended = play(cluster, [value("a", {}), last], "a>long", settings={"run_timeout_seconds": 0.8}, status="failed")
        assert ended.error["name"] == "Timeout" and "0.8 s" in ended.error["message"] and "run_timeout_seconds" in ended.error["message"], ended.error
        assert "failed_step_id" not in ended.of("run.failed")[0]["data"]
        assert 0.7 < time.monotonic() - begun < 28
        assert ended.steps["a"]["status"] == "completed" and ended.steps["long"]["status"] == "cancelled", (last["type"], ended.steps)
    time.sleep(0.3)
    assert cluster.sql("select count(*) from flowforge.calls()") == "0", "the statement was ended too"


# --- max_concurrency (rule 2) ---

def at_once(cluster, what, number):
    """The largest number of statements of this mark that ran at one time."""
    rows = [row.split("|") for row in cluster.sql(f"select extract(epoch from at), what from shop.mark where what like '{what}%' order by at").split("\n")]
    most = now = 0
    for _, kind in rows:
        now += 1 if kind.endswith("in") else -1
        most = max(most, now)
    assert len(rows) == 2 * number, rows
    return most


def marked(name, tag, **data):
    return query(name, "insert into shop.mark select $1 || w, t from (select 'in' as w, clock_timestamp() as t union all "
                       "select 'out', clock_timestamp() from pg_sleep(0.2)) x", tag, **data)


def test_no_more_nodes_run_at_once_than_max_concurrency(use):
    cluster = shared()
    for limit in (1, 2, 3):
        play(cluster, [marked(f"q{n}", f"limit{limit}") for n in range(6)] + [value("join", {})], " ".join(f"q{n}>join" for n in range(6)),
             settings={"max_concurrency": limit})
        assert at_once(cluster, f"limit{limit}", 6) == limit


def test_what_sleeps_waits_or_backs_off_holds_no_slot(use):
    cluster = shared()
    reset(cluster)
    callee = publish(cluster, [node("nap", "delay", {"seconds": 1})])
    others = [node("nap", "delay", {"seconds": 1}), approval("ask"), node("event", "wait_for_event", {"event_name": "never/comes", "timeout": 1}, on_error="skip"),
              node("call", "function_call", {"function": callee}), query("flaky", "select shop.flaky(1)", max_attempts=2, backoff_base=1),
              loop("each", [1, 2], "delay", {"seconds": 1}, max_parallel=2)]
    run_id = start(cluster, others + [query("work", "select 1"), query("more", "select 2"), value("join", {})],
                   " ".join(f"{n}>join" for n in ("nap", "ask", "event", "call", "flaky", "each", "more")) + " work>more", settings={"max_concurrency": 1})
    reaches(cluster, run_id, "more", "completed")
    assert not [e for e in log(cluster, run_id) if e["step_id"] in ("nap", "call", "each") and e["type"] == "step.completed"], "nobody had to wait for them"
    cluster.sql(f"select ff_resume('{run_id}', 'ask')")
    ended = end(cluster, run_id)
    assert ended.steps["flaky"]["status"] == "completed"


def test_retries_do_not_exceed_max_concurrency(use):
    cluster = shared()
    reset(cluster)
    nodes = [query(f"q{n}", "select shop.flaky(6) from pg_sleep(0.1)", max_attempts=9, backoff_base=0.05) for n in range(3)]
    ended = play(cluster, nodes + [value("join", {})], "q0>join q1>join q2>join", settings={"max_concurrency": 1})
    spans = sorted((row["started_at"], row["ended_at"]) for name, row in ended.steps.items() if name.startswith("q"))
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:])), spans


# --- the log (Run events) ---

def test_payloads_say_what_happened(use):
    cluster = shared()
    ended = play(cluster, [query("rows", "select 1 as a", label="Read rows"), value("wide", {f"k{n}": n for n in range(7)}),
                           value("long", {"text": "ä" * 300, "list": ["x" * 250], "short": "y" * 200})], "rows>wide wide>long")
    started = ended.of("step.started", "rows")[0]["data"]
    assert started == {"step_type": "database_query", "step_label": "Read rows", "attempt": 1}, started
    done = ended.of("step.completed", "rows")[0]["data"]
    assert done["step_type"] == "database_query" and done["output_summary"] == {"rows": [{"a": 1}], "count": 1}, done
    assert ended.of("context.updated", "rows")[0]["data"] == {"step_id": "rows", "keys_added": ["rows", "count"]}
    assert ended.of("step.completed", "wide")[0]["data"]["output_summary"] == {"k0": 0, "k1": 1, "k2": 2, "k3": 3, "k4": 4, "_truncated": True, "_total_keys": 7}
    summary = ended.of("step.completed", "long")[0]["data"]["output_summary"]
    assert summary == {"text": "ä" * 200, "list": ["x" * 200], "short": "y" * 200}, summary
    assert ended.result("long")["text"] == "ä" * 300, "only the summary is cut"
    assert ended.of("run.started")[0]["data"] == {"status": "running"}
    assert ended.of("run.completed")[0]["data"]["output"] == summary
    assert ended.steps["rows"]["detail"]["input"] == {"query": "select 1 as a", "params": []}


def test_the_resolved_config_is_what_is_stored(use):
    ended = play(shared(), [query("q", "select $1::text as t, $2::int as n", "{{ input.name }}!", "{{ input.n }}"), value("v", {"x": "{{ q.rows.0.t }}"}),
                            node("nap", "delay", {"seconds": "{{ input.n }}"}), loop("each", "{{ input.list }}", "transform", {"mapping": {"i": "{{ _item }}"}})],
                 "q>v v>nap nap>each", {"name": "Ann", "n": 0.1, "list": [7, 8]} | {"n": 0})
    assert ended.steps["q"]["detail"]["input"]["params"] == ["Ann!", 0]
    assert ended.steps["v"]["detail"]["input"] == {"mapping": {"x": "Ann!"}}
    assert ended.steps["nap"]["detail"]["input"] == {"seconds": 0}
    assert ended.steps["each"]["detail"]["input"]["items"] == [7, 8], ended.steps["each"]
    assert ended.steps["each[1]"]["detail"]["input"] == {"mapping": {"i": 8}}


def test_data_that_looks_like_a_template_is_never_rendered(use):
    cluster = shared()
    trap = "{{ input.secret }} {{ 1 + 1 }} {% if %}"
    callee = publish(cluster, [value("v", {"got": "{{ input.trap }}"})])
    ended = play(cluster, [value("a", {"x": "{{ input.trap }}", "y": "-{{ input.trap }}-"}), value("b", {"x": "{{ a.x }}", "all": "{{ a }}"}),
                           query("q", "select $1::text as t, $2::jsonb as j", "{{ b.x }}", "{{ b }}"),
                           loop("each", ["{{ q.rows.0.t }}"], "transform", {"mapping": {"x": "{{ _item }}"}}),
                           node("call", "function_call", {"function": callee, "args": {"trap": "{{ each.results.0.x }}"}}),
                           condition("c", "call.got == {{ input.trap }}"), value("y", {"x": "{{ call.got }}"}), value("n", {})],
                 "a>b b>q q>each each>call call>c c>y:true c>n:false", {"secret": "s3cret", "trap": trap})
    assert ended.result("a") == {"x": trap, "y": f"-{trap}-"} and ended.result("b")["all"] == ended.result("a")
    assert ended.result("q")["rows"][0]["t"] == trap and ended.result("q")["rows"][0]["j"] == ended.result("b")
    assert ended.result("each")["results"] == [{"x": trap}]
    assert ended.result("y") == {"x": trap}
    assert "s3cret" not in str([s["output"] for s in ended.steps.values()]), "nothing was looked up"


def test_values_keep_their_types_and_every_text_passes_through(use):
    data = {"text": "Grüße, 世界 🚀 \" ' \\ \n\t\u0001 </script>", "null": None, "number": -0.000125, "big": 10 ** 30, "true": True, "empty": "",
            "list": [1, "2", None, [], {}], "object": {"a.b": 1, "ü": {"deep": [1]}}}
    ended = play(shared(), [value("a", {key: "{{ input['" + key + "'] }}" for key in data} | {"all": "{{ input }}"}), value("b", {"all": "{{ a.all }}"}),
                            query("q", "select $1::jsonb as j, null as nothing", "{{ b.all }}"), value("c", {"j": "{{ q.rows.0.j }}", "nothing": "{{ q.rows.0.nothing }}"})],
                 "a>b b>q q>c", data)
    got = {key: ended.output["j"][key] for key in data}
    assert got == data, got
    assert ended.output["nothing"] is None
    assert {key: ended.result("a")[key] for key in data} == data


def test_rows_keep_exact_numbers_instants_and_bytes(use):
    cluster = shared()
    ended = play(cluster, [query("q", "select 12345678901234567890.123456789012345678900::numeric as n, 0.10::numeric(4,2) as price, "
                                      "'2026-01-31 10:00:00.5+02'::timestamptz at time zone 'UTC' as at, decode('0001ff', 'hex') as bytes, "
                                      "repeat('x', 60)::bytea as longer, null::bytea as none")], "")
    text = cluster.sql(f"select s.memo #>> '{{data,rows,0}}' from flowforge.step s where s.run_id = '{ended.run_id}'")
    row = json.loads(text, parse_float=str, parse_int=str)
    assert row == {"n": "12345678901234567890.123456789012345678900", "price": "0.10", "at": "2026-01-31T08:00:00.5", "bytes": "AAH/",
                   "longer": base64.b64encode(b"x" * 60).decode(), "none": None}, row


def test_a_mapping_that_is_no_object_is_the_result(use):
    for mapping, output in (("{{ input.list }}", {"result": [1, 2]}), (5, {"result": 5}), (None, {"result": None}), ("x", {"result": "x"}),
                            ("{{ input.nothing }}", {"result": None}), ({}, {})):
        assert play(shared(), [node("t", "transform", {"mapping": mapping})], "", {"list": [1, 2], "nothing": None}).output == output
    assert play(shared(), [node("t", "transform", {"output": {"a": 1}})]).output == {"a": 1}


def test_every_invariant_holds_after_all_of_this(use):
    wait_for(lambda: shared().sql("select count(*) from flowforge.calls()") == "0", what="all is quiet")
    shared().assert_sound()
    shared().assert_clean()


if __name__ == "__main__":
    run(globals())
