/*
 * parser.c - tokens to tree, by recursive descent.
 *
 * Loosest first: `a ? b : c` and `b if a else c`; or; and; not; comparisons (chained); + -; * / %;
 * unary -; members and calls. Operators of one level are one node with many kids, so that only
 * brackets, signs and members make the tree deep.
 */
#include "postgres.h"

#include "lang/lexer.h"
#include "lang/node.h"
#include "util/errors.h"

int ff_lang_max_source = 16384;
int ff_lang_max_depth = 100;

typedef struct Parser
{
	FfLexer		  token;
	MemoryContext context;
	int			  depth;
} Parser;

static FfNode *parse_expression(Parser *p);

/* --- tokens --- */

static bool
at(const Parser *p, const char *text)
{
	return (p->token.kind == FF_TOKEN_SIGN || p->token.kind == FF_TOKEN_NAME) &&
		   strcmp(p->token.text, text) == 0;
}

static bool
accept(Parser *p, const char *text)
{
	if (!at(p, text))
		return false;
	ff_lexer_advance(&p->token);
	return true;
}

static void
refuse_token(const Parser *p)
{
	const FfLexer *t = &p->token;
	const char	  *hint = NULL;

	if (t->kind == FF_TOKEN_END)
		ff_lang_syntax_error(t->source, t->position, NULL, "%s",
							 t->source[strspn(t->source, " \t\r\n")] == '\0' ? "it is empty"
																			 : "it ends too early");
	if (at(p, "AND") || at(p, "OR") || at(p, "NOT"))
		hint = "Write and, or, not, or && || !";
	else if (at(p, "for"))
		hint =
			"Lists are walked with l.map(x, ...), l.filter(x, ...), l.all(x, ...) and l.exists(x, ...).";
	ff_lang_syntax_error(t->source, t->position, hint, "\"%s\" is not expected here", t->text);
}

static void
expect(Parser *p, const char *text)
{
	if (accept(p, text))
		return;
	if (p->token.kind == FF_TOKEN_END)
		ff_lang_syntax_error(p->token.source, p->token.position, NULL,
							 "\"%s\" is missing at its end", text);
	ff_lang_syntax_error(p->token.source, p->token.position, NULL, "\"%s\" is missing here", text);
}

static void
enter(Parser *p)
{
	if (++p->depth > ff_lang_max_depth)
		ereport(ERROR,
				(errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the expression is nested too deeply"),
				 errdetail("%s", ff_lang_place(p->token.source, p->token.position)),
				 errhint("At most %d levels are allowed.", ff_lang_max_depth)));
}

static void
leave(Parser *p)
{
	p->depth--;
}

/* --- nodes --- */

static FfNode *
new_node(FfNodeKind kind, int position)
{
	FfNode *node = palloc0(sizeof(FfNode));

	node->kind = kind;
	node->position = position;
	return node;
}

/* Room grows by doubling, always to a power of two. */
static void
add_kid(FfNode *node, FfNode *kid)
{
	if (node->count == 0)
		node->kids = palloc(sizeof(FfNode *));
	else if ((node->count & (node->count - 1)) == 0)
		node->kids = repalloc(node->kids, sizeof(FfNode *) * node->count * 2);
	node->kids[node->count++] = kid;
}

/* The operator between the last kid and the one that is about to be added. */
static void
add_operator(FfNode *node, FfOperator operator)
{
	int count = node->count - 1;

	if (count == 0)
		node->operators = palloc(sizeof(FfOperator));
	else if ((count & (count - 1)) == 0)
		node->operators = repalloc(node->operators, sizeof(FfOperator) * count * 2);
	node->operators[count] = operator;
}

static FfNode *
with_kid(FfNodeKind kind, int position, FfNode *kid)
{
	FfNode *node = new_node(kind, position);

	add_kid(node, kid);
	return node;
}

/* --- calls --- */

