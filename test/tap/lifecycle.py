"""CREATE and DROP EXTENSION, databases that come and go, restarts, dumps, foreign versions."""
import os
import subprocess
import time

from harness import App, Cluster, run, wait_for
from script import Script, end, op, sql, start


def state(cluster):
    return cluster.sql("select string_agg(distinct state, '; ') from flowforge.executors()")


def log_has(cluster, text):
    return text in cluster.tail(100000)


def test_the_extension_can_be_dropped_with_runs_in_flight_and_created_again(use):
    cluster = use(Cluster())
    slow = use(App(steps=2, delay=15))
    cluster.register(slow)
    cluster.send(slow.event, 20)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.calls()") != "0", what="calls are under way")
    started = time.monotonic()
    cluster.sql("drop extension flowforge cascade")
    assert time.monotonic() - started < 14, "dropping waited for calls"
    wait_for(lambda: log_has(cluster, "is idle: the extension is not installed"), 10, "the executors say that they idle")
    cluster.sql("create extension flowforge")
    cluster.wait_working()
    quick = use(App(name="again"))
    cluster.register(quick)
    cluster.send(quick.event, 5)
    cluster.wait_all_ended(5)
    cluster.assert_clean()


def test_another_database_can_be_dropped_while_executors_wait_on_a_slow_app(use):
    cluster = use(Cluster())
    slow = use(App(steps=1, delay=12))
    cluster.register(slow)
    cluster.send(slow.event, 8)
    cluster.sql("create database other", database="postgres")
    cluster.sql("checkpoint")  # or dropping it would wait for the disk
    wait_for(lambda: cluster.sql("select count(*) from flowforge.calls()") != "0", what="calls are under way")
    started = time.monotonic()
    cluster.sql("drop database other", database="postgres")
    took = time.monotonic() - started
    assert took < 11, f"it took {took:.2f} s"
    cluster.wait_all_ended(8)


def test_its_own_database_can_be_dropped_and_made_again(use):
    cluster = use(Cluster())
    slow = use(App(steps=1, delay=2))
    cluster.register(slow)
    cluster.send(slow.event, 4)
    cluster.sql("drop database flowforge", database="postgres")
    cluster.sql("create database flowforge", database="postgres")
    cluster.sql("create extension flowforge")
    cluster.wait_working()
    cluster.register(slow)
    cluster.send(slow.event, 2)
    cluster.wait_all_ended(2)


def test_ten_thousand_sleeping_runs_survive_a_restart(use):
    cluster = use(Cluster())
    app = use(App(steps=0, sleep="6s"))
    cluster.register(app)
    for _ in range(2):
        cluster.send(app.event, 5000)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked") == "10000"
             or cluster.statuses().get("completed", 0) > 0, 60, "runs sleep")
    cluster.stop("fast")
    cluster.start()
    cluster.wait_all_ended(10000, 180)
    assert cluster.statuses() == {"completed": 10000}
    cluster.assert_clean()


def test_a_dump_with_runs_in_flight_goes_on_where_it_is_restored(use):
    cluster = use(Cluster(settings={"flowforge.databases": "'flowforge,restored'"}))
    app = use(App(steps=1, sleep="4s"))
    cluster.register(app)
    cluster.send(app.event, 30)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked") == "30", what="all runs sleep")
    environment = dict(os.environ, PGHOST=cluster.directory, PGPORT=str(cluster.port), PGUSER="postgres")
    dump = os.path.join(cluster.directory, "dump")
    subprocess.run(["pg_dump", "-Fc", "-f", dump, "flowforge"], env=environment, check=True)
    cluster.sql("create database restored", database="postgres")
    cluster.sql("alter database restored set flowforge.restoring = on", database="postgres")
    restored = subprocess.run(["pg_restore", "-d", "restored", dump], env=environment, text=True, capture_output=True)
    assert restored.returncode == 0, restored.stderr
    assert cluster.sql("select count(*) from flowforge.run_parked", database="restored") == "30"
    cluster.sql("alter database restored reset flowforge.restoring", database="restored")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_end where status = 'completed'", database="restored") == "30", 60,
             "the restored runs complete")


