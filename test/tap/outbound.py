"""What a running server lets its steps call: addresses, redirects, names that change their mind, and answers that mean harm."""
import json
import os
import shutil
import subprocess

from harness import Cluster, free_port, run, wait_for
from script import Script, end, one, op, play, shared, start
from web import Names, Web, raw, redirect, reply


def fetch(url, name="fetch", **opts):
    return op("Gateway", name, url=url, **opts)


def prepared(use):
    """The shared cluster, which may call 127.0.0.1 and nothing else of this machine, and a web server there."""
    cluster, app = shared({"flowforge.outbound_allow": "'127.0.0.1'", "flowforge.response_limit": "'200kB'"})
    return cluster, app, use(Web())


def error_of(memo):
    assert set(memo) == {"error"}, memo
    return memo["error"]


def refusal(cluster, app, operation):
    error = error_of(one(cluster, app, operation))
    assert error["name"] == "OutboundRefused" and error["code"] == "FF420" and "flowforge.outbound_allow" in error["hint"], error
    return error["message"]


def set_allow(cluster, value):
    cluster.sql(f"alter system set flowforge.outbound_allow = '{value}'")
    cluster.sql("select pg_reload_conf()")
    wait_for(lambda: cluster.sql("show flowforge.outbound_allow") == value, what="the setting is read")


def test_addresses_that_are_not_public_are_refused_once_and_by_name(use):
    cluster, app, web = prepared(use)
    for url, words in (("http://127.0.0.2:{port}/", "127.0.0.0/8 is loopback"), ("http://[::1]:{port}/", "::1/128 is loopback"),
                       ("http://0.0.0.0:{port}/", "0.0.0.0/8 is unspecified"), ("http://2130706434:{port}/", "the address 127.0.0.2"),
                       ("http://0x7f.2:{port}/", "the address 127.0.0.2"), ("http://0177.0.0.02:{port}/", "the address 127.0.0.2"),
                       ("http://10.0.0.1/", "10.0.0.0/8 is private"), ("http://169.254.169.254/latest/meta-data/", "cloud metadata"),
                       ("http://[fd00:ec2::254]/", "cloud metadata"), ("http://[::ffff:10.0.0.1]/", "10.0.0.0/8 is private"),
                       ("http://[64:ff9b::7f00:2]/", "127.0.0.0/8 is loopback"), ("http://user:pw@127.0.0.1:{port}/", "a user or a password"),
                       ("http://127.0.0.1:22/", "flowforge.outbound_ports"), ("http://localhost:{port}/", "the address")):
        if url.startswith("http://localhost"):
            set_allow(cluster, "192.168.255.255")
        message = refusal(cluster, app, fetch(url.format(port=web.port)))
        assert words in message and "pw" not in message, (url, message)
    set_allow(cluster, "127.0.0.1")
    assert web.connections == 0, "nobody was connected"
    attempts = cluster.sql("select max(attempt) from flowforge.steps where op = 'fetch'")
    assert attempts in ("0", "1"), f"it was tried again ({attempts})"


def test_what_the_setting_names_is_called_at_its_port_only(use):
    cluster, app, web = prepared(use)
    other = use(Web())
    set_allow(cluster, f"127.0.0.1:{web.port}")
    assert one(cluster, app, fetch(web.url + "/a"))["data"]["body"] == "fine"
    assert "loopback" in refusal(cluster, app, fetch(other.url))
    set_allow(cluster, f"localhost:{other.port}")
    assert one(cluster, app, fetch(f"http://localhost:{other.port}/b"))["data"]["body"] == "fine"
    # The host was allowed, not its address.
    assert "loopback" in refusal(cluster, app, fetch(other.url))
    set_allow(cluster, "127.0.0.1")
    assert (len(web.asked), len(other.asked)) == (1, 1)


def test_a_connection_that_another_call_made_is_judged_again(use):
    cluster, app, web = prepared(use)
    near = use(Script(name="near"))
    cluster.register(near)
    cluster.sql(f"update flowforge.function set url = 'http://localhost:{near.port}/api/inngest?fnId=near-main&stepId=step' where slug = 'near-main'")
    for _ in range(6):
        assert one(cluster, near, fetch(f"http://localhost:{web.port}/one"))["data"]["body"] == "fine"
    set_allow(cluster, "")
    # The executors have connections to both in their pools: of the fetches before, and of their calls to the app, which may be on loopback.
    called = near.calls
    for _ in range(6):
        for port in (web.port, near.port):
            message = refusal(cluster, near, fetch(f"http://localhost:{port}/two"))
            assert " of localhost may not be called" in message and "is loopback" in message, message
    set_allow(cluster, "127.0.0.1")
    assert {r.path for r in web.asked} == {"/one"} and near.calls == called + 24, "two calls of the app a run, and none of a step"


