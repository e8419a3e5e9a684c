/*
 * op.c - what the operations of an answer do to a run (see actor.h).
 *
 * Every operation may come again, because the call was made again or because the function reports
 * what is pending each time it is asked: what has a memo or an item already is passed over.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "run/actor.h"
#include "run/driver.h"
#include "run/kind.h"
#include "util/id.h"
#include "util/json.h"

/* --- what takes time --- */

static FfItem *
begin(FfRun *run, const FfOp *op, FfItemKind kind, int group, TimestampTz now)
{
	FfItem *item = ff_item_add(run, kind, op->id, op->name, group, now);

	item->race = op->race;
	item->type = op->type ? MemoryContextStrdup(run->context, op->type) : NULL;
	item->terms = ff_run_keep_json(run, op->terms);
	if (!ff_item_calls(item))
		item->due = op->due;
	return item;
}

static void
begin_sleep(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	ff_item_note(run, begin(run, op, FF_ITEM_SLEEP, group, now), "step.sleeping", now);
}

static void
begin_wait(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	FfItem *item = begin(run, op, FF_ITEM_WAIT, group, now);
	FfWait *wait = palloc0(sizeof(FfWait));

	wait->tenant_id = run->tenant_id;
	wait->event_name = op->event;
	wait->run_id = run->id;
	wait->step_id = item->id;
	wait->expression = op->expression;
	wait->event_id = run->event_id;
	wait->event = ff_event_json(&run->event);
	run->change->waits = lappend(run->change->waits, wait);
	ff_item_note(run, item, "step.waiting", now);
}

static void
begin_signal(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	FfItem	 *item = begin(run, op, FF_ITEM_SIGNAL, group, now);
	FfSignal *signal = palloc0(sizeof(FfSignal));

	signal->tenant_id = run->tenant_id;
	signal->name = op->signal;
	signal->run_id = run->id;
	signal->step_id = item->id;
	signal->replace = op->replace;
	run->change->signals = lappend(run->change->signals, signal);
	ff_item_note(run, item, "step.waiting", now);
}

/* False when the chain of invocations is too long: then the step has failed. */
static bool
begin_invoke(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	FfInvocation *invocation;
	FfItem		 *item;

	if (run->depth >= ff_invoke_depth_limit)
	{
		Jsonb *error = ff_run_error(
			"InvocationTooDeep",
			psprintf(
				"this run is the %dth of a chain of invocations; flowforge.invoke_depth_limit allows %d",
				run->depth + 1, ff_invoke_depth_limit));

		ff_step_checkpoint(run, op->id, "invoke", op->name, "failed", 0,
						   ff_run_wrap("error", error), now, now);
		return false;
	}
	invocation = palloc0(sizeof(FfInvocation));
	strlcpy(invocation->step_id, op->id, sizeof(invocation->step_id));
	invocation->name = op->name;
	invocation->slug = op->function;
	invocation->payload = op->payload;
	invocation->expires = op->due;
	ff_uuid7(&invocation->run_id);
	run->change->invocations = lappend(run->change->invocations, invocation);
	item = begin(run, op, FF_ITEM_INVOKE, group, now);
	item->child = invocation->run_id;
	ff_item_note(run, item, "step.waiting", now);
	return true;
}

static void
begin_request(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	FfItem *item = begin(run, op, op->kind == FF_OP_AI ? FF_ITEM_AI : FF_ITEM_FETCH, group, now);

	item->request = ff_run_keep_json(run, op->request);
	ff_run_log(run, "step.planned", op->id, op->name, -1, NULL, now);
}

static void
begin_planned(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	begin(run, op, FF_ITEM_CALL, group, now);
	ff_run_log(run, "step.planned", op->id, op->name, -1, NULL, now);
}

/* A retriable error among several operations: the step is called again by itself. */
static void
begin_retry(FfRun *run, const FfOp *op, int group, const FfAnswer *answer, TimestampTz now)
{
	FfItem *item = begin(run, op, FF_ITEM_CALL, group, now);

	ff_run_retry(run, item, op->id, op->name, op->error, answer, now);
}

/* --- one operation --- */

/* When the step began: as long ago as it took. If nobody says how long, it is what has passed since
 * the call was made, or has last told of a step. */
static TimestampTz
began(const FfItem *caller, const FfOp *op, TimestampTz now)
{
	TimestampTz since = Max(caller->called_at, caller->told_at);

	if (op->took >= 0)
		return Max(caller->called_at, now - op->took);
	return since != 0 ? since : now;
}

static void
complete_step(FfRun *run, const FfItem *caller, const FfOp *op, TimestampTz now)
{
	Jsonb	  *fault = ff_limit_output(op->data, psprintf("the step \"%s\"", op->name));
	Jsonb	  *memo = fault ? ff_run_wrap("error", fault) : ff_run_wrap("data", op->data);
	FfStepRow *row = ff_step_checkpoint(run, op->id, ff_item_op(caller), op->name,
										fault ? "failed" : "completed", caller->attempt, memo,
										began(caller, op, now), now);

	row->detail = op->detail;
}

