/*
 * wait.c - what a wait's expression demands of the awaited event, and a trigger's of its event.
 *
 * Of the conjuncts of the whole expression, the first that equates a member of `async` with a
 * constant becomes the key by which the wait is found. The key only selects candidates: the whole
 * expression is evaluated for each, so the key may select too many but never too few.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "lang/node.h"

/* The member's name of `object.name` or `object['name']`; NULL for anything else or what no dotted
 * path can say. */
static const char *
member_name(const FfNode *node, int *length)
{
	const FfNode *key = node->kind == FF_NODE_INDEX ? node->kids[1] : NULL;
	const char	 *name = node->text;

	*length = node->length;
	if (key != NULL)
	{
		if (key->kind != FF_NODE_LITERAL || key->literal.kind != FF_TEXT)
			return NULL;
		name = key->literal.u.text;
		*length = key->literal.length;
	}
	else if (node->kind != FF_NODE_MEMBER)
		return NULL;
	return *length == 0 || memchr(name, '.', *length) != NULL || memchr(name, '*', *length) != NULL
			   ? NULL
			   : name;
}

/* Appends the dotted path of `root.a.b`; false when the node is something else. */
static bool
path_below(const FfNode *node, const char *root, StringInfo path)
{
	int			length;
	const char *name = member_name(node, &length);

	if (name == NULL)
		return false;
	if (node->kids[0]->kind == FF_NODE_NAME && strcmp(node->kids[0]->text, root) == 0)
	{
		appendBinaryStringInfo(path, name, length);
		return true;
	}
	if (!path_below(node->kids[0], root, path))
		return false;
	appendStringInfoChar(path, '.');
	appendBinaryStringInfo(path, name, length);
	return true;
}

static bool
path_below_async(const FfNode *node, StringInfo path)
{
	return path_below(node, "async", path);
}

/* Whether the value depends on the event alone, and will be the same later. */
static bool
is_constant(const FfNode *node)
{
	if (node->kind == FF_NODE_NAME && strcmp(node->text, "async") == 0)
		return false;
	if (node->kind == FF_NODE_CALL && node->function->call == ff_fn_now)
		return false;
	for (int i = 0; i < node->count; i++)
	{
		if (!is_constant(node->kids[i]))
			return false;
	}
	return true;
}

static bool
constant_of(const FfNode *node, Jsonb *event, Jsonb **value)
{
	FfBinding	 binding = {"event", event};
	FfScope		 scope = {.bindings = &binding, .count = 1};
	FfEvaluation e;
	FfValue		 constant = {0};

	if (!is_constant(node))
		return false;
	ff_lang_begin(&e, &scope, true);
	if (ff_lang_evaluate(&e, node, &constant))
	{
		*value = ff_lang_keep(&e, ff_value_document(&constant));
		return true;
	}
	ff_lang_end(&e);
	return false;
}

static bool
key_of_equality(const FfNode *node, Jsonb *event, char **path, Jsonb **value)
{
	StringInfoData below;

	if (node->kind != FF_NODE_COMPARE || node->count != 2 || node->operators[0] != FF_EQ)
		return false;
	for (int side = 0; side < 2; side++)
	{
		initStringInfo(&below);
		if (path_below_async(node->kids[side], &below) &&
			constant_of(node->kids[1 - side], event, value))
		{
			*path = below.data;
			return true;
		}
		pfree(below.data);
	}
	return false;
}

static bool
key_of(const FfNode *node, Jsonb *event, char **path, Jsonb **value)
{
	if (node->kind != FF_NODE_AND)
		return key_of_equality(node, event, path, value);
	for (int i = 0; i < node->count; i++)
	{
		if (key_of(node->kids[i], event, path, value))
			return true;
	}
	return false;
}

bool
ff_expr_wait_key(const FfExpr *expr, Jsonb *event, char **path, Jsonb **value)
{
	return expr->fault == NULL && key_of(expr->root, event, path, value);
}

/* --- triggers --- */

static bool
text_key(const FfNode *node, char **path, char **text)
{
	StringInfoData below;

	for (int i = 0; node->kind == FF_NODE_AND && i < node->count; i++)
	{
		if (text_key(node->kids[i], path, text))
			return true;
	}
	if (node->kind != FF_NODE_COMPARE || node->count != 2 || node->operators[0] != FF_EQ)
		return false;
	for (int side = 0; side < 2; side++)
	{
		const FfNode *constant = node->kids[1 - side];

		initStringInfo(&below);
		if (constant->kind != FF_NODE_LITERAL || constant->literal.kind != FF_TEXT ||
			!path_below(node->kids[side], "event", &below))
			continue;
		*path = below.data;
		*text = pnstrdup(constant->literal.u.text, constant->literal.length);
		return true;
	}
	return false;
}

bool
ff_expr_event_key(const FfExpr *expr, char **path, char **text)
{
	return expr->fault == NULL && text_key(expr->root, path, text);
}
