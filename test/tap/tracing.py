"""Traces: whose trace a run belongs to, what apps and others are told of it, and the spans a collector is sent."""
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ai import Provider
from gateway import Gateway
from harness import App, Cluster, free_port, run, wait_for
from script import Script, end, op, start
from web import Web, reply

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


class Collector:
    """Takes spans as OTLP/HTTP in JSON; answers with the statuses it is told to, then with 200."""

    def __init__(self, port=None, statuses=()):
        collector = self
        self.spans, self.requests, self.statuses, self.port = [], [], list(statuses), port or free_port()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = collector.statuses.pop(0) if collector.statuses else 200
                collector.requests.append((status, {name.lower(): value for name, value in self.headers.items()}, body))
                if status == 200:
                    collector.spans += body["resourceSpans"][0]["scopeSpans"][0]["spans"]
                self.send_response(status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def of(self, run_id, seconds=30):
        """The spans of a run, once its own is there: (the run's, the steps' by name)."""
        own = run_span(run_id)
        wait_for(lambda: any(s["spanId"] == own for s in self.spans), seconds, "the collector has the run's span")
        mine = {s["spanId"]: s for s in self.spans if attribute(s, "flowforge.run.id") == ulid_of(run_id) or s["spanId"] == own}
        root = mine.pop(own)
        return root, {s["name"]: s for s in mine.values()}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def run_span(run_id):
    return run_id.replace("-", "")[16:]


def step_span(run_id, step_id):
    return hashlib.sha256(bytes.fromhex(run_id.replace("-", "")) + step_id.encode()).hexdigest()[:16]


def ulid_of(run_id):
    number, text = int(run_id.replace("-", ""), 16), ""
    for _ in range(26):
        text = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number & 31] + text
        number >>= 5
    return text


def attribute(span, key):
    for a in span["attributes"]:
        if a["key"] == key:
            return next(iter(a["value"].values()))
    return None


def prepared(use, collector=None, settings=None):
    cluster = use(Cluster({"flowforge.outbound_allow": "'127.0.0.1'", "flowforge.otlp_endpoint": f"'{collector.url if collector else ''}'",
                           "flowforge.otlp_headers": "'authorization=Bearer abc, x-team=shop'"} | (settings or {})))
    app = use(Script("script", retries=0))
    cluster.register(app)
    return cluster, app


def meta(cluster, run_id):
    return json.loads(cluster.sql(f"select coalesce(e.meta, '{{}}') from flowforge.runs r join flowforge.events e using (tenant_id, event_id) where r.run_id = '{run_id}'"))


