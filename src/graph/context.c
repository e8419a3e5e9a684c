/*
 * context.c - what a node sees: the run's input and the outputs of the nodes before it that its
 * config names. The context is the join of checkpoints: an output is read from its row when it is
 * wanted and not in memory, and forgotten when memory is wanted for others.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "graph/drive.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/spi.h"

Jsonb *
ff_context_keep(FfRun *run, Jsonb *value)
{
	Jsonb *copy = MemoryContextAlloc(run->context, VARSIZE(value));

	return memcpy(copy, value, VARSIZE(value));
}

Jsonb **
ff_context_read(FfRun *run, char **step_ids, int count)
{
	static FfPlan plan = {
		"select n.place::integer, s.memo -> 'data' from unnest($3) with ordinality as n (step_id, place) "
		"join flowforge.step s on s.tenant_id = $1 and s.run_id = $2 and s.step_id = n.step_id",
		3,
		{INT4OID, UUIDOID, TEXTARRAYOID}};
	Jsonb		**found = palloc0(sizeof(Jsonb *) * Max(count, 1));
	Datum		 *ids = palloc(sizeof(Datum) * Max(count, 1));
	Datum		  values[3];
	uint64		  rows;
	MemoryContext caller = CurrentMemoryContext;

	for (int i = 0; i < count; i++)
		ids[i] = CStringGetTextDatum(step_ids[i]);
	values[0] = Int32GetDatum(run->tenant_id);
	values[1] = UUIDPGetDatum(&run->id);
	values[2] = PointerGetDatum(construct_array(ids, count, TEXTOID, -1, false, TYPALIGN_INT));
	rows = ff_spi_run(&plan, values, NULL, true);
	MemoryContextSwitchTo(caller); /* SPI leaves its own */
	for (uint64 i = 0; i < rows; i++)
	{
		bool  isnull;
		int	  place = DatumGetInt32(ff_spi_value(i, 1, &isnull)) - 1;
		Datum data = ff_spi_value(i, 2, &isnull);

		if (!isnull)
			found[place] = DatumGetJsonbPCopy(data);
	}
	return found;
}

static bool
is_missing(const FfNodeState *node)
{
	return node->has_output && node->output == NULL;
}

/* Reads the outputs of these nodes that are not in memory. */
static void
read_missing(FfRun *run, const int *nodes, int count)
{
	FfGraphRun *state = ff_graph_run(run);
	char	   *ids[FF_READ_AT_ONCE];
	int			places[FF_READ_AT_ONCE];
	int			missing = 0;
	Jsonb	  **found;

	for (int i = 0; i < count; i++)
	{
		if (!is_missing(&state->nodes[nodes[i]]))
			continue;
		places[missing] = nodes[i];
		ids[missing++] = (char *) state->graph->nodes[nodes[i]].id;
	}
	if (missing == 0)
		return;
	found = ff_context_read(run, ids, missing);
	for (int i = 0; i < missing; i++)
	{
		FfNodeState *node = &state->nodes[places[i]];

		node->has_output = found[i] != NULL;
		if (found[i] == NULL)
			continue;
		node->output = ff_context_keep(run, found[i]);
		state->bytes += VARSIZE(found[i]);
		pfree(found[i]);
	}
}

/* The outputs of these nodes, read where they are not in memory; false, with the rest unread, when
 * they have more than so many bytes together. */
static bool
fetch(FfRun *run, const int *nodes, int count, Size limit)
{
	const FfNodeState *states = ff_graph_run(run)->nodes;
	Size			   bytes = 0;

	for (int i = 0; i < count; i++)
	{
		const FfNodeState *node = &states[nodes[i]];

		if (i % FF_READ_AT_ONCE == 0)
			read_missing(run, nodes + i, Min(FF_READ_AT_ONCE, count - i));
		bytes += node->output ? VARSIZE(node->output) : 0;
		if (bytes > limit)
			return false;
	}
	return true;
}

static int *
every_node(const FfGraph *graph)
{
	int *nodes = palloc(sizeof(int) * Max(graph->node_count, 1));

	for (int i = 0; i < graph->node_count; i++)
		nodes[i] = i;
	return nodes;
}

/* Bytes that the outputs one node names may have together; any one of them has room. */
static Size
room(void)
{
	return Max((Size) ff_executor_memory * 1024 / 2, (Size) ff_output_limit);
}

