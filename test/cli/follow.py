"""The command line on a live server: sending events, looking at runs, following them, through restarts, signals and broken pipes."""
from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from place import DONE, FAILED, UNREACHABLE, Reader, begin, environment, finish, in_terminal, place, PROGRAM, EMPTY
from harness import run, wait_for

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


# ---- send ----


def test_send_tells_the_event_and_the_runs_it_starts(use: Any) -> None:
    done = place().run("send", "shop/greet", "-d", '{"name":"ada"}').expect(DONE)
    assert re.fullmatch(rf"shop/greet {ID}\n  starts shop-greet {ID}\n", done.out), done.out
    assert done.err == ""


def test_send_of_what_triggers_nothing_says_so_also_with_wait(use: Any) -> None:
    for more in ([], ["--wait"]):
        done = place().run("send", "nobody/listens", *more).expect(DONE)
        assert done.out.endswith("  starts no run\n"), done.out
    answer = place().run("send", "nobody/listens", "--json", "--wait").expect(DONE).json()
    assert answer["runs"] == [] and re.fullmatch(ID, answer["id"])


def test_send_wait_follows_the_run_to_its_end(use: Any) -> None:
    done = place().run("send", "shop/greet", "-d", '{"name":"ada"}', "--wait").expect(DONE)
    lines = done.out.splitlines()
    assert re.search(rf"▸ shop-greet +{ID}$", lines[0]), done.out
    assert re.search(r"✓ look up( +[\d.]+ m?s)?$", lines[1].rstrip()), done.out
    assert re.search(r'✓ completed +"hello ada"$', lines[2]), done.out
    assert len(lines) == 3, done.out


def test_send_wait_is_exit_code_1_when_the_run_fails_and_tells_why(use: Any) -> None:
    done = place().run("send", "shop/broken", "--wait").expect(FAILED)
    assert re.search(r"✗ failed +TypeError: it broke$", done.out.rstrip()), done.out


def test_retries_failures_and_sleeps_of_steps_are_told_by_their_names(use: Any) -> None:
    flaky = place().run("send", "shop/flaky", "--wait").expect(DONE).out
    assert re.search(r"↻ charge +card declined · tried again in [123]\d\d ms$", flaky, re.M), flaky
    assert re.search(r"✓ charge +attempt 2$", flaky, re.M), flaky
    nap = place().run("send", "shop/nap", "--wait").expect(DONE).out
    assert re.search(r"◷ doze +sleeps (1\.0 s|[89]\d\d ms)$", nap, re.M) and re.search(r"✓ doze\b", nap), nap
    caught = place().run("send", "shop/caught", "--wait").expect(DONE).out
    assert re.search(r"✗ risky +no luck$", caught, re.M) and re.search(r'✓ completed +"recovered"$', caught, re.M), caught
    for text in (flaky, nap, caught):
        assert not re.search(r"[0-9a-z]{40}", text), text  # no step's id instead of its name


class Late:
    """A way to the gateway on which who follows a run gets there when it is over."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.pass_on(urllib.request.Request(place().gateway.url + self.path, body, {"content-type": "application/json"}))

            def do_GET(self) -> None:
                place().ended(self.path.split("/")[4])
                seen = {name: value for name, value in self.headers.items() if name.lower() == "last-event-id"}
                self.pass_on(urllib.request.Request(place().gateway.url + self.path, headers=seen))

            def pass_on(self, request: urllib.request.Request) -> None:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    body = answer.read()
                    self.send_response(answer.status)
                    self.send_header("content-type", answer.headers["content-type"])
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_send_wait_shows_also_what_has_happened_before_it_looks(use: Any) -> None:
    late = use(Late())
    done = place().run("send", "shop/flaky", "--wait", "--url", f"http://127.0.0.1:{late.server.server_address[1]}").expect(DONE)
    marks = [re.findall(r"([▸↻✓]) (\S+)", line)[0] for line in done.out.splitlines()]
    assert marks == [("▸", "shop-flaky"), ("↻", "charge"), ("✓", "charge"), ("✓", "completed")], done.out


def test_workflows_are_followed_as_functions_are(use: Any) -> None:
    place().cluster.sql("""select ff_workflow_create('paced', '{"nodes": [
        {"id": "rest", "type": "delay", "data": {"config": {"seconds": 1}}},
        {"id": "ask", "type": "wait_for_approval", "data": {"config": {"prompt": "Go on?", "timeout": "1h"}}}],
        "edges": [{"id": "e", "source": "rest", "target": "ask"}]}', triggers => '[{"event": "paced/go"}]'), ff_workflow_publish('paced')""")
    waiting = place().begin("send", "paced/go", "--wait")
    said = Reader(waiting.stdout)
    said.wait(r"◷ the run is paused +Go on\?\n")
    assert re.search(r"◷ rest +sleeps (1\.0 s|9\d\d ms)\n", said.text), said.text
    assert re.search(r"◷ ask +waits at most (1 h 0 min|59 min \d+ s)\n", said.text), said.text
    place().cluster.sql("select ff_approve(approval_id) from flowforge.approvals where prompt = 'Go on?'")
    said.wait(r"✓ ask\n.*✓ completed")
    assert waiting.wait(60) == DONE


