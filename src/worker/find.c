/*
 * find.c - which runs are ready: ids go into the queue (active.c) as committed transactions hint at
 * them, and, as hints may be lost, as sweeps find them in run_hot.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "worker/backlog.h"
#include "worker/claim.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define SWEEP_BATCH 1024
#define SWEEP_COST 50 /* of the time between sweeps, one part goes into sweeping */
#define LOST_COST 5	  /* and of that between those that lost hints ask for */

int ff_sweep_interval = 5000;

static bool		   sweep_wanted = true;
static uint64	   swept_at = 0; /* database->enqueued before the last sweep */
static TimestampTz last_sweep = 0;
static int64	   sweep_took = 0; /* microseconds */

/* What a slot has for its owner, taken under its lock. */
typedef struct Taken
{
	uint32	count;
	FfReady runs[FF_RING_SIZE];
	FfLost	lost;
	bool	overflow;
	bool	inbox;
} Taken;

static void
take_slot(FfSlot *slot, Taken *taken)
{
	SpinLockAcquire(&slot->lock);
	for (taken->count = 0; slot->count > 0; slot->count--)
	{
		taken->runs[taken->count++] = slot->ring[slot->head];
		slot->head = (slot->head + 1) % FF_RING_SIZE;
	}
	taken->lost = slot->lost;
	taken->overflow = slot->overflow || slot->lost.others;
	taken->inbox = slot->inbox;
	slot->lost.count = 0;
	slot->lost.others = slot->overflow = slot->inbox = false;
	SpinLockRelease(&slot->lock);
}

/* A run in memory may have been granted more. */
static void
take_run(const FfReady *ready)
{
	FfRun *run = ff_active_find(&ready->run_id);

	if (run != NULL)
		ff_claim_look(run);
	else
		ff_queue_push(ready, ready->rank == FF_RANK_GRANTED);
}

void
ff_take_hints(void)
{
	static Taken taken;

	for (int s = ff_my_number; s < FF_SLOTS; s += ff_shared->executors)
	{
		FfSlot *slot = &ff_my_database->slots[s];

		/* A look without the lock: who adds something sets our latch afterwards. */
		if (slot->count == 0 && slot->lost.count == 0 && !slot->overflow && !slot->inbox)
			continue;
		take_slot(slot, &taken);
		for (uint32 i = 0; i < taken.count; i++)
			take_run(&taken.runs[i]);
		for (int i = 0; i < taken.lost.count; i++)
			ff_queue_lost(&taken.lost.tenants[i]);
		sweep_wanted |= taken.overflow;
		if (taken.inbox)
			ff_inbox_look();
	}
}

/* Those that have been granted room; their rows need not be in run_hot. */
static void
sweep_claims(int slot)
{
	FfRunKey last = {0};
	FfReady	 found[SWEEP_BATCH];
	int		 count;

	do
	{
		CHECK_FOR_INTERRUPTS();
		count = ff_claim_sweep(slot, &last, SWEEP_BATCH, found);
		for (int i = 0; i < count; i++)
		{
			found[i].rank = FF_RANK_GRANTED;
			take_run(&found[i]);
			last = (FfRunKey){found[i].tenant_id, found[i].run_id};
		}
	} while (count == SWEEP_BATCH);
}

static void
sweep(void *arg)
{
	int32 *tenants;
	int	   count = ff_backlog_tenants(&tenants);

	ff_queue_sweep(tenants, count);
	for (int s = ff_my_number; s < FF_SLOTS; s += ff_shared->executors)
		sweep_claims(s);
}

/* When the next sweep is due by the settings and by what the last one cost. */
static TimestampTz
next_sweep(void)
{
	if (sweep_wanted)
		return last_sweep + LOST_COST * sweep_took;
	if (pg_atomic_read_u64(&ff_my_database->enqueued) == swept_at)
		return DT_NOEND;
	return last_sweep + Max((int64) ff_sweep_interval * 1000, SWEEP_COST * sweep_took);
}

/*
 * Rows are the truth: finds out which tenants have runnable runs, and has their lines look at all
 * of them, at the start, when hints of many tenants were lost, and some seconds after work has come
 * in, if any has. An idle server looks for nothing.
 */
void
ff_sweep_turn(void)
{
	uint64		enqueued = pg_atomic_read_u64(&ff_my_database->enqueued);
	TimestampTz now = GetCurrentTimestamp();
	FfFailure	failure;

	if (now < next_sweep())
		return;
	swept_at = enqueued;
	ff_inbox_look();
	ff_gate_sweep();
	sweep_wanted = !ff_transaction(sweep, NULL, &failure);
	last_sweep = GetCurrentTimestamp();
	sweep_took = sweep_wanted ? USECS_PER_SEC / LOST_COST : last_sweep - now;
}

TimestampTz
ff_sweep_next(void)
{
	return next_sweep();
}
