/*
 * refs.c - the references a config makes: the dotted paths of the data its templates name.
 *
 * Variables of loops, macros and statements, literals and the arguments of filters are none. A path
 * ends where an index is computed: `a[i].b` refers to a and i.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "lang/template.h"
#include "lang/walk.h"
#include "util/errors.h"

/* A variable that is known where the walk is. */
typedef struct Known
{
	const char	 *name;
	struct Known *outer;
} Known;

typedef struct Search
{
	FfReferences   *found;
	const FfSearch *how;
	Known		   *known;
	bool			rescued; /* what is missing altogether is replaced */
	bool			plain;	 /* what comes next is all of a {{ }} */
	bool			outside; /* of operands, where nothing counts */
} Search;

static void seek_in_node(Search *s, const FfNode *node);
static void seek_in_parts(Search *s, const FfPart *parts);

/* --- references --- */

static void
add_reference(const Search *s, char *path, bool plain)
{
	FfReferences *found = s->found;

	if (found->count == found->room)
	{
		found->room = Max(found->room * 2, 16);
		found->items = found->items == NULL
						   ? palloc(found->room * sizeof(FfReference))
						   : repalloc(found->items, found->room * sizeof(FfReference));
	}
	found->items[found->count++] = (FfReference){path, s->rescued, plain};
}

static int
compare_paths(const void *a, const void *b)
{
	return strcmp(((const FfReference *) a)->path, ((const FfReference *) b)->path);
}

/* In order, each once; it is rescued, and plain, if it is wherever it stands. */
static void
tidy(FfReferences *found)
{
	int kept = 0;

	if (found->count == 0)
		return;
	qsort(found->items, found->count, sizeof(FfReference), compare_paths);
	for (int i = 1; i < found->count; i++)
	{
		if (compare_paths(&found->items[i], &found->items[kept]) != 0)
		{
			found->items[++kept] = found->items[i];
			continue;
		}
		found->items[kept].rescued &= found->items[i].rescued;
		found->items[kept].plain &= found->items[i].plain;
	}
	found->count = kept + 1;
}

/* --- paths --- */

/* A literal that can be a part of a dotted path; NULL for anything else. */
static char *
literal_part(const FfNode *node)
{
	const FfValue *v = &node->literal;
	int64		   sign = 1;

	if (node->kind == FF_NODE_MINUS)
	{
		node = node->kids[0];
		v = &node->literal;
		sign = -1;
	}
	if (node->kind != FF_NODE_LITERAL)
		return NULL;
	if (v->kind == FF_INTEGER)
		return psprintf(INT64_FORMAT, sign * v->u.integer);
	if (v->kind == FF_TEXT && v->length > 0 && memchr(v->u.text, '.', v->length) == NULL)
		return pnstrdup(v->u.text, v->length);
	return NULL;
}

static bool
is_known(const Search *s, const char *name)
{
	for (const Known *known = s->known; known != NULL; known = known->outer)
	{
		if (strcmp(known->name, name) == 0)
			return true;
	}
	return false;
}

/* The path of a chain of members: appends it, false when its root is no reference. */
static bool
append_path(Search *s, const FfNode *node, StringInfo path)
{
	char *part;

	check_stack_depth();
	switch (node->kind)
	{
		case FF_NODE_NAME:
			if (node->keyword || is_known(s, node->text))
				return false;
			appendStringInfoString(path, node->text);
			return true;
		case FF_NODE_MEMBER:
		case FF_NODE_PART:
			if (!append_path(s, node->kids[0], path))
				return false;
			appendStringInfo(path, ".%.*s", node->length, node->text);
			return true;
		case FF_NODE_INDEX:
			part = literal_part(node->kids[1]);
			if (part == NULL || !append_path(s, node->kids[0], path))
				return false;
			appendStringInfo(path, ".%s", part);
			return true;
		default:
			return false;
	}
}

static bool
is_member(const FfNode *node)
{
	return node->kind == FF_NODE_NAME || node->kind == FF_NODE_MEMBER ||
		   node->kind == FF_NODE_PART || node->kind == FF_NODE_INDEX;
}

/* --- expressions --- */

static void
seek_in_macro(Search *s, const FfNode *node)
{
	Known variable = {node->text, s->known};

	seek_in_node(s, node->kids[0]);
	s->known = &variable;
	seek_in_node(s, node->kids[1]);
	s->known = variable.outer;
}

/* Of a filter only what it filters, unless its arguments are asked for. */
static int
kids_to_search(const Search *s, const FfNode *node)
{
	bool filter = node->kind == FF_NODE_CALL && ff_lang_is_filter(node->function);

	return filter && !s->how->arguments ? 1 : node->count;
}

/* Whether a kid of a call may be missing altogether. The filter default() rescues a root, or the
 * last part of what is there. */
static bool
is_rescued(const FfNode *node, int kid)
{
	if (node->kind != FF_NODE_CALL)
		return false;
	switch (node->function->special)
	{
		case FF_HAS:
			return true;
		case FF_DEFAULT:
			return kid + 1 < node->count;
		case FF_RESCUE:
			return kid == 0 && node->kids[0]->kind == FF_NODE_NAME;
		default:
			return false;
	}
}

static void
seek_in_kids(Search *s, const FfNode *node)
{
	bool rescued = s->rescued;

	for (int i = 0; i < kids_to_search(s, node); i++)
	{
		s->rescued = rescued || is_rescued(node, i);
		seek_in_node(s, node->kids[i]);
	}
	s->rescued = rescued;
}

