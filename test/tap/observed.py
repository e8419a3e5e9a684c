"""What machines that watch are told: figures in Prometheus' format, a request's id wherever it left a trace, and who sends events by which key."""
import os
import re
import subprocess

from fair import as_tenant, tenants
from gateway import PROGRAM, Gateway
from harness import App, Cluster, free_port, run, wait_for

SECRET = "a secret of the tests that is long enough"
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? ([0-9.eE+-]+|\+Inf|NaN)")


def families(page):
    """The page as metrics: {name: (type, [(sample's name, labels, value)])}; raises what promtool would complain of."""
    found, last = {}, None
    assert page.endswith("\n") and "\r" not in page
    for line in page.splitlines():
        told = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
        if told and told[1] == "HELP":
            assert told[2] not in found, f"{told[2]} is announced twice"
            last, found[told[2]] = told[2], [None, []]
        elif told:
            assert told[2] == last and found[last][0] is None and told[3] in ("counter", "gauge", "histogram"), line
            found[last][0] = told[3]
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample and last, f"no sample: {line}"
            base = re.sub("_(bucket|sum|count)$", "", sample[1]) if found[last][0] == "histogram" else sample[1]
            assert base == last, f"{line} is under {last}"
            found[last][1].append((sample[1], sample[2] or "", float(sample[3])))
    return found


def check_format(page):
    found = families(page)
    for name, (kind, samples) in found.items():
        assert name.startswith("flowforge_") and kind, name
        assert (kind == "counter") == name.endswith("_total"), f"{name} is a {kind}"
        assert not re.search("_(ms|milliseconds|us|minutes|kb)(_|$)", name), f"{name} is not in base units"
        shown = [(sample, labels) for sample, labels, _ in samples]
        assert len(shown) == len(set(shown)), f"{name} has a sample twice"
        if kind == "histogram":
            series = {}
            for sample, labels, value in samples:
                series.setdefault(re.sub(r',?le="[^"]*"', "", labels), []).append((sample, labels, value))
            for one in series.values():
                buckets = [value for sample, _, value in one if sample.endswith("_bucket")]
                assert buckets == sorted(buckets) and buckets[-1] == [value for sample, _, value in one if sample.endswith("_count")][0], one
    return found


def test_the_page_of_figures_is_as_prometheus_reads_it_and_has_what_one_watches(use):
    cluster = use(Cluster())
    app = use(App(steps=1))
    cluster.register(app)
    gateway = use(Gateway(cluster))
    event = {"name": "tap/go", "data": {}}
    sent = gateway.ask("POST", "/e/key", [event] * 3).json()["ids"]
    cluster.wait_all_ended(3)
    cluster.sql("select ff_pause('tap-main'); select ff_set_tenant(1, max_queued => 2)")
    assert gateway.ask("POST", "/e/key", [event] * 2).status == 200
    assert gateway.ask("POST", "/e/key", event).status == 429

    def figures():
        page = gateway.get("/metrics").body.decode()
        return page, {f"{sample}{{{labels}}}" if labels else sample: value for _, samples in check_format(page).values() for sample, labels, value in samples}

    # The gateway keeps the database's part for a second.
    wait_for(lambda: figures()[1].get('flowforge_refused_calls_total{limit="max_queued"}') == 1, what="the refusal is counted")
    page, now = figures()
    assert now['flowforge_queued_runs{waits_for="executor"}'] == 2 and now["flowforge_oldest_queued_seconds"] > 0, now
    assert now['flowforge_executor_state{executor="0",state="working"}'] == 1 and now['flowforge_executor_working{executor="0"}'] == 1, now
    assert sum(value for name, value in now.items() if name.startswith("flowforge_executor_runs_ended_total")) == 3, now
    for name in ('flowforge_refused_calls_total{limit="max_events_per_second"}', 'flowforge_limited_steps{state="waiting"}', "flowforge_up", "flowforge_http_connections",
                 'flowforge_http_requests_total{method="POST",route="/e/{key}",status="4xx"}', 'flowforge_gateway_lane_queued{lane="ingest"}'):
        assert name in now, (name, sorted(now))
    ids = sent + cluster.sql("select string_agg(run_id::text || ' ' || flowforge.ulid(run_id), ' ') from flowforge.run").split()
    assert not [each for each in ids if each in page], "no run is named"
    told = dict(line.split("|") for line in cluster.sql("select item, value from ff_status()").splitlines())
    assert told["queued runs"] == "2 have not begun, 0 of them wait for room" and "1 max_queued" in told["refused calls"], told