def test_a_redirect_is_judged_like_a_call(use):
    cluster, app, web = prepared(use)
    inside = use(Web(host="127.0.0.3"))
    for to, words in ((inside.url + "/secret", "the address 127.0.0.3"), ("http://10.0.0.1/", "10.0.0.0/8 is private"),
                      ("http://[::1]:1/", "outbound_ports"), (f"http://[::1]:{web.port}/", "::1/128 is loopback"),
                      ("http://169.254.169.254/latest", "cloud metadata")):
        message = refusal(cluster, app, fetch(web.on("/go", redirect(to))))
        assert words in message, (to, message)
    for to in ("ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://127.0.0.1:70/", f"http://u:p@127.0.0.1:{web.port}/"):
        assert "request failed" in error_of(one(cluster, app, fetch(web.on("/go", redirect(to)))))["message"], to
    assert inside.connections == 0
    assert "redirect" in error_of(one(cluster, app, fetch(web.on("/loop", redirect("/loop")))))["message"]
    assert one(cluster, app, fetch(web.on("/go", redirect("/there"))))["data"]["body"] == "fine"


class Renamed(Cluster):
    """A cluster whose processes ask the test's name server: in a mount namespace of its own, with another /etc/resolv.conf."""

    def __init__(self, names, **options):
        self.resolver = f"/tmp/flowforge-resolv-{os.getpid()}"
        with open(self.resolver, "w") as f:
            f.write(f"nameserver {names.host}\noptions timeout:1 attempts:1\n")
        super().__init__(**options)

    def _as_user(self, *command, stderr=None):
        script = f'mount --make-rprivate / && mount --bind {self.resolver} /etc/resolv.conf && exec runuser -u {self.user} -- "$@"'
        subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *command], check=True, stdout=subprocess.DEVNULL, stderr=stderr, cwd="/tmp")

    def remove(self):
        super().remove()
        os.unlink(self.resolver)


def may_rename():
    """Whether this machine lets us: it needs root and mount namespaces."""
    return os.geteuid() == 0 and shutil.which("unshare") and subprocess.run(
        ["unshare", "-m", "mount", "--make-rprivate", "/"], capture_output=True).returncode == 0


def test_a_name_that_changes_its_mind_is_judged_by_where_it_leads(use):
    if not may_rename():
        print("# skipped: this user may not make mount namespaces")
        return
    names = use(Names())
    # 127.77.0.9 stands for an address of the Internet: the setting says it is one.
    outside = use(Web(host="127.77.0.9"))
    inside = use(Web(host="127.0.0.1", port=outside.port))
    cluster = use(Renamed(names, settings={"flowforge.outbound_allow": "'127.77.0.9'", "flowforge.executors": "1"}))
    app = use(Script(name="names"))
    cluster.register(app)
    outside.on("/", reply(200, "outside", connection="close"))
    url = f"http://rebind.test:{outside.port}/"
    names.answers["rebind.test"] = [["127.77.0.9"], ["127.0.0.1"]]
    assert one(cluster, app, fetch(url))["data"]["body"] == "outside"
    # What it has resolved libcurl remembers for a minute: another executor asks again.
    cluster.sql("select pg_terminate_backend(pid) from flowforge.executors()")
    wait_for(lambda: cluster.processes("flowforge executor"), what="there is another executor")
    message = refusal(cluster, app, fetch(url))
    assert "the address 127.0.0.1 of rebind.test" in message and "loopback" in message, message
    assert inside.connections == 0 and len(names.asked) >= 2, names.asked
    # Of several addresses those that are allowed are called.
    names.answers["mixed.test"] = [["127.0.0.1", "127.77.0.9"]]
    assert one(cluster, app, fetch(f"http://mixed.test:{outside.port}/"))["data"]["body"] == "outside"
    assert inside.connections == 0
    names.answers["metadata.test"] = [["169.254.169.254"]]
    assert "cloud metadata" in refusal(cluster, app, fetch("http://metadata.test/latest"))
    # Redirected to a name that leads inside.
    names.answers["inside.test"] = [["127.0.0.1"]]
    outside.on("/go", redirect(f"http://inside.test:{outside.port}/"))
    assert "of inside.test" in refusal(cluster, app, fetch(f"http://127.77.0.9:{outside.port}/go"))
    assert inside.connections == 0
    # A name that is not there is no refusal: it may be there later.
    assert "resolve" in error_of(one(cluster, app, fetch("http://nowhere.test/")))["message"]


def test_the_environment_names_no_proxy(use):
    proxy = use(Web())
    os.environ.update({"http_proxy": proxy.url, "HTTP_PROXY": proxy.url, "all_proxy": proxy.url})
    try:
        cluster = use(Cluster(settings={"flowforge.outbound_allow": "'127.0.0.1'"}))
    finally:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            del os.environ[name]
    app, web = use(Script(name="proxied")), use(Web())
    with open(f"/proc/{cluster.postmaster()}/environ", "rb") as f:
        assert b"http_proxy=" in f.read(), "the server has it in its environment"
    cluster.register(app)
    assert one(cluster, app, fetch(web.url + "/direct"))["data"]["body"] == "fine"
    assert (len(web.asked), proxy.connections) == (1, 0)


