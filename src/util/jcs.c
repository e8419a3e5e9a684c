/*
 * jcs.c - RFC 8785 serialisation (see jcs.h).
 *
 * Keys are sorted by UTF-16 code units; jsonb keeps them by length, so every object's members are
 * gathered and sorted. Numbers are laid out as ECMA-262's Number::toString does from the shortest
 * digits that round-trip.
 */
#include "postgres.h"

#include <float.h>

#include "common/shortest_dec.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "util/jcs.h"

static void append_container(StringInfo out, JsonbContainer *container);

void
ff_jcs_append_string(StringInfo out, const char *text, int length)
{
	static const char hex[] = "0123456789abcdef";
	int				  start = 0;

	appendStringInfoChar(out, '"');
	for (int i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) text[i];
		const char	 *escape;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		appendBinaryStringInfo(out, text + start, i - start);
		start = i + 1;
		switch (c)
		{
			case '"':
				escape = "\\\"";
				break;
			case '\\':
				escape = "\\\\";
				break;
			case '\b':
				escape = "\\b";
				break;
			case '\f':
				escape = "\\f";
				break;
			case '\n':
				escape = "\\n";
				break;
			case '\r':
				escape = "\\r";
				break;
			case '\t':
				escape = "\\t";
				break;
			default:
				appendStringInfo(out, "\\u00%c%c", hex[c >> 4], hex[c & 15]);
				continue;
		}
		appendStringInfoString(out, escape);
	}
	appendBinaryStringInfo(out, text + start, length - start);
	appendStringInfoChar(out, '"');
}

/* Splits PostgreSQL's shortest text of a double into its digits and the place of the decimal point
 * after them. */
static int
shortest_digits(double value, char *digits, int *point)
{
	char text[DOUBLE_SHORTEST_DECIMAL_LEN];
	int	 count = 0;
	int	 exponent = 0;
	int	 before = -1;

	double_to_shortest_decimal_buf(value, text);
	for (char *c = text; *c != '\0'; c++)
	{
		if (*c == 'e')
		{
			exponent = atoi(c + 1);
			break;
		}
		if (*c == '.')
			before = count;
		else
			digits[count++] = *c;
	}
	if (before < 0)
		before = count;
	while (count > 1 && digits[0] == '0')
	{
		memmove(digits, digits + 1, --count);
		before--;
	}
	while (count > 1 && digits[count - 1] == '0')
		count--;
	*point = before + exponent;
	return count;
}

/*
 * PostgreSQL's shortest text never lies on the border halfway to the next double; ECMAScript's may,
 * where reading rounds to even. A border has as few digits only between 2^54 and 10^40, where fewer
 * digits are tried until they no longer read back as the value.
 */
static int
fewer_digits(double value, char *digits, int *point, int count)
{
	char text[DOUBLE_SHORTEST_DECIMAL_LEN + 8];

	while (count > 1)
	{
		snprintf(text, sizeof(text), "%.*e", count - 2, value);
		if (strtod(text, NULL) != value)
			break;
		*point = atoi(strchr(text, 'e') + 1) + 1;
		digits[0] = text[0];
		memcpy(digits + 1, text + 2, Max(count - 2, 0));
		for (count--; count > 1 && digits[count - 1] == '0';)
			count--;
	}
	return count;
}

/* ECMA-262, Number::toString with radix 10: n is the point's place, k the number of digits. */
static void
append_double(StringInfo out, double value)
{
	char digits[DOUBLE_SHORTEST_DECIMAL_LEN] = "";
	int	 n = 0;
	int	 k;

	if (value == 0)
	{
		appendStringInfoChar(out, '0');
		return;
	}
	if (value < 0)
	{
		appendStringInfoChar(out, '-');
		value = -value;
	}
	k = shortest_digits(value, digits, &n);
	if (value > 1e16 && value < 1e40)
		k = fewer_digits(value, digits, &n, k);
	if (k <= n && n <= 21)
		appendStringInfo(out, "%.*s%.*s", k, digits, n - k, "000000000000000000000");
	else if (0 < n && n <= 21)
		appendStringInfo(out, "%.*s.%.*s", n, digits, k - n, digits + n);
	else if (-6 < n && n <= 0)
		appendStringInfo(out, "0.%.*s%.*s", -n, "000000", k, digits);
	else if (k == 1)
		appendStringInfo(out, "%ce%c%d", digits[0], n - 1 < 0 ? '-' : '+', abs(n - 1));
	else
		appendStringInfo(out, "%c.%.*se%c%d", digits[0], k - 1, digits + 1, n - 1 < 0 ? '-' : '+',
						 abs(n - 1));
}

static Numeric
constant(const char *text)
{
	MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
	Numeric		  number = DatumGetNumeric(
			  DirectFunctionCall3(numeric_in, CStringGetDatum(text), InvalidOid, Int32GetDatum(-1)));

	MemoryContextSwitchTo(before);
	return number;
}

static bool
less(Numeric a, Numeric b)
{
	return DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(a), NumericGetDatum(b)));
}

