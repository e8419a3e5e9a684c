"""Mail steps: the bytes of messages, several recipients, what servers refuse, encryption, and a crash in between."""
import email
import email.policy
import os
import signal
import tempfile
import time

from harness import Cluster, free_port, kill, run, wait_for
from postbox import Postbox, certificate
from script import Script, end, one, op, play, shared, start


def mail(name="mail", **opts):
    opts = {"to": "ann@example.com", "subject": "Hello", "body": "Hi", **opts}
    return op("Mail", name, **{key: value for key, value in opts.items() if value is not ...})


def configure(cluster, **settings):
    for name, value in settings.items():
        cluster.sql(f"alter system set flowforge.{name} = '{value}'")
    cluster.sql("select pg_reload_conf()")
    for name, value in settings.items():
        wait_for(lambda: cluster.sql(f"show flowforge.{name}") == value, what=f"{name} is read")


def prepared(use, **box):
    cluster, app = shared()
    postbox = use(Postbox(**box))
    configure(cluster, smtp_url=postbox.url, smtp_from="Flow Förge <flow@example.org>", smtp_user="", smtp_password_file="", smtp_tls="required",
              ca_file="")
    return cluster, app, postbox


def error_of(memo):
    assert set(memo) == {"error"}, memo
    return memo["error"]


def last(postbox):
    return email.message_from_bytes(postbox.mails[-1].data, policy=email.policy.default)


def test_a_mail_is_a_message_as_the_standards_have_it(use):
    cluster, app, postbox = prepared(use)
    data = one(cluster, app, mail())["data"]
    sent = postbox.mails[0]
    assert data == {"sent_to": ["ann@example.com"], "subject": "Hello", "status": "sent", "message_id": data["message_id"]}, data
    assert (sent.sender, sent.recipients) == ("flow@example.org", ["ann@example.com"])
    lines = sent.data.split(b"\r\n")
    date = next(line for line in lines if line.startswith(b"Date: ")).decode()
    assert lines == [date.encode(), b"From: =?utf-8?B?RmxvdyBGw7ZyZ2U=?= <flow@example.org>", b"To: ann@example.com", b"Subject: Hello",
                     f"Message-ID: {data['message_id']}".encode(), b"MIME-Version: 1.0", b"Content-Type: text/plain; charset=utf-8",
                     b"Content-Transfer-Encoding: quoted-printable", b"", b"Hi", b""], lines
    when = email.utils.parsedate_to_datetime(date[6:])
    assert abs(when.timestamp() - time.time()) < 30 and date.endswith(" +0000"), date
    assert data["message_id"].endswith("@example.org>")
    wait_for(lambda: "QUIT" in postbox.said, what="it said QUIT")


def test_any_text_arrives_as_it_was(use):
    cluster, app, postbox = prepared(use)
    body = ("Grüße, 世界 🎉\n.\n..dots\nFrom here\ntrailing blanks   \n\ttab\nequals = sign\nlong " + "wörd " * 300 + "\nno end" + "x" * 500)
    html = "<p>Grüße = <b>世界</b></p>\n" + "<br>" * 300
    subject = "Grüße an die ganze weite 世界 mit einem Betreff, der nicht in eine Zeile passt 🎉🎉🎉"
    data = one(cluster, app, mail(subject=subject, body=body, html=html, to='"Müller, Änne" <ann@example.com>', **{"from": "A \\\"B\\\" <a@b.example>"}))["data"]
    message = last(postbox)
    assert data["subject"] == subject and message["subject"] == subject, message["subject"]
    assert message["to"].addresses[0].display_name == "Müller, Änne" and data["sent_to"] == ["ann@example.com"]
    assert message.get_content_type() == "multipart/alternative"
    text, rich = message.iter_parts()
    assert (text.get_content_type(), rich.get_content_type()) == ("text/plain", "text/html")
    assert [part.get_content().replace("\r\n", "\n").rstrip("\n") for part in (text, rich)] == [body, html]
    assert all(len(line) <= 78 for line in postbox.mails[-1].data.split(b"\r\n")), "lines are short"
    assert b"\n" not in postbox.mails[-1].data.replace(b"\r\n", b""), "and end as they must"
    for odd in ("=?utf-8?B?SGk=?=", "plain but " + "long " * 60, "a  b", 'quo"te', "semi;colon: x"):
        one(cluster, app, mail(subject=odd))
        assert last(postbox)["subject"] == odd, (odd, last(postbox)["subject"])
    for text in ("", "\n", "one\r\ntwo\rthree\nfour", " "):
        one(cluster, app, mail(body=text))
        got = last(postbox).get_content().replace("\r\n", "\n")
        assert got.rstrip("\n") == text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n"), (text, got)


