"""With Celery: three tasks, a broker and a result backend. What the process is, is spread over them and over a countdown in Redis."""

import billing
from celery import Celery, chain
from celery.schedules import crontab

app = Celery("billing", broker="redis://localhost:6379/0", backend="redis://localhost:6379/1")
app.conf.task_acks_late = True
app.conf.beat_schedule = {"summary": {"task": "before.summary", "schedule": crontab(hour=6, minute=0)}}

RETRY = {"autoretry_for": (ConnectionError,), "retry_backoff": True, "max_retries": 5}


@app.task(**RETRY)
def make_invoice(order):
    invoice = billing.create_invoice(order)
    # Both in one task: when the printing service is away, the retry creates the invoice again.
    return {**invoice, "pdf": billing.render(invoice)}


@app.task(rate_limit="60/m", **RETRY)
def send_invoice(invoice):
    billing.mail(invoice["to"], f"Invoice {invoice['number']}")
    # Two weeks in the memory of a worker: with a visibility timeout shorter than that, Redis delivers it many times.
    remind.apply_async((invoice,), countdown=14 * 24 * 3600)


@app.task(**RETRY)
def remind(invoice):
    if not billing.is_paid(invoice["number"]):
        billing.mail(invoice["to"], f"Reminder of invoice {invoice['number']}")


@app.task
def summary():
    billing.mail("office@shop.example", "The invoices of yesterday")


def order_shipped(order):
    """Called by the shop. If its transaction rolls back after this line, the invoice is sent all the same."""
    chain(make_invoice.s(order), send_invoice.s()).delay()