static void
parse_items(Parser *p, FfNode *node, const char *end)
{
	while (!at(p, end))
	{
		add_kid(node, parse_expression(p));
		if (!accept(p, ","))
			break;
	}
	expect(p, end);
}

static void
refuse_function(const Parser *p, const char *name, int position)
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
check_call(const Parser *p, const FfNode *node, const char *name)
{
	const FfFunction *f = node->function;
	const FfNode	 *first = node->count > 0 ? node->kids[0] : NULL;

	if (node->count < f->min || node->count > f->max)
		ff_lang_syntax_error(p->token.source, node->position, NULL,
							 f->min == f->max ? "%s takes %d argument%s, not %d"
											  : "%s takes at least %d argument%s, not %d",
							 name, f->min, f->min == 1 ? "" : "s", node->count);
	if (f->special == FF_HAS && first != NULL && first->kind != FF_NODE_MEMBER &&
		first->kind != FF_NODE_INDEX && first->kind != FF_NODE_NAME)
		ff_lang_syntax_error(p->token.source, first->position, "For example: has(event.data.total)",
							 "has takes a member");
}

/* After "name(": a plain call, or with an object the call of a method. */
static FfNode *
parse_call(Parser *p, FfNode *object, const char *name, int position)
{
	FfNode *node = new_node(FF_NODE_CALL, position);

	node->function = ff_lang_function(name, false);
	if (node->function == NULL || (object != NULL && node->function->special == FF_HAS))
		refuse_function(p, name, position);
	if (object != NULL)
		add_kid(node, object);
	parse_items(p, node, ")");
	check_call(p, node, name);
	if (node->function->call == ff_fn_matches && node->kids[1]->kind == FF_NODE_LITERAL &&
		node->kids[1]->literal.kind == FF_TEXT)
		node->regex = ff_regex_compile(p->token.source, node->kids[1]->position,
									   &node->kids[1]->literal, p->context);
	return node;
}

static bool
is_keyword(const char *name)
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

/* After "list.name(": `x, body)`. */
static FfNode *
parse_macro(Parser *p, FfNode *list, const FfFunction *macro, int position)
{
	FfNode *node = with_kid(FF_NODE_MACRO, position, list);

	node->function = macro;
	if (p->token.kind != FF_TOKEN_NAME || is_keyword(p->token.text))
		ff_lang_syntax_error(p->token.source, p->token.position, "For example: l.all(x, x > 1)",
							 "%s begins with a variable's name", macro->name);
	node->text = p->token.text;
	node->length = p->token.length;
	ff_lexer_advance(&p->token);
	expect(p, ",");
	add_kid(node, parse_expression(p));
	expect(p, ")");
	return node;
}

/* --- from the tightest to the loosest --- */

static FfNode *
parse_object(Parser *p, int position)
{
	FfNode *node = new_node(FF_NODE_OBJECT, position);

	while (!at(p, "}"))
	{
		add_kid(node, parse_expression(p));
		expect(p, ":");
		add_kid(node, parse_expression(p));
		if (!accept(p, ","))
			break;
	}
	expect(p, "}");
	return node;
}

