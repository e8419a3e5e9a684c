"""What a shop would have elsewhere: a bank, a warehouse, a printer. Here they pretend, and one of them misbehaves."""

from flowforge import NonRetryableError

asked_bank = set()


def validate(order):
    if not order["total"] > 0:
        raise NonRetryableError(f"order {order['id']} has no total")
    return order


def charge(order):
    """The bank does not answer the first call about an order: the engine calls again."""
    if order["id"] not in asked_bank:
        asked_bank.add(order["id"])
        raise ConnectionError("the bank did not answer")
    return f"charge-{order['id']}"


def reserve_stock(order):
    return len(order["id"])


def print_label(order):
    return f"label-{order['id']}"


def add_gift():
    """Gifts have run out; trying again would not bring any."""
    raise NonRetryableError("out of gifts")


def send_voucher(order):
    return f"voucher-{order['id']}"


def hand_over(order):
    if order.get("lost"):
        raise RuntimeError("the parcel is lost")
    return "delivered"
