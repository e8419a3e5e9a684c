/*
 * reach.h - which nodes come before and after which (see reach.c). For graphs without a cycle.
 */
#ifndef FF_GRAPH_REACH_H
#define FF_GRAPH_REACH_H

#include "graph/graph.h"

/* A row of bits a node, a bit a node. */
typedef struct FfReach
{
	int		words; /* of a row */
	uint64 *rows;
} FfReach;

extern FfReach *ff_graph_ancestors(const FfGraph *graph);
extern FfReach *ff_graph_descendants(const FfGraph *graph);

/* Which nodes (by index) run only if the branch of this label is taken: those to which no way leads
 * but by it. A node with another parent that lives is none of them. */
extern bool *ff_graph_exclusive(const FfGraph *graph, const FfNode *branching, const char *label);

/* Whether `other` is among those of the node. */
static inline bool
ff_reach_has(const FfReach *reach, int node, int other)
{
	return (reach->rows[(Size) node * reach->words + other / 64] >> (other % 64)) & 1;
}

#endif
