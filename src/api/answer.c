/*
 * answer.c - errors as answers (see answer.h): the one place where an SQLSTATE becomes an HTTP
 * status.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "api/answer.h"
#include "util/errors.h"

#define CLASS(a, b) MAKE_SQLSTATE(a, b, '0', '0', '0')

typedef struct Known
{
	int			sqlstate;
	int			status;
	const char *title;
} Known;

#define KNOWN(name, a, b, c, status, title) {FF_ERR_##name, status, title},
static const Known known[] = {FF_ERROR_TABLE(KNOWN)};
#undef KNOWN

void
ff_answer_init(FfAnswer *answer)
{
	answer->status = 200;
	initStringInfo(&answer->headers);
	initStringInfo(&answer->body);
}

static const Known *
look_up(int sqlstate)
{
	for (size_t i = 0; i < lengthof(known); i++)
	{
		if (known[i].sqlstate == sqlstate)
			return &known[i];
	}
	return NULL;
}

int
ff_answer_status(int sqlstate)
{
	const Known *entry = look_up(sqlstate);

	if (entry != NULL)
		return entry->status;
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case CLASS('2', '2'): /* data exception */
			return 400;
		case CLASS('2', '3'): /* integrity constraint violation */
			return 409;
		case CLASS('4', '0'): /* transaction rollback: deadlock, serialization */
		case CLASS('5', '3'): /* insufficient resources */
		case CLASS('5', '7'): /* operator intervention */
			return 503;
		default:
			return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ? 503 : 500;
	}
}

static const char *
title_of(int sqlstate, int status)
{
	const Known *entry = look_up(sqlstate);

	if (entry != NULL)
		return entry->title;
	switch (status)
	{
		case 400:
			return "The request holds a value that cannot be used";
		case 409:
			return "The request conflicts with what is stored";
		case 503:
			return "The server cannot answer now";
		default:
			return "The server failed";
	}
}

static void
add_member(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "%s\"%s\":", json->len > 1 ? "," : "", name);
	if (value != NULL)
		escape_json(json, value);
	else
		appendStringInfoString(json, "null");
}

static void
add_problem(StringInfo json, const char *field, const char *detail)
{
	appendStringInfo(json, "%s{\"field\":", json->data[json->len - 1] == '}' ? "," : "");
	escape_json(json, field);
	appendStringInfoString(json, ",\"detail\":");
	escape_json(json, detail);
	appendStringInfoChar(json, '}');
}

/* A bad configuration lists its problems in the detail, one a line: "field: problem". */
static void
add_config_problems(StringInfo json, const char *detail)
{
	char *rest = pstrdup(detail);
	char *line;

	while ((line = strsep(&rest, "\n")) != NULL)
	{
		char *colon = strstr(line, ": ");

		if (colon == NULL)
			continue;
		*colon = '\0';
		add_problem(json, line, colon + 2);
	}
}

/*
 * What is wrong with a workflow or an input is a list of findings, which travels as JSON in the
 * error's datatype: there is no better place for it, and SQL clients can read it too.
 */
static bool
has_findings(const ErrorData *error)
{
	return (error->sqlerrcode == FF_ERR_WORKFLOW_INVALID || error->sqlerrcode == FF_ERR_INPUT) &&
		   error->datatype_name != NULL;
}

static void
add_errors(StringInfo json, const ErrorData *error)
{
	if (has_findings(error))
	{
		appendStringInfo(json, ",\"errors\":%s", error->datatype_name);
		return;
	}
	appendStringInfoString(json, ",\"errors\":[");
	if (error->sqlerrcode == FF_ERR_FUNCTION_CONFIG && error->detail != NULL)
		add_config_problems(json, error->detail);
	else if (error->column_name != NULL)
		add_problem(json, error->column_name, error->message);
	appendStringInfoChar(json, ']');
}

/* "message. Detail.", unless the detail is told as errors. */
static const char *
full_message(const ErrorData *error)
{
	if (error->detail == NULL || error->sqlerrcode == FF_ERR_FUNCTION_CONFIG || has_findings(error))
		return error->message;
	return psprintf("%s. %s", error->message, error->detail);
}

static void
tell_problem(FfAnswer *answer, const ErrorData *error)
{
	StringInfo	json = &answer->body;
	const char *code = unpack_sql_state(error->sqlerrcode);

	appendStringInfoString(&answer->headers, "content-type: application/problem+json\n");
	appendStringInfoChar(json, '{');
	add_member(json, "type", psprintf("urn:flowforge:error:%s", code));
	add_member(json, "title", title_of(error->sqlerrcode, answer->status));
	appendStringInfo(json, ",\"status\":%d", answer->status);
	add_member(json, "detail", full_message(error));
	add_member(json, "code", code);
	add_member(json, "hint", error->hint);
	add_errors(json, error);
	appendStringInfoChar(json, '}');
}