def test_an_app_cannot_be_registered_at_the_metadata_of_a_cloud(use):
    cluster, _, _ = prepared(use)
    fault = cluster.sql("select fault from flowforge.ask_app('http://169.254.169.254/api/inngest')")
    assert "cloud metadata" in fault, fault
    app = use(Script(name="meta"))
    app.scripts["x"] = []
    cluster.register(app)
    cluster.sql("update flowforge.function set url = 'http://169.254.169.254/' where slug = 'meta-main'")
    run_id = start(cluster, app, [])
    status, error = end(cluster, run_id)
    assert (status, error["name"]) == ("failed", "OutboundRefused"), (status, error)


def test_answers_that_mean_harm_are_errors_of_the_step(use):
    cluster, app, web = prepared(use)
    head = b"HTTP/1.1 200 OK\r\n"
    hostile = {
        "larger than it may be": (raw(head + b"\r\n", *[b"x" * 65536] * 100), "flowforge.response_limit"),
        "larger unpacked than it may be": (raw(head + b"content-encoding: gzip\r\n\r\n" + __import__("gzip").compress(b"\0" * 50_000_000)),
                                           "flowforge.response_limit"),
        "headers without end": (raw(head, *[b"x-%d: " % i + b"y" * 1000 + b"\r\n" for i in range(2000)]), "request failed"),
        "chunks that are none": (raw(head + b"transfer-encoding: chunked\r\n\r\nzz\r\nnonsense\r\n"), "request failed"),
        "a chunk larger than any": (raw(head + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nx"), "request failed"),
        "less than it said": (raw(head + b"content-length: 1000\r\n\r\nshort"), "request failed"),
        "a negative length": (raw(head + b"content-length: -5\r\n\r\nhello"), "request failed"),
        "no HTTP at all": (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "request failed"),
        "nothing": (raw(b""), "request failed"),
        "a packed body that is not": (raw(head + b"content-encoding: gzip\r\n\r\nnot gzip at all"), "request failed"),
    }
    for name, (answer, words) in hostile.items():
        run_id = start(cluster, app, [dict(fetch(web.on("/hostile", answer)), opts={"url": web.url + "/hostile"})])
        cluster.sql("select pg_sleep(0)")
        status, output = end(cluster, run_id)
        assert status == "completed" and words in error_of(output["fetch"])["message"], (name, status, output)
    for name, answer, body in (("no content type", raw(head + b"\r\nplain"), "plain"), ("nothing to say", reply(204), ""),
                               ("bytes that are no text", reply(200, b"a\xff\xfe\x00b", content_type="text/plain"), "a\ufffd\ufffd\ufffdb")):
        data = one(cluster, app, fetch(web.on("/odd", answer)))["data"]
        assert data["body"] == body, (name, data)


def test_a_slow_answer_is_given_up(use):
    cluster, app, web = prepared(use)
    cluster.sql("alter system set flowforge.outbound_timeout = '400ms'")
    cluster.sql("select pg_reload_conf()")
    wait_for(lambda: cluster.sql("show flowforge.outbound_timeout") == "400ms")
    drip = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", *[b"x"] * 100, pause=0.1)
    error = error_of(one(cluster, app, fetch(web.on("/drip", drip))))
    assert "timed out" in error["message"].lower(), error
    cluster.sql("alter system reset flowforge.outbound_timeout")
    cluster.sql("select pg_reload_conf()")


def test_one_host_has_so_many_calls_at_once_and_others_go_on(use):
    cluster, app, web = prepared(use)
    other = use(Web())
    cluster.sql("alter system set flowforge.max_in_flight_per_host = 2")
    cluster.sql("select pg_reload_conf()")
    wait_for(lambda: cluster.sql("show flowforge.max_in_flight_per_host") == "2")
    at_once, most = [0], [0]

    def slow(wfile, request):
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        __import__("time").sleep(0.2)
        at_once[0] -= 1
        return reply(200, "slow")(wfile, request)

    web.on("/slow", slow)
    many = start(cluster, app, [[fetch(web.url + "/slow", f"f{i}") for i in range(8)]])
    quick = play(cluster, app, [fetch(other.url + "/quick")])
    assert quick["fetch"]["data"]["body"] == "fine"
    status, output = end(cluster, many)
    assert status == "completed" and len(output) == 8 and most[0] == 2, (status, most)
    cluster.sql("alter system reset flowforge.max_in_flight_per_host")
    cluster.sql("select pg_reload_conf()")


def test_every_invariant_holds_after_all_of_this(use):
    cluster, _ = shared()
    cluster.assert_sound()


if __name__ == "__main__":
    run(globals())
