/*
 * timer.c - a binary heap of (due, run), the soonest first (see executor.h).
 *
 * It holds what is due in the next minutes; the rows of run_parked hold the rest. An entry may be
 * stale: who pops it looks at the run.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "worker/executor.h"

#define AHEAD_MS 200 /* as long as it takes to read what may be due at one instant */

TimestampTz ff_timer_horizon = DT_NOBEGIN;
TimestampTz ff_timer_beyond = DT_NOEND;

static FfTimer *heap = NULL;
static int		count = 0;
static int		capacity = 0;

static void
swap(int a, int b)
{
	FfTimer kept = heap[a];

	heap[a] = heap[b];
	heap[b] = kept;
}

void
ff_timer_push(TimestampTz due, int32 tenant_id, const pg_uuid_t *id)
{
	int place = count;

	if (count == capacity)
	{
		capacity = capacity * 2 + 1024;
		heap = heap == NULL ? MemoryContextAlloc(TopMemoryContext, sizeof(FfTimer) * capacity)
							: repalloc_huge(heap, sizeof(FfTimer) * capacity);
	}
	heap[count].due = due;
	heap[count++].run = (FfRunKey){tenant_id, *id};
	while (place > 0 && heap[(place - 1) / 2].due > heap[place].due)
	{
		swap(place, (place - 1) / 2);
		place = (place - 1) / 2;
	}
}

TimestampTz
ff_timer_ahead(TimestampTz due)
{
	return due == DT_NOEND ? due : due - AHEAD_MS * 1000;
}

bool
ff_timer_pop(TimestampTz now, FfRunKey *run)
{
	int place = 0;

	if (count == 0 || heap[0].due > now)
		return false;
	*run = heap[0].run;
	heap[0] = heap[--count];
	for (;;)
	{
		int child = place * 2 + 1;

		if (child >= count)
			break;
		if (child + 1 < count && heap[child + 1].due < heap[child].due)
			child++;
		if (heap[place].due <= heap[child].due)
			break;
		swap(place, child);
		place = child;
	}
	return true;
}

TimestampTz
ff_timer_next(void)
{
	return count == 0 ? DT_NOEND : heap[0].due;
}

int
ff_timer_count(void)
{
	return count;
}