void
ff_context_fetch(FfRun *run, const FfNode *node)
{
	const FfGraph *graph = ff_graph_run(run)->graph;
	Size		   limit = room();

	/* What is too much is told by ff_context_scope, where it is the node's error. */
	if (node->needs_all)
		(void) fetch(run, every_node(graph), graph->node_count, limit);
	else
		(void) fetch(run, node->needs, node->need_count, limit);
}

static void
bind(FfBinding *bindings, int *count, const char *name, Jsonb *value)
{
	bindings[*count].name = name;
	bindings[(*count)++].value = value;
}

static Jsonb *
number(int value)
{
	FfJsonBuilder builder = {0};
	Jsonb		 *list;

	ff_jb_array(&builder);
	ff_jb_int(&builder, value);
	ff_jb_end(&builder);
	list = ff_jb_finish(&builder);
	return JsonbValueToJsonb(getIthJsonbValueFromContainer(&list->root, 0));
}

static void
refuse_scope(const FfNode *node)
{
	ereport(ERROR,
			(errcode(FF_ERR_NODE_CONFIG),
			 errmsg("the outputs that \"%s\" names are too large together", node->id),
			 errdetail("They have more than %zu kB, which is half of flowforge.executor_memory or "
					   "one flowforge.output_limit.",
					   (size_t) room() / 1024),
			 errhint("Have nodes before it take what is needed of them, or raise a setting.")));
}

FfScope *
ff_context_scope(FfRun *run, const FfPlace *place)
{
	FfGraphRun	 *state = ff_graph_run(run);
	const FfNode *node = place->node;
	int			  wanted = node->needs_all ? state->graph->node_count : node->need_count;
	FfBinding	 *bindings = palloc(sizeof(FfBinding) * (wanted + 3));
	FfScope		 *scope = palloc0(sizeof(FfScope));
	int			  count = 0;
	Size		  bytes = 0;

	if (place->each != NULL)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(&place->each->items->root, place->index);

		bind(bindings, &count, "_item", JsonbValueToJsonb(item));
		bind(bindings, &count, "_index", number(place->index));
	}
	bind(bindings, &count, "input", state->input);
	for (int i = 0; i < wanted; i++)
	{
		int			 other = node->needs_all ? i : node->needs[i];
		FfNodeState *source = &state->nodes[other];

		bytes += source->output ? VARSIZE(source->output) : 0;
		if (is_missing(source) || bytes > room())
			refuse_scope(node);
		if (source->has_output)
			bind(bindings, &count, state->graph->nodes[other].id, source->output);
	}
	scope->bindings = bindings;
	scope->count = count;
	return scope;
}

/* --- what code sees --- */

static void
write_value(StringInfo json, Jsonb *value)
{
	if (value == NULL)
		appendStringInfoString(json, "null");
	else
		(void) JsonbToCString(json, &value->root, VARSIZE(value));
}

/* The context has the input, too, as templates know it. */
void
ff_context_write(FfRun *run, const FfPlace *place, StringInfo json)
{
	FfScope *scope;

	ff_context_fetch(run, place->inner);
	scope = ff_context_scope(run, place);
	appendStringInfoString(json, "\"input\":");
	write_value(json, run->event.data);
	appendStringInfoString(json, ",\"context\":{");
	for (int i = 0; i < scope->count; i++)
	{
		if (i > 0)
			appendStringInfoChar(json, ',');
		escape_json(json, scope->bindings[i].name);
		appendStringInfoChar(json, ':');
		write_value(json, scope->bindings[i].value);
	}
	appendStringInfoChar(json, '}');
}

/* --- what the run gives --- */

static Jsonb *
outputs_of(FfRun *run, const int *leaves, int count)
{
	FfGraphRun	 *state = ff_graph_run(run);
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	for (int i = 0; i < count; i++)
	{
		FfNodeState *leaf = &state->nodes[leaves[i]];

		if (leaf->output == NULL)
			continue;
		ff_jb_key(&builder, state->graph->nodes[leaves[i]].id);
		ff_jb_json(&builder, leaf->output);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

Jsonb *
ff_context_result(FfRun *run)
{
	FfGraphRun *state = ff_graph_run(run);
	int		   *leaves = palloc(sizeof(int) * Max(state->graph->node_count, 1));
	int			count = 0;

	for (int i = 0; i < state->graph->node_count; i++)
	{
		if (state->graph->nodes[i].out_count == 0)
			leaves[count++] = i;
	}
	if (!fetch(run, leaves, count, ff_output_limit))
		return NULL;
	if (count == 1 && state->nodes[leaves[0]].output != NULL)
		return state->nodes[leaves[0]].output;
	return outputs_of(run, leaves, count);
}
