"""Links that decide requests, as people meet them: a graph that waits, the gateway, a browser without an account, and those who scan mails."""
import atexit
import http.client
import json
import os
import subprocess
import tempfile
import threading
from html.parser import HTMLParser
from urllib.parse import urlencode

import graphs
from graphs import approval, end, is_paused, start, value
from harness import free_port, run, wait_for

PROGRAM = os.environ.get("FLOWFORGE_BIN", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "gateway", "flowforge"))
PUBLIC = "https://flows.example.com/ff"
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
BROWSER = {**HTML, "content-type": "application/x-www-form-urlencoded"}
JSON = {"accept": "application/json", "content-type": "application/json"}
FORM = {"type": "object", "required": ["limit", "sure"], "properties": {
    "limit": {"type": "integer", "title": "Limit", "minimum": 1, "default": 5}, "sure": {"type": "boolean"}, "kind": {"enum": ["a", "b"]}, "why": {"type": "string"}}}
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)> &lt;b&gt; \'"</p></form><form action="https://evil.example">'
tokens = []  # of all links of this file


class Gateway:
    """A gateway whose log is kept."""

    def __init__(self, cluster):
        self.port = free_port()
        self.log = tempfile.NamedTemporaryFile("a+", prefix="flowforge-gateway-")
        database = f"postgresql://flowforge_gateway@127.0.0.1:{cluster.port}/{cluster.database}"
        self.process = subprocess.Popen([PROGRAM, "serve", "--db", database, "-p", str(self.port)], stdout=self.log, stderr=self.log)
        wait_for(self.ready, 20, "the gateway is ready")

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, text) of a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, {name.lower(): said for name, said in response.getheaders()}, text

    def ready(self):
        try:
            return self.ask("GET", "/ready")[0] == 200
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def logged(self):
        with open(self.log.name, errors="replace") as f:
            return f.read()


_gateway = []


def place():
    """A server that wants keys for everything else and logs every statement, and its gateway."""
    cluster = graphs.shared({"flowforge.signing_key": "'signkey-test-abcdef0123456789'", "flowforge.public_url": f"'{PUBLIC}/'", "log_statement": "'all'"})
    if not _gateway:
        _gateway.append(Gateway(cluster))
        atexit.register(_gateway[0].stop)
    return cluster, _gateway[0]


def asking(cluster, name="ask", data=None, **config):
    """Starts a run that waits for a decision; gives the run and the request."""
    run_id = start(cluster, [approval(name, **config), value("after", {"decided": "{{ ask }}"})], "ask>after", data or {})
    is_paused(cluster, run_id)
    return run_id, cluster.sql(f"select approval_id from flowforge.approvals where run_id = '{run_id}'")


def making(request, *arguments):
    """The statement that makes a link."""
    return "select ff_approval_link(" + ", ".join("'" + given.replace("'", "''") + "'" for given in (request, *arguments)) + ")"


def link(cluster, request, *arguments):
    """The path of a new link, as it is behind the proxy."""
    url = cluster.sql(making(request, *arguments))
    assert url.startswith(PUBLIC + "/approve/"), url
    tokens.append(url.rpartition("/")[2])
    assert len(tokens[-1]) == 43
    return url[len(PUBLIC):]


