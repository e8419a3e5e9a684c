/*
 * call.c - the calls an executor has under way (see executor.h).
 *
 * Each app has a lane: so many calls at once and no more, so that an app that hangs holds up its
 * own runs and nobody else's. A run that finds its lane full waits in it.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "http/client.h"
#include "protocol/protocol.h"
#include "run/kind.h"
#include "worker/executor.h"

int ff_max_in_flight = 512;
int ff_max_in_flight_per_app = 128;

typedef struct Lane
{
	pg_uuid_t app_id; /* the key */
	int		  in_flight;
	List	 *waiting; /* of FfRun, in order */
} Lane;

static HTAB *lanes = NULL;
static int	 in_flight = 0;
static int	 waiting = 0;	/* runs in all lanes */
static List *refused = NIL; /* calls libcurl did not take: their answers are still to be handled */
static int	 free_info = 0; /* where to look first for a free FfCallInfo */

int
ff_calls_in_flight(void)
{
	return in_flight;
}

static Lane *
lane_of(const FfFunction *function)
{
	Lane *lane;
	bool  found;

	if (lanes == NULL)
	{
		HASHCTL control = {0};

		control.keysize = sizeof(pg_uuid_t);
		control.entrysize = sizeof(Lane);
		control.hcxt = TopMemoryContext;
		lanes = hash_create("flowforge lanes", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	lane = hash_search(lanes, &function->app_id, HASH_ENTER, &found);
	if (!found)
	{
		lane->in_flight = 0;
		lane->waiting = NIL;
	}
	return lane;
}

/* --- what flowforge.calls() shows --- */

int
ff_call_publish(const FfRun *run, const FfItem *item)
{
	int place = -1;

	LWLockAcquire(&ff_me->calls_lock, LW_EXCLUSIVE);
	for (int i = 0; i < FF_MAX_CALLS && place < 0; i++)
	{
		int candidate = (free_info + i) % FF_MAX_CALLS;

		if (!ff_me->calls[candidate].used)
			place = candidate;
	}
	if (place >= 0)
	{
		FfCallInfo *info = &ff_me->calls[place];

		info->used = true;
		info->tenant_id = run->tenant_id;
		info->attempt = item->attempt;
		info->run_id = run->id;
		info->started_at = item->called_at;
		strlcpy(info->step_id, item->id, sizeof(info->step_id));
		free_info = place + 1;
	}
	LWLockRelease(&ff_me->calls_lock);
	pg_atomic_write_u32(&ff_me->in_flight, in_flight + ff_sql_in_flight());
	return place;
}

void
ff_call_unpublish(int place)
{
	if (place >= 0)
	{
		LWLockAcquire(&ff_me->calls_lock, LW_EXCLUSIVE);
		ff_me->calls[place].used = false;
		LWLockRelease(&ff_me->calls_lock);
	}
	pg_atomic_write_u32(&ff_me->in_flight, in_flight + ff_sql_in_flight());
}

/* --- starting and ending calls --- */

typedef struct CallDetail
{
	FfItem *item;
	Lane   *lane;
	int		info;
	int		max_attempts;
} CallDetail;

static void
call_item(FfRun *run, FfItem *item, const FfFunction *function, Lane *lane)
{
	FfHttpCall	 *call = ff_http_new(ff_runs_context);
	CallDetail	 *detail = MemoryContextAllocZero(call->context, sizeof(CallDetail));
	MemoryContext old = MemoryContextSwitchTo(call->context);
	bool		  started;

	item->called_at = GetCurrentTimestamp();
	run->generation++;
	ff_protocol_request(call, run, item, function);
	detail->item = item;
	detail->lane = lane;
	detail->max_attempts = function->max_attempts;
	call->owner = run;
	call->detail = detail;
	item->call = call;
	lane->in_flight++;
	in_flight++;
	detail->info = ff_call_publish(run, item);
	started = ff_http_start(call, ff_protocol_url(function, item));
	MemoryContextSwitchTo(old);
	if (!started)
	{
		call->reached = true; /* waiting would not mend the address: it counts as an attempt */
		old = MemoryContextSwitchTo(TopMemoryContext);
		refused = lappend(refused, call);
		MemoryContextSwitchTo(old);
	}
}

/* Takes a call off the books and frees it. */
static void
forget_call(FfHttpCall *call)
{
	CallDetail *detail = call->detail;

	detail->item->call = NULL;
	detail->lane->in_flight--;
	in_flight--;
	refused = list_delete_ptr(refused, call);
	ff_call_unpublish(detail->info);
	ff_http_free(call);
}

void
ff_abandon(FfRun *run)
{
	ListCell *cell;

	foreach (cell, run->items)
	{
		FfItem *item = lfirst(cell);

		if (item->call == NULL)
			continue;
		if (item->kind == FF_ITEM_STEP)
			ff_sql_abandon(item);
		else
			forget_call(item->call);
	}
	if (run->lane != NULL)
	{
		Lane *lane = run->lane;

		lane->waiting = list_delete_ptr(lane->waiting, run);
		run->lane = NULL;
		waiting--;
	}
}

static void
wait_in_lane(FfRun *run, Lane *lane)
{
	MemoryContext old;

	if (run->lane != NULL)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	lane->waiting = lappend(lane->waiting, run);
	MemoryContextSwitchTo(old);
	run->lane = lane;
	waiting++;
}

/* Lets the next run of a lane call, when there is room and none of its changes is unwritten. */
static void
move_lane(Lane *lane)
{
	while (lane->waiting != NIL && lane->in_flight < ff_max_in_flight_per_app &&
		   in_flight < ff_max_in_flight)
	{
		FfRun *run = linitial(lane->waiting);

		lane->waiting = list_delete_first(lane->waiting);
		run->lane = NULL;
		waiting--;
		if (ff_may_call(run))
			ff_settle(run);
	}
}

/* The lane whose call is over goes first, then any other that the executor's own bound held up. */
static void
move_lanes(Lane *first)
{
	HASH_SEQ_STATUS sequence;
	Lane		   *lane;

	move_lane(first);
	if (waiting == 0 || in_flight >= ff_max_in_flight)
		return;
	hash_seq_init(&sequence, lanes);
	while ((lane = hash_seq_search(&sequence)) != NULL)
		move_lane(lane);
}

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

static const FfFunction *
function_of(FfRun *run)
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
has_call_due(const FfRun *run, TimestampTz now)
{
	ListCell *cell;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		if (ff_item_is_work(item) && item->call == NULL && item->due <= now)
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

static void
call_what_is_due(FfRun *run, TimestampTz now)
{
	const FfFunction *function = function_of(run);
	FfFunction		  kept;
	List			 *items;
	ListCell		 *cell;
	Lane			 *lane;

	if (function == NULL)
	{
		fail_without_function(run);
		return;
	}
	kept = *function;
	kept.url = pstrdup(function->url);
	lane = lane_of(&kept);
	items = list_copy(run->items);
	foreach (cell, items)
	{
		FfItem *item = lfirst(cell);

		/* A call that fails at once may have changed the run: then what is left waits for the group
		 * to be written. */
		if (!ff_may_call(run))
			break;
		if (!ff_item_is_work(item) || item->call != NULL || item->due > now)
			continue;
		if (item->kind == FF_ITEM_STEP)
		{
			ff_sql_start(run, item);
			continue;
		}
		if (lane->in_flight >= ff_max_in_flight_per_app ||
			in_flight >= Min(ff_max_in_flight, FF_MAX_CALLS))
		{
			wait_in_lane(run, lane);
			break;
		}
		call_item(run, item, &kept, lane);
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

		if (item->call == NULL && (item->due > now || !ff_item_is_work(item)))
			next = Min(next, item->due);
	}
	return next;
}

bool
ff_may_call(const FfRun *run)
{
	return run->change == NULL || run->change->held;
}

void
ff_settle(FfRun *run)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz timer = next_timer(run, now);

	if (has_call_due(run, now))
		call_what_is_due(run, now);
	/* What is due after the horizon will be read from run_parked, if the run is there. */
	if (timer != DT_NOEND && (timer <= ff_timer_horizon || run->home == FF_HOME_HOT))
		ff_timer_push(timer, &run->id);
	else
		ff_timer_beyond = Min(ff_timer_beyond, timer);
	if (run->change == NULL && run->lane == NULL && !has_call_under_way(run))
		ff_active_drop(run);
}

void
ff_call_done(FfHttpCall *call)
{
	CallDetail	  detail = *(CallDetail *) call->detail;
	FfRun		 *run = call->owner;
	TimestampTz	  now = GetCurrentTimestamp();
	MemoryContext old = MemoryContextSwitchTo(ff_group_context);
	FfAnswer	 *answer = palloc0(sizeof(FfAnswer));

	ff_protocol_answer(answer, call, now);
	forget_call(call);
	ff_run_answer(run, detail.item, answer, detail.max_attempts, now);
	MemoryContextSwitchTo(old);
	if (run->change != NULL && run->change->ended)
		ff_abandon(run);
	ff_group_add(run);
	move_lanes(detail.lane);
}

void
ff_calls_finish_refused(void)
{
	while (refused != NIL)
		ff_call_done(linitial(refused));
}
