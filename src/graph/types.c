/*
 * types.c - the types of nodes: one line each; what a type does is in step_<type>.c.
 */
#include "postgres.h"

#include "graph/graph.h"

static const char *const condition_labels[] = {"true", "false", NULL};
static const char *const expression_member[] = {"expression", NULL};
static const char *const if_member[] = {"if", NULL};
static const char *const code_member[] = {"code", NULL};
static const char *const item_members[] = {"item_config", NULL};

static const FfNodeType types[] = {
	{.name = "http_request"},
	{.name = "llm_call", .pure = true},
	{.name = "inline_code", .raw = code_member, .code = "code", .pure = true},
	{.name = "condition",
	 .raw = expression_member,
	 .expression = {"expression", false},
	 .labels = condition_labels,
	 .alone = true},
	{.name = "database_query"},
	{.name = "transform", .pure = true},
	{.name = "delay"},
	{.name = "wait_for_approval"},
	{.name = "wait_for_event", .raw = if_member, .expression = {"if", true}},
	{.name = "send_email"},
	{.name = "webhook"},
	{.name = "for_each", .raw = item_members, .alone = true},
	{.name = "function_call"},
};

const FfNodeType *
ff_node_type_at(int i)
{
	return i >= 0 && i < (int) lengthof(types) ? &types[i] : NULL;
}

const FfNodeType *
ff_node_type(const char *name)
{
	for (int i = 0; i < (int) lengthof(types); i++)
	{
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	}
	return NULL;
}

const FfExpression *
ff_node_expression(const FfNodeType *type, const char *key)
{
	return type != NULL && type->expression.name != NULL && strcmp(type->expression.name, key) == 0
			   ? &type->expression
			   : NULL;
}

bool
ff_node_is_code(const FfNodeType *type, const char *key)
{
	return type != NULL && type->code != NULL && strcmp(type->code, key) == 0;
}

bool
ff_node_is_raw(const FfNodeType *type, const char *key)
{
	for (const char *const *raw = type != NULL ? type->raw : NULL; raw != NULL && *raw != NULL;
		 raw++)
	{
		if (strcmp(*raw, key) == 0)
			return true;
	}
	return false;
}