static void
fail_step(FfRun *run, const FfItem *caller, const FfOp *op, TimestampTz now)
{
	FfStepRow *row =
		ff_step_checkpoint(run, op->id, ff_item_op(caller), op->name, "failed", caller->attempt,
						   ff_run_wrap("error", op->error), began(caller, op, now), now);

	row->detail = op->detail;
}

/* The function says it again because the request was not stored. */
static void
restate(FfRun *run, FfItem *item, const FfOp *op)
{
	if (ff_item_requests(item) && item->request == NULL && item->call == NULL)
		item->request = ff_run_keep_json(run, op->request);
}

/* Applies one operation; true when it finished a step. Whatever was applied before is passed over.
 */
static bool
apply_op(FfRun *run, const FfItem *caller, const FfOp *op, const FfAnswer *answer, int max_attempts,
		 int group, TimestampTz now)
{
	bool last = caller->attempt + 1 >= ff_step_attempts(op->terms, max_attempts) || !answer->retry;
	FfItem *known = ff_item_find(run, op->id);

	if (known != NULL)
		restate(run, known, op);
	if (known != NULL || (run->driver == NULL && ff_memo_exists(run, op->id)))
		return false;
	switch (op->kind)
	{
		case FF_OP_NONE:
		case FF_OP_RUN_ERROR: /* after all the others: function_failed */
			return false;
		case FF_OP_COMPLETED:
			complete_step(run, caller, op, now);
			return true;
		case FF_OP_ERROR:
			if (last)
				fail_step(run, caller, op, now);
			else
				begin_retry(run, op, group, answer, now);
			return last;
		case FF_OP_FAILED:
			fail_step(run, caller, op, now);
			return true;
		case FF_OP_PLANNED:
			begin_planned(run, op, group, now);
			return false;
		case FF_OP_SLEEP:
			begin_sleep(run, op, group, now);
			return false;
		case FF_OP_WAIT:
			begin_wait(run, op, group, now);
			return false;
		case FF_OP_SIGNAL:
			begin_signal(run, op, group, now);
			return false;
		case FF_OP_INVOKE:
			return !begin_invoke(run, op, group, now);
		case FF_OP_FETCH:
		case FF_OP_AI:
			begin_request(run, op, group, now);
			return false;
		case FF_OP_DEFER:
			ff_defer_add(run, op, now);
			return false;
		case FF_OP_ABORT:
			ff_defer_abort(run, op, now);
			return false;
		case FF_OP_STEP:
			return op->step->begin(run, op, group, max_attempts, now);
		case FF_OP_RETURN:
			ff_run_return(run, op->data, now);
			return false;
		case FF_OP_AGAIN:
			ff_run_ask_next(run, now);
			return false;
	}
	return false;
}

bool
ff_run_begin(FfRun *run, const FfOp *op, int max_attempts, TimestampTz now)
{
	FfItem	 nobody = {.kind = FF_ITEM_CALL};
	FfAnswer answer = {.retry = true, .retry_after = -1};

	ff_run_change(run);
	return apply_op(run, &nobody, op, &answer, max_attempts, run->group, now);
}

/* The step the call ran has failed and may be tried again: the same call, later. */
static bool
retried_in_place(FfRun *run, FfItem *item, const FfAnswer *answer, int max_attempts,
				 TimestampTz now)
{
	FfOp *op = list_length(answer->ops) == 1 ? linitial(answer->ops) : NULL;

	if (op == NULL || op->kind != FF_OP_ERROR || !answer->retry ||
		item->attempt + 1 >= ff_step_attempts(op->terms, max_attempts))
		return false;
	if (op->terms != NULL)
		item->terms = ff_run_keep_json(run, op->terms);
	ff_run_retry(run, item, op->id, op->name, op->error, answer, now);
	return true;
}

/* What an operation beside it may need: it may send the event or the signal that is waited for, or
 * end the run that defers something. */
static bool
goes_first(const FfOp *op)
{
	return op->kind == FF_OP_WAIT || op->kind == FF_OP_SIGNAL || op->kind == FF_OP_DEFER ||
		   op->kind == FF_OP_ABORT;
}

static bool
apply_all(FfRun *run, const FfItem *caller, const FfAnswer *answer, int max_attempts, int group,
		  TimestampTz now)
{
	bool finished = false;

	for (int pass = 0; pass < 2; pass++)
	{
		ListCell *cell;

		foreach (cell, answer->ops)
		{
			const FfOp *op = lfirst(cell);

			if (goes_first(op) == (pass == 0) && !run->change->ended)
				finished |= apply_op(run, caller, op, answer, max_attempts, group, now);
		}
	}
	return finished;
}

/* Operations that only ride along with others do not count: they begin nothing. */
static int
count_steps(const List *ops)
{
	int		  count = 0;
	ListCell *cell;

	foreach (cell, ops)
	{
		const FfOp *op = lfirst(cell);

		count += op->kind != FF_OP_DEFER && op->kind != FF_OP_ABORT;
	}
	return count;
}

