/*
 * order.c - a graph's nodes in an order in which each comes after those before it, or the cycle
 * that leaves none.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "graph/graph.h"

#define NODES_NAMED 20

static int
compare_indexes(const void *a, const void *b)
{
	return *(const int *) a - *(const int *) b;
}

/* How many edges lead to each node. */
static int *
count_parents(const FfGraph *graph)
{
	int *waiting = palloc0(sizeof(int) * Max(graph->node_count, 1));

	for (int i = 0; i < graph->node_count; i++)
		waiting[i] = graph->nodes[i].in_count;
	return waiting;
}

/* Kahn's: a queue of nodes all of whose parents are in it already, the nodes that become free
 * together in the order of the document. Gives how many there are. */
static int
fill_queue(const FfGraph *graph, int *queue, int *waiting)
{
	int count = 0;

	for (int i = 0; i < graph->node_count; i++)
	{
		if (waiting[i] == 0)
			queue[count++] = i;
	}
	for (int next = 0; next < count; next++)
	{
		const FfNode *node = &graph->nodes[queue[next]];
		int			  freed = count;

		for (int i = 0; i < node->out_count; i++)
		{
			int target = graph->edges[node->out[i]].target;

			if (--waiting[target] == 0)
				queue[count++] = target;
		}
		qsort(queue + freed, count - freed, sizeof(int), compare_indexes);
		CHECK_FOR_INTERRUPTS();
	}
	return count;
}

/* A parent that waits itself. */
static int
waiting_parent(const FfGraph *graph, const int *waiting, int index)
{
	const FfNode *node = &graph->nodes[index];

	for (int i = 0; i < node->in_count; i++)
	{
		int source = graph->edges[node->in[i]].source;

		if (waiting[source] > 0)
			return source;
	}
	return -1;
}

/* Whoever still waits has a parent that does: going back from one to the next must come round.
 * Gives a cycle's nodes from the first of the document on, along its edges. */
static int *
find_cycle(const FfGraph *graph, const int *waiting, int *length)
{
	int *seen = palloc0(sizeof(int) * graph->node_count); /* when, from 1 */
	int *path = palloc(sizeof(int) * graph->node_count);
	int *cycle;
	int	 count = 0;
	int	 at = 0;
	int	 least = 0;

	while (waiting[at] == 0)
		at++;
	while (seen[at] == 0)
	{
		path[count++] = at;
		seen[at] = count;
		at = waiting_parent(graph, waiting, at);
	}
	*length = count - (seen[at] - 1);
	cycle = palloc(sizeof(int) * *length);
	for (int i = 0; i < *length; i++)
	{
		cycle[i] = path[count - 1 - i];
		if (cycle[i] < cycle[least])
			least = i;
	}
	for (int i = 0; i < *length; i++)
		path[i] = cycle[(least + i) % *length];
	return path;
}

/* a -> b -> a */
static void
report_cycle(FfGraph *graph, const int *waiting)
{
	int			   length;
	int			  *cycle = find_cycle(graph, waiting, &length);
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "the graph has a cycle: ");
	for (int i = 0; i < Min(length, NODES_NAMED); i++)
		appendStringInfo(&text, "%s -> ", graph->nodes[cycle[i]].id);
	if (length > NODES_NAMED)
		appendStringInfo(&text, "(%d more) -> ", length - NODES_NAMED);
	appendStringInfoString(&text, graph->nodes[cycle[0]].id);
	ff_graph_fault(graph, FF_FAULT_CYCLE, graph->nodes[cycle[0]].place, -1, NULL, text.data,
				   "Remove one of these edges, or repeat with a for_each.");
}

void
ff_graph_sort(FfGraph *graph)
{
	int *waiting = count_parents(graph);
	int *queue = palloc(sizeof(int) * Max(graph->node_count, 1));

	if (fill_queue(graph, queue, waiting) == graph->node_count)
		graph->order = queue;
	else
		report_cycle(graph, waiting);
}
