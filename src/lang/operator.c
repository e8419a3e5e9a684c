/*
 * operator.c - what the operators do with their operands.
 *
 * Arithmetic on int64 goes on in Numeric where it overflows. Nothing is coerced: an operator takes
 * the kinds of values it is defined for, and equality takes all.
 */
#include "postgres.h"

#include "common/int.h"
#include "utils/fmgrprotos.h"

#include "lang/node.h"
#include "util/errors.h"

/* --- arithmetic --- */

static const char *const operator_texts[] = {
	"+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};

static bool
fail_operands(FfEvaluation *e, int position, FfOperator op, const FfValue *a, const FfValue *b)
{
	return ff_lang_fail(e, position, FF_ERR_EXPRESSION_TYPE, "%s does not take %s and %s",
						operator_texts[op], ff_value_kind(a), ff_value_kind(b));
}

static bool
join_texts(FfEvaluation *e, int position, const FfValue *a, const FfValue *b, FfValue *out)
{
	int	  length = a->length;
	char *text = ff_lang_room(e, position, (int64) a->length + b->length);

	if (text == NULL)
		return false;
	memcpy(text, a->u.text, length);
	memcpy(text + length, b->u.text, b->length);
	ff_set_text(out, text, length + b->length);
	return true;
}

static bool
join_lists(FfEvaluation *e, int position, const FfValue *a, const FfValue *b, FfValue *out)
{
	int		first = ff_value_count(a);
	FfList *list = ff_lang_list(e, position, (int64) first + ff_value_count(b));

	if (list == NULL)
		return false;
	for (int i = 0; i < list->count; i++)
		ff_value_item(i < first ? a : b, i < first ? i : i - first, &list->items[i]);
	return ff_lang_made(e, position, list, out);
}

/* text * n and list * n; nothing is allocated before its size is known to be allowed. */
static bool
repeated(FfEvaluation *e, int position, const FfValue *whole, int64 times, FfValue *out)
{
	int		length = whole->kind == FF_TEXT ? whole->length : ff_value_count(whole);
	int64	total;
	FfList *list;
	char   *text;

	if (times <= 0)
		times = 0;
	if (pg_mul_s64_overflow(length, times, &total) || total > ff_lang_max_output)
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_LIMIT,
							"repeating it %lld times makes more than %d bytes", (long long) times,
							ff_lang_max_output);
	if (whole->kind == FF_TEXT)
	{
		text = ff_lang_room(e, position, total);
		for (int64 i = 0; text != NULL && i < total; i += length)
			memcpy(text + i, whole->u.text, length);
		ff_set_text(out, text, (int) total);
		return text != NULL;
	}
	list = ff_lang_list(e, position, total);
	for (int64 i = 0; list != NULL && i < total; i++)
		ff_value_item(whole, (int) (i % length), &list->items[i]);
	return list != NULL && ff_lang_made(e, position, list, out);
}

/* False when the result is no int64. */
static bool
integer_arithmetic(FfOperator op, int64 a, int64 b, int64 *out)
{
	switch (op)
	{
		case FF_ADD:
			return !pg_add_s64_overflow(a, b, out);
		case FF_SUBTRACT:
			return !pg_sub_s64_overflow(a, b, out);
		case FF_MULTIPLY:
			return !pg_mul_s64_overflow(a, b, out);
		default:
			if (b == -1)
				return op == FF_MODULO ? (*out = 0, true) : !pg_sub_s64_overflow(0, a, out);
			*out = op == FF_MODULO ? a % b : a / b;
			if (op == FF_MODULO && *out != 0 && (*out < 0) != (b < 0))
				*out += b;
			return op == FF_MODULO || a % b == 0;
	}
}

static bool
is_below_zero(Numeric number)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(number),
											 NumericGetDatum(int64_to_numeric(0)))) < 0;
}

/* The remainder takes the divisor's sign. */
static Numeric
modulo(Numeric a, Numeric b, bool *failed)
{
	Numeric rest = numeric_mod_opt_error(a, b, failed);
	FfValue v = {0};

	if (*failed)
		return rest;
	ff_set_numeric(&v, rest);
	if (ff_value_truthy(&v) && is_below_zero(rest) != is_below_zero(b))
		return numeric_add_opt_error(rest, b, failed);
	return rest;
}

static Numeric
numeric_arithmetic(FfOperator op, Numeric a, Numeric b, bool *failed)
{
	Numeric result;

	switch (op)
	{
		case FF_ADD:
			return numeric_add_opt_error(a, b, failed);
		case FF_SUBTRACT:
			return numeric_sub_opt_error(a, b, failed);
		case FF_MULTIPLY:
			return numeric_mul_opt_error(a, b, failed);
		case FF_MODULO:
			return modulo(a, b, failed);
		default:
			result = numeric_div_opt_error(a, b, failed);
			if (*failed)
				return NULL;
			return DatumGetNumeric(
				DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(result)));
	}
}

