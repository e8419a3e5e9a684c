/*
 * eval.c - tree and data to value.
 *
 * Errors are kept in the evaluation, not raised: filter mode turns them into false without a subtransaction, strict mode raises the first
 * one at the end. Values are JsonbValues that point into the data as long as they can.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "lang/node.h"
#include "util/errors.h"
#include "util/json.h"

int			ff_lang_max_steps = 100000;

typedef struct Evaluation
{
	const FfExpr *expr;
	const FfBinding *bindings;
	int			count;
	bool		filter;
	int			steps;
	int			code;			/* SQLSTATE of the first error, or 0 */
	int			position;
	const char *message;
} Evaluation;

static bool evaluate(Evaluation *e, const FfNode *node, JsonbValue *out);

static bool
fail(Evaluation *e, const FfNode *node, int code, const char *message)
{
	e->code = code;
	e->position = node->position;
	e->message = message;
	return false;
}

static void
set_null(JsonbValue *out)
{
	out->type = jbvNull;
	out->val.boolean = false;
}

/* Two things that are both missing are not equal: a wait for the order's id must not meet an event when neither has one. */
static bool
both_missing(const JsonbValue *a, const JsonbValue *b)
{
	return a->type == jbvNull && b->type == jbvNull && a->val.boolean && b->val.boolean;
}

static void
set_bool(JsonbValue *out, bool value)
{
	out->type = jbvBool;
	out->val.boolean = value;
}

static void
set_text(JsonbValue *out, char *text, int length)
{
	out->type = jbvString;
	out->val.string.val = text;
	out->val.string.len = length;
}

/* A document as a value: scalars by themselves, containers by reference. */
static void
open_document(Jsonb *document, JsonbValue *out)
{
	if (JB_ROOT_IS_SCALAR(document))
	{
		JsonbExtractScalar(&document->root, out);
		if (out->type == jbvNull)
			out->val.boolean = false;
	}
	else
	{
		out->type = jbvBinary;
		out->val.binary.data = &document->root;
		out->val.binary.len = VARSIZE(document) - VARHDRSZ;
	}
}

static bool
is_object(const JsonbValue *v)
{
	return v->type == jbvBinary && JsonContainerIsObject(v->val.binary.data);
}

static bool
is_list(const JsonbValue *v)
{
	return v->type == jbvBinary && JsonContainerIsArray(v->val.binary.data);
}

static bool
truthy(const JsonbValue *v)
{
	switch (v->type)
	{
		case jbvNull:
			return false;
		case jbvBool:
			return v->val.boolean;
		case jbvString:
			return v->val.string.len > 0;
		case jbvNumeric:
			return !DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(v->val.numeric), NumericGetDatum(int64_to_numeric(0))));
		case jbvBinary:
			return JsonContainerSize(v->val.binary.data) > 0;
		default:
			return false;
	}
}

static bool
equal_values(const JsonbValue *a, const JsonbValue *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type)
	{
		case jbvNull:
			return true;
		case jbvBool:
			return a->val.boolean == b->val.boolean;
		case jbvString:
			return a->val.string.len == b->val.string.len && memcmp(a->val.string.val, b->val.string.val, a->val.string.len) == 0;
		case jbvNumeric:
			return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(a->val.numeric), NumericGetDatum(b->val.numeric)));
		case jbvBinary:
			return is_list(a) == is_list(b) && compareJsonbContainers(a->val.binary.data, b->val.binary.data) == 0;
		default:
			return false;
	}
}

/* --- names and members --- */

static bool
evaluate_name(Evaluation *e, const FfNode *node, JsonbValue *out)
{
	for (int i = 0; i < e->count; i++)
	{
		if (strcmp(e->bindings[i].name, node->text) == 0)
		{
			open_document(e->bindings[i].value, out);
			return true;
		}
	}
	if (node->literal.type == jbvBool || node->literal.type == jbvNull)
	{
		*out = node->literal;
		return true;
	}
	return fail(e, node, FF_ERR_EXPRESSION_UNDEFINED, "a name is not defined");
}

