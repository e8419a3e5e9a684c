"""The step Code: JavaScript in processes of its own, as a function asks for it."""
import json
import os
import shutil
import subprocess

from harness import alive, kill, run, wait_for
from script import end, one, op, play, shared, start


def error_of(memo):
    assert set(memo) == {"error"}, memo
    return memo["error"]


def code(step, text, **options):
    return op("Code", step, code=text, **options)


def padded(step):
    """The id of a step of that name."""
    return op("Code", step)["id"]


def executors(cluster):
    return [int(pid) for pid in cluster.sql("select pid from flowforge.executors() where pid is not null").split()]


def wait_recovered(cluster, executor):
    """Waits until the server has noticed that the executor was killed, and works again."""
    others = f"select count(*) = 0 from flowforge.executors() where pid = {executor}"
    wait_for(lambda: cluster.try_sql(others) == "t" and cluster.works(), 60, "the server has recovered")


def family(pid):
    """The sandbox's processes below an executor: its zygote and that one's children."""
    found = []
    for child in subprocess.run(["pgrep", "-P", str(pid)], text=True, capture_output=True).stdout.split():
        found += [int(child), *family(child)]
    return found


def zygotes(cluster):
    return [pid for executor in executors(cluster) for pid in family(executor)]


def test_code_sees_context_and_input_and_gives_a_result(use):
    cluster, app = shared()
    done = play(cluster, app, [
        code("assigned", "result = {sum: context.a.n + input}", context={"a": {"n": 40}}, input=2),
        code("returned", "return [1, 'zwei', null]"),
        code("awaited", "const {x} = await Promise.resolve({x: 7}); return {x: x ** 2, ...input}", input={"y": "é😀"})])
    assert done["assigned"] == {"data": {"sum": 42}}, done
    assert done["returned"] == {"data": {"result": [1, "zwei", None]}}, done
    assert done["awaited"] == {"data": {"x": 49, "y": "é😀"}}, done


def test_code_sees_the_results_of_the_steps_it_names(use):
    cluster, app = shared()
    done = play(cluster, app, [code("one", "return {n: 1}"), code("two", "return {n: 2}"), code("bad", "throw 1"),
                               code("all", "return context", steps=True), code("some", "return context", steps=[padded("two"), padded("bad"), "nowhere"])])
    assert done["all"]["data"] == {padded("one"): {"n": 1}, padded("two"): {"n": 2}}, done
    assert done["some"]["data"] == {padded("two"): {"n": 2}}, done


def test_the_console_is_in_the_steps_detail(use):
    cluster, app = shared()
    run_id = start(cluster, app, [code("talk", "console.log('a', {b: 1}); console.warn('c'); return 1"),
                                  code("flood", "for (let i = 0; i < 1500; i++) console.log('x'); return 1")])
    end(cluster, run_id)
    detail = json.loads(cluster.sql(f"select detail from flowforge.step where run_id = '{run_id}' and name = 'talk'"))
    assert detail["console"] == [{"level": "log", "text": 'a {"b":1}'}, {"level": "warn", "text": "c"}], detail
    detail = json.loads(cluster.sql(f"select detail from flowforge.step where run_id = '{run_id}' and name = 'flood'"))
    assert len(detail["console"]) == 1000 and detail["console_dropped"] == 500, detail["console_dropped"]


def test_an_error_of_the_code_is_the_steps_with_its_line(use):
    cluster, app = shared()
    done = play(cluster, app, [code("throws", "const f = () => {\n  throw new TypeError('bad')\n}\nf()"), code("unreadable", "let a =\nlet b"),
                               code("never", "await new Promise(() => {})"), code("big", "return 10n"),
                               code("deep", "let a = 1; for (let i = 0; i < 200; i++) a = {a}; return a")])
    assert error_of(done["throws"]) == {"name": "TypeError", "message": "bad", "line": 2, "stack": "at f line 2:22\nat line 4:2"} or \
        error_of(done["throws"])["line"] == 2, done["throws"]
    assert error_of(done["unreadable"])["name"] == "SyntaxError" and error_of(done["unreadable"])["line"] == 2, done["unreadable"]
    assert error_of(done["never"])["name"] == "PromiseError", done["never"]
    assert error_of(done["big"])["name"] == "ResultError" and "BigInt" in error_of(done["big"])["message"], done["big"]
    assert error_of(done["deep"])["name"] == "ResultError" and "deep" in error_of(done["deep"])["message"], done["deep"]


