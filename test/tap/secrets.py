"""Secrets in a running server: they reach who is called, and nothing of their values is stored, told or logged, whatever comes back."""
import http.client
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse

from gateway import Gateway
from harness import Cluster, kill, run, wait_for
from script import end
from web import Web, reply

numbers = itertools.count()
TOKEN = "tok-9f8e7d6c5b4a3210"
PHRASE = 'pä"ss/wörd +42% \\ sesame'
FORMS = {form for value in (TOKEN, PHRASE) for form in (
    value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(json.dumps(value, ensure_ascii=False)[1:-1], ensure_ascii=False)[1:-1],
    urllib.parse.quote(value, safe=""), urllib.parse.quote(value, safe="").lower(), value.encode().hex())}


class Keys:
    """A folder of key files that the server may read."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="flowforge-keys-", dir="/tmp")
        os.chmod(self.directory, 0o755)

    def make(self, digit):
        path = os.path.join(self.directory, digit)
        with open(path, "w") as file:
            file.write(digit * 64)
        os.chmod(path, 0o644)
        return path

    def stop(self):
        shutil.rmtree(self.directory)


def prepared(use, **settings):
    """A cluster with a key that logs every statement, a web server that it may call, and more keys."""
    keys = use(Keys())
    cluster = use(Cluster(settings={"flowforge.outbound_allow": "'127.0.0.1'", "log_statement": "all", "log_error_verbosity": "verbose", "flowforge.executors": "1",
                                    "flowforge.secret_key_file": f"'{keys.make('5')}'"} | settings))
    return cluster, use(Web()), keys


def set_key(cluster, setting, path):
    """Returns when the executor knows it, too: it reads settings at the beginning of a turn, and a second run is in another turn than the first."""
    cluster.sql(f"alter system set flowforge.{setting} = '{path}'")
    cluster.sql("select pg_reload_conf()")
    wait_for(lambda: cluster.sql(f"show flowforge.{setting}") == path, what="the setting is read")
    for _ in range(2):
        name = f"turn-{next(numbers)}"
        assert play(cluster, name, {"nodes": [node("a", "transform", {"mapping": {"x": 1}})], "edges": []})[0] == "completed"


def put(gateway, name, value):
    return gateway.ask("PUT", f"/api/v1/secrets/{name}", {"value": value}, {"idempotency-key": f"put-{name}"})


def node(name, kind, config, **data):
    return {"id": name, "type": kind, "position": {"x": 0, "y": 0}, "data": {"label": name, "config": config, **data}}


def chain(*nodes):
    return {"nodes": list(nodes), "edges": [{"id": f"e{i}", "source": a["id"], "target": b["id"]} for i, (a, b) in enumerate(zip(nodes, nodes[1:]))]}


def launch(cluster, name, graph, data=None):
    cluster.sql(f"select ff_workflow_create('{name}', $json${json.dumps(graph)}$json$); select ff_workflow_publish('{name}')")
    return cluster.sql(f"select ff_workflow_run('{name}', $json${json.dumps(data or {})}$json$)")


def play(cluster, name, graph, data=None):
    return end(cluster, launch(cluster, name, graph, data))


def store(cluster, name, value):
    """As somebody with a console does it who does not want the value in the log."""
    cluster.psql(stdin=f"set log_statement = 'none';\nselect ff_secret_set('{name}', $v${value}$v$);\n")


def echo(status, **headers):
    """Says what it was asked with, in the headers, the body and escapes."""
    def write(wfile, request):
        asked = {"url": request.path, "headers": request.headers, "body": request.body.decode(), "cleaned": [request.headers.get("x-token", "")]}
        asked[request.headers.get("x-token", "key")] = "as a key"
        said = {name: request.headers.get("x-token", "none") for name in ("x_echo", "location", "set_cookie", "server")}
        return reply(status, json.dumps(asked), content_type="application/json", **said, **headers)(wfile, request)
    return write


def binary(wfile, request):
    return reply(200, b"\xff\x00" + request.headers["x-token"].encode() + b"\x00\xff", content_type="application/octet-stream")(wfile, request)


def dump(cluster):
    environment = dict(os.environ, PGHOST=cluster.directory, PGPORT=str(cluster.port), PGUSER="postgres")
    return subprocess.run(["pg_dump", "--inserts", cluster.database], env=environment, text=True, capture_output=True, check=True).stdout


def assert_nowhere(text, where):
    for form in FORMS:
        at = text.find(form)
        assert at < 0, f"{where} has {form!r}: ...{text[max(at - 300, 0):at + 60]}"


def follow(gateway, run_id, heard):
    """Reads a run's live stream to its end."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    connection.request("GET", f"/api/v1/runs/{run_id}/stream")
    response = connection.getresponse()
    while line := response.readline():
        heard.append(line.decode())
    connection.close()


