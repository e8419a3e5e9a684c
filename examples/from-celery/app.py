"""With FlowForge: the same process, written as it is told. The work in billing.py has not changed."""

import billing

from flowforge import Context, FlowForge, SyncContext, step, sync_step

flowforge = FlowForge(app_id="billing")


@flowforge.function(
    id="invoice-order", trigger=flowforge.trigger.event("billing/order.shipped"), retries=5, throttle="60/1m", idempotency="event.data.id"
)
async def invoice_order(ctx: Context):
    order = ctx.event.data
    invoice = await step.run("create", billing.create_invoice, order)
    pdf = await step.run("render", billing.render, invoice)
    await step.run("mail", billing.mail, invoice["to"], f"Invoice {invoice['number']}")

    payment = await step.wait_for_event("payment", event="billing/order.paid", match="data.id", timeout=order.get("terms", "14d"))
    if payment is None:
        await step.run("remind", billing.mail, invoice["to"], f"Reminder of invoice {invoice['number']}")
    return {"invoice": invoice["number"], "pdf": pdf, "paid": payment is not None}


@flowforge.function(id="summary", trigger=flowforge.trigger.cron("0 6 * * *"))
def summary(ctx: SyncContext):
    """Tasks that are not async stay so."""
    return sync_step.run("mail", billing.mail, "office@shop.example", "The invoices of yesterday")


if __name__ == "__main__":
    flowforge.work()
