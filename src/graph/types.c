/*
 * types.c - the types of nodes: one line each; what a type does is in step_<type>.c.
 */
#include "postgres.h"

#include "graph/type.h"

static const FfNodeType *const types[] = {
	&ff_node_http_request,	 &ff_node_llm_call,	  &ff_node_inline_code, &ff_node_condition,
	&ff_node_database_query, &ff_node_transform,  &ff_node_delay,		&ff_node_wait_for_approval,
	&ff_node_wait_for_event, &ff_node_send_email, &ff_node_webhook,		&ff_node_for_each,
	&ff_node_function_call,
};

const FfNodeType *
ff_node_type_at(int i)
{
	return i >= 0 && i < (int) lengthof(types) ? types[i] : NULL;
}

const FfNodeType *
ff_node_type(const char *name)
{
	for (int i = 0; i < (int) lengthof(types); i++)
	{
		if (strcmp(types[i]->name, name) == 0)
			return types[i];
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
ff_node_is_plain(const FfNodeType *type, const char *key)
{
	return ff_node_is_raw(type, key) && ff_node_expression(type, key) == NULL &&
		   !ff_node_is_code(type, key) && strcmp(key, "item_config") != 0;
}

bool
ff_node_takes_secret(const FfNodeType *type, const char *key, int length)
{
	const char *const *name = type != NULL ? type->takes_secrets : NULL;

	for (; name != NULL && *name != NULL; name++)
	{
		if ((int) strlen(*name) == length && memcmp(*name, key, length) == 0)
			return true;
	}
	return false;
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
