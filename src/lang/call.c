/*
 * call.c - calls of functions and methods, macros on lists, and a template's filters, to nodes.
 */
#include "postgres.h"

#include "lang/parser.h"
#include "util/errors.h"

void
ff_parse_items(FfParser *p, FfNode *node, const char *end)
{
	while (!ff_parser_at(p, end))
	{
		ff_add_kid(node, ff_parse_expression(p));
		if (!ff_parser_accept(p, ","))
			break;
	}
	ff_parser_expect(p, end);
}

/* `object` counts what stands before a filter, which is no argument to whoever wrote it. */
static void
check_count(const FfParser *p, const FfNode *node, const char *name, int object)
{
	const FfFunction *f = node->function;

	int given = node->count - object;

	if (node->count < f->min)
		ff_lang_syntax_error(&p->token, node->position, NULL, "%s takes %s%d argument%s, not %d",
							 name, f->max > f->min ? "at least " : "", f->min - object,
							 f->min - object == 1 ? "" : "s", given);
	if (node->count > f->max)
		ff_lang_syntax_error(&p->token, node->position, NULL, "%s takes %s%d argument%s, not %d",
							 name, f->max > f->min ? "at most " : "", f->max - object,
							 f->max - object == 1 ? "" : "s", given);
}

/* --- functions and methods --- */

static void
refuse_function(const FfParser *p, const char *name, int position)
{
	const char *nearest = ff_lang_nearest_function(name);

	ereport(ERROR,
			(errcode(FF_ERR_EXPRESSION_FUNCTION), errmsg("there is no function \"%s\"", name),
			 errdetail("%s", ff_lang_place(p->token.source, position)),
			 nearest[0] != '\0'
				 ? errhint("Perhaps you meant %s().", nearest)
				 : errhint("An expression can call the functions of the language only.")));
}

static void
check_has(const FfParser *p, const FfNode *node)
{
	const FfNode *first = node->kids[0];

	if (first->kind == FF_NODE_OPERAND)
		first = first->kids[0];
	if (first->kind != FF_NODE_MEMBER && first->kind != FF_NODE_PART &&
		first->kind != FF_NODE_INDEX && first->kind != FF_NODE_NAME)
		ff_lang_syntax_error(&p->token, first->position, "For example: has(event.data.total)",
							 "has takes a member");
}

/* After "name(": a plain call, or with an object the call of a method. */
FfNode *
ff_parse_call(FfParser *p, FfNode *object, const char *name, int position)
{
	FfNode *node = ff_new_node(FF_NODE_CALL, position);

	node->function = ff_lang_function(name, FF_TABLE_FUNCTIONS);
	if (node->function == NULL && p->token.template && object == NULL)
		node->function = ff_lang_function(name, FF_TABLE_TEMPLATES);
	if (node->function == NULL || (object != NULL && node->function->special == FF_HAS))
		refuse_function(p, name, position);
	if (object != NULL)
		ff_add_kid(node, object);
	ff_parse_items(p, node, ")");
	check_count(p, node, name, 0);
	if (node->function->special == FF_HAS)
		check_has(p, node);
	if (node->function->call == ff_fn_matches && node->kids[1]->kind == FF_NODE_LITERAL &&
		node->kids[1]->literal.kind == FF_TEXT)
		node->regex = ff_regex_compile(p->source, node->kids[1]->position, &node->kids[1]->literal);
	return node;
}

/* After "list.name(": `x, body)`. */
FfNode *
ff_parse_macro(FfParser *p, FfNode *list, const FfFunction *macro, int position)
{
	FfNode *node = ff_with_kid(FF_NODE_MACRO, position, list);

	node->function = macro;
	if (p->token.kind != FF_TOKEN_NAME || ff_is_keyword(p->token.text))
		ff_lang_syntax_error(&p->token, p->token.position, "For example: l.all(x, x > 1)",
							 "%s begins with a variable's name", macro->name);
	node->text = p->token.text;
	node->length = p->token.length;
	ff_lexer_advance(&p->token);
	ff_parser_expect(p, ",");
	ff_add_kid(node, ff_parse_expression(p));
	ff_parser_expect(p, ")");
	return node;
}

