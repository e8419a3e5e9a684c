"""flowforge doctor: each fault that is planted in an installation is found, alone, and the mend is printed."""
from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator

from place import DONE, FAILED, USAGE, Result, flowforge, free_port, in_terminal, place
from harness import run, wait_for


def faults(result: Result) -> dict[str, dict[str, Any]]:
    """The checks at fault of doctor --json, by name."""
    answer = result.expect(FAILED).json()
    found = {check["check"]: check for check in answer["checks"] if not check["good"]}
    assert answer["faults"] == len(found) > 0
    assert all(check["remedy"] and check["level"] == "fault" for check in found.values())
    return found


def one_fault(result: Result, what: str, found: str, remedy: str) -> None:
    """One fault and no other was found, and how it is mended."""
    all_faults = faults(result)
    assert set(all_faults) == {what}, all_faults
    assert found in all_faults[what]["found"], all_faults
    assert remedy in all_faults[what]["remedy"], all_faults


@contextmanager
def planted(setting: str, value: str, order: bool = True, **settings: str) -> Iterator[None]:
    """postgresql.conf with settings (dots are double underlines) of a server that is started again, and back."""
    cluster = place().cluster
    names = {setting: value} | {name.replace("__", "."): text for name, text in settings.items()}
    with open(f"{cluster.data}/postgresql.conf") as file:
        before = file.read()
    with open(f"{cluster.data}/postgresql.conf", "a") as file:
        file.writelines(f"{name} = '{text}'\n" for name, text in names.items())
    cluster.stop()
    cluster.start()
    try:
        yield
    finally:
        with open(f"{cluster.data}/postgresql.conf", "w") as file:
            file.write(before)
        cluster.stop()
        cluster.start()
        if order:
            in_order()


def in_order() -> None:
    """The place has no fault any more: gateway and executors are back."""
    wait_for(lambda: place().run("doctor").code == DONE, 30, "the place is in order")


# ---- nothing, and everything ----


def test_doctor_finds_everything_in_order(use: Any) -> None:
    done = place().run("doctor").expect(DONE)
    assert done.out.endswith("everything is in order\n") and "✗" not in done.out and done.err == "", done
    for what in ("database", "preload", "extension", "roles", "workers", "disk", "clock, database", "gateway /health", "clock, gateway",
                 "gateway /ready", "app shop"):
        assert f"✓ {what}" in done.out, f"{what}\n{done.out}"
    answer = place().run("doctor", "--json").expect(DONE).json()
    assert answer["faults"] == 0 and all(check["good"] for check in answer["checks"])
    assert [check["check"] for check in answer["checks"] if check["remedy"]] == ["pg_cron"] and answer["advice"] == 1
    assert "\x1b[32m✓" in in_terminal("doctor", env=place().env).expect(DONE).out


def test_doctor_without_anything_says_where_to_begin(use: Any) -> None:
    found = faults(flowforge("doctor", "--json", "--url", f"http://127.0.0.1:{free_port()}"))
    assert set(found) == {"database", "gateway /health"}
    assert "FLOWFORGE_DATABASE_URL" in found["database"]["remedy"] and "flowforge serve" in found["gateway /health"]["remedy"]
    done = flowforge("doctor", "--url", f"http://127.0.0.1:{free_port()}").expect(FAILED)
    assert "✗ database" in done.out and "  2 faults\n" in done.out and "→ " in done.out


def test_doctor_tells_a_database_that_is_away(use: Any) -> None:
    url = f"postgresql://127.0.0.1:{free_port()}/x"
    one_fault(place().run("doctor", "--json", "--db", url), "database", "Connection refused", "start it")


# ---- twelve faults ----


def test_fault_1_the_library_is_not_preloaded(use: Any) -> None:
    with planted("shared_preload_libraries", ""):
        one_fault(place().run("doctor", "--json"), "preload", "shared_preload_libraries = ''",
                  "set shared_preload_libraries = 'flowforge' in postgresql.conf and restart PostgreSQL")


