"""A report on yesterday's sales, every night at two.

The statements run in the server's database, each in one transaction with the end of its step: the report is written exactly once,
whatever is killed in between. If the server was down at two, the report is made when it is back.
"""

import os
from datetime import timedelta

from flowforge import Context, FlowForge, step

flowforge = FlowForge(app_id="reports")
EVERY_NIGHT = os.environ.get("REPORT_AT", "TZ=Europe/Paris 0 2 * * *")

SALES = """
    select article, count(*)::int as sales, sum(amount)::float as total
    from sale
    where sold_at >= $1::date and sold_at < $1::date + 1
    group by article
    order by total desc
"""
KEEP = """
    insert into report (day, text) values ($1::date, $2)
    on conflict (day) do update set text = excluded.text, made_at = now()
"""


def line(article, sales, total):
    return f"{article:<10} {sales:>5} {total:>10.2f}"


def write(day, rows):
    all_of_it = line("all", sum(row["sales"] for row in rows), sum(row["total"] for row in rows))
    return "\n".join([f"Sales of {day}", *(line(**row) for row in rows), all_of_it])


@flowforge.function(id="nightly", trigger=flowforge.trigger.cron(EVERY_NIGHT), singleton="skip", retries=5)
async def nightly(ctx: Context):
    # The event's time is when the night was, however late the run begins; by hand a day can be given.
    day = ctx.event.data.get("day") or (ctx.event.time - timedelta(days=1)).date().isoformat()
    rows = await step.sql("add up", SALES, [day])
    text = await step.run("write", write, day, rows)
    await step.sql("keep", KEEP, [day, text])
    return {"day": day, "articles": len(rows)}


if __name__ == "__main__":
    flowforge.work()
