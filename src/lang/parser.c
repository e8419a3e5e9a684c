/*
 * parser.c - text to tree, by recursive descent over a hand-written lexer.
 *
 * Precedence, loosest first: `a ? b : c` and `b if a else c`; or; and; not; comparisons (chained); + -; * / %; unary -; members, calls.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "lang/node.h"
#include "util/errors.h"

int			ff_lang_max_source = 16384;
int			ff_lang_max_depth = 100;

typedef enum TokenKind
{
	TOKEN_END,
	TOKEN_NUMBER,
	TOKEN_TEXT,
	TOKEN_NAME,
	TOKEN_SIGN					/* text holds one or two characters */
} TokenKind;

typedef struct Parser
{
	const char *source;
	const char *next;			/* after the current token */
	TokenKind	kind;
	int			position;
	char	   *text;			/* of the current token, unescaped */
	int			depth;
} Parser;

char *
ff_lang_place(const char *source, int position)
{
	return psprintf("%s\n%*s^", source, position, "");
}

static void
syntax_error(const Parser *p, int position, const char *message)
{
	ereport(ERROR, (errcode(FF_ERR_EXPRESSION_SYNTAX), errmsg("the expression cannot be read: %s", message),
					errdetail("%s", ff_lang_place(p->source, position)),
					errhint("For example: event.data.total > 100 && event.data.kind == 'x'")));
}

static bool
name_start(unsigned char c)
{
	return isalpha(c) || c == '_' || c >= 0x80;
}

static void
read_escape(Parser *p, StringInfo out)
{
	char		c = *p->next++;
	pg_wchar	code = 0;
	unsigned char utf8[5] = {0};

	switch (c)
	{
		case 'n':
			appendStringInfoChar(out, '\n');
			return;
		case 't':
			appendStringInfoChar(out, '\t');
			return;
		case '\\':
		case '\'':
		case '"':
			appendStringInfoChar(out, c);
			return;
		case 'u':
			for (int i = 0; i < 4; i++, p->next++)
			{
				char		h = *p->next;

				if (!isxdigit((unsigned char) h))
					syntax_error(p, (int) (p->next - p->source), "\\u needs four hexadecimal digits");
				code = code * 16 + (h <= '9' ? h - '0' : (h | 32) - 'a' + 10);
			}
			if (code == 0 || (code >= 0xd800 && code <= 0xdfff))
				syntax_error(p, (int) (p->next - p->source), "this character cannot be written with \\u");
			unicode_to_utf8(code, utf8);
			appendStringInfoString(out, (char *) utf8);
			return;
		default:
			syntax_error(p, (int) (p->next - p->source) - 2, "unknown escape");
	}
}

static void
read_text(Parser *p)
{
	char		quote = *p->next++;
	StringInfoData out;

	initStringInfo(&out);
	while (*p->next != quote)
	{
		if (*p->next == '\0')
			syntax_error(p, p->position, "the text has no end");
		if (*p->next == '\\')
		{
			p->next++;
			read_escape(p, &out);
		}
		else
			appendStringInfoChar(&out, *p->next++);
	}
	p->next++;
	p->kind = TOKEN_TEXT;
	p->text = out.data;
}

static void
read_number(Parser *p)
{
	const char *start = p->next;

	p->next += strspn(p->next, "0123456789");
	if (p->next - start > 1 && *start == '0')
		syntax_error(p, p->position, "a number does not begin with 0");
	if (*p->next == '.' && isdigit((unsigned char) p->next[1]))
		p->next += 1 + strspn(p->next + 1, "0123456789");
	if ((*p->next | 32) == 'e')
	{
		const char *digits = p->next + 1 + (p->next[1] == '-' || p->next[1] == '+');
		int			count = (int) strspn(digits, "0123456789");

		if (count == 0 || count > 4)
			syntax_error(p, p->position, "the exponent is not a number of at most four digits");
		p->next = digits + count;
	}
	if (name_start((unsigned char) *p->next))
		syntax_error(p, p->position, "a number is followed by a letter");
	p->kind = TOKEN_NUMBER;
	p->text = pnstrdup(start, p->next - start);
}

