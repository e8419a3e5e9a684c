"""A thousand at once: a parent that has each photo of an album made small, and gathers what came of them.

Each child is a run of its own, with its own retries, log and place in the queue. The parent waits for all of them without a process, a
thread or a connection, and is called twice: to begin, and when the last child has ended.
"""

from flowforge import Context, FlowForge, step

flowforge = FlowForge(app_id="photos")
SMALL = 200_000  # bytes
tried = set()


def shrink(photo):
    """Pretends to, and has trouble with every hundredth photo at the first try."""
    number = int(photo[-8:-4])
    if number % 100 == 99 and photo not in tried:
        tried.add(photo)
        raise OSError(f"{photo} could not be read")
    return {"photo": photo, "bytes": SMALL + number}


@flowforge.function(id="make-small", concurrency=100, retries=3)
async def make_small(ctx: Context):
    """One photo. `concurrency` says how many are worked on at a time; the others wait in the database."""
    return await step.run("shrink", shrink, ctx.event.data["photo"])


@flowforge.function(id="album", trigger=flowforge.trigger.event("photos/album.uploaded"))
async def album(ctx: Context):
    photos = [f"{ctx.event.data['album']}/{number:04}.jpg" for number in range(ctx.event.data["count"])]
    made = await step.parallel(*(step.invoke(photo, function=make_small, data={"photo": photo}) for photo in photos))
    return {"photos": len(made), "bytes": sum(each["bytes"] for each in made)}


if __name__ == "__main__":
    flowforge.work()
