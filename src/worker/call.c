/*
 * call.c - the calls an executor has under way: how they start, what they bring, how they end, and
 * what flowforge.calls() shows of them. What is to be called is decided in settle.c; how many may
 * be under way at once in lane.c.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "http/client.h"
#include "protocol/protocol.h"
#include "run/kind.h"
#include "util/id.h"
#include "worker/call.h"
#include "worker/executor.h"
#include "worker/turn.h"

static int	 in_flight = 0;
static List *unhandled = NIL; /* calls that are over, whose answers are still to be handled */
static int	 free_info = 0;	  /* where to look first for a free FfCallInfo */

int
ff_calls_in_flight(void)
{
	return in_flight;
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
	pg_atomic_write_u32(&ff_me->in_flight, in_flight + ff_sql_in_flight() + ff_code_in_flight());
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
	pg_atomic_write_u32(&ff_me->in_flight, in_flight + ff_sql_in_flight() + ff_code_in_flight());
}

/* --- starting and ending calls --- */

typedef struct CallDetail
{
	FfItem		 *item;
	FfLane		 *lane;
	int			  info;
	int			  max_attempts;
	bool		  step_timeout; /* it is what bounds the call */
	bool		  checkpoints;	/* the app may report steps by messages meanwhile */
	void		 *found;		/* what was looked up for a step of the server's */
	const FfItem *opened;		/* the item of such a step, with its secrets */
} CallDetail;

/* The shortest of the step's, the app's, everybody's, and what the request says itself. */
static void
set_time_limit(FfHttpCall *call, int64 step, int64 app)
{
	CallDetail *detail = call->detail;

	if (call->timeout == 0 || call->timeout > ff_request_timeout)
		call->timeout = ff_request_timeout;
	if (app > 0 && app / 1000 < call->timeout)
		call->timeout = Max(app / 1000, 1);
	detail->step_timeout = step > 0 && step / 1000 < call->timeout;
	if (detail->step_timeout)
		call->timeout = Max(step / 1000, 1);
}

static void
handle_later(FfHttpCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	unhandled = lappend(unhandled, call);
	MemoryContextSwitchTo(old);
}

void
ff_call_start(FfRun *run, FfItem *item, const FfFunction *function, FfLane *lane)
{
	FfHttpCall	 *call = ff_http_new(ff_runs_context);
	CallDetail	 *detail = MemoryContextAllocZero(call->context, sizeof(CallDetail));
	MemoryContext old = MemoryContextSwitchTo(call->context);
	bool		  started;
	char		 *url;

	item->called_at = GetCurrentTimestamp();
	item->told_at = 0;
	ff_uuid7(&item->request_id);
	detail->max_attempts = function->max_attempts;
	if (ff_item_requests(item))
		url = ff_gateway_request(call, run, item);
	else if (item->kind == FF_ITEM_STEP)
	{
		url = ff_outside_request(call, run, item, &detail->opened, &detail->found);
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
				   item->kind == FF_ITEM_CALL ? function->read_timeout : 0);
	item->call = call;
	ff_lane_enter(lane);
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

	ff_news_end(call, false);
	detail->item->call = NULL;
	ff_lane_leave(detail->lane);
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
		if (ff_sql_runs(item))
			ff_sql_abandon(item);
		else if (ff_code_runs(item))
			ff_code_abandon(item);
		else
			forget_call(item->call);
	}
	ff_lane_give_up(run);
}

/* --- answers --- */

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

/* More of the answer to a call of a step of the server's. */
static void
note_progress(FfHttpCall *call)
{
	CallDetail		 *detail = call->detail;
	const FfStepKind *kind = detail->item->step;

	if (kind->progress != NULL)
		kind->progress(call, detail->opened, detail->found);
	if (kind->progress != NULL && kind->news != NULL)
		ff_news_note(call, call->owner, detail->item, detail->found);
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

	if (detail->item->kind == FF_ITEM_STEP)
	{
		note_progress(call);
		return true;
	}
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
	else if (detail.item->kind == FF_ITEM_STEP)
		ff_outside_answer(answer, call, detail.item, detail.opened, detail.found, now);
	else
		ff_protocol_answer(answer, call, now);
	name_timeout(answer, call);
	ff_news_end(call, true);
	forget_call(call);
	ff_run_answer(run, detail.item, answer, detail.max_attempts, now);
	MemoryContextSwitchTo(old);
	if (run->change != NULL && run->change->ended)
		ff_abandon(run);
	ff_group_add(run);
	ff_lane_move(detail.lane);
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
	ff_lanes_turn();
}

bool
ff_calls_unhandled(void)
{
	return unhandled != NIL;
}