static void
advance(Parser *p)
{
	static const char *const doubles[] = {"==", "!=", "<=", ">=", "&&", "||"};
	const char *c;

	p->next += strspn(p->next, " \t\r\n");
	p->position = (int) (p->next - p->source);
	c = p->next;
	if (*c == '\0')
	{
		p->kind = TOKEN_END;
		p->text = "";
		return;
	}
	if (*c == '"' || *c == '\'')
	{
		read_text(p);
		return;
	}
	if (isdigit((unsigned char) *c) || (*c == '.' && isdigit((unsigned char) c[1])))
	{
		read_number(p);
		return;
	}
	if (name_start((unsigned char) *c))
	{
		while (name_start((unsigned char) *p->next) || isdigit((unsigned char) *p->next))
			p->next++;
		p->kind = TOKEN_NAME;
		p->text = pnstrdup(c, p->next - c);
		return;
	}
	p->kind = TOKEN_SIGN;
	for (int i = 0; i < (int) lengthof(doubles); i++)
	{
		if (strncmp(c, doubles[i], 2) == 0)
		{
			p->text = pnstrdup(c, 2);
			p->next += 2;
			if (*p->next == '=')
				syntax_error(p, p->position, "there is no such operator");
			return;
		}
	}
	if (strchr("()[]{}.,:?!<>+-*/%", *c) == NULL || strncmp(c, "**", 2) == 0 || strncmp(c, "//", 2) == 0 || strncmp(c, "<>", 2) == 0)
		syntax_error(p, p->position, "there is no such operator");
	p->text = pnstrdup(c, 1);
	p->next++;
}

static bool
at(const Parser *p, const char *text)
{
	return (p->kind == TOKEN_SIGN || p->kind == TOKEN_NAME) && strcmp(p->text, text) == 0;
}

static bool
accept(Parser *p, const char *text)
{
	if (!at(p, text))
		return false;
	advance(p);
	return true;
}

static void
expect(Parser *p, const char *text)
{
	if (!accept(p, text))
		syntax_error(p, p->position, psprintf("\"%s\" is missing here", text));
}

static FfNode *
new_node(FfNodeKind kind, int position)
{
	FfNode	   *node = palloc0(sizeof(FfNode));

	node->kind = kind;
	node->position = position;
	return node;
}

static void
add_kid(FfNode *node, FfNode *kid)
{
	node->kids = node->kids == NULL ? palloc(sizeof(FfNode *)) : repalloc(node->kids, sizeof(FfNode *) * (node->count + 1));
	node->kids[node->count++] = kid;
}

static FfNode *parse_expression(Parser *p);

static void
set_text(FfNode *node, char *text)
{
	node->literal.type = jbvString;
	node->literal.val.string.val = text;
	node->literal.val.string.len = (int) strlen(text);
}

static void
parse_list(Parser *p, FfNode *node, const char *end)
{
	while (!at(p, end))
	{
		add_kid(node, parse_expression(p));
		if (!accept(p, ","))
			break;
	}
	expect(p, end);
}

static FfNode *
parse_object(Parser *p, int position)
{
	FfNode	   *node = new_node(FF_NODE_OBJECT, position);

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
	FfNode	   *node = new_node(FF_NODE_LIST, position);

	if (accept(p, ")"))
		return node;
	add_kid(node, parse_expression(p));
	if (accept(p, ")"))
		return node->kids[0];
	expect(p, ",");
	parse_list(p, node, ")");
	return node;
}

static FfNode *
parse_call(Parser *p, FfNode *object, char *name, int position)
{
	FfNode	   *node = new_node(FF_NODE_CALL, position);

	node->text = name;
	if (object != NULL)
		add_kid(node, object);
	parse_list(p, node, ")");
	node->function = ff_lang_function(name, node->count);
	if (node->function == -1)
		ereport(ERROR, (errcode(FF_ERR_EXPRESSION_FUNCTION), errmsg("there is no function \"%s\"", name),
						errdetail("%s", ff_lang_place(p->source, position)),
						errhint("Functions: size, has, string, int, float, bool, lower, upper, trim, startsWith, endsWith, contains, abs, default.")));
	if (node->function == -2)
		syntax_error(p, position, psprintf("%s does not take %d arguments", name, node->count));
	return node;
}