def test_a_dump_holds_schedules_webhooks_and_watched_tables(use):
    cluster = use(Cluster(settings={"flowforge.databases": "'flowforge,restored'"}))
    cluster.sql("create schema shop; create table shop.orders (id integer primary key, state text) partition by range (id); "
                "create table shop.orders_1 partition of shop.orders for values from (0) to (100)")
    cluster.sql("select ff_watch('shop.orders', 'insert, update', 'order/changed', columns => '{state}', filter => $$new.state != 'draft'$$)")
    cluster.sql("select ff_create_hook('in', 'in/came', 'header', 'secret', 'x-token')")
    cluster.sql("select ff_schedule('often', '* * * * * *', 'tick/go', catch_up => 'all'), ff_schedule('rare', 'TZ=Europe/Paris 0 9 1 1 *', 'tick/rare')")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.event where name = 'tick/go'") >= "1", what="the schedule fires")
    before = cluster.sql("select next_run_at from flowforge.schedules where name = 'rare'")
    environment = dict(os.environ, PGHOST=cluster.directory, PGPORT=str(cluster.port), PGUSER="postgres")
    dump = os.path.join(cluster.directory, "dump")
    subprocess.run(["pg_dump", "-Fc", "-f", dump, "flowforge"], env=environment, check=True)
    cluster.sql("create database restored", database="postgres")
    cluster.sql("alter database restored set flowforge.restoring = on", database="postgres")
    restored = subprocess.run(["pg_restore", "-d", "restored", dump], env=environment, text=True, capture_output=True)
    assert restored.returncode == 0, restored.stderr

    def there(text):
        return cluster.sql(text, database="restored")

    assert there("select next_run_at from flowforge.schedules where name = 'rare'") == before
    there("insert into shop.orders values (1, 'new'), (2, 'draft'); insert into shop.orders_1 values (3, 'new'); create table shop.orders_2 "
          "partition of shop.orders for values from (100) to (200); insert into shop.orders_2 values (100, 'new')")
    assert there("select string_agg(data #>> '{new,id}', ',' order by event_id) from flowforge.event where name = 'order/changed'") == "1,3,100"
    hook = "select status from flowforge.serve('POST', '/hooks/in', '', '{\"x-token\": \"%s\"}', '{}')"
    assert (there(hook % "secret"), there(hook % "guess")) == ("200", "401")
    cluster.sql("alter database restored reset flowforge.restoring", database="restored")
    last = there("select max(ts) from flowforge.event where name = 'tick/go'")
    wait_for(lambda: there(f"select max(ts) > '{last}' from flowforge.event where name = 'tick/go'") == "t", 60, "the restored schedule fires")
    assert there("select count(*) - count(distinct ts) from flowforge.event where name = 'tick/go'") == "0"
    assert there("select count(*) from (select generate_series(min(ts), max(ts), '1 s') from flowforge.event where name = 'tick/go' "
                 "except select ts from flowforge.event where name = 'tick/go') gone") == "0"


def test_workers_idle_when_the_extension_has_another_version(use):
    cluster = use(Cluster())
    cluster.sql("update pg_extension set extversion = '0.0.9' where extname = 'flowforge'")
    cluster.stop("fast")
    cluster.start()
    wait_for(lambda: "another version" in state(cluster), 20, "the executors idle")
    assert log_has(cluster, "the extension has another version than the library")
    lines = cluster.tail(100000).count("another version than the library")
    assert lines == 1, f"it was logged {lines} times"
    cluster.sql("update pg_extension set extversion = '0.1.0' where extname = 'flowforge'")
    cluster.sql("alter database flowforge set flowforge.restoring = off")
    cluster.wait_working()


def test_a_prepared_transaction_starts_its_run_when_it_is_committed(use):
    cluster = use(Cluster(settings={"max_prepared_transactions": "5"}))
    app = use(App(steps=1))
    cluster.register(app)
    cluster.psql(stdin=f"begin;\nselect ff_send_event('{app.event}');\nprepare transaction 'later';\n")
    time.sleep(1)
    assert cluster.statuses() == {}
    cluster.sql("commit prepared 'later'")
    cluster.wait_all_ended(1, 10)


