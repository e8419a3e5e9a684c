/*
 * settle.c - what is to be done with a run in memory that has no unwritten change: what is due is
 * called, waits for room, or is held while its function is paused; a timer is set for what is due
 * next; and a run that has nothing to do for now leaves memory, to be read again a moment before it
 * has.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "function/function.h"
#include "protocol/protocol.h"
#include "run/driver.h"
#include "run/kind.h"
#include "util/id.h"
#include "util/spi.h"
#include "worker/call.h"
#include "worker/claim.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define LISTEN_MS 100 /* after a message */

typedef struct Lookup
{
	FfRun			 *run;
	const FfFunction *function;
} Lookup;

static void
look_up(void *arg)
{
	Lookup *lookup = arg;

	lookup->function =
		ff_function_get(lookup->run->tenant_id, lookup->run->function_id, lookup->run->version);
}

const FfFunction *
ff_function_of(FfRun *run)
{
	Lookup	  lookup = {run, ff_function_cached(run->tenant_id, run->function_id, run->version)};
	FfFailure failure;

	if (lookup.function == NULL)
		ff_transaction(look_up, &lookup, &failure);
	return lookup.function;
}

/* Its function is gone: nothing can be called any more. */
static void
fail_without_function(FfRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(ff_group_context);

	ff_run_end(run, "failed", NULL,
			   ff_run_error("FunctionNotFound", "the function of this run no longer exists"),
			   GetCurrentTimestamp());
	MemoryContextSwitchTo(old);
	ff_abandon(run);
	ff_group_add(run);
}

static bool
is_due(const FfItem *item, TimestampTz now)
{
	bool ready = ff_item_requests(item) ? item->request != NULL : ff_item_is_work(item);

	return ready && item->call == NULL && item->due <= now;
}

static bool
has_call_due(const FfRun *run, TimestampTz now)
{
	ListCell *cell;

	foreach (cell, run->items)
	{
		if (is_due(lfirst(cell), now))
			return true;
	}
	return false;
}

static bool
has_call_under_way(const FfRun *run)
{
	ListCell *cell;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		if (item->call != NULL)
			return true;
	}
	return false;
}

/* --- pauses --- */

typedef struct PauseLook
{
	int32	  tenant_id;
	int32	  function_id;
	pg_uuid_t app_id;
	bool	  paused;
} PauseLook;

static void
look_for_pause(void *arg)
{
	static FfPlan plan = {
		"select from flowforge.pause p where p.tenant_id = $1 and (p.function_id = $2 or p.app_id = $3"
		" or p.function_id is null and p.app_id is null)",
		3,
		{INT4OID, INT4OID, UUIDOID}};
	PauseLook *look = arg;
	Datum	   values[3] = {Int32GetDatum(look->tenant_id), Int32GetDatum(look->function_id),
							UUIDPGetDatum(&look->app_id)};

	look->paused = ff_spi_run(&plan, values, NULL, false) > 0;
}

/* The end of a pause is told to owners a moment before caches hear of it: a run that is to be held
 * is looked at twice. */
static bool
still_paused(const FfFunction *function)
{
	PauseLook look = {function->tenant_id, function->function_id, function->app_id, true};
	FfFailure failure;

	ff_transaction(look_for_pause, &look, &failure);
	return look.paused;
}

/*
 * A run of a paused function is not called. It waits in run_hot, where the end of the pause has it
 * looked for, and out of memory.
 */
static void
hold(FfRun *run, TimestampTz now)
{
	MemoryContext old;
	ListCell	 *cell;

	if (run->claim != NULL)
	{
		if (run->claim->granted == run->claim->released)
			return;
		ff_claim_hold(run);
	}
	else if (run->home == FF_HOME_HOT)
		return;
	foreach (cell, run->items)
	{
		FfItem *item = lfirst(cell);

		if (is_due(item, now))
			item->due = 0;
	}
	old = MemoryContextSwitchTo(ff_group_context);
	ff_run_change(run);
	MemoryContextSwitchTo(old);
	ff_group_add(run);
}

/* --- calling --- */

/* A driver bounds how many of its run's steps are worked on at once; those it has just begun it has
 * counted itself. */
static bool
has_turn(const FfRun *run, const FfItem *item)
{
	int		  busy = 0;
	ListCell *cell;

	if (run->max_running == 0 || item->attempt == 0)
		return true;
	foreach (cell, run->items)
		busy += ((FfItem *) lfirst(cell))->call != NULL;
	return busy < run->max_running;
}

/* What has failed and is called again is logged first, in a transaction of its own, so that people
 * see it while it goes on. True when it has just been. */
