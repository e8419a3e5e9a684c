/*
 * effect.c - the effects of changes (FfEffect, run.h): what steps write beyond their runs' own
 * rows. Some are written before those rows, some after, under guards that executors take in one
 * order.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"

#include "worker/save.h"

#define GUARD_CLASS 0x4646 /* of advisory locks; SQL has classes 1 and 2 */

static int
compare_guards(const void *a, const void *b)
{
	uint64 left = *(const uint64 *) a;
	uint64 right = *(const uint64 *) b;

	return left < right ? -1 : left > right;
}

/*
 * Executors that write effects of one guard wait for each other, and all of them take guards in
 * order, so that none waits in a circle. Guards are advisory locks of a class that SQL cannot name.
 */
static void
take_guards(List *effects)
{
	uint64	 *guards = palloc(sizeof(uint64) * Max(list_length(effects), 1));
	int		  count = 0;
	ListCell *cell;

	foreach (cell, effects)
	{
		const FfEffect *effect = lfirst(cell);

		if (effect->guard != 0)
			guards[count++] = effect->guard;
	}
	qsort(guards, count, sizeof(uint64), compare_guards);
	for (int i = 0; i < count; i++)
	{
		LOCKTAG tag;

		SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (guards[i] >> 32), (uint32) guards[i],
							 GUARD_CLASS);
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
	}
}

static void
write_effects(List *changes, bool first)
{
	ListCell *change_cell;
	ListCell *cell;

	foreach (change_cell, changes)
	{
		FfChange *change = lfirst(change_cell);

		foreach (cell, change->effects)
		{
			FfEffect *effect = lfirst(cell);

			if (effect->first == first)
				effect->write(change->run, effect);
		}
	}
}

void
ff_effects_begin(List *changes)
{
	List	 *effects = NIL;
	ListCell *cell;

	foreach (cell, changes)
		effects = list_concat(effects, ((FfChange *) lfirst(cell))->effects);
	if (effects == NIL)
		return;
	take_guards(effects);
	write_effects(changes, true);
}

void
ff_effects_finish(List *changes)
{
	write_effects(changes, false);
}