static bool
missing(Evaluation *e, const FfNode *node, int code, const char *message, JsonbValue *out)
{
	if (!e->filter)
		return fail(e, node, code, message);
	set_null(out);
	out->val.boolean = true;	/* marks a null that stands for something missing */
	return true;
}

static bool
member(Evaluation *e, const FfNode *node, const JsonbValue *object, const char *key, int length, JsonbValue *out)
{
	if (is_object(object))
	{
		if (getKeyJsonValueFromContainer(object->val.binary.data, key, length, out) != NULL)
		{
			if (out->type == jbvNull)
				out->val.boolean = false;
			return true;
		}
		return missing(e, node, FF_ERR_EXPRESSION_MISSING_KEY, "the object has no such key", out);
	}
	return missing(e, node, FF_ERR_EXPRESSION_NAVIGATE, "this value has no members", out);
}

static bool
integer_of(const JsonbValue *v, int64 *out)
{
	char	   *text;
	char	   *end;

	if (v->type != jbvNumeric)
		return false;
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric)));
	errno = 0;
	*out = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0';
}

static bool
element(Evaluation *e, const FfNode *node, const JsonbValue *list, const JsonbValue *key, JsonbValue *out)
{
	int64		index;
	int64		size = JsonContainerSize(list->val.binary.data);
	JsonbValue *found;

	if (!integer_of(key, &index))
		return fail(e, node, FF_ERR_EXPRESSION_BAD_INDEX, "a list is indexed by an integer");
	if (index < 0)
		index += size;
	if (index < 0 || index >= size)
		return missing(e, node, FF_ERR_EXPRESSION_RANGE, "the list has no such index", out);
	found = getIthJsonbValueFromContainer(list->val.binary.data, (uint32) index);
	*out = *found;
	if (out->type == jbvNull)
		out->val.boolean = false;
	return true;
}

static bool
character(Evaluation *e, const FfNode *node, const JsonbValue *text, const JsonbValue *key, JsonbValue *out)
{
	int64		index;
	int64		size = pg_mbstrlen_with_len(text->val.string.val, text->val.string.len);
	char	   *c = text->val.string.val;

	if (!integer_of(key, &index))
		return fail(e, node, FF_ERR_EXPRESSION_BAD_INDEX, "a text is indexed by an integer");
	if (index < 0)
		index += size;
	if (index < 0 || index >= size)
		return missing(e, node, FF_ERR_EXPRESSION_RANGE, "the text has no such index", out);
	for (; index > 0; index--)
		c += pg_mblen(c);
	set_text(out, c, pg_mblen(c));
	return true;
}

static bool
evaluate_index(Evaluation *e, const FfNode *node, JsonbValue *out)
{
	JsonbValue	object = {0};
	JsonbValue	key = {0};

	if (!evaluate(e, node->kids[0], &object) || !evaluate(e, node->kids[1], &key))
		return false;
	if (is_list(&object))
		return element(e, node, &object, &key, out);
	if (object.type == jbvString)
		return character(e, node, &object, &key, out);
	if (key.type != jbvString)
		return fail(e, node, FF_ERR_EXPRESSION_BAD_INDEX, "an object is indexed by text");
	return member(e, node, &object, key.val.string.val, key.val.string.len, out);
}

/* --- operators --- */

static bool
concatenate(Evaluation *e, const JsonbValue *a, const JsonbValue *b, JsonbValue *out)
{
	int			length = a->val.string.len + b->val.string.len;
	char	   *text = palloc(length + 1);

	memcpy(text, a->val.string.val, a->val.string.len);
	memcpy(text + a->val.string.len, b->val.string.val, b->val.string.len);
	set_text(out, text, length);
	return true;
}

static Jsonb *
document_of(const JsonbValue *v)
{
	return JsonbValueToJsonb(unconstify(JsonbValue *, v));
}