def test_several_recipients_are_all_told(use):
    cluster, app, postbox = prepared(use)
    for to, expected in (("a@x.example, b@y.example", ["a@x.example", "b@y.example"]), (["a@x.example", "B <b@y.example>"], ["a@x.example", "b@y.example"]),
                         ('"Last, First" <a@x.example>,c@z.example', ["a@x.example", "c@z.example"]),
                         ([f"n{i}@x.example" for i in range(100)], [f"n{i}@x.example" for i in range(100)])):
        data = one(cluster, app, mail(to=to))["data"]
        assert data["sent_to"] == expected == postbox.mails[-1].recipients, (to, data)
        assert [a.addr_spec for a in last(postbox)["to"].addresses] == expected


def test_what_could_begin_a_header_and_what_is_no_address_is_refused(use):
    cluster, app, postbox = prepared(use)
    for opts, words in (({"subject": "a\r\nBcc: x@y.example"}, "subject"), ({"subject": "a\nb"}, "subject"), ({"subject": "a\x7f"}, "subject"),
                        ({"to": "a@b.example\r\nBcc: x@y.example"}, "control character"), ({"to": "A\nB <a@b.example>"}, "control character"),
                        ({"from": "a@b.example\r\nX: y"}, "control character"), ({"from": "nobody"}, "nobody"), ({"from": 7}, "from"),
                        ({"to": ""}, "nobody in to"), ({"to": []}, "nobody in to"), ({"to": ...}, "nobody in to"), ({"to": 7}, "nobody in to"),
                        ({"to": [7]}, "not text"), ({"to": "a@b.example,"}, "an address that is none"), ({"to": "a b@c.example"}, "none"),
                        ({"to": "a@b..example"}, "none"), ({"to": ".a@b.example"}, "none"), ({"to": "a@-b.example"}, "none"), ({"to": "a@"}, "none"),
                        ({"to": "@b.example"}, "none"), ({"to": "a@b@c.example"}, "none"), ({"to": "a@[127.0.0.1]"}, "none"), ({"to": "ä@b.example"}, "none"),
                        ({"to": "a@b.example>"}, "none"), ({"to": "<a@b.example> SIZE=1"}, "none"), ({"to": "x" * 65 + "@b.example"}, "none"),
                        ({"to": [f"n{i}@x.example" for i in range(101)]}, "more than 100"), ({"subject": ...}, "no subject"), ({"body": ...}, "no body"),
                        ({"body": {"a": 1}}, "body"), ({"html": 5}, "html"), ({"subject": "x" * 2001}, "too long")):
        error = error_of(one(cluster, app, mail(**opts)))
        assert words in error["message"], (opts, error)
    assert postbox.said == [], "nobody was asked"


def test_what_a_server_refuses_for_good_is_not_sent_again_and_the_rest_is(use):
    cluster, app, postbox = prepared(use)
    for command, reply in (("RCPT TO:<bad@", "550 5.1.1 no such user"), ("MAIL", "553 not from you"), ("DATA", "554 no"), (".", "552 too large")):
        postbox.answers, postbox.said = {command: [reply] * 9}, []
        error = error_of(one(cluster, app, mail(to="bad@x.example, ann@example.com")))
        assert error["name"] == "MailError" and error["code"] == "FF421" and error["status"] == int(reply[:3]), error
        assert reply in error["message"], error
        assert len(postbox.answers[command]) == 8, "it was tried once"
    assert postbox.mails == [], "a mail that one may not have goes to nobody"
    for command, reply in (("RCPT", "450 4.2.1 try later"), ("CONNECT", "421 busy"), (".", "451 disk"), (".", None)):
        postbox.answers = {command: [reply]}
        before = len(postbox.mails)
        run_id = start(cluster, app, [mail()])
        status, output = end(cluster, run_id)
        assert status == "completed" and output["mail"]["data"]["status"] == "sent", (command, output)
        assert cluster.sql(f"select attempt from flowforge.steps where run_id = '{run_id}'") == "1" and len(postbox.mails) == before + 1


def test_a_server_that_does_not_take_leave_holds_nobody_up(use):
    cluster, app, postbox = prepared(use, silent_quit=True)
    started = time.monotonic()
    for _ in range(3):
        one(cluster, app, mail())
    assert time.monotonic() - started < 25 and len(postbox.mails) == 3


