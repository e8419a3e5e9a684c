/*
 * parser.c - tokens to tree, by recursive descent.
 *
 * Loosest first: `a ? b : c` and `b if a else c`; or; and; not; comparisons (chained); + -; * / %;
 * unary -; members and calls. Operators of one level are one node with many kids, so that only
 * brackets, signs and members make the tree deep.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "lang/parser.h"
#include "util/errors.h"

int ff_lang_max_source = 16384;
int ff_lang_max_depth = 100;

/* --- tokens --- */

bool
ff_parser_at(const FfParser *p, const char *text)
{
	return (p->token.kind == FF_TOKEN_SIGN || p->token.kind == FF_TOKEN_NAME) &&
		   strcmp(p->token.text, text) == 0;
}

bool
ff_parser_accept(FfParser *p, const char *text)
{
	if (!ff_parser_at(p, text))
		return false;
	ff_lexer_advance(&p->token);
	return true;
}

void
ff_parser_refuse(const FfParser *p)
{
	const FfLexer *t = &p->token;
	const char	  *hint = NULL;

	if (t->kind == FF_TOKEN_END)
		ff_lang_syntax_error(t, t->position, NULL, "%s",
							 t->start[strspn(t->start, " \t\r\n")] == '\0' ? "it is empty"
																		   : "it ends too early");
	if (ff_parser_at(p, "AND") || ff_parser_at(p, "OR") || ff_parser_at(p, "NOT"))
		hint = "Write and, or, not, or && || !";
	else if (ff_parser_at(p, "="))
		hint = "Write == to compare; nothing can be assigned.";
	else if (ff_parser_at(p, "for"))
		hint =
			"Lists are walked with l.map(x, ...), l.filter(x, ...), l.all(x, ...) and l.exists(x, ...).";
	ff_lang_syntax_error(t, t->position, hint, "\"%s\" is not expected here", t->text);
}

void
ff_parser_expect(FfParser *p, const char *text)
{
	if (ff_parser_accept(p, text))
		return;
	if (p->token.kind == FF_TOKEN_END)
		ff_lang_syntax_error(&p->token, p->token.position, NULL, "\"%s\" is missing at its end",
							 text);
	ff_lang_syntax_error(&p->token, p->token.position, NULL, "\"%s\" is missing here", text);
}

void
ff_parser_enter(FfParser *p)
{
	if (++p->depth > ff_lang_max_depth || stack_is_too_deep())
		ereport(ERROR,
				(errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the expression is nested too deeply"),
				 errdetail("%s", ff_lang_place(p->token.source, p->token.position)),
				 errhint("At most %d levels are allowed.", ff_lang_max_depth)));
}

void
ff_parser_leave(FfParser *p)
{
	p->depth--;
}

/* --- from the tightest to the loosest --- */

bool
ff_is_keyword(const char *name)
{
	static const char *const keywords[] = {"true", "True", "false", "False", "null",
										   "None", "and",  "or",	"not",	 "in",
										   "is",   "if",   "else",	"AND",	 "OR"};

	for (int i = 0; i < (int) lengthof(keywords); i++)
	{
		if (strcmp(name, keywords[i]) == 0)
			return true;
	}
	return false;
}

static FfNode *
parse_object(FfParser *p, int position)
{
	FfNode *node = ff_new_node(FF_NODE_OBJECT, position);

	while (!ff_parser_at(p, "}"))
	{
		ff_add_kid(node, ff_parse_expression(p));
		ff_parser_expect(p, ":");
		ff_add_kid(node, ff_parse_expression(p));
		if (!ff_parser_accept(p, ","))
			break;
	}
	ff_parser_expect(p, "}");
	return node;
}

