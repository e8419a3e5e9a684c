/*
 * step_transform.c - the step type transform: its mapping, with templates rendered, is its output.
 */
#include "postgres.h"

#include "graph/option.h"
#include "graph/type.h"
#include "util/json.h"

static void
start(const FfNodeStart *start, FfOp *op)
{
	Jsonb *mapping = ff_json_member(start->config, "mapping");

	if (mapping == NULL)
		mapping = ff_json_member(start->config, "output");
	op->kind = FF_OP_COMPLETED;
	op->data = mapping ? mapping : ff_json_from_text("{}");
}

const FfNodeType ff_node_transform = {
	.name = "transform", .place = FF_NODE_HERE, .pure = true, .start = start};
