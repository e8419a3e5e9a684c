/*
 * value.c - values: read from JSON, written to JSON, compared (see value.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "lang/value.h"
#include "util/errors.h"

#define MAX_DIGITS 10000 /* of a number that is written, on each side of the point */

/* --- numbers ---
 *
 * A Numeric in jsonb is as it is on disk, a form that cannot change without breaking pg_upgrade:
 * base 10000 digits after one header word (short) or two (long). Small integers are read from it
 * directly, which is most of what a filter's comparison costs otherwise.
 */
typedef struct Digits
{
	bool		 negative;
	int			 scale;	 /* decimal digits shown after the point */
	int			 weight; /* of the first digit: its power of 10000 */
	int			 count;
	const int16 *digits;
} Digits;

#define NUMERIC_FORM 0xC000
#define NUMERIC_SHORT_FORM 0x8000
#define SHORT_NEGATIVE 0x2000
#define LONG_NEGATIVE 0x4000

static void
read_digits(Numeric number, Digits *out)
{
	const uint16 *words = (const uint16 *) VARDATA(number);
	int			  header = (words[0] & NUMERIC_FORM) == NUMERIC_SHORT_FORM ? 1 : 2;

	if (header == 1)
	{
		out->negative = (words[0] & SHORT_NEGATIVE) != 0;
		out->scale = (words[0] & 0x1F80) >> 7;
		out->weight = (words[0] & 0x3F) - (words[0] & 0x40);
	}
	else
	{
		out->negative = (words[0] & NUMERIC_FORM) == LONG_NEGATIVE;
		out->scale = words[0] & 0x3FFF;
		out->weight = (int16) words[1];
	}
	out->count = (int) ((VARSIZE(number) - VARHDRSZ) / sizeof(int16)) - header;
	out->digits = (const int16 *) words + header;
}

/* Integers below 10^16, which fit without a look at overflow. */
static bool
small_integer(Numeric number, int64 *out)
{
	Digits d;
	int64  value = 0;

	read_digits(number, &d);
	if (d.scale != 0 || d.weight > 3 || d.count > d.weight + 1)
		return false;
	for (int i = 0; i < d.count; i++)
		value = value * 10000 + d.digits[i];
	for (int i = d.count; i > 0 && i <= d.weight; i++)
		value *= 10000;
	*out = d.negative ? -value : value;
	return true;
}

int
ff_numeric_length(Numeric number)
{
	Digits d;

	read_digits(number, &d);
	return Max(d.weight + 1, 1) * 4 + d.scale + 2;
}

static int
integer_length(int64 value)
{
	int length = value < 0 ? 2 : 1;

	while (value > 9 || value < -9)
	{
		value /= 10;
		length++;
	}
	return length;
}

void
ff_set_numeric(FfValue *out, Numeric value)
{
	if (small_integer(value, &out->u.integer))
		out->kind = FF_INTEGER;
	else
	{
		out->kind = FF_NUMERIC;
		out->u.numeric = value;
	}
}

Numeric
ff_value_numeric(const FfValue *v)
{
	return v->kind == FF_INTEGER ? int64_to_numeric(v->u.integer) : v->u.numeric;
}

/* The digits of an exponent with its sign; false when there are none or too many to matter. */
static bool
parse_exponent(const char *text, int length, int *exponent)
{
	int sign = length > 0 && *text == '-' ? -1 : 1;
	int i = length > 0 && (*text == '-' || *text == '+') ? 1 : 0;

	*exponent = 0;
	if (i == length)
		return false;
	for (; i < length; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
		*exponent = Min(*exponent * 10 + (text[i] - '0'), 1000000);
	}
	*exponent *= sign;
	return true;
}

