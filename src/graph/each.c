/*
 * each.c - for_each: a step for each item of a list, `id[0]`, `id[1]`, ..., each with its own row,
 * events, retries and waits. At most max_parallel are under way; which are done is told by their
 * rows, so that after a crash only what was not done is done.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "graph/drive.h"
#include "util/json.h"

static const char *const raw_members[] = {"item_config", NULL};

/* The interpreter begins it itself (ff_each_begin). */
static void
start(const FfNodeStart *start, FfOp *op)
{
	op->kind = FF_OP_NONE;
}

const FfNodeType ff_node_for_each = {
	.name = "for_each", .place = FF_NODE_WORKS, .alone = true, .raw = raw_members, .start = start};

/* --- names --- */

bool
ff_each_find(FfGraphRun *state, const char *step_id, FfPlace *place)
{
	const char	 *bracket = strrchr(step_id, '[');
	const FfNode *node;
	char		 *end;
	long		  index;

	if (bracket == NULL)
		return false;
	index = strtol(bracket + 1, &end, 10);
	node = ff_graph_node_n(state->graph, step_id, (int) (bracket - step_id));
	if (node == NULL || *end != ']' || index < 0 || index >= FF_MAX_ITEMS)
		return false;
	place->node = node;
	place->state = &state->nodes[node->index];
	place->each = place->state->each;
	place->inner = place->each ? &place->each->inner : node;
	place->index = (int) index;
	place->step_id = step_id;
	return place->each == NULL || index < place->each->count;
}

/* --- beginning --- */

static void
fail(FfRun *run, const FfNode *node, Jsonb *config, const char *message, TimestampTz now)
{
	FfPlace place = {.node = node,
					 .inner = node,
					 .state = &ff_graph_run(run)->nodes[node->index],
					 .step_id = node->id};

	ff_node_fail(run, &place, ff_run_error("ForEachError", message), 0,
				 ff_node_detail(node, config), now, now);
}

/* What is wrong with its config, or NULL. */
static const char *
problem(Jsonb *config, const FfNodeType **type)
{
	Jsonb *items = ff_json_member(config, "items");
	char  *handler = ff_json_text(config, "handler");

	*type = handler ? ff_node_type(handler) : NULL;
	if (items == NULL || !ff_json_is_array(items))
		return "items is not a list";
	if (JB_ROOT_COUNT(items) > FF_MAX_ITEMS)
		return psprintf("items has %u items, at most %d are allowed", JB_ROOT_COUNT(items),
						FF_MAX_ITEMS);
	if (handler == NULL)
		return NULL; /* the items are the results */
	if (*type == NULL)
		return psprintf("there is no step type \"%s\" for its handler", handler);
	if ((*type)->alone)
		return psprintf("a %s cannot be its handler", handler);
	return NULL;
}

static int
room_of(Jsonb *config)
{
	int64 room = 1;

	(void) ff_json_int64(config, "max_parallel", &room);
	return (int) Min(Max(room, 1), FF_MAX_CONCURRENCY);
}

static Jsonb *
item_config(const FfNode *node)
{
	Jsonb *config = ff_json_member(node->config, "item_config");

	return config && ff_json_is_object(config) ? config : ff_json_empty_object();
}

/* In the run's context, which is current. */
static FfEach *
make(FfRun *run, const FfNode *node, Jsonb *config, const FfNodeType *type)
{
	FfEach *each = palloc0(sizeof(FfEach));
	char   *on_error = ff_json_text(config, "on_item_error");

	each->items = ff_context_keep(run, ff_json_member(config, "items"));
	each->count = JB_ROOT_COUNT(each->items);
	each->room = room_of(config);
	each->fail = on_error != NULL && strcmp(on_error, "fail") == 0;
	each->progress = palloc0(Max(each->count, 1));
	each->results = palloc0(sizeof(Jsonb *) * Max(each->count, 1));
	each->inner = *node;
	each->inner.type = type;
	each->inner.type_name = type->name;
	each->inner.config = item_config(node);
	return each;
}

static FfEach *
open_each(FfRun *run, const FfNode *node, Jsonb *config)
{
	FfGraphRun		 *state = ff_graph_run(run);
	const FfNodeType *type;
	const char		 *wrong = problem(config, &type);
	MemoryContext	  old;
	FfEach			 *each;

	if (wrong != NULL)
	{
		fail(run, node, config, wrong, GetCurrentTimestamp());
		return NULL;
	}
	old = MemoryContextSwitchTo(run->context);
	each = make(run, node, config, type);
	state->nodes[node->index].each = each;
	state->nodes[node->index].progress = FF_PROGRESS_ACTIVE;
	run->max_running += each->room;
	MemoryContextSwitchTo(old);
	return each;
}

static Jsonb *
output_of(Jsonb *items, Jsonb *results)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "items");
	ff_jb_json(&builder, items);
	ff_jb_key(&builder, "count");
	ff_jb_int(&builder, JB_ROOT_COUNT(items));
	ff_jb_key(&builder, "results");
	ff_jb_json(&builder, results);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static bool
hands_on(Jsonb *config)
{
	Jsonb			 *items = ff_json_member(config, "items");
	const FfNodeType *type;

	return ff_json_text(config, "handler") == NULL && items != NULL &&
		   problem(config, &type) == NULL;
}