/* A parenthesis holds an expression or, with a comma, a tuple, which is a list. */
static FfNode *
parse_parenthesis(FfParser *p, int position)
{
	FfNode *node = ff_new_node(FF_NODE_LIST, position);

	if (ff_parser_accept(p, ")"))
		return node;
	ff_add_kid(node, ff_parse_expression(p));
	if (!ff_parser_at(p, ","))
	{
		ff_parser_expect(p, ")");
		return node->kids[0];
	}
	ff_parser_expect(p, ",");
	ff_parse_items(p, node, ")");
	return node;
}

/* true, false, null in both spellings; a context's key of that name goes before. */
static void
set_keyword(FfNode *node)
{
	const char *name = node->text;

	if (strcmp(name, "null") == 0 || strcmp(name, "None") == 0)
		node->keyword = true; /* the literal is null already */
	else if (strcmp(name, "true") == 0 || strcmp(name, "True") == 0 || strcmp(name, "false") == 0 ||
			 strcmp(name, "False") == 0)
	{
		node->keyword = true;
		ff_set_bool(&node->literal, (name[0] | 32) == 't');
	}
}

static FfNode *
parse_name(FfParser *p)
{
	FfNode *node = ff_new_node(FF_NODE_NAME, p->token.position);

	node->text = p->token.text;
	node->length = p->token.length;
	set_keyword(node);
	if (!node->keyword && ff_is_keyword(node->text))
		ff_parser_refuse(p);
	ff_lexer_advance(&p->token);
	return ff_parser_accept(p, "(") ? ff_parse_call(p, NULL, node->text, node->position) : node;
}

static FfNode *
parse_number(FfParser *p)
{
	FfNode *node = ff_new_node(FF_NODE_LITERAL, p->token.position);

	if (ff_value_parse_number(p->token.text, p->token.length, &node->literal) != 0)
		ereport(ERROR,
				(errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the number is too large or too precise"),
				 errdetail("%s", ff_lang_place(p->token.source, p->token.position))));
	ff_lexer_advance(&p->token);
	return node;
}

static FfNode *
parse_primary(FfParser *p)
{
	FfNode *node = p->pending;
	int		position = p->token.position;

	p->pending = NULL;
	if (node != NULL)
		return node;
	if (p->token.kind == FF_TOKEN_NUMBER)
		return parse_number(p);
	if (p->token.kind == FF_TOKEN_NAME)
		return parse_name(p);
	if (p->token.kind == FF_TOKEN_TEXT)
		return ff_parse_text(p);
	if (ff_at_operand(p))
		return ff_parse_operand(p);
	if (ff_parser_accept(p, "("))
		return parse_parenthesis(p, position);
	if (ff_parser_accept(p, "{"))
		return parse_object(p, position);
	if (!ff_parser_accept(p, "["))
		ff_parser_refuse(p);
	node = ff_new_node(FF_NODE_LIST, position);
	ff_parse_items(p, node, "]");
	return node;
}

/* After the dot: a member, a macro or the call of a method. */
static FfNode *
parse_member(FfParser *p, FfNode *object)
{
	FfNode *node;
	int		position = p->token.position;
	char   *name = p->token.text;
	int		length = p->token.length;

	if (p->token.kind != FF_TOKEN_NAME)
		ff_lang_syntax_error(&p->token, position,
							 "Members of other spellings are written a['b c'].",
							 "a member's name is missing");
	ff_lexer_advance(&p->token);
	if (ff_parser_accept(p, "("))
	{
		const FfFunction *macro = ff_lang_function(name, FF_TABLE_MACROS);

		return macro != NULL ? ff_parse_macro(p, object, macro, position)
							 : ff_parse_call(p, object, name, position);
	}
	node = ff_with_kid(FF_NODE_MEMBER, position, object);
	node->text = name;
	node->length = length;
	return node;
}

/* In a template `users.0.name` reads as a name, the number .0 and a member. */
static bool
at_numbered_part(const FfParser *p)
{
	const FfLexer *t = &p->token;

	return t->template && t->kind == FF_TOKEN_NUMBER && t->text[0] == '.' &&
		   (int) strspn(t->text + 1, "0123456789") == t->length - 1;
}