/* Long multiplication and division take time by the product of the lengths. */
static int64
cost_of(FfOperator op, Numeric a, Numeric b)
{
	int64 x = ff_numeric_length(a) / 2;
	int64 y = ff_numeric_length(b) / 2;

	return x + y + (op == FF_ADD || op == FF_SUBTRACT ? 0 : (x + y) * y / 64);
}

static bool
calculate(FfEvaluation *e, int position, FfOperator op, const FfValue *a, const FfValue *b,
		  FfValue *out)
{
	bool	failed = false;
	Numeric x;
	Numeric y;
	Numeric result;

	if ((op == FF_DIVIDE || op == FF_MODULO) && !ff_value_truthy(b))
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_DIVISION, "division by zero");
	if (a->kind == FF_INTEGER && b->kind == FF_INTEGER &&
		integer_arithmetic(op, a->u.integer, b->u.integer, &out->u.integer))
	{
		out->kind = FF_INTEGER;
		return true;
	}
	ff_lang_use_scratch(e);
	x = ff_value_numeric(a);
	y = ff_value_numeric(b);
	if (!ff_lang_pay(e, position, cost_of(op, x, y)))
		return false;
	result = numeric_arithmetic(op, x, y, &failed);
	if (failed)
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_LIMIT, "the number is too large");
	ff_set_numeric(out, result);
	return true;
}

bool
ff_lang_operate(FfEvaluation *e, int position, FfOperator op, const FfValue *a, const FfValue *b,
				FfValue *out)
{
	if (ff_value_is_number(a) && ff_value_is_number(b))
		return calculate(e, position, op, a, b, out);
	if (op == FF_ADD && a->kind == FF_TEXT && b->kind == FF_TEXT)
		return join_texts(e, position, a, b, out);
	if (op == FF_ADD && a->kind == FF_LIST && b->kind == FF_LIST)
		return join_lists(e, position, a, b, out);
	if (op == FF_MULTIPLY && b->kind == FF_INTEGER && (a->kind == FF_TEXT || a->kind == FF_LIST))
		return repeated(e, position, a, b->u.integer, out);
	if (op == FF_MULTIPLY && a->kind == FF_INTEGER && (b->kind == FF_TEXT || b->kind == FF_LIST))
		return repeated(e, position, b, a->u.integer, out);
	return fail_operands(e, position, op, a, b);
}

/* --- comparisons --- */

static bool
in_list(FfEvaluation *e, int position, const FfValue *item, const FfValue *list, bool *result)
{
	int count = ff_value_count(list);

	for (int i = 0; i < count && !*result; i++)
	{
		FfValue candidate = {0};

		ff_value_item(list, i, &candidate);
		if (!ff_lang_pay(e, position, 4) || !ff_value_equal(e, position, item, &candidate, result))
			return false;
	}
	return true;
}

bool
ff_lang_in(FfEvaluation *e, int position, const FfValue *item, const FfValue *whole, bool *result)
{
	JsonbValue ignored;

	*result = false;
	if (whole->kind == FF_LIST)
		return in_list(e, position, item, whole, result);
	if (whole->kind == FF_OBJECT && item->kind == FF_TEXT)
		*result = getKeyJsonValueFromContainer(whole->u.stored, item->u.text, item->length,
											   &ignored) != NULL;
	else if (whole->kind == FF_TEXT && item->kind == FF_TEXT)
		*result = item->length == 0 ||
				  memmem(whole->u.text, whole->length, item->u.text, item->length) != NULL;
	else
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_TYPE, "%s cannot be in %s",
							ff_value_kind(item), ff_value_kind(whole));
	return ff_lang_pay(e, position, whole->length / 8);
}

/*
 * Two members that are both missing are not equal: a wait for the order's id must not meet an event
 * when neither has one. Each is equal to a null that is written.
 */
bool
ff_lang_compare(FfEvaluation *e, int position, FfOperator how, const FfValue *a, const FfValue *b,
				bool *result)
{
	int	 order = 0;
	bool unordered = false;

	if (how == FF_EQ || how == FF_NE)
	{
		if (!ff_value_equal(e, position, a, b, result))
			return false;
		if (ff_value_is_missing(a) && ff_value_is_missing(b))
			*result = false;
		*result = *result == (how == FF_EQ);
		return true;
	}
	if (how == FF_IN || how == FF_NOT_IN)
	{
		if (!ff_lang_in(e, position, a, b, result))
			return false;
		*result = *result == (how == FF_IN);
		return true;
	}
	if (!ff_value_compare(e, position, a, b, &order, &unordered))
		return false;
	*result = !unordered && (how == FF_LT	? order < 0
							 : how == FF_LE ? order <= 0
							 : how == FF_GT ? order > 0
											: order >= 0);
	return true;
}
