"""Every example does what its README says, and what one would look at is there. Those for TypeScript's orders and for drawn workflows are run by
test/e2e/example.test.mjs and test/tap/restock.py.
"""
from __future__ import annotations

import json
import re
import signal
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from project import EXAMPLES, PORTS, Project, began, ended, server
from harness import run

ELSEWHERE = {"orders-typescript", "restock-workflow"}
HERE = {"orders-python", "orders-sql", "triage-python", "report-python", "table-webhook", "fanout-python", "from-celery", "from-bullmq"}


def test_every_example_is_run_and_listed(_: Any) -> None:
    there = {path.parent.name for path in EXAMPLES.glob("*/README.md")}
    assert there == ELSEWHERE | HERE, there ^ (ELSEWHERE | HERE)
    index = (EXAMPLES / "README.md").read_text()
    assert {name for name in there if f"]({name})" not in index} == set()
    for name in there:
        assert len((EXAMPLES / name / "README.md").read_text().splitlines()) <= 60, f"the README of {name} is longer than a page"


def test_orders_in_python_are_shipped(use: Any) -> None:
    project = use(Project("orders-python"))
    app, sent, runs, steps = project.play()
    assert "orders-python is registered with 5 functions" in app, app
    assert re.search(r"✓ completed", sent) and "completed" in runs and "charge-o1" in steps, (sent, runs, steps)
    output = json.loads(ended(began("orders-python-fulfil-order")))
    assert output == {"order": "o1", "status": "shipped", "charge": "charge-o1", "shelf": 2, "label": "label-o1", "paid": 42, "receipt": "receipt-o1",
                      "gift": "voucher-o1"}, output
    charges = server().sql(f"select attempt from flowforge.steps where run_id = '{began('orders-python-fulfil-order')}' and name = 'charge'")
    assert charges == "1", f"attempts count from 0; this is number {charges}"


def test_an_order_goes_on_when_the_app_is_started_again_and_a_lost_parcel_is_apologised_for(use: Any) -> None:
    project = use(Project("orders-python"))
    project.play("python")
    server().sql("""select ff_send_event('shop-py/order.created', '{"id": "o2", "total": 7, "lost": true}')""")
    order = began("orders-python-fulfil-order")
    server().await_sql(f"select count(*) = 1 from flowforge.steps where run_id = '{order}' and name = 'charge' and status = 'completed'")
    project.terminals[0].stop(signal.SIGKILL)
    project.play("python")
    assert json.loads(ended(order))["status"] == "shipped"
    assert server().sql(f"select count(*) from flowforge.run_event where run_id = '{order}' and type = 'step.completed' and name = 'charge'") == "1"
    server().await_sql("select count(*) = 1 from flowforge.runs where function = 'orders-python-deliver' and status = 'failed'")
    server().await_sql("select count(*) = 1 from flowforge.runs where function = 'orders-python-deliver-failure'")
    assert ended(began("orders-python-deliver-failure")) == '"order o2: the parcel is lost"'


def test_orders_in_sql_are_shipped_turned_down_or_given_up(use: Any) -> None:
    project = use(Project("orders-sql"))
    project.play("setup.sql", "place_order")
    server().await_sql("select count(*) = 1 from flowforge.runs where function = 'market-order' and status = 'paused'")
    assert "invoiced" in project.run("flowforge psql -c 'table market.orders'")
    project.play("market/order.paid")
    assert json.loads(ended(began("market-order")))["ship"]["rows"] == [{"order_id": 1, "state": "shipped", "due": 49.0}]
    server().sql("select market.place_order('vase', 2)")
    assert "sold out" in ended(began("market-order"))
    server().sql("select market.place_order('vase', 1, '1s')")
    assert "not paid" in ended(began("market-order"))
    server().sql("begin; select market.place_order('lamp', 1); rollback")
    assert server().sql("select string_agg(article || ' ' || on_hand, ', ' order by article) from market.stock") == "lamp 8, vase 1"
    assert server().sql("select count(*) from flowforge.runs where function = 'market-order'") == "3"
    project.play("setup.sql")
    assert server().sql("select count(*) from ff_workflow_versions('market-order')") == "1", "running setup.sql again has published something"


