/*
 * drive.c - the driver of graphs' runs (run/driver.h): what has come back is taken, what is ready
 * is started, and a run with nothing left is ended. Everything that happens between two commits is
 * said by ff_graph_advance; what comes at other times only waits for it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "graph/drive.h"
#include "run/kind.h"
#include "util/json.h"

#define LARGE_OUTPUT 4000 /* bytes: what is larger may be read again */

FfGraphRun *
ff_graph_run(FfRun *run)
{
	if (run->driven == NULL)
		run->driven = MemoryContextAllocZero(run->context, sizeof(FfGraphRun));
	return run->driven;
}

bool
ff_advance_spent(const FfGraphRun *state)
{
	return state->steps >= FF_ADVANCE_STEPS ||
		   state->bytes >=
			   Min(FF_ADVANCE_BYTES, (Size) ff_executor_memory * 1024 / FF_ADVANCE_SHARE);
}

/* Where a step id is in the graph; false when it is nowhere. */
static bool
find_place(FfGraphRun *state, const char *step_id, FfPlace *place)
{
	const FfNode *node = ff_graph_node(state->graph, step_id);

	memset(place, 0, sizeof(*place));
	place->step_id = step_id;
	if (node == NULL)
		return ff_each_find(state, step_id, place);
	place->node = node;
	place->inner = node;
	place->state = &state->nodes[node->index];
	return true;
}

/* --- what was kept --- */

static FfProgress
kept_progress(const char *status, Jsonb *memo)
{
	if (strcmp(status, "completed") == 0)
		return FF_PROGRESS_COMPLETED;
	if (strcmp(status, "failed") != 0)
		return FF_PROGRESS_SKIPPED;
	return memo != NULL && ff_json_get(memo, "data") != NULL ? FF_PROGRESS_CONTINUED
															 : FF_PROGRESS_BROKEN;
}

static void
restore(FfRun *run, const char *step_id, const char *status, Jsonb *memo)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	FfGraphRun	 *state = ff_graph_run(run);
	FfKept		 *kept = palloc0(sizeof(FfKept));
	Jsonb		 *data = memo ? ff_json_member(memo, "data") : NULL;
	Jsonb		 *error = memo ? ff_json_member(memo, "error") : NULL;
	char		 *branch = data ? ff_json_text(data, "branch") : NULL;

	kept->step_id = pstrdup(step_id);
	kept->progress = kept_progress(status, memo);
	kept->live = kept->progress != FF_PROGRESS_SKIPPED || error != NULL;
	kept->branch = branch ? branch : "";
	kept->has_output =
		kept->progress == FF_PROGRESS_COMPLETED || kept->progress == FF_PROGRESS_CONTINUED;
	kept->output = data ? ff_context_keep(run, data) : NULL;
	kept->error = error ? ff_context_keep(run, error) : NULL;
	state->kept = lappend(state->kept, kept);
	MemoryContextSwitchTo(old);
}

static void
take_kept(FfGraphRun *state, FfKept *kept)
{
	FfPlace		 place;
	FfNodeState *node;
	bool		 branches;

	if (!find_place(state, kept->step_id, &place))
		return; /* of a run whose function was another */
	node = place.state;
	if (place.node != place.inner || place.each != NULL ||
		strcmp(place.node->id, kept->step_id) != 0)
	{
		kept->index = place.index;
		node->kept = lappend(node->kept, kept);
		return;
	}
	node->has_output = kept->has_output;
	node->output = kept->output;
	if (kept->progress == FF_PROGRESS_BROKEN)
	{
		node->progress = FF_PROGRESS_BROKEN;
		state->broken = place.node;
		state->error = kept->error;
		return;
	}
	if (node->progress == FF_PROGRESS_SKIPPED)
		return;
	branches = place.node->type != NULL && place.node->type->labels != NULL;
	list_free(ff_progress_end(state, place.node->index, kept->progress, kept->live,
							  branches ? kept->branch : NULL));
}

static void
take_items(FfRun *run, FfGraphRun *state)
{
	ListCell *cell;
	FfPlace	  place;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		if (item->id[0] != '\0' && find_place(state, item->id, &place) &&
			place.state->progress == FF_PROGRESS_AHEAD)
			place.state->progress = FF_PROGRESS_ACTIVE;
	}
	for (int i = 0; i < state->graph->node_count; i++)
	{
		FfNodeState *node = &state->nodes[i];

		if (node->kept != NIL && node->progress == FF_PROGRESS_AHEAD)
			node->progress = FF_PROGRESS_ACTIVE;
	}
}