static bool
evaluate_arithmetic(Evaluation *e, const FfNode *node, JsonbValue *out)
{
	JsonbValue	a = {0};
	JsonbValue	b = {0};
	bool		failed = false;

	if (!evaluate(e, node->kids[0], &a) || !evaluate(e, node->kids[1], &b))
		return false;
	if (node->op == '+' && a.type == jbvString && b.type == jbvString)
		return concatenate(e, &a, &b, out);
	if (node->op == '+' && is_list(&a) && is_list(&b))
	{
		open_document(DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(document_of(&a)), JsonbPGetDatum(document_of(&b)))), out);
		return true;
	}
	if (a.type != jbvNumeric || b.type != jbvNumeric)
		return fail(e, node, FF_ERR_EXPRESSION_TYPE, "the operator does not take values of these types");
	if ((node->op == '/' || node->op == '%') && !truthy(&b))
		return fail(e, node, FF_ERR_EXPRESSION_DIVISION, "division by zero");
	out->type = jbvNumeric;
	switch (node->op)
	{
		case '+':
			out->val.numeric = numeric_add_opt_error(a.val.numeric, b.val.numeric, &failed);
			break;
		case '-':
			out->val.numeric = numeric_sub_opt_error(a.val.numeric, b.val.numeric, &failed);
			break;
		case '*':
			out->val.numeric = numeric_mul_opt_error(a.val.numeric, b.val.numeric, &failed);
			break;
		case '/':
			out->val.numeric = numeric_div_opt_error(a.val.numeric, b.val.numeric, &failed);
			if (!failed)
				out->val.numeric = DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(out->val.numeric)));
			break;
		default:
			out->val.numeric = numeric_mod_opt_error(a.val.numeric, b.val.numeric, &failed);
			/* The remainder takes the divisor's sign. */
			if (!failed && truthy(out))
			{
				Numeric		zero = int64_to_numeric(0);
				bool		remainder_below = DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(out->val.numeric), NumericGetDatum(zero)));
				bool		divisor_below = DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(b.val.numeric), NumericGetDatum(zero)));

				if (remainder_below != divisor_below)
					out->val.numeric = numeric_add_opt_error(out->val.numeric, b.val.numeric, &failed);
			}
	}
	if (failed)
		return fail(e, node, FF_ERR_EXPRESSION_LIMIT, "the number is too large");
	return true;
}

/* -1, 0, 1 into order; false with an error when the two have no order. */
static bool
compare_order(Evaluation *e, const FfNode *node, const JsonbValue *a, const JsonbValue *b, int *order)
{
	if (a->type == jbvNumeric && b->type == jbvNumeric)
		*order = DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a->val.numeric), NumericGetDatum(b->val.numeric)));
	else if (a->type == jbvString && b->type == jbvString)
	{
		int			common = Min(a->val.string.len, b->val.string.len);

		*order = memcmp(a->val.string.val, b->val.string.val, common);
		if (*order == 0)
			*order = a->val.string.len - b->val.string.len;
	}
	else
		return fail(e, node, FF_ERR_EXPRESSION_TYPE, "values of these types have no order");
	return true;
}

static bool
contains(Evaluation *e, const FfNode *node, const JsonbValue *item, const JsonbValue *whole, bool *result)
{
	*result = false;
	if (is_list(whole))
	{
		for (uint32 i = 0; i < JsonContainerSize(whole->val.binary.data) && !*result; i++)
			*result = equal_values(item, getIthJsonbValueFromContainer(whole->val.binary.data, i));
	}
	else if (is_object(whole) && item->type == jbvString)
		*result = getKeyJsonValueFromContainer(whole->val.binary.data, item->val.string.val, item->val.string.len, NULL) != NULL;
	else if (whole->type == jbvString && item->type == jbvString)
		*result = item->val.string.len == 0 ||
			memmem(whole->val.string.val, whole->val.string.len, item->val.string.val, item->val.string.len) != NULL;
	else
		return fail(e, node, FF_ERR_EXPRESSION_TYPE, "nothing can be in a value of this type");
	return true;
}

static bool
compare(Evaluation *e, const FfNode *node, FfCompare how, const JsonbValue *a, const JsonbValue *b, bool *result)
{
	int			order = 0;

	if (how == FF_EQ || how == FF_NE)
	{
		*result = (equal_values(a, b) && !both_missing(a, b)) == (how == FF_EQ);
		return true;
	}
	if (how == FF_IN || how == FF_NOT_IN)
	{
		if (!contains(e, node, a, b, result))
			return false;
		*result = *result == (how == FF_IN);
		return true;
	}
	if (e->filter && (a->type == jbvNull || b->type == jbvNull))
	{
		*result = false;
		return true;
	}
	if (!compare_order(e, node, a, b, &order))
		return false;
	*result = how == FF_LT ? order < 0 : how == FF_LE ? order <= 0 : how == FF_GT ? order > 0 : order >= 0;
	return true;
}

