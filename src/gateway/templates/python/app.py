"""The app @name@: one function that takes orders. `flowforge dev -- python app.py` runs it with a server."""
from flowforge import Context, FlowForge, step

flowforge = FlowForge(app_id="@name@")
PRICES = {"pen": 2.5, "book": 12}


def price_of(item: str, amount: int) -> float:
    return amount * PRICES.get(item, 5)


@flowforge.function(id="take-order", trigger=flowforge.trigger.event("@name@/order.created"))
async def take_order(ctx: Context) -> dict:
    """Prices an order, waits a moment, and answers. What a step gave is kept: nothing that has finished runs again."""
    order = ctx.event.data
    due = await step.run("price", price_of, order["item"], order["amount"])
    await step.sleep("pause", "1s")
    return {"order": order["id"], "due": due}


if __name__ == "__main__":
    flowforge.work()
