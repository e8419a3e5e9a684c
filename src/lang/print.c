/*
 * print.c - tree to text, in CEL's spelling with the parentheses it needs.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "lang/node.h"
#include "util/errors.h"

/* How tightly a node binds. */
typedef enum Level
{
	LEVEL_CONDITION,
	LEVEL_OR,
	LEVEL_AND,
	LEVEL_NOT,
	LEVEL_COMPARE,
	LEVEL_SUM,
	LEVEL_PRODUCT,
	LEVEL_MINUS,
	LEVEL_PRIMARY
} Level;

typedef struct Printer
{
	StringInfoData out;
	const char	  *source;
	FfEvaluation  *binds; /* operands, with this; NULL: they stay */
} Printer;

static void print(Printer *p, const FfNode *node, Level least);

static Level
level_of(const FfNode *node)
{
	switch (node->kind)
	{
		case FF_NODE_CONDITION:
			return LEVEL_CONDITION;
		case FF_NODE_OR:
			return LEVEL_OR;
		case FF_NODE_AND:
			return LEVEL_AND;
		case FF_NODE_NOT:
			return LEVEL_NOT;
		case FF_NODE_COMPARE:
			return LEVEL_COMPARE;
		case FF_NODE_ARITHMETIC:
			return node->operators[0] == FF_ADD || node->operators[0] == FF_SUBTRACT
					   ? LEVEL_SUM
					   : LEVEL_PRODUCT;
		case FF_NODE_MINUS:
			return LEVEL_MINUS;
		default:
			return LEVEL_PRIMARY;
	}
}

static void
print_text(Printer *p, const FfValue *text)
{
	appendStringInfoChar(&p->out, '\'');
	for (int i = 0; i < text->length; i++)
	{
		char c = text->u.text[i];

		if (c == '\\' || c == '\'')
			appendStringInfo(&p->out, "\\%c", c);
		else if (c == '\n' || c == '\t')
			appendStringInfoString(&p->out, c == '\n' ? "\\n" : "\\t");
		else if ((unsigned char) c < 0x20)
			appendStringInfo(&p->out, "\\u%04x", c);
		else
			appendStringInfoChar(&p->out, c);
	}
	appendStringInfoChar(&p->out, '\'');
}

static void
print_literal(Printer *p, const FfNode *node)
{
	if (node->literal.kind == FF_TEXT)
		print_text(p, &node->literal);
	else
		appendStringInfoString(
			&p->out, DatumGetCString(DirectFunctionCall1(
						 numeric_out, NumericGetDatum(ff_value_numeric(&node->literal)))));
}

static void
print_name(Printer *p, const FfNode *node)
{
	if (!node->keyword)
		appendStringInfoString(&p->out, node->text);
	else if (node->literal.kind == FF_NULL)
		appendStringInfoString(&p->out, "null");
	else
		appendStringInfoString(&p->out, node->literal.u.boolean ? "true" : "false");
}

static void
print_operators(Printer *p, const FfNode *node, Level least)
{
	static const char *const signs[] = {
		"+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};

	print(p, node->kids[0], least);
	for (int i = 1; i < node->count; i++)
	{
		appendStringInfo(&p->out, " %s ", signs[node->operators[i - 1]]);
		print(p, node->kids[i], least);
	}
}

static void
print_items(Printer *p, const FfNode *node, const char *begin, const char *separator, Level least,
			const char *end)
{
	appendStringInfoString(&p->out, begin);
	for (int i = 0; i < node->count; i++)
	{
		if (i > 0)
			appendStringInfoString(&p->out,
								   node->kind == FF_NODE_OBJECT && i % 2 == 1 ? ": " : separator);
		print(p, node->kids[i], least);
	}
	appendStringInfoString(&p->out, end);
}

/* What a dot or a bracket follows; a number there would read as another one. */
static void
print_object(Printer *p, const FfNode *node)
{
	bool number = node->kind == FF_NODE_LITERAL && node->literal.kind != FF_TEXT;

	appendStringInfoString(&p->out, number ? "(" : "");
	print(p, node, LEVEL_PRIMARY);
	appendStringInfoString(&p->out, number ? ")" : "");
}

static void
print_condition(Printer *p, const FfNode *node)
{
	print(p, node->kids[0], LEVEL_OR);
	appendStringInfoString(&p->out, " ? ");
	print(p, node->kids[1], LEVEL_CONDITION);
	appendStringInfoString(&p->out, " : ");
	print(p, node->kids[2], LEVEL_CONDITION);
}

static void
print_macro(Printer *p, const FfNode *node)
{
	print_object(p, node->kids[0]);
	appendStringInfo(&p->out, ".%s(%s, ", node->function->name, node->text);
	print(p, node->kids[1], LEVEL_CONDITION);
	appendStringInfoChar(&p->out, ')');
}

/* --- values --- */

static void
print_number(Printer *p, Numeric number)
{
	char *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));

	appendStringInfo(&p->out, *text == '-' ? "(%s)" : "%s", text);
}

static void
print_scalar(Printer *p, const JsonbValue *value)
{
	FfValue text;

	if (value->type == jbvNumeric)
		print_number(p, value->val.numeric);
	else if (value->type == jbvBool)
		appendStringInfoString(&p->out, value->val.boolean ? "true" : "false");
	else if (value->type == jbvNull)
		appendStringInfoString(&p->out, "null");
	else
	{
		ff_set_text(&text, value->val.string.val, value->val.string.len);
		print_text(p, &text);
	}
}

