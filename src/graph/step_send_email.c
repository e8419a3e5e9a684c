/*
 * step_send_email.c - the step type send_email: a mail, handed to the server of the settings
 * (src/step/mail.c).
 */
#include "postgres.h"

#include "graph/option.h"
#include "graph/type.h"

static void
start(const FfNodeStart *start, FfOp *op)
{
	ff_op_step(op, "Mail", start->config, start->now);
}

const FfNodeType ff_node_send_email = {
	.name = "send_email", .place = FF_NODE_WORKS, .start = start};