static FfNode *
parse_name(Parser *p, char *name, int position)
{
	FfNode	   *node;

	if (accept(p, "("))
		return parse_call(p, NULL, name, position);
	node = new_node(FF_NODE_NAME, position);
	node->text = name;
	node->literal.type = jbvBinary;	/* no keyword */
	if (strcmp(name, "true") == 0 || strcmp(name, "True") == 0 || strcmp(name, "false") == 0 || strcmp(name, "False") == 0)
	{
		node->literal.type = jbvBool;
		node->literal.val.boolean = name[0] == 't' || name[0] == 'T';
	}
	else if (strcmp(name, "null") == 0 || strcmp(name, "None") == 0)
		node->literal.type = jbvNull;
	return node;
}

static FfNode *
parse_primary(Parser *p)
{
	FfNode	   *node;
	int			position = p->position;
	char	   *text = p->text;

	switch (p->kind)
	{
		case TOKEN_TEXT:
			node = new_node(FF_NODE_LITERAL, position);
			set_text(node, text);
			advance(p);
			return node;
		case TOKEN_NUMBER:
			node = new_node(FF_NODE_LITERAL, position);
			node->literal.type = jbvNumeric;
			node->literal.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
																			Int32GetDatum(-1)));
			advance(p);
			return node;
		case TOKEN_NAME:
			advance(p);
			return parse_name(p, text, position);
		case TOKEN_SIGN:
			if (accept(p, "("))
				return parse_parenthesis(p, position);
			if (accept(p, "["))
			{
				node = new_node(FF_NODE_LIST, position);
				parse_list(p, node, "]");
				return node;
			}
			if (accept(p, "{"))
				return parse_object(p, position);
			break;
		case TOKEN_END:
			syntax_error(p, position, *p->source == '\0' ? "it is empty" : "it ends too early");
	}
	syntax_error(p, position, psprintf("\"%s\" is not expected here", text));
	return NULL;
}

