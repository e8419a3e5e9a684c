"""What the API's routes do beyond their form: functions, the tenant, search, pages, ETags, repeats, CloudEvents, bulk actions, the log."""
from gateway import Gateway
from harness import App, Cluster, run, wait_for


def prepared(use, settings=None):
    cluster = use(Cluster({"flowforge.outbound_allow": "'127.0.0.1'"} | (settings or {})))
    # Whose snapshot is older than the first partitions does not find rows that were moved into them.
    wait_for(lambda: cluster.sql("select count(*) from flowforge.partition_days('step')") != "0", 30, "the first partitions are made")
    return cluster, use(Gateway(cluster))


def app_of(use, gateway, name="shop", **options):
    app = use(App(name, **options))
    assert gateway.ask("PUT", "/fn/register", app.registration()).status == 200
    return app


def send(gateway, name, data=None, **headers):
    answer = gateway.ask("POST", "/api/v1/events", {"name": name, "data": data or {}}, headers)
    assert answer.status == 200, answer.body
    return answer.json()


def finished(gateway, run_id, status="completed"):
    return wait_for(lambda: (lambda r: r if r["status"] == status else None)(gateway.get(f"/api/v1/runs/{run_id}").json()), 30, f"the run is {status}")


def test_a_function_is_shown_with_versions_and_how_its_runs_went(use):
    _, gateway = prepared(use)
    app = app_of(use, gateway, steps=1)
    first = finished(gateway, send(gateway, "shop/go")["runs"][0]["id"])
    assert first["timing"]["steps"] == 1 and first["timing"]["total_ms"] >= first["timing"]["running_ms"] >= 0, first["timing"]
    assert first["cost"] == {"usd": 0, "model_calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "unpriced_calls": 0}, first["cost"]
    changed = app.registration()
    changed["functions"][0]["timeouts"] = {"finish": "1h"}
    gateway.ask("PUT", "/fn/register", changed)
    shown = gateway.get("/api/v1/functions/shop-main")
    detail = shown.json()
    assert shown.headers["etag"] == detail["etag"]
    assert [(v["version"], v["current"]) for v in detail["versions"]] == [(2, True), (1, False)], detail["versions"]
    assert (detail["stats"]["completed"], detail["stats"]["failed"], detail["stats"]["live"]) == (1, 0, 0), detail["stats"]
    assert detail["stats"]["duration_ms"]["p50"] >= 0 and detail["config"]["timeouts"] == {"finish": "1h"}, detail
    assert gateway.get("/api/v1/functions/none").status == 404


def test_a_function_is_taken_out_of_use_and_put_back(use):
    cluster, gateway = prepared(use)
    app = app_of(use, gateway, steps=1)
    assert gateway.ask("DELETE", "/api/v1/functions/shop-main", headers={"if-match": '"other"'}).status == 412
    gone = gateway.ask("DELETE", "/api/v1/functions/shop-main", headers={"if-match": gateway.get("/api/v1/functions/shop-main").headers["etag"]})
    assert gone.status == 200 and gone.json()["archived_at"] is not None, gone.body
    assert send(gateway, "shop/go")["runs"] == []
    assert gateway.ask("POST", "/api/v1/functions/shop-main/run", {}).status == 404
    assert gateway.get("/api/v1/functions").json()["data"] == []
    assert gateway.ask("PUT", "/fn/register", app.registration()).json()["modified"] is False and send(gateway, "shop/go")["runs"] == []
    assert gateway.ask("PATCH", "/api/v1/functions/shop-main", {"archived": False, "name": "Orders"}).json()["name"] == "Orders"
    finished(gateway, send(gateway, "shop/go")["runs"][0]["id"])
    assert cluster.sql("select count(*) from flowforge.fsck()") == "0"


def test_a_function_and_a_whole_tenant_are_paused(use):
    _, gateway = prepared(use)
    app_of(use, gateway, steps=1)
    paused = gateway.ask("PATCH", "/api/v1/functions/shop-main", {"paused": True, "reason": "a flood"}).json()
    assert paused["paused"] and paused["pause"]["reason"] == "a flood", paused
    assert gateway.ask("PATCH", "/api/v1/functions/shop-main", {"paused": False}).json()["pause"] is None
    tenant = gateway.ask("PATCH", "/api/v1/tenant", {"paused": True, "reason": "at night", "weight": 3, "max_running": 50}).json()
    assert (tenant["paused"], tenant["pause"]["reason"], tenant["weight"], tenant["max_running"]) == (True, "at night", 3, 50), tenant
    waits = send(gateway, "shop/go")["runs"][0]["id"]
    explained = gateway.get(f"/api/v1/runs/{waits}/explain")
    assert explained.status == 200 and explained.json()["causes"][0]["cause"] == "all paused", explained.body
    assert gateway.get(f"/api/v1/runs/{waits}").json()["status"] == "pending"
    assert gateway.ask("PATCH", "/api/v1/tenant", {"paused": False}, {"if-match": '"x"'}).status == 412
    back = gateway.ask("PATCH", "/api/v1/tenant", {"paused": False, "max_running": None}, {"if-match": gateway.get("/api/v1/tenant").headers["etag"]})
    assert back.status == 200 and back.json()["max_running"] is None, back.body
    finished(gateway, waits)
    wrong = gateway.ask("PATCH", "/api/v1/tenant", {"weight": 5000})
    assert wrong.status == 400 and wrong.type == "application/problem+json", wrong.body


def test_runs_are_found_by_what_is_in_them(use):
    _, gateway = prepared(use)
    app_of(use, gateway, steps=1)
    ids = [send(gateway, "shop/go", {"city": city, "n": n})["runs"][0]["id"] for n, city in enumerate(["Ulm", "Bonn", "ULM"])]
    for run_id in ids:
        finished(gateway, run_id)
    found = gateway.get("/api/v1/runs?search=ulm").json()
    assert [r["id"] for r in found["data"]] == [ids[2], ids[0]] and found["next_cursor"] is None, found
    page = gateway.get("/api/v1/runs?search=ulm&limit=1").json()
    assert [r["id"] for r in page["data"]] == [ids[2]], page
    rest = gateway.get(f"/api/v1/runs?search=ulm&limit=1&cursor={page['next_cursor']}").json()
    assert [r["id"] for r in rest["data"]] == [ids[0]], rest
    assert gateway.get("/api/v1/runs?search=nowhere").json()["data"] == []
    assert len(gateway.get("/api/v1/runs?search=%22steps%22").json()["data"]) == 3  # in the output
    assert [r["id"] for r in gateway.get("/api/v1/runs?search=bonn&status=completed&function=shop-main&event=shop/go").json()["data"]] == [ids[1]]
    assert gateway.get("/api/v1/runs?workflow=none").status == 404


def test_a_search_goes_on_where_it_stopped_looking(use):
    cluster, gateway = prepared(use)
    app_of(use, gateway, steps=1)
    gateway.ask("PATCH", "/api/v1/tenant", {"paused": True})
    cluster.sql("select ff_send_event('shop/go', '{\"needle\": true}'); select count(ff_send_event('shop/go', '{}')) from generate_series(1, 2500)")
    found = gateway.get("/api/v1/runs?search=needle").json()
    assert found["data"] == [] and found["next_cursor"], found
    found = gateway.get(f"/api/v1/runs?search=needle&cursor={found['next_cursor']}").json()
    assert len(found["data"]) == 1 and found["next_cursor"] is None, found


def walked(gateway, path, limit):
    """All items of a list, page by page."""
    items, cursor = [], ""
    while cursor is not None:
        page = gateway.get(f"{path}{'&' if '?' in path else '?'}limit={limit}" + (f"&cursor={cursor}" if cursor else "")).json()
        assert len(page["data"]) <= limit, page
        items += page["data"]
        cursor = page["next_cursor"]
    return items


def test_every_list_comes_in_pages(use):
    _, gateway = prepared(use)
    for name in ("a-app", "b-app", "c-app"):
        app_of(use, gateway, name, steps=4)
        gateway.ask("POST", "/api/v1/hooks", {"path": name, "event": "hook/came"})
        gateway.ask("POST", "/api/v1/workflows", {"name": name})
    one = finished(gateway, send(gateway, "a-app/go")["runs"][0]["id"])
    send(gateway, "b-app/go")
    for path in ("/api/v1/apps", "/api/v1/functions", "/api/v1/hooks", "/api/v1/workflows", "/api/v1/events", "/api/v1/runs", "/api/v1/catalog/functions",
                 f"/api/v1/runs/{one['id']}/steps"):
        whole = gateway.get(path).json()["data"]
        assert len(whole) >= 2 and walked(gateway, path, 1) == whole, (path, whole)
    for path in ("/api/v1/apps", "/api/v1/runs"):
        for bad in ("limit=0", "limit=99999", "limit=x"):
            assert gateway.get(f"{path}?{bad}").status == 400, (path, bad)


def test_what_is_asked_again_with_its_key_is_done_once(use):
    _, gateway = prepared(use)
    app_of(use, gateway, steps=1)
    for header in ("idempotency-key", "x-idempotency-key"):
        first, again = [gateway.ask("POST", "/api/v1/functions/shop-main/run", {"input": {"n": 1}}, {header: f"{header}-1"}) for _ in range(2)]
        assert first.body == again.body and first.status == again.status == 201, (first.body, again.body)
        assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true", again.headers
        other = gateway.ask("POST", "/api/v1/functions/shop-main/run", {"input": {"n": 2}}, {header: f"{header}-1"})
        assert other.status == 422 and other.json()["hint"], other.body
    assert len(gateway.get("/api/v1/runs").json()["data"]) == 2


def test_cloud_events_come_in_all_three_modes(use):
    _, gateway = prepared(use)
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "shop/paid", "data": {"n": 1}}
    one = gateway.ask("POST", "/api/v1/events", event, {"content-type": "application/cloudevents+json"}).json()["id"]
    repeat = gateway.ask("POST", "/api/v1/events", event, {"content-type": "application/cloudevents+json"}).json()["id"]
    assert one == repeat
    many = gateway.ask("POST", "/api/v1/events/batch", [event | {"id": "2"}, event | {"id": "3"}], {"content-type": "application/cloudevents-batch+json"})
    assert len(many.json()["ids"]) == 2, many.body
    binary = gateway.ask("POST", "/api/v1/events", {"n": 4}, {"ce-specversion": "1.0", "ce-id": "4", "ce-source": "/shop", "ce-type": "shop/paid"}).json()["id"]
    shown = gateway.get(f"/api/v1/events/{binary}").json()
    assert shown["name"] == "shop/paid" and shown["data"]["n"] == 4 and shown["external_id"] == "/shop#4", shown
    assert len(gateway.get("/api/v1/events?name=shop/paid").json()["data"]) == 4