def test_send_wait_json_is_the_answer_and_then_every_message(use: Any) -> None:
    done = place().run("send", "shop/greet", "--wait", "--json").expect(DONE)
    answer, *messages = done.lines()
    run_id = answer["runs"][0]["id"]
    assert {message["run_id"] for message in messages} == {run_id}
    assert messages[0]["run"]["id"] == run_id
    seqs = [message["seq"] for message in messages]
    assert seqs == sorted(set(seqs)), seqs
    assert messages[-1].get("type") == "run.completed" or messages[-1]["run"]["status"] == "completed"


def test_an_event_sent_twice_with_one_id_starts_one_run(use: Any) -> None:
    key = str(uuid.uuid4())
    first, second = (place().run("send", "shop/greet", "-i", key, "--json").expect(DONE).json() for _ in range(2))
    assert len(first["runs"]) == 1 and first["id"] == second["id"]
    count = place().cluster.sql(f"select count(*) from flowforge.run where event_id = '{first['id']}'")
    assert count == "1", count


def test_a_refused_event_is_exit_code_1_with_the_reason_of_the_server(use: Any) -> None:
    done = place().run("send", "").expect(FAILED, "/api/v1/events: ", "(400)")
    assert done.out == "" and len(done.err.splitlines()) >= 2, done.err
    place().run("send", "a", "-f", "-", stdin=json.dumps({"text": "x" * 600_000})).expect(FAILED, "/api/v1/events: ", "(413)")


# ---- runs list, runs get ----


def test_runs_list_is_a_table_newest_first_with_filters(use: Any) -> None:
    older, newer = place().send("shop/greet"), place().send("shop/broken")
    for each in (older, newer):
        place().ended(each)
    lines = place().run("runs", "list", "-n", "2").expect(DONE).out.splitlines()
    assert lines[0].split() == ["run", "status", "function", "event", "created", "took"]
    assert re.match(rf"{newer}  failed +shop-broken +shop/broken +\d+ s ago +[\d.]+ m?s$", lines[1]), lines[1]
    assert re.match(rf"{older}  completed +shop-greet ", lines[2]), lines[2]
    assert re.fullmatch(r"more: --cursor \S+", lines[3])
    failed = place().run("runs", "list", "-s", "failed", "--json").expect(DONE).json()["data"]
    assert failed and {each["status"] for each in failed} == {"failed"}
    greets = place().run("runs", "list", "-f", "shop-greet", "--json").expect(DONE).json()["data"]
    assert greets and {each["function"] for each in greets} == {"shop-greet"}
    assert place().run("runs", "list", "-f", "no such & function").expect(DONE).out == "no runs\n"


def test_pages_of_runs_list_join_to_the_whole(use: Any) -> None:
    for _ in range(5):
        place().send("shop/greet")
    whole = [each["id"] for each in place().run("runs", "list", "-n", "200", "--json").json()["data"]]
    pages: list[str] = []
    cursor: list[str] = []
    for _ in range(len(whole)):
        answer = place().run("runs", "list", "-n", "2", "--json", *cursor).expect(DONE).json()
        pages += [each["id"] for each in answer["data"]]
        if answer["next_cursor"] is None:
            break
        cursor = ["--cursor", answer["next_cursor"]]
    assert pages == whole


def test_runs_list_tells_what_the_server_does_not_know(use: Any) -> None:
    place().run("runs", "list", "-s", "sleeping").expect(FAILED, "(400)", "status")
    place().run("runs", "list", "--cursor", "nonsense").expect(FAILED, "(400)", "cursor")


