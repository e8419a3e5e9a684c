/*
 * node.c - the beginning and the end of a node, or of one item of a for_each: its config is
 * resolved, its type says what is to be done, and what comes back is its output or its error, by
 * the rules every type shares (retries, on_error, limits). Rows and events are written here and
 * nowhere else.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "graph/drive.h"
#include "run/kind.h"
#include "util/errors.h"
#include "util/json.h"

/* --- errors --- */

static void
put(FfJsonBuilder *builder, const char *key, const char *text)
{
	if (text == NULL)
		return;
	ff_jb_key(builder, key);
	ff_jb_text(builder, text);
}

/* An error that was raised while a config was resolved, or by a type's own check of it. */
static Jsonb *
raised(const ErrorData *error)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put(&builder, "name", "ConfigError");
	put(&builder, "message", error->message);
	put(&builder, "code", unpack_sql_state(error->sqlerrcode));
	put(&builder, "detail", error->detail);
	put(&builder, "hint", error->hint);
	put(&builder, "where", error->context);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static bool
is_ours(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(FF_ERR_EXPRESSION_SYNTAX);
}

/* Resolves the config and asks the type what is to be done. Errors of ours are the step's: neither
 * holds anything that an aborted transaction would have to give back. */
static Jsonb *
ask_type(const FfPlace *place, FfNodeStart *start, FfOp *op)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb *volatile config = NULL;

	PG_TRY();
	{
		start->scope = ff_context_scope(start->run, place);
		config = ff_config_resolve(start->run, place, start->scope, &op->mark);
		start->config = config;
		if (place->inner->type->start != NULL)
			place->inner->type->start(start, op);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!is_ours(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		op->kind = FF_OP_FAILED;
		op->error = raised(error);
	}
	PG_END_TRY();
	return config;
}

/* --- rows --- */

static FfStepRow *
record(FfRun *run, const FfPlace *place, const char *status, int attempt, Jsonb *memo,
	   TimestampTz started, TimestampTz now)
{
	FfStepRow *row = palloc0(sizeof(FfStepRow));

	strlcpy(row->id, place->step_id, sizeof(row->id));
	row->op = place->inner->type_name ? place->inner->type_name : "";
	row->name = (char *) place->node->label;
	row->status = status;
	row->attempt = attempt;
	row->memo = memo;
	row->started = started;
	row->ended = now;
	row->position = ++run->step_count;
	if (strcmp(run->edited_step, row->id) == 0)
		run->edited_input = NULL; /* it has been run with it */
	run->change->steps = lappend(run->change->steps, row);
	return row;
}