def test_a_requests_id_is_in_its_answer_the_gateways_log_and_the_servers(use):
    cluster = use(Cluster())
    log = open(os.path.join(cluster.directory, "gateway.log"), "w+")
    gateway = Gateway.__new__(Gateway)
    gateway.port, gateway.connection = free_port(), None
    gateway.process = subprocess.Popen([PROGRAM, "serve", "--db", f"postgresql://flowforge_gateway@127.0.0.1:{cluster.port}/{cluster.database}", "-p", str(gateway.port)],
                                       stdout=subprocess.DEVNULL, stderr=log)
    use(gateway)
    wait_for(gateway.ready, 20, "the gateway is ready")
    # What is nobody's doing: the server says in its log what the client is not told.
    cluster.sql("create or replace function flowforge.tenant_answer() returns flowforge.response language plpgsql as $$ begin raise exception using errcode = 'XX000', message = 'it broke'; end $$")
    answer = gateway.get("/api/v1/tenant", headers={"x-request-id": "request-of-the-test.1"})
    assert (answer.status, answer.headers["x-request-id"]) == (500, "request-of-the-test.1"), answer.body
    own = gateway.get("/api/v1/tenant").headers["x-request-id"]
    secret = gateway.ask("POST", "/e/an-event-key-nobody-is-to-see", {"name": "a/b", "data": {}}, {"x-request-id": "request-of-the-test.2"})
    assert secret.status == 200
    for request_id in ("request-of-the-test.1", own):
        wait_for(lambda: re.search(rf"level=info request_id={re.escape(request_id)} method=GET path=\"/api/v1/tenant\" status=500 ", open(log.name).read()), what="the gateway's line")
        text = open(cluster.log).read()
        assert f"request {request_id}: GET /api/v1/tenant" in text and "it broke" in text, text[-2000:]
    line = wait_for(lambda: re.search("request_id=request-of-the-test.2 .*", open(log.name).read()), what="the gateway's line")[0]
    assert "nobody-is-to-see" not in line and 'path="/e/[hidden]"' in line, line


def test_an_api_key_in_the_path_proves_the_tenant_of_who_sends_events(use):
    cluster = use(Cluster({"flowforge.auth": "'on'", "flowforge.jwt_secret": f"'{SECRET}'", "flowforge.event_keys": "'first'"}))
    tenants(cluster, 2)
    gateway = use(Gateway(cluster))
    event = {"name": "key/sent", "data": {}}
    made = {scope: as_tenant(cluster, 2, f"select key from ff_key_create('k', 'live', '{{{scope}}}')").split("\n")[-1] for scope in ("events:send", "runs:read")}

    def sent(key):
        return gateway.ask("POST", f"/e/{key}", event)

    def count(tenant):
        return int(cluster.sql(f"select count(*) from flowforge.event where tenant_id = {tenant} and name = 'key/sent'"))

    assert sent("first").status == 200 and (count(1), count(2)) == (1, 0)
    assert sent(made["events:send"]).status == 200 and (count(1), count(2)) == (1, 1)
    for bad, status in (("second", 401), (made["runs:read"], 403), (made["events:send"][:-1] + "!", 401), ("ff_live_" + "a" * 38, 401)):
        assert sent(bad).status == status, (bad, sent(bad).status, sent(bad).body)
    as_tenant(cluster, 2, f"select ff_key_revoke('{made['events:send']}')")
    assert sent(made["events:send"]).status == 401 and (count(1), count(2)) == (1, 1)


if __name__ == "__main__":
    run(globals())
