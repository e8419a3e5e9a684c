/*
 * texts.c - the templates and expressions of a config: whether they can be read, and whether what
 * they name will be there.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/varlena.h"

#include "graph/definition.h"
#include "graph/validate.h"
#include "lang/walk.h"
#include "secret/secret.h"
#include "util/errors.h"
#include "util/json.h"

/* A text of a config, or an expression in it. */
typedef struct Place
{
	const FfNode *node;
	const char	 *path;
	bool		  item; /* _item and _index are there */
} Place;

/* --- what cannot be read --- */

/* "At character 7:\n..." in short. */
static const char *
with_place(const ErrorData *error)
{
	int length = error->detail != NULL ? (int) strcspn(error->detail, ":\n") : 0;

	if (length == 0 || strncmp(error->detail, "At ", 3) != 0)
		return error->message;
	return psprintf("%s (at %.*s)", error->message, length - 3, error->detail + 3);
}

/* What reading a text raised is a fault; anything else goes on. Compiling only allocates, so that
 * its error can be caught. */
static void
catch_fault(FfCheck *check, const Place *place, FfFaultCode code, MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (error->sqlerrcode != FF_ERR_EXPRESSION_SYNTAX &&
		error->sqlerrcode != FF_ERR_EXPRESSION_FUNCTION &&
		error->sqlerrcode != FF_ERR_EXPRESSION_LIMIT)
		PG_RE_THROW();
	FlushErrorState();
	ff_check_fault(check, place->node, code, place->path, with_place(error), error->hint);
}

/* A definition is checked once in a while, and most of its texts are its own: they are not worth a
 * place in the cache. */
static FfExpr *
compile(const JsonbValue *text)
{
	return ff_operand_expr_compile(pnstrdup(text->val.string.val, text->val.string.len),
								   CurrentMemoryContext);
}

static bool
read_template(FfCheck *check, const Place *place, const JsonbValue *text, FfReferences *found)
{
	MemoryContext context = CurrentMemoryContext;
	FfSearch	  search = ff_graph_search(check->graph);
	volatile bool readable = true;

	search.once = true;
	PG_TRY();
	{
		ff_text_references(text->val.string.val, text->val.string.len, &search, found);
	}
	PG_CATCH();
	{
		catch_fault(check, place, FF_FAULT_TEMPLATE_SYNTAX, context);
		readable = false;
	}
	PG_END_TRY();
	return readable;
}

static bool
read_expression(FfCheck *check, const Place *place, const JsonbValue *text, bool operands_only,
				FfReferences *found)
{
	MemoryContext context = CurrentMemoryContext;
	FfSearch	  search = ff_graph_search(check->graph);
	volatile bool readable = true;

	search.operands_only = operands_only;
	PG_TRY();
	{
		ff_expr_references(compile(text), &search, found);
	}
	PG_CATCH();
	{
		catch_fault(check, place, FF_FAULT_EXPRESSION_SYNTAX, context);
		readable = false;
	}
	PG_END_TRY();
	return readable;
}

/* --- what is named --- */

static const char *
nearest_id(FfCheck *check, const char *name, int length)
{
	const char *nearest = NULL;
	int			least = Max(length / 3, 1) + 1;

	if (check->nearest_left <= 0 || length > FF_MAX_NODE_ID)
		return NULL;
	check->nearest_left--;
	for (int i = 0; i < check->graph->node_count; i++)
	{
		const char *id = check->graph->nodes[i].id;
		int distance = varstr_levenshtein_less_equal(name, length, id, (int) strlen(id), 1, 1, 1,
													 least - 1, true);

		if (distance < least)
		{
			least = distance;
			nearest = id;
		}
	}
	return nearest;
}

static bool
is_name(const char *name, int length, const char *wanted)
{
	return length == (int) strlen(wanted) && memcmp(name, wanted, length) == 0;
}

static void
refuse(FfCheck *check, const Place *place, const char *problem, const char *hint)
{
	ff_check_fault(check, place->node, FF_FAULT_BAD_REFERENCE, place->path,
				   psprintf("node \"%s\" refers to %s", place->node->id, problem), hint);
}

