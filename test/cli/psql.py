"""flowforge psql and flowforge doctor: the right database, and what is wrong with an installation."""
from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

from place import DONE, FAILED, USAGE, Result, Shop, environment, flowforge, free_port, in_terminal, place, PROGRAM
from harness import App, Cluster, run, wait_for


# ---- psql ----


def test_psql_runs_on_the_right_database_with_its_own_arguments(use: Any) -> None:
    done = place().run("psql", "-XAt", "-c", "select current_database(), 1 + 1").expect(DONE)
    assert done.out == "flowforge|2\n"
    done = flowforge("psql", "--db", place().database, "-XAt", "-c", "select 3").expect(DONE)
    assert done.out == "3\n"
    assert flowforge("psql", f"--db={place().database}", "-XAt", stdin="select 4;").expect(DONE).out == "4\n"


def test_psql_ends_with_the_exit_code_of_psql(use: Any) -> None:
    place().run("psql", "-X", "-c", "select 1 / 0").expect(1, "division by zero")
    place().run("psql", "-X", "-v", "ON_ERROR_STOP=1", stdin="select 1 / 0;").expect(3)
    flowforge("psql", "--db", f"postgresql://127.0.0.1:{free_port()}/x", "-c", "select 1").expect(2)


def test_psql_that_cannot_be_run_says_what_to_install(use: Any) -> None:
    place().run("psql", "-c", "select 1", env={"PATH": "/nowhere", "FLOWFORGE_PG_BINDIR": "/nowhere"}).expect(
        FAILED, "cannot run psql: No such file", "install postgresql-client-15")


def test_psql_dies_of_a_broken_pipe_as_psql_does(use: Any) -> None:
    done = subprocess.run(["bash", "-c", "$F psql -XAt -c \"select repeat('x', 100) from generate_series(1, 100000)\" | head -n 1; echo ${PIPESTATUS[0]}"],
                          env=environment(place().env | {"F": PROGRAM}), text=True, capture_output=True, timeout=30)
    assert done.stdout.splitlines()[-1] in ("141", "1", "2"), done.stdout[-300:]


def test_ctrl_c_in_psql_cancels_the_query(use: Any) -> None:
    process = place().begin("psql", "-XAt", "-c", "select pg_sleep(60)")
    wait_for(lambda: place().cluster.sql("select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'") == "1", 10, "it sleeps")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 1
    assert "canceling statement due to user request" in process.stderr.read()  # type: ignore[union-attr]


# ---- doctor ----


def faults(result: Result) -> dict[str, dict[str, Any]]:
    """The checks at fault of doctor --json, by name."""
    answer = result.expect(FAILED).json()
    found = {check["check"]: check for check in answer["checks"] if not check["good"]}
    assert answer["faults"] == len(found) > 0
    assert all(check["remedy"] for check in found.values())
    return found


def test_doctor_finds_everything_in_order(use: Any) -> None:
    done = place().run("doctor").expect(DONE)
    assert done.out.endswith("everything is in order\n") and "✗" not in done.out and done.err == "", done
    for what in ("database", "preload", "extension", "roles", "workers", "clock, database", "gateway /health", "clock, gateway",
                 "gateway /ready", "app shop"):
        assert f"✓ {what}" in done.out, f"{what}\n{done.out}"
    answer = place().run("doctor", "--json").expect(DONE).json()
    assert answer["faults"] == 0 and all(check["good"] and check["remedy"] is None for check in answer["checks"])
    assert "\x1b[32m✓" in in_terminal("doctor", env=place().env).expect(DONE).out


def test_doctor_without_anything_says_where_to_begin(use: Any) -> None:
    found = faults(flowforge("doctor", "--json", "--url", f"http://127.0.0.1:{free_port()}"))
    assert set(found) == {"database", "gateway /health"}
    assert "FLOWFORGE_DATABASE_URL" in found["database"]["remedy"] and "flowforge serve" in found["gateway /health"]["remedy"]
    done = flowforge("doctor", "--url", f"http://127.0.0.1:{free_port()}").expect(FAILED)
    assert "✗ database" in done.out and "  2 faults\n" in done.out and "→ " in done.out


def test_doctor_tells_a_database_that_is_away(use: Any) -> None:
    found = faults(place().run("doctor", "--json", "--db", f"postgresql://127.0.0.1:{free_port()}/x"))
    assert set(found) == {"database"} and "Connection refused" in found["database"]["found"]


def test_doctor_tells_a_gateway_that_is_away(use: Any) -> None:
    found = faults(place().run("doctor", "--json", "--url", f"http://127.0.0.1:{free_port()}"))
    assert set(found) == {"gateway /health"}


def test_doctor_tells_a_database_without_the_extension_or_executors(use: Any) -> None:
    place().cluster.sql("create database bare", database="postgres")
    database = place().database.replace("/flowforge", "/bare")
    found = faults(place().run("doctor", "--json", "--db", database))
    assert set(found) == {"preload", "extension"}
    assert found["preload"]["remedy"].startswith("add bare to flowforge.databases")
    assert found["extension"]["remedy"] == "create extension flowforge"
    place().cluster.sql("create extension flowforge", database="bare")
    found = faults(place().run("doctor", "--json", "--db", database))
    assert set(found) == {"preload", "workers"} and "0 of 0 executors work" in found["workers"]["found"], found


def test_doctor_tells_a_role_that_may_not_log_in(use: Any) -> None:
    place().cluster.sql("alter role flowforge_gateway nologin")
    try:
        found = faults(place().run("doctor", "--json"))
        assert set(found) == {"roles"} and "may not log in" in found["roles"]["found"]
        place().cluster.sql("alter role flowforge_gateway login superuser")
        assert "is a superuser" in faults(place().run("doctor", "--json"))["roles"]["found"]
    finally:
        place().cluster.sql("alter role flowforge_gateway login nosuperuser")
    place().run("doctor").expect(DONE)


def test_doctor_tells_an_app_that_is_down_and_one_that_is_none(use: Any) -> None:
    place().app.stop()
    try:
        found = faults(place().run("doctor", "--json"))
        assert set(found) == {"app shop"} and found["app shop"]["remedy"].startswith("start the app")
        with subprocess.Popen(["python3", "-m", "http.server", "-b", "127.0.0.1", str(place().app.port)], cwd="/tmp",
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
            try:
                wait_for(lambda: "something else listens there" in place().run("doctor").out, 20, "it is found out")
            finally:
                other.kill()
    finally:
        place().app.serve()
    place().run("doctor").expect(DONE)


def test_doctor_tells_a_key_of_ours_that_the_app_does_not_have(use: Any) -> None:
    found = faults(place().run("doctor", "--json", "--signing-key", "signkey-prod-abcd"))
    assert "app shop" in found, found


if __name__ == "__main__":
    run(globals())