def test_a_run_is_of_the_trace_its_event_came_with_and_its_app_is_told(use):
    cluster, app = prepared(use)
    gateway = use(Gateway(cluster))
    app.scripts["none"] = []
    event = {"name": app.event, "data": {"script": "none"}}

    def sent(path, body, **headers):
        gateway.ask("POST", path, body, headers)
        run_id = cluster.sql("select run_id from flowforge.run order by run_id desc limit 1")
        assert end(cluster, run_id)[0] == "completed"
        return run_id

    for path, body in (("/api/v1/events", event), ("/api/v1/events/batch", [event]), ("/e/key", event), ("/invoke/script-main", event),
                       ("/api/v1/functions/script-main/run", {"input": {"script": "none"}})):
        run_id = sent(path, body, traceparent=PARENT, tracestate="a=1,b=2")
        kept = meta(cluster, run_id)
        assert (kept["traceparent"], kept["tracestate"]) == (PARENT, "a=1,b=2"), (path, kept)
        assert app.called_with["traceparent"] == f"00-{TRACE}-{run_span(run_id)}-01" and app.called_with["tracestate"] == "a=1,b=2", (path, app.called_with)
    # The event's own goes before the request's, and what is no traceparent is none.
    own = PARENT.replace("4bf9", "aaaa")
    assert meta(cluster, sent("/api/v1/events", event | {"meta": {"traceparent": own}}, traceparent=PARENT))["traceparent"] == own
    for bad in ("00-zz-11-01", PARENT.upper(), f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", PARENT + "-x", PARENT.replace("00-", "ff-", 1)):
        run_id = sent("/api/v1/events", event, traceparent=bad)
        assert meta(cluster, run_id) == {} and app.called_with["traceparent"] == f"00-{run_id.replace('-', '')}-{run_span(run_id)}-01", bad
    assert "tracestate" not in app.called_with


def test_sql_names_the_trace_of_what_it_sends(use):
    cluster, app = prepared(use)
    app.scripts["none"] = []
    for send in (f"ff_send_event('{app.event}', '{{\"script\": \"none\"}}')", "ff_run('script-main', '{\"script\": \"none\"}')"):
        cluster.sql(f"set flowforge.traceparent = '{PARENT}'; select {send}")
        assert meta(cluster, cluster.sql("select run_id from flowforge.run order by run_id desc limit 1"))["traceparent"] == PARENT, send
    refused = cluster.psql("-c", "set flowforge.traceparent = 'nonsense'", check=False)
    assert refused.returncode != 0 and "traceparent" in refused.stderr, refused.stderr


def test_steps_that_ask_others_pass_the_trace_on(use):
    cluster, app = prepared(use)
    web = use(Web())
    script = [op("Http", "http", url=web.url + "/a"), op("Webhook", "hook", url=web.url + "/b"),
              op("Http", "own", url=web.url + "/c", headers={"traceparent": "mine"})]
    app.scripts["0"] = script
    sent = cluster.sql(f"set flowforge.traceparent = '{PARENT}'; select ff_send_event('{app.event}', '{{\"script\": \"0\"}}')")
    run_id = wait_for(lambda: cluster.sql(f"select run_id from flowforge.run where event_id = '{sent}'"))
    assert end(cluster, run_id)[0] == "completed"
    told = {request.path: request.headers["traceparent"] for request in web.asked}
    assert told == {"/a": f"00-{TRACE}-{step_span(run_id, script[0]['id'])}-01", "/b": f"00-{TRACE}-{step_span(run_id, script[1]['id'])}-01", "/c": "mine"}, told


def test_an_invoked_run_is_of_the_same_trace(use):
    collector = use(Collector())
    cluster, app = prepared(use, collector)
    other = use(Script("other"))
    cluster.register(other)
    other.scripts["none"] = []
    run_id = start(cluster, app, [op("InvokeFunction", "call", function_id="other-main", payload={"data": {"script": "none"}})])
    assert end(cluster, run_id)[0] == "completed"
    child = cluster.sql(f"select run_id from flowforge.run where parent_run_id = '{run_id}'")
    root, _ = collector.of(run_id)
    inner, _ = collector.of(child)
    assert inner["traceId"] == root["traceId"] == run_id.replace("-", "") and "parentSpanId" not in root, (root, inner)
    assert inner["parentSpanId"] == step_span(run_id, "call".ljust(40, "0")), inner


def test_a_collector_is_sent_a_span_for_each_run_and_step(use):
    collector = use(Collector())
    cluster, app = prepared(use, collector)
    web = use(Web())
    web.on("/bad", reply(404, "no"))
    app.scripts["0"] = [op("Http", "fine", url=web.url + "/a"), op("Http", "bad", url=web.url + "/bad", fail_on_error=True)]
    sent = cluster.sql(f"set flowforge.traceparent = '{PARENT}'; select ff_send_event('{app.event}', '{{\"script\": \"0\", \"card\": \"4111-secret\"}}')")
    run_id = wait_for(lambda: cluster.sql(f"select run_id from flowforge.run where event_id = '{sent}'"))
    end(cluster, run_id)
    root, steps = collector.of(run_id)
    assert (root["traceId"], root["parentSpanId"], root["name"], root["kind"]) == (TRACE, SPAN, "script-main", 5), root
    assert attribute(root, "flowforge.event.name") == app.event and int(root["endTimeUnixNano"]) > int(root["startTimeUnixNano"]) > 10**18, root
    assert set(steps) == {"fine", "bad"}, steps
    for span in steps.values():
        assert (span["traceId"], span["parentSpanId"]) == (TRACE, root["spanId"]), span
        assert span["spanId"] == step_span(run_id, attribute(span, "flowforge.step.id")) and int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"]), span
    assert steps["fine"]["status"] == {"code": 1}, steps["fine"]
    _, headers, body = collector.requests[0]
    assert headers["authorization"] == "Bearer abc" and headers["x-team"] == "shop" and headers["content-type"] == "application/json", headers
    assert "4111-secret" not in json.dumps(body)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.trace_due") == "0", what="nothing is left to send")


def test_a_call_to_a_model_has_the_attributes_of_generative_ai(use):
    collector, provider = use(Collector()), use(Provider())
    cluster, app = prepared(use, collector)
    cluster.sql(f"select ff_set_ai_provider('local', null, '{provider.url}', 'openai'), ff_set_model_price('local', '*', 1, 2)")
    run_id = start(cluster, app, [op("Ai", "ask", provider="local", model="gpt-4o", prompt="Capital?")])
    assert end(cluster, run_id)[0] == "completed"
    span = collector.of(run_id)[1]["ask"]
    told = {key: attribute(span, f"gen_ai.{key}") for key in ("operation.name", "provider.name", "usage.input_tokens", "usage.output_tokens")}
    assert told == {"operation.name": "chat", "provider.name": "local", "usage.input_tokens": "12", "usage.output_tokens": "3"}, span
    assert attribute(span, "gen_ai.request.model") and attribute(span, "flowforge.cost_usd") is not None and span["kind"] == 3, span


def test_calls_of_models_and_requests_that_the_server_makes_for_an_app_pass_the_trace_on(use):
    provider = use(Provider())
    cluster, app = prepared(use)
    web = use(Web())
    cluster.sql(f"select ff_set_ai_provider('local', null, '{provider.url}', 'openai')")
    script = [op("Ai", "ask", provider="local", model="gpt-4o", prompt="Capital?"), op("Gateway", "get", url=web.url + "/a"),
              op("Gateway", "own", url=web.url + "/b", headers={"TraceParent": "mine"})]
    app.scripts["0"] = script
    sent = cluster.sql(f"set flowforge.traceparent = '{PARENT}'; select ff_send_event('{app.event}', '{{\"script\": \"0\"}}')")
    run_id = wait_for(lambda: cluster.sql(f"select run_id from flowforge.run where event_id = '{sent}'"))
    assert end(cluster, run_id)[0] == "completed"
    asked = {name.lower(): value for name, value in provider.asked[0][1].items()}
    assert asked["traceparent"] == f"00-{TRACE}-{step_span(run_id, script[0]['id'])}-01", asked
    told = {request.path: request.headers["traceparent"] for request in web.asked}
    assert told == {"/a": f"00-{TRACE}-{step_span(run_id, script[1]['id'])}-01", "/b": "mine"}, told


def test_what_a_run_sends_and_the_event_of_its_end_are_of_its_trace(use):
    cluster, app = prepared(use)
    sent_on, told = use(App(name="senton", steps=0)), use(App(name="told", steps=0, event="inngest/function.finished"))
    for other in (sent_on, told):
        cluster.register(other)
    script = [op("SendEvent", "send", events=[{"name": "senton/go"}, {"name": "other/go", "meta": {"traceparent": PARENT.replace("4bf9", "aaaa"), "sessions": {"k": "v"}}}])]
    app.scripts["0"] = script
    event = cluster.sql(f"set flowforge.traceparent = '{PARENT}'; select id from ff_send_events('[{{\"name\": \"{app.event}\", \"data\": {{\"script\": \"0\"}}, "
                        "\"meta\": {\"sessions\": {\"s\": \"1\"}}}]') id")
    run_id = wait_for(lambda: cluster.sql(f"select run_id from flowforge.run where event_id = '{event}'"))
    assert end(cluster, run_id)[0] == "completed"
    step = f"00-{TRACE}-{step_span(run_id, script[0]['id'])}-01"
    assert json.loads(cluster.sql("select meta from flowforge.events where name = 'senton/go'")) == {"traceparent": step}
    named = json.loads(cluster.sql("select meta from flowforge.events where name = 'other/go'"))
    assert named == {"traceparent": PARENT.replace("4bf9", "aaaa"), "sessions": {"k": "v"}}, named
    # The run that the end of this run starts comes after its span, and keeps its sessions.
    finished = wait_for(lambda: cluster.sql(f"select meta from flowforge.events where name = 'inngest/function.finished' and external_id = flowforge.ulid('{run_id}')"))
    assert json.loads(finished) == {"traceparent": f"00-{TRACE}-{run_span(run_id)}-01", "sessions": {"s": "1"}}, finished
    wait_for(lambda: told.called_with.get("traceparent", "").startswith(f"00-{TRACE}-"), what="the app that is told of ends knows the trace")


def test_spans_wait_for_a_collector_that_is_away_and_outlive_a_crash(use):
    port = free_port()
    away = type("Away", (), {"url": f"http://127.0.0.1:{port}/v1/traces"})
    cluster, app = prepared(use, away)
    runs = [start(cluster, app, []) for _ in range(3)]
    for run_id in runs:
        assert end(cluster, run_id)[0] == "completed"  # whatever becomes of spans
    assert cluster.sql("select count(*) from flowforge.trace_due") == "3"
    cluster.stop("immediate")
    cluster.start()
    collector = use(Collector(port, statuses=[503, 429]))
    for run_id in runs:
        collector.of(run_id, 60)
    assert [status for status, _, _ in collector.requests][:3] == [503, 429, 200], collector.requests
    wait_for(lambda: cluster.sql("select count(*) from flowforge.trace_due") == "0", what="nothing is left to send")


def test_spans_that_a_collector_refuses_for_good_are_dropped_and_said(use):
    collector = use(Collector(statuses=[400]))
    cluster, app = prepared(use, collector)
    refused = start(cluster, app, [])
    end(cluster, refused)
    wait_for(lambda: cluster.sql("select count(*) from flowforge.trace_due") == "0", what="the refused spans are dropped")
    assert "did not take spans: HTTP status 400" in open(cluster.log).read()
    later = start(cluster, app, [])
    end(cluster, later)
    collector.of(later)
    assert not any(span["spanId"] == run_span(refused) for span in collector.spans)


def test_nothing_is_kept_for_a_collector_that_nobody_named(use):
    cluster, app = prepared(use)
    assert end(cluster, start(cluster, app, []))[0] == "completed"
    assert cluster.sql("select count(*) from flowforge.trace_due") == "0"


run(globals())