/* Without a handler nothing is done for the items: they are the results. */
static void
hand_on(FfRun *run, const FfNode *node, Jsonb *config)
{
	TimestampTz now = GetCurrentTimestamp();
	Jsonb	   *items = ff_json_member(config, "items");
	FfPlace		place = {.node = node,
						 .inner = node,
						 .state = &ff_graph_run(run)->nodes[node->index],
						 .step_id = node->id};

	ff_node_complete(run, &place, output_of(items, items), 0, ff_node_detail(node, config), now,
					 now);
}

void
ff_each_begin(FfRun *run, const FfNode *node, Jsonb *config)
{
	if (hands_on(config))
		hand_on(run, node, config);
	else if (open_each(run, node, config) != NULL)
		ff_each_step(run, node, GetCurrentTimestamp());
}

/* --- after a pause or a crash --- */

static void
take_kept(FfEach *each, FfNodeState *node)
{
	ListCell *cell;

	foreach (cell, node->kept)
	{
		const FfKept *kept = lfirst(cell);

		if (kept->index >= each->count)
			continue;
		each->progress[kept->index] = kept->progress;
		each->results[kept->index] = kept->output;
		each->done++;
		if (kept->progress == FF_PROGRESS_BROKEN)
			each->error = kept->error;
	}
	node->kept = NIL;
}

/* The list is what it was: what it is made of never changes. */
void
ff_each_resume(FfRun *run, const FfNode *node)
{
	FfGraphRun *state = ff_graph_run(run);
	FfPlace		place = {
			.node = node, .inner = node, .state = &state->nodes[node->index], .step_id = node->id};
	FfEach	 *each;
	ListCell *cell;
	FfPlace	  item;

	ff_context_fetch(run, node);
	each = open_each(run, node, ff_node_config(run, &place));
	if (each == NULL)
		return;
	take_kept(each, place.state);
	foreach (cell, run->items)
	{
		if (ff_each_find(state, ((FfItem *) lfirst(cell))->id, &item) && item.node == node)
		{
			each->progress[item.index] = FF_PROGRESS_ACTIVE;
			each->running++;
		}
	}
}

/* --- going on --- */

void
ff_each_done(FfRun *run, const FfPlace *place, FfProgress progress, Jsonb *result, Jsonb *error)
{
	FfEach *each = place->each;

	if (each->progress[place->index] == FF_PROGRESS_ACTIVE)
		each->running--;
	each->progress[place->index] = progress;
	each->done++;
	if (result != NULL)
		each->results[place->index] = ff_context_keep(run, result);
	if (progress == FF_PROGRESS_BROKEN && each->error == NULL)
		each->error = ff_context_keep(run, error);
}

static void
start_item(FfRun *run, const FfNode *node, FfEach *each, int index)
{
	FfPlace place = {.node = node,
					 .inner = &each->inner,
					 .state = &ff_graph_run(run)->nodes[node->index],
					 .each = each,
					 .index = index,
					 .step_id = psprintf("%s[%d]", node->id, index)};

	each->progress[index] = FF_PROGRESS_ACTIVE;
	each->running++;
	ff_node_start(run, &place);
}

/* The results in order; those that are not in memory are read. */
static void
fetch_results(FfRun *run, const FfNode *node, FfEach *each)
{
	char  **ids = palloc(sizeof(char *) * Max(each->count, 1));
	int	   *places = palloc(sizeof(int) * Max(each->count, 1));
	int		missing = 0;
	Jsonb **found;

	for (int i = 0; i < each->count; i++)
	{
		if (each->results[i] != NULL)
			continue;
		places[missing] = i;
		ids[missing++] = psprintf("%s[%d]", node->id, i);
	}
	if (missing == 0)
		return;
	found = ff_context_read(run, ids, missing);
	for (int i = 0; i < missing; i++)
		each->results[places[i]] = found[i];
}

static Jsonb *
gathered(const FfEach *each)
{
	FfJsonBuilder builder = {0};

	ff_jb_array(&builder);
	for (int i = 0; i < each->count; i++)
		ff_jb_json(&builder, each->results[i]);
	ff_jb_end(&builder);
	return output_of(each->items, ff_jb_finish(&builder));
}

static void
close_each(FfRun *run, const FfNode *node, FfEach *each, TimestampTz now)
{
	FfGraphRun *state = ff_graph_run(run);
	FfPlace		place = {
			.node = node, .inner = node, .state = &state->nodes[node->index], .step_id = node->id};
	Jsonb *output;

	if (each->error != NULL)
	{
		place.state->each = NULL;
		ff_node_fail(run, &place, each->error, 0, NULL, now, now);
		return;
	}
	fetch_results(run, node, each);
	output = gathered(each);
	place.state->each = NULL;
	ff_node_complete(run, &place, output, 0, NULL, now, now);
}

void
ff_each_step(FfRun *run, const FfNode *node, TimestampTz now)
{
	FfGraphRun *state = ff_graph_run(run);
	FfEach	   *each = state->nodes[node->index].each;

	while (each->error == NULL && each->next < each->count && each->running < each->room &&
		   !ff_advance_spent(state))
	{
		int index = each->next++;

		if (each->progress[index] == FF_PROGRESS_AHEAD)
			start_item(run, node, each, index);
		CHECK_FOR_INTERRUPTS();
	}
	if (each->done == each->count || (each->error != NULL && each->running == 0))
		close_each(run, node, each, now);
}
