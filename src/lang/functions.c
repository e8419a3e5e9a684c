/*
 * functions.c - the functions an expression can call: the table, conversions, numbers and time.
 *
 * Those on text are in text.c, those on lists in list.c, matches() is in regex.c. A function gets
 * its arguments evaluated and as many as the table allows; it checks what they are. Times and
 * durations are numbers of milliseconds, as an event's ts is.
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"

#include "lang/node.h"
#include "util/duration.h"
#include "util/errors.h"
#include "util/json.h"

#define ANY_COUNT FF_MAX_ARGUMENTS

static const FfFunction functions[] = {
	{"size", FF_PLAIN, 1, 1, ff_fn_size},
	{"len", FF_PLAIN, 1, 1, ff_fn_size},
	{"has", FF_HAS, 1, 1, NULL},
	{"default", FF_DEFAULT, 2, 2, NULL},
	{"coalesce", FF_DEFAULT, 1, ANY_COUNT, NULL},
	{"string", FF_PLAIN, 1, 1, ff_fn_string},
	{"int", FF_PLAIN, 1, 1, ff_fn_int},
	{"float", FF_PLAIN, 1, 1, ff_fn_float},
	{"double", FF_PLAIN, 1, 1, ff_fn_float},
	{"bool", FF_PLAIN, 1, 1, ff_fn_bool},
	{"lower", FF_PLAIN, 1, 1, ff_fn_lower},
	{"lowerAscii", FF_PLAIN, 1, 1, ff_fn_lower},
	{"upper", FF_PLAIN, 1, 1, ff_fn_upper},
	{"upperAscii", FF_PLAIN, 1, 1, ff_fn_upper},
	{"trim", FF_PLAIN, 1, 1, ff_fn_trim},
	{"startsWith", FF_PLAIN, 2, 2, ff_fn_starts_with},
	{"endsWith", FF_PLAIN, 2, 2, ff_fn_ends_with},
	{"contains", FF_PLAIN, 2, 2, ff_fn_contains},
	{"matches", FF_PLAIN, 2, 2, ff_fn_matches},
	{"split", FF_PLAIN, 2, 2, ff_fn_split},
	{"join", FF_PLAIN, 1, 2, ff_fn_join},
	{"replace", FF_PLAIN, 3, 3, ff_fn_replace},
	{"abs", FF_PLAIN, 1, 1, ff_fn_abs},
	{"min", FF_PLAIN, 1, ANY_COUNT, ff_fn_min},
	{"max", FF_PLAIN, 1, ANY_COUNT, ff_fn_max},
	{"round", FF_PLAIN, 1, 2, ff_fn_round},
	{"floor", FF_PLAIN, 1, 1, ff_fn_floor},
	{"ceil", FF_PLAIN, 1, 1, ff_fn_ceil},
	{"sum", FF_PLAIN, 1, 1, ff_fn_sum},
	{"keys", FF_PLAIN, 1, 1, ff_fn_keys},
	{"values", FF_PLAIN, 1, 1, ff_fn_values},
	{"sort", FF_PLAIN, 1, 1, ff_fn_sort},
	{"unique", FF_PLAIN, 1, 1, ff_fn_unique},
	{"now", FF_PLAIN, 0, 0, ff_fn_now},
	{"timestamp", FF_PLAIN, 1, 1, ff_fn_timestamp},
	{"duration", FF_PLAIN, 1, 1, ff_fn_duration},
	{"all", FF_ALL, 3, 3, NULL},
	{"exists", FF_EXISTS, 3, 3, NULL},
	{"filter", FF_FILTER, 3, 3, NULL},
	{"map", FF_MAP, 3, 3, NULL},
};

static const FfFunction template_functions[] = {
	{"range", FF_PLAIN, 1, 3, ff_filter_range},
};

static const FfFunction *
find(const FfFunction *table, int count, const char *name)
{
	for (int i = 0; i < count; i++)
	{
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

const FfFunction *
ff_lang_function(const char *name, FfTable table)
{
	const FfFunction *function;

	if (table == FF_TABLE_FILTERS)
		return find(ff_filters, ff_filter_count, name);
	if (table == FF_TABLE_TEMPLATES)
		return find(template_functions, lengthof(template_functions), name);
	function = find(functions, lengthof(functions), name);
	return function != NULL && (function->special >= FF_ALL) == (table == FF_TABLE_MACROS)
			   ? function
			   : NULL;
}

/* --- for messages --- */