static void
check_unknown(FfCheck *check, const Place *place, const char *name, int length)
{
	const char *nearest;

	if (is_name(name, length, "_item") || is_name(name, length, "_index"))
	{
		if (!place->item)
			refuse(check, place, psprintf("%.*s outside of a for_each", length, name),
				   "Only the item_config of a for_each has _item and _index.");
		return;
	}
	if (is_name(name, length, "input") || is_name(name, length, "secret"))
		return;
	nearest = nearest_id(check, name, length);
	refuse(check, place,
		   psprintf("\"%.*s\", which does not exist", pg_mbcliplen(name, length, 60), name),
		   nearest != NULL ? psprintf("Perhaps you meant \"%s\".", nearest)
						   : "A reference begins with the id of a node, with input or secret.");
}

/* Where the member begins in a path of a config, and how long its name is; of an item of a for_each
 * it is the item's. */
static const char *
member_of(const Place *place, int *length)
{
	const char *member = place->path;

	if (place->item)
		member += strcspn(member, ".");
	if (*member == '.')
		member++;
	*length = (int) strcspn(member, ".");
	return member;
}

static const FfNodeType *
type_at(const Place *place)
{
	const char *handler = place->item ? ff_json_text(place->node->config, "handler") : NULL;

	return handler != NULL ? ff_node_type(handler) : place->node->type;
}

/* The members of a type that take secrets, as a sentence. */
static const char *
where_secrets(const FfNodeType *type)
{
	StringInfoData text;

	if (type->takes_secrets == NULL)
		return psprintf("A %s takes no secrets: they are for http_request and webhook.",
						type->name);
	initStringInfo(&text);
	appendStringInfo(&text, "A %s takes secrets in", type->name);
	for (int i = 0; type->takes_secrets[i] != NULL; i++)
		appendStringInfo(&text, "%s %s", i > 0 ? "," : "", type->takes_secrets[i]);
	appendStringInfoChar(&text, '.');
	return text.data;
}

/* A secret may be sent, and nothing else be done with it. */
static void
check_secret(FfCheck *check, const Place *place, const FfReference *reference)
{
	const FfNodeType *type = type_at(place);
	int				  length;
	const char		 *member = member_of(place, &length);

	if (type == NULL)
		return;
	if (!ff_node_takes_secret(type, member, length))
		ff_check_fault(check, place->node, FF_FAULT_SECRET_PLACE, place->path,
					   psprintf("node \"%s\" has a secret in %s, where none may stand",
								place->node->id, place->path),
					   where_secrets(type));
	else if (!reference->plain || strncmp(reference->path, "secret.", 7) != 0 ||
			 !ff_secret_is_name(reference->path + 7))
		ff_check_fault(check, place->node, FF_FAULT_SECRET_USE, place->path,
					   psprintf("node \"%s\" does something with a secret in %s", place->node->id,
								place->path),
					   "A secret is sent as it is: {{ secret.NAME }} and nothing else in the "
					   "braces.");
}

/* A node that may be skipped where it is named leaves nothing behind. */
static void
check_skipped(FfCheck *check, const Place *place, const FfNode *other, bool rescued)
{
	const char *why = NULL;

	if (rescued)
		return;
	if (!ff_live_implies(check->live, place->node->index, other->index))
		why = "another branch is taken";
	else if (other->on_error == FF_ON_ERROR_SKIP)
		why = "it fails";
	if (why != NULL)
		ff_check_fault(check, place->node, FF_FAULT_SKIPPED_REFERENCE, place->path,
					   psprintf("node \"%s\" refers to \"%s\", which is skipped when %s",
								place->node->id, other->id, why),
					   psprintf("default(%s.key, x) replaces what is missing.", other->id));
}

static void
check_reference(FfCheck *check, const Place *place, const char *name, int length, bool rescued)
{
	const FfNode *other = ff_graph_node_n(check->graph, name, length);

	if (other == NULL)
		check_unknown(check, place, name, length);
	else if (other == place->node)
		refuse(check, place, "itself", "A node's output is there when it is done.");
	else if (check->ancestors != NULL &&
			 !ff_reach_has(check->ancestors, place->node->index, other->index))
		refuse(check, place, psprintf("\"%s\", which does not come before it", other->id),
			   "Only nodes from which edges lead here are done when this one begins.");
	else
	{
		check->used[other->index] = true;
		if (check->live != NULL)
			check_skipped(check, place, other, rescued);
	}
}

