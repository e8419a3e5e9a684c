/*
 * group.c - what has happened to runs and is to be written: one transaction for all of it (see
 * executor.h).
 *
 * When a group's transaction fails because of what is in it, it is written in halves, and so on
 * until the run that cannot be written stands alone; that run fails and the others are written.
 * When it fails for another reason (a lock, a full disk, a shutdown) nothing is anybody's fault:
 * the group is kept and written later.
 */
#include "postgres.h"

#include "commands/async.h"
#include "utils/memutils.h"

#include "run/driver.h"
#include "slot/hint.h"
#include "util/id.h"
#include "worker/call.h"
#include "worker/claim.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define CHANNEL "flowforge"
#define NOTIFIED_RUNS 190 /* as many ids as a payload holds */
#define RETRY_AFTER_MS 1000

int ff_group_size = 128;
int ff_group_wait = 2;

static List		  *group = NIL; /* of FfRun */
static TimestampTz group_since = 0;
static TimestampTz retry_at = 0;
static bool		   unannounced = false; /* nobody listened when the last transaction was written */

void
ff_group_add(FfRun *run)
{
	ff_group_keep(run);
	if (run->change != NULL && ff_run_advances(run) && ff_claim_may_advance(run))
		ff_advance_push(run);
}

void
ff_group_keep(FfRun *run)
{
	MemoryContext old;

	if (run->change == NULL || run->change->grouped)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (group == NIL)
		group_since = GetCurrentTimestamp();
	run->change->held = false;
	run->change->grouped = true;
	group = lappend(group, run);
	MemoryContextSwitchTo(old);
}

long
ff_group_wait_left(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (group == NIL)
		return -1;
	return TimestampDifferenceMilliseconds(now, Max(retry_at, group_since + ff_group_wait * 1000));
}

bool
ff_group_held(void)
{
	return group != NIL && retry_at > GetCurrentTimestamp();
}

static bool
somebody_listens(void)
{
	return pg_atomic_read_u32(&ff_my_database->listeners) > 0;
}

/* At most one notification a group, and none when nobody listens. */
static void
notify(List *changes)
{
	StringInfoData payload;
	ListCell	  *cell;

	unannounced = !somebody_listens();
	if (unannounced)
		return;
	initStringInfo(&payload);
	if (list_length(changes) <= NOTIFIED_RUNS)
	{
		foreach (cell, changes)
		{
			const FfChange		*change = lfirst(cell);
			const unsigned char *b = change->run->id.data;

			appendStringInfo(
				&payload, "%s%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
				payload.len ? " " : "", b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9],
				b[10], b[11], b[12], b[13], b[14], b[15]);
		}
	}
	Async_Notify(CHANNEL, payload.data);
}

static void
write_changes(void *arg)
{
	ff_store_write(arg);
	notify(arg);
}

static void
ring_for_all(void *arg)
{
	Async_Notify(CHANNEL, "");
}

/*
 * Who began to listen after the group had found nobody, and looked before it was committed, has not
 * seen it and would not be told.
 */
static void
announce_late(void)
{
	FfFailure failure;

	if (unannounced && somebody_listens())
		(void) ff_transaction(ring_for_all, NULL, &failure);
	unannounced = false;
}

static bool
transient(const FfFailure *failure)
{
	switch (ERRCODE_TO_CATEGORY(failure->sqlstate))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return false;
	}
}

static void
count_written(List *changes)
{
	uint64	  steps = 0;
	uint64	  ended = 0;
	ListCell *cell;

	foreach (cell, changes)
	{
		FfChange *change = lfirst(cell);

		change->written = true;
		steps += list_length(change->steps);
		ended += change->ended;
	}
	pg_atomic_fetch_add_u64(&ff_me->commits, 1);
	pg_atomic_fetch_add_u64(&ff_me->steps, steps);
	pg_atomic_fetch_add_u64(&ff_me->runs_ended, ended);
}

/* A run whose change cannot be written. It is read again as it was and fails with the reason. */
typedef struct Poison
{
	FfChange		*change;
	const FfFailure *failure;
} Poison;

