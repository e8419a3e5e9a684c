/*
 * live.h - under which decisions of its conditions a node runs (see live.c).
 */
#ifndef FF_GRAPH_LIVE_H
#define FF_GRAPH_LIVE_H

#include "graph/graph.h"

typedef struct FfLive FfLive;

/* `taken`, by the index of a node: the only label its condition ever takes, or NULL. */
extern FfLive *ff_graph_live(const FfGraph *graph, const char *const *taken);

/* Whether no decisions let the node run. */
extern bool ff_live_never(const FfLive *live, int node);

/* Whether the other node runs whenever this one does. True, too, where this would be too much to
 * tell. */
extern bool ff_live_implies(const FfLive *live, int node, int other);

/* Whether the edge is taken under some decision of its source. */
extern bool ff_edge_may_be_taken(const FfGraph *graph, const FfEdge *edge,
								 const char *const *taken);

#endif
