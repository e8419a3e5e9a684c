/*
 * call.c - the calls an executor has under way (see executor.h).
 *
 * Each app has a lane: so many calls at once and no more, so that an app that hangs holds up its
 * own runs and nobody else's. A run that finds its lane full waits in it. So has each host of which
 * steps request something.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "http/client.h"
#include "protocol/protocol.h"
#include "util/spi.h"
#include "run/kind.h"
#include "util/id.h"
#include "util/json.h"
#include "worker/executor.h"
#include "worker/turn.h"

int ff_max_in_flight = 512;
int ff_max_in_flight_per_app = 128;

typedef struct Lane
{
	pg_uuid_t id; /* the key: an app's, or made of a host's name */
	int		  in_flight;
	List	 *waiting; /* of FfRun, in order */
} Lane;

static HTAB *lanes = NULL;
static int	 in_flight = 0;
static int	 waiting = 0;	  /* runs in all lanes */
static List *unhandled = NIL; /* calls that are over, whose answers are still to be handled */
static int	 free_info = 0;	  /* where to look first for a free FfCallInfo */

int
ff_calls_in_flight(void)
{
	return in_flight;
}

/* The lane of the host of a URL. */
static pg_uuid_t
host_id(const char *url)
{
	const char *host = strstr(url, "://");
	pg_uuid_t	id = {{0}};
	uint64		half;
	int			length;

	host = host ? host + 3 : url;
	length = (int) strcspn(host, "/?#");
	half = hash_bytes_extended((const unsigned char *) host, length, 1);
	memcpy(id.data, &half, sizeof(half));
	half = hash_bytes_extended((const unsigned char *) host, length, 2);
	memcpy(id.data + sizeof(half), &half, sizeof(half));
	return id;
}

