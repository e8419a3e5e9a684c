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
	FfReferences *found;
	Known		 *known;
} Search;

static void seek_in_node(Search *s, const FfNode *node);
static void seek_in_parts(Search *s, const FfPart *parts);

/* --- references --- */

static void
add_reference(FfReferences *found, char *path)
{
	if (found->count == found->room)
	{
		found->room = Max(found->room * 2, 16);
		found->paths = found->paths == NULL ? palloc(found->room * sizeof(char *))
											: repalloc(found->paths, found->room * sizeof(char *));
	}
	found->paths[found->count++] = path;
}

static int
compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* In order, each once. */
static void
tidy(FfReferences *found)
{
	int kept = 0;

	if (found->count == 0)
		return;
	qsort(found->paths, found->count, sizeof(char *), compare_paths);
	for (int i = 1; i < found->count; i++)
	{
		if (strcmp(found->paths[i], found->paths[kept]) != 0)
			found->paths[++kept] = found->paths[i];
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

/* Of a filter only what it filters. */
static int
kids_to_search(const FfNode *node)
{
	return node->kind == FF_NODE_CALL && ff_lang_is_filter(node->function) ? 1 : node->count;
}

static void
seek_in_node(Search *s, const FfNode *node)
{
	StringInfoData path;

	check_stack_depth();
	if (is_member(node))
	{
		initStringInfo(&path);
		if (append_path(s, node, &path))
		{
			add_reference(s->found, path.data);
			return;
		}
	}
	if (node->kind == FF_NODE_MACRO)
		seek_in_macro(s, node);
	else if (node->kind == FF_NODE_EITHER)
		seek_in_node(s, node->kids[2]);
	else
	{
		for (int i = 0; i < kids_to_search(node); i++)
			seek_in_node(s, node->kids[i]);
	}
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
			seek_in_node(s, parts->node);
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

static void
seek_in_text(FfReferences *found, const JsonbValue *text)
{
	Search s = {.found = found};

	seek_in_parts(&s, ff_template_cached(text->val.string.val, text->val.string.len)->parts);
}

void
ff_expr_references(const FfExpr *expr, FfReferences *found)
{
	Search s = {.found = found};

	memset(found, 0, sizeof(*found));
	seek_in_node(&s, expr->root);
	tidy(found);
}

void
ff_template_references(Jsonb *config, FfReferences *found)
{
	FfWalk	   walk;
	JsonbValue text;

	memset(found, 0, sizeof(*found));
	if (ff_walk_scalar_template(config, &text))
		seek_in_text(found, &text);
	else if (!JB_ROOT_IS_SCALAR(config))
	{
		ff_walk_begin(&walk, config);
		while (ff_walk_next(&walk))
		{
			if (ff_walk_at_template(&walk))
				seek_in_text(found, &walk.part);
		}
		ff_walk_end(&walk);
	}
	tidy(found);
}
