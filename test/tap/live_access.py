"""Who follows live: tickets, one WebSocket for many things, and how streams end with the right to follow them, over two gateways."""
import asyncio
import base64
import json
import os
import random
import struct
import threading
import time
import urllib.error
import urllib.request

from harness import App, run, wait_for
from live import assert_told, log_of, page, place, until

SECRET = "a secret of the tests that is long enough"


class Socket:
    """A client of /ws: what it is told is kept by subscription."""

    def __init__(self, port, path="/ws?subscribe=none", *protocols, headers=""):
        self.port, self.path, self.protocols, self.headers = port, path, protocols, headers
        self.messages = []
        self.answers = []  # to what was said
        self.code = None

    async def open(self):
        key = base64.b64encode(os.urandom(16)).decode()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        named = f"sec-websocket-protocol: {', '.join(('flowforge', *self.protocols))}\r\n" if self.protocols else ""
        self.writer.write(f"GET {self.path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
                          f"sec-websocket-key: {key}\r\n{named}{self.headers}\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        assert " 101 " in head.split("\r\n")[0], head
        self.task = asyncio.create_task(self.read())
        await until(lambda: self.messages or self.code, "the first message")
        return self

    async def read(self):
        try:
            while self.code is None:
                first, length = await self.reader.readexactly(2)
                if length >= 126:
                    length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
                data = await self.reader.readexactly(length)
                if first == 0x89:
                    self.writer.write(b"\x8a\x80abcd")
                elif first == 0x88:
                    self.code = struct.unpack(">H", data[:2])[0]
                else:
                    self.take(json.loads(data))
        except (OSError, EOFError):
            self.code = self.code or 1006

    def take(self, message):
        self.messages.append(message)
        if "error" in message or message["type"] in ("subscribed", "unsubscribed"):
            self.answers.append(message)

    def say(self, *words):
        """Each as a text: JSON, or bytes as they are."""
        for word in words:
            data = word if isinstance(word, bytes) else json.dumps(word).encode()
            size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + struct.pack(">H", len(data))
            self.writer.write(b"\x81" + size + b"\0\0\0\0" + data)

    async def ask(self, *words):
        wanted = len(self.answers) + len(words)
        self.say(*words)
        await until(lambda: len(self.answers) >= wanted or self.code, f"answers to {words}")
        return self.answers[wanted - len(words):]

    def told(self, subscription):
        """(run, seq) of the messages of one subscription."""
        return [(m["run_id"], m["seq"]) for m in self.messages if m.get("subscription") == subscription and "seq" in m and m["type"] != "snapshot"]

    def types(self, subscription):
        return [m["type"] for m in self.messages if m.get("subscription") == subscription]

    async def close(self):
        self.task.cancel()
        self.writer.close()
        await asyncio.gather(self.task, return_exceptions=True)


class Reader:
    """A client of an event stream; `is_over` when it has ended."""

    def __init__(self, port, path, headers):
        self.port, self.path, self.headers = port, path, headers
        self.is_over = False

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(f"GET {self.path} HTTP/1.1\r\nhost: localhost\r\n{self.headers}\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        assert " 200 " in head.split("\r\n")[0] and "x-flowforge-" not in head, head
        await self.reader.readuntil(b"\n\n")
        self.task = asyncio.create_task(self.read())
        return self

    async def read(self):
        try:
            while await self.reader.read(65536):
                pass
        except OSError:
            pass
        self.is_over = True

    async def close(self):
        self.task.cancel()
        self.writer.close()
        await asyncio.gather(self.task, return_exceptions=True)


def ask(gateway, method, path, body=None, token=None):
    request = urllib.request.Request(gateway.url + path, None if body is None else json.dumps(body).encode(),
                                     {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as problem:
        return problem.code, json.loads(problem.read() or b"null")


def guarded(use):
    """Like place(), of a server that asks who is there."""
    return place(use, {"flowforge.auth": "'on'", "flowforge.jwt_secret": f"'{SECRET}'"})


def key_of(cluster, name="live", scopes="{runs:read}", expires="null"):
    return cluster.sql(f"select key from ff_key_create('{name}', 'live', '{scopes}', {expires})")


def signed_in(cluster, gateway, email, role="viewer"):
    cluster.sql(f"select ff_user_create('{email}', 'correct horse battery', 'Somebody', '{role}')")
    return ask(gateway, "POST", "/api/v1/auth/login", {"email": email, "password": "correct horse battery"})[1]


def test_a_ticket_opens_one_websocket_on_any_gateway_however_many_race_for_it(use):
    cluster, *gateways = guarded(use)
    key = key_of(cluster)

    async def play():
        for round_ in range(5):
            status, ticket = ask(gateways[round_ % 2], "POST", "/api/v1/ws/ticket", None, key)
            assert status == 201 and ticket["expires_in"] == 60, (status, ticket)
            sockets = [Socket(gateways[n % 2].port, "/ws", ticket["protocol"]) for n in range(10)]
            await asyncio.gather(*(s.open() for s in sockets))
            await until(lambda ss=sockets: sum(s.code == 4401 for s in ss) == 9, "the others are sent away")
            (winner,) = [s for s in sockets if s.code is None]
            assert winner.messages[0]["type"] == "live"
            await asyncio.gather(*(s.close() for s in sockets))
        ticket = ask(gateways[0], "POST", "/api/v1/ws/ticket", None, key)[1]
        run_id = cluster.sql("select ff_run('tap-main')")
        one = await Socket(gateways[1].port, f"/ws/runs/{run_id}", ticket["protocol"]).open()
        assert one.messages[0]["type"] == "snapshot", one.messages
        ticket = ask(gateways[0], "POST", "/api/v1/ws/ticket", None, key)[1]
        cluster.sql("update flowforge.api_key set revoked_at = now()")
        late = await Socket(gateways[1].port, "/ws", ticket["protocol"]).open()
        assert late.code == 4401
        await asyncio.gather(one.close(), late.close())

    asyncio.run(play())
    assert ask(gateways[0], "POST", "/api/v1/ws/ticket")[0] == 401
    assert cluster.sql("select count(*) from flowforge.ticket") == "1", "used ones are gone"
    # Housekeeping begins with the server, and takes those that nobody used.
    cluster.sql("update flowforge.ticket set expires_at = now() - interval '1 second'")
    cluster.sql("insert into flowforge.ticket values ('young', 1, '', now() + interval '1 hour')")
    cluster.stop()
    cluster.start()
    wait_for(lambda: cluster.try_sql("select string_agg(encode(t.digest, 'escape'), ' ') from flowforge.ticket t") == "young", 30, "old tickets are gone")


def test_one_websocket_follows_many_things_each_from_where_it_was(use):
    cluster, gateway, other = place(use)
    second = use(App("second", steps=1))
    cluster.register(second)

    async def play():
        socket = await Socket(gateway.port).open()
        assert [a["type"] for a in await socket.ask({"subscribe": {"function": "tap-main"}}, {"subscribe": {"function": "second-main"}}, {"subscribe": "all"})] \
            == ["subscribed"] * 3
        cluster.send("tap/go", 3)
        cluster.send("second/go", 2)
        cluster.wait_all_ended(5)
        wanted = log_of(cluster)
        function_of = json.loads(cluster.sql("select json_object_agg(r.run_id, r.function) from flowforge.runs r"))
        await until(lambda: len(socket.told("all")) >= len(wanted), "all of it")
        assert sorted(socket.told("all")) == wanted
        for function in ("tap-main", "second-main"):
            name = "function:" + function
            these = [key for key in wanted if function_of[key[0]] == function]
            await until(lambda n=name, w=these: len(socket.told(n)) >= len(w), name)
            assert sorted(socket.told(name)) == these, name
        # What was not asked for is not told, and every message says what it belongs to.
        assert all("subscription" in m for m in socket.messages[1:]), [m for m in socket.messages if "subscription" not in m]
        # Going on from any message, over the other gateway, as many at once as may be.
        again = await Socket(other.port).open()
        for place_, message in [(n, m) for n, m in enumerate(m for m in socket.messages if m.get("subscription") == "all" and "seq" in m)][::5]:
            begun = len(again.messages)
            (answer,) = await again.ask({"subscribe": "all", "since": message["cursor"]})
            assert answer["subscription"] == "all" and answer["cursor"] == message["cursor"], answer
            await until(lambda b=begun, p=place_: len([m for m in again.messages[b:] if "seq" in m]) >= len(wanted) - p - 1, "the rest")
            assert sorted((m["run_id"], m["seq"]) for m in again.messages[begun:] if "seq" in m) == sorted(socket.told("all")[place_ + 1:])
        # A run that has ended: what there is, then its end; from a seq only what is after it; the connection stays.
        victim = wanted[0][0]
        of_victim = [key for key in wanted if key[0] == victim]
        await again.ask({"subscribe": {"run": victim}})
        await until(lambda: again.types(f"run:{victim}")[-1] == "end", "the end")
        assert again.types(f"run:{victim}") == ["subscribed", "snapshot", "end"]
        await again.ask({"subscribe": {"run": victim}, "since": 2})
        await until(lambda: again.types(f"run:{victim}").count("end") == 2, "the second end")
        assert again.told(f"run:{victim}") == of_victim[2:]
        # One that goes on.
        second.delay = 0.5
        live = cluster.sql("select ff_run('second-main')")
        await again.ask({"subscribe": {"run": live}, "since": 0}, {"unsubscribe": "all"})
        before = len(again.told("all"))
        cluster.wait_all_ended(6)
        await until(lambda: again.types(f"run:{live}")[-1] == "end", "the end of the live run")
        assert again.told(f"run:{live}") == [key for key in log_of(cluster) if key[0] == live]
        await again.ask({"unsubscribe": "all"})
        assert len(again.told("all")) == before, "what was ended is told no more"
        await asyncio.gather(socket.close(), again.close())

    asyncio.run(play())


def test_what_cannot_be_followed_is_told_and_nothing_hostile_ends_the_others(use):
    cluster, gateway, _ = place(use)

    async def play():
        socket = await Socket(gateway.port).open()
        answers = await socket.ask({"subscribe": {"run": "01M7X48DDJXB2N3AAJ41EHH149"}}, {"subscribe": {"function": "nothing"}}, {"subscribe": {"run": "x"}},
                                   {"follow": "me"}, b"no json", b"", b"[" * 16000, b'{"subscribe":' * 1000, b'{"subscribe": {"run": "' + b"9" * 16000 + b'"}}',
                                   {"subscribe": "all", "since": "9" * 10000}, b'{"subscribe": "\xc3\xa9"}', {"subscribe": "all"})
        codes = [a.get("error", {}).get("code") for a in answers]
        assert codes == ["FF010", "FF013", "FF204", "FF682", "FF203", "FF203", "FF203", "FF203", "FF682", "FF204", "FF682", None], codes
        assert all("hint" in a["error"] and a["error"]["status"] < 500 for a in answers[:-1]), answers
        # 10,000 messages: all answered, in order, while others are served.
        noise = await Socket(gateway.port).open()
        thousand = [{"subscribe": {"run": f"0192c7a0-0000-7000-8000-{n:012d}"}} for n in range(10000)]
        random.Random(7).shuffle(thousand)
        noise.say(*thousand)
        began = time.monotonic()
        assert (await socket.ask({"unsubscribe": "all"}))[0]["type"] == "unsubscribed"
        assert not noise.answers or len(noise.answers) < 10000, "others wait for the noise"
        await until(lambda: len(noise.answers) == 10000, "10,000 answers", 120)
        print(f"# 10,000 messages answered in {time.monotonic() - began:.1f} s", flush=True)
        assert [a["error"]["detail"].split()[1] for a in noise.answers] == [t["subscribe"]["run"] for t in thousand]
        await asyncio.gather(socket.close(), noise.close())

    asyncio.run(play())


def test_a_hundred_things_can_be_followed_and_no_more(use):
    cluster, gateway, _ = place(use, {"flowforge.executors": "1"})
    sleeper = use(App("sleeper", steps=0, sleep="1h"))
    cluster.register(sleeper)

    async def play():
        runs = cluster.sql("select ff_run('sleeper-main') from generate_series(1, 101)").splitlines()
        socket = await Socket(gateway.port).open()
        answers = await socket.ask(*({"subscribe": {"run": run_id}} for run_id in runs))
        assert [a.get("type") for a in answers[:100]] == ["subscribed"] * 100, answers[:100]
        assert answers[100]["error"]["code"] == "FF683", answers[100]
        answers = await socket.ask({"unsubscribe": {"run": runs[7]}}, {"subscribe": {"run": runs[100]}})
        assert [a["type"] for a in answers] == ["unsubscribed", "subscribed"], answers
        cluster.sql(f"select ff_cancel('{runs[100]}')")
        await until(lambda: socket.types(f"run:{runs[100]}")[-1] == "end", "its end")
        await socket.close()

    asyncio.run(play())


async def followers_of(gateways, headers):
    """An event stream and two kinds of WebSocket on each gateway."""
    made = []
    for gateway in gateways:
        made += [await Reader(gateway.port, "/api/v1/stream", headers).open(), await Socket(gateway.port, headers=headers).open(),
                 await Socket(gateway.port, "/ws", headers=headers).open()]
        await made[-2].ask({"subscribe": "all"})
    return made


def is_over(follower):
    return follower.code == 4401 if isinstance(follower, Socket) else follower.is_over


def test_streams_end_on_all_gateways_when_who_follows_may_no_more(use):
    cluster, *gateways = guarded(use)

    def header(token):
        return f"authorization: Bearer {token}\r\n"

    async def play():
        stays = await followers_of(gateways, header(key_of(cluster, "stays")))
        admin = signed_in(cluster, gateways[0], "admin@example.com", "admin")["access_token"]
        signed = {name: signed_in(cluster, gateways[0], f"{name}@example.com") for name in ("disabled", "deleted", "out")}
        ids = {name: tokens["user"]["id"] for name, tokens in signed.items()}
        keys = {name: key_of(cluster, name) for name in ("revoked", "blinded", "shortened")}
        ended_by = {
            "revoked": lambda: cluster.sql(f"select ff_key_revoke('{keys['revoked']}')"),
            "blinded": lambda: cluster.sql("update flowforge.api_key set scopes = '{events:read}' where name = 'blinded'"),
            "shortened": lambda: cluster.sql("update flowforge.api_key set expires_at = now() + interval '1 second' where name = 'shortened'"),
            "disabled": lambda: ask(gateways[0], "PATCH", f"/api/v1/users/{ids['disabled']}", {"disabled": True}, admin),
            "deleted": lambda: ask(gateways[0], "DELETE", f"/api/v1/users/{ids['deleted']}", None, admin),
            "out": lambda: ask(gateways[0], "POST", "/api/v1/auth/logout", {"everywhere": True}, signed["out"]["access_token"]),
        }
        tokens = {**keys, **{name: each["access_token"] for name, each in signed.items()}}
        for name, deed in ended_by.items():
            followers = await followers_of(gateways, header(tokens[name]))
            assert not any(map(is_over, followers)), name
            await asyncio.to_thread(deed)
            began = time.monotonic()
            await until(lambda fs=followers: all(map(is_over, fs)), f"the end of what {name} follows", 10)
            print(f"# {name}: {len(followers)} streams ended within {time.monotonic() - began:.2f} s", flush=True)
            await asyncio.gather(*(f.close() for f in followers))
        assert not any(map(is_over, stays)), "others go on"
        cluster.send("tap/go")
        await until(lambda: all(s.told(None) or s.told("all") for s in stays if isinstance(s, Socket)), "what others are told")
        await asyncio.gather(*(f.close() for f in stays))

    asyncio.run(play())


def test_streams_end_when_their_token_or_key_expires(use):
    cluster, *gateways = guarded(use)
    signed_in(cluster, gateways[0], "brief@example.com")
    token = cluster.sql("select flowforge.jwt(flowforge.user_claims(u) || jsonb_build_object('sid', flowforge.uuid7()), 'access', '4 seconds') "
                        "from flowforge.user_account u")
    key = key_of(cluster, expires="now() + interval '4 seconds'")

    async def play():
        began = time.monotonic()
        followers = [f for each in (token, key) for f in await followers_of(gateways, f"authorization: Bearer {each}\r\n")]
        assert not any(map(is_over, followers))
        await until(lambda: all(map(is_over, followers)), "their end", 20)
        assert time.monotonic() - began > 2, "they ended too early"
        await asyncio.gather(*(f.close() for f in followers))

    asyncio.run(play())


def test_a_revocation_is_seen_after_the_server_was_away(use):
    cluster, *gateways = guarded(use)
    key = key_of(cluster)

    async def play():
        followers = await followers_of(gateways, f"authorization: Bearer {key}\r\n")
        # The gateways cannot hear it: it is done in the moment between their connections.
        await asyncio.to_thread(cluster.stop)
        await asyncio.to_thread(cluster.start)
        await asyncio.to_thread(cluster.sql, "update flowforge.api_key set revoked_at = now()")
        await until(lambda: all(map(is_over, followers)), "their end")
        await asyncio.gather(*(f.close() for f in followers))

    asyncio.run(play())


def test_going_on_over_many_reconnections_of_one_websocket_misses_nothing(use):
    cluster, *gateways = place(use)
    stop = threading.Event()

    def send():
        while not stop.is_set():
            cluster.send("tap/go", 2)
            time.sleep(0.05)

    async def play():
        sender = threading.Thread(target=send)
        told, cursor = [], cluster.sql("select flowforge.feed_text(flowforge.feed_now())")
        sender.start()
        for round_ in range(12):
            socket = await Socket(gateways[round_ % 2].port).open()
            await socket.ask({"subscribe": "all", "since": cursor})
            await asyncio.sleep(random.Random(round_).random() / 2)
            await socket.close()
            messages = [m for m in socket.messages if m.get("subscription") == "all" and "seq" in m]
            told += [(m["run_id"], m["seq"]) for m in messages]
            cursor = messages[-1]["cursor"] if messages else cursor
        stop.set()
        await asyncio.to_thread(sender.join)
        cluster.wait_all_ended(int(cluster.sql("select count(*) from flowforge.run")))
        told += [each[:2] for each in page(gateways[0], cursor)]

        class Told:
            def keys(self):
                return told

        assert_told(Told(), log_of(cluster), "twelve connections")

    asyncio.run(play())


if __name__ == "__main__":
    run(globals())
