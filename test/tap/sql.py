"""Sql steps: what they give, what they refuse, as whom they run, and that one slow statement is in nobody's way."""
import subprocess
import time

from harness import run, wait_for
from script import Script, end, one, op, play, shared, sql, start


def error_of(memo):
    assert set(memo) == {"error"}, memo
    return memo["error"]


def code_of(memo):
    return error_of(memo).get("code")


def test_a_statement_gives_its_rows_and_their_count(use):
    cluster, app = shared()
    memo = one(cluster, app, sql("pick", "select n, n * 1.5 as half, 'x' || n as text, n = 2 as two, null as nothing from generate_series(1, 2) n"))
    assert memo == {"data": {"count": 2, "rows": [{"n": 1, "half": 1.5, "text": "x1", "two": False, "nothing": None},
                                                  {"n": 2, "half": 3, "text": "x2", "two": True, "nothing": None}]}}, memo


def test_columns_have_the_names_the_statement_gives_them(use):
    cluster, app = shared()
    cluster.sql("create table shop.named (id int primary key, v text); insert into shop.named values (1, 'a'); grant select on shop.named to worker")
    for query, row in (("select id as key, v as val from named", {"key": 1, "val": "a"}), ("table named", {"id": 1, "v": "a"}),
                       ("select 1 as a union all select 1", {"a": 1}), ("values (1), (1)", {"column1": 1}), ("show work_mem", {"work_mem": "4MB"})):
        assert one(cluster, app, sql("name", query))["data"]["rows"][0] == row, query


def test_a_change_gives_the_number_of_rows_and_what_it_returns(use):
    cluster, app = shared()
    done = play(cluster, app, [
        sql("make", "create table stock (id int primary key, left_over int)"),
        sql("fill", "insert into stock select n, 10 from generate_series(1, 5) n"),
        sql("take", "update stock set left_over = left_over - $1 where id = any ($2) returning id, left_over", 3, [2, 4]),
        sql("drop", "drop table stock")])
    assert done["make"] == {"data": {"count": 0, "rows": []}}, done
    assert done["fill"] == {"data": {"count": 5, "rows": []}}, done
    assert done["take"]["data"]["count"] == 2, done
    assert sorted(r["id"] for r in done["take"]["data"]["rows"]) == [2, 4], done


def test_parameters_are_bound_and_never_become_text_of_the_statement(use):
    cluster, app = shared()
    nasty = "'; drop table flowforge.run; -- {{ event.name }} $1"
    memo = one(cluster, app, sql("bind", "select $1::text as t, $2::int as i, $3::bool as b, $4::jsonb as j, $5::int[] as a, $6::numeric as n, "
                                 "$7::text as nothing, $8::jsonb as s", nasty, 7, True, {"k": [1, "{{x}}"]}, [1, None, 3], 12345678901234567890.0,
                                 None, "plain"))
    row = memo["data"]["rows"][0]
    assert row["t"] == nasty, row
    assert (row["i"], row["b"], row["j"], row["a"], row["nothing"], row["s"]) == (7, True, {"k": [1, "{{x}}"]}, [1, None, 3], None, "plain"), row


def test_wrong_parameters_are_clear_errors_of_the_step(use):
    cluster, app = shared()
    few = error_of(one(cluster, app, sql("few", "select $1::int + $2::int", 1)))
    assert few["code"] == "FF402" and "2 parameters" in few["message"] and few["hint"], few
    assert code_of(one(cluster, app, sql("many", "select 1", 1))) == "FF402"
    bad = error_of(one(cluster, app, sql("bad", "select $1::int", "twelve")))
    assert bad["code"] == "22P02" and "$1" in bad["context"], bad


