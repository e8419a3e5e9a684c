"""The work itself, which does not care who calls it: before.py and app.py do the same with it."""

rendered = []
mailed = []
paid = set()


def create_invoice(order):
    return {"number": f"2026-{order['id']}", "to": order["email"], "total": order["total"]}


def render(invoice):
    """Makes the PDF; the first time the printing service is not there."""
    rendered.append(invoice["number"])
    if rendered.count(invoice["number"]) == 1:
        raise ConnectionError("the printing service did not answer")
    return f"{invoice['number']}.pdf"


def mail(to, subject):
    mailed.append((to, subject))
    print(f"mail to {to}: {subject}", flush=True)
    return subject


def is_paid(number):
    return number in paid