def test_an_idle_server_runs_no_query_and_writes_no_wal(use):
    cluster = use(Cluster(settings={"wal_level": "minimal", "max_wal_senders": "0", "autovacuum": "off"}))
    app = use(App(steps=1))
    cluster.register(app)
    cluster.send(app.event, 3)
    cluster.wait_all_ended(3)
    time.sleep(12)
    cluster.sql("checkpoint")
    time.sleep(1)
    quiet = int(os.environ.get("FLOWFORGE_QUIET_SECONDS", "20"))
    # Asked from another database, so that what is counted is the executors' own: every query is a transaction and returns rows, of catalogs too.
    counted = "select xact_commit + xact_rollback, tup_returned, tup_fetched from pg_stat_database where datname = 'flowforge'"
    # Reading the catalogs for the first time may itself prune pages: the measure begins after that.
    work = [cluster.sql(counted, database="postgres") for _ in range(3)][-1]
    before = cluster.sql("select pg_current_wal_insert_lsn()", database="postgres")
    time.sleep(quiet)
    assert cluster.sql("select pg_current_wal_insert_lsn()", database="postgres") == before, "WAL was written"
    after = cluster.sql(counted, database="postgres")
    assert after == work, f"queries were executed: transactions, rows returned and fetched were {work}, are {after}"
    cluster.send(app.event, 1)
    cluster.wait_all_ended(4)
    wait_for(lambda: cluster.sql(counted, database="postgres") != work, what="queries are counted")


def test_every_invariant_holds_at_any_instant_while_runs_are_in_flight(use):
    cluster = use(Cluster())
    app = use(App(steps=3, delay=0.005, sleep="3s"))
    cluster.register(app)
    looks_at_live_runs = sent = 0
    while looks_at_live_runs < 20:
        if cluster.statuses().get("live", 0) < 100:
            assert sent < 10000, f"only {looks_at_live_runs} looks were at live runs"
            cluster.send(app.event, 200)
            sent += 200
        cluster.assert_sound()
        looks_at_live_runs += cluster.statuses().get("live", 0) > 0
    cluster.wait_all_ended(sent)
    assert cluster.statuses() == {"completed": sent}


def slow_statement(use, cluster):
    """An app whose run is in the middle of a long statement."""
    app = use(Script(name="slow"))
    cluster.register(app)
    if cluster.sql("select count(*) from pg_roles where rolname = 'worker'") == "0":
        cluster.sql("create role worker login")
    cluster.sql("select ff_set_app_role('slow', 'worker')")
    run_id = start(cluster, app, [sql("slow", "select pg_sleep(60)")])
    wait_for(lambda: cluster.sql("select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'") == "1",
             what="the statement runs")
    return app, run_id


def test_a_database_can_be_dropped_while_a_statement_runs_in_it(use):
    cluster = use(Cluster())
    slow_statement(use, cluster)
    started = time.monotonic()
    cluster.sql("drop database flowforge", database="postgres")
    assert time.monotonic() - started < 55, "it waited for the statement"
    cluster.sql("create database flowforge", database="postgres")
    cluster.sql("create extension flowforge")
    cluster.wait_working()
    app = use(Script(name="again"))
    cluster.register(app)
    cluster.sql("select ff_set_app_role('again', 'worker')")
    run_id = start(cluster, app, [sql("quick", "select 1 as one")])
    assert end(cluster, run_id)[1]["quick"]["data"]["rows"] == [{"one": 1}]


def test_the_extension_can_be_dropped_while_a_statement_runs_and_its_effect_goes_with_it(use):
    cluster = use(Cluster())
    app, _ = slow_statement(use, cluster)
    cluster.sql("create table public.kept (n int); grant insert on public.kept to worker")
    app.scripts["insert"] = [sql("insert", "insert into public.kept select 1 from pg_sleep(14)")]
    cluster.sql(f"select ff_send_event('{app.event}', '{{\"script\": \"insert\"}}')")
    wait_for(lambda: cluster.sql("select count(*) from pg_stat_activity where query like 'insert into public.kept%' and state = 'active'") == "1",
             what="the insert runs")
    cluster.sql("drop extension flowforge cascade")
    wait_for(lambda: cluster.sql("select count(*) from pg_stat_activity where query like 'insert into public.kept%' and state = 'active'") == "0",
             20, "the insert is over")
    assert cluster.sql("select count(*) from public.kept") == "0", "an effect without a step"


