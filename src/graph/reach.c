/*
 * reach.c - which nodes come before and after which, and which run only if a branch is taken.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "graph/reach.h"

static FfReach *
make_reach(const FfGraph *graph)
{
	FfReach *reach = palloc(sizeof(FfReach));

	reach->words = (graph->node_count + 63) / 64;
	reach->rows = palloc0(sizeof(uint64) * Max((Size) reach->words * graph->node_count, 1));
	return reach;
}

static void
include(FfReach *reach, int row, int other)
{
	uint64 *to = &reach->rows[(Size) row * reach->words];
	uint64 *from = &reach->rows[(Size) other * reach->words];

	for (int i = 0; i < reach->words; i++)
		to[i] |= from[i];
	to[other / 64] |= UINT64CONST(1) << (other % 64);
}

FfReach *
ff_graph_ancestors(const FfGraph *graph)
{
	FfReach *reach = make_reach(graph);

	for (int i = 0; i < graph->node_count; i++)
	{
		const FfNode *node = &graph->nodes[graph->order[i]];

		CHECK_FOR_INTERRUPTS();
		for (int e = 0; e < node->in_count; e++)
			include(reach, node->index, graph->edges[node->in[e]].source);
	}
	return reach;
}

FfReach *
ff_graph_descendants(const FfGraph *graph)
{
	FfReach *reach = make_reach(graph);

	for (int i = graph->node_count - 1; i >= 0; i--)
	{
		const FfNode *node = &graph->nodes[graph->order[i]];

		CHECK_FOR_INTERRUPTS();
		for (int e = 0; e < node->out_count; e++)
			include(reach, node->index, graph->edges[node->out[e]].target);
	}
	return reach;
}

static bool
takes(const FfEdge *edge, const FfNode *branching, const char *label)
{
	return edge->source == branching->index && edge->label != NULL &&
		   strcmp(edge->label, label) == 0;
}

/* Whether every way to the node leads by the branch. */
static bool
is_exclusive(const FfGraph *graph, const FfNode *node, const FfNode *branching, const char *label,
			 const bool *exclusive)
{
	for (int e = 0; e < node->in_count; e++)
	{
		const FfEdge *edge = &graph->edges[node->in[e]];

		if (!takes(edge, branching, label) && !exclusive[edge->source])
			return false;
	}
	return node->in_count > 0;
}

bool *
ff_graph_exclusive(const FfGraph *graph, const FfNode *branching, const char *label)
{
	bool *exclusive = palloc0(sizeof(bool) * graph->node_count);

	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < graph->node_count; i++)
	{
		const FfNode *node = &graph->nodes[graph->order[i]];

		exclusive[node->index] = is_exclusive(graph, node, branching, label, exclusive);
	}
	return exclusive;
}