def test_options_that_are_none_fail_the_step(use):
    cluster, app = shared()
    for options in ({}, {"code": 5}, {"code": "1", "timeout": 5}, {"code": "1", "timeout": "1h"}, {"code": "1", "context": [1]},
                    {"code": "1", "steps": "all"}, {"code": "x" * (1024 * 1024 + 1)}):
        error = error_of(one(cluster, app, op("Code", "bad", **options)))
        assert error["name"] == "StepOptionsError", (str(options)[:80], error)


def test_code_that_takes_too_long_is_killed_and_keeps_its_console(use):
    cluster, app = shared()
    run_id = start(cluster, app, [code("loop", "console.log('before'); for (;;);", timeout="300ms")])
    memo = end(cluster, run_id)[1]["loop"]
    assert error_of(memo) == {"name": "TimeoutError", "message": "the code ran longer than 0.3 s"}, memo
    detail = json.loads(cluster.sql(f"select detail from flowforge.step where run_id = '{run_id}' and name = 'loop'"))
    assert detail["console"] == [{"level": "log", "text": "before"}], detail
    wait_for(lambda: all(len(family(zygote)) == 0 for zygote in zygotes(cluster)), 5, "no child is left")


def test_code_that_needs_too_much_memory_fails_and_nothing_else_does(use):
    cluster, app = shared()
    done = play(cluster, app, [code("bomb", "const a = []; for (;;) a.push({n: a.length})", timeout="20s"), code("after", "return 1")])
    assert error_of(done["bomb"])["name"] == "MemoryError", done
    assert done["after"] == {"data": {"result": 1}}, done


def test_a_result_beyond_the_limit_is_an_error(use):
    cluster, app = shared()
    error = error_of(one(cluster, app, code("big", "return 'x'.repeat(5e6)")))
    assert error["name"] == "ResultError" and "4194304" in error["message"], error


def test_more_code_than_processes_waits_its_turn(use):
    cluster, app = shared()
    done = play(cluster, app, [[code(f"s{i}-", f"const end = Date.now() + 30; while (Date.now() < end); return {{i: {i}}}") for i in range(40)]])
    assert [done[f"s{i}-"]["data"]["i"] for i in range(40)] == list(range(40)), done


def test_a_cancelled_run_leaves_no_code_behind(use):
    cluster, app = shared()
    run_id = start(cluster, app, [code("loop", "for (;;);", timeout="60s")])
    wait_for(lambda: any(family(zygote) for zygote in zygotes(cluster)), what="the code runs")
    cluster.sql(f"select ff_cancel('{run_id}')")
    wait_for(lambda: not any(family(zygote) for zygote in zygotes(cluster)), 5, "the code is gone")


def test_a_killed_zygote_is_replaced_and_its_code_fails_or_is_tried_again(use):
    cluster, app = shared()
    run_id = start(cluster, app, [code("loop", "for (;;);", timeout="20s")])
    busy = wait_for(lambda: [zygote for zygote in zygotes(cluster) if family(zygote)], what="the code runs")
    child = family(busy[0])[0]
    kill(busy[0])
    wait_for(lambda: not alive(child), 5, "the child is gone with its zygote")
    assert "SandboxError" in json.dumps(wait_for(lambda: cluster.sql(
        f"select string_agg(data::text, ' ') from flowforge.run_event where run_id = '{run_id}' and data::text like '%SandboxError%'"), what="the loss is told"))
    cluster.sql(f"select ff_cancel('{run_id}')")
    assert one(cluster, app, code("after", "return 1")) == {"data": {"result": 1}}


def test_a_killed_executor_leaves_no_process_and_its_code_runs_again(use):
    cluster, app = shared()
    wait_for(lambda: not any(family(zygote) for zygote in zygotes(cluster)), what="nothing runs")
    run_id = start(cluster, app, [code("slow", "const end = Date.now() + 4000; while (Date.now() < end); return {at: 'end'}", timeout="30s")])
    busy = wait_for(lambda: [e for e in executors(cluster) if any(family(zygote) for zygote in family(e))], what="the code runs")
    processes = family(busy[0])
    assert len(processes) >= 2, processes
    kill(busy[0])
    wait_for(lambda: not any(alive(pid) for pid in processes), 5, "its processes are gone with it")
    wait_recovered(cluster, busy[0])
    assert end(cluster, run_id)[1]["slow"] == {"data": {"at": "end"}}


def test_without_the_program_the_step_says_so(use):
    cluster, app = shared()
    use_program(cluster, "/nowhere/flowforge-sandbox")
    error = error_of(one(cluster, app, code("x", "return 1")))
    assert error["name"] == "SandboxError" and "/nowhere/flowforge-sandbox" in error["message"] and "No such file" in error["message"], error
    cluster.sql("alter system reset flowforge.sandbox_program")
    cluster.sql("select pg_reload_conf()")
    wait_for(lambda: one(cluster, app, code("x", "return 1")) == {"data": {"result": 1}}, what="it is found again")


