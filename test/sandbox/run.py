"""The sandbox, tried with what code may do to it: the program itself, as an executor drives it. Prints TAP.

    run.py PROGRAM PROBE    PROBE is the program built with PROBE=1 (see src/sandbox/program/probe.h)
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import traceback

from sandbox import MB, Zygote

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM, PROBE = sys.argv[1:3]
failed = 0
count = 0


def report(name, fault):
    global failed, count
    count += 1
    failed += fault is not None
    print(f"{'ok' if fault is None else 'not ok'} {count} - {name}", flush=True)
    if fault is not None:
        print("\n".join("# " + line for line in str(fault).splitlines()))


def test(function):
    try:
        function()
        report(function.__name__.replace("_", " "), None)
    except Exception:  # the test that fails is told, the others go on
        report(function.__name__.replace("_", " "), traceback.format_exc())


def scripts():
    """(what it is, what is expected, code) of the corpus."""
    with open(os.path.join(HERE, "hostile.js"), encoding="utf-8") as file:
        for part in file.read().split("//// ")[1:]:
            head, code = part.split("\n", 1)
            name, expected = head.split(" | ", 1)
            yield name, expected, code.rstrip("\n")


def judge(expected, answer):
    """What is wrong with an answer, or None."""
    kind, _, rest = expected.partition(" ")
    error = answer.get("error")
    if kind == "error":
        name, _, part = rest.partition(": ")
        if error is None or (name and error["name"] != name) or part not in error["message"]:
            return f"expected {expected}"
        if set(error) - {"name", "message", "stack", "line"} or len(error["name"]) > 200 or len(error["message"]) > 4000:
            return "the error is not as errors are"
    elif error is not None:
        return f"expected {expected}"
    elif kind == "result" and answer["result"] != json.loads(rest):
        return f"expected {expected}"
    elif kind == "result-length" and len(json.dumps(answer["result"]["result"])) != int(rest):
        return f"expected {expected}"
    elif kind == "console" and len(answer["console"]) != int(rest):
        return f"expected {rest} lines, not {len(answer['console'])}"
    return None


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(condition, what, seconds=5):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.01)
    return value


def gone(pids):
    until(lambda: not any(alive(pid) for pid in pids), f"{pids} are gone")


# --- the corpus ---

zygote = Zygote(PROGRAM)


def run_corpus():
    for name, expected, code in scripts():
        # Garbage that is to be collected takes its time on a busy machine.
        timeout = 1.0 if "TimeoutError" in expected else 30.0
        answer = zygote.call(code, {"a": 1}, {"now": time.time() * 1000}, timeout=timeout, seconds=60)
        fault = judge(expected, answer)
        if fault is None and answer["peak"] > zygote.memory + 80 * MB:
            fault = f"it took {answer['peak'] // MB} MB"
        report(f"hostile: {name}", fault and f"{fault}\n{str(answer)[:1000]}")


def the_zygote_has_survived_the_corpus_and_no_child_is_left():
    assert zygote.call("return 1")["result"] == {"result": 1}
    assert zygote.children() == [], zygote.children()


# --- what nothing may be left of ---

def two_thousand_calls_leave_memory_and_descriptors_as_they_were():
    def figures():
        with open(f"/proc/{zygote.process.pid}/status") as file:
            rss = int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))
        return rss, count_descriptors(zygote.process.pid)

    for _ in range(50):
        zygote.call("return 1")
    before = figures()
    for i in range(2000):
        answer = zygote.call("return {n: input.n * 2}", input={"n": i})
        assert answer["result"] == {"n": 2 * i}, answer
    after = figures()
    print(f"# resident {before[0]} kB before, {after[0]} kB after; {after[1]} descriptors")
    assert after[1] == before[1] and after[0] <= before[0] + 512, (before, after)
    assert zygote.children() == []


def count_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def what_one_call_does_is_gone_in_the_next():
    zygote.call("globalThis.left = 1; Object.prototype.left = 1; Array.prototype.push = null; JSON.stringify = null; return 1")
    assert zygote.call("return [typeof left, typeof ({}).left, typeof [].push, typeof JSON.stringify]")["result"]["result"] == [
        "undefined", "undefined", "function", "function"]


def random_numbers_differ_from_call_to_call():
    assert len({zygote.call("return Math.random()")["result"]["result"] for _ in range(20)}) == 20


# --- the jail ---

ALLOWED = {  # what ends neither the child nor well, and how
    "open": "refused EPERM", "create": "refused EPERM", "stat": "refused EPERM", "tgkill": "refused EPERM", "read descriptor 0": "refused EBADF",
    "write descriptor 1": "refused EBADF", "write descriptor 2": "refused EBADF", "write descriptor 4": "refused EBADF",
    "fill memory": "refused ENOMEM"}
CRASHES = {"grow the stack", "read nowhere", "trap"}


def run_attempts():
    probe = Zygote(PROBE)
    attempts = probe.call("return attempts()")["result"]["result"].split("\n")[:-1]
    report("the attempts are all there", None if len(attempts) > 50 else attempts)
    for name in attempts:
        answer = probe.call(f"return attempt({json.dumps(name)})")
        if name in ALLOWED:
            fine = answer.get("result") == {"result": ALLOWED[name]}
        elif name in CRASHES:
            fine = answer.get("error", {}).get("name") == "CrashError"
        else:
            fine = answer["status"] == signal.SIGSYS and "result" not in answer
        report(f"an engine that is taken over cannot: {name}", None if fine else answer)
    report("the zygote has survived that", None if probe.call("return 1").get("result") == {"result": 1} and probe.children() == [] else "no")
    probe.close()


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def namespaces_are_granted():
    """Not in every container, nor below chroot(2)."""
    return subprocess.run(["unshare", "--user", "--net", "true"], capture_output=True).returncode == 0


def a_child_has_a_filter_limits_no_environment_and_one_descriptor():
    number, stream = zygote.start()
    pid = until(zygote.children, "a child is born")[0]
    until(lambda: status_of(pid)["Seccomp"] == "2", "it has its filter")
    status = status_of(pid)
    assert status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0, status
    assert status["Threads"] == "1", status
    with open(f"/proc/{pid}/limits") as file:
        limits = {line[:26].strip(): line[26:].split()[:2] for line in file}
    for name in ("Max processes", "Max open files", "Max file size", "Max core file size", "Max locked memory"):
        assert limits[name] == ["0", "0"], (name, limits[name])
    assert limits["Max cpu time"][0] == "6", limits["Max cpu time"]
    if os.geteuid() == 0:  # others may not look
        assert os.listdir(f"/proc/{pid}/fd") == ["3"], os.listdir(f"/proc/{pid}/fd")
        with open(f"/proc/{pid}/environ") as file:
            assert all(entry.startswith(("JSC_", "Malloc=", "MALLOC_", "FLOWFORGE_SANDBOX=", "TZ=UTC", "LANG=")) for entry in file.read().split("\0") if entry)
        if namespaces_are_granted():
            assert os.listdir(f"/proc/{pid}/root") == [], "its root is empty"
            print("# it has namespaces of its own, and an empty root")
    stream.close()
    zygote.wait_ended(number)


def it_is_nobody_and_in_namespaces_of_its_own_where_the_system_lets_it():
    if not namespaces_are_granted():
        print("# the system grants no namespaces here")
        return
    pid = zygote.process.pid
    for kind in ("net", "mnt", "ipc", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    if os.geteuid() == 0:
        assert status_of(pid)["Uid"].split() == ["65534"] * 4, status_of(pid)["Uid"]


# --- endings ---

def a_child_that_is_killed_is_told_of_and_nothing_else_ends():
    number, stream = zygote.start()
    zygote.kill(number)
    kind, status, _, _ = zygote.wait_ended(number)
    assert status == signal.SIGKILL, status
    zygote.kill(number)  # who is gone
    zygote.kill(10 ** 9)  # who has never been
    assert zygote.call("return 1")["result"] == {"result": 1}
    stream.close()


def a_child_whose_executor_does_not_kill_it_ends_itself():
    began = time.monotonic()
    number, stream = zygote.start(seconds=1)
    kind, status, _, _ = zygote.wait_ended(number)  # it waits for a request
    assert status == signal.SIGALRM and time.monotonic() - began < 3, status
    answer = zygote.call("for (;;);", seconds=1, timeout=8)
    assert answer.get("error", {}).get("name") == "TimeoutError" or answer["status"] == signal.SIGALRM, answer
    stream.close()


def every_zygote_works_and_bounds_the_shapes_of_objects():
    """Where the engine's memory lies differs from start to start."""
    for _ in range(15):
        own = Zygote(PROGRAM)
        assert own.call("return 1").get("result") == {"result": 1}
        with open(f"/proc/{own.process.pid}/maps") as file:
            sizes = [int(b, 16) - int(a, 16) for a, b in re.findall(r"^(\w+)-(\w+) rw", file.read(), re.M)]
        assert max(sizes) < 256 * MB, sizes
        own.close()


