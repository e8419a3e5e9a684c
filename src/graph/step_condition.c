/*
 * step_condition.c - the step type condition: whether its expression is truthy chooses the branch.
 */
#include "postgres.h"

#include "graph/option.h"
#include "graph/type.h"
#include "util/json.h"

static const char *const raw[] = {"expression", NULL};
static const char *const labels[] = {"true", "false", NULL};

static void
start(const FfNodeStart *start, FfOp *op)
{
	FfJsonBuilder builder = {0};
	JsonbValue	 *given = ff_json_get(start->config, "expression");
	bool		  truth;

	if (given == NULL || (given->type != jbvString && given->type != jbvBool))
		ff_option_wrong("expression", given ? "is not an expression" : "is missing");
	if (given->type == jbvBool)
		truth = given->val.boolean;
	else
		truth = ff_expr_truth(given->val.string.val, given->val.string.len, start->scope);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "result");
	ff_jb_bool(&builder, truth);
	ff_jb_key(&builder, "branch");
	ff_jb_text(&builder, truth ? "true" : "false");
	ff_jb_end(&builder);
	op->kind = FF_OP_COMPLETED;
	op->data = ff_jb_finish(&builder);
}

const FfNodeType ff_node_condition = {.name = "condition",
									  .place = FF_NODE_HERE,
									  .raw = raw,
									  .expression = {"expression", false},
									  .labels = labels,
									  .alone = true,
									  .start = start};
