/*
 * run.c - everything that may happen to a run (see run.h; README.md has the picture).
 *
 * The rules of the SDK protocol about what is called next are here and only here: `decide_next`.
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"
#include "utils/memutils.h"

#include "run/answer.h"
#include "run/run.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/json.h"

#define MAX_BACKOFF_S 300.0

int ff_retry_interval = 0;
int ff_unreachable_limit = 86400;
int ff_invoke_depth_limit = 100;

/* The run's change, begun when there is none; made in the current context, the group's. */
FfChange *
ff_run_change(FfRun *run)
{
	if (run->change == NULL)
	{
		run->change = palloc0(sizeof(FfChange));
		run->change->run = run;
		run->change->home_before = run->home;
		run->change->first_seq = run->seq + 1;
	}
	return run->change;
}

static void
put_text(FfJsonBuilder *builder, const char *key, const char *text)
{
	if (text == NULL || *text == '\0')
		return;
	ff_jb_key(builder, key);
	ff_jb_text(builder, text);
}

/* Appends an event to the run's log; step id, name and data may be NULL, attempt -1. */
static void
log_event(FfRun *run, const char *type, const char *step_id, const char *name, int attempt,
		  Jsonb *data, TimestampTz at)
{
	FfChange	 *change = ff_run_change(run);
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "t", type);
	ff_jb_key(&builder, "at");
	ff_jb_int(&builder, ff_unix_us(at));
	put_text(&builder, "s", step_id);
	put_text(&builder, "n", name);
	if (attempt >= 0)
	{
		ff_jb_key(&builder, "a");
		ff_jb_int(&builder, attempt);
	}
	if (data != NULL)
	{
		ff_jb_key(&builder, "d");
		ff_jb_json(&builder, data);
	}
	ff_jb_end(&builder);
	change->events = lappend(change->events, ff_jb_finish(&builder));
	run->seq++;
}

Jsonb *
ff_run_error(const char *name, const char *message)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "message", message);
	put_text(&builder, "name", name);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static Jsonb *
wrap(const char *key, Jsonb *value)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, key);
	ff_jb_json(&builder, value);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static Jsonb *
keep_json(FfRun *run, Jsonb *value)
{
	Jsonb *copy;

	if (value == NULL)
		return NULL;
	copy = MemoryContextAlloc(run->context, VARSIZE(value));
	memcpy(copy, value, VARSIZE(value));
	return copy;
}

/* --- items --- */

static FfItem *
add_item(FfRun *run, FfItemKind kind, const char *id, const char *name, int group, TimestampTz now)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	FfItem		 *item = palloc0(sizeof(FfItem));

	item->kind = kind;
	strlcpy(item->id, id, sizeof(item->id));
	item->name = name ? pstrdup(name) : NULL;
	item->group = group;
	item->created = now;
	item->due = kind == FF_ITEM_CALL ? 0 : DT_NOEND;
	run->items = lappend(run->items, item);
	MemoryContextSwitchTo(old);
	return item;
}

static void
remove_item(FfRun *run, FfItem *item)
{
	run->items = list_delete_ptr(run->items, item);
}

/* Puts back an item that was removed for a moment. */
static void
restore_item(FfRun *run, FfItem *item)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	run->items = lappend(run->items, item);
	MemoryContextSwitchTo(old);
}

static FfItem *
find_item(const FfRun *run, const char *id)
{
	ListCell *cell;

	foreach (cell, run->items)
	{
		FfItem *item = lfirst(cell);

		if (strcmp(item->id, id) == 0)
			return item;
	}
	return NULL;
}

static bool
has_memo(const FfRun *run, const char *id)
{
	for (int i = 0; i < run->memo_count; i++)
	{
		if (strcmp(run->memos[i].id, id) == 0)
			return true;
	}
	return false;
}

static bool
group_pending(const FfRun *run, int group)
{
	ListCell *cell;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		if (item->id[0] != '\0' && item->group == group)
			return true;
	}
	return false;
}

/* Asks the function what comes next: at once, or again after the call that asks it now. */
static void
ask_next(FfRun *run, TimestampTz now)
{
	FfItem *asking = find_item(run, "");

	if (asking == NULL)
		add_item(run, FF_ITEM_CALL, "", NULL, 0, now);
	else if (asking->call != NULL)
		asking->again = true;
}

