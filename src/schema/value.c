/*
 * value.c - JSON values as a schema sees them: kinds, equality, numbers, members.
 *
 * Numbers are equal by value (1.0 is 1), as JSON Schema says and jsonb does.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "schema/keyword.h"

#define MAX_SHOWN 60	  /* bytes of a value in a message */
#define BYTES_PER_STEP 64 /* that comparing looks at */

char
ff_kind(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvBinary:
			return JsonContainerIsObject(value->val.binary.data) ? 'o' : 'a';
		case jbvString:
			return 's';
		case jbvNumeric:
			return 'n';
		case jbvBool:
			return 'b';
		default:
			return '0';
	}
}

const char *
ff_kind_name(char kind)
{
	switch (kind)
	{
		case 'o':
			return "an object";
		case 'a':
			return "a list";
		case 's':
			return "a text";
		case 'n':
			return "a number";
		case 'b':
			return "true or false";
		default:
			return "null";
	}
}

void
ff_whole(Jsonb *document, JsonbValue *out)
{
	if (JB_ROOT_IS_SCALAR(document))
		JsonbExtractScalar(&document->root, out);
	else
	{
		out->type = jbvBinary;
		out->val.binary.data = &document->root;
		out->val.binary.len = VARSIZE(document) - VARHDRSZ;
	}
}

bool
ff_member(JsonbContainer *object, const char *key, int length, JsonbValue *out)
{
	return getKeyJsonValueFromContainer(object, key, length, out) != NULL;
}

char *
ff_shown(const JsonbValue *value)
{
	Jsonb *document = JsonbValueToJsonb(unconstify(JsonbValue *, value));
	char  *text = JsonbToCString(NULL, &document->root, VARSIZE(document));
	int	   length = strlen(text);

	if (length <= MAX_SHOWN)
		return text;
	text[pg_mbcliplen(text, length, MAX_SHOWN)] = '\0';
	return psprintf("%s...", text);
}

/* --- walking --- */

void
ff_each(FfEach *each, const JsonbValue *container)
{
	each->iterator = JsonbIteratorInit(container->val.binary.data);
	each->index = -1;
	JsonbIteratorNext(&each->iterator, &each->value, true);
}

bool
ff_next(FfEach *each)
{
	JsonbIteratorToken token = JsonbIteratorNext(&each->iterator, &each->value, true);

	CHECK_FOR_INTERRUPTS();
	each->index++;
	if (token == WJB_KEY)
	{
		each->key = each->value;
		token = JsonbIteratorNext(&each->iterator, &each->value, true);
	}
	return token == WJB_ELEM || token == WJB_VALUE;
}

/* --- numbers --- */

int
ff_compare_numbers(const JsonbValue *a, const JsonbValue *b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a->val.numeric),
											 NumericGetDatum(b->val.numeric)));
}

bool
ff_is_whole(const JsonbValue *number)
{
	Datum value = NumericGetDatum(number->val.numeric);
	Datum whole = DirectFunctionCall2(numeric_trunc, value, Int32GetDatum(0));

	return DatumGetBool(DirectFunctionCall2(numeric_eq, value, whole));
}

/* Digits of a number when written out, which is what dividing takes. */
static int64
digits(const JsonbValue *number)
{
	char *text =
		DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number->val.numeric)));
	int64 count = strlen(text);

	pfree(text);
	return count;
}

bool
ff_is_multiple(FfValidation *v, const JsonbValue *number, const JsonbValue *factor)
{
	Datum rest;
	int64 a = digits(number);
	int64 b = digits(factor);

	if (!ff_schema_pay(v, (a + b) / BYTES_PER_STEP + a * b / 1024))
		return false;
	rest = DirectFunctionCall2(numeric_mod, NumericGetDatum(number->val.numeric),
							   NumericGetDatum(factor->val.numeric));
	return DatumGetBool(
		DirectFunctionCall2(numeric_eq, rest, DirectFunctionCall1(int4_numeric, Int32GetDatum(0))));
}

/* --- equality --- */

bool
ff_same(FfValidation *v, const JsonbValue *a, const JsonbValue *b)
{
	char kind = ff_kind(a);

	if (kind != ff_kind(b))
		return false;
	switch (kind)
	{
		case 's':
			return a->val.string.len == b->val.string.len &&
				   memcmp(a->val.string.val, b->val.string.val, a->val.string.len) == 0;
		case 'n':
			return ff_compare_numbers(a, b) == 0;
		case 'b':
			return a->val.boolean == b->val.boolean;
		case '0':
			return true;
		default:
			return ff_schema_pay(v, Min(a->val.binary.len, b->val.binary.len) / BYTES_PER_STEP) &&
				   compareJsonbContainers(a->val.binary.data, b->val.binary.data) == 0;
	}
}

static int
compare_documents(const void *a, const void *b)
{
	CHECK_FOR_INTERRUPTS();
	return compareJsonbContainers(&(*(Jsonb *const *) a)->root, &(*(Jsonb *const *) b)->root);
}

/* Paid for as a sort: so many comparisons of so many bytes. */
static bool
pay_for_sorting(FfValidation *v, int count, int64 bytes)
{
	int rounds = 1;

	while ((count >> rounds) > 0)
		rounds++;
	return ff_schema_pay(v, (count + bytes / BYTES_PER_STEP) * rounds);
}

bool
ff_all_different(FfValidation *v, JsonbContainer *list)
{
	JsonbValue value = {.type = jbvBinary, .val.binary = {.data = list}};
	int		   count = JsonContainerSize(list);
	int64	   bytes = 0;
	Jsonb	 **items;
	FfEach	   each;
	bool	   different = true;

	if (count < 2 || !pay_for_sorting(v, count, 0))
		return true;
	items = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Jsonb *) * (Size) count);
	for (ff_each(&each, &value); ff_next(&each);)
	{
		items[each.index] = JsonbValueToJsonb(&each.value);
		bytes += VARSIZE(items[each.index]);
	}
	if (!pay_for_sorting(v, 1, bytes) || !pay_for_sorting(v, count, bytes))
		return true;
	qsort(items, count, sizeof(Jsonb *), compare_documents);
	for (int i = 1; i < count && different; i++)
		different = compare_documents(&items[i - 1], &items[i]) != 0;
	return different;
}