def use_program(cluster, path):
    cluster.sql(f"alter system set flowforge.sandbox_program = '{path}'")
    cluster.sql("select pg_reload_conf()")
    for executor in executors(cluster):  # whoever has a zygote keeps it
        cluster.sql(f"select pg_terminate_backend({executor})")
    wait_for(lambda: cluster.works() and not zygotes(cluster), what="executors are new")


def test_a_sandbox_that_lies_fails_the_step_and_nothing_else(use):
    cluster, app = shared()
    copy = os.path.join(cluster.directory, "liar.py")
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sandbox", "liar.py"), copy)
    use_program(cluster, copy)
    before = executors(cluster)
    for lie in ("console", "console of NULs", "two answers"):
        assert one(cluster, app, code("x", lie)) == {"data": {"fine": 1}}, lie
    for lie, name in {"answer": "ResultError", "nothing": "ResultError", "no UTF-8": "ResultError", "NUL": "ResultError", "deep": "ResultError",
                      "no object": "CrashError", "null": "CrashError", "list": "CrashError", "large error": "CrashError", "large frame": "CrashError",
                      "kind": "CrashError", "half": "CrashError", "unknown": "CrashError", "killed": "SandboxError", "death": "SandboxError"}.items():
        assert error_of(one(cluster, app, code("x", lie)))["name"] == name, (lie, name)
    assert error_of(one(cluster, app, code("x", "error of a kind")))["message"] == [1]
    run_id = start(cluster, app, [code("x", "flood")])
    end(cluster, run_id)
    detail = json.loads(cluster.sql(f"select detail from flowforge.step where run_id = '{run_id}'"))
    assert len(detail["console"]) == 1000, len(detail["console"])
    workflow = graph(cluster, {"a": ("inline_code", {"code": "silence"}, {"max_attempts": 1})})
    status, error = end(cluster, run_graph(cluster, workflow, {}))
    assert error["name"] == "SandboxError" and "does not answer" in error["message"], error
    assert executors(cluster) == before, "no executor has died of it"
    use_program(cluster, "")
    assert one(cluster, app, code("x", "return 1")) == {"data": {"result": 1}}


# --- in a graph ---

def graph(cluster, nodes, *edges, name=[0]):
    """Publishes a workflow of nodes {id: (type, config, members of data)} and gives its name."""
    name[0] += 1
    definition = {"nodes": [{"id": key, "type": kind, "data": {"config": config, **(rest[0] if rest else {})}} for key, (kind, config, *rest) in nodes.items()],
                  "edges": [{"id": f"e{i}", "source": edge.split(">")[0], "target": edge.split(">")[1]} for i, edge in enumerate(edges)]}
    cluster.sql(f"select ff_workflow_create('graph {name[0]}', $j${json.dumps(definition)}$j$)")
    cluster.sql(f"select ff_workflow_publish('graph-{name[0]}')")
    return f"graph-{name[0]}"


def run_graph(cluster, workflow, input):
    return cluster.sql(f"select ff_workflow_run('{workflow}', $j${json.dumps(input)}$j$)")


def js(text, rest=None, **config):
    return "inline_code", {"code": text, **config}, rest or {}


def test_code_in_a_graph_sees_the_input_and_the_outputs_before_it(use):
    cluster, app = shared()
    workflow = graph(cluster, {
        "double": js("console.log('doubling', input.n); return {n: input.n * 2}"),
        "list": ("transform", {"output": [1, 2, 3]}),
        "sum": js("result = {sum: context.double.n + context.list.result.reduce((a, b) => a + b), all: Object.keys(context).sort(), same: context.input.n === input.n}",
                  language="javascript")}, "double>sum", "list>sum")
    run_id = run_graph(cluster, workflow, {"n": 20})
    assert end(cluster, run_id) == ("completed", {"sum": 46, "all": ["double", "input", "list"], "same": True})
    detail = json.loads(cluster.sql(f"select detail from flowforge.step where run_id = '{run_id}' and step_id = 'double'"))
    assert detail["console"] == [{"level": "log", "text": "doubling 20"}] and detail["input"]["code"].startswith("console.log"), detail
    assert cluster.sql(f"select count(*) from flowforge.run_hot where run_id = '{run_id}'") == "0"


def test_templates_in_code_are_code(use):
    cluster, app = shared()
    workflow = graph(cluster, {"a": js("return {text: `{{ input.n }}`, n: {n: 1}.n}")})
    assert end(cluster, run_graph(cluster, workflow, {"n": 20})) == ("completed", {"text": "{{ input.n }}", "n": 1})