def test_fault_2_the_wrong_database(use: Any) -> None:
    place().cluster.sql("create database bare", database="postgres")
    url = place().database.replace("/flowforge", "/bare")
    one_fault(place().run("doctor", "--json", "--db", url), "served databases", "bare is not served: flowforge.databases = 'flowforge'",
              "Set FLOWFORGE_DATABASE_URL to flowforge, or add bare to flowforge.databases")
    place().cluster.sql("create extension flowforge", database="bare")
    one_fault(place().run("doctor", "--json", "--db", url), "served databases", "bare is not served",
              "add bare to flowforge.databases in postgresql.conf and restart PostgreSQL")
    one_fault(place().run("doctor", "--json", "--db", place().database.replace("/flowforge", "/nowhere")), "database",
              'database "nowhere" does not exist', "set FLOWFORGE_DATABASE_URL to the database that has FlowForge")


def test_a_database_that_is_served_and_lacks_the_extension(use: Any) -> None:
    place().cluster.sql("create database later", database="postgres")
    with planted("flowforge.databases", "flowforge, later"):
        url = place().database.replace("/flowforge", "/later")
        one_fault(place().run("doctor", "--json", "--db", url), "extension", "not in this database", "create extension flowforge")


def test_fault_3_an_old_version_of_the_extension(use: Any) -> None:
    cluster = place().cluster
    version = cluster.sql("select extversion from pg_extension where extname = 'flowforge'")
    cluster.sql("update pg_extension set extversion = '0.0.1' where extname = 'flowforge'")
    try:
        one_fault(place().run("doctor", "--json"), "extension", f"version 0.0.1 in the database, {version} installed",
                  "alter extension flowforge update")
    finally:
        cluster.sql(f"update pg_extension set extversion = '{version}' where extname = 'flowforge'")
    in_order()


def test_fault_4_an_app_that_is_not_to_be_reached(use: Any) -> None:
    place().app.stop()
    try:
        one_fault(place().run("doctor", "--json"), "app shop", f"127.0.0.1:{place().app.port}", "start the app; its runs wait for it")
        with subprocess.Popen(["python3", "-m", "http.server", "-b", "127.0.0.1", str(place().app.port)], cwd="/tmp",
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
            try:
                wait_for(lambda: "something else listens there" in place().run("doctor").out, 20, "it is found out")
            finally:
                other.kill()
    finally:
        place().app.serve()
    in_order()


class Signed:
    """An app in cloud mode that verifies signatures with a key, and may live in another time."""

    def __init__(self, key: str) -> None:
        app = self
        self.offset = 0.0

        class Handler(BaseHTTPRequestHandler):
            def date_time_string(self, timestamp: float | None = None) -> str:
                return formatdate(time.time() + app.offset, usegmt=True)

            def verified(self, body: bytes) -> bool:
                parts = dict(part.split("=", 1) for part in self.headers.get("x-inngest-signature", "").split("&") if "=" in part)
                text = parts.get("t", "0")
                mac = hmac.new(re.sub(r"^signkey-\w+-", "", key).encode(), body + text.encode(), hashlib.sha256).hexdigest()
                fresh = abs(time.time() + app.offset - int(text)) < 300
                return fresh and hmac.compare_digest(mac, parts.get("s", ""))

            def answer(self, body: bytes) -> None:
                good = self.command == "GET" or self.verified(body)
                text = json.dumps({"mode": "cloud"} if good else {"error": "bad signature"}).encode()
                self.send_response(200 if good else 401)
                self.send_header("x-inngest-sdk", "test:v0")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self) -> None:
                self.answer(b"")

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers["content-length"])))

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/inngest"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def only_app(url: str) -> Iterator[None]:
    """The place's app is at another address meanwhile."""
    before = place().cluster.sql("select url from flowforge.app where name = 'shop'")
    place().cluster.sql(f"update flowforge.app set url = '{url}' where name = 'shop'")
    try:
        yield
    finally:
        place().cluster.sql(f"update flowforge.app set url = '{before}' where name = 'shop'")