def test_without_settings_or_server_the_error_says_so(use):
    cluster, app, postbox = prepared(use)
    configure(cluster, smtp_from="")
    assert "flowforge.smtp_from" in error_of(one(cluster, app, mail()))["message"]
    assert one(cluster, app, mail(**{"from": "me@example.net"}))["data"]["message_id"].endswith("@example.net>")
    configure(cluster, smtp_url="", smtp_from="flow@example.org")
    error = error_of(one(cluster, app, mail()))
    assert "flowforge.smtp_url" in error["message"] and error["code"] == "FF421", error
    configure(cluster, smtp_url=f"smtp://127.0.0.1:{free_port()}")
    assert "could not be sent" in error_of(one(cluster, app, mail()))["message"]
    for name, bad in (("smtp_url", "http://x"), ("smtp_url", "smtp://u:p@x"), ("smtp_url", "mail.example.com"), ("smtp_from", "nobody"),
                      ("smtp_from", "a@b c"), ("smtp_tls", "perhaps")):
        done = cluster.psql("-c", f"alter system set flowforge.{name} = '{bad}'", check=False)
        assert done.returncode != 0 and "invalid value" in done.stderr, (name, bad, done.stderr)


def test_what_must_be_encrypted_is(use):
    directory = tempfile.mkdtemp(prefix="flowforge-tls-", dir="/tmp")
    os.chmod(directory, 0o755)
    files = certificate(directory)
    cluster, app, postbox = prepared(use, files=files)
    # Offered, and used; but nobody has vouched for the certificate.
    assert "certificate" in error_of(one(cluster, app, mail()))["message"]
    password = os.path.join(directory, "password")
    with open(password, "w") as f:
        f.write("s3cret pass\n")
    os.chmod(password, 0o644)
    configure(cluster, ca_file=files[0], smtp_user="flow", smtp_password_file=password)
    one(cluster, app, mail())
    assert postbox.mails[-1].tls and postbox.mails[-1].user == ["flow", "s3cret pass"], vars(postbox.mails[-1])
    postbox.answers = {"AUTH": ["535 5.7.8 no"] * 9}
    error = error_of(one(cluster, app, mail()))
    assert error.get("status") == 535 and len(postbox.answers["AUTH"]) >= 7 and "s3cret" not in str(error), error
    configure(cluster, smtp_password_file=directory + "/none")
    assert "smtp_password_file" in error_of(one(cluster, app, mail()))["message"]
    # From the first byte on.
    other = use(Postbox(files=files, implicit=True))
    configure(cluster, smtp_url=other.url, smtp_user="", smtp_password_file="")
    one(cluster, app, mail())
    assert other.mails[-1].tls
    # A server elsewhere that offers none is told nothing.
    plain = use(Postbox(host="127.0.0.1"))
    configure(cluster, smtp_url=f"smtp://127.0.0.1.nip.invalid:{plain.port}")
    configure(cluster, smtp_url=plain.url)
    one(cluster, app, mail())
    assert not plain.mails[-1].tls, "on this machine it need not be"
    with open(cluster.log) as f:
        assert "s3cret" not in f.read()


def test_a_server_elsewhere_that_offers_no_encryption_gets_no_mail(use):
    cluster, app, postbox = prepared(use, host="0.0.0.0")
    # An address of this machine that is not loopback: to the settings it is elsewhere.
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    if address.startswith("127."):
        print("# skipped: this machine has no other address")
        return
    configure(cluster, smtp_url=f"smtp://{address}:{postbox.port}")
    assert "could not be sent" in error_of(one(cluster, app, mail()))["message"]
    assert postbox.mails == [] and not any(line.startswith("MAIL") for line in postbox.said)
    configure(cluster, smtp_tls="offered")
    one(cluster, app, mail())
    assert len(postbox.mails) == 1


def test_a_crash_while_a_mail_is_sent_leaves_its_name(use):
    postbox = use(Postbox())
    cluster = use(Cluster(settings={"flowforge.executors": "1", "flowforge.smtp_url": f"'{postbox.url}'", "flowforge.smtp_from": "'f@example.org'"}))
    app = use(Script(name="crash", retries=2))
    cluster.register(app)

    def die():
        kill(cluster.processes("flowforge executor")[0], signal.SIGKILL)
        time.sleep(0.2)
        return "250 queued"

    postbox.answers = {".": [die]}
    run_id = start(cluster, app, [mail()])
    wait_for(lambda: cluster.try_sql(f"select status = 'completed' from flowforge.runs where run_id = '{run_id}'") == "t", 60, "the run completes")
    ids = [email.message_from_bytes(m.data)["message-id"] for m in postbox.mails]
    assert len(ids) == 2 and ids[0] == ids[1], ids
    assert postbox.mails[0].data == postbox.mails[1].data, "it is the same message"


def test_every_invariant_holds_after_all_of_this(use):
    cluster, _ = shared()
    cluster.assert_sound()


if __name__ == "__main__":
    run(globals())