static bool
evaluate_compare(Evaluation *e, const FfNode *node, JsonbValue *out)
{
	JsonbValue	left = {0};
	bool		result = true;

	if (!evaluate(e, node->kids[0], &left))
		return false;
	for (int i = 1; i < node->count && result; i++)
	{
		JsonbValue	right = {0};

		if (!evaluate(e, node->kids[i], &right) || !compare(e, node, node->compares[i - 1], &left, &right, &result))
			return false;
		left = right;
	}
	set_bool(out, result);
	return true;
}

/* `and` and `or` give the operand that decides. */
static bool
evaluate_logic(Evaluation *e, const FfNode *node, JsonbValue *out)
{
	for (int i = 0; i < node->count; i++)
	{
		if (!evaluate(e, node->kids[i], out))
			return false;
		if (truthy(out) == (node->kind == FF_NODE_OR))
			return true;
	}
	return true;
}

static bool
evaluate_list(Evaluation *e, const FfNode *node, JsonbValue *out)
{
	FfJsonBuilder builder = {0};
	JsonbValue	value = {0};
	JsonbValue	key = {0};

	if (node->kind == FF_NODE_LIST)
		ff_jb_array(&builder);
	else
		ff_jb_object(&builder);
	for (int i = 0; i < node->count; i++)
	{
		if (node->kind == FF_NODE_OBJECT)
		{
			if (!evaluate(e, node->kids[i++], &key))
				return false;
			if (key.type != jbvString)
				return fail(e, node, FF_ERR_EXPRESSION_TYPE, "an object's key is text");
			ff_jb_key(&builder, pnstrdup(key.val.string.val, key.val.string.len));
		}
		if (!evaluate(e, node->kids[i], &value))
			return false;
		ff_jb_json(&builder, document_of(&value));
	}
	ff_jb_end(&builder);
	open_document(ff_jb_finish(&builder), out);
	return true;
}

/* --- functions --- */

enum
{
	F_SIZE, F_HAS, F_STRING, F_INT, F_FLOAT, F_BOOL, F_LOWER, F_UPPER, F_TRIM, F_STARTS, F_ENDS, F_CONTAINS, F_ABS, F_DEFAULT
};

static const struct
{
	const char *name;
	int			function;
	int			arguments;
}			functions[] = {
	{"size", F_SIZE, 1}, {"len", F_SIZE, 1}, {"has", F_HAS, 1}, {"string", F_STRING, 1}, {"int", F_INT, 1}, {"float", F_FLOAT, 1},
	{"double", F_FLOAT, 1}, {"bool", F_BOOL, 1}, {"lower", F_LOWER, 1}, {"lowerAscii", F_LOWER, 1}, {"upper", F_UPPER, 1},
	{"upperAscii", F_UPPER, 1}, {"trim", F_TRIM, 1}, {"startsWith", F_STARTS, 2}, {"endsWith", F_ENDS, 2}, {"contains", F_CONTAINS, 2},
	{"abs", F_ABS, 1}, {"default", F_DEFAULT, 2}, {"coalesce", F_DEFAULT, 2},
};

int
ff_lang_function(const char *name, int arguments)
{
	for (int i = 0; i < (int) lengthof(functions); i++)
	{
		if (strcmp(functions[i].name, name) == 0)
			return functions[i].arguments == arguments ? functions[i].function : -2;
	}
	return -1;
}