def test_runs_get_shows_a_run_and_its_steps(use: Any) -> None:
    run_id = place().send("shop/greet", {"name": "bob"})
    place().ended(run_id)
    lines = place().run("runs", "get", run_id).expect(DONE).out.splitlines()
    assert re.search(rf"▸ shop-greet +{run_id}$", lines[0]) and re.search(r"✓ look up +[\d.]+ m?s$", lines[1]), lines
    assert re.search(r'✓ completed +"hello bob"$', lines[2]), lines
    both = place().run("runs", "get", run_id, "--json").expect(DONE).json()
    assert both["run"]["output"] == "hello bob" and both["run"]["event"]["data"] == {"name": "bob"}
    assert [(step["name"], step["status"]) for step in both["steps"]] == [("look up", "completed")]


def test_runs_get_of_no_run_is_exit_code_1(use: Any) -> None:
    place().run("runs", "get", str(uuid.UUID(int=7))).expect(FAILED, "does not exist", "(404)", "→ ")
    for odd in ("nonsense", "a/b?c#d", "", "%00", "é"):
        done = place().run("runs", "get", odd)
        assert done.code == FAILED and done.out == "" and done.err.startswith("flowforge: "), (odd, done)


def test_a_live_run_shows_what_its_steps_are_doing(use: Any) -> None:
    run_id = place().send("shop/nap", {"for": "1h"})
    wait_for(lambda: place().run("runs", "get", run_id, "--json").json()["steps"], 20, "the step sleeps")
    assert re.search(r"◷ doze +sleeping in (60|59)\.?\d* min", place().run("runs", "get", run_id).out), place().run("runs", "get", run_id).out
    place().cluster.sql(f"select ff_cancel('{run_id}')")
    place().ended(run_id)
    assert re.search(r"■ cancelled$", place().run("runs", "get", run_id).expect(DONE).out.rstrip())


# ---- runs tail ----


def test_runs_tail_of_an_ended_run_shows_it_and_ends(use: Any) -> None:
    good, bad = place().send("shop/greet"), place().send("shop/broken")
    for each in (good, bad):
        place().ended(each)
    assert "✓ completed" in place().run("runs", "tail", good).expect(DONE).out
    assert "✗ failed" in place().run("runs", "tail", bad).expect(FAILED).out
    place().run("runs", "tail", str(uuid.UUID(int=7))).expect(FAILED, "does not exist")


def test_runs_tail_prints_what_happens_when_it_happens(use: Any) -> None:
    place().app.opened.clear()
    run_id = place().send("shop/gate")
    process = place().begin("runs", "tail", run_id)
    reader = Reader(process.stdout)
    reader.wait(r"✓ before")
    assert "after" not in reader.text and process.poll() is None
    place().app.opened.set()
    reader.wait(r'✓ completed +"through"')
    assert process.wait(10) == DONE
    assert reader.text.count("✓ before") == 1 and reader.text.count("✓ after") == 1, reader.text


def test_a_cancelled_run_ends_its_tail_with_exit_code_1(use: Any) -> None:
    run_id = place().send("shop/nap", {"for": "1h"})
    process = place().begin("runs", "tail", run_id)
    reader = Reader(process.stdout)
    reader.wait(r"doze")
    place().cluster.sql(f"select ff_cancel('{run_id}')")
    reader.wait(r"■ cancelled")
    assert process.wait(10) == FAILED


def test_tails_go_on_through_a_restart_of_the_gateway_without_saying_anything_twice(use: Any) -> None:
    place().app.opened.clear()
    run_id = place().send("shop/gate")
    one, every = place().begin("runs", "tail", run_id), place().begin("runs", "tail")
    readers = [Reader(one.stdout), Reader(every.stdout)]
    for reader in readers:
        reader.wait(r"✓ before")
    assert place().gateway.stop() == 0
    time.sleep(1.5)
    assert one.poll() is None and every.poll() is None
    place().app.opened.set()
    place().ended(run_id)
    place().gateway.start()
    for reader in readers:
        reader.wait(r'✓ completed +"through"')
        assert reader.text.count("✓ before") == 1 and reader.text.count("✓ after") == 1, reader.text
    assert one.wait(10) == DONE and every.poll() is None
    every.kill()


