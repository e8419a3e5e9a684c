"""Sql steps run as their app's role and as nobody else, whatever the statement tries."""
from harness import run, wait_for
from script import Script, end, one, op, play, shared, sql, start


def code_of(memo):
    return memo.get("error", {}).get("code", memo)


def who(cluster, app, **opts):
    memo = one(cluster, app, sql("who", "select session_user::text as session, current_user::text as user, current_setting('search_path') as path", **opts))
    return memo["data"]["rows"][0] if "data" in memo else memo["error"]


def test_a_statement_runs_in_a_session_of_its_apps_role_with_its_search_path(use):
    cluster, app = shared()
    assert who(cluster, app) == {"session": "worker", "user": "worker", "path": "shop, public"}


def test_an_app_without_a_role_runs_no_statement_and_says_how_to_mend_it(use):
    cluster, _ = shared()
    app = use(Script(name="norole"))
    cluster.register(app)
    error = one(cluster, app, sql("who", "select 1"))["error"]
    assert error["code"] == "FF404" and "ff_set_app_role" in error["hint"], error


def test_no_superuser_nor_who_may_become_one_may_be_an_apps_role(use):
    cluster, _ = shared()
    app = use(Script(name="high"))
    cluster.register(app)
    cluster.sql("create role chief login in role postgres; create role nologin; create role boss superuser login; create role gone login; drop role gone")
    for role in ("postgres", "chief", "boss", "nologin", "gone"):
        done = cluster.psql("-c", f"select ff_set_app_role('high', '{role}')", check=False)
        assert "FF404" in cluster.psql("-v", "VERBOSITY=sqlstate", "-c", f"select ff_set_app_role('high', '{role}')", check=False).stderr, (role, done.stderr)
    # The role is judged again when a statement begins.
    cluster.sql("create role rising login; select ff_set_app_role('high', 'rising')")
    assert who(cluster, app)["session"] == "rising"
    cluster.sql("alter role rising superuser")
    assert who(cluster, app)["code"] == "FF404"
    cluster.sql("alter role rising nosuperuser; grant chief to rising")
    assert who(cluster, app)["code"] == "FF404"
    cluster.sql("revoke chief from rising; revoke connect on database flowforge from public")
    assert "connect" in who(cluster, app)["message"]
    cluster.sql("grant connect on database flowforge to public; alter role rising nologin")
    assert "log in" in who(cluster, app)["message"]
    cluster.sql("drop role rising")
    assert "does not exist" in who(cluster, app)["message"]


def test_a_role_that_is_dropped_and_made_again_inherits_no_app(use):
    cluster, _ = shared()
    app = use(Script(name="heir"))
    cluster.register(app)
    cluster.sql("create role heir login; select ff_set_app_role('heir', 'heir')")
    assert who(cluster, app)["session"] == "heir"
    cluster.sql("alter role heir rename to moved; alter role moved rename to heir")
    assert who(cluster, app)["session"] == "heir", "it is the same role"
    wait_for(lambda: cluster.psql("-c", "drop role heir", check=False).returncode == 0, what="nobody is in a session of it")
    cluster.sql("create role heir login")
    error = who(cluster, app)
    assert error["code"] == "FF404" and "not the one" in error["message"] and "ff_set_app_role" in error["hint"], error
    assert cluster.sql("select flowforge.bind_roles()") == "0", "nor does housekeeping give it to it"
    assert who(cluster, app)["code"] == "FF404"
    cluster.sql("select ff_set_app_role('heir', 'heir')")
    assert who(cluster, app)["session"] == "heir"


def test_who_registers_an_app_of_a_role_that_is_gone_becomes_its_role(use):
    cluster, _ = shared()
    functions = '[{"id": "left-f", "triggers": []}]'
    register = f"select ff_register_app('http://127.0.0.1:9/left', 'left', '{functions}') -> 'ok'"
    cluster.sql("create role keeper login; grant execute on function ff_register_app to keeper")
    cluster.sql("create role lost login; grant execute on function ff_register_app to lost")
    cluster.sql(f"set role lost; {register}")
    cluster.sql("revoke all on function ff_register_app from lost; drop role lost; create role lost login; grant lost to keeper")
    cluster.sql(f"set role keeper; {register.replace('[]', '[{' + chr(34) + 'event' + chr(34) + ': ' + chr(34) + 'x' + chr(34) + '}]')}")
    assert cluster.sql("select role from flowforge.app where name = 'left'") == "keeper"