/* The graph of a run that has come into memory, and how far its nodes are. */
static void
attach(FfRun *run, FfGraphRun *state, TimestampTz now)
{
	const FfGraph *graph = ff_graph_of(run);
	MemoryContext  old = MemoryContextSwitchTo(run->context);
	List		  *dead;
	ListCell	  *cell;

	state->graph = graph;
	state->input = ff_graph_input(run);
	if (run->step_count == 0)
		state->refused = ff_graph_refuse_input(graph, state->input);
	ff_progress_begin(state);
	foreach (cell, state->kept)
		take_kept(state, lfirst(cell));
	state->kept = NIL;
	take_items(run, state);
	dead = ff_progress_sweep(state);
	run->max_running = graph->max_concurrency;
	MemoryContextSwitchTo(old);
	foreach (cell, dead)
		ff_node_skip(run, lfirst_int(cell), now);
	for (int i = 0; i < graph->node_count; i++)
	{
		if (state->nodes[i].progress == FF_PROGRESS_ACTIVE &&
			graph->nodes[i].type == &ff_node_for_each)
			ff_each_resume(run, &graph->nodes[i]);
	}
}

/* --- what comes back --- */

static void
note_arrival(FfRun *run, const FfArrival *arrival)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	FfGraphRun	 *state = ff_graph_run(run);
	FfArrival	 *kept = palloc(sizeof(FfArrival));

	*kept = *arrival;
	state->arrivals = lappend(state->arrivals, kept);
	MemoryContextSwitchTo(old);
}

/* Whether it has slept for as long as an attempt may take, and should for longer. */
static bool
overslept(const FfItem *item, Jsonb *memo)
{
	return ff_json_is_null(memo) && item->timeout > 0 && item->due - item->created > item->timeout;
}

/* How long it was, to a thousandth of a second. */
static Jsonb *
slept(const FfItem *item, TimestampTz now)
{
	int64 ms = Max(now - item->created, 0) / 1000;

	return ff_json_literal(
		psprintf("{\"delayed_seconds\": " INT64_FORMAT ".%03d}", ms / 1000, (int) (ms % 1000)));
}

static void
finish(FfRun *run, FfItem *item, const char *status, Jsonb *memo, TimestampTz now)
{
	FfArrival arrival = {.item = item, .status = status, .retry_after = -1};

	if (strcmp(status, "failed") == 0)
	{
		arrival.error = ff_json_member(memo, "error");
		arrival.retry = item->kind == FF_ITEM_INVOKE;
	}
	else if (item->kind == FF_ITEM_SLEEP)
		arrival.data = overslept(item, memo) ? NULL : slept(item, now);
	else if (item->kind == FF_ITEM_WAIT)
		arrival.data = ff_json_is_null(memo) ? NULL : memo;
	else
		arrival.data = ff_json_member(memo, "data");
	note_arrival(run, &arrival);
}

static void
take_op(FfArrival *arrival, const FfAnswer *answer, const FfOp *op)
{
	arrival->detail = op->detail;
	if (op->kind == FF_OP_COMPLETED)
	{
		arrival->status = "completed";
		arrival->data = op->data;
		return;
	}
	arrival->error = op->error ? op->error : ff_run_error("EngineError", "the step gave nothing");
	arrival->retry = op->kind == FF_OP_ERROR && answer->retry;
}

static void
answer(FfRun *run, FfItem *item, const FfAnswer *answer, TimestampTz now)
{
	FfArrival arrival = {.item = item, .status = "failed", .retry_after = answer->retry_after};

	if (answer->kind == FF_ANSWER_OPS && answer->ops != NIL)
		take_op(&arrival, answer, linitial(answer->ops));
	else if (answer->kind == FF_ANSWER_RETURN)
	{
		arrival.status = "completed";
		arrival.data = answer->output;
	}
	else
	{
		arrival.error = answer->error;
		arrival.retry = answer->retry || answer->kind == FF_ANSWER_UNREACHABLE;
	}
	note_arrival(run, &arrival);
	ff_run_ask_next(run, now);
}

static void
take_arrivals(FfRun *run, FfGraphRun *state, TimestampTz now)
{
	FfPlace place;

	while (state->arrivals != NIL)
	{
		FfArrival *arrival = linitial(state->arrivals);

		state->arrivals = list_delete_first(state->arrivals);
		/* What came twice, or after its time, finds no item. */
		if (!list_member_ptr(run->items, arrival->item) ||
			!find_place(state, arrival->item->id, &place))
			continue;
		ff_node_arrive(run, &place, arrival, now);
	}
}