def test_send_wait_goes_on_through_a_kill_of_the_gateway(use: Any) -> None:
    place().app.opened.clear()
    process = place().begin("send", "shop/gate", "--wait")
    reader = Reader(process.stdout)
    reader.wait(r"✓ before")
    place().gateway.stop(signal.SIGKILL)
    place().app.opened.set()
    place().gateway.start()
    reader.wait(r'✓ completed +"through"')
    assert process.wait(10) == DONE


def test_runs_tail_without_an_id_follows_all_that_are_new(use: Any) -> None:
    old = place().send("shop/greet", {"name": "old"})
    place().ended(old)
    process = place().begin("runs", "tail")
    reader, notes = Reader(process.stdout), Reader(process.stderr)
    notes.wait("every run from now on; Ctrl-C ends it")
    new = [place().send("shop/greet", {"name": f"new {n}"}) for n in range(3)]
    for n in range(3):
        reader.wait(rf'shop-greet +[\d.]+ m?s ✓ completed +"hello new {n}"')
    assert old not in reader.text and all(reader.text.count(each) == 1 for each in new), reader.text
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == -signal.SIGINT


def test_runs_tail_misses_none_of_a_burst(use: Any) -> None:
    process = place().begin("runs", "tail", "--json")
    reader = Reader(process.stdout)
    time.sleep(1)
    place().cluster.send("shop/greet", 180)
    def ended() -> int:
        return len({message["run_id"] for message in map(json.loads, reader.text.splitlines())
                    if message.get("type") == "run.completed" or message.get("run", {}).get("status") == "completed"})
    wait_for(lambda: ended() == 180, 60, "all 180 runs are told")
    process.kill()


def test_runs_tail_of_a_server_that_stays_away_is_given_up(use: Any) -> None:
    process = place().begin("runs", "tail")
    Reader(process.stderr).wait("every run from now on")
    place().gateway.stop()
    started = time.monotonic()
    try:
        assert process.wait(60) == UNREACHABLE
        assert 25 < time.monotonic() - started < 45
    finally:
        process.kill()
        place().gateway.start()


# ---- signals, pipes, terminals ----


def test_ctrl_c_ends_the_following_and_not_the_run(use: Any) -> None:
    place().app.opened.clear()
    for arguments in (["send", "shop/gate", "--wait"], ["runs", "tail"]):
        process = place().begin(*arguments)
        Reader(process.stdout).wait(r"✓ before")
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == -signal.SIGINT
    place().app.opened.set()
    wait_for(lambda: place().run("runs", "list", "-s", "running", "-f", "shop-gate", "--json").json()["data"] == [], 20, "the runs end")


def shell(script: str) -> subprocess.CompletedProcess[str]:
    """A script in which $F is the program; its exit codes are those of all parts of a pipe."""
    return subprocess.run(["bash", "-c", script], text=True, capture_output=True, timeout=30, cwd=EMPTY,
                          env=environment(place().env | {"F": PROGRAM}))


def test_a_broken_pipe_ends_it_soon_and_silently(use: Any) -> None:
    for command in ("runs list -n 200", "runs list -n 200 --json", "help"):
        done = shell(f"$F {command} | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}")
        assert done.stdout in ("0\n", "1\n") and done.stderr == "", (command, done)
    done = shell("{ $F runs tail 2>/dev/null | head -n 1; } & sleep 0.7; for n in 1 2 3 4 5 6; do $F send shop/greet >/dev/null; sleep 0.3; done; "
                 "wait; echo ended")
    assert done.stdout.endswith("ended\n") and done.stderr == "", done
    done = shell("$F send shop/nap --wait | head -n 1; echo ${PIPESTATUS[0]}")
    assert done.stdout.splitlines()[-1] == "1" and done.stderr == "", done


def test_output_has_styles_and_fits_in_a_terminal_and_is_plain_and_whole_in_a_pipe(use: Any) -> None:
    run_id = place().send("shop/greet", {"name": "x" * 300})
    place().ended(run_id)
    narrow = in_terminal("runs", "get", run_id, columns=70, env=place().env).expect(DONE).out
    assert "\x1b[32m✓" in narrow and "x" * 300 not in narrow, narrow
    for line in re.sub(r"\x1b\[[0-9;]*m", "", narrow).splitlines()[1:]:
        assert len(line) <= 70, line
    piped = place().run("runs", "get", run_id).expect(DONE).out
    assert "\x1b" not in piped and "x" * 300 in piped
    assert "\x1b" not in in_terminal("runs", "get", run_id, env=place().env | {"NO_COLOR": "1"}).out
    json.loads(in_terminal("runs", "get", run_id, "--json", env=place().env).out)


