/*
 * plan.c - ff_workflow_plan: what can be said about a graph's run before it begins.
 *
 * Lists are in the order of the document but for the topological order and the critical path, which
 * are in the order of execution.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "graph/reach.h"
#include "util/json.h"

PG_FUNCTION_INFO_V1(ff_sql_workflow_plan);

typedef bool (*IsListed)(const FfGraph *graph, int index, const void *argument);

static void
write_list(FfJsonBuilder *out, const FfGraph *graph, IsListed is_listed, const void *argument)
{
	CHECK_FOR_INTERRUPTS();
	ff_jb_array(out);
	for (int i = 0; i < graph->node_count; i++)
	{
		if (is_listed(graph, i, argument))
			ff_jb_text(out, graph->nodes[i].id);
	}
	ff_jb_end(out);
}

static bool
is_root(const FfGraph *graph, int index, const void *argument)
{
	return graph->nodes[index].in_count == 0;
}

static bool
is_leaf(const FfGraph *graph, int index, const void *argument)
{
	return graph->nodes[index].out_count == 0;
}

static void
write_order(FfJsonBuilder *out, const FfGraph *graph)
{
	ff_jb_array(out);
	for (int i = 0; i < graph->node_count; i++)
		ff_jb_text(out, graph->nodes[graph->order[i]].id);
	ff_jb_end(out);
}

/* --- distances --- */

/* How far each node is from the roots, at the longest; and, of its parents on such a way, the first
 * in the order of execution, or -1. */
static int *
measure(const FfGraph *graph, int *before)
{
	int *level = palloc0(sizeof(int) * Max(graph->node_count, 1));

	for (int i = 0; i < graph->node_count; i++)
		before[i] = -1;
	for (int i = 0; i < graph->node_count; i++)
	{
		const FfNode *node = &graph->nodes[graph->order[i]];

		for (int e = 0; e < node->out_count; e++)
		{
			int target = graph->edges[node->out[e]].target;

			if (level[target] <= level[node->index])
			{
				level[target] = level[node->index] + 1;
				before[target] = node->index;
			}
		}
	}
	return level;
}

static void
write_levels(FfJsonBuilder *out, const FfGraph *graph, const int *levels)
{
	int	 deepest = -1;
	int *head;
	int *next = palloc(sizeof(int) * Max(graph->node_count, 1));

	for (int i = 0; i < graph->node_count; i++)
		deepest = Max(deepest, levels[i]);
	head = palloc(sizeof(int) * (deepest + 2));
	for (int i = 0; i <= deepest; i++)
		head[i] = -1;
	for (int i = graph->node_count - 1; i >= 0; i--)
	{
		next[i] = head[levels[i]];
		head[levels[i]] = i;
	}
	ff_jb_array(out);
	for (int level = 0; level <= deepest; level++)
	{
		ff_jb_array(out);
		for (int i = head[level]; i >= 0; i = next[i])
			ff_jb_text(out, graph->nodes[i].id);
		ff_jb_end(out);
	}
	ff_jb_end(out);
}

static void
write_critical_path(FfJsonBuilder *out, const FfGraph *graph, const int *levels, const int *before)
{
	int	 at = -1;
	int	 length = 0;
	int *path = palloc(sizeof(int) * Max(graph->node_count, 1));

	for (int i = 0; i < graph->node_count; i++)
	{
		if (at < 0 || levels[graph->order[i]] > levels[at])
			at = graph->order[i];
	}
	for (; at >= 0; at = before[at])
		path[length++] = at;
	ff_jb_array(out);
	while (length > 0)
		ff_jb_text(out, graph->nodes[path[--length]].id);
	ff_jb_end(out);
}

/* --- sets --- */

static bool
is_marked(const FfGraph *graph, int index, const void *argument)
{
	return ((const bool *) argument)[index];
}

static void
write_branches(FfJsonBuilder *out, const FfGraph *graph, const FfNode *node)
{
	ff_jb_object(out);
	for (const char *const *label = node->type->labels; *label != NULL; label++)
	{
		bool *exclusive = ff_graph_exclusive(graph, node, *label);

		ff_jb_key(out, *label);
		write_list(out, graph, is_marked, exclusive);
		pfree(exclusive);
	}
	ff_jb_end(out);
}

static void
write_exclusive(FfJsonBuilder *out, const FfGraph *graph)
{
	ff_jb_object(out);
	for (int i = 0; i < graph->node_count; i++)
	{
		const FfNode *node = &graph->nodes[i];

		if (node->type == NULL || node->type->labels == NULL)
			continue;
		ff_jb_key(out, node->id);
		write_branches(out, graph, node);
	}
	ff_jb_end(out);
}

typedef struct Row
{
	const FfReach *reach;
	int			   node;
} Row;

static bool
is_reached(const FfGraph *graph, int index, const void *argument)
{
	const Row *row = argument;

	return ff_reach_has(row->reach, row->node, index);
}

static void
write_reach(FfJsonBuilder *out, const FfGraph *graph, const FfReach *reach)
{
	ff_jb_object(out);
	for (int i = 0; i < graph->node_count; i++)
	{
		Row row = {reach, i};

		ff_jb_key(out, graph->nodes[i].id);
		write_list(out, graph, is_reached, &row);
	}
	ff_jb_end(out);
}

/* --- the plan --- */

static Jsonb *
plan(const FfGraph *graph)
{
	FfJsonBuilder out = {0};
	int			 *before = palloc(sizeof(int) * Max(graph->node_count, 1));
	int			 *levels = measure(graph, before);

	ff_jb_object(&out);
	ff_jb_key(&out, "roots");
	write_list(&out, graph, is_root, NULL);
	ff_jb_key(&out, "leaves");
	write_list(&out, graph, is_leaf, NULL);
	ff_jb_key(&out, "order");
	write_order(&out, graph);
	ff_jb_key(&out, "levels");
	write_levels(&out, graph, levels);
	ff_jb_key(&out, "critical_path");
	write_critical_path(&out, graph, levels, before);
	ff_jb_key(&out, "exclusive");
	write_exclusive(&out, graph);
	ff_jb_key(&out, "ancestors");
	write_reach(&out, graph, ff_graph_ancestors(graph));
	ff_jb_key(&out, "descendants");
	write_reach(&out, graph, ff_graph_descendants(graph));
	ff_jb_end(&out);
	return ff_jb_finish(&out);
}

Datum
ff_sql_workflow_plan(PG_FUNCTION_ARGS)
{
	FfGraph *graph = ff_graph_read(PG_GETARG_JSONB_P(0), CurrentMemoryContext);

	ff_graph_check(graph);
	PG_RETURN_JSONB_P(plan(graph));
}