/* A parenthesis holds an expression or, with a comma, a tuple, which is a list. */
static FfNode *
parse_parenthesis(Parser *p, int position)
{
	FfNode *node = new_node(FF_NODE_LIST, position);

	if (accept(p, ")"))
		return node;
	add_kid(node, parse_expression(p));
	if (accept(p, ")"))
		return node->kids[0];
	expect(p, ",");
	parse_items(p, node, ")");
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
parse_name(Parser *p)
{
	FfNode *node = new_node(FF_NODE_NAME, p->token.position);

	node->text = p->token.text;
	node->length = p->token.length;
	set_keyword(node);
	if (!node->keyword && is_keyword(node->text))
		refuse_token(p);
	ff_lexer_advance(&p->token);
	return accept(p, "(") ? parse_call(p, NULL, node->text, node->position) : node;
}

static FfNode *
parse_number(Parser *p)
{
	FfNode *node = new_node(FF_NODE_LITERAL, p->token.position);

	if (ff_value_parse_number(p->token.text, p->token.length, &node->literal) != 0)
		ereport(ERROR,
				(errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the number is too large or too precise"),
				 errdetail("%s", ff_lang_place(p->token.source, p->token.position))));
	ff_lexer_advance(&p->token);
	return node;
}

static FfNode *
parse_primary(Parser *p)
{
	FfNode *node;
	int		position = p->token.position;

	if (p->token.kind == FF_TOKEN_NUMBER)
		return parse_number(p);
	if (p->token.kind == FF_TOKEN_NAME)
		return parse_name(p);
	if (p->token.kind == FF_TOKEN_TEXT)
	{
		node = new_node(FF_NODE_LITERAL, position);
		ff_set_text(&node->literal, p->token.text, p->token.length);
		ff_lexer_advance(&p->token);
		return node;
	}
	if (accept(p, "("))
		return parse_parenthesis(p, position);
	if (accept(p, "{"))
		return parse_object(p, position);
	if (!accept(p, "["))
		refuse_token(p);
	node = new_node(FF_NODE_LIST, position);
	parse_items(p, node, "]");
	return node;
}

/* After the dot: a member, a macro or the call of a method. */
static FfNode *
parse_member(Parser *p, FfNode *object)
{
	FfNode *node;
	int		position = p->token.position;
	char   *name = p->token.text;
	int		length = p->token.length;

	if (p->token.kind != FF_TOKEN_NAME)
		ff_lang_syntax_error(p->token.source, position,
							 "Members of other spellings are written a['b c'].",
							 "a member's name is missing");
	ff_lexer_advance(&p->token);
	if (accept(p, "("))
	{
		const FfFunction *macro = ff_lang_function(name, true);

		return macro != NULL ? parse_macro(p, object, macro, position)
							 : parse_call(p, object, name, position);
	}
	node = with_kid(FF_NODE_MEMBER, position, object);
	node->text = name;
	node->length = length;
	return node;
}

static FfNode *
parse_postfix(Parser *p)
{
	FfNode *node = parse_primary(p);
	int		depth = p->depth;

	for (;;)
	{
		int position = p->token.position;

		if (accept(p, "."))
		{
			enter(p);
			node = parse_member(p, node);
		}
		else if (accept(p, "["))
		{
			enter(p);
			node = with_kid(FF_NODE_INDEX, position, node);
			add_kid(node, parse_expression(p));
			expect(p, "]");
		}
		else
			break;
	}
	p->depth = depth;
	return node;
}

/* `!` is as loose as `not`; where only a tight operand can stand (a == !b) it takes a tight one. */
static FfNode *
parse_unary(Parser *p)
{
	int		   position = p->token.position;
	FfNodeKind kind = at(p, "-") ? FF_NODE_MINUS : FF_NODE_NOT;
	FfNode	  *node;

	if (!accept(p, "-") && !accept(p, "!"))
		return parse_postfix(p);
	enter(p);
	node = with_kid(kind, position, parse_unary(p));
	leave(p);
	return node;
}

/* The operator of a level, found among `signs` in the order of FfOperator from `first`. */
static FfNode *
parse_level(Parser *p, const char *signs, FfOperator first, FfNode *(*tighter)(Parser *) )
{
	FfNode	   *node = tighter(p);
	FfNode	   *level = NULL;
	const char *sign;

	while (p->token.kind == FF_TOKEN_SIGN && p->token.length == 1 &&
		   (sign = strchr(signs, p->token.text[0])) != NULL)
	{
		if (level == NULL)
			level = with_kid(FF_NODE_ARITHMETIC, p->token.position, node);
		add_operator(level, first + (FfOperator) (sign - signs));
		ff_lexer_advance(&p->token);
		add_kid(level, tighter(p));
	}
	return level != NULL ? level : node;
}

static FfNode *
parse_product(Parser *p)
{
	return parse_level(p, "*/%", FF_MULTIPLY, parse_unary);
}

static FfNode *
parse_sum(Parser *p)
{
	return parse_level(p, "+-", FF_ADD, parse_product);
}

static bool
accept_comparison(Parser *p, FfOperator *out)
{
	static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">=", "in"};

	for (int i = 0; i < (int) lengthof(signs); i++)
	{
		if (accept(p, signs[i]))
		{
			*out = FF_EQ + i;
			return true;
		}
	}
	if (accept(p, "is"))
	{
		*out = accept(p, "not") ? FF_NE : FF_EQ;
		return true;
	}
	if (accept(p, "not"))
	{
		expect(p, "in");
		*out = FF_NOT_IN;
		return true;
	}
	return false;
}

