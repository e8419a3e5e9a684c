/*
 * type.h - the step types; each is a file step_<type>.c and a line of types.c.
 */
#ifndef FF_GRAPH_TYPE_H
#define FF_GRAPH_TYPE_H

#include "graph/graph.h"

extern const FfNodeType ff_node_condition;
extern const FfNodeType ff_node_database_query;
extern const FfNodeType ff_node_delay;
extern const FfNodeType ff_node_for_each;
extern const FfNodeType ff_node_function_call;
extern const FfNodeType ff_node_http_request;
extern const FfNodeType ff_node_inline_code;
extern const FfNodeType ff_node_llm_call;
extern const FfNodeType ff_node_send_email;
extern const FfNodeType ff_node_transform;
extern const FfNodeType ff_node_wait_for_approval;
extern const FfNodeType ff_node_wait_for_event;
extern const FfNodeType ff_node_webhook;

#endif
