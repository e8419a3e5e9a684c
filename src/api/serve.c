/*
 * serve.c - flowforge.serve, which answers the HTTP requests that the gateway passes on.
 *
 * A request goes: route (route.h), access (access.h), key (repeat.h), body, the route's function as
 * the role of who asks (rank.h), answer (answer.h). All of it happens in a subtransaction, so that
 * an error becomes an answer and leaves the other requests of the transaction alone.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/typcache.h"

#include "api/access.h"
#include "api/answer.h"
#include "api/form.h"
#include "api/rank.h"
#include "api/repeat.h"
#include "api/route.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/json.h"
#include "util/trace.h"

#define MAX_REQUEST_ID 128

typedef struct Request
{
	const char *method;
	const char *path;
	const char *query;
	Jsonb	   *headers;
	bytea	   *body; /* NULL: none */
	const char *id;
	FfMatch		match;
	FfPrincipal who; /* asks */
} Request;

PG_FUNCTION_INFO_V1(ff_api_serve);

/* --- reading the request --- */

static bool
is_request_id(const char *text)
{
	static const char allowed[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-";
	size_t length = text != NULL ? strlen(text) : 0;

	return length > 0 && length <= MAX_REQUEST_ID && strspn(text, allowed) == length;
}

/* The id the caller gave the request, or a new one. */
static const char *
request_id(Jsonb *headers)
{
	char	 *given = ff_json_text(headers, "x-request-id");
	char	  ulid[FF_ULID_SIZE];
	pg_uuid_t id;

	if (is_request_id(given))
		return given;
	ff_uuid7(&id);
	ff_ulid_encode(&id, ulid);
	return pstrdup(ulid);
}

static const char *
text_arg(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

static void
read_request(FunctionCallInfo fcinfo, Request *request)
{
	FfPairs none = {0};

	memset(request, 0, sizeof(Request));
	request->method = text_arg(fcinfo, 0);
	request->path = text_arg(fcinfo, 1);
	request->query = text_arg(fcinfo, 2);
	request->headers = PG_ARGISNULL(3) ? ff_url_json(&none) : PG_GETARG_JSONB_P(3);
	request->body = PG_ARGISNULL(4) ? NULL : PG_GETARG_BYTEA_PP(4);
	request->id = request_id(request->headers);
	ff_trace_request(ff_json_text(request->headers, "traceparent"),
					 ff_json_text(request->headers, "tracestate"));
}

/* Whether the body is to be read as JSON. It is what curl -d sends, whatever that says it is. */
static bool
body_is_json(Jsonb *headers)
{
	const char *type = ff_json_text(headers, "content-type");

	return type == NULL || type[0] == '\0' || strstr(type, "json") != NULL ||
		   pg_strncasecmp(type, "text/plain", 10) == 0 ||
		   pg_strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0;
}

/* The body of such an event may be anything, or nothing. */
static bool
is_binary_cloud_event(Jsonb *headers)
{
	return ff_json_get(headers, "ce-specversion") != NULL;
}

static bool
takes_forms(FfStyle style)
{
	return style == FF_STYLE_EVENT || style == FF_STYLE_PAGE;
}

static void
refuse_body(const char *problem)
{
	ereport(ERROR, (errcode(FF_ERR_BAD_JSON), errmsg("the body is not valid JSON: %s", problem),
					errhint("Send JSON in UTF-8 with content-type application/json.")));
}

/* The body as JSON, or NULL. To routes that receive events a form is an event, to pages an object.
 */
static Jsonb *
parse_body(const Request *request)
{
	int			length = request->body != NULL ? (int) VARSIZE_ANY_EXHDR(request->body) : 0;
	const char *type = ff_json_text(request->headers, "content-type");
	FfJsonError error;
	Jsonb	   *json = NULL;

	if (length > 0 && takes_forms(request->match.style) &&
		ff_form_is(type, VARDATA_ANY(request->body), length))
		json = request->match.style == FF_STYLE_PAGE
				   ? ff_form_fields(type, VARDATA_ANY(request->body), length)
				   : ff_form_event(type, request->query, VARDATA_ANY(request->body), length);
	else if (length > 0 && body_is_json(request->headers))
	{
		json = ff_json_parse(VARDATA_ANY(request->body), length, ff_json_depth_limit, &error);
		if (json == NULL)
			refuse_body(psprintf("%s (at byte %d)", error.message, error.offset));
	}
	else if (request->match.needs_body && !is_binary_cloud_event(request->headers))
		refuse_body(length > 0 ? "content-type says that it is something else" : "it is empty");
	return json;
}

/* --- calling the route's function --- */

static bool
takes_body(const char *method)
{
	return method[0] == 'P'; /* POST, PUT, PATCH */
}

static Datum
make_request(const Request *request)
{
	TupleDesc type = lookup_rowtype_tupdesc(request->match.request_type, -1);
	bool	  reads = takes_body(request->method) && !request->match.raw_body;
	Jsonb	 *json = reads ? parse_body(request) : NULL;
	FfPairs	  query;
	Datum	  values[8];
	bool	  nulls[8] = {0};
	HeapTuple tuple;

	if (type->natts != lengthof(values))
		elog(ERROR, "flowforge.request has %d columns", type->natts);
	ff_url_query(request->query, &query);
	values[0] = CStringGetTextDatum(request->method);
	values[1] = CStringGetTextDatum(request->path);
	values[2] = JsonbPGetDatum(ff_url_json(&request->match.params));
	values[3] = JsonbPGetDatum(ff_url_json(&query));
	values[4] = JsonbPGetDatum(request->headers);
	values[5] = PointerGetDatum(request->body);
	nulls[5] = request->body == NULL;
	values[6] = JsonbPGetDatum(json);
	nulls[6] = json == NULL;
	values[7] = CStringGetTextDatum(request->id);
	tuple = heap_form_tuple(type, values, nulls);
	ReleaseTupleDesc(type);
	return HeapTupleGetDatum(tuple);
}

static void
append_text(StringInfo out, Datum value, bool isnull)
{
	text *read;

	if (isnull)
		return;
	read = DatumGetTextPP(value);
	appendBinaryStringInfo(out, VARDATA_ANY(read), VARSIZE_ANY_EXHDR(read));
}

/*
 * The function runs as who asks (rank.h): neither its argument is made so, nor is its answer read
 * so. An error leaves the rank with the subtransaction of answer_safely.
 */
static HeapTupleHeader
call_as_caller(const Request *request)
{
	LOCAL_FCINFO(call, 1);
	FmgrInfo handler;
	FfRank	 before;
	Datum	 row;

	fmgr_info(request->match.handler, &handler);
	InitFunctionCallInfoData(*call, &handler, 1, InvalidOid, NULL, NULL);
	call->args[0].value = make_request(request);
	call->args[0].isnull = false;
	before = ff_rank_take(&request->who, request->match.handler);
	row = FunctionCallInvoke(call);
	ff_rank_end(&before);
	if (call->isnull)
		elog(ERROR, "the function of the route %s answered null", request->match.pattern);
	return DatumGetHeapTupleHeader(row);
}

static void
call_handler(const Request *request, FfAnswer *answer)
{
	HeapTupleHeader row;
	Datum			status;
	bool			isnull;

	if (!OidIsValid(request->match.handler))
		elog(ERROR, "the function of the route %s does not exist", request->match.pattern);
	row = call_as_caller(request);
	status = GetAttributeByNum(row, 1, &isnull);
	answer->status = isnull ? 200 : DatumGetInt32(status);
	append_text(&answer->headers, GetAttributeByNum(row, 2, &isnull), isnull);
	append_text(&answer->body, GetAttributeByNum(row, 3, &isnull), isnull);
}

/* --- the way of a request --- */

static void
refuse_path(void)
{
	ereport(ERROR, (errcode(FF_ERR_NOT_FOUND), errmsg("no route has this path"),
					errhint("GET /api/docs lists the routes.")));
}

static void
refuse_method(const Request *request)
{
	ereport(ERROR,
			(errcode(FF_ERR_METHOD), errmsg("the path does not answer %.20s", request->method),
			 errhint("It answers %s.", request->match.allow)));
}

static void
answer_options(FfAnswer *answer, const FfMatch *match)
{
	answer->status = 204;
	if (match->style == FF_STYLE_EVENT)
		appendStringInfo(&answer->headers,
						 "access-control-allow-origin: *\naccess-control-allow-methods: %s\n"
						 "access-control-allow-headers: content-type, x-inngest-sdk, x-inngest-env,"
						 " x-inngest-event-id-seed\n",
						 match->allow);
}

/* Requests that make something may carry a key, under which they are served once. Events bring ids
 * of their own, and what a page sends has its effect only once. */
static void
serve_once(Request *request, FfAnswer *answer)
{
	FfRepeat repeat = {0};

	if (strcmp(request->method, "POST") == 0 && !takes_forms(request->match.style))
		ff_repeat_read(&repeat, request->headers, request->method, request->path, request->query,
					   request->body);
	if (ff_repeat_answer(&repeat, answer))
		return;
	call_handler(request, answer);
	ff_repeat_keep(&repeat, answer);
}

static void
answer_request(Request *request, FfAnswer *answer)
{
	FfSegments segments;

	if (!ff_url_segments(request->path, &segments))
		refuse_path();
	ff_route_match(request->method, &segments, &request->match);
	if (!request->match.path_known)
		refuse_path();
	if (strcmp(request->method, "OPTIONS") == 0)
		answer_options(answer, &request->match);
	else if (!request->match.method_known)
		refuse_method(request);
	else
	{
		if (request->match.style == FF_STYLE_SDK)
			ff_access_check_kind(request->headers);
		ff_access_grant(&request->match, request->headers, request->id, &request->who);
		serve_once(request, answer);
	}
}

/* Every line of the log that a request causes has the request's id and its route (not its path,
 * which may hold a key) in its context. */
static void
add_context(void *arg)
{
	const Request *request = arg;
	const char *route = request->match.pattern != NULL ? request->match.pattern : "unknown route";

	errcontext("request %s: %s %s", request->id, request->method, route);
}

/* What is not the caller's doing goes to the log whole. */
static void
log_failure(ErrorData *error)
{
	error->elevel = LOG;
	ThrowErrorData(error);
}

static void
handle_error(const Request *request, FfAnswer *answer, ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	ff_answer_error(answer, error, request->match.style, ff_json_text(request->headers, "accept"));
	if (answer->status >= 500)
		log_failure(error);
}

static void
answer_safely(Request *request, FfAnswer *answer)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;
	ErrorContextCallback told = {error_context_stack, add_context, request};

	error_context_stack = &told;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		answer_request(request, answer);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	error_context_stack = told.previous;
	if (error != NULL)
		handle_error(request, answer, error);
}

static void
add_standard_headers(const Request *request, FfAnswer *answer)
{
	StringInfo headers = &answer->headers;
	bool	   asked = strcmp(request->method, "OPTIONS") == 0;

	if (request->match.path_known && (asked || answer->status == 405))
		appendStringInfo(headers, "allow: %s\n", request->match.allow);
	appendStringInfo(headers, "x-inngest-server-kind: %s\n", ff_server_kind());
	appendStringInfo(headers, "x-request-id: %s\n", request->id);
}

/* As text, or, since the two are stored alike, as bytea. */
static Datum
text_of(const StringInfoData *string)
{
	return PointerGetDatum(cstring_to_text_with_len(string->data, string->len));
}

static Datum
make_result(FunctionCallInfo fcinfo, const FfAnswer *answer)
{
	TupleDesc type;
	Datum	  values[3];
	bool	  nulls[3] = {0};

	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "serve must return a row");
	values[0] = Int32GetDatum(answer->status);
	values[1] = text_of(&answer->headers);
	values[2] = text_of(&answer->body);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(type), values, nulls));
}

/* flowforge.serve(method, path, query, headers, body) */
Datum
ff_api_serve(PG_FUNCTION_ARGS)
{
	Request	 request;
	FfAnswer answer;

	read_request(fcinfo, &request);
	ff_answer_init(&answer);
	answer_safely(&request, &answer);
	ff_trace_request(NULL, NULL);
	add_standard_headers(&request, &answer);
	PG_RETURN_DATUM(make_result(fcinfo, &answer));
}
