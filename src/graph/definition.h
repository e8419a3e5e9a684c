/*
 * definition.h - what the files that read a graph share.
 */
#ifndef FF_GRAPH_DEFINITION_H
#define FF_GRAPH_DEFINITION_H

#include "graph/graph.h"

/* policy.c: what a node does about failures. `data` may be NULL. */
extern void ff_node_read_policy(FfGraph *graph, FfNode *node, Jsonb *data);

/* policy.c: what holds for the graph as a whole. `settings` may be NULL. */
extern void ff_graph_read_settings(FfGraph *graph, Jsonb *settings);

/* needs.c: which nodes' outputs a node's config names. Raises FF101, FF109, FF110. */
extern void ff_node_read_needs(const FfGraph *graph, FfNode *node);

/* needs.c: what counts as a reference in a graph's texts. */
extern FfSearch ff_graph_search(const FfGraph *graph);

#endif
