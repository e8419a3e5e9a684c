"""Quotas of tenants: how many of its runs may wait to begin, how large its events may be, and who may change that."""
import json
import threading

from fair import as_tenant, register, tenants
from gateway import Gateway
from harness import App, Cluster, free_port, run, wait_for

SECRET = "a secret of the tests that is long enough"


def paused(use, limit=None, name="tap", settings=None):
    """A tenant 2 whose function is paused: what it is sent waits to begin."""
    cluster = use(Cluster(settings=settings))
    tenants(cluster, 2)
    app = use(App(name=name, steps=1))
    register(cluster, 2, app)
    as_tenant(cluster, 2, f"select ff_pause('{name}-main')")
    if limit:
        cluster.sql(f"select ff_set_tenant(2, max_queued => {limit})")
    return cluster, app


def send(cluster, count=1, name="tap/go", tenant=2):
    """One call with so many events: '' when it was taken, else what was wrong."""
    events = json.dumps([{"name": name, "data": {"n": i}} for i in range(count)])
    done = cluster.psql("-v", "VERBOSITY=verbose", "-c", f"set flowforge.tenant = {tenant}; select count(*) from ff_send_events($j${events}$j$)", check=False)
    return "" if done.returncode == 0 else done.stderr


def runs(cluster, tenant=2):
    return int(cluster.sql(f"select count(*) from flowforge.run where tenant_id = {tenant}"))


def events(cluster, tenant=2):
    return int(cluster.sql(f"select count(*) from flowforge.event where tenant_id = {tenant}"))


def test_a_call_that_would_fill_the_queue_beyond_its_limit_is_refused_whole(use):
    cluster, _ = paused(use, 10)
    assert send(cluster, 8) == ""
    refused = send(cluster, 3)
    assert "FF6C0" in refused and "8 of its runs have not begun" in refused and "max_queued" in refused, refused
    assert (runs(cluster), events(cluster)) == (8, 8), "nothing of the call is kept"
    assert send(cluster, 2) == ""
    assert "FF6C0" in send(cluster)
    # An event that starts nothing takes no room, and another tenant has its own.
    assert send(cluster, name="tap/nobody") == ""
    assert send(cluster, 50, tenant=1, name="tap/nobody") == ""
    cluster.assert_sound()


def test_there_is_room_again_when_runs_begin_or_are_cancelled(use):
    cluster, app = paused(use, 10)
    assert send(cluster, 10) == "" and "FF6C0" in send(cluster)
    as_tenant(cluster, 2, "select ff_cancel(run_id) from flowforge.run where tenant_id = 2 order by run_id limit 4")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_end") == "4")
    assert send(cluster, 4) == "" and "FF6C0" in send(cluster)
    as_tenant(cluster, 2, "select ff_resume('tap-main')")
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_end") == "14")
    for _ in range(3):
        assert send(cluster, 10) == ""
        wait_for(lambda: cluster.sql("select count(*) from flowforge.run_hot") == "0")
    cluster.assert_sound()


def test_what_is_rolled_back_took_no_room(use):
    cluster, _ = paused(use, 10)
    three = "select count(*) from ff_send_events('[{\"name\": \"tap/go\"}, {\"name\": \"tap/go\"}, {\"name\": \"tap/go\"}]');"
    for _ in range(10):
        as_tenant(cluster, 2, f"begin; {three} rollback")
        as_tenant(cluster, 2, f"begin; savepoint a; {three} savepoint b; {three} release b; rollback to a; savepoint c; rollback to c; commit")
    assert as_tenant(cluster, 2, "select depth, open from flowforge.queue_depths()").split("\n")[-1] == "0|0"
    as_tenant(cluster, 2, f"begin; {three} savepoint a; {three} release a; savepoint b; {three} rollback to b; commit")
    assert as_tenant(cluster, 2, "select depth, open from flowforge.queue_depths()").split("\n")[-1] == "6|0"
    assert "FF6C0" in send(cluster, 5) and send(cluster, 4) == ""
    cluster.assert_sound()


