/*
 * hook.c - the functions that SQL asks about webhooks: whether one is genuine, and what it says.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/url.h"
#include "hook/verify.h"
#include "util/errors.h"
#include "util/json.h"

static const char **
texts_of(ArrayType *array, int *count)
{
	Datum		*elements;
	bool		*nulls;
	const char **texts;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, count);
	texts = palloc(sizeof(char *) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		texts[i] = nulls[i] ? "" : TextDatumGetCString(elements[i]);
	return texts;
}

/* flowforge.hook_problem(verify, secrets, header, headers, body, tolerance, at) */
PG_FUNCTION_INFO_V1(ff_sql_hook_problem);
Datum
ff_sql_hook_problem(PG_FUNCTION_ARGS)
{
	bytea	   *body = PG_ARGISNULL(4) ? NULL : PG_GETARG_BYTEA_PP(4);
	FfHookCheck check = {.body = ""};
	const char *problem;

	for (int i = 0; i < 7; i++)
	{
		if (PG_ARGISNULL(i) && i != 2 && i != 4)
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument %d of flowforge.hook_problem is null", i + 1)));
	}
	check.scheme = text_to_cstring(PG_GETARG_TEXT_PP(0));
	check.secrets = texts_of(PG_GETARG_ARRAYTYPE_P(1), &check.secret_count);
	check.header = PG_ARGISNULL(2) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(2));
	check.headers = PG_GETARG_JSONB_P(3);
	if (body != NULL)
	{
		check.body = VARDATA_ANY(body);
		check.length = VARSIZE_ANY_EXHDR(body);
	}
	check.tolerance = PG_GETARG_INT32(5);
	check.now = ff_unix_us(PG_GETARG_TIMESTAMPTZ(6)) / USECS_PER_SEC;
	problem = ff_hook_problem(&check);
	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

PG_FUNCTION_INFO_V1(ff_sql_hook_secret_problem);
Datum
ff_sql_hook_secret_problem(PG_FUNCTION_ARGS)
{
	const char *problem = ff_hook_secret_problem(text_to_cstring(PG_GETARG_TEXT_PP(0)),
												 text_to_cstring(PG_GETARG_TEXT_PP(1)));

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

static Jsonb *
parse(const char *body, size_t length)
{
	FfJsonError error;
	Jsonb	   *json = ff_json_parse(body, length, ff_json_depth_limit, &error);

	if (json == NULL)
		ereport(ERROR,
				(errcode(FF_ERR_BAD_JSON),
				 errmsg("the body is not valid JSON: %s (at byte %d)", error.message, error.offset),
				 errhint("Send JSON in UTF-8, a form, or another content-type for plain text.")));
	return json;
}

/* A form is an object of its fields; one whose only field is `payload` is the JSON in that. */
static Jsonb *
parse_form(const char *body, size_t length)
{
	FfPairs		pairs;
	FfJsonError error;
	Jsonb	   *json;

	ff_url_query(pnstrdup(body, length), &pairs);
	if (pairs.count == 1 && strcmp(pairs.names[0], "payload") == 0)
	{
		json = ff_json_parse(pairs.values[0], strlen(pairs.values[0]), ff_json_depth_limit, &error);
		if (json != NULL)
			return json;
	}
	return ff_url_json(&pairs);
}

static Jsonb *
plain_text(const char *body, size_t length)
{
	JsonbValue value = {.type = jbvString};

	if (memchr(body, 0, length) != NULL || !pg_verify_mbstr(PG_UTF8, body, (int) length, true))
		ereport(ERROR, (errcode(FF_ERR_BAD_JSON), errmsg("the body is neither JSON nor text"),
						errhint("Send JSON or text in UTF-8.")));
	value.val.string.val = unconstify(char *, body);
	value.val.string.len = (int) length;
	return JsonbValueToJsonb(&value);
}

/* flowforge.hook_body(content type, body) */
PG_FUNCTION_INFO_V1(ff_sql_hook_body);
Datum
ff_sql_hook_body(PG_FUNCTION_ARGS)
{
	char	   *type = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	bytea	   *given = PG_ARGISNULL(1) ? NULL : PG_GETARG_BYTEA_PP(1);
	const char *body = given != NULL ? VARDATA_ANY(given) : "";
	size_t		length = given != NULL ? VARSIZE_ANY_EXHDR(given) : 0;
	size_t		blank = 0;

	while (blank < length && isspace((unsigned char) body[blank]))
		blank++;
	if (blank == length)
		PG_RETURN_JSONB_P(ff_json_null());
	/* What begins like JSON is JSON, whatever it says it is. */
	if (body[blank] == '{' || body[blank] == '[' || strstr(type, "json") != NULL)
		PG_RETURN_JSONB_P(parse(body, length));
	if (pg_strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0)
		PG_RETURN_JSONB_P(parse_form(body, length));
	PG_RETURN_JSONB_P(plain_text(body, length));
}