def test_a_binary_cloud_event_is_another_request_when_its_headers_are_others(use):
    _, gateway = prepared(use)
    event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": "shop/paid", "idempotency-key": "binary"}
    first, again = [gateway.ask("POST", "/api/v1/events", {"n": 1}, event) for _ in range(2)]
    assert first.body == again.body and again.headers["idempotency-replayed"] == "true", again.body
    for other in ({"ce-type": "shop/lost"}, {"ce-id": "2"}, {"ce-subject": "o1"}, {"content-type": "application/cloudevents+json"}):
        answer = gateway.ask("POST", "/api/v1/events", {"n": 1}, event | other)
        assert answer.status == 422 and answer.json()["code"] == "FF212", (other, answer.body)
    assert len(gateway.get("/api/v1/events").json()["data"]) == 1


def test_what_a_request_logs_has_its_id(use):
    cluster, gateway = prepared(use)
    cluster.sql("create function public.spoil() returns trigger language plpgsql as $$ begin raise warning 'spoilt'; raise 'no room' using errcode = 'XX000'; end $$;"
                "create trigger spoil before insert on flowforge.pause for each row execute function public.spoil()")
    app_of(use, gateway, steps=1)
    answer = gateway.ask("POST", "/api/v1/functions/shop-main/pause", {"reason": "x"}, {"x-request-id": "my-request-7"})
    assert answer.status == 500 and answer.headers["x-request-id"] == "my-request-7" and b"no room" not in answer.body, answer.body
    with open(cluster.log) as file:
        log = file.read()
    for line in ("WARNING:  spoilt", "LOG:  no room"):
        told = log[log.index(line):].split("CONTEXT:", 1)[1][:1000]
        assert told.count("request my-request-7: POST /api/v1/functions/{id}/pause") >= 1, log[log.index(line):][:1500]


def test_many_runs_are_cancelled_after_a_dry_run(use):
    _, gateway = prepared(use)
    app_of(use, gateway, steps=0, sleep="1h")
    ids = {send(gateway, "shop/go", {"n": n})["runs"][0]["id"] for n in range(3)}
    asked = {"function": "shop-main", "if": "event.data.n > 0", "reason": "enough"}
    dry = gateway.ask("POST", "/api/v1/runs/cancel", asked | {"dry_run": True}).json()
    assert (dry["count"], dry["dry_run"], {d["result"] for d in dry["data"]}) == (2, True, {"would be cancelled"}), dry
    done = gateway.ask("POST", "/api/v1/runs/cancel", asked).json()
    assert done["count"] == 2 and {d["id"] for d in done["data"]} < ids, done
    for item in done["data"]:
        finished(gateway, item["id"], "cancelled")
    wrong = gateway.ask("POST", "/api/v1/runs/cancel", {})
    assert wrong.status == 400 and set(wrong.json()) == {"type", "title", "status", "detail", "code", "hint", "errors"}, wrong.body


run(globals())
