"""A support desk: a model reads each ticket, a person decides what costs money, and the model writes the reply.

The server calls the model, with a key that never leaves it; tokens and cost of each call are in flowforge.ai_calls. What the model
said is kept: the run may wait two days for a person, and does not ask again.
"""

import os

from flowforge import Context, FlowForge, step

flowforge = FlowForge(app_id="desk")
MODEL = os.environ.get("MODEL", "pretend/reader")  # provider/model, such as openai/gpt-4o-mini

FINDINGS = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["refund", "question", "praise"]},
        "summary": {"type": "string"},
        "refund": {"type": "number", "description": "What the customer should get back; 0 for nothing."},
    },
    "required": ["kind", "summary", "refund"],
    "additionalProperties": False,
}
REFUND = {
    "type": "object",
    "properties": {"amount": {"type": "number", "title": "Amount", "minimum": 0, "maximum": 500}},
    "required": ["amount"],
}


@flowforge.function(id="triage", trigger=flowforge.trigger.event("desk/ticket.opened"), idempotency="event.data.id", retries=4)
async def triage(ctx: Context):
    ticket = ctx.event.data
    read = await step.ai(
        "read",
        model=MODEL,
        system="You sort the tickets of a shop. Answer in JSON.",
        prompt=ticket["text"],
        response_format={"type": "json_schema", "schema": FINDINGS},
    )
    findings = read["parsed"]

    outcome = "answered"
    if findings["refund"] > 0:
        # A model may suggest, a person decides: by a link, `flowforge approve`, the API or SQL. No answer in time is a no.
        decision = await step.approve(
            "refund",
            f"Refund {findings['refund']} to {ticket['customer']}? {findings['summary']}",
            approvers=["ann", "bob"],
            form=REFUND,
            timeout="2d",
        )
        outcome = f"{decision.by} refunds {decision.data['amount']}" if decision else f"no refund: {decision.reason or 'nobody decided'}"

    reply = await step.ai("reply", model=MODEL, system="Write a short, kind reply.", prompt=f"{ticket['text']}\n\nOutcome: {outcome}")
    return {"ticket": ticket["id"], "kind": findings["kind"], "outcome": outcome, "reply": reply["content"]}


if __name__ == "__main__":
    flowforge.work()