def test_a_person_decides_what_the_model_suggests(use: Any) -> None:
    project = use(Project("triage-python"))
    project.play("python", "setup.sql", "flowforge send")
    server().await_sql("select count(*) = 1 from flowforge.approvals where status = 'pending' and function = 'desk-triage'")
    shown = project.play("ff_approval_link")[0]
    assert "Refund 24.5 to eve? The lamp for 24.5 never came" in shown, shown
    link = re.search(r"http\S+/approve/\S+", shown)
    assert link is not None, shown
    with urllib.request.urlopen(urllib.request.Request(link[0], headers={"accept": "text/html"})) as page:
        assert "Refund 24.5 to eve?" in page.read().decode()
    form = urllib.parse.urlencode({"data.amount": "20", "reason": "", "decision": "approve"}).encode()
    with urllib.request.urlopen(urllib.request.Request(link[0], form, {"accept": "text/html"})) as page:
        assert "You have approved" in page.read().decode()
    output = json.loads(ended(began("desk-triage")))
    assert output["outcome"] == "ann refunds 20" and "Ann refunds 20." in output["reply"], output
    assert server().sql(f"select count(*) || ' ' || bool_and(cost_usd > 0) from flowforge.ai_calls where run_id = '{began('desk-triage')}'") == "2 true"


def test_a_ticket_is_decided_in_a_terminal_and_praise_by_nobody(use: Any) -> None:
    project = use(Project("triage-python"))
    project.play("python", "setup.sql")
    for ticket, words, outcome in (("t2", "approve {} --by bob -d '{{\"amount\": 10}}'", "bob refunds 10"), ("t3", "reject {} --by ann -r 'too late'", "no refund: too late")):
        server().sql(f"""select ff_send_event('desk/ticket.opened', '{{"id": "{ticket}", "customer": "eve", "text": "A refund of 30 please."}}')""")
        server().await_sql("select count(*) = 1 from flowforge.approvals where status = 'pending' and function = 'desk-triage'")
        request = server().sql("select approval_id from flowforge.approvals where status = 'pending' and function = 'desk-triage'")
        project.run("flowforge " + words.format(request))
        assert json.loads(ended(began("desk-triage")))["outcome"] == outcome
    server().sql("""select ff_send_event('desk/ticket.opened', '{"id": "t4", "customer": "eve", "text": "Thank you for the lamp."}')""")
    output = json.loads(ended(began("desk-triage")))
    assert (output["kind"], output["outcome"]) == ("praise", "answered"), output


def test_the_report_is_made_by_the_clock_and_by_hand(use: Any) -> None:
    clock = use(Project("report-python", REPORT_AT="* * * * * *"))
    clock.play("python", "setup.sql")
    server().await_sql("select count(*) > 0 from flowforge.runs where function = 'reports-nightly' and status = 'completed' "
                       "and event_name = 'inngest/scheduled.timer'")
    clock.stop()
    project = use(Project("report-python"))
    said = project.play("python", "setup.sql", "functions run")
    ended(said[-1].split()[-1])
    text, schedules = project.play("select text", "flowforge.schedules")
    assert re.search(r"lamp +2 +49\.00\n.*vase +1 +12\.00\s.*all +3 +61\.00", text, re.S), text
    assert "TZ=Europe/Paris 0 2 * * *" in schedules, schedules
    assert server().sql("select count(*) from report where day = current_date - 1") == "1"