def test_however_many_send_at_once_the_limit_is_kept_to_the_run(use):
    cluster, _ = paused(use, 100)
    taken, refused = [], []

    def sender():
        for _ in range(30):
            answer = send(cluster, 3)
            (refused if answer else taken).append(answer)

    threads = [threading.Thread(target=sender) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused), runs(cluster)) == (33, 87, 99) and all("FF6C0" in answer for answer in refused), (len(taken), runs(cluster))
    cluster.assert_sound()


def test_the_queue_is_counted_anew_after_a_crash_and_when_it_gets_a_limit(use):
    cluster, _ = paused(use)
    assert send(cluster, 20) == ""
    cluster.sql("select ff_set_tenant(2, max_queued => 21)")
    assert send(cluster) == "" and "FF6C0" in send(cluster)
    cluster.stop("immediate")
    cluster.start()
    assert "21 of its runs have not begun" in send(cluster)
    cluster.sql("select ff_set_tenant(2, max_queued => 0)")
    assert send(cluster, 5) == ""
    # What another count finds that nobody has told of: rows that were written without being counted.
    cluster.sql("select ff_set_tenant(2, max_queued => 30)")
    cluster.sql("delete from flowforge.run_hot where tenant_id = 2 and run_id in (select run_id from flowforge.run_hot limit 20)")
    wait_for(lambda: send(cluster, 20) == "", 60, "the queue is counted again before it refuses")
    cluster.sql("delete from flowforge.run r where not exists (select from flowforge.live_run l where l.run_id = r.run_id)")


def test_runs_that_wait_for_room_and_those_whose_app_is_away_have_not_begun(use):
    cluster = use(Cluster())
    tenants(cluster, 2)
    cluster.sql("select ff_set_tenant(2, max_queued => 5)")
    nobody = free_port()
    as_tenant(cluster, 2, f"select ff_register_app('http://127.0.0.1:{nobody}/api', 'away', '[{{\"id\": \"away-main\", \"triggers\": [{{\"event\": \"tap/go\"}}]}}]')")
    assert send(cluster, 5) == ""
    wait_for(lambda: cluster.sql("select count(*) from flowforge.run_parked where state is not null") == "5", what="they have been tried")
    assert "FF6C0" in send(cluster)
    cluster.sql("select ff_set_tenant(2, max_queued => 8)")
    as_tenant(cluster, 2, f"select ff_register_app('http://127.0.0.1:{nobody}/api', 'away', '[{{\"id\": \"away-main\", \"concurrency\": 1, \"triggers\": [{{\"event\": \"tap/go\"}}]}}]')")
    assert send(cluster, 3) == "" and "FF6C0" in send(cluster)
    cluster.assert_sound()


def test_what_the_server_starts_itself_is_counted_and_never_refused(use):
    cluster, _ = paused(use, 3)
    assert send(cluster, 3) == ""
    as_tenant(cluster, 2, "select ff_schedule('often', '* * * * * *', 'tap/go')")
    wait_for(lambda: runs(cluster) > 3, what="a schedule fires though the queue is full")
    as_tenant(cluster, 2, "select ff_unschedule('often')")
    as_tenant(cluster, 2, "select ff_replay(run_id) from flowforge.run where tenant_id = 2 limit 1")
    made = runs(cluster)
    assert as_tenant(cluster, 2, "select depth from flowforge.queue_depths()").split("\n")[-1] == str(made)
    assert f"{made} of its runs have not begun" in send(cluster)
    cluster.assert_sound()


