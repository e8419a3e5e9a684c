/*
 * needs.c - which nodes' outputs a node's config names, so that a run reads only these.
 */
#include "postgres.h"

#include "graph/definition.h"
#include "graph/type.h"
#include "secret/secret.h"
#include "util/json.h"

static void
note_secret(FfNode *node, const char *name)
{
	ListCell *cell;

	foreach (cell, node->secrets)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return;
	}
	node->secrets = lappend(node->secrets, pstrdup(name));
}

static void
mark(const FfGraph *graph, FfNode *node, const FfReferences *found, bool *named)
{
	for (int i = 0; i < found->count; i++)
	{
		const char	 *path = found->items[i].path;
		const FfNode *other = ff_graph_node_n(graph, path, (int) strcspn(path, "."));

		if (other != NULL && other != node)
			named[other->index] = true;
		if (strncmp(path, "secret.", 7) == 0 && ff_secret_is_name(path + 7))
			note_secret(node, path + 7);
	}
}

static bool
has_name(const void *graph, const char *name, int length)
{
	return ff_graph_node_n(graph, name, length) != NULL;
}

FfSearch
ff_graph_search(const FfGraph *graph)
{
	return (FfSearch){.has = has_name, .argument = graph, .arguments = true};
}

/* Code reads what it likes, once it mentions the context. */
static bool
mentions_context(const JsonbValue *value)
{
	return value != NULL && value->type == jbvString &&
		   memmem(value->val.string.val, value->val.string.len, "context", 7) != NULL;
}

/* Whether a for_each runs code for its items that may read any output before it. */
static bool
items_read_all(const FfNode *node)
{
	char			 *handler = ff_json_text(node->config, "handler");
	const FfNodeType *type = handler ? ff_node_type(handler) : NULL;
	Jsonb			 *item = ff_json_member(node->config, "item_config");

	return node->type == &ff_node_for_each && type != NULL && type->code != NULL && item != NULL &&
		   ff_json_is_object(item) && mentions_context(ff_json_get(item, type->code));
}

static void
mark_member(const FfGraph *graph, FfNode *node, const char *key, JsonbValue *value, bool *named)
{
	FfSearch			search = ff_graph_search(graph);
	const FfExpression *expression = ff_node_expression(node->type, key);
	FfReferences		found = {0};

	if (ff_node_is_plain(node->type, key))
		return;
	if (ff_node_is_code(node->type, key))
	{
		node->needs_all |= mentions_context(value);
		return;
	}
	if (value->type == jbvString && expression != NULL)
	{
		search.operands_only = expression->operands_only;
		ff_expr_references(ff_operand_expr_cached(value->val.string.val, value->val.string.len),
						   &search, &found);
	}
	else
		ff_template_references(JsonbValueToJsonb(value), &search, &found);
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
	node->needs_all |= items_read_all(node);
	keep(graph, node, named);
	pfree(named);
}