def test_code_in_a_graph_that_fails_is_retried_skipped_or_goes_on(use):
    cluster, app = shared()
    workflow = graph(cluster, {
        "flaky": js("throw new Error('no luck')", {"on_error": "continue", "max_attempts": 3, "backoff_base": 0.1}),
        "skipped": js("return {", {"on_error": "skip", "max_attempts": 3}),
        "end": js("return {flaky: context.flaky, skipped: typeof context.skipped}")}, "flaky>end", "skipped>end")
    run_id = run_graph(cluster, workflow, {})
    assert end(cluster, run_id) == ("completed", {"flaky": {"_error": "no luck"}, "skipped": "undefined"})
    rows = cluster.sql(f"select string_agg(step_id || ' ' || status || ' ' || attempt, ',' order by step_id) from flowforge.step where run_id = '{run_id}'")
    assert rows == "end completed 0,flaky failed 2,skipped skipped 0", f"what cannot be read is not tried again: {rows}"


def test_code_in_a_graph_has_the_shorter_of_its_time_limits(use):
    cluster, app = shared()
    for config, rest in (({"timeout_seconds": 0.3}, {}), ({"timeout_seconds": 30}, {"timeout_seconds": 0.3})):
        workflow = graph(cluster, {"loop": js("for (;;);", rest, **config)})
        status, error = end(cluster, run_graph(cluster, workflow, {}))
        assert (status, error["message"]) == ("failed", "the code ran longer than 0.3 s"), error


def test_a_config_that_is_none_fails_the_node(use):
    cluster, app = shared()
    for config in ({"code": "return 1", "language": "python"}, {"code": "return 1", "timeout_seconds": 301}, {"code": "return 1", "timeout_seconds": "soon"}):
        workflow = f"config-{abs(hash(str(config)))}"
        made = cluster.psql("-v", "VERBOSITY=sqlstate", "-c", f"select ff_workflow_create('{workflow}', $j${json.dumps({'nodes': [{'id': 'a', 'type': 'inline_code', 'data': {'config': config}}]})}$j$)",
                            "-c", f"select ff_workflow_publish('{workflow}')", check=False)
        if made.returncode == 0:
            status, error = end(cluster, run_graph(cluster, workflow, {}))
            assert status == "failed" and error["code"] == "FF503", (config, status, error)
        else:
            assert "FF512" in made.stderr, made.stderr


def test_a_for_each_of_code_has_an_item_and_its_number(use):
    cluster, app = shared()
    workflow = graph(cluster, {"base": js("return {n: 1000}"), "all": ("for_each", {"items": "{{ input.list }}", "handler": "inline_code", "max_parallel": 8,
                                                    "item_config": {"code": "return {v: context._item * 10 + context._index + context.base.n}"}})}, "base>all")
    status, output = end(cluster, run_graph(cluster, workflow, {"list": list(range(60))}))
    assert status == "completed" and [one["v"] for one in output["results"]] == [i * 11 + 1000 for i in range(60)], output


def test_a_killed_executor_runs_a_graphs_code_again_with_its_context(use):
    cluster, app = shared()
    workflow = graph(cluster, {"first": js("return {big: 'x'.repeat(10000), n: 7}"),
                               "slow": js("const end = Date.now() + 4000; while (Date.now() < end); return {n: context.first.n, l: context.first.big.length}", timeout_seconds=30)},
                     "first>slow")
    run_id = run_graph(cluster, workflow, {})
    slow = "select count(*) from flowforge.calls() where step_id = 'slow'"
    wait_for(lambda: cluster.sql(slow) == "1", what="the second node runs")
    busy = [e for e in executors(cluster) if any(family(zygote) for zygote in family(e))]
    kill(busy[0])
    wait_recovered(cluster, busy[0])
    assert end(cluster, run_id) == ("completed", {"n": 7, "l": 10000})
    assert cluster.sql(f"select count(*) from flowforge.step where run_id = '{run_id}'") == "2"


def test_stopping_the_server_leaves_no_process(use):
    cluster, app = shared()
    one(cluster, app, code("x", "return 1"))
    processes = zygotes(cluster)
    assert processes, "there is a zygote"
    cluster.stop()
    wait_for(lambda: not any(alive(pid) for pid in processes), 5, "the zygotes are gone")
    cluster.start()
    cluster.wait_working()
    assert one(cluster, app, code("x", "return 1")) == {"data": {"result": 1}}


if __name__ == "__main__":
    run(globals())