KEY, OTHER_KEY = "signkey-prod-" + "ab" * 16, "signkey-prod-" + "cd" * 16


def test_fault_5_a_signing_key_that_is_not_the_apps(use: Any) -> None:
    app = use(Signed(KEY))
    with only_app(app.url):
        place().run("doctor", "--signing-key", KEY).expect(DONE)
        one_fault(place().run("doctor", "--json", "--signing-key", OTHER_KEY), "app shop", "refuses our signature (401)",
                  "give the app the same key")
        one_fault(place().run("doctor", "--json"), "app shop", "expects signatures, and we have no key", "set FLOWFORGE_SIGNING_KEY here")


def test_fault_6_a_clock_that_is_wrong(use: Any) -> None:
    app = use(Signed(KEY))
    with only_app(app.url):
        for offset, side in ((900, "ahead of"), (-900, "behind")):
            app.offset = offset
            one_fault(place().run("doctor", "--json", "--signing-key", KEY), "clock, app shop", f"{side} this machine",
                      "set the clocks right (chrony or systemd-timesyncd)")


@contextmanager
def listening(answers: bool) -> Iterator[int]:
    """Something that is no gateway on a port: a web server, or what takes connections and says nothing."""
    if answers:
        app = Signed(KEY)
        try:
            yield app.server.server_port
        finally:
            app.stop()
    else:
        with socket.create_server(("127.0.0.1", 0), backlog=8) as deaf:
            yield int(deaf.getsockname()[1])


def test_fault_7_the_port_of_the_gateway_is_in_use(use: Any) -> None:
    for answers, said in ((True, "what answers at"), (False, "by something that answers nothing")):
        with listening(answers) as port:
            result = place().run("doctor", "--json", "--url", f"http://127.0.0.1:{port}", timeout=60)
            one_fault(result, "gateway /health", f"port {port} is in use", f"ss -ltnp 'sport = :{port}'")
            assert said in faults(result)["gateway /health"]["found"]


def test_fault_8_no_pg_cron_is_advice_and_one_that_does_not_run_is_a_fault(use: Any) -> None:
    advice = [check for check in place().run("doctor", "--json").expect(DONE).json()["checks"] if check["level"] == "advice"]
    assert [check["check"] for check in advice] == ["pg_cron"], advice
    assert "install postgresql-15-cron" in advice[0]["remedy"] and "cron.database_name = 'flowforge'" in advice[0]["remedy"]
    assert "! pg_cron" in place().run("doctor").out
    try:
        with planted("shared_preload_libraries", "flowforge,pg_cron", order=False, cron__database_name="flowforge"):
            place().cluster.sql("create extension pg_cron")
            wait_for(lambda: "✓ pg_cron" in (seen := place().run("doctor").out) and "✗" not in seen, 20, "pg_cron is in order")
        wait_for(lambda: place().run("doctor").out.count("✗") == 1, 30, "only pg_cron is at fault")
        one_fault(place().run("doctor", "--json"), "pg_cron", "not preloaded: its jobs do not run", "add pg_cron to shared_preload_libraries")
    finally:
        place().cluster.sql("drop extension pg_cron")
    in_order()


def test_fault_9_a_role_that_was_not_granted(use: Any) -> None:
    cluster = place().cluster
    serve = "function flowforge.serve(text, text, text, jsonb, bytea)"
    cluster.sql(f"revoke execute on {serve} from flowforge_gateway")
    try:
        one_fault(place().run("doctor", "--json"), "roles", "may not call flowforge.serve",
                  f"grant execute on {serve} to flowforge_gateway")
    finally:
        cluster.sql(f"grant execute on {serve} to flowforge_gateway")
    cluster.sql("create role ops login")
    url = place().database.replace("postgres@", "ops@")
    one_fault(place().run("doctor", "--json", "--db", url), "this role", "ops may neither serve nor look", "grant flowforge_gateway to ops")
    cluster.sql("grant flowforge_gateway to ops")
    place().run("doctor", "--db", url).expect(DONE)
    try:
        cluster.sql("alter role flowforge_gateway nologin")
        one_fault(place().run("doctor", "--json"), "roles", "may not log in", "alter role flowforge_gateway login")
        cluster.sql("alter role flowforge_gateway login superuser")
        one_fault(place().run("doctor", "--json"), "roles", "is a superuser", "nosuperuser")
    finally:
        cluster.sql("alter role flowforge_gateway login nosuperuser")
    in_order()