/*
 * Numbers beyond the doubles, or so small that they read as 0, are told by comparing: the text of
 * one like 1e131071 is long out of all proportion. False when the number is neither.
 */
static bool
append_extreme(StringInfo out, Numeric number)
{
	static Numeric highest = NULL;
	static Numeric lowest;
	static Numeric tiny;
	static Numeric minus_tiny;

	if (highest == NULL)
	{
		lowest = constant("-1.7976931348623157e308");
		tiny = constant("1e-324");
		minus_tiny = constant("-1e-324");
		highest = constant("1.7976931348623157e308");
	}
	if (less(highest, number))
		append_double(out, DBL_MAX);
	else if (less(number, lowest))
		append_double(out, -DBL_MAX);
	else if (less(number, tiny) && less(minus_tiny, number))
		append_double(out, 0);
	else
		return false;
	return true;
}

static void
append_number(StringInfo out, Numeric number)
{
	char  *text;
	int	   length;
	double value;

	if (append_extreme(out, number))
		return;
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	length = strlen(text);

	/* Up to 15 digits an integer is its own canonical text. */
	if (length <= 15 && strspn(text, "-0123456789") == (size_t) length)
	{
		appendBinaryStringInfo(out, text, length);
		pfree(text);
		return;
	}
	value = strtod(text, NULL);
	append_double(out, value);
	pfree(text);
}

static void
append_value(StringInfo out, JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(out, "null");
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvNumeric:
			append_number(out, value->val.numeric);
			break;
		case jbvString:
			ff_jcs_append_string(out, value->val.string.val, value->val.string.len);
			break;
		case jbvBinary:
			append_container(out, value->val.binary.data);
			break;
		default:
			elog(ERROR, "unexpected jsonb value of type %d", (int) value->type);
	}
}

typedef struct Member
{
	JsonbValue key;
	JsonbValue value;
} Member;

/*
 * Orders by UTF-16 code units. Bytes of UTF-8 order code points; the two differ only between
 * U+E000..U+FFFF (lead bytes EE, EF) and the supplementary planes (lead bytes F0 and up), whose
 * surrogates come first.
 */
static int
compare_members(const void *a, const void *b)
{
	const JsonbValue *x = &((const Member *) a)->key;
	const JsonbValue *y = &((const Member *) b)->key;
	int				  common = Min(x->val.string.len, y->val.string.len);

	for (int i = 0; i < common; i++)
	{
		unsigned char p = (unsigned char) x->val.string.val[i];
		unsigned char q = (unsigned char) y->val.string.val[i];

		if (p == q)
			continue;
		if ((p == 0xee || p == 0xef) && q >= 0xf0)
			return 1;
		if ((q == 0xee || q == 0xef) && p >= 0xf0)
			return -1;
		return p < q ? -1 : 1;
	}
	return x->val.string.len - y->val.string.len;
}

static void
append_object(StringInfo out, JsonbContainer *container)
{
	int				   count = JsonContainerSize(container);
	Member			  *members = palloc(sizeof(Member) * Max(count, 1));
	JsonbIterator	  *iterator = JsonbIteratorInit(container);
	JsonbValue		   part;
	JsonbIteratorToken token;
	int				   filled = 0;

	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			members[filled].key = part;
		else if (token == WJB_VALUE)
			members[filled++].value = part;
	}
	qsort(members, filled, sizeof(Member), compare_members);
	appendStringInfoChar(out, '{');
	for (int i = 0; i < filled; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		ff_jcs_append_string(out, members[i].key.val.string.val, members[i].key.val.string.len);
		appendStringInfoChar(out, ':');
		append_value(out, &members[i].value);
	}
	appendStringInfoChar(out, '}');
	pfree(members);
}

static void
append_array(StringInfo out, JsonbContainer *container)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(container);
	JsonbValue		   part;
	JsonbIteratorToken token;
	bool			   first = true;

	appendStringInfoChar(out, '[');
	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		append_value(out, &part);
	}
	appendStringInfoChar(out, ']');
}

/* Recursion is as deep as the document, which jsonb_in's own stack check has bounded; checked again
 * for documents made otherwise. */
static void
append_container(StringInfo out, JsonbContainer *container)
{
	JsonbValue scalar;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (JsonContainerIsScalar(container))
	{
		JsonbExtractScalar(container, &scalar);
		append_value(out, &scalar);
	}
	else if (JsonContainerIsObject(container))
		append_object(out, container);
	else
		append_array(out, container);
}

void
ff_jcs_append(StringInfo out, Jsonb *value)
{
	append_container(out, &value->root);
}

char *
ff_jcs_text(Jsonb *value)
{
	StringInfoData out;

	initStringInfo(&out);
	ff_jcs_append(&out, value);
	return out.data;
}

PG_FUNCTION_INFO_V1(ff_sql_jcs);
Datum
ff_sql_jcs(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(ff_jcs_text(PG_GETARG_JSONB_P(0))));
}