def test_who_registers_an_app_in_sql_becomes_its_role_unless_a_superuser(use):
    cluster, _ = shared()
    cluster.sql("create role maker login; create role other login; create role team login; "
                "grant execute on function ff_register_app, ff_set_app_role to maker, other, team")
    app = use(Script(name="made"))
    url = app.registration()["url"]
    register = f"select ff_register_app('{url}', 'made', '[{{\"id\": \"made-main\", \"triggers\": [{{\"event\": \"made/go\"}}]}}]')"
    again = register.replace("made/go", "made/again")
    role = "select role from flowforge.app where name = 'made'"
    cluster.sql(register)
    assert cluster.sql(role) == "", "a superuser gives nothing of his"
    cluster.sql("set role maker; " + again)
    assert cluster.sql(role) == "maker"
    cluster.sql("grant team to maker; set role maker; select ff_set_app_role('made', 'team')")
    assert cluster.sql(role) == "team"
    cluster.sql("set role maker; " + register)
    assert cluster.sql(role) == "team", "a member of the app's role leaves it"
    cluster.sql("set role other; " + again)
    assert cluster.sql(role) == "other", "somebody else cannot have his code run as the role of another"
    refused = cluster.psql("-v", "VERBOSITY=sqlstate", "-c", "set role other", "-c", "select ff_set_app_role('made', 'team')", check=False)
    assert "FF404" in refused.stderr, refused.stderr
    unknown = cluster.psql("-v", "VERBOSITY=sqlstate", "-c", "select ff_set_app_role('nobody', null)", check=False)
    assert "FF013" in unknown.stderr, unknown.stderr
    cluster.sql("create role stranger login")
    assert "permission denied" in cluster.psql("-c", "set role stranger", "-c", "select ff_set_app_role('made', 'stranger')", check=False).stderr


def test_syncing_another_ones_app_does_not_become_its_role(use):
    cluster, _ = shared()
    app = use(Script(name="synced"))
    cluster.register(app)
    cluster.sql("create role syncer login; grant execute on function ff_sync_app to syncer; select ff_set_app_role('synced', 'worker')")
    role = "select role from flowforge.app where name = 'synced'"
    impostor = use(Script(name="synced"))
    answer = {**impostor.registration(), "app_id": "synced"}

    def tells(handler):
        handler.rfile.read(int(handler.headers.get("content-length") or 0))
        impostor.headers["x-inngest-sync-kind"] = "in_band"
        handler.reply(200, answer)

    impostor.server.RequestHandlerClass.do_PUT = tells
    sync = f"select ff_sync_app('{answer['url']}') ->> 'modified'"
    assert cluster.sql(sync) == "true" and cluster.sql(role) == "worker", "a superuser gives nothing of his and takes nothing"
    answer["functions"][0]["name"] = "changed"
    assert cluster.sql("set role syncer; " + sync) == "true"
    assert cluster.sql(role) == "syncer", "his code cannot run as the role of another"


def test_registering_over_http_changes_no_role(use):
    cluster, _ = shared()
    app = use(Script(name="wire"))
    cluster.register(app)
    cluster.sql("select ff_set_app_role('wire', 'worker')")
    app.retries = 5
    cluster.register(app)
    assert cluster.sql("select role from flowforge.app where name = 'wire'") == "worker"


def test_the_option_role_takes_a_role_the_apps_role_is_a_member_of(use):
    cluster, app = shared()
    cluster.sql("create role readers; create role writers; grant readers to worker")
    assert who(cluster, app, role="readers")["user"] == "readers"
    assert who(cluster, app, role="writers")["code"] == "42501"
    assert who(cluster, app, role="postgres")["code"] == "42501"
    assert who(cluster, app, role="missing")["code"] == "22023"
    assert who(cluster, app)["user"] == "worker", "it ended with the statement"
    back = "do $$ begin execute 'reset role'; if current_user <> 'worker' then raise 'now %', current_user; end if; end $$"
    assert one(cluster, app, sql("back", back, role="readers")).get("data"), "there is nobody above the app's role"