static Lane *
lane_of(const FfItem *item, const FfFunction *function)
{
	pg_uuid_t id = function->app_id;
	Lane	 *lane;
	bool	  found;

	if (lanes == NULL)
	{
		HASHCTL control = {0};

		control.keysize = sizeof(pg_uuid_t);
		control.entrysize = sizeof(Lane);
		control.hcxt = TopMemoryContext;
		lanes = hash_create("flowforge lanes", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	if (ff_item_requests(item))
		id = host_id(ff_json_text(item->request, "url"));
	lane = hash_search(lanes, &id, HASH_ENTER, &found);
	if (!found)
	{
		lane->in_flight = 0;
		lane->waiting = NIL;
	}
	return lane;
}

static bool
in_sql_worker(const FfItem *item)
{
	return item->kind == FF_ITEM_STEP && item->step->place == FF_STEP_SQL;
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
		info->request_id = item->request_id;
		info->generation = run->generation;
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
	FfItem				*item;
	Lane				*lane;
	int					 info;
	int					 max_attempts;
	bool				 step_timeout; /* it is what bounds the call */
	bool				 checkpoints;  /* the app may report steps by messages meanwhile */
	struct FfAiProvider *provider;	   /* of a model, or NULL */
} CallDetail;

/* The shortest of the step's, the app's and everybody's. */
static void
set_time_limit(FfHttpCall *call, int64 step, int64 app)
{
	CallDetail *detail = call->detail;

	call->timeout = ff_request_timeout;
	if (app > 0 && app / 1000 < call->timeout)
		call->timeout = Max(app / 1000, 1);
	detail->step_timeout = step > 0 && step / 1000 < call->timeout;
	if (detail->step_timeout)
		call->timeout = Max(step / 1000, 1);
}

/* A call that took longer than its step may is an error of the step, by a name that code can catch.
 */
static void
name_timeout(FfAnswer *answer, const FfHttpCall *call)
{
	const CallDetail *detail = call->detail;

	if (!call->timed_out || !call->reached || answer->kind != FF_ANSWER_ERROR)
		return;
	answer->of_step = detail->step_timeout;
	answer->error =
		ff_run_error(detail->step_timeout ? "StepTimeout" : "CallTimeout",
					 psprintf("the app did not answer within %g s (%s)", call->timeout / 1000.0,
							  detail->step_timeout ? "the step's timeout"
												   : "the time a call to this app may take"));
}

static void
handle_later(FfHttpCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	unhandled = lappend(unhandled, call);
	MemoryContextSwitchTo(old);
}

static void
call_item(FfRun *run, FfItem *item, const FfFunction *function, Lane *lane)
{
	FfHttpCall	 *call = ff_http_new(ff_runs_context);
	CallDetail	 *detail = MemoryContextAllocZero(call->context, sizeof(CallDetail));
	MemoryContext old = MemoryContextSwitchTo(call->context);
	bool		  started;
	char		 *url;

	item->called_at = GetCurrentTimestamp();
	item->advanced = false;
	ff_uuid7(&item->request_id);
	detail->max_attempts = function->max_attempts;
	if (ff_item_requests(item))
		url = ff_gateway_request(call, item->request);
	else if (item->kind == FF_ITEM_STEP)
	{
		url = ff_model_request(call, run, item, &detail->provider);
		detail->max_attempts = item->max_attempts;
	}
	else
	{
		run->generation++;
		item->remote = false;
		url = ff_protocol_request(call, run, item, function);
		detail->checkpoints = ff_protocol_checkpoints(run, item);
	}
	if (url == NULL)
	{
		MemoryContextSwitchTo(old);
		ff_http_free(call);
		return;
	}
	detail->item = item;
	detail->lane = lane;
	call->owner = run;
	call->detail = detail;
	set_time_limit(call, ff_item_timeout(run, item),
				   ff_item_requests(item) ? 0 : function->read_timeout);
	item->call = call;
	lane->in_flight++;
	in_flight++;
	detail->info = ff_call_publish(run, item);
	started = ff_http_start(call, url);
	MemoryContextSwitchTo(old);
	if (!started)
	{
		call->reached = true; /* waiting would not mend the address: it counts as an attempt */
		handle_later(call);
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
	unhandled = list_delete_ptr(unhandled, call);
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
		if (in_sql_worker(item))
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

/* Hosts come and go: a lane that nobody uses is not kept. */
static void
leave_lane(Lane *lane)
{
	if (lane->in_flight == 0 && lane->waiting == NIL)
		hash_search(lanes, &lane->id, HASH_REMOVE, NULL);
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
		"select from flowforge.pause p where p.tenant_id = $1 and (p.function_id = $2 or p.app_id = $3)",
		3,
		{INT4OID, INT4OID, UUIDOID}};
	PauseLook *look = arg;
	Datum	   values[3] = {Int32GetDatum(look->tenant_id), Int32GetDatum(look->function_id),
							UUIDPGetDatum(&look->app_id)};

	look->paused = ff_spi_run(&plan, values, NULL, true) > 0;
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

	if (run->home == FF_HOME_HOT)
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
		Lane   *lane;

		/* A call that fails at once may have changed the run: then what is left waits for the group
		 * to be written. */
		if (!ff_may_call(run))
			break;
		if (!is_due(item, now))
			continue;
		if (in_sql_worker(item))
		{
			ff_sql_start(run, item);
			continue;
		}
		lane = lane_of(item, &kept);
		if (lane->in_flight >= ff_max_in_flight_per_app ||
			in_flight >= Min(ff_max_in_flight, FF_MAX_CALLS))
		{
			wait_in_lane(run, lane);
			continue;
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

		/* What is no work may be due by now: a sleep that is over before it is written. */
		if (item->call == NULL && (item->due > now || !ff_item_is_work(item)))
			next = Min(next, item->due);
	}
	return Min(next, Max(ff_run_deadline(run), now + 1));
}

/*
 * What is due after the horizon is read from run_parked, if the run's row is there, or looked up
 * again when the horizon moves.
 */
void
ff_set_timer(FfRun *run)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz timer = next_timer(run, now);

	if (timer > ff_timer_horizon)
		ff_timer_beyond = Min(ff_timer_beyond, timer);
	else if (timer != run->timer_at)
	{
		ff_timer_push(timer, &run->id);
		run->timer_at = timer;
	}
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

void
ff_settle(FfRun *run)
{
	if (has_call_due(run, GetCurrentTimestamp()))
		call_what_is_due(run, GetCurrentTimestamp());
	ff_set_timer(run);
	if (run->change == NULL && run->lane == NULL && !has_call_under_way(run))
		ff_active_drop(run);
}

/* Steps that a streamed answer has brought so far. False when they have ended the run, and so the
 * call. */
static bool
take_progress(FfHttpCall *call)
{
	CallDetail	 *detail = call->detail;
	FfRun		 *run = call->owner;
	TimestampTz	  now = GetCurrentTimestamp();
	MemoryContext old;
	FfAnswer	 *answer;
	bool		  ended;

	/* A call for one step answers with that step, at its end. */
	if (!ff_protocol_streams(call) || *detail->item->id)
		return true;
	old = MemoryContextSwitchTo(ff_group_context);
	answer = palloc0(sizeof(FfAnswer));
	ff_protocol_progress(answer, call, now);
	if (answer->ops != NIL)
		ff_run_checkpoint(run, answer, now);
	MemoryContextSwitchTo(old);
	ended = run->change != NULL && run->change->ended;
	if (ended)
		ff_abandon(run);
	ff_group_add(run);
	return !ended;
}

void
ff_call_progress(FfHttpCall *call)
{
	(void) take_progress(call);
}

static void
handle_answer(FfHttpCall *call)
{
	CallDetail	  detail = *(CallDetail *) call->detail;
	FfRun		 *run = call->owner;
	TimestampTz	  now = GetCurrentTimestamp();
	MemoryContext old = MemoryContextSwitchTo(ff_group_context);
	FfAnswer	 *answer = palloc0(sizeof(FfAnswer));

	if (ff_item_requests(detail.item))
		ff_gateway_answer(answer, call, detail.item, now);
	else if (detail.provider != NULL)
		ff_model_answer(answer, call, detail.item, detail.provider, now);
	else
		ff_protocol_answer(answer, call, now);
	name_timeout(answer, call);
	forget_call(call);
	ff_run_answer(run, detail.item, answer, detail.max_attempts, now);
	MemoryContextSwitchTo(old);
	if (run->change != NULL && run->change->ended)
		ff_abandon(run);
	ff_group_add(run);
	move_lanes(detail.lane);
	leave_lane(detail.lane);
}

/* An app's messages come before its answer, which it gives when they have been accepted: so they
 * are handled first. */
static bool
must_wait(const FfHttpCall *call)
{
	const CallDetail *detail = call->detail;

	if (!detail->checkpoints)
		return false;
	ff_take_hints();
	return ff_inbox_waiting();
}

void
ff_call_done(FfHttpCall *call)
{
	if (!take_progress(call))
		return;
	if (must_wait(call))
		handle_later(call);
	else
		handle_answer(call);
}

void
ff_calls_finish(void)
{
	List	 *calls = list_copy(unhandled);
	ListCell *cell;

	foreach (cell, calls)
	{
		FfHttpCall *call = lfirst(cell);

		/* Handling one may have ended the run of another. */
		if (list_member_ptr(unhandled, call) && !must_wait(call))
		{
			unhandled = list_delete_ptr(unhandled, call);
			handle_answer(call);
		}
	}
	list_free(calls);
}

bool
ff_calls_unhandled(void)
{
	return unhandled != NIL;
}