static bool
begins_again(FfRun *run, FfItem *item, TimestampTz now)
{
	MemoryContext old;

	if (run->driver == NULL || item->error == NULL || item->begun)
		return false;
	old = MemoryContextSwitchTo(ff_group_context);
	ff_run_change(run);
	run->driver->begin(run, item, now);
	item->begun = true;
	MemoryContextSwitchTo(old);
	ff_group_add(run);
	return true;
}

static void
call_what_is_due(FfRun *run, TimestampTz now)
{
	const FfFunction *function = ff_function_of(run);
	FfFunction		  kept;
	List			 *items;
	ListCell		 *cell;

	if (function == NULL)
	{
		fail_without_function(run);
		return;
	}
	if (function->paused)
	{
		if (still_paused(function))
		{
			hold(run, now);
			return;
		}
		function = ff_function_of(run);
		if (function == NULL)
			return; /* it has just gone: the next look finds that out */
	}
	kept = *function;
	kept.url = pstrdup(function->url);
	items = list_copy(run->items);
	foreach (cell, items)
	{
		FfItem *item = lfirst(cell);
		FfLane *lane;

		/* A call that fails at once may have changed the run: then what is left waits for the group
		 * to be written. */
		if (!ff_may_call(run))
			break;
		if (!is_due(item, now) || !has_turn(run, item))
			continue;
		if (!ff_claim_has_room(run))
			break;
		if (run->driver != NULL && item->id[0] == '\0')
		{
			ff_advance_push(run);
			continue;
		}
		if (begins_again(run, item, now))
			continue;
		if (ff_sql_runs(item))
		{
			ff_sql_start(run, item);
			continue;
		}
		if (ff_code_runs(item))
		{
			ff_code_start(run, item);
			continue;
		}
		lane = ff_lane_of(item, &kept);
		if (!ff_lane_has_room(lane))
		{
			ff_lane_wait(lane, run);
			continue;
		}
		ff_call_start(run, item, &kept, lane);
	}
	list_free(items);
}

/* A wait that was over before it was written is due at once. */
static TimestampTz
next_timer(const FfRun *run, TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	ListCell   *cell;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		/* What is no work may be due by now: a sleep that is over before it is written. */
		if (item->call == NULL && (item->due > now || !ff_item_is_work(item)))
			next = Min(next, item->due);
	}
	return Min(next, Max(ff_run_deadline(run), now + 1));
}

/*
 * What is due after the horizon is read from run_parked, if the run's row is there, or looked up
 * again when the horizon moves. A run that leaves memory is to be back a moment before it is due.
 */
static void
set_timer(FfRun *run, TimestampTz due, bool stays)
{
	TimestampTz at = ff_timer_ahead(due);

	if (stays || at <= GetCurrentTimestamp())
		at = due;
	if (due > ff_timer_horizon)
		ff_timer_beyond = Min(ff_timer_beyond, due);
	else if (at != run->timer_at)
	{
		ff_timer_push(at, run->tenant_id, &run->id);
		run->timer_at = at;
	}
}

void
ff_set_timer(FfRun *run)
{
	set_timer(run, next_timer(run, GetCurrentTimestamp()), true);
}

/*
 * A run that is due in a moment stays in memory until then; so does one that has just heard from
 * others, for more may follow: a run it has invoked seldom ends alone. But only as long as that
 * leaves room for what is to be done now. Gives when to look again, or 0: it may leave.
 */
static TimestampTz
rests_until(const FfRun *run, TimestampTz due)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz listens = run->told_at + LISTEN_MS * 1000;

	if (ff_active_count() >= ff_max_in_flight + ff_max_in_flight / 2)
		return 0;
	if (listens > now)
		return Min(due, listens);
	return ff_timer_ahead(due) <= now ? due : 0;
}

bool
ff_reads_rows(const FfRun *run)
{
	const FfFunction *function = ff_function_cached(run->tenant_id, run->function_id, run->version);

	return function == NULL || ff_protocol_fetches(run, function);
}

bool
ff_may_call(const FfRun *run)
{
	return run->change == NULL || run->change->held;
}

/* The run has more to do than it has asked room for: it asks. */
static void
ask_for_room(FfRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(ff_group_context);

	ff_run_change(run);
	MemoryContextSwitchTo(old);
	ff_group_keep(run);
}

void
ff_settle(FfRun *run)
{
	TimestampTz due;
	TimestampTz rest = 0;
	bool		busy;

	if (has_call_due(run, GetCurrentTimestamp()))
		call_what_is_due(run, GetCurrentTimestamp());
	if (run->change == NULL && ff_claim_is_short(run, GetCurrentTimestamp()))
		ask_for_room(run);
	due = next_timer(run, GetCurrentTimestamp());
	busy = run->change != NULL || run->lane != NULL || run->advancing || has_call_under_way(run);
	if (!busy)
		rest = rests_until(run, due);
	set_timer(run, rest != 0 ? rest : due, busy || rest != 0);
	if (!busy && rest == 0)
		ff_active_drop(run);
}