int
ff_value_parse_number(const char *text, int length, FfValue *out)
{
	int start = length > 0 && (*text == '-' || *text == '+') ? 1 : 0;
	int whole = 0;
	int part = 0;
	int exponent = 0;
	int i = start;

	for (; i < length && text[i] >= '0' && text[i] <= '9'; i++)
		whole++;
	if (i < length && text[i] == '.')
	{
		for (i++; i < length && text[i] >= '0' && text[i] <= '9'; i++)
			part++;
		if (part == 0)
			return FF_ERR_EXPRESSION_TYPE;
	}
	if (whole + part == 0)
		return FF_ERR_EXPRESSION_TYPE;
	if (i < length &&
		((text[i] | 32) != 'e' || !parse_exponent(text + i + 1, length - i - 1, &exponent)))
		return FF_ERR_EXPRESSION_TYPE;
	if (whole + exponent > MAX_DIGITS || part - exponent > MAX_DIGITS || whole > MAX_DIGITS ||
		part > MAX_DIGITS)
		return FF_ERR_EXPRESSION_LIMIT;
	ff_set_numeric(out, DatumGetNumeric(
							DirectFunctionCall3(numeric_in, CStringGetDatum(pnstrdup(text, length)),
												ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
	return 0;
}

/* --- from and to JSON --- */

void
ff_value_of_json(const JsonbValue *json, FfValue *out)
{
	out->made = NULL;
	switch (json->type)
	{
		case jbvBool:
			ff_set_bool(out, json->val.boolean);
			break;
		case jbvNumeric:
			ff_set_numeric(out, json->val.numeric);
			break;
		case jbvString:
			ff_set_text(out, json->val.string.val, json->val.string.len);
			break;
		case jbvBinary:
			out->kind = JsonContainerIsObject(json->val.binary.data) ? FF_OBJECT : FF_LIST;
			out->u.stored = json->val.binary.data;
			out->length = json->val.binary.len;
			break;
		default:
			ff_set_null(out);
	}
}

void
ff_value_of_document(Jsonb *document, FfValue *out)
{
	JsonbValue json;

	if (JB_ROOT_IS_SCALAR(document))
		JsonbExtractScalar(&document->root, &json);
	else
	{
		json.type = jbvBinary;
		json.val.binary.data = &document->root;
		json.val.binary.len = VARSIZE(document) - VARHDRSZ;
	}
	ff_value_of_json(&json, out);
}

/* Anything but a list that was made. */
static void
as_json(const FfValue *v, JsonbValue *out)
{
	switch (v->kind)
	{
		case FF_NULL:
			out->type = jbvNull;
			break;
		case FF_BOOL:
			out->type = jbvBool;
			out->val.boolean = v->u.boolean;
			break;
		case FF_INTEGER:
		case FF_NUMERIC:
			out->type = jbvNumeric;
			out->val.numeric = ff_value_numeric(v);
			break;
		case FF_TEXT:
			out->type = jbvString;
			out->val.string.val = unconstify(char *, v->u.text);
			out->val.string.len = v->length;
			break;
		case FF_LIST:
		case FF_OBJECT:
			out->type = jbvBinary;
			out->val.binary.data = v->u.stored;
			out->val.binary.len = v->length;
	}
}

/* A list's depth is bounded when it is made, and with it this recursion. */
void
ff_value_push(JsonbParseState **state, JsonbIteratorToken token, const FfValue *v)
{
	JsonbValue json;

	if (v->kind == FF_LIST && v->made != NULL)
	{
		pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
		for (int i = 0; i < v->made->count; i++)
			ff_value_push(state, WJB_ELEM, &v->made->items[i]);
		pushJsonbValue(state, WJB_END_ARRAY, NULL);
		return;
	}
	as_json(v, &json);
	pushJsonbValue(state, token, &json);
}

Jsonb *
ff_value_document(const FfValue *v)
{
	JsonbParseState *state = NULL;
	JsonbValue		*result = NULL;
	JsonbValue		 json;

	if (v->kind != FF_LIST || v->made == NULL)
	{
		as_json(v, &json);
		return JsonbValueToJsonb(&json);
	}
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < v->made->count; i++)
		ff_value_push(&state, WJB_ELEM, &v->made->items[i]);
	result = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return JsonbValueToJsonb(result);
}

/* --- what a value is --- */

const char *
ff_value_kind(const FfValue *v)
{
	static const char *const kinds[] = {
		[FF_NULL] = "null",		   [FF_BOOL] = "a boolean", [FF_INTEGER] = "a number",
		[FF_NUMERIC] = "a number", [FF_TEXT] = "a text",	[FF_LIST] = "a list",
		[FF_OBJECT] = "an object"};

	return kinds[v->kind];
}

static bool
numeric_is_zero(Numeric number)
{
	Digits d;

	read_digits(number, &d);
	return d.count == 0;
}

bool
ff_value_truthy(const FfValue *v)
{
	switch (v->kind)
	{
		case FF_NULL:
			return false;
		case FF_BOOL:
			return v->u.boolean;
		case FF_INTEGER:
			return v->u.integer != 0;
		case FF_NUMERIC:
			return !numeric_is_zero(v->u.numeric);
		case FF_TEXT:
			return v->length > 0;
		case FF_LIST:
		case FF_OBJECT:
			return ff_value_count(v) > 0;
	}
	return false;
}

int
ff_value_count(const FfValue *v)
{
	return v->kind == FF_LIST && v->made != NULL ? v->made->count
												 : (int) JsonContainerSize(v->u.stored);
}

void
ff_value_item(const FfValue *list, int i, FfValue *out)
{
	JsonbValue *json;

	if (list->made != NULL)
	{
		*out = list->made->items[i];
		return;
	}
	json = getIthJsonbValueFromContainer(list->u.stored, (uint32) i);
	ff_value_of_json(json, out);
	pfree(json);
}

int64
ff_value_bytes(const FfValue *v)
{
	switch (v->kind)
	{
		case FF_NULL:
		case FF_BOOL:
			return 5;
		case FF_INTEGER:
			return integer_length(v->u.integer);
		case FF_NUMERIC:
			return ff_numeric_length(v->u.numeric);
		case FF_TEXT:
			return v->length + 2;
		case FF_LIST:
		case FF_OBJECT:
			return v->kind == FF_LIST && v->made != NULL ? v->made->bytes : v->length;
	}
	return 0;
}

bool
ff_lang_made(FfEvaluation *e, int position, FfList *list, FfValue *out)
{
	list->depth = 1;
	list->bytes = 2;
	for (int i = 0; i < list->count; i++)
	{
		const FfValue *item = &list->items[i];

		list->bytes += ff_value_bytes(item) + 1;
		if (item->kind == FF_LIST && item->made != NULL)
			list->depth = Max(list->depth, item->made->depth + 1);
	}
	if (list->bytes > ff_lang_max_output)
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_LIMIT,
							"a list of %lld bytes is made, at most %d are allowed",
							(long long) list->bytes, ff_lang_max_output);
	if (list->depth > ff_lang_max_depth)
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_LIMIT,
							"a list of more than %d levels is made", ff_lang_max_depth);
	out->kind = FF_LIST;
	out->made = list;
	return true;
}