static const char *
nearest_name(const FfFunction *table, int count, const char *name)
{
	FfNearest nearest = {.wanted = name, .length = (int) strlen(name), .distance = 4};

	for (int i = 0; i < count; i++)
		ff_lang_seek(&nearest, table[i].name, (int) strlen(table[i].name));
	return pstrdup(nearest.name);
}

const char *
ff_lang_nearest_function(const char *name)
{
	return nearest_name(functions, lengthof(functions), name);
}

const char *
ff_lang_nearest_filter(const char *name)
{
	return nearest_name(ff_filters, ff_filter_count, name);
}

const char *
ff_lang_filter_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < ff_filter_count; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", ff_filters[i].name);
	return names.data;
}

bool
ff_lang_is_filter(const FfFunction *function)
{
	return function >= ff_filters && function < ff_filters + ff_filter_count;
}

static bool
fail_argument(FfEvaluation *e, const FfNode *node, const char *wanted, const FfValue *v)
{
	return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE, "%s takes %s, not %s",
						node->function->name, wanted, ff_value_kind(v));
}

/* --- conversions --- */

bool
ff_fn_size(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	if (args->kind == FF_LIST || args->kind == FF_OBJECT)
		ff_set_integer(out, ff_value_count(args));
	else if (args->kind == FF_TEXT)
		ff_set_integer(out, pg_mbstrlen_with_len(args->u.text, args->length));
	else
		return fail_argument(e, node, "a text, a list or an object", args);
	return ff_lang_pay(e, node->position, args->kind == FF_TEXT ? args->length / 8 : 0);
}

bool
ff_fn_string(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	StringInfoData text;

	if (args->kind == FF_TEXT)
	{
		*out = *args;
		return true;
	}
	ff_lang_use_scratch(e);
	initStringInfo(&text);
	if (!ff_value_write(e, node->position, &text, args))
		return false;
	ff_set_text(out, text.data, text.len);
	return true;
}

static bool
to_number(FfEvaluation *e, const FfNode *node, const FfValue *v, FfValue *out)
{
	int code;

	if (ff_value_is_number(v))
		*out = *v;
	else if (v->kind == FF_BOOL)
		ff_set_integer(out, v->u.boolean);
	else if (v->kind != FF_TEXT)
		return fail_argument(e, node, "a number or a text", v);
	else
	{
		if (!ff_lang_pay(e, node->position, v->length))
			return false;
		ff_lang_use_scratch(e);
		code = ff_value_parse_number(v->u.text, v->length, out);
		if (code != 0)
			return ff_lang_fail(e, node->position, code,
								code == FF_ERR_EXPRESSION_LIMIT
									? "the number is too large or too precise"
									: "\"%.*s\" is not a number",
								Min(v->length, 100), v->u.text);
	}
	return true;
}

bool
ff_fn_float(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	return to_number(e, node, args, out);
}

bool
ff_fn_bool(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	ff_set_bool(out, ff_value_truthy(args));
	return true;
}

/* --- numbers --- */

/* Applies a function of numeric to what is not an integer already. */
static bool
apply(FfEvaluation *e, const FfNode *node, const FfValue *v, PGFunction function, FfValue *out)
{
	if (!ff_value_is_number(v))
		return fail_argument(e, node, "a number", v);
	if (v->kind == FF_INTEGER)
	{
		*out = *v;
		return true;
	}
	if (!ff_lang_pay(e, node->position, ff_numeric_length(v->u.numeric)))
		return false;
	ff_lang_use_scratch(e);
	ff_set_numeric(out, DatumGetNumeric(DirectFunctionCall2(function, NumericGetDatum(v->u.numeric),
															Int32GetDatum(0))));
	return true;
}