def test_options_that_make_no_sense_fail_the_step_and_not_the_run(use):
    cluster, app = shared()
    for opts, said in (({}, "has no query"), ({"query": 7}, "has no query"), ({"query": "select 1", "params": {"a": 1}}, "not a list"),
                       ({"query": "select 1", "timeout": "soon"}, "timeout"), ({"query": "select 1", "timeout": 5}, "timeout"),
                       ({"query": "select 1", "timeout": "2d"}, "24h"), ({"query": "select 1", "role": 5}, "role"),
                       ({"query": "x" * 1100000}, "1 MB"), ({"query": "select 1", "params": [0] * 1001}, "1000")):
        error = error_of(one(cluster, app, op("Sql", "bad", **opts)))
        assert error["name"] == "StepOptionsError" and said in error["message"], (opts, error)


def test_an_error_of_the_statement_is_the_steps_with_its_sqlstate(use):
    cluster, app = shared()
    done = play(cluster, app, [
        sql("make", "create table once (id int constraint only_once primary key)"),
        sql("first", "insert into once values (1)"),
        sql("again", "insert into once values (1)"),
        sql("syntax", "selec 1"),
        sql("raise", "do $$ begin raise exception 'no more of it' using errcode = 'ZZ001', detail = 'why', hint = 'how'; end $$"),
        sql("drop", "drop table once")])
    again = error_of(done["again"])
    assert (again["code"], again["constraint"], again["table"]) == ("23505", "only_once", "once"), again
    assert code_of(done["syntax"]) == "42601", done
    raised = error_of(done["raise"])
    assert (raised["code"], raised["message"], raised["detail"], raised["hint"]) == ("ZZ001", "no more of it", "why", "how"), raised


def test_a_failed_statement_leaves_nothing_behind(use):
    cluster, app = shared()
    cluster.sql("create table shop.half (n int); alter table shop.half owner to worker")
    assert code_of(one(cluster, app, sql("half", "with i as (insert into half values (1) returning n) select 1 / (n - 1) from i"))) == "22012"
    assert cluster.sql("select count(*) from shop.half") == "0"


def test_only_errors_that_may_pass_are_tried_again(use):
    cluster, app = shared()
    cluster.sql("create sequence shop.tries; grant all on sequence shop.tries to worker")
    conflict = "do $$ begin if nextval('shop.tries') < 3 then raise exception 'conflict' using errcode = '40001'; end if; end $$"
    run_id = start(cluster, app, [sql("conflict", conflict)])
    assert end(cluster, run_id)[1]["conflict"] == {"data": {"count": 0, "rows": []}}
    assert cluster.sql("select last_value from shop.tries") == "3"
    assert cluster.sql(f"select attempt from flowforge.steps where run_id = '{run_id}'") == "2"
    assert cluster.sql(f"select count(*) from flowforge.run_event where run_id = '{run_id}' and type = 'step.retrying'") == "2"
    cluster.sql("alter sequence shop.tries restart")
    assert code_of(one(cluster, app, sql("syntax", "select nextval('shop.tries'), 1 / 0"))) == "22012"
    assert cluster.sql("select last_value from shop.tries") == "1"
    cluster.sql("alter sequence shop.tries restart")
    assert code_of(one(cluster, app, sql("never", "do $$ begin perform nextval('shop.tries'); raise exception 'x' using errcode = '40001'; end $$"))) == "40001"
    assert cluster.sql("select last_value from shop.tries") == "3", "three attempts: two retries"


def test_a_statement_that_takes_too_long_is_cancelled_whatever_it_sets(use):
    cluster, app = shared()
    started = time.monotonic()
    error = error_of(play(cluster, app, [sql("slow", "select pg_sleep(60)", timeout="200ms")])["slow"])
    assert error["code"] == "57014" and "longer than 200 ms" in error["message"], error
    unset = "do $$ begin perform set_config('statement_timeout', '0', false); perform pg_sleep(60); end $$"
    assert code_of(one(cluster, app, sql("unset", unset, timeout="200ms"))) == "57014"
    assert time.monotonic() - started < 55