/*
 * Something of a group has finished. Version 1 of the protocol asks after each finish; version 2
 * when the whole group has finished, or after each when the function races its steps.
 */
static void
decide_next(FfRun *run, int group, bool race, TimestampTz now)
{
	bool group_done = !group_pending(run, group);

	if (run->change->ended)
		return;
	if (run->protocol != 1 && group_done)
		run->plan = false;
	if (run->protocol == 1 || race || group_done)
		ask_next(run, now);
}

/* --- steps --- */

static void
checkpoint(FfRun *run, const char *id, const char *op, const char *name, const char *status,
		   int attempt, Jsonb *memo, TimestampTz started, TimestampTz now)
{
	FfChange  *change = ff_run_change(run);
	FfStepRow *row = palloc0(sizeof(FfStepRow));

	strlcpy(row->id, id, sizeof(row->id));
	row->op = op;
	row->name = pstrdup(name ? name : "");
	row->status = status;
	row->attempt = attempt;
	row->memo = memo;
	row->started = started;
	row->ended = now;
	ff_run_add_memo(run, id, memo);
	row->position = run->memo_count;
	change->steps = lappend(change->steps, row);
	log_event(run, strcmp(status, "failed") == 0 ? "step.failed" : "step.completed", id, name,
			  attempt, strcmp(status, "failed") == 0 ? memo : NULL, now);
}

static const char *
item_op(const FfItem *item)
{
	switch (item->kind)
	{
		case FF_ITEM_SLEEP:
			return "sleep";
		case FF_ITEM_WAIT:
			return "wait";
		case FF_ITEM_INVOKE:
			return "invoke";
		case FF_ITEM_CALL:
			break;
	}
	return "run";
}

/* A step that was not a call is over: its memo is known. */
static void
finish_item(FfRun *run, FfItem *item, const char *status, Jsonb *memo, TimestampTz now)
{
	FfChange *change = ff_run_change(run);

	checkpoint(run, item->id, item_op(item), item->name, status, item->attempt, memo, item->created,
			   now);
	if (item->kind == FF_ITEM_WAIT)
		change->waits_done = lappend(change->waits_done, pstrdup(item->id));
	remove_item(run, item);
	decide_next(run, item->group, item->race, now);
}

/* --- retries --- */

static int64
backoff(int attempt)
{
	double seconds;

	if (ff_retry_interval > 0)
		return (int64) ff_retry_interval * 1000;
	seconds = Min(ldexp(1.0, Min(attempt, 20)) * (0.5 + pg_prng_double(&pg_global_prng_state)),
				  MAX_BACKOFF_S);
	return (int64) (seconds * 1000000);
}

/* Why it is tried again, and when. */
static Jsonb *
retry_data(Jsonb *error, TimestampTz due)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "error");
	ff_jb_json(&builder, error);
	ff_jb_key(&builder, "due");
	ff_jb_int(&builder, ff_unix_us(due) / 1000);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static void
retry_later(FfRun *run, FfItem *item, const char *step_id, const char *name, Jsonb *error,
			int64 delay, TimestampTz now)
{
	item->due = now + delay;
	log_event(run, *step_id ? "step.retrying" : "run.retrying", step_id, name, item->attempt,
			  retry_data(error, item->due), now);
	item->attempt++;
	item->error = keep_json(run, error);
}

static void
retry_or_fail(FfRun *run, FfItem *item, const FfAnswer *answer, int max_attempts, TimestampTz now)
{
	if (answer->retry && item->attempt + 1 < max_attempts)
		retry_later(run, item, item->id, item->name, answer->error,
					answer->retry_after >= 0 ? answer->retry_after : backoff(item->attempt), now);
	else
		ff_run_end(run, "failed", NULL, answer->error, now);
}

/* Nothing of ours ran, so no attempt is used up; but an app that stays away for long fails its
 * runs. */
static void
wait_for_app(FfRun *run, FfItem *item, const FfAnswer *answer, TimestampTz now)
{
	if (item->unreachable++ == 0)
	{
		item->unreachable_since = now;
		log_event(run, *item->id ? "step.retrying" : "run.retrying", item->id, item->name,
				  item->attempt, wrap("error", answer->error), now);
	}
	if (now - item->unreachable_since >= (int64) ff_unreachable_limit * USECS_PER_SEC)
	{
		ff_run_end(run, "failed", NULL, answer->error, now);
		return;
	}
	ff_run_change(run);
	item->error = keep_json(run, answer->error);
	item->due = now + backoff(Min(item->unreachable - 1, 6));
}

