"""Http and Webhook steps: what is sent, what an answer becomes, what is tried again, and what nobody may see afterwards."""
import base64
import email.utils
import hashlib
import hmac
import json
import signal
import time
from urllib.parse import parse_qsl

from harness import Cluster, kill, run, wait_for
from script import Script, end, one, op, shared, start
from web import Web, raw, reply


def http(url, name="http", **opts):
    return op("Http", name, url=url, **opts)


def webhook(url, name="hook", **opts):
    return op("Webhook", name, url=url, **opts)


def prepared(use):
    cluster, app = shared({"flowforge.outbound_allow": "'127.0.0.1'", "flowforge.response_limit": "'200kB'"})
    return cluster, app, use(Web())


def error_of(memo):
    assert set(memo) == {"error"}, memo
    return memo["error"]


def detail(cluster, op_name):
    return json.loads(cluster.sql(f"select detail from flowforge.step where op = '{op_name}' order by run_id desc limit 1"))


def test_a_request_is_sent_as_it_was_asked_for(use):
    cluster, app, web = prepared(use)
    data = one(cluster, app, http(web.on("/plain", reply(200, "fine", content_type="text/plain", x_one="1"))))["data"]
    assert data == {"status_code": 200, "headers": {"content-type": "text/plain", "x-one": "1"}, "body": "fine"}, data
    sent = web.asked[-1]
    assert (sent.method, sent.path, sent.body) == ("GET", "/plain", b"") and sent.headers["user-agent"].startswith("FlowForge/"), sent.headers
    assert "content-type" not in sent.headers and "idempotency-key" not in sent.headers
    one(cluster, app, http(web.url + "/p?a=1#there", params={"q": "a b&c=ü/?", "n": 5, "t": True, "l": [1, "x"], "no": None, "empty": ""}))
    path, query = web.asked[-1].path.split("?")
    assert path == "/p" and sorted(parse_qsl(query, keep_blank_values=True)) == sorted([
        ("a", "1"), ("q", "a b&c=ü/?"), ("n", "5"), ("t", "true"), ("l", "1"), ("l", "x"), ("empty", "")]), query
    one(cluster, app, http(web.url + "/body", method="POST", body={"a": [1, 10**30 + 1, None], "ü": "ß"}, headers={"X-Two": "2", "X-None": None, "X-Empty": ""}))
    sent = web.asked[-1]
    assert (sent.method, json.loads(sent.body), sent.headers["content-type"]) == ("POST", {"a": [1, 10**30 + 1, None], "ü": "ß"}, "application/json")
    assert sent.headers["x-two"] == "2" and sent.headers["x-empty"] == "" and "x-none" not in sent.headers, sent.headers
    one(cluster, app, http(web.url + "/text", method="PUT", body="as it is"))
    assert (web.asked[-1].body, web.asked[-1].headers["content-type"]) == (b"as it is", "text/plain;charset=UTF-8")
    one(cluster, app, http(web.url + "/typed", method="PATCH", body="<a/>", headers={"Content-Type": "application/xml"}))
    assert (web.asked[-1].body, web.asked[-1].headers["content-type"]) == (b"<a/>", "application/xml")
    one(cluster, app, http(web.url + "/nothing", method="POST"))
    assert (web.asked[-1].body, "content-type" in web.asked[-1].headers) == (b"", False), web.asked[-1].headers
    for method in ("DELETE", "HEAD", "OPTIONS"):
        assert one(cluster, app, http(web.url + "/m", method=method))["data"]["status_code"] == 200
        assert web.asked[-1].method == method