/* --- equality and order --- */

static int
compare_numbers(const FfValue *a, const FfValue *b)
{
	Numeric x;
	Numeric y;
	int		order;

	if (a->kind == FF_INTEGER && b->kind == FF_INTEGER)
		return a->u.integer < b->u.integer ? -1 : a->u.integer > b->u.integer;
	x = ff_value_numeric(a);
	y = ff_value_numeric(b);
	order = DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(x), NumericGetDatum(y)));
	if (a->kind == FF_INTEGER)
		pfree(x);
	if (b->kind == FF_INTEGER)
		pfree(y);
	return order;
}

/* Bytes of UTF-8 are in the order of code points. */
static int
compare_texts(const FfValue *a, const FfValue *b)
{
	int order = memcmp(a->u.text, b->u.text, Min(a->length, b->length));

	return order != 0 ? order : a->length - b->length;
}

static bool
too_deep(FfEvaluation *e, int position)
{
	return stack_is_too_deep() && !ff_lang_fail(e, position, FF_ERR_EXPRESSION_LIMIT,
												"the values are nested too deeply to be compared");
}

/* Where one of the two was made here, item by item. */
static bool
equal_lists(FfEvaluation *e, int position, const FfValue *a, const FfValue *b, bool *equal)
{
	int count = ff_value_count(a);

	*equal = count == ff_value_count(b);
	if (too_deep(e, position))
		return false;
	for (int i = 0; i < count && *equal; i++)
	{
		FfValue x;
		FfValue y;

		ff_value_item(a, i, &x);
		ff_value_item(b, i, &y);
		if (!ff_value_equal(e, position, &x, &y, equal))
			return false;
	}
	return true;
}

bool
ff_value_equal(FfEvaluation *e, int position, const FfValue *a, const FfValue *b, bool *equal)
{
	*equal = false;
	if (ff_value_is_number(a) && ff_value_is_number(b))
		*equal = compare_numbers(a, b) == 0;
	else if (a->kind != b->kind)
		return true;
	else if (a->kind == FF_TEXT)
		*equal = a->length == b->length && memcmp(a->u.text, b->u.text, a->length) == 0;
	else if (a->kind == FF_BOOL)
		*equal = a->u.boolean == b->u.boolean;
	else if (a->kind == FF_NULL)
		*equal = true;
	else if (a->kind == FF_LIST && (a->made != NULL || b->made != NULL))
		return ff_lang_pay(e, position, FF_STEP) && equal_lists(e, position, a, b, equal);
	else
	{
		if (!ff_lang_pay(e, position, FF_STEP + ((int64) a->length + b->length) / 4))
			return false;
		*equal = compareJsonbContainers(a->u.stored, b->u.stored) == 0;
	}
	return ff_lang_pay(e, position, 4);
}

static bool
compare_lists(FfEvaluation *e, int position, const FfValue *a, const FfValue *b, int *order,
			  bool *unordered)
{
	int common = Min(ff_value_count(a), ff_value_count(b));

	if (too_deep(e, position))
		return false;
	for (int i = 0; i < common; i++)
	{
		FfValue x;
		FfValue y;
		bool	equal;

		ff_value_item(a, i, &x);
		ff_value_item(b, i, &y);
		if (!ff_value_equal(e, position, &x, &y, &equal))
			return false;
		if (!equal)
			return ff_value_compare(e, position, &x, &y, order, unordered);
	}
	*order = ff_value_count(a) - ff_value_count(b);
	return true;
}

bool
ff_value_compare(FfEvaluation *e, int position, const FfValue *a, const FfValue *b, int *order,
				 bool *unordered)
{
	if (!ff_lang_pay(e, position, 4))
		return false;
	if (ff_value_is_number(a) && ff_value_is_number(b))
		*order = compare_numbers(a, b);
	else if (a->kind == FF_TEXT && b->kind == FF_TEXT)
		*order = compare_texts(a, b);
	else if (a->kind == FF_LIST && b->kind == FF_LIST)
		return compare_lists(e, position, a, b, order, unordered);
	else if (e->filter && unordered != NULL && (a->kind == FF_NULL || b->kind == FF_NULL))
		*unordered = true;
	else
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_TYPE, "%s and %s have no order",
							ff_value_kind(a), ff_value_kind(b));
	return true;
}
