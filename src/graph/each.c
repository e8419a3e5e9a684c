/*
 * each.c - for_each: a step for each item of a list, `id[0]`, `id[1]`, ..., each with its own row,
 * events, retries and waits. At most max_parallel are under way; which are done is told by their
 * rows, so that after a crash only what was not done is done.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "graph/drive.h"
#include "graph/option.h"
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

/* The node itself. */
static FfPlace
whole(FfRun *run, const FfNode *node)
{
	return (FfPlace){.node = node,
					 .inner = node,
					 .state = &ff_graph_run(run)->nodes[node->index],
					 .step_id = node->id};
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
	if (handler == NULL && ff_option(config, "handler") != NULL)
		return "its handler is not a text";
	if (handler != NULL && *type == NULL)
		return psprintf("there is no step type \"%s\" for its handler", handler);
	if (handler != NULL && (*type)->alone)
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
item_config(Jsonb *config)
{
	config = ff_json_member(config, "item_config");
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
	each->inner.config = ff_context_keep(run, item_config(config));
	return each;
}

static Jsonb *
item_at(const FfEach *each, int index)
{
	return JsonbValueToJsonb(getIthJsonbValueFromContainer(&each->items->root, index));
}

static Jsonb *
gathered(const FfEach *each)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "items");
	ff_jb_json(&builder, each->items);
	ff_jb_key(&builder, "count");
	ff_jb_int(&builder, each->count);
	ff_jb_key(&builder, "results");
	ff_jb_array(&builder);
	for (int i = 0; i < each->count; i++)
		ff_jb_json(&builder, each->results ? each->results[i] : item_at(each, i));
	ff_jb_end(&builder);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* NULL when its config is wrong: then it has failed. */
static FfEach *
open_each(FfRun *run, const FfNode *node, Jsonb *config, int attempt, TimestampTz started)
{
	FfPlace			  place = whole(run, node);
	const FfNodeType *type;
	const char		 *wrong = problem(config, &type);
	MemoryContext	  old;

	if (wrong == NULL && type == NULL)
		wrong = "it has no handler";
	if (wrong != NULL)
	{
		ff_node_fail(run, &place, ff_run_error("ForEachError", wrong), attempt,
					 ff_node_detail(node, config, NULL), started, GetCurrentTimestamp());
		return NULL;
	}
	old = MemoryContextSwitchTo(run->context);
	place.state->each = make(run, node, config, type);
	place.state->progress = FF_PROGRESS_ACTIVE;
	run->max_running += place.state->each->room;
	MemoryContextSwitchTo(old);
	return place.state->each;
}

/* Its own item says that it is under way, since when and with what. */
static void
note_begin(FfRun *run, const FfNode *node, Jsonb *config, int attempt, TimestampTz started)
{
	FfItem *item = ff_item_add(run, FF_ITEM_LOOP, node->id, node->label, run->group, started);

	item->type = node->type_name;
	item->attempt = attempt;
	item->max_attempts = attempt + node->max_attempts;
	item->input = ff_run_keep_json(run, ff_node_detail(node, config, NULL));
}

/* Without a handler the items are the results. */
static void
give_items(FfRun *run, const FfNode *node, Jsonb *config, int attempt, TimestampTz started)
{
	FfPlace place = whole(run, node);
	Jsonb  *items = ff_json_member(config, "items");
	FfEach	each = {.items = items, .count = JB_ROOT_COUNT(items)};

	ff_node_complete(run, &place, gathered(&each), attempt, ff_node_detail(node, config, NULL),
					 started, GetCurrentTimestamp());
}