static bool
to_number(Evaluation *e, const FfNode *node, const JsonbValue *v, JsonbValue *out)
{
	char	   *text;
	char	   *end;

	out->type = jbvNumeric;
	if (v->type == jbvNumeric)
		out->val.numeric = v->val.numeric;
	else if (v->type == jbvBool)
		out->val.numeric = int64_to_numeric(v->val.boolean);
	else if (v->type == jbvString && v->val.string.len < 40)
	{
		text = pnstrdup(v->val.string.val, v->val.string.len);
		(void) strtod(text, &end);
		if (*text == '\0' || *end != '\0' || strspn(text, "0123456789.eE+-") != strlen(text))
			return fail(e, node, FF_ERR_EXPRESSION_TYPE, "the text is not a number");
		out->val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	else
		return fail(e, node, FF_ERR_EXPRESSION_TYPE, "the value is not a number");
	return true;
}

static void
to_text(const JsonbValue *v, JsonbValue *out)
{
	char	   *text;

	if (v->type == jbvString)
	{
		*out = *v;
		return;
	}
	text = JsonbToCString(NULL, &document_of(v)->root, 0);
	set_text(out, text, (int) strlen(text));
}

static bool
size_of(Evaluation *e, const FfNode *node, const JsonbValue *v, JsonbValue *out)
{
	int64		size;

	if (v->type == jbvString)
		size = pg_mbstrlen_with_len(v->val.string.val, v->val.string.len);
	else if (v->type == jbvBinary)
		size = JsonContainerSize(v->val.binary.data);
	else
		return fail(e, node, FF_ERR_EXPRESSION_TYPE, "a value of this type has no size");
	out->type = jbvNumeric;
	out->val.numeric = int64_to_numeric(size);
	return true;
}

static bool
text_function(Evaluation *e, const FfNode *node, const JsonbValue *v, JsonbValue *out)
{
	char	   *text = v->val.string.val;
	int			length = v->val.string.len;

	if (v->type != jbvString)
		return fail(e, node, FF_ERR_EXPRESSION_TYPE, "the function takes text");
	if (node->function == F_TRIM)
	{
		for (; length > 0 && isspace((unsigned char) *text); length--)
			text++;
		while (length > 0 && isspace((unsigned char) text[length - 1]))
			length--;
	}
	else if (node->function == F_LOWER)
	{
		text = str_tolower(text, length, DEFAULT_COLLATION_OID);
		length = (int) strlen(text);
	}
	else
	{
		text = str_toupper(text, length, DEFAULT_COLLATION_OID);
		length = (int) strlen(text);
	}
	set_text(out, text, length);
	return true;
}

static bool
affix_function(Evaluation *e, const FfNode *node, const JsonbValue *v, const JsonbValue *affix, JsonbValue *out)
{
	int			rest;

	if (v->type != jbvString || affix->type != jbvString)
		return fail(e, node, FF_ERR_EXPRESSION_TYPE, "the function takes texts");
	rest = v->val.string.len - affix->val.string.len;
	set_bool(out, rest >= 0 && memcmp(v->val.string.val + (node->function == F_ENDS ? rest : 0), affix->val.string.val,
									  affix->val.string.len) == 0);
	return true;
}

/* has(a.b) asks whether the member is there; default(a.b, x) rescues it when it is not. */
static bool
try_argument(Evaluation *e, const FfNode *node, JsonbValue *out)
{
	bool		filter = e->filter;
	bool		found;

	e->filter = false;
	found = evaluate(e, node, out);
	e->filter = filter;
	if (!found && (e->code == FF_ERR_EXPRESSION_MISSING_KEY || e->code == FF_ERR_EXPRESSION_RANGE || e->code == FF_ERR_EXPRESSION_UNDEFINED))
		e->code = 0;
	return found;
}

static bool
evaluate_call(Evaluation *e, const FfNode *node, JsonbValue *out)
{
	JsonbValue	a = {0};
	JsonbValue	b = {0};
	bool		inside;

	if (node->function == F_HAS || node->function == F_DEFAULT)
	{
		bool		found = try_argument(e, node->kids[0], &a);

		if (!found && e->code != 0)
			return false;
		if (node->function == F_HAS)
			set_bool(out, found);
		else if (found && a.type != jbvNull)
			*out = a;
		else
			return evaluate(e, node->kids[1], out);
		return true;
	}
	if (!evaluate(e, node->kids[0], &a) || (node->count > 1 && !evaluate(e, node->kids[1], &b)))
		return false;
	switch (node->function)
	{
		case F_SIZE:
			return size_of(e, node, &a, out);
		case F_STRING:
			to_text(&a, out);
			return true;
		case F_INT:
			if (!to_number(e, node, &a, out))
				return false;
			out->val.numeric = DatumGetNumeric(DirectFunctionCall2(numeric_trunc, NumericGetDatum(out->val.numeric), Int32GetDatum(0)));
			return true;
		case F_FLOAT:
			return to_number(e, node, &a, out);
		case F_BOOL:
			set_bool(out, truthy(&a));
			return true;
		case F_ABS:
			if (!to_number(e, node, &a, out))
				return false;
			out->val.numeric = DatumGetNumeric(DirectFunctionCall1(numeric_abs, NumericGetDatum(out->val.numeric)));
			return true;
		case F_STARTS:
		case F_ENDS:
			return affix_function(e, node, &a, &b, out);
		case F_CONTAINS:
			if (!contains(e, node, &b, &a, &inside))
				return false;
			set_bool(out, inside);
			return true;
		default:
			return text_function(e, node, &a, out);
	}
}

static bool
evaluate_minus(Evaluation *e, const FfNode *node, JsonbValue *out)
{
	if (!evaluate(e, node->kids[0], out))
		return false;
	if (out->type != jbvNumeric)
		return fail(e, node, FF_ERR_EXPRESSION_TYPE, "only a number has a negative");
	out->val.numeric = DatumGetNumeric(DirectFunctionCall1(numeric_uminus, NumericGetDatum(out->val.numeric)));
	return true;
}

static bool
evaluate(Evaluation *e, const FfNode *node, JsonbValue *out)
{
	JsonbValue	object = {0};

	CHECK_FOR_INTERRUPTS();
	if (++e->steps > ff_lang_max_steps)
		return fail(e, node, FF_ERR_EXPRESSION_LIMIT, "the evaluation takes too many steps");
	switch (node->kind)
	{
		case FF_NODE_LITERAL:
			*out = node->literal;
			return true;
		case FF_NODE_NAME:
			return evaluate_name(e, node, out);
		case FF_NODE_MEMBER:
			return evaluate(e, node->kids[0], &object) && member(e, node, &object, node->text, (int) strlen(node->text), out);
		case FF_NODE_INDEX:
			return evaluate_index(e, node, out);
		case FF_NODE_NOT:
			if (!evaluate(e, node->kids[0], &object))
				return false;
			set_bool(out, !truthy(&object));
			return true;
		case FF_NODE_MINUS:
			return evaluate_minus(e, node, out);
		case FF_NODE_ARITHMETIC:
			return evaluate_arithmetic(e, node, out);
		case FF_NODE_COMPARE:
			return evaluate_compare(e, node, out);
		case FF_NODE_AND:
		case FF_NODE_OR:
			return evaluate_logic(e, node, out);
		case FF_NODE_CONDITION:
			return evaluate(e, node->kids[0], &object) && evaluate(e, node->kids[truthy(&object) ? 1 : 2], out);
		case FF_NODE_LIST:
		case FF_NODE_OBJECT:
			return evaluate_list(e, node, out);
		case FF_NODE_CALL:
			return evaluate_call(e, node, out);
	}
	return false;
}

/* --- the doors --- */

Jsonb *
ff_expr_eval(const FfExpr *expr, const FfBinding *bindings, int count)
{
	Evaluation	e = {.expr = expr, .bindings = bindings, .count = count};
	JsonbValue	value = {0};

	if (!evaluate(&e, expr->root, &value))
		ereport(ERROR, (errcode(e.code), errmsg("the expression cannot be evaluated: %s", e.message),
						errdetail("%s", ff_lang_place(expr->source, e.position)),
						errhint("has(a.b) asks whether a member is there, default(a.b, x) replaces a missing one.")));
	return document_of(&value);
}

Jsonb *
ff_expr_eval_filter(const FfExpr *expr, const FfBinding *bindings, int count)
{
	Evaluation	e = {.expr = expr, .bindings = bindings, .count = count, .filter = true};
	JsonbValue	value = {0};

	return evaluate(&e, expr->root, &value) ? document_of(&value) : NULL;
}

bool
ff_expr_filter(const FfExpr *expr, const FfBinding *bindings, int count)
{
	Evaluation	e = {.expr = expr, .bindings = bindings, .count = count, .filter = true};
	JsonbValue	value = {0};

	return evaluate(&e, expr->root, &value) && truthy(&value);
}

/* The dotted path of `async.a.b`, or NULL when the node is something else. */
static char *
path_below_async(const FfNode *node)
{
	char	   *inner;

	if (node->kind != FF_NODE_MEMBER)
		return NULL;
	if (node->kids[0]->kind == FF_NODE_NAME && strcmp(node->kids[0]->text, "async") == 0)
		return pstrdup(node->text);
	inner = path_below_async(node->kids[0]);
	return inner ? psprintf("%s.%s", inner, node->text) : NULL;
}

static bool
mentions_async(const FfNode *node)
{
	if (node->kind == FF_NODE_NAME && strcmp(node->text, "async") == 0)
		return true;
	for (int i = 0; i < node->count; i++)
	{
		if (mentions_async(node->kids[i]))
			return true;
	}
	return false;
}

static bool
key_of_equality(const FfExpr *expr, const FfNode *node, Jsonb *event, char **path, Jsonb **value)
{
	FfBinding	binding = {"event", event};
	Evaluation	e = {.expr = expr, .bindings = &binding, .count = 1, .filter = true};
	JsonbValue	constant = {0};

	if (node->kind != FF_NODE_COMPARE || node->count != 2 || node->compares[0] != FF_EQ)
		return false;
	for (int side = 0; side < 2; side++)
	{
		*path = path_below_async(node->kids[side]);
		if (*path == NULL || mentions_async(node->kids[1 - side]) || !evaluate(&e, node->kids[1 - side], &constant))
			continue;
		*value = document_of(&constant);
		return true;
	}
	return false;
}

bool
ff_expr_wait_key(const FfExpr *expr, Jsonb *event, char **path, Jsonb **value)
{
	const FfNode *root = expr->root;

	if (root->kind != FF_NODE_AND)
		return key_of_equality(expr, root, event, path, value);
	for (int i = 0; i < root->count; i++)
	{
		if (key_of_equality(expr, root->kids[i], event, path, value))
			return true;
	}
	return false;
}

/* ff_eval(expression, context, mode): the members of the context are the names. */
static FfBinding *
bindings_of(Jsonb *context, int *count)
{
	JsonbIterator *iterator = JsonbIteratorInit(&context->root);
	JsonbValue	part = {0};
	JsonbIteratorToken token;
	FfBinding  *bindings = palloc(sizeof(FfBinding) * Max(JB_ROOT_COUNT(context), 1));

	*count = 0;
	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			bindings[*count].name = pnstrdup(part.val.string.val, part.val.string.len);
		else if (token == WJB_VALUE)
			bindings[(*count)++].value = JsonbValueToJsonb(&part);
	}
	return bindings;
}

PG_FUNCTION_INFO_V1(ff_sql_eval);
Datum
ff_sql_eval(PG_FUNCTION_ARGS)
{
	FfExpr	   *expr = ff_expr_compile(text_to_cstring(PG_GETARG_TEXT_PP(0)), CurrentMemoryContext);
	Jsonb	   *context = PG_GETARG_JSONB_P(1);
	char	   *mode = text_to_cstring(PG_GETARG_TEXT_PP(2));
	FfBinding  *bindings;
	Jsonb	   *result;
	int			count;

	if (!ff_json_is_object(context))
		ereport(ERROR, (errcode(FF_ERR_EXPRESSION_TYPE), errmsg("the context is not an object"),
						errhint("Its members are the names the expression may use: {\"event\": {...}}.")));
	bindings = bindings_of(context, &count);
	if (strcmp(mode, "filter") == 0)
		result = ff_expr_eval_filter(expr, bindings, count);
	else if (strcmp(mode, "strict") == 0)
		result = ff_expr_eval(expr, bindings, count);
	else
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no mode \"%s\"", mode),
						errhint("Modes are strict and filter.")));
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(result);
}