bool
ff_fn_int(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	FfValue number = {0};

	return to_number(e, node, args, &number) && apply(e, node, &number, numeric_trunc, out);
}

bool
ff_fn_abs(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	if (args->kind != FF_INTEGER || args->u.integer == PG_INT64_MIN)
		return apply(e, node, args, numeric_abs, out);
	ff_set_integer(out, args->u.integer < 0 ? -args->u.integer : args->u.integer);
	return true;
}

bool
ff_fn_floor(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	return apply(e, node, args, numeric_floor, out);
}

bool
ff_fn_ceil(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	return apply(e, node, args, numeric_ceil, out);
}

/* round(x) and round(x, digits): halves away from zero. */
bool
ff_fn_round(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	int64 digits;

	if (node->count == 1)
		return apply(e, node, args, numeric_round, out);
	if (!ff_value_is_number(args))
		return fail_argument(e, node, "a number", args);
	if (args[1].kind != FF_INTEGER)
		return fail_argument(e, node, "an integer for the digits", &args[1]);
	digits = Max(Min(args[1].u.integer, 1000), -1000);
	if (args->kind == FF_INTEGER && digits >= 0)
	{
		*out = *args;
		return true;
	}
	ff_lang_use_scratch(e);
	ff_set_numeric(out, DatumGetNumeric(DirectFunctionCall2(numeric_round,
															NumericGetDatum(ff_value_numeric(args)),
															Int32GetDatum((int32) digits))));
	return ff_lang_pay(e, node->position, ff_numeric_length(ff_value_numeric(args)));
}

/* --- time --- */

static bool
set_milliseconds(FfEvaluation *e, int64 usec, FfValue *out)
{
	if (usec % 1000 == 0)
	{
		ff_set_integer(out, usec / 1000);
		return true;
	}
	ff_lang_use_scratch(e);
	ff_set_numeric(out, int64_div_fast_to_numeric(usec, 3));
	return true;
}

/* The transaction's, so that an expression gives the same all the way through. */
bool
ff_fn_now(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	ff_set_integer(out, ff_unix_us(GetCurrentTransactionStartTimestamp()) / 1000);
	return true;
}

/* A short text, terminated; NULL with an error. */
static const char *
terminated(FfEvaluation *e, const FfNode *node, const FfValue *v, char *buffer, int size)
{
	if (v->kind != FF_TEXT)
	{
		fail_argument(e, node, "a text", v);
		return NULL;
	}
	if (v->length >= size)
		return "";
	memcpy(buffer, v->u.text, v->length);
	buffer[v->length] = '\0';
	return buffer;
}

bool
ff_fn_timestamp(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	char		buffer[64];
	const char *text =
		ff_value_is_number(args) ? NULL : terminated(e, node, args, buffer, sizeof(buffer));
	TimestampTz at;

	*out = *args;
	if (ff_value_is_number(args))
		return true;
	if (text == NULL)
		return false;
	if (!ff_instant_parse(text, &at))
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"\"%.*s\" is not a time like 2026-01-31T12:00:00Z",
							Min(args->length, 100), args->u.text);
	return set_milliseconds(e, ff_unix_us(at), out);
}

bool
ff_fn_duration(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	char		buffer[64];
	const char *text = terminated(e, node, args, buffer, sizeof(buffer));
	int64		usec;

	if (text == NULL)
		return false;
	if (!ff_duration_parse(text, &usec))
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"\"%.*s\" is not a duration like 1h30m", Min(args->length, 100),
							args->u.text);
	return set_milliseconds(e, usec, out);
}