/* --- what begins --- */

/* Whether a for_each is at work, or could be: while its items only wait it takes no room. */
static bool
each_works(const FfEach *each)
{
	return each->working > 0 || (each->inner.type->place != FF_NODE_WAITS &&
								 each->next < each->count && each->running < each->room);
}

static void
count_busy(FfRun *run, FfGraphRun *state, TimestampTz now)
{
	ListCell *cell;
	FfPlace	  place;

	state->busy = 0;
	for (int i = 0; i < state->graph->node_count; i++)
	{
		if (state->nodes[i].each != NULL)
			state->nodes[i].each->working = 0;
	}
	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);
		bool		  backs_off = item->call == NULL && item->due > now;

		if (item->id[0] == '\0' || !ff_item_is_work(item) || backs_off ||
			!find_place(state, item->id, &place))
			continue;
		if (place.each != NULL)
			place.each->working++;
		else
			state->busy++;
	}
	for (int i = 0; i < state->graph->node_count; i++)
		state->busy += state->nodes[i].each != NULL && each_works(state->nodes[i].each);
}

static void
start(FfRun *run, FfGraphRun *state, int index)
{
	const FfNode *node = &state->graph->nodes[index];
	FfPlace		  place = {
			  .node = node, .inner = node, .state = &state->nodes[index], .step_id = node->id};

	/* Reading first: if it fails nothing has happened yet. */
	ff_context_fetch(run, node);
	ff_node_start(run, &place);
	if (place.state->progress == FF_PROGRESS_ACTIVE && node->type->place == FF_NODE_WORKS &&
		(place.state->each == NULL || place.state->each->inner.type->place != FF_NODE_WAITS))
		state->busy++;
}

/* The next node that may start, in the order they became ready; -1: none. */
static int
next_node(FfGraphRun *state)
{
	if (ff_queue_first(&state->here) >= 0)
		return state->here.nodes[state->here.head];
	if (state->busy < state->graph->max_concurrency)
		return ff_queue_first(&state->works);
	return -1;
}

static void
step_loops(FfRun *run, FfGraphRun *state, TimestampTz now)
{
	for (int i = 0; i < state->graph->node_count && state->broken == NULL; i++)
	{
		if (state->nodes[i].each != NULL && state->nodes[i].progress == FF_PROGRESS_ACTIVE)
			ff_each_step(run, &state->graph->nodes[i], now);
	}
}