/* JSON's spelling is the language's but for the escapes of texts. */
static void
print_document(Printer *p, Jsonb *document)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(&document->root);
	JsonbIteratorToken token;
	JsonbValue		   value;
	bool			   scalar = JB_ROOT_IS_SCALAR(document);
	bool			   first = true;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		bool begins = token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT;
		bool ends = token == WJB_END_ARRAY || token == WJB_END_OBJECT;

		if (scalar && (begins || ends))
			continue;
		if (!first && !ends && token != WJB_VALUE)
			appendStringInfoString(&p->out, ", ");
		if (begins || ends)
			appendStringInfoChar(&p->out, token == WJB_BEGIN_ARRAY	  ? '['
										  : token == WJB_END_ARRAY	  ? ']'
										  : token == WJB_BEGIN_OBJECT ? '{'
																	  : '}');
		else
			print_scalar(p, &value);
		if (token == WJB_KEY)
			appendStringInfoString(&p->out, ": ");
		first = begins || token == WJB_KEY;
	}
}

static void
print_bound(Printer *p, const FfNode *node)
{
	FfValue value = {0};

	if (ff_lang_evaluate(p->binds, node, &value) && ff_value_bytes(&value) > ff_lang_max_source)
		ff_lang_fail(p->binds, node->position, FF_ERR_EXPRESSION_LIMIT,
					 "the value is too large for an expression");
	if (p->binds->code != 0)
	{
		ff_lang_end(p->binds);
		ff_lang_report(p->binds, false, p->source);
	}
	print_document(p, ff_value_document(&value));
}

static void
print_operand(Printer *p, const FfNode *node)
{
	if (p->binds != NULL)
		print_bound(p, node);
	else if (node->kind == FF_NODE_TEMPLATE)
		print_text(p, &node->literal);
	else
	{
		appendStringInfoString(&p->out, "{{ ");
		print(p, node->kids[0], LEVEL_CONDITION);
		appendStringInfoString(&p->out, " }}");
	}
}

static void
print_inside(Printer *p, const FfNode *node)
{
	switch (node->kind)
	{
		case FF_NODE_LITERAL:
			print_literal(p, node);
			break;
		case FF_NODE_NAME:
			print_name(p, node);
			break;
		case FF_NODE_EITHER:
			print(p, node->kids[2], LEVEL_PRIMARY);
			break;
		case FF_NODE_MEMBER:
		case FF_NODE_PART:
			print_object(p, node->kids[0]);
			appendStringInfo(&p->out, ".%s", node->text);
			break;
		case FF_NODE_INDEX:
			print_object(p, node->kids[0]);
			appendStringInfoChar(&p->out, '[');
			print(p, node->kids[1], LEVEL_CONDITION);
			appendStringInfoChar(&p->out, ']');
			break;
		case FF_NODE_NOT:
		case FF_NODE_MINUS:
			appendStringInfoChar(&p->out, node->kind == FF_NODE_NOT ? '!' : '-');
			print(p, node->kids[0], LEVEL_PRIMARY);
			break;
		case FF_NODE_ARITHMETIC:
			print_operators(p, node, level_of(node) + 1);
			break;
		case FF_NODE_COMPARE:
			print_operators(p, node, LEVEL_SUM);
			break;
		case FF_NODE_AND:
			print_items(p, node, "", " && ", LEVEL_NOT, "");
			break;
		case FF_NODE_OR:
			print_items(p, node, "", " || ", LEVEL_AND, "");
			break;
		case FF_NODE_CONDITION:
			print_condition(p, node);
			break;
		case FF_NODE_LIST:
			print_items(p, node, "[", ", ", LEVEL_CONDITION, "]");
			break;
		case FF_NODE_OBJECT:
			print_items(p, node, "{", ", ", LEVEL_CONDITION, "}");
			break;
		case FF_NODE_OPERAND:
		case FF_NODE_TEMPLATE:
			print_operand(p, node);
			break;
		case FF_NODE_CALL:
			appendStringInfoString(&p->out, node->function->name);
			print_items(p, node, "(", ", ", LEVEL_CONDITION, ")");
			break;
		case FF_NODE_MACRO:
			print_macro(p, node);
			break;
	}
}

static void
print(Printer *p, const FfNode *node, Level least)
{
	bool wrapped = level_of(node) < least;

	check_stack_depth();
	appendStringInfoString(&p->out, wrapped ? "(" : "");
	print_inside(p, node);
	appendStringInfoString(&p->out, wrapped ? ")" : "");
}

char *
ff_expr_print(const FfExpr *expr)
{
	Printer p = {.binds = NULL};

	initStringInfo(&p.out);
	print(&p, expr->root, LEVEL_CONDITION);
	return p.out.data;
}

char *
ff_expr_bind(const FfExpr *expr, const FfScope *scope)
{
	FfEvaluation  e;
	Printer		  p = {.source = expr->source, .binds = &e};
	MemoryContext caller = CurrentMemoryContext;
	char		 *result;

	ff_lang_begin(&e, scope, false);
	ff_lang_use_scratch(&e);
	initStringInfo(&p.out);
	print(&p, expr->root, LEVEL_CONDITION);
	result = MemoryContextStrdup(caller, p.out.data);
	ff_lang_end(&e);
	return result;
}
