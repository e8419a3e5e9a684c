"""Nodes of workflows that call somebody: http_request, webhook and send_email, through a running server."""
import json
import signal

from harness import Cluster, kill, run, wait_for
from postbox import Postbox
from script import end, shared
from web import Web, reply


def node(name, kind, config, **data):
    return {"id": name, "type": kind, "position": {"x": 0, "y": 0}, "data": {"label": name, "config": config, **data}}


def chain(*nodes):
    edges = [{"id": f"e{i}", "source": a["id"], "target": b["id"]} for i, (a, b) in enumerate(zip(nodes, nodes[1:]))]
    return {"nodes": list(nodes), "edges": edges}


def launch(cluster, name, graph, data=None):
    """Publishes a workflow and starts a run of it; gives the run's id."""
    cluster.sql(f"select ff_workflow_create('{name}', $json${json.dumps(graph)}$json$); select ff_workflow_publish('{name}')")
    return cluster.sql(f"select ff_workflow_run('{name}', $json${json.dumps(data or {})}$json$)")


def play(cluster, name, graph, data=None):
    return end(cluster, launch(cluster, name, graph, data))


def prepared(use):
    cluster, _ = shared({"flowforge.outbound_allow": "'127.0.0.1'"})
    return cluster, use(Web())


def steps(cluster, run_id):
    rows = cluster.sql(f"select s.step_id, s.op, s.status, s.attempt, coalesce(s.detail, 'null') from flowforge.step s where s.run_id = '{run_id}' order by s.position")
    return [(*line.split("|")[:4], json.loads(line.split("|", 4)[4])) for line in rows.splitlines()]


def test_a_request_hands_its_answer_to_the_nodes_after_it(use):
    cluster, web = prepared(use)
    url = web.on("/users", reply(200, '{"name": "Ann", "n": 1.50}', content_type="application/json"))
    status, output = play(cluster, "request", chain(
        node("fetch", "http_request", {"url": url, "params": {"id": "{{ input.id }}"}, "headers": {"x-who": "{{ input.who }}"}}),
        node("tell", "http_request", {"url": web.url + "/tell", "method": "POST", "body": {"hello": "{{ fetch.body.name }}", "all": "{{ fetch.body }}"}}),
        node("shape", "transform", {"mapping": {"code": "{{ fetch.status_code }}", "said": "{{ tell.body }}", "type": "{{ fetch.headers['content-type'] }}"}})),
        {"id": "a b&c", "who": "me"})
    assert (status, output) == ("completed", {"code": 200, "said": "fine", "type": "application/json"}), (status, output)
    asked, told = web.asked
    assert asked.path == "/users?id=a%20b%26c" and asked.headers["x-who"] == "me"
    assert json.loads(told.body) == {"hello": "Ann", "all": {"name": "Ann", "n": 1.5}} and b"1.50" in told.body


def test_what_fails_for_a_moment_is_tried_again_and_the_rest_is_not(use):
    cluster, web = prepared(use)
    policy = {"max_attempts": 3, "backoff_strategy": "fixed", "backoff_base": 0.1}
    url = web.on("/moody", reply(503), reply(429, "", retry_after="1"), reply(200, "at last"))
    status, output = play(cluster, "moody", chain(node("a", "http_request", {"url": url}, **policy)))
    assert status == "completed" and output["body"] == "at last" and len(web.asked) == 3, (status, output)
    run_id = launch(cluster, "gone", chain(node("a", "http_request", {"url": web.on("/gone", reply(404, "no"))}, **policy)))
    status, error = end(cluster, run_id)
    assert status == "failed" and error["status_code"] == 404 and error["body"] == "no" and len(web.asked) == 4, (status, error)
    status, output = play(cluster, "tolerant", chain(
        node("a", "http_request", {"url": web.url + "/gone"}, on_error="continue", **policy), node("b", "transform", {"mapping": {"e": "{{ a._error }}"}})))
    assert (status, output) == ("completed", {"e": "the answer is 404"}), (status, output)
    status, error = play(cluster, "inside", chain(node("a", "http_request", {"url": "http://10.0.0.1/"}, **policy)))
    assert (status, error["name"], error["code"]) == ("failed", "OutboundRefused", "FF420"), (status, error)
    status, error = play(cluster, "wrong", chain(node("a", "http_request", {"url": web.url, "headers": {"a": "{{ input.bad }}"}}, **policy)), {"bad": "x\r\nb: y"})
    assert status == "failed" and "HTTP does not allow" in error["message"] and len(web.asked) == 5, (status, error)


def test_a_node_may_take_so_long_and_no_longer(use):
    cluster, web = prepared(use)

    def slow(wfile, request):
        __import__("time").sleep(1.5)
        return reply(200, "late")(wfile, request)

    web.on("/slow", slow)
    for name, config, data in (("config", {"timeout_seconds": 0.3}, {}), ("policy", {}, {"timeout_seconds": 0.3})):
        status, error = play(cluster, f"slow-{name}", chain(node("a", "http_request", {"url": web.url + "/slow", **config}, **data)))
        assert status == "failed" and error["name"] == "HttpTimeout", (name, error)