void
ff_each_begin(FfRun *run, const FfNode *node, Jsonb *config, int attempt, TimestampTz started)
{
	const FfNodeType *type;

	if (ff_option(config, "handler") == NULL && problem(config, &type) == NULL)
		give_items(run, node, config, attempt, started);
	else if (open_each(run, node, config, attempt, started) != NULL)
	{
		note_begin(run, node, config, attempt, started);
		ff_each_step(run, node, GetCurrentTimestamp());
	}
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
	FfPlace		place = whole(run, node);
	TimestampTz now = GetCurrentTimestamp();
	Jsonb	   *config;
	FfEach	   *each;
	ListCell   *cell;
	FfPlace		item;

	ff_context_fetch(run, node);
	config = ff_node_config(run, &place);
	each = open_each(run, node, config, 0, now);
	if (each == NULL)
		return;
	if (ff_item_find(run, node->id) == NULL)
	{
		/* A life after that in which it failed, or another run: it begins with items done. */
		ff_log_started(run, &place, ff_node_first_attempt(run, node->id), now);
		note_begin(run, node, config, ff_node_first_attempt(run, node->id), now);
	}
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

void
ff_each_shrink(FfEach *each)
{
	for (int i = 0; i < each->count; i++)
	{
		if (each->results[i] != NULL)
			pfree(each->results[i]);
		each->results[i] = NULL;
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
	{
		each->results[place->index] = ff_context_keep(run, result);
		each->bytes += VARSIZE(result);
	}
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

/* Of some of the results, those that are not in memory are read. */
static void
fetch_results(FfRun *run, const FfNode *node, FfEach *each, int from, int to)
{
	char  **ids = palloc(sizeof(char *) * (to - from));
	int	   *places = palloc(sizeof(int) * (to - from));
	int		missing = 0;
	Jsonb **found;

	for (int i = from; i < to; i++)
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

/*
 * The output, once all is done; NULL and an error when it is too large, which is known before all
 * of it has been read: in a list a value takes what it takes alone.
 */
static Jsonb *
output_of(FfRun *run, const FfNode *node, FfEach *each)
{
	Size bytes = VARSIZE(each->items);

	each->error = ff_limit_size(bytes + each->bytes, psprintf("the step \"%s\"", node->id));
	for (int i = 0; i < each->count && each->error == NULL; i++)
	{
		if (i % FF_READ_AT_ONCE == 0)
			fetch_results(run, node, each, i, Min(i + FF_READ_AT_ONCE, each->count));
		bytes += each->results[i] ? VARSIZE(each->results[i]) : 0;
		each->error = ff_limit_size(bytes, psprintf("the step \"%s\"", node->id));
	}
	return each->error == NULL ? gathered(each) : NULL;
}

static void
free_each(FfEach *each)
{
	ff_each_shrink(each);
	pfree(each->results);
	pfree(each->progress);
	pfree(each->items);
	pfree(each->inner.config);
	pfree(each);
}

static void
close_each(FfRun *run, const FfNode *node, FfEach *each, TimestampTz now)
{
	FfPlace place = whole(run, node);
	FfItem *item = ff_item_find(run, node->id);
	Jsonb  *output = NULL;

	if (each->error == NULL)
		output = output_of(run, node, each);
	place.state->each = NULL;
	run->max_running -= each->room;
	ff_item_remove(run, item);
	if (each->error != NULL)
		ff_node_fail(run, &place, each->error, item->attempt, item->input, item->created, now);
	else
		ff_node_complete(run, &place, output, item->attempt, item->input, item->created, now);
	free_each(each);
}

static bool
may_begin(const FfEach *each)
{
	return each->error == NULL && each->next < each->count && each->running < each->room;
}

void
ff_each_step(FfRun *run, const FfNode *node, TimestampTz now)
{
	FfGraphRun *state = ff_graph_run(run);
	FfEach	   *each = state->nodes[node->index].each;

	if (may_begin(each))
		ff_context_fetch(run, node); /* memory may have been wanted since the last one began */
	while (may_begin(each) && !ff_advance_spent(state))
	{
		int index = each->next++;

		if (each->progress[index] == FF_PROGRESS_AHEAD)
			start_item(run, node, each, index);
		CHECK_FOR_INTERRUPTS();
	}
	if (each->done == each->count || (each->error != NULL && each->running == 0))
		close_each(run, node, each, now);
}