def requests_that_are_none_are_answered_or_end_the_child():
    for request in (b"", b"{", b"[]", b"null", b'{"code": 5}', b'{"code": "return 1"', b"\xff\xfe", b'{"code": "return 1"}\0'):
        answer = zygote.call(None, request=request)
        assert answer["error"]["name"] == "RequestError", (request, answer)
    for frame in (b"", b"\0", b"\xff" * 8, b"\1\0\0\0\7\0\0\0x"):
        number, stream = zygote.start()
        stream.sendall(frame)
        stream.close()
        assert zygote.wait_ended(number)[1] == 256, frame
    assert zygote.call("return 1")["result"] == {"result": 1}


def many_children_run_at_once_and_one_too_many_is_refused():
    streams = [zygote.start() for _ in range(65)]
    assert zygote.wait_ended(streams[-1][0])[0] == 3, "the 65th is not born"
    assert len(zygote.children()) == 64
    for _, stream in streams:
        stream.close()
    for number, _ in streams[:-1]:
        zygote.wait_ended(number)
    assert zygote.children() == []


def a_closed_socket_ends_the_zygote_and_all_children():
    own = Zygote(PROGRAM)
    for _ in range(3):
        _, stream = own.start()
        own.__dict__.setdefault("streams", []).append(stream)
    pids = until(lambda: len(own.children()) == 3 and own.children(), "three are born")
    assert own.close() == 0
    gone(pids)


