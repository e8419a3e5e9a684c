/*
 * step_wait_for_approval.c - the step type wait_for_approval: the run waits for a person, whose
 * data are the output. Who rejects, and nobody deciding in time, are errors, treated as on_error
 * says.
 */
#include "postgres.h"

#include "graph/option.h"
#include "graph/type.h"
#include "util/duration.h"
#include "util/json.h"

static void
put(FfJsonBuilder *builder, const char *key, Jsonb *value)
{
	if (value == NULL)
		return;
	ff_jb_key(builder, key);
	ff_jb_json(builder, value);
}

static void
start(const FfNodeStart *start, FfOp *op)
{
	FfJsonBuilder builder = {0};
	char		 *prompt = ff_json_text(start->config, "prompt");
	int64		  limit = ff_option_limit(start, "timeout");

	ff_jb_object(&builder);
	ff_jb_key(&builder, "prompt");
	ff_jb_text(&builder, prompt && *prompt ? prompt : "Please review and approve to continue.");
	put(&builder, "approvers", ff_option(start->config, "approvers"));
	put(&builder, "form", ff_option(start->config, "form"));
	if (limit > 0)
	{
		ff_jb_key(&builder, "timeout");
		ff_jb_text(&builder, psprintf(INT64_FORMAT "us", limit));
	}
	ff_jb_end(&builder);
	ff_op_step(op, "Approval", ff_jb_finish(&builder), start->now);
}

static Jsonb *
output(const FfNode *node, Jsonb *decision, FfNodeFault *fault)
{
	Jsonb *data = ff_json_member(decision, "data");
	char  *by = ff_json_text(decision, "by");
	char  *reason = ff_json_text(decision, "reason");

	if (ff_json_bool(decision, "approved"))
		return data && !ff_json_is_null(data) ? data : ff_json_empty_object();
	fault->retry = by == NULL;
	if (by == NULL)
		fault->error =
			ff_run_error("TimedOut", psprintf("nobody decided on \"%s\" in time", node->label));
	else
		fault->error = ff_run_error("Rejected", reason ? psprintf("rejected by %s: %s", by, reason)
													   : psprintf("rejected by %s", by));
	return NULL;
}

const FfNodeType ff_node_wait_for_approval = {
	.name = "wait_for_approval", .place = FF_NODE_WAITS, .start = start, .output = output};