def test_an_answer_becomes_json_text_or_base64(use):
    cluster, app, web = prepared(use)
    packed = bytes(range(256))
    for name, answer, body, encoding in (
            ("JSON", reply(200, '{"a": 1.10}', content_type="application/json; charset=utf-8"), {"a": 1.1}, None),
            ("JSON of a kind", reply(200, "[1]", content_type="application/problem+json"), [1], None),
            ("JSON in capitals", reply(200, "null", content_type="Application/JSON"), None, None),
            ("JSON that is none", reply(200, "{nope", content_type="application/json"), "{nope", None),
            ("JSON nested too deeply", reply(200, "[" * 999 + "]" * 999, content_type="application/json"), "[" * 999 + "]" * 999, None),
            ("JSON nobody calls so", reply(200, '{"a": 1}', content_type="text/plain"), '{"a": 1}', None),
            ("no type", reply(200, "plain"), "plain", None),
            ("no content", reply(204), None, None),
            ("an empty body", reply(200, "", content_type="application/json"), None, None),
            ("bytes", reply(200, packed, content_type="image/png"), base64.b64encode(packed).decode(), "base64"),
            ("text that is no UTF-8", reply(200, b"caf\xe9", content_type="text/plain"), "Y2Fm6Q==", "base64"),
            ("a NUL", reply(200, b'{"a": "\0"}', content_type="application/json"), base64.b64encode(b'{"a": "\0"}').decode(), "base64"),
            ("an escaped NUL", reply(200, '"\\u0000"', content_type="application/json"), '"\\u0000"', None),
            ("a redirect", reply(302, "", location="http://10.0.0.1/"), None, None)):
        data = one(cluster, app, http(web.on("/answer", answer)))["data"]
        assert data["body"] == body and data.get("encoding") == encoding, (name, data)
    assert data["status_code"] == 302 and data["headers"]["location"] == "http://10.0.0.1/", "redirects are not followed"
    url = web.on("/go", reply(307, "", location="/there"))
    assert one(cluster, app, http(url, max_redirects=1))["data"]["body"] == "fine"


def test_who_asks_is_told_and_seen_by_nobody(use):
    cluster, app, web = prepared(use)
    secret = "sw0rdfish-0123456789"
    for auth, name, value in (({"type": "basic", "username": "me", "password": secret}, "authorization",
                               "Basic " + base64.b64encode(f"me:{secret}".encode()).decode()),
                              ({"type": "bearer", "token": secret}, "authorization", f"Bearer {secret}"),
                              ({"type": "header", "name": "X-Api-Key", "value": secret}, "x-api-key", secret)):
        web.on("/who", lambda w, r: reply(200, json.dumps({"you": r.headers.get(name), "path": r.path}), content_type="application/json")(w, r))
        data = one(cluster, app, http(web.url + f"/who?token={secret}", auth=auth, params={"api_key": secret, "a": "b"},
                                      headers={"cookie": f"session={secret}"}, method="POST", body={"note": f"it is {secret}"}))["data"]
        assert web.asked[-1].headers[name] == value and web.asked[-1].headers["cookie"] == f"session={secret}", web.asked[-1].headers
        assert secret not in json.dumps(data) and "[redacted]" in data["body"]["you"], data
        shown = detail(cluster, "http")["input"]
        assert shown["auth"]["type"] == auth["type"] and shown["auth"]["credential"] == "[redacted]", shown
        assert shown["headers"]["cookie"] == shown["params"]["api_key"] == "[redacted]" and shown["params"]["a"] == "b", shown
        assert shown["body"] == {"note": "it is [redacted]"}, shown
    web.on("/no", lambda w, r: reply(401, f"not {r.headers['authorization']}")(w, r))
    error = error_of(one(cluster, app, http(web.url + "/no", auth={"type": "bearer", "token": secret})))
    assert error["status_code"] == 401 and error["body"] == "not [redacted]", error
    one(cluster, app, webhook(web.url + "/hook", payload={}, secret=secret))
    assert detail(cluster, "webhook")["input"]["secret"] == "[redacted]"
    dump = cluster.psql("-c", "select row_to_json(s) from flowforge.step s union all select row_to_json(e) from flowforge.run_event_batch e union all "
                        "select row_to_json(r) from flowforge.run_hot r union all select row_to_json(i) from flowforge.run_end i "
                        "where i.output::text not like '%script%'").stdout
    assert secret not in dump
    with open(cluster.log) as f:
        assert secret not in f.read()


def test_statuses_from_400_on_are_errors_and_some_are_tried_again(use):
    cluster, app, web = prepared(use)
    for status, again in ((400, False), (401, False), (404, False), (409, False), (422, False), (429, True), (500, True), (502, True), (503, True)):
        before = len(web.asked)
        error = error_of(one(cluster, app, http(web.on("/status", reply(status, '{"why": "so"}', content_type="application/json")))))
        assert (error["name"], error["status_code"], error["body"]) == ("HttpError", status, '{"why": "so"}'), error
        assert len(web.asked) - before == (3 if again else 1), (status, len(web.asked) - before)
    memo = one(cluster, app, http(web.on("/later", reply(503), reply(429), reply(200, "at last"))))
    assert memo["data"]["body"] == "at last"
    for value in ("2", lambda: email.utils.formatdate(time.time() + 3, usegmt=True)):
        value = value() if callable(value) else value
        started = time.monotonic()
        one(cluster, app, http(web.on("/wait", reply(429, "", retry_after=value), reply(200, "now"))))
        assert 1.2 < time.monotonic() - started < 30, (value, time.monotonic() - started)
    one(cluster, app, http(web.on("/wait", reply(429, "", retry_after="soon"), reply(200, "now"))))