static FfNode *
parse_postfix(Parser *p)
{
	FfNode	   *node = parse_primary(p);
	int			length = 0;

	for (;;)
	{
		int			position = p->position;
		FfNode	   *outer;

		if (++length > ff_lang_max_depth)
			ereport(ERROR, (errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the expression is nested too deeply")));
		if (accept(p, "."))
		{
			char	   *name = p->text;

			if (p->kind != TOKEN_NAME)
				syntax_error(p, p->position, "a member's name is missing");
			position = p->position;
			advance(p);
			if (accept(p, "("))
				node = parse_call(p, node, name, position);
			else
			{
				outer = new_node(FF_NODE_MEMBER, position);
				outer->text = name;
				add_kid(outer, node);
				node = outer;
			}
		}
		else if (accept(p, "["))
		{
			outer = new_node(FF_NODE_INDEX, position);
			add_kid(outer, node);
			add_kid(outer, parse_expression(p));
			expect(p, "]");
			node = outer;
		}
		else
			return node;
	}
}

static FfNode *
parse_unary(Parser *p)
{
	int			position = p->position;
	FfNode	   *node;

	if (!at(p, "-") && !at(p, "!"))
		return parse_postfix(p);
	if (++p->depth > ff_lang_max_depth)
		ereport(ERROR, (errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the expression is nested too deeply")));
	node = new_node(at(p, "-") ? FF_NODE_MINUS : FF_NODE_NOT, position);
	advance(p);
	add_kid(node, parse_unary(p));
	p->depth--;
	return node;
}

static FfNode *
parse_left(Parser *p, const char *signs, FfNode *(*tighter) (Parser *))
{
	FfNode	   *node = tighter(p);
	int			length = 0;

	while (p->kind == TOKEN_SIGN && strlen(p->text) == 1 && strchr(signs, p->text[0]) != NULL)
	{
		FfNode	   *outer = new_node(FF_NODE_ARITHMETIC, p->position);

		if (++length > ff_lang_max_depth)
			ereport(ERROR, (errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the expression is nested too deeply")));
		outer->op = p->text[0];
		advance(p);
		add_kid(outer, node);
		add_kid(outer, tighter(p));
		node = outer;
	}
	return node;
}

static FfNode *
parse_product(Parser *p)
{
	return parse_left(p, "*/%", parse_unary);
}

static FfNode *
parse_sum(Parser *p)
{
	return parse_left(p, "+-", parse_product);
}

static bool
comparison(Parser *p, FfCompare *out)
{
	static const struct
	{
		const char *text;
		FfCompare	compare;
	}			signs[] = {{"==", FF_EQ}, {"!=", FF_NE}, {"<=", FF_LE}, {">=", FF_GE}, {"<", FF_LT}, {">", FF_GT}, {"in", FF_IN}};

	for (int i = 0; i < (int) lengthof(signs); i++)
	{
		if (accept(p, signs[i].text))
		{
			*out = signs[i].compare;
			return true;
		}
	}
	if (accept(p, "is"))
	{
		*out = accept(p, "not") ? FF_NE : FF_EQ;
		return true;
	}
	if (at(p, "not"))
	{
		advance(p);
		expect(p, "in");
		*out = FF_NOT_IN;
		return true;
	}
	return false;
}

static FfNode *
parse_comparison(Parser *p)
{
	FfNode	   *first = parse_sum(p);
	FfNode	   *node = NULL;
	FfCompare	compare;
	int			position = p->position;

	while (comparison(p, &compare))
	{
		if (node == NULL)
		{
			node = new_node(FF_NODE_COMPARE, position);
			add_kid(node, first);
		}
		node->compares = node->compares == NULL ? palloc(sizeof(FfCompare)) : repalloc(node->compares, sizeof(FfCompare) * node->count);
		node->compares[node->count - 1] = compare;
		add_kid(node, parse_sum(p));
	}
	return node ? node : first;
}

static FfNode *
parse_not(Parser *p)
{
	FfNode	   *node;

	if (!at(p, "not"))
		return parse_comparison(p);
	node = new_node(FF_NODE_NOT, p->position);
	if (++p->depth > ff_lang_max_depth)
		ereport(ERROR, (errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the expression is nested too deeply")));
	advance(p);
	add_kid(node, parse_not(p));
	p->depth--;
	return node;
}

static FfNode *
parse_logic(Parser *p, FfNodeKind kind, const char *word, const char *sign, FfNode *(*tighter) (Parser *))
{
	FfNode	   *first = tighter(p);
	FfNode	   *node = NULL;

	while (at(p, word) || at(p, sign))
	{
		if (node == NULL)
		{
			node = new_node(kind, p->position);
			add_kid(node, first);
		}
		advance(p);
		add_kid(node, tighter(p));
	}
	return node ? node : first;
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
	FfNode	   *node;
	FfNode	   *outer;
	int			position = p->position;

	check_stack_depth();
	if (++p->depth > ff_lang_max_depth)
		ereport(ERROR, (errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the expression is nested too deeply"),
						errdetail("At most %d levels are allowed.", ff_lang_max_depth)));
	node = parse_or(p);
	outer = new_node(FF_NODE_CONDITION, position);
	if (accept(p, "?"))
	{
		add_kid(outer, node);
		add_kid(outer, parse_expression(p));
		expect(p, ":");
		add_kid(outer, parse_expression(p));
		node = outer;
	}
	else if (accept(p, "if"))
	{
		FfNode	   *test = parse_or(p);

		expect(p, "else");
		add_kid(outer, test);
		add_kid(outer, node);
		add_kid(outer, parse_expression(p));
		node = outer;
	}
	p->depth--;
	return node;
}

FfExpr *
ff_expr_compile(const char *source, MemoryContext context)
{
	MemoryContext old;
	Parser		p = {0};
	FfExpr	   *expr;

	if (strlen(source) > (size_t) ff_lang_max_source)
		ereport(ERROR, (errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the expression is too long"),
						errdetail("It has %zu bytes, at most %d are allowed.", strlen(source), ff_lang_max_source)));
	old = MemoryContextSwitchTo(context);
	expr = palloc0(sizeof(FfExpr));
	expr->source = pstrdup(source);
	p.source = p.next = expr->source;
	advance(&p);
	expr->root = parse_expression(&p);
	if (p.kind != TOKEN_END)
		syntax_error(&p, p.position, psprintf("\"%s\" is not expected here", p.text));
	MemoryContextSwitchTo(old);
	return expr;
}