def test_a_value_reaches_who_is_called_and_is_nowhere_else(use):
    cluster, web, keys = prepared(use)
    gateway = use(Gateway(cluster))
    for name, value in (("TOKEN", TOKEN), ("PHRASE", PHRASE)):
        answer = put(gateway, name, value)
        assert answer.status == 201 and answer.json()["name"] == name, answer.body
        assert put(gateway, name, value).json()["version"] == 2
        assert_nowhere(answer.body.decode() + str(answer.headers), "the answer")
    headers = {"x-token": "{{ secret.TOKEN }}", "authorization": "Bearer {{secret.TOKEN}}", "x-note": "{{ input.note }}"}
    config = {"method": "POST", "headers": headers, "params": {"q": "{{ secret.PHRASE }}"}, "body": {"deep": ["{{ secret.PHRASE }}", "{{ input.note }}"]}}
    again = {"max_attempts": 2, "backoff_strategy": "fixed", "backoff_base": 0.1}
    graph = chain(
        node("echo", "http_request", {"url": web.on("/echo", echo(200)), **config}),
        node("path", "http_request", {"url": web.on("/in/" + TOKEN, echo(200))[:-len(TOKEN)] + "{{ secret.TOKEN }}", "headers": headers}),
        node("bytes", "http_request", {"url": web.on("/bytes", binary), "headers": headers}),
        node("basic", "http_request", {"url": web.on("/basic", echo(200)), "auth": {"type": "basic", "username": "me", "password": "{{ secret.TOKEN }}"}}),
        node("hook", "webhook", {"url": web.on("/hook", echo(200)), "secret": "{{ secret.PHRASE }}", "payload": {"k": "{{ secret.TOKEN }}"}}),
        node("moody", "http_request", {"url": web.on("/moody", echo(503), echo(200)), **config}, **again),
        node("each", "for_each", {"items": [1, 2], "handler": "http_request", "item_config": {"url": web.on("/each", echo(200)), "headers": {"x-token": "{{ secret.TOKEN }}{{ _item }}"}}}),
        node("refused", "http_request", {"url": web.on("/refused", echo(404)), **config}, on_error="continue"),
        node("cut", "http_request", {"url": web.on("/cut", lambda wfile, request: False), **config}, on_error="continue"),
        node("shape", "transform", {"mapping": {"all": "{{ echo.body }}", "error": "{{ refused._error }}"}}))
    heard = []
    run_id = launch(cluster, "echoes", graph, {"note": "{{secret.TOKEN}}"})
    listener = threading.Thread(target=follow, args=(gateway, run_id, heard), daemon=True)
    listener.start()
    status, output = end(cluster, run_id, 60)
    listener.join(30)
    assert status == "completed" and not listener.is_alive(), (status, output)

    asked = {request.path.split("?")[0]: request for request in web.asked}
    assert asked["/echo"].headers["x-token"] == TOKEN and asked["/echo"].headers["authorization"] == f"Bearer {TOKEN}"
    assert asked["/echo"].path.endswith(urllib.parse.quote(PHRASE, safe="")), asked["/echo"].path
    assert json.loads(asked["/echo"].body) == {"deep": [PHRASE, "{{secret.TOKEN}}"]}, "what looks like a secret in data is data"
    assert asked["/echo"].headers["x-note"] == "{{secret.TOKEN}}" and f"/in/{TOKEN}" in asked
    assert json.loads(asked["/hook"].body) == {"k": TOKEN} and asked["/hook"].headers["webhook-signature"].startswith("v1,")
    assert asked["/each"].headers["x-token"] in (TOKEN + "1", TOKEN + "2") and len(web.asked) >= 11, [r.path for r in web.asked]
    assert output["all"]["headers"]["x-token"] == "[redacted]" and output["all"]["body"] == '{"deep": ["[redacted]", "{{secret.TOKEN}}"]}', output
    assert output["all"]["[redacted]"] == "as a key" and output["error"] == "the answer is 404", output

    shown = {row.split("|", 1)[0]: json.loads(row.split("|", 1)[1]) for row in cluster.sql(
        f"select step_id, detail -> 'input' from flowforge.step where run_id = '{run_id}' and detail is not null").splitlines()}
    assert shown["echo"]["headers"] == {"x-token": "[redacted]", "authorization": "[redacted]", "x-note": "{{secret.TOKEN}}"}, shown["echo"]
    assert shown["echo"]["body"] == {"deep": ["{{secret.PHRASE}}", "{{secret.TOKEN}}"]} and shown["path"]["url"].endswith("/in/{{secret.TOKEN}}"), shown
    assert cluster.sql("select count(*) from flowforge.secrets where last_used_at > created_at") == "2"

    assert len(heard) > 20, heard
    assert_nowhere("".join(heard), "the live stream")
    assert_nowhere(dump(cluster), "the dump")
    with open(cluster.log, encoding="utf-8", errors="replace") as log:
        text = log.read()
    assert "ff_secret_set" in text or "flowforge.serve" in text, "the log has statements"
    assert_nowhere(text, "the server's log")