/* --- filters --- */

static void
refuse_filter(const FfParser *p, const char *name, int position)
{
	const char *nearest = ff_lang_nearest_filter(name);

	ereport(ERROR, (errcode(FF_ERR_EXPRESSION_FUNCTION), errmsg("there is no filter \"%s\"", name),
					errdetail("%s", ff_lang_place(p->token.source, position)),
					nearest[0] != '\0' ? errhint("Perhaps you meant \"%s\". The filters are %s.",
												 nearest, ff_lang_filter_names())
									   : errhint("The filters are %s.", ff_lang_filter_names())));
}

/* Where a filter's parameter of that name stands among its arguments; 0 without such a parameter.
 */
static int
find_parameter(const FfFunction *filter, const char *name, int length)
{
	const char *at = filter->parameters;

	for (int i = 1; at != NULL && *at != '\0'; i++)
	{
		int size = (int) strcspn(at, " ");

		if (size == length && strncmp(at, name, length) == 0)
			return i;
		at += size;
		at += strspn(at, " ");
	}
	return 0;
}

/* An argument that is left out between others is null, at no position. */
static FfNode *
new_gap(void)
{
	return ff_new_node(FF_NODE_LITERAL, -1);
}

static bool
is_gap(const FfNode *node)
{
	return node->position == -1;
}

/* `name=value`. */
static void
parse_named_argument(FfParser *p, FfNode *node, FfNode *name)
{
	int place = 0;

	if (name->kind == FF_NODE_NAME)
		place = find_parameter(node->function, name->text, name->length);
	if (place == 0)
		ff_lang_syntax_error(&p->token, name->position, NULL, "%s has no such parameter",
							 node->function->name);
	while (node->count <= place)
		ff_add_kid(node, new_gap());
	if (!is_gap(node->kids[place]))
		ff_lang_syntax_error(&p->token, name->position, NULL, "\"%s\" is given twice", name->text);
	node->kids[place] = ff_parse_expression(p);
}

static void
parse_arguments(FfParser *p, FfNode *node)
{
	bool named = false;

	while (!ff_parser_at(p, ")"))
	{
		FfNode *argument = ff_parse_expression(p);

		if (ff_parser_accept(p, "="))
		{
			parse_named_argument(p, node, argument);
			named = true;
		}
		else if (named || node->function->special == FF_NAMED)
			ff_lang_syntax_error(
				&p->token, argument->position,
				node->function->special == FF_NAMED ? "For example: map(attribute='name')" : NULL,
				"%s takes this argument by name", node->function->name);
		else
			ff_add_kid(node, argument);
		if (!ff_parser_accept(p, ","))
			break;
	}
	ff_parser_expect(p, ")");
}

static void
check_gaps(const FfParser *p, const FfNode *node)
{
	for (int i = 1; i < node->function->min; i++)
	{
		if (is_gap(node->kids[i]))
			ff_lang_syntax_error(&p->token, node->position, NULL, "%s lacks an argument",
								 node->function->name);
	}
}

/* After the bar: `name` or `name(arguments)`. The filtered value is the first argument. */
FfNode *
ff_parse_filter(FfParser *p, FfNode *value)
{
	FfNode *node = ff_with_kid(FF_NODE_CALL, p->token.position, value);

	if (p->token.kind != FF_TOKEN_NAME)
		ff_lang_syntax_error(&p->token, p->token.position, "For example: {{ name | upper }}",
							 "a filter's name is missing");
	node->function = ff_lang_function(p->token.text, FF_TABLE_FILTERS);
	if (node->function == NULL)
		refuse_filter(p, p->token.text, p->token.position);
	ff_lexer_advance(&p->token);
	if (ff_parser_accept(p, "("))
		parse_arguments(p, node);
	check_count(p, node, node->function->name, 1);
	check_gaps(p, node);
	return node;
}
