/*
 * op.c - what the operations of an answer do to a run (see actor.h).
 *
 * Every operation may come again, because the call was made again or because the function reports
 * what is pending each time it is asked: what has a memo or an item already is passed over.
 */
#include "postgres.h"

#include "run/actor.h"
#include "run/kind.h"
#include "util/json.h"

static void
begin_wait(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	FfItem *item = ff_item_add(run, FF_ITEM_WAIT, op->id, op->name, group, now);
	FfWait *wait = palloc0(sizeof(FfWait));

	item->race = op->race;
	item->due = op->due;
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
begin_invoke(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	FfItem		 *item = ff_item_add(run, FF_ITEM_INVOKE, op->id, op->name, group, now);
	FfInvocation *invocation = palloc0(sizeof(FfInvocation));

	item->race = op->race;
	item->due = op->due;
	strlcpy(invocation->step_id, op->id, sizeof(invocation->step_id));
	invocation->name = op->name;
	invocation->slug = op->function;
	invocation->payload = op->payload;
	invocation->expires = op->due;
	run->change->invocations = lappend(run->change->invocations, invocation);
	ff_item_note(run, item, "step.waiting", now);
}

static Jsonb *
invoked_too_deeply(const FfRun *run)
{
	return ff_run_error(
		"InvocationTooDeep",
		psprintf(
			"this run is the %dth of a chain of invocations; flowforge.invoke_depth_limit allows %d",
			run->depth + 1, ff_invoke_depth_limit));
}

static void
begin_sleep(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	FfItem *item = ff_item_add(run, FF_ITEM_SLEEP, op->id, op->name, group, now);

	item->race = op->race;
	item->due = op->due;
	ff_item_note(run, item, "step.sleeping", now);
}

/* A retriable error among several operations: the step is called again by itself. */
static void
begin_retry(FfRun *run, const FfOp *op, int group, const FfAnswer *answer, TimestampTz now)
{
	FfItem *item = ff_item_add(run, FF_ITEM_CALL, op->id, op->name, group, now);

	item->race = op->race;
	ff_run_retry(run, item, op->id, op->name, op->error, answer, now);
}

static void
begin_planned(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	FfItem *item = ff_item_add(run, FF_ITEM_CALL, op->id, op->name, group, now);

	item->race = op->race;
	ff_run_log(run, "step.planned", op->id, op->name, -1, NULL, now);
}

/* Applies one operation; true when it finished a step. Whatever was applied before is passed over.
 */
static bool
apply_op(FfRun *run, const FfItem *caller, const FfOp *op, const FfAnswer *answer, int max_attempts,
		 int group, TimestampTz now)
{
	bool last = caller->attempt + 1 >= max_attempts || !answer->retry;

	if (ff_memo_exists(run, op->id) || ff_item_find(run, op->id) != NULL)
		return false;
	switch (op->kind)
	{
		case FF_OP_COMPLETED:
			ff_step_checkpoint(run, op->id, "run", op->name, "completed", caller->attempt,
							   ff_run_wrap("data", op->data), caller->called_at, now);
			return true;
		case FF_OP_ERROR:
			if (!last)
			{
				begin_retry(run, op, group, answer, now);
				return false;
			}
			/* FALLTHROUGH */
		case FF_OP_FAILED:
			ff_step_checkpoint(run, op->id, "run", op->name, "failed", caller->attempt,
							   ff_run_wrap("error", op->error), caller->called_at, now);
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
		case FF_OP_INVOKE:
			if (run->depth >= ff_invoke_depth_limit)
			{
				ff_step_checkpoint(run, op->id, "invoke", op->name, "failed", 0,
								   ff_run_wrap("error", invoked_too_deeply(run)), now, now);
				return true;
			}
			begin_invoke(run, op, group, now);
			return false;
		case FF_OP_STEP:
			return op->step->begin(run, op, group, max_attempts, now);
		case FF_OP_RETURN:
			ff_run_end(run, "completed", op->data, NULL, now);
			return false;
		case FF_OP_AGAIN:
			ff_run_ask_next(run, now);
			return false;
	}
	return false;
}

/* The step the call ran has failed and may be tried again: the same call, later. */
static bool
retried_in_place(FfRun *run, FfItem *item, const FfAnswer *answer, int max_attempts,
				 TimestampTz now)
{
	FfOp *op = list_length(answer->ops) == 1 ? linitial(answer->ops) : NULL;

	if (op == NULL || op->kind != FF_OP_ERROR || !answer->retry ||
		item->attempt + 1 >= max_attempts)
		return false;
	ff_run_retry(run, item, op->id, op->name, op->error, answer, now);
	return true;
}

/* Waits first: an operation beside them may be what sends the event they wait for. */
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

			if ((op->kind == FF_OP_WAIT) == (pass == 0) && !run->change->ended)
				finished |= apply_op(run, caller, op, answer, max_attempts, group, now);
		}
	}
	return finished;
}

void
ff_run_apply_ops(FfRun *run, FfItem *item, const FfAnswer *answer, int max_attempts,
				 TimestampTz now)
{
	bool asking = item->id[0] == '\0';
	int	 group = asking ? run->group + 1 : item->group;
	bool finished;

	ff_run_change(run);
	if (retried_in_place(run, item, answer, max_attempts, now))
		return;
	run->group = Max(run->group, group);
	if (list_length(answer->ops) > 1)
		run->plan = true;
	ff_item_remove(run, item);
	finished = apply_all(run, item, answer, max_attempts, group, now);
	if (run->change->ended)
		return;
	if (item->again)
		ff_run_ask_next(run, now);
	else if (finished)
		ff_run_decide_next(run, group, item->race, now);
	else if (run->items == NIL)
	{
		FfAnswer empty = {.retry = true, .retry_after = -1};

		/* Neither done nor anything to do: ask again, but not for ever. */
		empty.error =
			ff_run_error("NoProgress", "the function neither finished nor asked for a step");
		ff_item_restore(run, item);
		ff_run_retry_or_fail(run, item, &empty, max_attempts, now);
	}
}