static FfNode *
parse_numbered_part(FfParser *p, FfNode *object)
{
	FfNode *node = ff_with_kid(FF_NODE_PART, p->token.position, object);

	node->text = p->token.text + 1;
	node->length = p->token.length - 1;
	ff_lexer_advance(&p->token);
	return node;
}

static FfNode *
parse_index(FfParser *p, FfNode *object, int position)
{
	FfNode *node = ff_with_kid(FF_NODE_INDEX, position, object);

	ff_add_kid(node, ff_parse_expression(p));
	ff_parser_expect(p, "]");
	return node;
}

static FfNode *
parse_postfix(FfParser *p)
{
	FfNode *node = parse_primary(p);
	int		depth = p->depth;

	for (;;)
	{
		int position = p->token.position;

		if (!ff_parser_at(p, ".") && !ff_parser_at(p, "[") && !at_numbered_part(p))
			break;
		ff_parser_enter(p);
		if (ff_parser_accept(p, "."))
			node = parse_member(p, node);
		else if (ff_parser_accept(p, "["))
			node = parse_index(p, node, position);
		else
			node = parse_numbered_part(p, node);
	}
	p->depth = depth;
	return node;
}

/* `!` is as loose as `not`; where only a tight operand can stand (a == !b) it takes a tight one. */
static FfNode *
parse_signed(FfParser *p)
{
	int		   position = p->token.position;
	FfNodeKind kind = ff_parser_at(p, "-") ? FF_NODE_MINUS : FF_NODE_NOT;
	FfNode	  *node;

	if (p->pending != NULL || (!ff_parser_accept(p, "-") && !ff_parser_accept(p, "!")))
		return parse_postfix(p);
	ff_parser_enter(p);
	node = ff_with_kid(kind, position, parse_signed(p));
	ff_parser_leave(p);
	return node;
}

/* A template's filters bind tighter than any operator but a sign. */
static FfNode *
parse_unary(FfParser *p)
{
	FfNode *node = parse_signed(p);
	int		depth = p->depth;

	while (p->token.template && ff_parser_accept(p, "|"))
	{
		ff_parser_enter(p);
		node = ff_parse_filter(p, node);
	}
	p->depth = depth;
	return node;
}

/* The operator of a level, found among `signs` in the order of FfOperator from `first`. */
static FfNode *
parse_level(FfParser *p, const char *signs, FfOperator first, FfNode *(*tighter)(FfParser *) )
{
	FfNode	   *node = tighter(p);
	FfNode	   *level = NULL;
	const char *sign;

	while (p->token.kind == FF_TOKEN_SIGN && p->token.length == 1 &&
		   (sign = strchr(signs, p->token.text[0])) != NULL)
	{
		if (level == NULL)
			level = ff_with_kid(FF_NODE_ARITHMETIC, p->token.position, node);
		ff_add_operator(level, first + (FfOperator) (sign - signs));
		ff_lexer_advance(&p->token);
		ff_add_kid(level, tighter(p));
	}
	return level != NULL ? level : node;
}

static FfNode *
parse_product(FfParser *p)
{
	return parse_level(p, "*/%", FF_MULTIPLY, parse_unary);
}

static FfNode *
parse_sum(FfParser *p)
{
	return parse_level(p, "+-", FF_ADD, parse_product);
}

static bool
accept_comparison(FfParser *p, FfOperator *out)
{
	static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">=", "in"};

	for (int i = 0; i < (int) lengthof(signs); i++)
	{
		if (ff_parser_accept(p, signs[i]))
		{
			*out = FF_EQ + i;
			return true;
		}
	}
	if (ff_parser_accept(p, "is"))
	{
		*out = ff_parser_accept(p, "not") ? FF_NE : FF_EQ;
		return true;
	}
	if (ff_parser_accept(p, "not"))
	{
		ff_parser_expect(p, "in");
		*out = FF_NOT_IN;
		return true;
	}
	return false;
}