def test_a_statement_that_catches_its_cancellation_is_ended_with_its_session(use):
    cluster, _ = shared()
    app = use(Script(name="stubborn"))
    cluster.register(app)
    cluster.sql("select ff_set_app_role('stubborn', 'worker')")
    stubborn = "do $$ begin loop begin perform pg_sleep(60); exception when query_canceled then null; end; end loop; end $$"
    error = error_of(play(cluster, app, [sql("stubborn", stubborn, timeout="100ms")])["stubborn"])
    assert error["code"] == "57P01" and "session" in error["message"], error


def test_a_session_that_is_ended_is_a_failed_attempt(use):
    cluster, app = shared()
    run_id = start(cluster, app, [sql("sleep", "select pg_sleep(3)")])
    for _ in range(3):
        pid = wait_for(lambda: cluster.sql("select pid from pg_stat_activity where backend_type = 'flowforge sql worker' and query = 'select pg_sleep(3)' "
                                           "and state = 'active'"), what="it runs")
        cluster.sql(f"select pg_terminate_backend({pid})")
        wait_for(lambda: cluster.sql(f"select count(*) from pg_stat_activity where pid = {pid}") == "0", what="the session has ended")
    assert code_of(end(cluster, run_id)[1]["sleep"]) == "57P01"
    assert cluster.sql(f"select attempt from flowforge.steps where run_id = '{run_id}'") == "2"


def test_a_result_beyond_the_limit_is_refused_before_memory_is(use):
    cluster, app = shared()
    error = error_of(one(cluster, app, sql("big", "select repeat('x', 1000) as x, generate_series(1, 2000000000) as n")))
    assert error["code"] == "FF403" and "flowforge.output_limit" in error["hint"], error


def test_a_result_that_is_nested_too_deeply_is_refused(use):
    cluster, app = shared()
    error = error_of(one(cluster, app, sql("deep", "select (repeat('[', 3000) || repeat(']', 3000))::json as j")))
    assert error["code"] == "FF403" and "flowforge.json_depth_limit" in error["detail"], error


def test_a_statement_that_fails_as_the_engine_does_has_failed(use):
    cluster, app = shared()
    error = error_of(one(cluster, app, sql("over", "do $$ begin raise 'mine' using errcode = 'FF405'; end $$")))
    assert (error["code"], error["message"]) == ("FF405", "mine"), error


def test_more_than_one_statement_or_none_is_refused(use):
    cluster, app = shared()
    for query in ("select 1; select 2", "", "-- nothing", ";"):
        error = error_of(one(cluster, app, sql("count", query)))
        assert error["code"] == "FF401", (query, error)