static Jsonb *
failure_memo(Jsonb *error, Jsonb *output)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "error");
	ff_jb_json(&builder, error);
	if (output != NULL)
	{
		ff_jb_key(&builder, "data");
		ff_jb_json(&builder, output);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static const char *
error_text(Jsonb *error)
{
	char *message = ff_json_text(error, "message");

	return message ? message : "the step failed";
}

/* {"_error": text}, and the number of an item */
static Jsonb *
error_output(Jsonb *error, const FfPlace *place)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put(&builder, "_error", error_text(error));
	if (place->each != NULL)
	{
		ff_jb_key(&builder, "_index");
		ff_jb_int(&builder, place->index);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* --- what follows --- */

static const char *
why_dead(const FfGraphRun *state, const FfNode *node)
{
	for (int i = 0; i < node->in_count; i++)
	{
		const FfEdge	  *edge = &state->graph->edges[node->in[i]];
		const FfNodeState *source = &state->nodes[edge->source];

		if (source->live && source->branch != NULL)
			return psprintf("%s chose %s", state->graph->nodes[edge->source].id,
							*source->branch ? source->branch : "no branch");
	}
	return "every path to it was skipped";
}

void
ff_node_skip(FfRun *run, int index, TimestampTz now)
{
	FfGraphRun	 *state = ff_graph_run(run);
	const FfNode *node = &state->graph->nodes[index];
	FfPlace		  place = {.node = node, .inner = node, .step_id = node->id};
	const char	 *reason = why_dead(state, node);
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put(&builder, "reason", reason);
	ff_jb_end(&builder);
	record(run, &place, "skipped", 0, NULL, now, now)->detail = ff_jb_finish(&builder);
	ff_log_skipped(run, &place, reason, now);
}

static void
follow(FfRun *run, const FfNode *node, FfProgress progress, const char *branch, TimestampTz now)
{
	FfGraphRun *state = ff_graph_run(run);
	List	   *dead = ff_progress_end(state, node->index, progress, true, branch);
	ListCell   *cell;

	foreach (cell, dead)
		ff_node_skip(run, lfirst_int(cell), now);
	list_free(dead);
}

/* The branch an output names; "" when the node branches and failed. */
static const char *
branch_of(FfRun *run, const FfNode *node, Jsonb *output)
{
	char *branch;

	if (node->type == NULL || node->type->labels == NULL)
		return NULL;
	branch = output ? ff_json_text(output, "branch") : NULL;
	return branch ? MemoryContextStrdup(run->context, branch) : "";
}

static void
set_output(FfRun *run, const FfPlace *place, Jsonb *output)
{
	FfNodeState *node = place->state;

	node->has_output = true;
	node->output = ff_context_keep(run, output);
}

void
ff_node_complete(FfRun *run, const FfPlace *place, Jsonb *output, int attempt, Jsonb *detail,
				 TimestampTz started, TimestampTz now)
{
	FfGraphRun *state = ff_graph_run(run);
	Jsonb	   *fault;

	if (!ff_json_is_object(output))
		output = ff_run_wrap("result", output);
	fault = ff_limit_output(output, psprintf("the step \"%s\"", place->step_id));
	if (fault != NULL)
	{
		ff_node_fail(run, place, fault, attempt, detail, started, now);
		return;
	}
	state->steps++;
	state->bytes += VARSIZE(output);
	record(run, place, "completed", attempt, ff_run_wrap("data", output), started, now)->detail =
		detail;
	ff_log_completed(run, place, output, started, now);
	if (place->each != NULL)
	{
		ff_each_done(run, place, FF_PROGRESS_COMPLETED, output, NULL);
		return;
	}
	set_output(run, place, output);
	follow(run, place->node, FF_PROGRESS_COMPLETED, branch_of(run, place->node, output), now);
}

static void
fail_item(FfRun *run, const FfPlace *place, Jsonb *error, int attempt, Jsonb *detail,
		  TimestampTz started, TimestampTz now)
{
	Jsonb *output = place->each->fail ? NULL : error_output(error, place);

	record(run, place, "failed", attempt, failure_memo(error, output), started, now)->detail =
		detail;
	ff_log_failed(run, place, error, output, attempt, now);
	ff_each_done(run, place, output ? FF_PROGRESS_CONTINUED : FF_PROGRESS_BROKEN, output, error);
}

static void
break_run(FfRun *run, const FfPlace *place, Jsonb *error)
{
	FfGraphRun *state = ff_graph_run(run);

	place->state->progress = FF_PROGRESS_BROKEN;
	if (state->broken != NULL)
		return;
	state->broken = place->node;
	state->error = ff_context_keep(run, error);
}

void
ff_node_fail(FfRun *run, const FfPlace *place, Jsonb *error, int attempt, Jsonb *detail,
			 TimestampTz started, TimestampTz now)
{
	Jsonb *output = NULL;

	ff_graph_run(run)->steps++;
	if (place->each != NULL)
	{
		fail_item(run, place, error, attempt, detail, started, now);
		return;
	}
	if (place->node->on_error == FF_ON_ERROR_SKIP)
	{
		record(run, place, "skipped", attempt, failure_memo(error, NULL), started, now)->detail =
			detail;
		ff_log_skipped(run, place, error_text(error), now);
		follow(run, place->node, FF_PROGRESS_SKIPPED, branch_of(run, place->node, NULL), now);
		return;
	}
	if (place->node->on_error == FF_ON_ERROR_CONTINUE)
		output = error_output(error, place);
	record(run, place, "failed", attempt, failure_memo(error, output), started, now)->detail =
		detail;
	ff_log_failed(run, place, error, output, attempt, now);
	if (output == NULL)
	{
		break_run(run, place, error);
		return;
	}
	set_output(run, place, output);
	follow(run, place->node, FF_PROGRESS_CONTINUED, branch_of(run, place->node, NULL), now);
}

/* --- beginning --- */

static FfOp *
new_op(const FfPlace *place)
{
	FfOp *op = palloc0(sizeof(FfOp));

	strlcpy(op->id, place->step_id, sizeof(op->id));
	op->name = (char *) place->node->label;
	op->type = place->inner->type_name;
	op->took = -1;
	return op;
}

int
ff_node_first_attempt(const FfRun *run, const char *step_id)
{
	int64 attempt;

	return run->again != NULL && ff_json_int64(run->again, step_id, &attempt) ? (int) attempt : 0;
}

static void
begin(FfRun *run, const FfPlace *place, FfOp *op, Jsonb *detail, int attempt, int max_attempts,
	  TimestampTz now)
{
	FfItem *item;

	op->terms = NULL;
	ff_run_begin(run, op, place->inner->max_attempts, now);
	item = ff_item_find(run, op->id);
	if (item == NULL)
		return;
	item->attempt = attempt;
	item->max_attempts = max_attempts;
	item->timeout = place->inner->timeout;
	item->input = detail ? ff_run_keep_json(run, detail) : NULL;
	place->state->progress = place->each ? place->state->progress : FF_PROGRESS_ACTIVE;
}

static Jsonb *
unknown_type(const FfNode *node)
{
	return ff_run_error("UnknownType", psprintf("there is no step type \"%s\"",
												node->type_name ? node->type_name : ""));
}

static void
start_attempt(FfRun *run, const FfPlace *place, int attempt, int max_attempts)
{
	TimestampTz now = GetCurrentTimestamp();
	FfNodeStart start = {.run = run,
						 .graph = ff_graph_run(run)->graph,
						 .node = place->inner,
						 .step_id = place->step_id,
						 .attempt = attempt,
						 .now = now};
	FfOp	   *op = new_op(place);
	Jsonb	   *config = NULL;
	Jsonb	   *detail;

	ff_log_started(run, place, attempt, now);
	if (place->inner->type == NULL)
	{
		ff_node_fail(run, place, unknown_type(place->inner), attempt, NULL, now, now);
		return;
	}
	config = ask_type(place, &start, op);
	detail = ff_node_detail(place->inner, config, op->mark);
	if (op->kind == FF_OP_FAILED || op->kind == FF_OP_ERROR)
		ff_node_fail(run, place, op->error, attempt, detail, now, GetCurrentTimestamp());
	else if (place->inner->type == &ff_node_for_each)
		ff_each_begin(run, place->node, config, attempt, now);
	else if (op->kind == FF_OP_COMPLETED)
		ff_node_complete(run, place, op->data, attempt, detail, now, GetCurrentTimestamp());
	else
		begin(run, place, op, detail, attempt, max_attempts, now);
}

void
ff_node_start(FfRun *run, const FfPlace *place)
{
	int attempt = ff_node_first_attempt(run, place->step_id);

	start_attempt(run, place, attempt, attempt + place->inner->max_attempts);
}

/* What it requests was in memory only: it is made again from the same config. */
void
ff_node_restate(FfRun *run, const FfPlace *place, FfItem *item)
{
	FfNodeStart start = {.run = run,
						 .graph = ff_graph_run(run)->graph,
						 .node = place->inner,
						 .step_id = place->step_id,
						 .attempt = item->attempt,
						 .now = item->created};
	FfOp	   *op = new_op(place);

	(void) ask_type(place, &start, op);
	if (op->request != NULL)
		item->request = ff_run_keep_json(run, op->request);
	else
	{
		ff_item_remove(run, item);
		ff_node_fail(run, place,
					 op->error
						 ? op->error
						 : ff_run_error("EngineError", "the step's request cannot be made again"),
					 item->attempt, item->input, item->created, GetCurrentTimestamp());
	}
}

/* --- what has come back --- */

static void
close_item(FfRun *run, FfItem *item)
{
	ff_item_release(run, item);
	ff_item_remove(run, item);
}

/* What waits for nobody any more, for the time until it is tried again: a sleep that has an
 * error. */
static FfItem *
sleep_instead(FfRun *run, FfItem *item, TimestampTz now)
{
	FfItem *sleep;

	close_item(run, item);
	sleep = ff_item_add(run, FF_ITEM_SLEEP, item->id, item->name, item->group, now);
	sleep->type = item->type;
	sleep->attempt = item->attempt;
	sleep->max_attempts = item->max_attempts;
	sleep->input = item->input;
	item->input = NULL;
	return sleep;
}

/* True when the item is tried again; in a run that has failed nothing is. */
static bool
tried_again(FfRun *run, FfItem *item, const FfNodeFault *fault, TimestampTz now)
{
	FfAnswer answer = {.error = fault->error, .retry_after = fault->retry_after};

	if (!fault->retry || item->attempt + 1 >= item->max_attempts ||
		ff_graph_run(run)->broken != NULL)
		return false;
	if (!ff_item_is_work(item))
		item = sleep_instead(run, item, now);
	ff_run_retry(run, item, item->id, item->name, fault->error, &answer, now);
	return true;
}

/* Its backoff is over: what waits for somebody begins anew. */
static void
begin_again(FfRun *run, const FfPlace *place, FfItem *item)
{
	if (ff_graph_run(run)->broken != NULL)
	{
		item->due = DT_NOEND; /* nothing begins any more; the run's end closes it */
		return;
	}
	ff_context_fetch(run, place->node);
	ff_item_remove(run, item);
	start_attempt(run, place, item->attempt, item->max_attempts);
}

static Jsonb *
timed_out(const FfPlace *place)
{
	return ff_run_error("TimedOut",
						psprintf("\"%s\" waited until its time was over", place->node->label));
}

/* The output of what has come back; NULL and a fault when it is an error after all. */
static Jsonb *
output_of(const FfPlace *place, const FfArrival *arrival, FfNodeFault *fault)
{
	const FfNodeType *type = place->inner->type;
	Jsonb			 *output;

	if (strcmp(arrival->status, "completed") != 0)
	{
		fault->error = arrival->error;
		fault->retry = arrival->retry;
		fault->retry_after = arrival->retry_after;
		return NULL;
	}
	if (arrival->data == NULL)
	{
		fault->error = timed_out(place);
		fault->retry = true;
		return NULL;
	}
	if (type == NULL || type->output == NULL)
		return arrival->data;
	output = type->output(place->inner, arrival->data, fault);
	return fault->error == NULL ? output : NULL;
}

void
ff_node_arrive(FfRun *run, const FfPlace *place, FfArrival *arrival, TimestampTz now)
{
	FfItem	   *item = arrival->item;
	FfNodeFault fault = {.retry_after = -1};
	TimestampTz started = Max(item->created, item->called_at);
	Jsonb	   *detail = item->input;
	Jsonb	   *output;

	if (item->kind == FF_ITEM_SLEEP && item->error != NULL)
	{
		begin_again(run, place, item);
		return;
	}
	output = output_of(place, arrival, &fault);
	if (item->error != NULL && !item->begun)
		ff_log_started(run, place, item->attempt, started);
	if (arrival->detail != NULL)
		detail = detail ? ff_config_joined(detail, arrival->detail) : arrival->detail;
	if (run->paused && !ff_item_is_work(item))
	{
		run->paused = false;
		ff_log_resumed(run, place->step_id, now);
	}
	if (output == NULL && tried_again(run, item, &fault, now))
		return;
	close_item(run, item);
	if (output != NULL)
		ff_node_complete(run, place, output, item->attempt, detail, started, now);
	else
		ff_node_fail(run, place, fault.error, item->attempt, detail, started, now);
}
