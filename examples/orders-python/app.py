"""An order from click to parcel.

Each step's result is kept in PostgreSQL the moment it is known: stop the app, the server or the machine at any line, and the order goes on
from that line, with no finished step done twice.
"""

import shop

from flowforge import Context, FlowForge, StepError, step

flowforge = FlowForge(app_id="orders-python")
event = flowforge.trigger.event


@flowforge.function(id="fulfil-order", trigger=event("shop-py/order.created"), retries=3)
async def fulfil_order(ctx: Context):
    order = await step.run("validate", shop.validate, ctx.event.data)

    # Fails at first, because the bank does not answer. Only this step is tried again.
    charge = await step.run("charge", shop.charge, order)

    # Takes no memory, no thread and no connection, for two seconds or two months.
    await step.sleep("let the customer change their mind", "2s")

    # Side by side, each with its own retries.
    shelf, label = await step.parallel(
        step.run("reserve stock", shop.reserve_stock, order),
        step.run("print label", shop.print_label, order),
    )

    # Ask for the money and wait for the payment that carries the same order id.
    payment, _ = await step.parallel(
        step.wait_for_event("payment", event="shop-py/payment.received", match="data.id", timeout="1h"),
        step.send_event("send invoice", "shop-py/invoice.sent", order),
    )
    if payment is None:
        return {"order": order["id"], "status": "not paid"}

    # Another function, as one step of this one.
    receipt = await step.invoke("receipt", function=make_receipt, data=order)

    # A step that fails for good is an error like any other: catch it, and make amends.
    try:
        gift = await step.run("add gift", shop.add_gift)
    except StepError:
        gift = await step.run("send voucher", shop.send_voucher, order)

    await step.send_event("shipped", "shop-py/order.shipped", order)
    return {
        "order": order["id"],
        "status": "shipped",
        "charge": charge,
        "shelf": shelf,
        "label": label,
        "paid": payment.data["amount"],
        "receipt": receipt,
        "gift": gift,
    }


@flowforge.function(id="make-receipt")
async def make_receipt(ctx: Context):
    """Has no trigger: it runs when another function invokes it."""
    return await step.run("number", lambda: f"receipt-{ctx.event.data['id']}")


@flowforge.function(id="pay-invoice", trigger=event("shop-py/invoice.sent"))
async def pay_invoice(ctx: Context):
    """Stands for the customer: pays every invoice."""
    order = ctx.event.data
    await step.send_event("pay", "shop-py/payment.received", {"id": order["id"], "amount": order["total"]})


async def apologise(ctx: Context):
    """Runs when all tries of a delivery are used up."""
    failed = ctx.event.data
    return await step.run("apologise", lambda: f"order {failed['event']['data']['id']}: {failed['error']['message']}")


@flowforge.function(id="deliver", trigger=event("shop-py/order.shipped"), retries=1, on_failure=apologise)
async def deliver(ctx: Context):
    """Loses the parcel of an order with `"lost": true`."""
    return await step.run("hand over", shop.hand_over, ctx.event.data)


if __name__ == "__main__":
    flowforge.work()
