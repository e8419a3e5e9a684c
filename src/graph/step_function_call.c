/*
 * step_function_call.c - the step type function_call: a run of another function (of an app, a
 * graph, or SQL), whose result is the output; or, with wait: false, only its start.
 */
#include "postgres.h"

#include "function/function.h"
#include "graph/option.h"
#include "graph/type.h"
#include "run/actor.h"
#include "util/duration.h"
#include "util/id.h"
#include "util/json.h"

static bool
waits(Jsonb *config)
{
	JsonbValue *wait = ff_json_get(config, "wait");

	if (wait != NULL && wait->type != jbvNull && wait->type != jbvBool)
		ff_option_wrong("wait", "is not true or false");
	return wait == NULL || wait->type == jbvNull || wait->val.boolean;
}

static bool
is_there(int32 tenant_id, const char *slug)
{
	MemoryContext caller = CurrentMemoryContext;
	bool		  found = ff_function_by_slug(tenant_id, slug) != NULL;

	MemoryContextSwitchTo(caller); /* SPI leaves its own */
	return found;
}

/* The run is started with the change that says so, and nobody waits for it. */
static void
start_only(const FfNodeStart *start, FfOp *op)
{
	FfInvocation *invocation = palloc0(sizeof(FfInvocation));
	FfJsonBuilder builder = {0};
	char		  ulid[FF_ULID_SIZE];

	/* Nobody would hear of it later. */
	if (!is_there(start->run->tenant_id, op->function))
	{
		ff_op_fail(op, "FunctionNotFound",
				   psprintf("could not find function with ID: %s", op->function));
		return;
	}
	strlcpy(invocation->step_id, start->step_id, sizeof(invocation->step_id));
	invocation->name = op->name;
	invocation->slug = op->function;
	invocation->payload = op->payload;
	invocation->expires = op->due;
	invocation->detached = true;
	ff_uuid7(&invocation->run_id);
	start->run->change->invocations = lappend(start->run->change->invocations, invocation);
	ff_ulid_encode(&invocation->run_id, ulid);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "run_id");
	ff_jb_text(&builder, ulid);
	ff_jb_end(&builder);
	op->kind = FF_OP_COMPLETED;
	op->data = ff_jb_finish(&builder);
}

static void
start(const FfNodeStart *start, FfOp *op)
{
	Jsonb *args = ff_option(start->config, "args");
	int64  limit = ff_option_limit(start, "timeout");

	if (args != NULL && !ff_json_is_object(args))
		ff_option_wrong("args", "is not an object");
	op->kind = FF_OP_INVOKE;
	op->function = ff_option_text(start->config, "function");
	op->payload = ff_run_wrap("data", args ? args : ff_json_empty_object());
	op->due = start->now + (limit > 0 ? limit : FF_MAX_DURATION_US);
	if (start->run->depth >= ff_invoke_depth_limit)
		ff_op_fail(op, "InvocationTooDeep",
				   psprintf("this run is the %dth of a chain of invocations; "
							"flowforge.invoke_depth_limit allows %d",
							start->run->depth + 1, ff_invoke_depth_limit));
	else if (!waits(start->config))
		start_only(start, op);
}

const FfNodeType ff_node_function_call = {
	.name = "function_call", .place = FF_NODE_WAITS, .start = start};
