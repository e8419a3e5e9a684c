/*
 * store.h - runs between memory and tables: one read for many runs, one write for many changes.
 */
#ifndef FF_WORKER_STORE_H
#define FF_WORKER_STORE_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "run/run.h"

/* What finds a run's row. */
typedef struct FfRunKey
{
	int32	  tenant_id;
	pg_uuid_t run_id;
} FfRunKey;

/* Reads the live runs among `count`, with their event and memos, into contexts below `parent`.
 * Gives a list of FfRun. */
extern List *ff_store_load(const FfRunKey *keys, int count, MemoryContext parent, TimestampTz now);

/* Writes changes (FfChange) in the current transaction. */
extern void ff_store_write(List *changes);

/* A message of the inbox. */
typedef struct FfMessage
{
	pg_uuid_t id;
	FfRunKey  run;
	char	 *kind;
	Jsonb	 *payload;
} FfMessage;

/* The oldest messages of the slots in the array, at most `limit`, as a list of FfMessage. */
extern List *ff_store_inbox(Datum slots, int limit);
/* The later messages to the runs these are for. */
extern List *ff_store_inbox_rest(Datum slots, const List *messages);
extern void	 ff_store_drop_messages(List *ids);

/* The parked runs of these slots due before `horizon`, the soonest first, at most `limit`. */
typedef struct FfTimer
{
	TimestampTz due;
	FfRunKey	run;
} FfTimer;

extern int ff_store_timers(Datum slots, TimestampTz after, TimestampTz horizon, int limit,
						   FfTimer *out);

/* When the first parked run of these slots after `horizon` is due; DT_NOEND when there is none. */
extern TimestampTz ff_store_next_timer(Datum slots, TimestampTz horizon);

/* An array of uuids. */
extern Datum ff_store_uuids(const pg_uuid_t *ids, int count);

#endif