def test_credentials_and_secrets_are_not_in_what_is_stored(use):
    cluster, web = prepared(use)
    secret = "sw0rdfish-9876543210"
    run_id = launch(cluster, "secretive", chain(
        node("a", "http_request", {"url": web.url + "/x", "auth": {"type": "bearer", "token": "{{ input.token }}"}, "headers": {"cookie": "c={{ input.token }}"}}),
        node("b", "webhook", {"url": web.url + "/hook", "secret": "{{ input.token }}", "payload": {"n": 1}}),
        node("c", "http_request", {"url": web.url + "/y", "method": "{{ input.method }}", "auth": {"type": "bearer", "token": "{{ input.token }}"}}, on_error="continue")),
        {"token": secret, "method": "G T"})
    assert end(cluster, run_id)[0] == "completed"
    assert web.asked[0].headers["authorization"] == f"Bearer {secret}"
    rows = steps(cluster, run_id)
    assert [row[:3] for row in rows] == [("a", "http_request", "completed"), ("b", "webhook", "completed"), ("c", "http_request", "failed")], rows
    assert secret not in json.dumps(rows), rows
    shown = [row[4]["input"] for row in rows]
    assert shown[0]["auth"] == {"type": "bearer", "credential": "[redacted]"} and shown[0]["headers"] == {"cookie": "[redacted]"}, shown
    assert shown[1]["secret"] == "[redacted]" and shown[1]["payload"] == {"n": 1} and shown[2]["auth"]["credential"] == "[redacted]", shown


def test_a_webhook_and_a_mail_give_what_the_catalogue_says(use):
    cluster, web = prepared(use)
    postbox = use(Postbox())
    cluster.sql(f"alter system set flowforge.smtp_url = '{postbox.url}'")
    cluster.sql("alter system set flowforge.smtp_from = 'flow@example.org'")
    cluster.sql("select pg_reload_conf()")
    wait_for(lambda: cluster.sql("show flowforge.smtp_from") == "flow@example.org")
    run_id = launch(cluster, "outgoing", chain(
        node("hook", "webhook", {"url": web.on("/hook", reply(201, '{"ok": true}', content_type="application/json")), "payload": {"order": "{{ input.order }}"},
                                 "secret": "whsec_c2VjcmV0c2VjcmV0"}),
        node("mail", "send_email", {"to": "{{ input.to }}", "subject": "Order {{ input.order.id }}", "body": "It is {{ hook.status_code }}."})),
        {"order": {"id": 7}, "to": ["ann@example.com", "Bob <bob@example.com>"]})
    status, output = end(cluster, run_id)
    assert status == "completed" and output.pop("message_id").endswith("@example.org>"), (status, output)
    assert output == {"sent_to": ["ann@example.com", "bob@example.com"], "subject": "Order 7", "status": "sent"}, output
    assert b"It is 201." in postbox.mails[0].data and postbox.mails[0].recipients == output["sent_to"]
    assert json.loads(web.asked[0].body) == {"order": {"id": 7}} and web.asked[0].headers["webhook-signature"].startswith("v1,")
    hook = json.loads(cluster.sql(f"select memo -> 'data' from flowforge.step where run_id = '{run_id}' and step_id = 'hook'"))
    assert hook == {"status_code": 201, "body": {"ok": True}}, hook


def test_a_crash_during_a_call_makes_the_same_call_again(use):
    web = use(Web())
    cluster = use(Cluster(settings={"flowforge.executors": "1", "flowforge.outbound_allow": "'127.0.0.1'"}))

    def die(wfile, request):
        kill(cluster.processes("flowforge executor")[0], signal.SIGKILL)
        __import__("time").sleep(0.3)
        return reply(200, "too late")(wfile, request)

    run_id = launch(cluster, "crash", chain(
        node("first", "http_request", {"url": web.url + "/first"}),
        node("post", "http_request", {"url": web.on("/post", die, reply(200, "again")), "method": "POST", "body": "{{ first.body }}"}),
        node("hook", "webhook", {"url": web.on("/hook", die, reply(200, "again")), "payload": {"x": "{{ post.body }}"}})))
    wait_for(lambda: cluster.try_sql(f"select status = 'completed' from flowforge.runs where run_id = '{run_id}'") == "t", 90, "the run completes")
    by_path = {path: [r for r in web.asked if r.path == path] for path in ("/first", "/post", "/hook")}
    assert [len(v) for v in by_path.values()] == [1, 2, 2], by_path
    assert len({r.headers["idempotency-key"] for r in by_path["/post"]}) == 1 and len({r.body for r in by_path["/post"]}) == 1
    assert len({r.headers["webhook-id"] for r in by_path["/hook"]}) == 1


def test_every_invariant_holds_after_all_of_this(use):
    cluster, _ = shared()
    cluster.assert_sound()


if __name__ == "__main__":
    run(globals())