def test_what_apps_and_events_say_cannot_steer_the_terminal(use: Any) -> None:
    done = place().run("send", "shop/hostile", "--wait").expect(FAILED)
    assert "\x1b" not in done.out and "\x07" not in done.out and "\nflowforge: forged" not in done.out, repr(done.out)
    assert re.search(r"✗ failed .*owned.*forged", done.out), done.out
    place().run("send", "evil\x1b[2J\x07name")
    for words in ("runs list", "runs get"):
        listed = in_terminal(*words.split(), *([place().send("shop/hostile")] if "get" in words else []), env=place().env | {"NO_COLOR": "1"})
        assert "\x1b" not in listed.out and "\x07" not in listed.out, repr(listed.out)


def test_without_a_gateway_nothing_is_waited_for(use: Any) -> None:
    place().gateway.stop()
    try:
        for words in ("send shop/greet --wait", "runs tail", f"runs tail {uuid.UUID(int=7)}", "runs list"):
            started = time.monotonic()
            finish(begin(*words.split(), env=place().env)).expect(UNREACHABLE)
            assert time.monotonic() - started < 3, words
    finally:
        place().gateway.start()


# ---- the status of a terminal ----


def without_status(text: str) -> str:
    """What is left of what a terminal was sent once every status has been rubbed out."""
    return re.sub(r"[^\n]*?\r\x1b\[K", "", text)


def test_a_terminal_shows_how_far_a_run_is_below_its_lines(use: Any) -> None:
    shown = in_terminal("send", "shop/nap", "-d", '{"for": "2s"}', "--wait", env=place().env).expect(DONE).out
    assert len(set(re.findall(r"\x1b\[2m([⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]) shop-nap ", shown))) > 3, shown
    assert re.search(r"0 steps done · doze (sleeps|sleeping)", shown), shown
    assert shown.count("\r\x1b[K") > shown.count("\n")
    left = without_status(shown)
    assert not re.search(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]|steps? done", left) and "\x1b[32m✓" in left, left
    lines = re.sub(r"\x1b\[\d*m", "", left).splitlines()
    assert "▸ shop-nap" in lines[0] and '✓ completed' in lines[-1] and '"rested"' in lines[-1], lines


def test_the_status_fits_a_narrow_terminal(use: Any) -> None:
    run_id = place().send("shop/nap", {"for": "2s"})
    shown = in_terminal("runs", "tail", run_id, columns=30, env=place().env).expect(DONE).out
    statuses = [re.sub(r"\x1b\[\d*m", "", status) for status in re.findall(r"\x1b\[K([^\r\n]*[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏][^\r\n]*)\r", shown)]
    assert statuses and max(len(status) for status in statuses) <= 29, statuses


def test_pipes_no_color_and_json_have_no_status(use: Any) -> None:
    plain = place().run("send", "shop/nap", "--wait").expect(DONE).out
    no_color = in_terminal("send", "shop/nap", "--wait", env=place().env | {"NO_COLOR": "1"}).expect(DONE).out
    as_json = in_terminal("send", "shop/nap", "--wait", "--json", env=place().env).expect(DONE).out
    for text in (plain, no_color, as_json):
        assert "\x1b" not in text and "\r" not in text and "steps done" not in text, text
    for line in as_json.splitlines():
        json.loads(line)


def test_ctrl_c_rubs_the_status_out(use: Any) -> None:
    run_id = place().send("shop/nap", {"for": "1h"})
    ours, theirs = pty.openpty()
    process = begin("runs", "tail", run_id, env=place().env, stdout=theirs)
    os.close(theirs)
    text = b""
    while b"steps done" not in text:
        assert select.select([ours], [], [], 60)[0], text
        text += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    try:
        while True:
            data = os.read(ours, 65536)
            if not data:
                break
            text += data
    except OSError:
        pass  # the terminal has no other end any more
    os.close(ours)
    assert text.endswith(b"\r\x1b[K"), text[-200:]
    place().cluster.sql(f"select ff_cancel('{run_id}')")


if __name__ == "__main__":
    run(globals())