/* --- operations --- */

static void
note(FfRun *run, FfItem *item, const char *type, TimestampTz now)
{
	FfJsonBuilder builder = {0};

	if (item->due == 0 || item->due == DT_NOEND)
	{
		log_event(run, type, item->id, item->name, -1, NULL, now);
		return;
	}
	ff_jb_object(&builder);
	ff_jb_key(&builder, "due");
	ff_jb_int(&builder, ff_unix_us(item->due) / 1000);
	ff_jb_end(&builder);
	log_event(run, type, item->id, item->name, -1, ff_jb_finish(&builder), now);
}

static void
begin_wait(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	FfItem *item = add_item(run, FF_ITEM_WAIT, op->id, op->name, group, now);
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
	note(run, item, "step.waiting", now);
}

static void
begin_invoke(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	FfItem		 *item = add_item(run, FF_ITEM_INVOKE, op->id, op->name, group, now);
	FfInvocation *invocation = palloc0(sizeof(FfInvocation));

	item->race = op->race;
	item->due = op->due;
	strlcpy(invocation->step_id, op->id, sizeof(invocation->step_id));
	invocation->name = op->name;
	invocation->slug = op->function;
	invocation->payload = op->payload;
	invocation->expires = op->due;
	run->change->invocations = lappend(run->change->invocations, invocation);
	note(run, item, "step.waiting", now);
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
	FfItem *item = add_item(run, FF_ITEM_SLEEP, op->id, op->name, group, now);

	item->race = op->race;
	item->due = op->due;
	note(run, item, "step.sleeping", now);
}

/* A retriable error among several operations: the step is called again by itself. */
static void
begin_retry(FfRun *run, const FfOp *op, int group, const FfAnswer *answer, TimestampTz now)
{
	FfItem *item = add_item(run, FF_ITEM_CALL, op->id, op->name, group, now);

	item->race = op->race;
	retry_later(run, item, op->id, op->name, op->error,
				answer->retry_after >= 0 ? answer->retry_after : backoff(0), now);
}

static void
begin_planned(FfRun *run, const FfOp *op, int group, TimestampTz now)
{
	FfItem *item = add_item(run, FF_ITEM_CALL, op->id, op->name, group, now);

	item->race = op->race;
	log_event(run, "step.planned", op->id, op->name, -1, NULL, now);
}

/* Applies one operation; true when it finished a step. Whatever was applied before is passed over.
 */
static bool
apply_op(FfRun *run, const FfItem *caller, const FfOp *op, const FfAnswer *answer, int max_attempts,
		 int group, TimestampTz now)
{
	bool last = caller->attempt + 1 >= max_attempts || !answer->retry;

	if (has_memo(run, op->id) || find_item(run, op->id) != NULL)
		return false;
	switch (op->kind)
	{
		case FF_OP_COMPLETED:
			checkpoint(run, op->id, "run", op->name, "completed", caller->attempt,
					   wrap("data", op->data), caller->called_at, now);
			return true;
		case FF_OP_ERROR:
			if (!last)
			{
				begin_retry(run, op, group, answer, now);
				return false;
			}
			/* FALLTHROUGH */
		case FF_OP_FAILED:
			checkpoint(run, op->id, "run", op->name, "failed", caller->attempt,
					   wrap("error", op->error), caller->called_at, now);
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
				checkpoint(run, op->id, "invoke", op->name, "failed", 0,
						   wrap("error", invoked_too_deeply(run)), now, now);
				return true;
			}
			begin_invoke(run, op, group, now);
			return false;
		case FF_OP_RETURN:
			ff_run_end(run, "completed", op->data, NULL, now);
			return false;
		case FF_OP_AGAIN:
			ask_next(run, now);
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
	retry_later(run, item, op->id, op->name, op->error,
				answer->retry_after >= 0 ? answer->retry_after : backoff(item->attempt), now);
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

static void
apply_ops(FfRun *run, FfItem *item, const FfAnswer *answer, int max_attempts, TimestampTz now)
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
	remove_item(run, item);
	finished = apply_all(run, item, answer, max_attempts, group, now);
	if (run->change->ended)
		return;
	if (item->again)
		ask_next(run, now);
	else if (finished)
		decide_next(run, group, item->race, now);
	else if (run->items == NIL)
	{
		FfAnswer empty = {.retry = true, .retry_after = -1};

		/* Neither done nor anything to do: ask again, but not for ever. */
		empty.error =
			ff_run_error("NoProgress", "the function neither finished nor asked for a step");
		restore_item(run, item);
		retry_or_fail(run, item, &empty, max_attempts, now);
	}
}