def test_a_payload_larger_than_the_tenant_may_send_is_refused(use):
    cluster, _ = paused(use)
    gateway = use(Gateway(cluster))
    cluster.sql("select ff_set_tenant(1, max_payload_bytes => 1000); select ff_set_tenant(2, max_payload_bytes => 2000)")
    large = json.dumps([{"name": "tap/small"}, {"name": "tap/go", "data": {"text": "x" * 3000}}])
    refused = cluster.psql("-v", "VERBOSITY=verbose", "-c", f"set flowforge.tenant = 2; select ff_send_events('{large}')", check=False).stderr
    assert "FF6C1" in refused and "at most 2000" in refused and "max_payload_bytes" in refused, refused
    assert events(cluster) == 0
    answer = gateway.ask("POST", "/e/key", {"name": "tap/go", "data": {"text": "x" * 1500}})
    assert answer.status == 413 and "larger than the tenant may send" in answer.body.decode(), answer.body
    assert gateway.ask("POST", "/e/key", {"name": "tap/go", "data": {"text": "x" * 500}}).status == 200
    more = cluster.psql("-c", "select ff_set_tenant(2, max_payload_bytes => 100000000)", check=False).stderr
    assert "the server allows 524288" in more, more
    cluster.sql("select ff_set_tenant(2, max_payload_bytes => 0)")
    assert as_tenant(cluster, 2, f"select count(*) from ff_send_events('{large}')").endswith("2")


def test_over_http_a_full_queue_is_a_429_that_says_when_to_come_again(use):
    cluster = use(Cluster())
    gateway = use(Gateway(cluster))
    app = use(App(steps=1))
    cluster.register(app)
    cluster.sql("select ff_pause('tap-main'); select ff_set_tenant(1, max_queued => 2)")
    event = {"name": "tap/go", "data": {}}
    assert gateway.ask("POST", "/e/key", [event, event]).status == 200
    for path, body in (("/e/key", event), ("/api/v1/events", event), ("/api/v1/events/batch", [event]), ("/invoke/tap-main", {"data": {}}),
                       ("/api/v1/functions/tap-main/run", {"input": {}})):
        answer = gateway.ask("POST", path, body)
        assert answer.status == 429 and answer.headers["retry-after"] == "1", (path, answer.status, answer.body)
        assert "queue is full" in answer.body.decode(), (path, answer.body)
    assert runs(cluster, 1) == 2 == events(cluster, 1)
    cluster.sql("select ff_resume('tap-main')")
    wait_for(lambda: gateway.ask("POST", "/e/key", event).status == 200, what="there is room again")
    cluster.assert_sound()


def test_a_tenants_administrator_names_and_pauses_it_and_its_operator_sets_the_rest(use):
    cluster = use(Cluster({"flowforge.auth": "'on'", "flowforge.jwt_secret": f"'{SECRET}'"}))
    tenants(cluster, 2)
    gateway = use(Gateway(cluster))
    keys = {tenant: {"authorization": "Bearer " + as_tenant(cluster, tenant, "select key from ff_key_create('k', 'live', '{team:manage,team:read}')").split("\n")[-1]}
            for tenant in (1, 2)}
    for change in ({"weight": 5}, {"max_queued": None, "name": "x"}, {"max_running": 1}, {"max_events_per_second": 1}, {"max_payload_bytes": 1}):
        answer = gateway.ask("PATCH", "/api/v1/tenant", change, keys[2])
        assert answer.status == 403 and answer.json()["code"] == "FF640" and "operator" in answer.json()["title" if "operator" in answer.json()["title"] else "detail"], answer.body
    assert cluster.sql("select name, weight from flowforge.tenant where tenant_id = 2") == "tenant 2|1"
    answer = gateway.ask("PATCH", "/api/v1/tenant", {"name": "two", "paused": True}, keys[2])
    assert answer.status == 200 and (answer.json()["name"], answer.json()["paused"], answer.json()["max_queued"]) == ("two", True, None), answer.body
    answer = gateway.ask("PATCH", "/api/v1/tenant", {"weight": 5, "max_queued": 1000, "max_payload_bytes": 4096}, keys[1])
    assert (answer.status, answer.json()["max_queued"], answer.json()["max_payload_bytes"], answer.json()["weight"]) == (200, 1000, 4096, 5), answer.body


if __name__ == "__main__":
    run(globals())