def test_a_change_of_a_price_reaches_the_partner_signed(use: Any) -> None:
    project = use(Project("table-webhook"))
    project.run("flowforge psql -Xqf setup.sql", RECEIVER_PORT="9")
    allowed = ", ".join([*(f"127.0.0.1:{port}" for port in PORTS.values()), "127.0.0.1:9"])
    server().await_sql(f"select current_setting('flowforge.outbound_allow') = '{allowed}'")
    project.play()
    partner = project.terminals[0].said
    partner.wait(r"busy\nlamp: 24.5 -> 19.5\n", 30)
    message = began("partner-prices")
    ended(message)
    tried = server().sql(f"select concat_ws(' ', name, attempt, output) from flowforge.steps where run_id = '{message}'")
    assert tried == 'Tell the partner 1 {"body": null, "status_code": 204}', f"attempts count from 0; this is {tried}"
    assert server().sql("select count(*) from flowforge.events where name = 'price/changed'") == "1", "what is no change of an amount has sent an event"
    request = urllib.request.Request(f"http://127.0.0.1:{PORTS['RECEIVER_PORT']}/prices", b"{}", {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,x"})
    try:
        urllib.request.urlopen(request)
        raise AssertionError("the partner believes anybody")
    except urllib.error.HTTPError as refused:
        assert refused.code == 401


def test_a_parent_gathers_a_thousand_children(use: Any) -> None:
    project = use(Project("fanout-python"))
    project.play()
    output = json.loads(ended(began("photos-album")))
    assert output == {"photos": 1000, "bytes": 1000 * 200_000 + 999 * 500}, output
    assert server().sql("select count(*) from flowforge.runs where function = 'photos-make-small' and status = 'completed'") == "1000"
    assert server().sql("select string_agg(attempt || ' ' || n, ', ') from (select attempt, count(*) as n from flowforge.steps where name = 'shrink' "
                        "group by 1 order by 1) x") == "0 990, 1 10"


def test_the_job_that_was_celerys_invoices_and_reminds_unless_it_is_paid(use: Any) -> None:
    project = use(Project("from-celery"))
    project.play()
    output = json.loads(ended(began("billing-invoice-order")))
    assert output == {"invoice": "2026-o1", "pdf": "2026-o1.pdf", "paid": False}, output
    project.terminals[0].said.wait(r"(?s)Invoice 2026-o1.*Reminder of invoice 2026-o1.*The invoices of yesterday", 30)
    server().sql("""select ff_send_event('billing/order.shipped', '{"id": "o2", "email": "bob@example.com", "total": 5}')""")
    order = began("billing-invoice-order")
    server().await_sql(f"select count(*) = 1 from flowforge.steps where run_id = '{order}' and name = 'payment' and status = 'waiting'")
    server().sql("""select ff_send_event('billing/order.paid', '{"id": "o2"}')""")
    assert json.loads(ended(order))["paid"] is True
    assert "Reminder of invoice 2026-o2" not in project.terminals[0].said.text


def test_the_flow_that_was_bullmqs_publishes_and_tells_of_failures(use: Any) -> None:
    project = use(Project("from-bullmq"))
    said = project.play()
    assert "✓ completed" in said[2] and "starts no run" in said[3], said
    runs = server().sql("select string_agg(status, ' ' order by created_at) from flowforge.runs where function = 'media-publish-video'")
    assert runs.split()[0] == "completed" and len(runs.split()) == 2, f"the video that was done was done again: {runs}"
    output = json.loads(server().sql("select output from flowforge.runs where function = 'media-publish-video' and status = 'completed'"))
    assert output["files"] == ["fjord-360.mp4", "fjord-720.mp4", "fjord-1080.mp4"] and output["image"] == "fjord.jpg", output
    ended(began("media-publish-video"), "failed")
    project.terminals[0].said.wait("banned-1: banned-1 breaks the rules", 30)


def test_every_invariant_holds_after_all_of_this(_: Any) -> None:
    server().cluster.assert_sound()


if __name__ == "__main__":
    try:
        run(globals())
    except SystemExit as end:
        if end.code:
            print("\n".join(f"# server: {line}" for line in server().cluster.tail(80).splitlines()))
        raise
