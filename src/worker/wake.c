/*
 * wake.c - what happens when the time of a run has come: the heap (timer.c) is kept filled from
 * run_parked, what is due fires, and the change of a sleep that has ended is held for the answer
 * that follows.
 */
#include "postgres.h"

#include "worker/call.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define TIMER_BATCH 20000
#define TIMER_HORIZON_S 300
#define TIMER_LEAD_S 30 /* the heap is filled again so long before it must be */
#define TIMER_SLACK_MS 4
#define HOLD_MS 100

static bool		   timers_wanted = true;
static TimestampTz last_firing = 0;

static bool
only_slept(const FfChange *change)
{
	ListCell *cell;

	if (change->ended || change->waits_done != NIL || change->signals_done != NIL ||
		change->inbox != NIL || change->effects != NIL)
		return false;
	foreach (cell, change->steps)
	{
		if (strcmp(((FfStepRow *) lfirst(cell))->op, "sleep") != 0)
			return false;
	}
	return true;
}

/*
 * What is due of a run is done. That a sleep has ended needs no commit before the app is called: it
 * has, whoever looks, and after a crash too. So its change is held, for the answer to be written
 * with it, but not for longer than HOLD_MS; unless the app reads the rows itself.
 */
void
ff_wake(FfRun *run, TimestampTz now)
{
	bool		  first = run->change == NULL;
	MemoryContext old = MemoryContextSwitchTo(first ? run->context : ff_group_context);

	ff_run_wake(run, now);
	MemoryContextSwitchTo(old);
	if (first && run->driver == NULL && run->claim == NULL && run->change != NULL &&
		only_slept(run->change) && !ff_reads_rows(run))
	{
		run->change->held = true;
		ff_timer_push(now + HOLD_MS * 1000, run->tenant_id, &run->id);
	}
	else
		ff_group_add(run);
}

static void
read_timers(void *arg)
{
	FfTimer	   *found = palloc(sizeof(FfTimer) * TIMER_BATCH);
	TimestampTz horizon = GetCurrentTimestamp() + TIMER_HORIZON_S * USECS_PER_SEC;
	int			count = ff_store_timers(ff_my_slots, ff_timer_horizon, horizon, TIMER_BATCH, found);

	for (int i = 0; i < count; i++)
		ff_timer_push(ff_timer_ahead(found[i].due), found[i].run.tenant_id, &found[i].run.run_id);
	ff_timer_horizon = count == TIMER_BATCH ? found[count - 1].due - 1 : horizon;
	ff_timer_beyond = ff_store_next_timer(ff_my_slots, ff_timer_horizon);
}

/* Keeps the heap filled for the next minutes; with nothing parked beyond it there is nothing to
 * look for. */
void
ff_timers_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();
	FfFailure	failure;

	if (!timers_wanted &&
		(ff_timer_beyond == DT_NOEND || now < ff_timer_beyond - TIMER_LEAD_S * USECS_PER_SEC))
		return;
	timers_wanted = !ff_transaction(read_timers, NULL, &failure);
	/* Runs in memory whose rows are in run_hot are due, too. */
	if (!timers_wanted)
		ff_active_each(ff_set_timer);
}

/* When the next timer is to fire: those due within TIMER_SLACK_MS of the last ones fire together.
 */
static TimestampTz
next_firing(void)
{
	return Max(ff_timer_next(), last_firing + TIMER_SLACK_MS * 1000);
}

void
ff_wake_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();
	FfRunKey	due;

	if (ff_timer_next() > now || next_firing() > now)
		return;
	last_firing = now;
	while (ff_timer_pop(now, &due))
	{
		FfRun *run = ff_active_find(&due.run_id);

		if (run == NULL)
		{
			FfReady ready = {0, due.tenant_id, due.run_id};

			ff_queue_push(&ready, true);
			continue;
		}
		if (run->change != NULL && run->change->ended)
			continue;
		ff_wake(run, now);
		if (run->change != NULL && run->change->ended)
			ff_abandon(run);
		if (ff_may_call(run))
			ff_settle(run);
	}
}

TimestampTz
ff_wake_next(void)
{
	TimestampTz next = ff_timer_next() == DT_NOEND ? DT_NOEND : next_firing();

	if (ff_timer_beyond != DT_NOEND)
		next = Min(next, ff_timer_beyond - TIMER_LEAD_S * USECS_PER_SEC);
	return next;
}
