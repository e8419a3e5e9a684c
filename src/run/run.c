/*
 * run.c - everything that may happen to a run (see run.h; README.md has the picture).
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "run/actor.h"
#include "run/driver.h"
#include "run/kind.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/json.h"

int ff_unreachable_limit = 86400;
int ff_endpoint_lease = 300;
int ff_invoke_depth_limit = 100;

/* --- retries --- */

static int64
backoff(FfRun *run, const FfItem *item, int attempt)
{
	FfBackoff policy;

	if (run->driver != NULL)
		return run->driver->backoff(run, item, attempt);
	policy = ff_step_backoff(item->terms, &run->policy.backoff);
	return ff_backoff_delay(&policy, attempt);
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

void
ff_run_retry(FfRun *run, FfItem *item, const char *step_id, const char *name, Jsonb *error,
			 const FfAnswer *answer, TimestampTz now)
{
	int64 delay =
		answer->retry_after >= 0 ? answer->retry_after : backoff(run, item, item->attempt);

	item->due = now + delay;
	ff_run_log(run, *step_id ? "step.retrying" : "run.retrying", step_id, name, item->attempt,
			   retry_data(error, item->due), now);
	item->attempt++;
	item->begun = false;
	item->error = ff_run_keep_json(run, error);
}

void
ff_run_retry_or_fail(FfRun *run, FfItem *item, const FfAnswer *answer, int max_attempts,
					 TimestampTz now)
{
	if (answer->retry && item->attempt + 1 < max_attempts)
		ff_run_retry(run, item, item->id, item->name, answer->error, answer, now);
	else if (answer->of_step && *item->id)
		ff_item_finish(run, item, "failed", ff_run_wrap("error", answer->error), now);
	else
		ff_run_end(run, "failed", NULL, answer->error, now);
}

void
ff_run_attempt_failed(FfRun *run, FfItem *item, Jsonb *error, bool retry, int64 retry_after,
					  int max_attempts, TimestampTz now)
{
	FfAnswer answer = {.error = error, .retry_after = retry_after};

	if (retry && item->attempt + 1 < max_attempts)
	{
		ff_run_change(run);
		ff_run_retry(run, item, item->id, item->name, error, &answer, now);
	}
	else
		ff_item_finish(run, item, "failed", ff_run_wrap("error", error), now);
}

/* Nothing of ours ran, so no attempt is used up; but an app that stays away for long fails its
 * runs. */
static void
wait_for_app(FfRun *run, FfItem *item, const FfAnswer *answer, TimestampTz now)
{
	if (item->unreachable++ == 0)
	{
		item->unreachable_since = now;
		ff_run_log(run, *item->id ? "step.retrying" : "run.retrying", item->id, item->name,
				   item->attempt, ff_run_wrap("error", answer->error), now);
	}
	if (now - item->unreachable_since >= (int64) ff_unreachable_limit * USECS_PER_SEC)
	{
		ff_run_end(run, "failed", NULL, answer->error, now);
		return;
	}
	ff_run_change(run);
	item->error = ff_run_keep_json(run, answer->error);
	item->due = now + backoff(run, item, Min(item->unreachable - 1, 6));
}

/* --- what may happen --- */

void
ff_run_return(FfRun *run, Jsonb *output, TimestampTz now)
{
	Jsonb *fault = ff_limit_output(output, "the run");

	ff_run_end(run, fault ? "failed" : "completed", fault ? NULL : output, fault, now);
}

void
ff_run_note_start(FfRun *run, TimestampTz at)
{
	if (run->started != 0)
		return;
	(void) ff_run_change(run); /* which is to know that it had not begun */
	run->started = at;
	ff_run_log(run, "run.started", NULL, NULL, -1, NULL, at);
}

void
ff_run_answer(FfRun *run, FfItem *item, const FfAnswer *answer, int max_attempts, TimestampTz now)
{
	item->call = NULL;
	if (run->driver != NULL)
	{
		ff_run_change(run);
		run->driver->answer(run, item, answer, now);
		return;
	}
	max_attempts = ff_step_attempts(item->terms, max_attempts);
	if (answer->kind != FF_ANSWER_UNREACHABLE)
	{
		item->unreachable = 0;
		ff_run_note_start(run, item->called_at);
		if (run->protocol < 0 && answer->protocol > 0)
			run->protocol = answer->protocol;
	}
	switch (answer->kind)
	{
		case FF_ANSWER_OPS:
			ff_run_apply_ops(run, item, answer, max_attempts, now);
			break;
		case FF_ANSWER_RETURN:
			ff_run_return(run, answer->output, now);
			break;
		case FF_ANSWER_ERROR:
			ff_run_retry_or_fail(run, item, answer, max_attempts, now);
			break;
		case FF_ANSWER_UNREACHABLE:
			wait_for_app(run, item, answer, now);
			break;
	}
}

static void
time_out(FfRun *run, FfItem *item, TimestampTz now)
{
	if (item->kind == FF_ITEM_STEP)
		item->step->time_out(run, item, now);
	else if (item->kind == FF_ITEM_INVOKE)
		ff_item_finish(
			run, item, "failed",
			ff_run_wrap("error",
						ff_run_error("InngestInvokeTimeoutError",
									 "Timed out waiting for invoked function to complete")),
			now);
	else
		ff_item_finish(run, item, "completed", ff_json_null(), now);
}

/* A request is not stored, because of its secrets: the function says it again. */
static void
ask_again(FfRun *run, TimestampTz now)
{
	if (ff_item_find(run, "") != NULL)
		return;
	ff_run_change(run);
	ff_run_ask_next(run, now);
}

void
ff_run_wake(FfRun *run, TimestampTz now)
{
	List	 *items;
	ListCell *cell;

	if (ff_run_expire(run, now))
		return;
	items = list_copy(run->items);
	foreach (cell, items)
	{
		FfItem *item = lfirst(cell);

		if (item->due > now)
			continue;
		if (!ff_item_is_work(item))
			time_out(run, item, now);
		else if (ff_item_requests(item) && item->request == NULL)
			ask_again(run, now);
	}
	list_free(items);
}

static void
receive_event(FfRun *run, FfItem *item, Jsonb *payload, TimestampTz now)
{
	if (item->kind == FF_ITEM_WAIT)
		ff_item_finish(run, item, "completed", ff_json_member(payload, "event"), now);
}

/* What an attempt that was given up had invoked may end while the next one waits. */
static bool
is_of_another(const FfItem *item, Jsonb *payload)
{
	static const pg_uuid_t unknown = {{0}};
	char				  *said = ff_json_text(payload, "run");
	pg_uuid_t			   child;

	return memcmp(&item->child, &unknown, sizeof(unknown)) != 0 && said != NULL &&
		   ff_id_parse(said, &child) && memcmp(&item->child, &child, sizeof(child)) != 0;
}

static void
receive_result(FfRun *run, FfItem *item, Jsonb *payload, TimestampTz now)
{
	Jsonb *error = ff_json_member(payload, "error");

	if (item->kind != FF_ITEM_INVOKE || is_of_another(item, payload))
		return;
	if (ff_json_bool(payload, "refused"))
		item->max_attempts = item->attempt; /* it would be refused again */
	if (error != NULL)
		ff_item_finish(run, item, "failed", ff_run_wrap("error", error), now);
	else
		ff_item_finish(run, item, "completed",
					   ff_run_wrap("data", ff_json_member(payload, "output")), now);
}

/* The function's configuration says that this event cancels its runs. */
static void
cancel_on(FfRun *run, Jsonb *payload, TimestampTz now)
{
	Jsonb *event = ff_json_member(payload, "event");
	char  *name = event ? ff_json_text(event, "name") : NULL;
	char  *id = event ? ff_json_text(event, "id") : NULL;

	ff_run_end(run, "cancelled", NULL,
			   ff_run_error("Cancelled", psprintf("the event %s (%s) cancels this run (cancelOn)",
												  name ? name : "?", id ? id : "?")),
			   now);
}

/* A signal for a step, or that another run waits for the signal, which ends this one. */
static void
receive_signal(FfRun *run, FfItem *item, Jsonb *payload, TimestampTz now)
{
	FfJsonBuilder builder = {0};
	char		 *signal = ff_json_text(payload, "signal");

	if (item->kind != FF_ITEM_SIGNAL)
		return;
	if (ff_json_bool(payload, "conflict"))
	{
		ff_run_end(run, "failed", NULL,
				   ff_run_error("SignalConflictError",
								psprintf("another run waits for the signal \"%s\"", signal)),
				   now);
		return;
	}
	ff_jb_object(&builder);
	ff_jb_key(&builder, "data");
	ff_jb_json(&builder, ff_json_member(payload, "data"));
	ff_jb_key(&builder, "signal");
	ff_jb_text(&builder, signal);
	ff_jb_end(&builder);
	ff_item_finish(run, item, "completed", ff_run_wrap("data", ff_jb_finish(&builder)), now);
}

/* Somebody ends a wait, or a sleep, in place of what it waits for. */
static void
receive_resume(FfRun *run, FfItem *item, Jsonb *payload, TimestampTz now)
{
	Jsonb *memo = ff_json_member(payload, "memo");

	if ((item->kind != FF_ITEM_WAIT && item->kind != FF_ITEM_SIGNAL &&
		 item->kind != FF_ITEM_SLEEP) ||
		item->error != NULL || memo == NULL)
		return; /* one that has failed sleeps until it is tried again */
	ff_run_log(run, "step.resumed", item->id, item->name, -1,
			   ff_run_wrap("by", ff_json_member(payload, "by")), now);
	ff_item_finish(run, item, "completed", memo, now);
}

void
ff_run_message(FfRun *run, const char *kind, Jsonb *payload, TimestampTz now)
{
	char   *step_id = ff_json_text(payload, "step");
	FfItem *item = step_id ? ff_item_find(run, step_id) : NULL;

	if (strcmp(kind, "cancel") == 0)
	{
		char *reason = ff_json_text(payload, "reason");

		ff_run_end(run, "cancelled", NULL,
				   ff_run_error("Cancelled", reason ? reason : "the run was cancelled"), now);
	}
	else if (strcmp(kind, "event") == 0 && ff_cancel_step(step_id))
		cancel_on(run, payload, now);
	else if (item == NULL)
		return; /* it came twice, or too late */
	else if (strcmp(kind, "event") == 0)
		receive_event(run, item, payload, now);
	else if (strcmp(kind, "invoked") == 0)
		receive_result(run, item, payload, now);
	else if (strcmp(kind, "resume") == 0)
		receive_resume(run, item, payload, now);
	else if (item->kind == FF_ITEM_STEP)
		item->step->message(run, item, kind, payload, now);
	else if (strcmp(kind, "signal") == 0)
		receive_signal(run, item, payload, now);
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
	if (run->driver != NULL)
		run->driver->end(run, status, now);
	foreach (cell, run->items)
		ff_item_release(run, lfirst(cell));
	for (int i = 0; i < run->policy.cancels; i++)
		change->waits_done = lappend(change->waits_done, ff_cancel_step_id(i));
	ff_kinds_run_ended(run);
	ff_run_log(run, psprintf("run.%s", status), NULL, NULL, -1,
			   error ? ff_run_wrap("error", error) : NULL, now);
}
