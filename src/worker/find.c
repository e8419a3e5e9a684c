/*
 * find.c - which runs are ready: ids go into the queue (active.c) as committed transactions hint at
 * them, and, as hints may be lost, as sweeps find them in run_hot.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "worker/claim.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define SWEEP_BATCH 1024
#define QUEUE_ENOUGH 8000

int ff_sweep_interval = 5000;

static bool		   sweep_wanted = true;
static uint64	   swept_at = 0; /* database->enqueued before the last sweep */
static TimestampTz last_sweep = 0;

void
ff_take_hints(void)
{
	bool inbox = false;

	for (int s = ff_my_number; s < FF_SLOTS; s += ff_shared->executors)
	{
		FfSlot *slot = &ff_my_database->slots[s];
		FfReady taken[FF_RING_SIZE];
		uint32	count = 0;

		/* A look without the lock: who adds something sets our latch afterwards. */
		if (slot->count == 0 && !slot->overflow && !slot->inbox)
			continue;
		SpinLockAcquire(&slot->lock);
		for (; slot->count > 0; slot->count--)
		{
			taken[count++] = slot->ring[slot->head];
			slot->head = (slot->head + 1) % FF_RING_SIZE;
		}
		sweep_wanted |= slot->overflow;
		inbox |= slot->inbox;
		slot->overflow = slot->inbox = false;
		SpinLockRelease(&slot->lock);
		for (uint32 i = 0; i < count; i++)
		{
			FfRun *run = ff_active_find(&taken[i].run_id);

			if (run != NULL)
				ff_claim_look(run);
			else if (!ff_queue_push(&taken[i], false))
				sweep_wanted = true;
		}
	}
	if (inbox)
		ff_inbox_look();
}

/* The runs of one kind in one slot: those in run_hot, or those that have been granted room. */
typedef int (*Sweep)(int slot, const FfRunKey *after, int limit, FfReady *out);

static void
sweep_slot(int slot, Sweep sweep)
{
	FfRunKey last = {0};
	FfReady	 found[SWEEP_BATCH];
	int		 count;

	do
	{
		CHECK_FOR_INTERRUPTS();
		count = sweep(slot, &last, SWEEP_BATCH, found);
		for (int i = 0; i < count; i++)
		{
			FfRun *run = ff_active_find(&found[i].run_id);

			if (run != NULL)
				ff_claim_look(run);
			else if (!ff_queue_push(&found[i], false))
			{
				sweep_wanted = true;
				return;
			}
			last = (FfRunKey){found[i].tenant_id, found[i].run_id};
		}
	} while (count == SWEEP_BATCH);
}

static void
sweep_slots(void *arg)
{
	for (int s = ff_my_number; s < FF_SLOTS; s += ff_shared->executors)
	{
		sweep_slot(s, ff_claim_sweep);
		sweep_slot(s, ff_store_sweep);
	}
}

/*
 * Rows are the truth: looks for runnable runs at the start, when a ring overflowed, and some
 * seconds after work has come in, if any has. An idle server looks for nothing.
 */
void
ff_sweep_turn(void)
{
	uint64		enqueued = pg_atomic_read_u64(&ff_my_database->enqueued);
	TimestampTz now = GetCurrentTimestamp();
	FfFailure	failure;

	if (!sweep_wanted &&
		(enqueued == swept_at || now < last_sweep + (int64) ff_sweep_interval * 1000))
		return;
	/* A queue that is full has work enough; what it has no room for is found when it has shrunk. */
	if (ff_queue_length() > QUEUE_ENOUGH)
		return;
	sweep_wanted = false;
	swept_at = enqueued;
	last_sweep = now;
	ff_inbox_look();
	ff_gate_sweep();
	if (!ff_transaction(sweep_slots, NULL, &failure))
		sweep_wanted = true;
}

TimestampTz
ff_sweep_next(void)
{
	if (pg_atomic_read_u64(&ff_my_database->enqueued) == swept_at)
		return DT_NOEND;
	return last_sweep + (int64) ff_sweep_interval * 1000;
}
