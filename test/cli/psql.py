"""flowforge psql: the right database, and psql as it is."""
from __future__ import annotations

import signal
import subprocess
from typing import Any

from place import DONE, FAILED, PROGRAM, environment, flowforge, free_port, place
from harness import run, wait_for


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


if __name__ == "__main__":
    run(globals())
