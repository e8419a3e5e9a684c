/*
 * held.h - events that a function's flow control holds back: debounced ones and those gathered for
 * a batch.
 *
 * A row of flowforge.held_start is what one key of a function holds. Senders write it in their own
 * transactions, one after another, because each has the row locked until it commits; who starts
 * what is due deletes the row in the transaction that writes the run (due.c). So an event that is
 * held starts its run once, however often it is tried and whatever dies in between.
 *
 * The row is looked at when its `look_at` comes, which is no later than when it is due: only who
 * looks moves `look_at` on, once a period, so that senders leave the index alone.
 */
#ifndef FF_FLOW_HELD_H
#define FF_FLOW_HELD_H

#include "postgres.h"

#include "event/event.h"

/* A run that an event would start, and that its function's flow control may hold back. */
typedef struct FfHold
{
	FfNewRun   *run;
	const char *key;   /* as rows have it */
	int			place; /* the order of arrival */
	int64		wait;  /* microseconds: quiet, or until the batch starts */
	int64		bound; /* of a debounce: microseconds after the first event; 0: none */
	int32		max;   /* of a batch: events */
} FfHold;

/* Sorts what is to be held by its row: who takes several locks takes them in this order. */
extern void ff_holds_sort(FfHold *holds, int count);
extern bool ff_holds_one_row(const FfHold *a, const FfHold *b);

/* The first of those that are sorted for a row. */
extern const FfHold *ff_holds_find(const FfHold *holds, int count, int32 function_id,
								   const char *key);

/* --- hold.c --- */

/* Takes the runs out of the list that are not to start now, and gives the number of the others. */
extern int ff_flow_hold(FfNewRun *runs, int count);

/* --- debounce.c --- */

/* The latest event of each key waits for quiet; those before it start nothing. */
extern void ff_debounce_hold(FfHold *holds, int count);

/* --- gather.c --- */

/* Adds events to the batches of their keys, and starts the batches that are full. */
extern void ff_gather_hold(FfHold *holds, int count);

/* Makes runs of the first `count` of a row's events, `size` a run; gives their number. */
extern int ff_gather_runs(FfNewRun *runs, const FfNewRun *like, const pg_uuid_t *events, int count,
						  int size);

#endif