def a_killed_zygote_takes_its_children_with_it():
    own = Zygote(PROGRAM)
    number, stream = own.start()
    body = json.dumps({"code": "for (;;);"}).encode()
    stream.sendall(len(body).to_bytes(4, "little") + (1).to_bytes(4, "little") + body)
    pids = until(own.children, "a child is born")
    own.process.kill()
    own.process.wait()
    gone(pids)


def a_killed_executor_takes_the_zygote_and_its_children_with_it():
    script = ("import sys, time; sys.path.insert(0, sys.argv[2]); from sandbox import Zygote; z = Zygote(sys.argv[1]); a = z.start(); b = z.start(); "
              "time.sleep(0.2); print(z.process.pid, *z.children(), flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", script, PROGRAM, HERE], stdout=subprocess.PIPE, text=True) as executor:
        pids = [int(pid) for pid in executor.stdout.readline().split()]
        assert len(pids) == 3 and all(alive(pid) for pid in pids), pids
        executor.kill()
    gone(pids)


def started_by_hand_it_says_what_it_is():
    done = subprocess.run([PROGRAM], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and "started by FlowForge" in done.stderr, done
    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("flowforge-sandbox "), done


def of_another_version_it_does_not_start():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    done = subprocess.run([PROGRAM, str(128 * MB), "0.0"], capture_output=True, text=True, close_fds=False, preexec_fn=lambda: os.dup2(theirs.fileno(), 3))
    assert done.returncode == 1 and "another version" in done.stderr, done
    ours.close()
    theirs.close()


def the_installed_program_has_no_door_for_tests():
    assert zygote.call("return [typeof attempt, typeof attempts]")["result"]["result"] == ["undefined", "undefined"]


if __name__ == "__main__":
    run_corpus()
    run_attempts()
    for function in (the_zygote_has_survived_the_corpus_and_no_child_is_left, what_one_call_does_is_gone_in_the_next,
                     random_numbers_differ_from_call_to_call, a_child_has_a_filter_limits_no_environment_and_one_descriptor,
                     it_is_nobody_and_in_namespaces_of_its_own_where_the_system_lets_it, a_child_that_is_killed_is_told_of_and_nothing_else_ends,
                     a_child_whose_executor_does_not_kill_it_ends_itself, requests_that_are_none_are_answered_or_end_the_child,
                     every_zygote_works_and_bounds_the_shapes_of_objects,
                     many_children_run_at_once_and_one_too_many_is_refused, a_closed_socket_ends_the_zygote_and_all_children,
                     a_killed_zygote_takes_its_children_with_it, a_killed_executor_takes_the_zygote_and_its_children_with_it,
                     started_by_hand_it_says_what_it_is, of_another_version_it_does_not_start, the_installed_program_has_no_door_for_tests,
                     two_thousand_calls_leave_memory_and_descriptors_as_they_were):
        test(function)
    zygote.close()
    print(f"1..{count}")
    sys.exit(failed > 0)