def test_a_dump_holds_workflows_with_their_versions_and_drafts(use):
    cluster = use(Cluster(settings={"flowforge.databases": "'flowforge,restored'"}))
    cluster.sql("""create role ann login; create role bob login;
        create function half(n numeric) returns numeric language sql as 'select n / 2';
        create function graph(text) returns jsonb language sql as $f$ select jsonb_build_object('edges', '[]'::jsonb, 'nodes', jsonb_build_array(
            jsonb_build_object('id', 'a', 'type', 'transform', 'data', jsonb_build_object('config', jsonb_build_object('mapping', jsonb_build_object('is', $1)))))) $f$;
        select ff_register_function('half', 'half(numeric)', role => 'ann');
        select ff_workflow_create('Kept', graph('{{ input.n }}'), triggers => '[{"event": "kept/go"}]'), ff_workflow_set_role('kept', 'bob'), ff_workflow_publish('kept');
        select ff_workflow_update('kept', graph('draft {{ input.n }}')); select ff_workflow_run('kept', draft => true);
        select ff_workflow_create('Other')""")
    environment = dict(os.environ, PGHOST=cluster.directory, PGPORT=str(cluster.port), PGUSER="postgres")
    dump = os.path.join(cluster.directory, "dump")
    shown = """select jsonb_agg(w order by w.id), (select jsonb_agg(v order by v.function_id, v.version) from flowforge.function_version v),
        (select jsonb_agg(t order by t.trigger_id) from flowforge.trigger t) from flowforge.workflows w"""
    before = cluster.sql(shown)
    subprocess.run(["pg_dump", "-Fc", "-f", dump, "flowforge"], env=environment, check=True)
    cluster.sql("create database restored", database="postgres")
    cluster.sql("alter database restored set flowforge.restoring = on", database="postgres")
    restored = subprocess.run(["pg_restore", "-d", "restored", dump], env=environment, text=True, capture_output=True)
    assert restored.returncode == 0, restored.stderr
    cluster.sql("alter database restored reset flowforge.restoring", database="restored")
    cluster.database = "restored"
    cluster.wait_working()
    assert cluster.sql(shown) == before

    def output(call):
        run_id = cluster.sql(f"select {call}").splitlines()[-1]
        return cluster.sql(f"select status, output from ff_wait('{run_id}', '20s')")

    assert output("""ff_workflow_run('kept', '{"n": 1}')""") == 'completed|{"is": 1}'
    assert output("""ff_run('half', '{"n": 3}')""") == 'completed|{"result": 1.5000000000000000}'
    assert cluster.sql("select version from ff_workflow_publish('kept')") == "2"
    assert output("""ff_workflow_run('kept', '{"n": 1}')""") == 'completed|{"is": "draft 1"}'
    assert cluster.sql("select workflow from ff_workflow_create('New')") == "new"
    wait_for(lambda: cluster.sql("select bool_and(role_mark = flowforge.role_mark(role)) from flowforge.function where role is not null") == "t", 30,
             "the roles are noted")


def test_a_restored_dump_knows_its_requests_locks_and_statements(use):
    cluster = use(Cluster(settings={"flowforge.databases": "'flowforge,restored'"}))
    app = use(Script(name="moved"))
    cluster.register(app)
    cluster.sql("create role worker login; select ff_set_app_role('moved', 'worker')")
    asking = start(cluster, app, [op("Approval", "ask", prompt="?"), sql("after", "select 1 as one")])
    holding = start(cluster, app, [op("Lock", "lock", key="k"), op("Sleep", "nap", duration="4s")])
    waiting = start(cluster, app, [op("Lock", "lock", key="k")])
    wait_for(lambda: cluster.sql("select count(*) || ' ' || (select count(*) from flowforge.approvals) from flowforge.locks") == "2 1", what="all of them wait")
    environment = dict(os.environ, PGHOST=cluster.directory, PGPORT=str(cluster.port), PGUSER="postgres")
    dump = os.path.join(cluster.directory, "dump")
    subprocess.run(["pg_dump", "-Fc", "-f", dump, "flowforge"], env=environment, check=True)
    cluster.sql("create database restored", database="postgres")
    cluster.sql("alter database restored set flowforge.restoring = on", database="postgres")
    restored = subprocess.run(["pg_restore", "-d", "restored", dump], env=environment, text=True, capture_output=True)
    assert restored.returncode == 0, restored.stderr
    cluster.sql("alter database restored reset flowforge.restoring", database="restored")
    cluster.database = "restored"
    cluster.wait_working()
    cluster.sql("select ff_approve(approval_id) from flowforge.approvals")
    for run_id in (asking, holding, waiting):
        assert end(cluster, run_id)[0] == "completed"
    assert cluster.sql("select role from flowforge.app") == "worker"
    # The name was the truth; from now on it is this database's role of that name, and no other.
    wait_for(lambda: cluster.sql("select role_mark = flowforge.role_mark(role) from flowforge.app") == "t", 30, "the role is noted")
    wait_for(lambda: cluster.psql("-c", "drop role worker; create role worker login", check=False).returncode == 0, what="nobody is in a session of it")
    done = end(cluster, start(cluster, app, [sql("who", "select 1 as one")]))
    assert done[1]["who"]["error"]["code"] == "FF404", done


if __name__ == "__main__":
    run(globals())