def test_a_step_waits_its_turn_and_slow_ones_block_no_other_run(use):
    cluster, app = shared()
    holder = subprocess.Popen(["psql", "-XqAt", "-h", cluster.directory, "-p", str(cluster.port), "-U", "postgres", cluster.database],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    holder.stdin.write("select 1 from pg_advisory_lock(77);\n")
    holder.stdin.flush()
    assert holder.stdout.readline().strip() == "1"
    slow = [start(cluster, app, [sql("slow", "select 1 from pg_advisory_xact_lock_shared(77)")]) for _ in range(7)]
    wait_for(lambda: cluster.sql("select count(*) from flowforge.sql_workers() where state = 'busy'") == "3", what="all workers are busy")
    play(cluster, app, [op("Sleep", "nap", duration="10ms")])
    assert cluster.sql("select count(*) from flowforge.steps where op = 'sql' and status = 'running'") == "3"
    assert cluster.sql("select count(*) from flowforge.steps where op = 'sql' and status = 'pending'") == "4"
    holder.stdin.close()
    assert holder.wait() == 0
    for run_id in slow:
        assert end(cluster, run_id)[0] == "completed"
    cluster.assert_clean()


def test_parallel_statements_run_side_by_side(use):
    cluster, app = shared()
    started = time.monotonic()
    done = play(cluster, app, [[sql(f"part{n}", "select $1::int as n, pg_sleep(3)", n) for n in range(3)]])
    assert [done[f"part{n}"]["data"]["rows"][0]["n"] for n in range(3)] == [0, 1, 2], done
    assert time.monotonic() - started < 8.5, "they ran one after another"


def test_explain_says_that_the_server_is_at_a_step_or_will_be(use):
    cluster, app = shared()
    busy = [start(cluster, app, [sql("busy", "select pg_sleep(60)")]) for _ in range(3)]
    wait_for(lambda: cluster.sql("select count(*) from flowforge.sql_workers() where state = 'busy'") == "3", what="all workers are busy")
    said = cluster.sql(f"select cause, sentence from flowforge.run_causes('{busy[0]}')")
    assert said.startswith('being called|the server has been working on step "busy" since '), said
    waiting = start(cluster, app, [sql("next", "select 1 as one")])
    wait_for(lambda: cluster.sql(f"select count(*) from flowforge.steps where run_id = '{waiting}'") == "1", what="it is asked for")
    said = 'step "next" is being done by the server, or waits for a sql worker'
    cause = cluster.sql(f"select cause, trim(trailing '0' from step_id), since > now() - interval '1 min', until is null, sentence from flowforge.run_causes('{waiting}')")
    assert cause == f"being done|next|t|t|{said}", cause
    assert cluster.sql(f"select ff_explain('{waiting}')") == said
    for run_id in busy:
        cluster.sql(f"select ff_cancel('{run_id}')")
    assert end(cluster, waiting)[0] == "completed"
    assert cluster.sql(f"select cause from flowforge.run_causes('{waiting}')") == "completed"


def test_cancelling_a_run_cancels_its_statement(use):
    cluster, app = shared()
    cluster.sql("create table if not exists shop.marks (n int); alter table shop.marks owner to worker; truncate shop.marks")
    run_id = start(cluster, app, [sql("mark", "insert into marks select 1 from pg_sleep(30)")])
    wait_for(lambda: cluster.sql("select count(*) from flowforge.sql_workers() where state = 'busy'") == "1", what="it runs")
    cluster.sql(f"select ff_cancel('{run_id}')")
    assert end(cluster, run_id)[0] == "cancelled"
    wait_for(lambda: cluster.sql("select count(*) from flowforge.sql_workers() where state = 'busy'") == "0", 5, "the statement has ended")
    assert cluster.sql("select count(*) from shop.marks") == "0"
    cluster.assert_clean()


def test_an_event_sent_by_a_statement_commits_with_it(use):
    cluster, app = shared()
    memo = one(cluster, app, sql("send", "select ff_send_event('sent/inside') as id"))
    assert cluster.sql(f"select name from flowforge.event where event_id = '{memo['data']['rows'][0]['id']}'") == "sent/inside"
    before = cluster.sql("select count(*) from flowforge.event where name = 'sent/inside'")
    assert code_of(one(cluster, app, sql("undo", "select ff_send_event('sent/inside'), 1 / (random() * 0)::int"))) == "22012"
    assert cluster.sql("select count(*) from flowforge.event where name = 'sent/inside'") == before


def test_what_a_statement_defers_fails_the_step(use):
    cluster, app = shared()
    cluster.sql("create table shop.parent (id int primary key); "
                "create table shop.child (id int references shop.parent deferrable initially deferred); "
                "alter table shop.parent owner to worker; alter table shop.child owner to worker")
    error = error_of(one(cluster, app, sql("orphan", "insert into child values (7)")))
    assert error["code"] == "23503", error
    assert cluster.sql("select count(*) from shop.child") == "0"


def test_every_invariant_holds_after_all_of_this(use):
    cluster, _ = shared()
    cluster.assert_sound()


if __name__ == "__main__":
    run(globals())