class Page(HTMLParser):
    """What a browser makes of a page: its elements, its text, and what its form sends."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.said, self.fields, self.forms, self.area = [], "", {}, [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        if tag == "form":
            self.forms.append(given)
        elif tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self.fields[given["name"]] = given.get("value") or ""
        elif tag == "textarea":
            self.area = given["name"]
            self.fields[self.area] = ""
        elif tag == "select":
            self.area = None
            self.fields[given["name"]] = ""

    def handle_endtag(self, tag):
        if tag == "textarea":
            self.fields[self.area] = self.fields[self.area].removeprefix("\n")
            self.area = None

    def handle_data(self, data):
        if self.area is not None:
            self.fields[self.area] += data
        else:
            self.said += data


def status_of(cluster, request):
    return cluster.sql(f"select status || ' by ' || coalesce(decided_by, 'nobody') from flowforge.approvals where approval_id = '{request}'")


def test_a_person_without_an_account_decides_by_a_link(use):
    cluster, gateway = place()
    run_id, request = asking(cluster, prompt="Raise the limit?", approvers=["ann@example.com"], form=FORM)
    path = link(cluster, request)
    for method, headers in (("GET", HTML), ("GET", {}), ("HEAD", HTML), ("GET", JSON), ("GET", HTML)):
        status, answered, text = gateway.ask(method, path, headers=headers)
        assert status == 200 and answered["content-type"] == "text/html; charset=utf-8", (status, answered)
    assert status_of(cluster, request) == "pending by nobody", "looking decides nothing"
    assert "form-action 'self'" in answered["content-security-policy"] and "script-src" not in answered["content-security-policy"], answered
    assert answered["referrer-policy"] == "no-referrer" and answered["cache-control"] == "no-store", answered
    page = Page(text)
    assert "Raise the limit?" in page.said and "ann@example.com" in page.said and page.forms == [{"method": "post"}], (page.said, page.forms)
    assert page.fields == {"data.limit": "5", "data.kind": "", "data.why": "", "reason": ""}, page.fields
    sent = {**page.fields, "data.limit": "7", "data.sure": "true", "data.why": "two\r\nlines", "reason": "go on"}
    status, answered, text = gateway.ask("POST", path, urlencode({**sent, "data.limit": "0", "decision": "approve"}), BROWSER)
    again = Page(text)
    assert status == 422 and "data/limit must be at least 1" in again.said and "form-action 'self'" in answered["content-security-policy"], (status, text)
    assert again.fields == {**sent, "data.limit": "0", "data.why": "two\r\nlines"}, again.fields
    assert status_of(cluster, request) == "pending by nobody"
    status, answered, text = gateway.ask("POST", path, urlencode({**sent, "decision": "approve"}), BROWSER)
    assert status == 200 and "You have approved" in text and answered["cache-control"] == "no-store", (status, text)
    ended = end(cluster, run_id)
    assert ended.output == {"decided": {"limit": 7, "sure": True, "why": "two\nlines"}}, ended.output
    assert status_of(cluster, request) == "approved by ann@example.com"
    assert cluster.sql(f"select reason from flowforge.approvals where approval_id = '{request}'") == "go on"
    for method, body in (("POST", urlencode({**sent, "decision": "reject"})), ("GET", None)):
        status, answered, text = gateway.ask(method, path, body, BROWSER)
        assert status == 410 and "this link has been used" in text and answered["content-type"].startswith("text/html"), (status, text)
        assert answered["referrer-policy"] == "no-referrer" and answered["cache-control"] == "no-store", answered
    status, answered, text = gateway.ask("POST", path, '{"approved": true}', JSON)
    assert status == 410 and answered["content-type"] == "application/problem+json" and json.loads(text)["code"] == "FF414", text


def test_a_program_decides_by_a_link_in_json(use):
    cluster, gateway = place()
    run_id, request = asking(cluster, prompt="?")
    path = link(cluster, request, "bot")
    for body, code in (("", "FF203"), ("{", "FF203"), ("[1]", "FF203"), ("{}", "FF204"), ('{"approved": "yes"}', "FF204"), ('{"approved": false, "reason": 1}', "FF204")):
        status, _, text = gateway.ask("POST", path, body, JSON)
        assert status == 400 and json.loads(text)["code"] == code, (body, text)
    assert gateway.ask("DELETE", path)[0] == 405 and gateway.ask("PUT", path, "{}", JSON)[0] == 405
    assert status_of(cluster, request) == "pending by nobody"
    status, answered, text = gateway.ask("POST", path, '{"approved": false, "reason": "too much"}', {**JSON, "idempotency-key": "k"})
    assert (status, json.loads(text)) == (200, {"result": "rejected"}) and answered["cache-control"] == "no-store", text
    assert end(cluster, run_id, "failed").error["message"] == "rejected by bot: too much"
    assert cluster.sql("select count(*) from flowforge.request_key") == "0", "nothing is kept for who has no key of ours"


def test_links_are_for_approvers_and_for_a_time(use):
    cluster, gateway = place()
    run_id, request = asking(cluster, prompt="?", approvers=["ann", "bob"])
    for arguments in ((), ("eve",)):
        done = cluster.psql("-c", making(request, *arguments), check=False)
        assert "is not among those who decide this request" in done.stderr, done.stderr
    brief = link(cluster, request, "ann", "1 second")
    wait_for(lambda: gateway.ask("GET", brief, headers=HTML)[0] == 410, 10, "the link expires")
    status, _, text = gateway.ask("POST", brief, "decision=approve", BROWSER)
    assert status == 410 and "this link has expired" in text and status_of(cluster, request) == "pending by nobody", text
    by_ann, by_bob = link(cluster, request, "ann"), link(cluster, request, "bob")
    for path in ("/approve/" + tokens[-1][:-1], "/approve/" + "x" * 43, "/approve/%00", "/approve/%zz", "/approve/" + "y" * 4000):
        for method, body in (("GET", None), ("POST", "decision=approve")):
            status, _, text = gateway.ask(method, path, body, BROWSER)
            assert status == (400 if "%" in path else 404) and text.startswith("<!doctype html>" if status == 404 else "{"), (path[:30], status, text)
    assert gateway.ask("POST", by_bob, "decision=reject&reason=", BROWSER)[0] == 200
    assert status_of(cluster, request) == "rejected by bob"
    status, _, text = gateway.ask("POST", by_ann, "decision=approve", BROWSER)
    assert status == 410 and "already rejected" in text, text
    assert gateway.ask("GET", "/api/v1/approvals")[0] == 401, "everything else needs a key"


def test_links_begin_with_the_address_of_a_gateway(use):
    cluster, _ = place()
    for url in ("flows.example.com", "ftp://flows.example.com", "https://", "https://a.example/?x=1", "https://a.example/#x", "https://a.example/ b", "javascript:alert(1)"):
        done = cluster.psql("-c", f"alter system set flowforge.public_url = '{url}'", check=False)
        assert "It is not the address of a gateway." in done.stderr, (url, done.stderr)


def test_a_link_is_over_when_its_run_is(use):
    cluster, gateway = place()
    run_id, request = asking(cluster, prompt="?")
    path = link(cluster, request)
    cluster.sql(f"select ff_cancel('{run_id}')")
    end(cluster, run_id, "cancelled")
    status, _, text = gateway.ask("POST", path, "decision=approve", BROWSER)
    assert status == 410 and "the run that asked has ended" in text, text


def test_what_is_asked_is_text_whatever_it_is(use):
    cluster, gateway = place()
    form = {"type": "object", "title": HOSTILE, "properties": {HOSTILE: {"type": "string", "title": HOSTILE, "description": HOSTILE, "default": HOSTILE},
                                                               "c": {"enum": [HOSTILE]}, "j": {"default": {HOSTILE: HOSTILE}}}}
    run_id, request = asking(cluster, prompt=HOSTILE + "{{ input.evil }}", form=form, data={"evil": HOSTILE})
    path = link(cluster, request, HOSTILE)
    page = Page(gateway.ask("GET", path, headers=HTML)[2])
    assert set(page.tags) == {"html", "meta", "title", "style", "h1", "p", "form", "button", "label", "input", "select", "option", "textarea"}, page.tags
    assert page.forms == [{"method": "post"}], page.forms
    assert HOSTILE + HOSTILE in page.said and "for " + HOSTILE in page.said, page.said
    assert page.fields["data." + HOSTILE] == HOSTILE and json.loads(page.fields["data.j"]) == {HOSTILE: HOSTILE}, page.fields
    sent = {**page.fields, "data.c": "nonsense", "reason": "</textarea>" + HOSTILE, "decision": "approve"}
    status, _, text = gateway.ask("POST", path, urlencode(sent), BROWSER)
    again = Page(text)
    assert status == 422 and again.fields["reason"] == "</textarea>" + HOSTILE and set(again.tags) == set(page.tags), (status, text)
    status, _, text = gateway.ask("POST", path, urlencode({**sent, "data.c": json.dumps(HOSTILE)}), BROWSER)
    assert status == 200, text
    assert end(cluster, run_id).output == {"decided": {HOSTILE: HOSTILE, "c": HOSTILE, "j": {HOSTILE: HOSTILE}}}


def test_of_two_at_the_same_moment_exactly_one_decides(use):
    cluster, gateway = place()
    for turn in range(6):
        run_id, request = asking(cluster, prompt="?", approvers=["ann", "bob"])
        paths = [link(cluster, request, "ann")] * 2 if turn % 2 else [link(cluster, request, "ann"), link(cluster, request, "bob")]
        barrier, answers = threading.Barrier(4), []

        def decide(path, verdict):
            barrier.wait()
            answers.append((gateway.ask("POST", path, f"decision={verdict}&reason=x", BROWSER)[0], verdict))

        threads = [threading.Thread(target=decide, args=(path, verdict)) for path in paths for verdict in ("approve", "reject")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(status for status, _ in answers) == [200, 410, 410, 410], answers
        verdict = next(verdict for status, verdict in answers if status == 200)
        end(cluster, run_id, "completed" if verdict == "approve" else "failed")
        assert status_of(cluster, request).startswith(verdict)
        assert cluster.sql(f"select count(*) from flowforge.inbox where run_id = '{run_id}'") == "0"


def test_no_token_is_in_a_log_or_in_the_database(use):
    cluster, gateway = place()
    path = link(cluster, asking(cluster, prompt="?")[1])
    for odd in (path, "/%61pprove/" + tokens[-1], "/%61pp%72ove/" + tokens[-1] + "/", path + "/more", path + "?x=" + tokens[-1], "//approve/" + tokens[-1],
                "/ff" + path, path.replace("/approve/", "/approve//")):
        gateway.ask("GET", odd, headers=HTML)
        gateway.ask("POST", odd, "{", JSON)
    log = wait_for(lambda: gateway.logged() if gateway.logged().count("[hidden]") > 15 else None, what="the requests are in the log")
    assert 'path="/approve/[hidden]"' in log and 'path="/%61pprove/[hidden]"' in log, log
    with open(cluster.log, errors="replace") as f:
        server = f.read()
    assert "flowforge.serve(" in server or "execute" in server, "the server's log has statements"
    dump = subprocess.run(["pg_dump", "-h", cluster.directory, "-p", str(cluster.port), "-U", "postgres", cluster.database], capture_output=True, text=True, check=True).stdout
    assert "approval_link" in dump
    for token in tokens:
        assert token not in log and token not in server and token not in dump, "a token was told"


def test_every_invariant_holds_after_all_of_this(use):
    cluster, _ = place()
    cluster.assert_sound()


if __name__ == "__main__":
    run(globals())
