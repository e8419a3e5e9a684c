/*
 * needs.c - which nodes' outputs a node's config names, so that a run reads only these.
 */
#include "postgres.h"

#include "graph/definition.h"
#include "util/json.h"

static bool
is_expression(const FfNode *node, const char *key)
{
	const char *const *members = node->type != NULL ? node->type->expressions : NULL;

	for (; members != NULL && *members != NULL; members++)
	{
		if (strcmp(*members, key) == 0)
			return true;
	}
	return false;
}

static void
mark(const FfGraph *graph, const FfNode *node, const FfReferences *found, bool *named)
{
	for (int i = 0; i < found->count; i++)
	{
		const char	 *path = found->paths[i];
		const FfNode *other = ff_graph_node_n(graph, path, (int) strcspn(path, "."));

		if (other != NULL && other != node)
			named[other->index] = true;
	}
}

/* Code reads what it likes, once it mentions the context. */
static void
mark_code(FfNode *node, const char *code)
{
	if (strstr(code, "context") != NULL)
		node->needs_all = true;
}

static void
mark_member(const FfGraph *graph, FfNode *node, const char *key, JsonbValue *value, bool *named)
{
	FfReferences found = {0};
	char		*text =
		   value->type == jbvString ? pnstrdup(value->val.string.val, value->val.string.len) : NULL;

	if (text != NULL && node->type != NULL && node->type->code != NULL &&
		strcmp(node->type->code, key) == 0)
		mark_code(node, text);
	else if (text != NULL && is_expression(node, key))
		ff_expr_references(ff_expr_cached(text, (int) strlen(text)), &found);
	else
		ff_template_references(JsonbValueToJsonb(value), &found);
	if (!node->needs_all)
		mark(graph, node, &found, named);
}

static void
keep(const FfGraph *graph, FfNode *node, const bool *named)
{
	for (int i = 0; i < graph->node_count; i++)
		node->need_count += named[i];
	node->needs = palloc(sizeof(int) * Max(node->need_count, 1));
	node->need_count = 0;
	for (int i = 0; i < graph->node_count; i++)
	{
		if (named[i])
			node->needs[node->need_count++] = i;
	}
}

void
ff_node_read_needs(const FfGraph *graph, FfNode *node)
{
	bool			  *named = palloc0(sizeof(bool) * graph->node_count);
	JsonbIterator	  *iterator = JsonbIteratorInit(&node->config->root);
	JsonbValue		   value;
	JsonbIteratorToken token;
	char			  *key = NULL;

	while ((token = JsonbIteratorNext(&iterator, &value, key != NULL)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
		{
			mark_member(graph, node, key, &value, named);
			key = NULL;
		}
	}
	keep(graph, node, named);
	pfree(named);
}