static void
write_failure(void *arg)
{
	Poison	*poison = arg;
	FfRunKey key = {poison->change->run->tenant_id, poison->change->run->id};
	List	*runs = ff_store_load(&key, 1, CurrentMemoryContext, GetCurrentTimestamp());
	FfRun	*run;

	if (runs == NIL)
		return;
	run = linitial(runs);
	ff_run_end(run, "failed", NULL,
			   ff_run_error("EngineError", psprintf("the step's result could not be stored: %s",
													poison->failure->message)),
			   GetCurrentTimestamp());
	run->change->inbox = poison->change->inbox;
	ff_store_write(list_make1(run->change));
	notify(list_make1(run->change));
}

static void
quarantine(FfChange *change, const FfFailure *failure)
{
	Poison	  poison = {change, failure};
	FfFailure again;
	FfRun	 *run = change->run;

	ff_abandon(run);
	if (!ff_transaction(write_failure, &poison, &again))
	{
		/* Not even that: leave it and look at it again in a while. */
		ff_timer_push(GetCurrentTimestamp() + 60 * USECS_PER_SEC, run->tenant_id, &run->id);
	}
	announce_late();
	change->ended = true;
	change->written = true;
}

bool
ff_group_refuse(FfRun *run, const FfFailure *failure)
{
	if (run->change != NULL && !transient(failure))
	{
		quarantine(run->change, failure);
		ff_group_keep(run);
		return true;
	}
	ff_abandon(run);
	group = list_delete_ptr(group, run);
	ff_timer_push(GetCurrentTimestamp() + RETRY_AFTER_MS * 1000, run->tenant_id, &run->id);
	ff_inbox_look();
	ff_active_drop(run);
	return false;
}

/* Writes changes, in halves if need be; false when what is not yet written must be tried again
 * later. */
static bool
write_or_bisect(List *changes)
{
	FfFailure failure;
	int		  count = list_length(changes);

	if (count == 0)
		return true;
	if (ff_transaction(write_changes, changes, &failure))
	{
		announce_late();
		count_written(changes);
		return true;
	}
	if (transient(&failure))
		return false;
	if (count == 1)
	{
		quarantine(linitial(changes), &failure);
		return true;
	}
	return write_or_bisect(list_truncate(list_copy(changes), count / 2)) &&
		   write_or_bisect(list_copy_tail(changes, count / 2));
}

static bool
due(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now < retry_at)
		return false;
	return list_length(group) >= ff_group_size || now >= group_since + ff_group_wait * 1000 ||
		   (ff_calls_in_flight() == 0 && ff_queue_next() == DT_NOEND);
}

/* After the commit: ended runs leave memory, the others go on. */
static void
go_on(List *runs)
{
	ListCell *cell;

	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);
		bool   ended = run->change->ended;

		run->change = NULL;
		if (ended)
			ff_active_drop(run);
		else
			ff_settle(run);
	}
	ff_advance_spare();
}

void
ff_group_flush(bool force)
{
	List		 *runs;
	List		 *changes = NIL;
	MemoryContext old;
	MemoryContext written_context = ff_group_context;
	ListCell	 *cell;

	ff_advance_turn();
	if (group == NIL || (!force && !due()))
		return;
	runs = group;
	old = MemoryContextSwitchTo(written_context);
	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		if (!run->change->written)
			changes = lappend(changes, run->change);
	}
	if (!write_or_bisect(changes))
	{
		retry_at = GetCurrentTimestamp() + RETRY_AFTER_MS * 1000;
		MemoryContextSwitchTo(old);
		return;
	}
	/* Going on may begin the next group: it gets a context of its own. */
	group = NIL;
	retry_at = 0;
	ff_group_context =
		AllocSetContextCreate(TopMemoryContext, "flowforge group", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(ff_group_context);
	go_on(runs);
	MemoryContextSwitchTo(old);
	list_free(runs);
	MemoryContextDelete(written_context);
}
