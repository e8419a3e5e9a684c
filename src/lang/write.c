/*
 * write.c - values as compact JSON text, for string() and texts that contain values.
 *
 * Numbers are written exactly. The length is checked before every part, since a short number in the
 * data (1e100000) can be long as text.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "lang/value.h"
#include "util/errors.h"
#include "util/jcs.h"

static bool
grow(FfEvaluation *e, int position, StringInfo out, int64 bytes)
{
	if (e->output + out->len + bytes > ff_lang_max_output)
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_LIMIT,
							"a text of more than %d bytes is made", ff_lang_max_output);
	return ff_lang_pay(e, position, bytes);
}

static bool
write_numeric(FfEvaluation *e, int position, StringInfo out, Numeric number)
{
	char *text;

	if (!grow(e, position, out, ff_numeric_length(number)))
		return false;
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	appendStringInfoString(out, text);
	pfree(text);
	return true;
}

static bool
write_scalar(FfEvaluation *e, int position, StringInfo out, const FfValue *v)
{
	if (v->kind == FF_NUMERIC)
		return write_numeric(e, position, out, v->u.numeric);
	if (!grow(e, position, out, v->kind == FF_TEXT ? v->length : 8))
		return false;
	if (v->kind == FF_TEXT)
		ff_jcs_append_string(out, v->u.text, v->length);
	else if (v->kind == FF_INTEGER)
		appendStringInfo(out, INT64_FORMAT, v->u.integer);
	else
		appendStringInfoString(out, v->kind == FF_NULL ? "null" : v->u.boolean ? "true" : "false");
	return true;
}

static bool
write_stored(FfEvaluation *e, int position, StringInfo out, JsonbContainer *container)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue		   part;
	bool			   comma = false;

	while ((token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE)
	{
		bool	ends = token == WJB_END_ARRAY || token == WJB_END_OBJECT;
		FfValue value;

		if (comma && !ends)
			appendStringInfoChar(out, ',');
		if (token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT)
			appendStringInfoChar(out, token == WJB_BEGIN_ARRAY ? '[' : '{');
		else if (ends)
			appendStringInfoChar(out, token == WJB_END_ARRAY ? ']' : '}');
		else
		{
			ff_value_of_json(&part, &value);
			if (!write_scalar(e, position, out, &value))
				return false;
		}
		if (token == WJB_KEY)
			appendStringInfoChar(out, ':');
		comma = ends || token == WJB_ELEM || token == WJB_VALUE;
	}
	return true;
}

bool
ff_value_write(FfEvaluation *e, int position, StringInfo out, const FfValue *v)
{
	if (v->kind == FF_OBJECT || (v->kind == FF_LIST && v->made == NULL))
		return write_stored(e, position, out, v->u.stored);
	if (v->kind != FF_LIST)
		return write_scalar(e, position, out, v);
	if (!grow(e, position, out, v->made->count + 2))
		return false;
	appendStringInfoChar(out, '[');
	for (int i = 0; i < v->made->count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		if (!ff_value_write(e, position, out, &v->made->items[i]))
			return false;
	}
	appendStringInfoChar(out, ']');
	return true;
}

bool
ff_value_write_plain(FfEvaluation *e, int position, StringInfo out, const FfValue *v)
{
	if (v->kind != FF_TEXT)
		return ff_value_write(e, position, out, v);
	if (!grow(e, position, out, v->length))
		return false;
	appendBinaryStringInfo(out, v->u.text, v->length);
	return true;
}