def test_a_crash_during_a_call_leaves_no_value_and_calls_again_with_it(use):
    cluster, web, keys = prepared(use)
    store(cluster, "TOKEN", TOKEN)
    dumps = []

    def die(wfile, request):
        dumps.append(dump(cluster))
        kill(cluster.processes("flowforge executor")[0], signal.SIGKILL)
        time.sleep(0.3)
        return echo(200)(wfile, request)

    run_id = launch(cluster, "crash", chain(node("a", "http_request", {"url": web.on("/a", die, echo(200)), "method": "POST", "headers": {"x-token": "{{ secret.TOKEN }}"}})))
    wait_for(lambda: cluster.try_sql(f"select status in ('completed', 'failed') from flowforge.runs where run_id = '{run_id}'") == "t", 90, "the run ends")
    assert end(cluster, run_id)[0] == "completed", end(cluster, run_id)
    assert [r.headers["x-token"] for r in web.asked] == [TOKEN, TOKEN] and len({r.headers["idempotency-key"] for r in web.asked}) == 1
    assert "{{secret.TOKEN." in dumps[0], "the run's state has what stands for it"
    for text in (*dumps, dump(cluster)):
        assert_nowhere(text, "a dump")


def test_what_cannot_be_used_fails_the_step_once_and_says_why(use):
    cluster, web, keys = prepared(use)
    store(cluster, "HOST", f"127.0.0.1:{web.port}/x@")
    store(cluster, "LINES", "two\nlines")
    policy = {"max_attempts": 3, "backoff_strategy": "fixed", "backoff_base": 0.1}

    def error_of(name, config):
        status, error = play(cluster, name, chain(node("a", "http_request", config, **policy)))
        assert status == "failed", (status, error)
        return error

    error = error_of("unknown", {"url": web.url, "headers": {"x": "{{ secret.NOT_THERE }}"}})
    assert error["code"] == "FF6B1" and 'there is no secret "NOT_THERE"' in error["message"], error
    error = error_of("elsewhere", {"url": "http://127.0.0.1{{ secret.HOST }}/x"})
    assert error["code"] == "FF6B2" and web.connections == 0, error
    error = error_of("lines", {"url": web.url, "headers": {"x": "{{ secret.LINES }}"}})
    assert "HTTP does not allow" in error["message"], error
    wait_for(lambda: cluster.sql("select count(*) from flowforge.step where status = 'failed' and attempt = 0") == "3", what="each was tried once")
    set_key(cluster, "secret_key_file", keys.make("6"))
    error = error_of("another-key", {"url": web.url, "headers": {"x": "{{ secret.HOST }}"}})
    assert error["code"] == "FF411" and "does not open" in error["message"], error
    set_key(cluster, "secret_key_file", "/nowhere/key")
    error = error_of("no-key", {"url": web.url, "headers": {"x": "{{ secret.HOST }}"}})
    assert error["code"] == "FF410" and web.connections == 0, error