def test_a_request_has_one_key_however_often_it_is_made(use):
    cluster, app, web = prepared(use)
    one(cluster, app, http(web.on("/post", reply(500), reply(503), reply(200)), method="POST", body="x"))
    keys = [r.headers["idempotency-key"] for r in web.asked]
    assert len(keys) == 3 and len(set(keys)) == 1, keys
    one(cluster, app, http(web.url + "/post", method="POST", headers={"Idempotency-Key": "mine"}))
    assert web.asked[-1].headers["idempotency-key"] == "mine"
    one(cluster, app, http(web.url + "/post", method="POST"))
    assert web.asked[-1].headers["idempotency-key"] not in keys


def test_a_slow_answer_is_given_up_and_asked_again(use):
    cluster, app, web = prepared(use)
    drip = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", *[b"x"] * 60, pause=0.1)
    memo = one(cluster, app, http(web.on("/drip", drip, reply(200, "quick")), timeout_seconds=0.4))
    assert memo["data"]["body"] == "quick" and len(web.asked) == 2
    error = error_of(one(cluster, app, http(web.on("/drip", drip), timeout_seconds=0.3)))
    assert error["name"] == "HttpTimeout", error
    before = len(web.asked)
    large = raw(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 100)
    assert "flowforge.response_limit" in error_of(one(cluster, app, http(web.on("/large", large))))["message"]
    assert len(web.asked) == before + 1, "it would be as large again"
    error = error_of(one(cluster, app, http("http://127.0.0.9:8080/")))
    assert error["name"] == "OutboundRefused" and error["code"] == "FF420", error


def test_options_that_make_no_sense_fail_the_step(use):
    cluster, app, web = prepared(use)
    url = web.url
    for opts, words in (({"url": "ftp://x/"}, "no http or https url"), ({"url": 5}, "url"), ({"url": None}, "url"), ({"method": "GET /"}, "method"),
                        ({"method": 5}, "method"), ({"method": ""}, "method"), ({"method": "G\r\nX: y"}, "method"), ({"headers": []}, "headers"),
                        ({"headers": {"a": "b\r\nc: d"}}, "HTTP does not allow"), ({"headers": {"a b": "c"}}, "HTTP does not allow"),
                        ({"headers": {"": "c"}}, "HTTP does not allow"), ({"headers": {"a": {"b": 1}}}, "not text"), ({"headers": {"Host": "x"}}, "Host"),
                        ({"headers": {"Content-Length": "5"}}, "Content-Length"), ({"headers": {"transfer-encoding": "chunked"}}, "transfer-encoding"),
                        ({"params": [1]}, "params"), ({"params": {"a": {"b": 1}}}, "parameter"), ({"params": {"a": [[1]]}}, "parameter"),
                        ({"body": "x"}, "a GET has not"), ({"timeout_seconds": 0}, "timeout_seconds"), ({"timeout_seconds": 3601}, "timeout_seconds"),
                        ({"timeout_seconds": "5"}, "timeout_seconds"), ({"auth": {}}, "auth"), ({"auth": {"type": "magic"}}, "auth"),
                        ({"auth": {"type": "basic", "username": "a"}}, "password"), ({"auth": {"type": "basic", "username": "a:b", "password": "c"}}, "colon"),
                        ({"auth": {"type": "bearer"}}, "token"), ({"auth": {"type": "bearer", "token": "a\r\nb: c"}}, "HTTP does not allow"),
                        ({"auth": {"type": "header", "name": "x"}}, "value"), ({"auth": "me"}, "auth"), ({"max_redirects": 11}, "max_redirects"),
                        ({"max_redirects": True}, "max_redirects")):
        assert words in error_of(one(cluster, app, http(**{"url": url, **opts})))["message"], opts
    for opts, words in (({"url": "x"}, "url"), ({"secret": 5}, "secret"), ({"secret": ""}, "secret"), ({"secret": "whsec_%%%"}, "base64")):
        assert words in error_of(one(cluster, app, webhook(**{"url": url, **opts})))["message"], opts
    assert web.asked == []