def test_session_and_transaction_commands_are_refused(use):
    cluster, app = shared()
    for query in ("begin", "commit", "rollback", "savepoint a", "prepare transaction 'x'", "set role postgres", "set session authorization postgres",
                  "reset session authorization", "reset all", "set search_path = public", "discard all", "prepare p as select 1", "execute p",
                  "deallocate all", "declare c cursor for select 1", "listen flowforge", "unlisten *", "copy pg_class to stdout", "load 'x'"):
        error = one(cluster, app, sql("try", query))["error"]
        assert error["code"] == "FF401" and error["hint"], (query, error)
    assert code_of(one(cluster, app, sql("vacuum", "vacuum"))) == "25001"


def test_nested_commands_give_nobody_more_than_the_role_has(use):
    cluster, app = shared()
    denied = {"set role postgres": "42501", "set session authorization postgres": "42501", "commit": "0A000", "rollback": "0A000",
              "alter role worker superuser": "42501", "create role evil superuser": "42501", "set flowforge.tenant = 2": "42501",
              "set session_replication_role = replica": "42501", "copy pg_class to program 'true'": "42501",
              "select * from flowforge.run_hot": "42501", "update flowforge.app set role = 'postgres'": "42501",
              "alter function flowforge.role_problem(text, text) owner to worker": "42501",
              "create function flowforge.evil() returns int language sql as 'select 1'": "42501"}
    for command, code in denied.items():
        memo = one(cluster, app, sql("nested", f"do $do$ begin execute $q${command}$q$; end $do$"))
        assert code_of(memo) == code, (command, memo)
    for body, code in (("commit;", "2D000"), ("rollback;", "2D000")):
        assert code_of(one(cluster, app, sql("nested", f"do $do$ begin {body} end $do$"))) == code
    cluster.sql("create procedure shop.ends() language plpgsql as 'begin commit; end'; alter procedure shop.ends() owner to worker")
    assert code_of(one(cluster, app, sql("call", "call ends()"))) == "2D000"


def test_names_and_operators_in_the_roles_search_path_do_not_reach_the_engine(use):
    cluster, app = shared()
    cluster.sql("create table shop.loot (who text, what text); alter table shop.loot owner to worker; create schema trap authorization worker")
    # An operator for each comparison the engine makes, in front of pg_catalog, that writes down who called it.
    cluster.sql("""
        set role worker;
        create function trap.eq(smallint, smallint) returns boolean language plpgsql as
            'begin insert into shop.loot values (current_user, ''int2''); return $1 operator(pg_catalog.=) $2; end';
        create function trap.eq(uuid, uuid) returns boolean language plpgsql as
            'begin insert into shop.loot values (current_user, ''uuid''); return $1 operator(pg_catalog.=) $2; end';
        create function trap.eq(text, text) returns boolean language plpgsql as
            'begin insert into shop.loot values (current_user, ''text''); return $1 operator(pg_catalog.=) $2; end';
        create operator trap.= (leftarg = smallint, rightarg = smallint, function = trap.eq);
        create operator trap.= (leftarg = uuid, rightarg = uuid, function = trap.eq);
        create operator trap.= (leftarg = text, rightarg = text, function = trap.eq);
        create function trap.jsonb_build_object() returns jsonb language sql as 'select null::jsonb';
        create function trap.now() returns timestamptz language sql as 'select null::timestamptz'""")
    cluster.sql("alter role worker set search_path = trap, shop, pg_catalog")
    try:
        cluster.sql("select pg_terminate_backend(pid) from flowforge.sql_workers() where pid is not null")
        wait_for(lambda: cluster.sql("select count(*) from flowforge.sql_workers()") == "0", what="sessions with the old path have ended")
        done = play(cluster, app, [sql("trap", "select 'a'::text = 'a'::text as same"),
                                   sql("temp", "create temp table inbox (slot int)"),
                                   sql("fail", "select 1 / 0"),
                                   sql("set", "select set_config('search_path', 'trap, pg_catalog', false)"),
                                   sql("after", "select 1 as one")])
        assert done["after"]["data"]["rows"] == [{"one": 1}] and code_of(done["fail"]) == "22012", done
        assert cluster.sql("select distinct who || ' ' || what from shop.loot") == "worker text", "only the statement itself met the trap"
    finally:
        cluster.sql("alter role worker set search_path = shop, public")
        cluster.sql("select pg_terminate_backend(pid) from flowforge.sql_workers() where pid is not null")