/* The path, if the data has its root; else what else the text says. */
static void
seek_in_either(Search *s, const FfNode *node)
{
	const FfNode *root = node->kids[0];

	while (root->count > 0)
		root = root->kids[0];
	if (s->how->has != NULL && s->how->has(s->how->argument, root->text, root->length))
		seek_in_node(s, node->kids[1]);
	else
		seek_in_node(s, node->kids[2]);
}

/* What stands in braces, or in a text with braces. */
static void
seek_in_braces(Search *s, const FfNode *node)
{
	bool   outside = s->outside;
	Known *known = s->known;

	s->outside = false;
	if (node->kind == FF_NODE_TEMPLATE)
		seek_in_parts(s, node->template->parts);
	else
		seek_in_node(s, node->kids[0]);
	s->known = known;
	s->outside = outside;
}

static void
seek_in_node(Search *s, const FfNode *node)
{
	StringInfoData path;
	bool		   plain = s->plain;

	check_stack_depth();
	s->plain = false;
	if (is_member(node) && !s->outside)
	{
		initStringInfo(&path);
		if (append_path(s, node, &path))
		{
			add_reference(s, path.data, plain);
			return;
		}
	}
	if (node->kind == FF_NODE_MACRO)
		seek_in_macro(s, node);
	else if (node->kind == FF_NODE_EITHER)
		seek_in_either(s, node);
	else if (node->kind == FF_NODE_OPERAND || node->kind == FF_NODE_TEMPLATE)
		seek_in_braces(s, node);
	else
		seek_in_kids(s, node);
}

/* --- statements --- */

static void
seek_in_for(Search *s, const FfPart *part)
{
	Known loop = {"loop", s->known};
	Known item = {part->name, &loop};

	seek_in_node(s, part->node);
	s->known = &item;
	seek_in_parts(s, part->body);
	s->known = loop.outer;
}

static void
seek_in_set(Search *s, const FfPart *part)
{
	Known *variable = palloc(sizeof(Known));

	seek_in_node(s, part->node);
	variable->name = part->name;
	variable->outer = s->known;
	s->known = variable;
}

static void
seek_in_parts(Search *s, const FfPart *parts)
{
	check_stack_depth();
	for (; parts != NULL; parts = parts->next)
	{
		if (parts->kind == FF_PART_VALUE)
		{
			s->plain = true;
			seek_in_node(s, parts->node);
		}
		else if (parts->kind == FF_PART_FOR)
			seek_in_for(s, parts);
		else if (parts->kind == FF_PART_SET)
			seek_in_set(s, parts);
		for (const FfBranch *branch = parts->branches; branch != NULL; branch = branch->next)
		{
			if (branch->node != NULL)
				seek_in_node(s, branch->node);
			seek_in_parts(s, branch->body);
		}
	}
}

static const FfSearch usual = {.has = NULL};

static void
seek_in_text(const FfSearch *search, const char *text, int length, FfReferences *found)
{
	Search s = {.found = found, .how = search != NULL ? search : &usual};
	const FfTemplate *template = s.how->once
									 ? ff_template_compile(text, length, CurrentMemoryContext)
									 : ff_template_cached(text, length);

	seek_in_parts(&s, template->parts);
}

static void
seek_in_value(const FfSearch *search, const JsonbValue *text, FfReferences *found)
{
	seek_in_text(search, text->val.string.val, text->val.string.len, found);
}

void
ff_text_references(const char *text, int length, const FfSearch *search, FfReferences *found)
{
	memset(found, 0, sizeof(*found));
	seek_in_text(search, text, length, found);
	tidy(found);
}

void
ff_expr_references(const FfExpr *expr, const FfSearch *search, FfReferences *found)
{
	Search s = {.found = found, .how = search != NULL ? search : &usual};

	memset(found, 0, sizeof(*found));
	s.outside = s.how->operands_only;
	seek_in_node(&s, expr->root);
	tidy(found);
}

void
ff_template_references(Jsonb *config, const FfSearch *search, FfReferences *found)
{
	FfWalk	   walk;
	JsonbValue text;

	memset(found, 0, sizeof(*found));
	if (ff_walk_scalar_template(config, &text))
		seek_in_value(search, &text, found);
	else if (!JB_ROOT_IS_SCALAR(config))
	{
		ff_walk_begin(&walk, config);
		while (ff_walk_next(&walk))
		{
			if (ff_walk_at_template(&walk))
				seek_in_value(search, &walk.part, found);
		}
		ff_walk_end(&walk);
	}
	tidy(found);
}

/* --- constants --- */

/* Whether a function of the node depends on the time; templates within are taken to. */
static bool
depends_on_time(const FfNode *node)
{
	check_stack_depth();
	if (node->kind == FF_NODE_TEMPLATE ||
		(node->kind == FF_NODE_CALL && node->function->call == ff_fn_now))
		return true;
	for (int i = 0; i < node->count; i++)
	{
		if (depends_on_time(node->kids[i]))
			return true;
	}
	return false;
}

Jsonb *
ff_expr_constant(const FfExpr *expr)
{
	FfSearch	 search = {.arguments = true};
	FfScope		 scope = {.count = 0};
	FfReferences found;
	FfEvaluation e;
	FfValue		 value = {0};
	Jsonb		*result = NULL;

	ff_expr_references(expr, &search, &found);
	if (found.count > 0 || depends_on_time(expr->root))
		return NULL;
	ff_lang_begin(&e, &scope, false);
	e.quiet = true;
	if (ff_lang_evaluate(&e, expr->root, &value))
		result = ff_lang_keep(&e, ff_value_document(&value));
	else
		ff_lang_end(&e);
	return result;
}
