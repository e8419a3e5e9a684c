/*
 * progress.c - how far the nodes of a run have come, and what follows when one is done: a node is
 * ready when everything before it is done and a live edge reaches it, and dead when none does.
 */
#include "postgres.h"

#include "graph/drive.h"

static void
make_queue(FfNodeQueue *queue, int size)
{
	queue->nodes = palloc(sizeof(int) * Max(size, 1));
	queue->head = 0;
	queue->tail = 0;
}

static void
push(FfNodeQueue *queue, int node)
{
	queue->nodes[queue->tail++] = node;
}

int
ff_queue_first(const FfNodeQueue *queue)
{
	return queue->head == queue->tail ? -1 : queue->nodes[queue->head];
}

int
ff_queue_take(FfNodeQueue *queue)
{
	return queue->nodes[queue->head++];
}

/* In the current context, which lives as long as the run. */
void
ff_progress_begin(FfGraphRun *state)
{
	const FfGraph *graph = state->graph;

	state->nodes = palloc0(sizeof(FfNodeState) * Max(graph->node_count, 1));
	state->open = graph->node_count;
	state->restoring = true;
	make_queue(&state->here, graph->node_count);
	make_queue(&state->works, graph->node_count);
	for (int i = 0; i < graph->node_count; i++)
		state->nodes[i].before = graph->nodes[i].in_count;
}

static bool
takes_room(const FfNode *node)
{
	return node->type != NULL && node->type->place == FF_NODE_WORKS;
}

static bool
edge_lives(const FfNodeState *source, const FfEdge *edge)
{
	if (!source->live)
		return false;
	return source->branch == NULL || edge->label == NULL ||
		   strcmp(source->branch, edge->label) == 0;
}

/* Everything before it is done. Gives the list of dead nodes, with it if it is one. */
static List *
decide(FfGraphRun *state, int node, List *dead)
{
	const FfNode *description = &state->graph->nodes[node];
	FfNodeState	 *target = &state->nodes[node];

	if (state->restoring || target->progress != FF_PROGRESS_AHEAD || target->before > 0)
		return dead;
	if (description->in_count > 0 && target->reached == 0)
		return lappend_int(dead, node);
	target->progress = FF_PROGRESS_READY;
	push(takes_room(description) ? &state->works : &state->here, node);
	return dead;
}

static List *
follow(FfGraphRun *state, int node, List *dead)
{
	const FfNode *source = &state->graph->nodes[node];

	for (int i = 0; i < source->out_count; i++)
	{
		const FfEdge *edge = &state->graph->edges[source->out[i]];

		state->nodes[edge->target].before--;
		state->nodes[edge->target].reached += edge_lives(&state->nodes[node], edge);
		dead = decide(state, edge->target, dead);
	}
	return dead;
}

static void
mark(FfGraphRun *state, int node, FfProgress progress, bool live, const char *branch)
{
	FfNodeState *done = &state->nodes[node];

	done->progress = progress;
	done->live = live;
	done->branch = branch;
	state->open--;
}

List *
ff_progress_end(FfGraphRun *state, int node, FfProgress progress, bool live, const char *branch)
{
	List *dead = NIL;
	int	  looked_at = 0;

	mark(state, node, progress, live, branch);
	dead = follow(state, node, dead);
	for (; looked_at < list_length(dead); looked_at++)
	{
		mark(state, list_nth_int(dead, looked_at), FF_PROGRESS_SKIPPED, false, NULL);
		dead = follow(state, list_nth_int(dead, looked_at), dead);
	}
	return dead;
}

List *
ff_progress_sweep(FfGraphRun *state)
{
	List *dead = NIL;

	state->restoring = false;
	for (int i = 0; i < state->graph->node_count; i++)
		dead = decide(state, i, dead);
	for (int looked_at = 0; looked_at < list_length(dead); looked_at++)
	{
		mark(state, list_nth_int(dead, looked_at), FF_PROGRESS_SKIPPED, false, NULL);
		dead = follow(state, list_nth_int(dead, looked_at), dead);
	}
	return dead;
}