def test_fault_10_a_gateway_that_cannot_listen(use: Any) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    one_fault(place().run("doctor", "--json", "--url", url, env={"FLOWFORGE_HOST": "203.0.113.1"}), "gateway /health",
              "cannot listen on 203.0.113.1 port", "--host, FLOWFORGE_HOST")
    one_fault(place().run("doctor", "--json", "--url", url, env={"FLOWFORGE_HOST": "no-such-host.invalid"}), "gateway /health",
              "no such address", "--host, FLOWFORGE_HOST")
    one_fault(place().run("doctor", "--json", "--url", url), "gateway /health", "onnect", "start it (`flowforge dev` or `flowforge serve`)")


def test_fault_11_a_disk_that_is_nearly_full(use: Any) -> None:
    one_fault(place().run("doctor", "--json", "--min-free", "100"), "disk", " left in /", "make room before PostgreSQL stops")
    place().run("doctor", "--min-free", "1").expect(DONE)
    place().run("doctor", "--min-free", "101").expect(USAGE, "--min-free is a number from 1 to 100")


def test_a_small_disk_of_a_tablespace_that_is_nearly_full(use: Any) -> None:
    space = tempfile.mkdtemp(prefix="flowforge-space-", dir="/tmp")
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "none", space],
                                                   stderr=subprocess.DEVNULL).returncode == 0
    try:
        if not mounted:
            return  # only root has a disk to fill
        shutil.chown(space, place().cluster.user)
        place().cluster.sql(f"create tablespace small location '{space}'")
        assert place().run("doctor").expect(DONE).out.count("✓ disk") == 1
        with open(f"{space}/filler", "wb") as file:
            file.write(b"x" * (7 * 1024 * 1024 + 800 * 1024))
        one_fault(place().run("doctor", "--json"), "disk", "pg_tblspc/", "make room before PostgreSQL stops")
    finally:
        if mounted:
            place().cluster.sql("drop tablespace if exists small")
            subprocess.run(["umount", space], check=True)
        os.rmdir(space)


def test_fault_12_a_server_that_restores(use: Any) -> None:
    cluster = place().cluster
    cluster.sql("alter database flowforge set flowforge.restoring = on")
    try:
        one_fault(place().run("doctor", "--json"), "restoring", "flowforge.restoring is on", "alter database flowforge reset flowforge.restoring")
    finally:
        cluster.sql("alter database flowforge reset flowforge.restoring")
    in_order()


def test_a_server_in_recovery_is_told_from_a_primary(use: Any) -> None:
    cluster = place().cluster
    cluster.stop()
    signal_file = f"{cluster.data}/standby.signal"
    open(signal_file, "w").close()
    try:
        cluster.start()
        one_fault(place().run("doctor", "--json"), "restoring", "standby, or restores a backup", "select pg_promote()")
    finally:
        cluster.sql("select pg_promote()")
    in_order()


# ---- what is asked, and in which role ----


def test_doctor_in_the_role_of_the_gateway_says_what_it_cannot_see(use: Any) -> None:
    done = place().run("doctor", "--db", place().gateway.database).expect(DONE)
    assert "✓ roles" in done.out and "✓ gateway /ready" in done.out, done.out


def test_doctor_takes_no_words(use: Any) -> None:
    flowforge("doctor", "everything").expect(USAGE, "unexpected everything")


if __name__ == "__main__":
    run(globals())