def test_what_runs_at_the_commit_still_runs_as_the_role(use):
    cluster, app = shared()
    cluster.sql("""
        set role worker;
        create table shop.seen (who text);
        create table shop.watched (n int);
        create function shop.note() returns trigger language plpgsql as 'begin insert into shop.seen values (current_user); return null; end';
        create constraint trigger note after insert on shop.watched deferrable initially deferred for each row execute function shop.note();
        create table shop.snare (n int, m text);
        create function shop.snare_of(int) returns text language plpgsql immutable as 'begin return current_user; end';
        create index on shop.snare (shop.snare_of(n))""")
    assert "data" in one(cluster, app, sql("watch", "insert into shop.watched values (1)"))
    hold = ("do $do$ begin execute $q$declare c cursor with hold for select shop.slow()$q$; end $do$")
    cluster.sql("set role worker; create function shop.slow() returns int language plpgsql as "
                "'begin insert into shop.seen values (current_user || '' in a cursor''); return 1; end'")
    one(cluster, app, sql("hold", hold))
    assert cluster.sql("select string_agg(who, ',') from shop.seen") == "worker"


def test_a_session_leaves_nothing_to_the_next_statement(use):
    cluster, app = shared()
    cluster.sql("grant readers to worker")
    done = play(cluster, app, [
        sql("temp", "create temp table kept (n int)"),
        sql("lock", "select pg_advisory_lock(77)"),
        sql("setting", "select set_config('work_mem', '64kB', false), set_config('app.secret', 'mine', false), set_config('role', 'readers', false)"),
        sql("tenant", "select current_setting('flowforge.tenant') as tenant"),
        sql("look", "select current_user::text as user, current_setting('work_mem') as memory, nullif(current_setting('app.secret', true), '') as secret, "
            "to_regclass('kept') as kept, (select count(*) from pg_locks where locktype = 'advisory')::int as locks")])
    row = done["look"]["data"]["rows"][0]
    assert row == {"user": "worker", "memory": "4MB", "secret": None, "kept": None, "locks": 0}, row
    assert done["tenant"]["data"]["rows"] == [{"tenant": "1"}]


def test_a_read_only_role_reads_and_still_has_its_result(use):
    cluster, _ = shared()
    app = use(Script(name="reader"))
    cluster.register(app)
    cluster.sql("create role onlyread login; alter role onlyread set default_transaction_read_only = on; "
                "alter role onlyread set default_transaction_isolation = serializable; select ff_set_app_role('reader', 'onlyread')")
    done = play(cluster, app, [sql("read", "select current_setting('transaction_isolation') as level"), sql("write", "create table public.x (n int)")])
    assert done["read"]["data"]["rows"] == [{"level": "read committed"}], done
    assert code_of(done["write"]) in ("25006", "42501"), done


def test_two_roles_have_two_sessions_and_make_room_for_each_other(use):
    cluster, app = shared()
    others = []
    for number in range(4):
        other = use(Script(name=f"many{number}"))
        cluster.register(other)
        cluster.sql(f"create role many{number} login; select ff_set_app_role('many{number}', 'many{number}')")
        others.append(other)
    for _ in range(2):
        for number, other in enumerate(others):
            assert who(cluster, other)["session"] == f"many{number}"
    assert int(cluster.sql("select count(*) from flowforge.sql_workers()")) <= 3
    assert cluster.sql("select ff_set_app_role('many0', null)") == "none"
    assert who(cluster, others[0])["code"] == "FF404"


def test_every_invariant_holds_after_all_of_this(use):
    cluster, _ = shared()
    cluster.assert_sound()


if __name__ == "__main__":
    run(globals())