/* A function that fails while something rides along says so by an operation. */
static const FfOp *
function_failure(const List *ops)
{
	ListCell *cell;

	foreach (cell, ops)
	{
		const FfOp *op = lfirst(cell);

		if (op->kind == FF_OP_RUN_ERROR)
			return op;
	}
	return NULL;
}

/* A request that is due and that the function has not said again is no longer wanted. */
static void
drop_unsaid_requests(FfRun *run, TimestampTz now)
{
	List	 *items = list_copy(run->items);
	ListCell *cell;

	foreach (cell, items)
	{
		FfItem *item = lfirst(cell);

		if (ff_item_requests(item) && item->request == NULL && item->due <= now)
			ff_item_remove(run, item);
	}
	list_free(items);
}

/* Neither done nor anything to do: ask again, but not for ever. */
static void
go_on_without_progress(FfRun *run, FfItem *item, int max_attempts, TimestampTz now)
{
	FfAnswer empty = {.retry = true, .retry_after = -1};

	empty.error = ff_run_error("NoProgress", "the function neither finished nor asked for a step");
	ff_item_restore(run, item);
	ff_run_retry_or_fail(run, item, &empty, max_attempts, now);
}

static void
fail_function(FfRun *run, FfItem *item, const FfAnswer *answer, const FfOp *failure,
			  int max_attempts, TimestampTz now)
{
	FfAnswer failed = {.retry = answer->retry && !failure->final,
					   .retry_after = answer->retry_after,
					   .error = failure->error};

	ff_item_restore(run, item);
	ff_run_retry_or_fail(run, item, &failed, max_attempts, now);
}

void
ff_run_apply_ops(FfRun *run, FfItem *item, const FfAnswer *answer, int max_attempts,
				 TimestampTz now)
{
	bool		asking = item->id[0] == '\0';
	int			group = asking ? run->group + 1 : item->group;
	const FfOp *failure = function_failure(answer->ops);
	bool		finished;

	ff_run_change(run);
	if (retried_in_place(run, item, answer, max_attempts, now))
		return;
	run->group = Max(run->group, group);
	if (count_steps(answer->ops) > 1)
		run->plan = true;
	ff_item_remove(run, item);
	finished = apply_all(run, item, answer, max_attempts, group, now) || item->told_at != 0;
	ff_limit_run(run, now);
	if (run->change->ended)
		return;
	if (asking)
		drop_unsaid_requests(run, now);
	if (failure != NULL)
		fail_function(run, item, answer, failure, max_attempts, now);
	else if (item->again)
		ff_run_ask_next(run, now);
	else if (finished)
		ff_run_decide_next(run, group, item->race, now);
	else if (run->items == NIL)
		go_on_without_progress(run, item, max_attempts, now);
}

/* The call has told of the step that had failed before: what comes after it has all attempts. */
static void
forget_failures(FfItem *caller)
{
	caller->attempt = 0;
	caller->error = NULL;
	caller->terms = NULL;
}

/* The call goes on, so nothing else is asked; if it breaks off, the next one begins after these
 * steps. */
void
ff_run_checkpoint(FfRun *run, const FfAnswer *answer, TimestampTz now)
{
	FfItem	  missing = {.kind = FF_ITEM_CALL};
	FfItem	 *caller = ff_item_find(run, "");
	ListCell *cell;

	ff_run_change(run);
	if (caller == NULL)
		caller = &missing;
	ff_run_note_start(run, caller->called_at ? caller->called_at : now);
	foreach (cell, answer->ops)
	{
		const FfOp *op = lfirst(cell);

		if (ff_op_is_checkpoint(op) && !run->change->ended &&
			apply_op(run, caller, op, answer, 1, 0, now))
			forget_failures(caller);
	}
	run->group = Max(run->group, 1);
	forget_failures(caller);
	caller->told_at = now;
	if (caller->remote)
		caller->due = now + (int64) ff_endpoint_lease * USECS_PER_SEC;
	ff_limit_run(run, now);
}

void
ff_run_report(FfRun *run, const FfAnswer *answer, int max_attempts, TimestampTz now)
{
	FfItem	 *caller = ff_item_find(run, "");
	bool	  only_steps = true;
	ListCell *cell;

	foreach (cell, answer->ops)
		only_steps &=
			ff_op_is_checkpoint(lfirst(cell)) && ((FfOp *) lfirst(cell))->kind != FF_OP_FAILED;
	if (caller != NULL && caller->remote)
		caller->called_at = caller->created;
	if (only_steps || caller == NULL || !caller->remote)
	{
		ff_run_checkpoint(run, answer, now);
		return;
	}
	/* The app lets go: what it says is its answer. */
	caller->remote = false;
	caller->due = 0;
	ff_run_answer(run, caller, answer, max_attempts, now);
}