/* --- what may happen --- */

void
ff_run_answer(FfRun *run, FfItem *item, const FfAnswer *answer, int max_attempts, TimestampTz now)
{
	item->call = NULL;
	if (answer->kind != FF_ANSWER_UNREACHABLE)
	{
		item->unreachable = 0;
		if (run->started == 0)
		{
			run->started = item->called_at;
			ff_run_change(run);
			log_event(run, "run.started", NULL, NULL, -1, NULL, item->called_at);
		}
		if (run->protocol < 0 && answer->protocol > 0)
			run->protocol = answer->protocol;
	}
	switch (answer->kind)
	{
		case FF_ANSWER_OPS:
			apply_ops(run, item, answer, max_attempts, now);
			break;
		case FF_ANSWER_RETURN:
			ff_run_end(run, "completed", answer->output, NULL, now);
			break;
		case FF_ANSWER_ERROR:
			retry_or_fail(run, item, answer, max_attempts, now);
			break;
		case FF_ANSWER_UNREACHABLE:
			wait_for_app(run, item, answer, now);
			break;
	}
}

static void
time_out(FfRun *run, FfItem *item, TimestampTz now)
{
	if (item->kind == FF_ITEM_INVOKE)
		finish_item(
			run, item, "failed",
			wrap("error", ff_run_error("InngestInvokeTimeoutError",
									   "Timed out waiting for invoked function to complete")),
			now);
	else
		finish_item(run, item, "completed", ff_json_null(), now);
}

void
ff_run_wake(FfRun *run, TimestampTz now)
{
	List	 *items = list_copy(run->items);
	ListCell *cell;

	foreach (cell, items)
	{
		FfItem *item = lfirst(cell);

		if (item->kind != FF_ITEM_CALL && item->due <= now)
			time_out(run, item, now);
	}
	list_free(items);
}

static void
receive_event(FfRun *run, FfItem *item, Jsonb *payload, TimestampTz now)
{
	if (item->kind == FF_ITEM_WAIT)
		finish_item(run, item, "completed", ff_json_member(payload, "event"), now);
}

static void
receive_result(FfRun *run, FfItem *item, Jsonb *payload, TimestampTz now)
{
	Jsonb *error = ff_json_member(payload, "error");

	if (item->kind != FF_ITEM_INVOKE)
		return;
	if (error != NULL)
		finish_item(run, item, "failed", wrap("error", error), now);
	else
		finish_item(run, item, "completed", wrap("data", ff_json_member(payload, "output")), now);
}

void
ff_run_message(FfRun *run, const char *kind, Jsonb *payload, TimestampTz now)
{
	char   *step_id = ff_json_text(payload, "step");
	FfItem *item = step_id ? find_item(run, step_id) : NULL;

	if (strcmp(kind, "cancel") == 0)
	{
		char *reason = ff_json_text(payload, "reason");

		ff_run_end(run, "cancelled", NULL,
				   ff_run_error("Cancelled", reason ? reason : "the run was cancelled"), now);
	}
	else if (item == NULL)
		return; /* it came twice, or too late */
	else if (strcmp(kind, "event") == 0)
		receive_event(run, item, payload, now);
	else if (strcmp(kind, "invoked") == 0)
		receive_result(run, item, payload, now);
}

void
ff_run_end(FfRun *run, const char *status, Jsonb *output, Jsonb *error, TimestampTz now)
{
	FfChange *change = ff_run_change(run);
	ListCell *cell;

	if (change->ended)
		return;
	change->ended = true;
	change->status = status;
	change->output = output;
	change->error = error;
	change->ended_at = now;
	foreach (cell, run->items)
	{
		FfItem *item = lfirst(cell);

		if (item->kind == FF_ITEM_WAIT)
			change->waits_done = lappend(change->waits_done, pstrdup(item->id));
	}
	log_event(run, psprintf("run.%s", status), NULL, NULL, -1, error ? wrap("error", error) : NULL,
			  now);
}