static FfNode *
parse_comparison(Parser *p)
{
	FfNode	  *first = parse_sum(p);
	FfNode	  *node = NULL;
	FfOperator operator;
	int		   position = p->token.position;

	while (accept_comparison(p, &operator))
	{
		if (node == NULL)
			node = with_kid(FF_NODE_COMPARE, position, first);
		add_operator(node, operator);
		add_kid(node, parse_sum(p));
	}
	return node != NULL ? node : first;
}

static FfNode *
parse_not(Parser *p)
{
	FfNode *node;
	int		position = p->token.position;

	if (!accept(p, "not") && !accept(p, "!"))
		return parse_comparison(p);
	enter(p);
	node = with_kid(FF_NODE_NOT, position, parse_not(p));
	leave(p);
	return node;
}

static FfNode *
parse_logic(Parser *p, FfNodeKind kind, const char *word, const char *sign,
			FfNode *(*tighter)(Parser *) )
{
	FfNode *first = tighter(p);
	FfNode *node = NULL;
	int		position = p->token.position;

	while (accept(p, word) || accept(p, sign))
	{
		if (node == NULL)
			node = with_kid(kind, position, first);
		add_kid(node, tighter(p));
	}
	return node != NULL ? node : first;
}

static FfNode *
parse_and(Parser *p)
{
	return parse_logic(p, FF_NODE_AND, "and", "&&", parse_not);
}

static FfNode *
parse_or(Parser *p)
{
	return parse_logic(p, FF_NODE_OR, "or", "||", parse_and);
}

static FfNode *
parse_expression(Parser *p)
{
	FfNode *node;
	FfNode *condition;
	int		position = p->token.position;

	enter(p);
	node = parse_or(p);
	if (accept(p, "?"))
	{
		condition = with_kid(FF_NODE_CONDITION, position, node);
		add_kid(condition, parse_expression(p));
		expect(p, ":");
		add_kid(condition, parse_expression(p));
		node = condition;
	}
	else if (accept(p, "if"))
	{
		condition = with_kid(FF_NODE_CONDITION, position, parse_or(p));
		add_kid(condition, node);
		expect(p, "else");
		add_kid(condition, parse_expression(p));
		node = condition;
	}
	leave(p);
	return node;
}

FfExpr *
ff_expr_compile(const char *source, MemoryContext context)
{
	MemoryContext caller;
	Parser		  p = {.context = context, .depth = -1};
	FfExpr		 *expr;

	if (strlen(source) > (size_t) ff_lang_max_source)
		ereport(ERROR, (errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the expression is too long"),
						errdetail("It has %zu bytes.", strlen(source)),
						errhint("At most %d are allowed.", ff_lang_max_source)));
	caller = MemoryContextSwitchTo(context);
	expr = palloc0(sizeof(FfExpr));
	expr->source = pstrdup(source);
	p.token.source = p.token.next = expr->source;
	ff_lexer_advance(&p.token);
	expr->root = parse_expression(&p);
	if (p.token.kind != FF_TOKEN_END)
		refuse_token(&p);
	MemoryContextSwitchTo(caller);
	return expr;
}
