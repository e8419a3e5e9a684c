/*
 * print.c - tree to text, in CEL's spelling with the parentheses it needs.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "lang/node.h"

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

static void print(StringInfo out, const FfNode *node, Level least);

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
print_text(StringInfo out, const FfValue *text)
{
	appendStringInfoChar(out, '\'');
	for (int i = 0; i < text->length; i++)
	{
		char c = text->u.text[i];

		if (c == '\\' || c == '\'')
			appendStringInfo(out, "\\%c", c);
		else if (c == '\n' || c == '\t')
			appendStringInfoString(out, c == '\n' ? "\\n" : "\\t");
		else if ((unsigned char) c < 0x20)
			appendStringInfo(out, "\\u%04x", c);
		else
			appendStringInfoChar(out, c);
	}
	appendStringInfoChar(out, '\'');
}

static void
print_literal(StringInfo out, const FfNode *node)
{
	if (node->literal.kind == FF_TEXT)
		print_text(out, &node->literal);
	else
		appendStringInfoString(
			out, DatumGetCString(DirectFunctionCall1(
					 numeric_out, NumericGetDatum(ff_value_numeric(&node->literal)))));
}

static void
print_name(StringInfo out, const FfNode *node)
{
	if (!node->keyword)
		appendStringInfoString(out, node->text);
	else if (node->literal.kind == FF_NULL)
		appendStringInfoString(out, "null");
	else
		appendStringInfoString(out, node->literal.u.boolean ? "true" : "false");
}

static void
print_operators(StringInfo out, const FfNode *node, Level least)
{
	static const char *const signs[] = {
		"+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};

	print(out, node->kids[0], least);
	for (int i = 1; i < node->count; i++)
	{
		appendStringInfo(out, " %s ", signs[node->operators[i - 1]]);
		print(out, node->kids[i], least);
	}
}

static void
print_items(StringInfo out, const FfNode *node, const char *begin, const char *separator,
			Level least, const char *end)
{
	appendStringInfoString(out, begin);
	for (int i = 0; i < node->count; i++)
	{
		if (i > 0)
			appendStringInfoString(out,
								   node->kind == FF_NODE_OBJECT && i % 2 == 1 ? ": " : separator);
		print(out, node->kids[i], least);
	}
	appendStringInfoString(out, end);
}

/* What a dot or a bracket follows; a number there would read as another one. */
static void
print_object(StringInfo out, const FfNode *node)
{
	bool number = node->kind == FF_NODE_LITERAL && node->literal.kind != FF_TEXT;

	appendStringInfoString(out, number ? "(" : "");
	print(out, node, LEVEL_PRIMARY);
	appendStringInfoString(out, number ? ")" : "");
}

static void
print_condition(StringInfo out, const FfNode *node)
{
	print(out, node->kids[0], LEVEL_OR);
	appendStringInfoString(out, " ? ");
	print(out, node->kids[1], LEVEL_CONDITION);
	appendStringInfoString(out, " : ");
	print(out, node->kids[2], LEVEL_CONDITION);
}

static void
print_macro(StringInfo out, const FfNode *node)
{
	print_object(out, node->kids[0]);
	appendStringInfo(out, ".%s(%s, ", node->function->name, node->text);
	print(out, node->kids[1], LEVEL_CONDITION);
	appendStringInfoChar(out, ')');
}

static void
print_inside(StringInfo out, const FfNode *node)
{
	switch (node->kind)
	{
		case FF_NODE_LITERAL:
			print_literal(out, node);
			break;
		case FF_NODE_NAME:
			print_name(out, node);
			break;
		case FF_NODE_EITHER:
			print(out, node->kids[2], LEVEL_PRIMARY);
			break;
		case FF_NODE_MEMBER:
		case FF_NODE_PART:
			print_object(out, node->kids[0]);
			appendStringInfo(out, ".%s", node->text);
			break;
		case FF_NODE_INDEX:
			print_object(out, node->kids[0]);
			appendStringInfoChar(out, '[');
			print(out, node->kids[1], LEVEL_CONDITION);
			appendStringInfoChar(out, ']');
			break;
		case FF_NODE_NOT:
		case FF_NODE_MINUS:
			appendStringInfoChar(out, node->kind == FF_NODE_NOT ? '!' : '-');
			print(out, node->kids[0], LEVEL_PRIMARY);
			break;
		case FF_NODE_ARITHMETIC:
			print_operators(out, node, level_of(node) + 1);
			break;
		case FF_NODE_COMPARE:
			print_operators(out, node, LEVEL_SUM);
			break;
		case FF_NODE_AND:
			print_items(out, node, "", " && ", LEVEL_NOT, "");
			break;
		case FF_NODE_OR:
			print_items(out, node, "", " || ", LEVEL_AND, "");
			break;
		case FF_NODE_CONDITION:
			print_condition(out, node);
			break;
		case FF_NODE_LIST:
			print_items(out, node, "[", ", ", LEVEL_CONDITION, "]");
			break;
		case FF_NODE_OBJECT:
			print_items(out, node, "{", ", ", LEVEL_CONDITION, "}");
			break;
		case FF_NODE_CALL:
			appendStringInfoString(out, node->function->name);
			print_items(out, node, "(", ", ", LEVEL_CONDITION, ")");
			break;
		case FF_NODE_MACRO:
			print_macro(out, node);
			break;
	}
}

static void
print(StringInfo out, const FfNode *node, Level least)
{
	bool wrapped = level_of(node) < least;

	check_stack_depth();
	appendStringInfoString(out, wrapped ? "(" : "");
	print_inside(out, node);
	appendStringInfoString(out, wrapped ? ")" : "");
}

char *
ff_expr_print(const FfExpr *expr)
{
	StringInfoData out;

	initStringInfo(&out);
	print(&out, expr->root, LEVEL_CONDITION);
	return out.data;
}