static void
start_ready(FfRun *run, FfGraphRun *state, TimestampTz now)
{
	int node;

	while (state->broken == NULL && !ff_advance_spent(state) && (node = next_node(state)) >= 0)
	{
		start(run, state, node);
		(void) ff_queue_take(ff_queue_first(&state->here) == node ? &state->here : &state->works);
		take_arrivals(run, state, now);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Requests that were in memory only are made again. */
static void
restate_requests(FfRun *run, FfGraphRun *state)
{
	List	 *items = list_copy(run->items);
	ListCell *cell;
	FfPlace	  place;

	foreach (cell, items)
	{
		FfItem *item = lfirst(cell);

		if (!ff_item_requests(item) || item->request != NULL ||
			!find_place(state, item->id, &place))
			continue;
		ff_context_fetch(run, place.node);
		ff_node_restate(run, &place, item);
	}
	list_free(items);
}

/* --- how it ends --- */

static bool
is_called(const FfRun *run)
{
	ListCell *cell;

	foreach (cell, run->items)
	{
		if (((FfItem *) lfirst(cell))->call != NULL)
			return true;
	}
	return false;
}

/* The item everything waits for: the first, when people or events outside decide on all of them. */
static const FfItem *
waited_for(const FfRun *run)
{
	const FfItem *first = NULL;
	ListCell	 *cell;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		if (item->kind == FF_ITEM_LOOP)
			continue; /* its items are among them */
		if (item->kind != FF_ITEM_WAIT && item->kind != FF_ITEM_SIGNAL &&
			(item->kind != FF_ITEM_STEP || ff_item_is_work(item)))
			return NULL;
		first = first ? first : item;
	}
	return first;
}

static void
complete(FfRun *run, TimestampTz now)
{
	Jsonb *output = ff_context_result(run);

	if (output == NULL || ff_limit_output(output, "the run") != NULL)
		output = ff_json_literal("{\"_truncated\": true}");
	ff_run_end(run, "completed", output, NULL, now);
}

static void
pause_if_waiting(FfRun *run, TimestampTz now)
{
	const FfItem *item = run->paused ? NULL : waited_for(run);

	if (item == NULL)
		return;
	run->paused = true;
	ff_log_paused(run, item, now);
}

static void
conclude(FfRun *run, FfGraphRun *state, bool started, TimestampTz now)
{
	if (state->broken != NULL)
	{
		if (!is_called(run))
			ff_run_end(run, "failed", NULL, state->error, now);
	}
	else if (state->open == 0)
		complete(run, now);
	else if (!started || ff_advance_spent(state))
		ff_run_ask_next(run, now);
	else if (run->items == NIL)
		ff_run_end(run, "failed", NULL,
				   ff_run_error("EngineError", "no step of the graph can go on"), now);
	else
		pause_if_waiting(run, now);
}

static void
advance(FfRun *run, bool may_start, TimestampTz now)
{
	FfGraphRun *state = ff_graph_run(run);

	state->steps = 0;
	state->bytes = 0;
	if (state->graph == NULL)
		attach(run, state, now);
	if (state->refused != NULL)
	{
		ff_run_end(run, "failed", NULL, state->refused, now);
		return;
	}
	take_arrivals(run, state, now);
	if (may_start && state->broken == NULL)
	{
		restate_requests(run, state);
		count_busy(run, state, now);
		start_ready(run, state, now);
		step_loops(run, state, now);
		start_ready(run, state, now);
	}
	conclude(run, state, may_start, now);
}

/* --- the rest of a driver --- */

/* A run that ends takes along what is under way; a statement may still turn out to have happened
 * (step/sql.c, settle). */
static void
end(FfRun *run, const char *status, TimestampTz now)
{
	ListCell *cell;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);
		FfStepRow	 *row;

		if (item->id[0] == '\0')
			continue;
		row = palloc0(sizeof(FfStepRow));
		strlcpy(row->id, item->id, sizeof(row->id));
		row->op = item->type ? item->type : ff_item_op(item);
		row->name = item->name ? item->name : "";
		row->status = "cancelled";
		row->attempt = item->attempt;
		row->detail = item->input;
		row->started = item->created;
		row->ended = now;
		row->position = ++run->step_count;
		run->change->steps = lappend(run->change->steps, row);
	}
}

/* A step that the run's end has cut short had happened before. */
static void
settle(FfRun *run, const FfItem *item, Jsonb *memo, TimestampTz started)
{
	ListCell *cell;

	foreach (cell, run->change->steps)
	{
		FfStepRow *row = lfirst(cell);

		if (strcmp(row->id, item->id) != 0)
			continue;
		row->status = "completed";
		row->memo = memo;
		row->started = started;
		ff_log_settled(run, item, ff_json_member(memo, "data"), started, row->ended);
	}
}

static void
describe(FfRun *run, FfStepRow *row)
{
	const FfItem *item = ff_item_find(run, row->id);

	if (item != NULL && item->type != NULL)
		row->op = item->type;
}

/* Attempts of a life before this one do not count. */
static int64
backoff(FfRun *run, const FfItem *item, int attempt)
{
	FfGraphRun *state = ff_graph_run(run);
	FfPlace		place;

	if (state->graph == NULL || !find_place(state, item->id, &place))
		return USECS_PER_SEC;
	return ff_backoff_delay(&place.node->backoff,
							attempt - (item->max_attempts - place.inner->max_attempts));
}

static bool
context(FfRun *run, const FfItem *item, StringInfo json)
{
	FfGraphRun *state = ff_graph_run(run);
	FfPlace		place;

	if (state->graph == NULL || !find_place(state, item->id, &place))
		return false;
	ff_context_write(run, &place, json);
	return true;
}

static void
shrink(FfRun *run)
{
	FfGraphRun *state = ff_graph_run(run);

	if (state->graph == NULL || state->arrivals != NIL)
		return;
	ff_items_forget(run);
	for (int i = 0; i < state->graph->node_count; i++)
	{
		FfNodeState *node = &state->nodes[i];

		if (node->each != NULL)
			ff_each_shrink(node->each);
		if (node->output == NULL || VARSIZE(node->output) < LARGE_OUTPUT)
			continue;
		pfree(node->output);
		node->output = NULL;
	}
}

const FfDriver ff_graph_driver = {.advance = advance,
								  .restore = restore,
								  .begin = ff_log_started_again,
								  .answer = answer,
								  .finish = finish,
								  .describe = describe,
								  .backoff = backoff,
								  .log = ff_graph_log,
								  .end = end,
								  .context = context,
								  .settle = settle,
								  .shrink = shrink};