static void
tell_sdk(FfAnswer *answer, const ErrorData *error, FfStyle style)
{
	StringInfo	json = &answer->body;
	const char *text = error->message;

	if (error->hint != NULL)
		text = psprintf("%s. %s", error->message, error->hint);
	appendStringInfoString(&answer->headers, "content-type: application/json\n");
	if (style == FF_STYLE_EVENT)
		appendStringInfoString(&answer->headers, "access-control-allow-origin: *\n");
	appendStringInfoString(json, style == FF_STYLE_EVENT ? "{\"ids\":[]," : "{");
	appendStringInfo(json, "\"status\":%d,\"error\":", answer->status);
	escape_json(json, text);
	appendStringInfoChar(json, '}');
}

static void
add_html(StringInfo html, const char *tag, const char *text)
{
	if (text == NULL)
		return;
	appendStringInfo(html, "<%s>", tag);
	for (; *text != '\0'; text++)
	{
		if (strchr("&<>\"'", *text) != NULL)
			appendStringInfo(html, "&#%d;", *text);
		else
			appendStringInfoChar(html, *text);
	}
	appendStringInfo(html, "</%s>", tag);
}

/* With the headers of flowforge.html_page. */
static void
tell_page(FfAnswer *answer, const ErrorData *error)
{
	const char *title = title_of(error->sqlerrcode, answer->status);

	appendStringInfoString(
		&answer->headers, "content-type: text/html; charset=utf-8\ncache-control: no-store\n"
						  "x-content-type-options: nosniff\nreferrer-policy: no-referrer\n"
						  "content-security-policy: default-src 'none'; style-src 'unsafe-inline'; "
						  "frame-ancestors 'none'; base-uri 'none'; form-action 'none'\n");
	appendStringInfoString(
		&answer->body,
		"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width\"><style>:root{color-scheme:light dark}"
		"body{font:15px/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}"
		"h1{font-size:1.4rem}</style>");
	add_html(&answer->body, "title", title);
	add_html(&answer->body, "h1", title);
	add_html(&answer->body, "p", full_message(error));
	add_html(&answer->body, "p", error->hint);
	appendStringInfoString(&answer->body, "</html>");
}

/* What may be told of a failure that is not the caller's doing. */
static ErrorData
without_details(const ErrorData *error, int status)
{
	ErrorData told = {.sqlerrcode = error->sqlerrcode};

	told.message = "the server failed to answer";
	told.hint = "Its log tells why, under the id in x-request-id.";
	if (status == 503)
	{
		told.message = "the server cannot answer now";
		told.hint = "Try again in a moment.";
	}
	return told;
}

void
ff_answer_error(FfAnswer *answer, const ErrorData *error, FfStyle style, const char *accept)
{
	ErrorData told = *error;

	answer->status = ff_answer_status(error->sqlerrcode);
	resetStringInfo(&answer->headers);
	resetStringInfo(&answer->body);
	if (answer->status >= 500 && error->sqlerrcode != FF_ERR_NOT_CONFIGURED)
		told = without_details(error, answer->status);
	if (answer->status == 401)
		appendStringInfoString(&answer->headers, "www-authenticate: Bearer realm=\"flowforge\"\n");
	if (answer->status == 503 || answer->status == 429)
		appendStringInfoString(&answer->headers, "retry-after: 1\n");
	if (style == FF_STYLE_PAGE && accept != NULL && strstr(accept, "text/html") != NULL)
		tell_page(answer, &told);
	else if (style == FF_STYLE_PROBLEM || style == FF_STYLE_PAGE)
		tell_problem(answer, &told);
	else
		tell_sdk(answer, &told, style);
}

/* flowforge.problem(code, message, detail, hint): an error as an answer, so that what its function
 * has written stays. */
PG_FUNCTION_INFO_V1(ff_sql_problem);
Datum
ff_sql_problem(PG_FUNCTION_ARGS)
{
	const char *code = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ErrorData	error = {0};
	FfAnswer	answer;
	TupleDesc	type;
	Datum		values[3];
	bool		nulls[3] = {0};

	if (strlen(code) != 5 || get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "problem takes an SQLSTATE and gives a response");
	error.sqlerrcode = MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4]);
	error.message = text_to_cstring(PG_GETARG_TEXT_PP(1));
	error.detail = text_to_cstring(PG_GETARG_TEXT_PP(2));
	error.hint = text_to_cstring(PG_GETARG_TEXT_PP(3));
	ff_answer_init(&answer);
	ff_answer_error(&answer, &error, FF_STYLE_PROBLEM, NULL);
	values[0] = Int32GetDatum(answer.status);
	values[1] = CStringGetTextDatum(answer.headers.data);
	values[2] = CStringGetTextDatum(answer.body.data);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(type), values, nulls)));
}