def signed(request, key):
    text = b".".join((request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), request.body))
    return "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


def test_a_webhook_is_signed_as_standard_webhooks_has_it(use):
    cluster, app, web = prepared(use)
    raw_key = bytes(range(32))
    for secret, key in (("whsec_" + base64.b64encode(raw_key).decode(), raw_key), (base64.b64encode(raw_key).decode(), raw_key), ("not base64!", b"not base64!")):
        url = web.on("/hook", reply(500), reply(200, '{"ok": true}', content_type="application/json"))
        data = one(cluster, app, webhook(url, payload={"a": [1, "ü"]}, secret=secret))["data"]
        assert data == {"status_code": 200, "body": {"ok": True}}, data
        first, second = web.asked[-2:]
        assert first.headers["webhook-id"] == second.headers["webhook-id"] and json.loads(first.body) == {"a": [1, "ü"]}
        for request in (first, second):
            assert request.headers["webhook-signature"] == signed(request, key), request.headers
            assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 30
            assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
    # What we send, our own webhooks would take.
    head = json.dumps({k: v for k, v in web.asked[0].headers.items() if k.startswith("webhook")})
    problem = cluster.sql("select coalesce(flowforge.hook_problem('standard', array['whsec_" + base64.b64encode(raw_key).decode() + "'], null, "
                          f"'{head}', convert_to('{web.asked[0].body.decode()}', 'UTF8'), 300, now()), 'none')")
    assert problem == "none", problem
    one(cluster, app, webhook(web.url + "/unsigned"))
    assert "webhook-signature" not in web.asked[-1].headers and web.asked[-1].headers["webhook-id"] and web.asked[-1].body == b"{}"


def test_a_crash_during_a_call_makes_the_same_call_again(use):
    web = use(Web())
    cluster = use(Cluster(settings={"flowforge.executors": "1", "flowforge.outbound_allow": "'127.0.0.1'"}))
    app = use(Script(name="crash", retries=2))
    cluster.register(app)

    def die(wfile, request):
        kill(cluster.processes("flowforge executor")[0], signal.SIGKILL)
        time.sleep(0.3)
        return reply(200, "too late")(wfile, request)

    steps = [http(web.on("/post", die, reply(200, "again")), method="POST", body={"n": 1}),
             webhook(web.on("/hook", die, reply(200, "again")), payload={"n": 2}, secret="whsec_c2VjcmV0c2VjcmV0"),
             http(web.on("/get", reply(200, "once")), name="last")]
    run_id = start(cluster, app, steps)
    wait_for(lambda: cluster.try_sql(f"select status = 'completed' from flowforge.runs where run_id = '{run_id}'") == "t", 90, "the run completes")
    posts = [r for r in web.asked if r.path == "/post"]
    hooks = [r for r in web.asked if r.path == "/hook"]
    assert len(posts) == 2 and posts[0].headers["idempotency-key"] == posts[1].headers["idempotency-key"] and posts[0].body == posts[1].body
    assert len(hooks) == 2 and hooks[0].headers["webhook-id"] == hooks[1].headers["webhook-id"]
    assert len([r for r in web.asked if r.path == "/get"]) == 1
    output = end(cluster, run_id)[1]
    assert (output["http"]["data"]["body"], output["hook"]["data"]["body"]) == ("again", "again"), output


def test_a_cancelled_run_gives_up_its_call(use):
    cluster, app, web = prepared(use)
    gone = []

    def wait(wfile, request):
        try:
            for _ in range(100):
                wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                wfile.flush()
                time.sleep(0.05)
        except OSError:
            gone.append(time.monotonic())
        return False

    run_id = start(cluster, app, [http(web.on("/wait", wait))])
    wait_for(lambda: web.asked, what="it is called")
    cluster.sql(f"select ff_cancel('{run_id}')")
    assert end(cluster, run_id)[0] == "cancelled"
    wait_for(lambda: gone, 5, "the call is given up")


def test_every_invariant_holds_after_all_of_this(use):
    cluster, _ = shared()
    cluster.assert_sound()


if __name__ == "__main__":
    run(globals())