static FfNode *
parse_comparison(FfParser *p)
{
	FfNode	  *first = parse_sum(p);
	FfNode	  *node = NULL;
	FfOperator op;
	int		   position = p->token.position;

	while (accept_comparison(p, &op))
	{
		if (node == NULL)
			node = ff_with_kid(FF_NODE_COMPARE, position, first);
		ff_add_operator(node, op);
		ff_add_kid(node, parse_sum(p));
	}
	return node != NULL ? node : first;
}

static FfNode *
parse_not(FfParser *p)
{
	FfNode *node;
	int		position = p->token.position;

	if (p->pending != NULL || (!ff_parser_accept(p, "not") && !ff_parser_accept(p, "!")))
		return parse_comparison(p);
	ff_parser_enter(p);
	node = ff_with_kid(FF_NODE_NOT, position, parse_not(p));
	ff_parser_leave(p);
	return node;
}

static FfNode *
parse_logic(FfParser *p, FfNodeKind kind, const char *word, const char *sign,
			FfNode *(*tighter)(FfParser *) )
{
	FfNode *first = tighter(p);
	FfNode *node = NULL;
	int		position = p->token.position;

	while (ff_parser_accept(p, word) || ff_parser_accept(p, sign))
	{
		if (node == NULL)
			node = ff_with_kid(kind, position, first);
		ff_add_kid(node, tighter(p));
	}
	return node != NULL ? node : first;
}

static FfNode *
parse_and(FfParser *p)
{
	return parse_logic(p, FF_NODE_AND, "and", "&&", parse_not);
}

static FfNode *
parse_or(FfParser *p)
{
	return parse_logic(p, FF_NODE_OR, "or", "||", parse_and);
}

FfNode *
ff_parse_expression(FfParser *p)
{
	FfNode *node;
	FfNode *condition;
	int		position = p->token.position;

	ff_parser_enter(p);
	node = parse_or(p);
	if (ff_parser_accept(p, "?"))
	{
		condition = ff_with_kid(FF_NODE_CONDITION, position, node);
		ff_add_kid(condition, ff_parse_expression(p));
		ff_parser_expect(p, ":");
		ff_add_kid(condition, ff_parse_expression(p));
		node = condition;
	}
	else if (ff_parser_accept(p, "if"))
	{
		condition = ff_with_kid(FF_NODE_CONDITION, position, parse_or(p));
		ff_add_kid(condition, node);
		ff_parser_expect(p, "else");
		ff_add_kid(condition, ff_parse_expression(p));
		node = condition;
	}
	ff_parser_leave(p);
	return node;
}

FfNode *
ff_parse_rest(FfParser *p)
{
	FfNode *node = ff_parse_expression(p);

	if (p->token.kind != FF_TOKEN_END)
		ff_parser_refuse(p);
	return node;
}

static FfExpr *
compile(const char *source, bool operands, MemoryContext context)
{
	MemoryContext caller;
	FfSource all = {.context = context, .regex_steps = ff_lang_regex_steps(), .operands = operands};
	FfParser p = {.source = &all, .depth = -1};
	FfExpr	*expr;

	ff_lang_check_source("expression", strlen(source));
	caller = MemoryContextSwitchTo(context);
	expr = palloc0(sizeof(FfExpr));
	expr->source = all.text = pstrdup(source);
	ff_lexer_start(&p.token, expr->source);
	expr->root = ff_parse_rest(&p);
	MemoryContextSwitchTo(caller);
	return expr;
}

FfExpr *
ff_expr_compile(const char *source, MemoryContext context)
{
	return compile(source, false, context);
}

FfExpr *
ff_operand_expr_compile(const char *source, MemoryContext context)
{
	return compile(source, true, context);
}