static bool
has_root(const char *path, const char *root, int length)
{
	return strncmp(path, root, length) == 0 && (path[length] == '.' || path[length] == '\0');
}

/* Paths are in order, so that those of a root stand together. */
static void
check_references(FfCheck *check, const Place *place, const FfReferences *found)
{
	int i = 0;

	while (i < found->count)
	{
		const char *name = found->items[i].path;
		int			length = (int) strcspn(name, ".");
		bool		rescued = true;

		for (; i < found->count && has_root(found->items[i].path, name, length); i++)
		{
			rescued &= found->items[i].rescued;
			if (is_name(name, length, "secret"))
				check_secret(check, place, &found->items[i]);
		}
		check_reference(check, place, name, length, rescued);
	}
}

/* --- configs --- */

static void
check_expression(FfCheck *check, const Place *place, const FfExpression *expression,
				 const JsonbValue *text)
{
	FfReferences found;

	if (read_expression(check, place, text, expression->operands_only, &found))
		check_references(check, place, &found);
}

static void
check_template(FfCheck *check, const Place *place, const JsonbValue *text)
{
	FfReferences found;

	if (read_template(check, place, text, &found))
		check_references(check, place, &found);
}

/* Code may read the output of any node before it, once it mentions the context. */
static void
check_code(FfCheck *check, const FfNode *node, const JsonbValue *code)
{
	if (check->ancestors == NULL ||
		memmem(code->val.string.val, code->val.string.len, "context", 7) == NULL)
		return;
	for (int i = 0; i < check->graph->node_count; i++)
		check->used[i] |= ff_reach_has(check->ancestors, node->index, i);
}

static void
check_text(FfCheck *check, const FfNode *node, const FfWalk *walk, const char *member)
{
	const FfExpression *expression = ff_node_expression(node->type, member);
	Place				place = {.node = node, .path = member};

	if (walk->depth == 1 && ff_node_is_code(node->type, member))
		check_code(check, node, &walk->part);
	else if (walk->depth == 1 && expression != NULL)
		check_expression(check, &place, expression, &walk->part);
	else if (ff_walk_at_template(walk) && ff_node_is_plain(node->type, member))
		ff_check_fault(check, node, FF_FAULT_TEMPLATE_SYNTAX, member,
					   psprintf("the %s of node \"%s\" is no template", member, node->id),
					   "Its values are bound: write $1 and put {{ value }} into params.");
	else if (ff_walk_at_template(walk))
	{
		place.item = strcmp(member, "item_config") == 0 && ff_node_is_raw(node->type, member);
		place.path = ff_walk_path(walk);
		check_template(check, &place, &walk->part);
	}
}

void
ff_check_texts(FfCheck *check, const FfNode *node)
{
	FfWalk		walk;
	const char *member = "";

	ff_walk_begin(&walk, node->config);
	while (ff_walk_next(&walk))
	{
		if (walk.token == WJB_KEY && walk.depth == 1)
			member = pnstrdup(walk.part.val.string.val, walk.part.val.string.len);
		else if ((walk.token == WJB_VALUE || walk.token == WJB_ELEM) && walk.part.type == jbvString)
			check_text(check, node, &walk, member);
	}
	ff_walk_end(&walk);
}

/* --- conditions --- */

const char *
ff_condition_taken(const FfNode *node)
{
	MemoryContext context = CurrentMemoryContext;
	JsonbValue	 *text = NULL;
	Jsonb *volatile value = NULL;

	if (node->type == NULL || node->type->labels == NULL || node->type->expression.name == NULL)
		return NULL;
	text = ff_json_get(node->config, node->type->expression.name);
	if (text == NULL || text->type != jbvString)
		return NULL;
	PG_TRY();
	{
		value = ff_expr_constant(compile(text));
	}
	PG_CATCH();
	{
		/* Reading the text will fail again, where it is told. */
		if (ERRCODE_TO_CATEGORY(geterrcode()) != MAKE_SQLSTATE('F', 'F', '0', '0', '0'))
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return value == NULL ? NULL : ff_expr_truthy(value) ? "true" : "false";
}