def test_a_key_is_changed_while_steps_go_on(use):
    cluster, web, keys = prepared(use)
    url = web.on("/x", reply(200, "fine"))
    cluster.sql("insert into flowforge.tenant (tenant_id, name) values (2, 'two')")
    store(cluster, "TOKEN", TOKEN)
    cluster.sql("set flowforge.tenant = 2; select ff_secret_set('OTHER', 'of the other tenant')")
    cluster.sql("select ff_set_ai_provider('local', 'a key of a provider', 'http://127.0.0.1:9/v1', headers => '{\"x-key\": \"of the provider\"}')")
    graph = chain(node("a", "http_request", {"url": url, "headers": {"x-token": "{{ secret.TOKEN }}"}}))

    def works(name):
        status, output = play(cluster, name, graph)
        assert status == "completed" and web.asked[-1].headers["x-token"] == TOKEN, (status, output)

    old = cluster.sql("show flowforge.secret_key_file")
    works("before")
    set_key(cluster, "secret_key_file_old", old)
    set_key(cluster, "secret_key_file", keys.make("7"))
    works("between")
    assert cluster.sql("select count(*) from flowforge.secret where key_id = flowforge.secret_key_id()") == "0"
    assert cluster.sql("select ff_secret_rotate()") == "3", "two secrets and a provider, of two tenants"
    assert cluster.sql("select ff_secret_rotate()") == "0"
    set_key(cluster, "secret_key_file_old", "")
    works("after")
    assert cluster.sql("select count(*) from flowforge.secret where key_id = flowforge.secret_key_id()") == "2"
    assert cluster.sql("select flowforge.reseal(sealed_key, 'provider local of tenant 1') is null and "
                       "flowforge.reseal(sealed_headers, 'headers of provider local of tenant 1') is null from flowforge.ai_provider") == "t"
    assert cluster.sql("select string_agg(tenant_id || ' ' || (after ->> 'values'), ', ' order by tenant_id) from flowforge.audit where action = 'secret.rotate'") == "1 1, 2 1"
    set_key(cluster, "secret_key_file", keys.make("8"))
    told = cluster.psql("-c", "select ff_secret_rotate()", check=False).stderr
    assert "does not open" in told and "secret TOKEN of tenant 1" in told, told


def test_a_restored_dump_has_secrets_that_open_with_the_key(use):
    cluster, web, keys = prepared(use, **{"flowforge.databases": "'flowforge,restored'"})
    store(cluster, "TOKEN", TOKEN)
    cluster.sql("create database restored", database="postgres")
    cluster.sql("alter database restored set flowforge.restoring = on", database="postgres")
    cluster.psql(database="restored", stdin=dump(cluster))
    cluster.sql("alter database restored reset flowforge.restoring", database="restored")
    wait_for(lambda: cluster.try_sql("select count(*) = 1 from flowforge.executors() where state = 'working'", database="restored") == "t", 60, "executors work there")
    graph = json.dumps(chain(node("a", "http_request", {"url": web.url + "/x", "headers": {"x-token": "{{ secret.TOKEN }}"}})))
    cluster.sql(f"select ff_workflow_create('w', $json${graph}$json$); select ff_workflow_publish('w')", database="restored")
    run_id = cluster.sql("select ff_workflow_run('w')", database="restored")
    assert cluster.sql(f"select status from ff_wait('{run_id}', '60 s')", database="restored") == "completed"
    assert web.asked[-1].headers["x-token"] == TOKEN


if __name__ == "__main__":
    run(globals())
