/*
 * http.c - the step Http: a request to anybody, and what it answers.
 *
 * The item keeps the options, so that a request that is made again, after an attempt that failed or
 * a crash, is the same one: its Idempotency-Key says so. What is shown of them is without secrets,
 * and so is the answer.
 */
#include "postgres.h"

#include "common/base64.h"
#include "utils/fmgrprotos.h"

#include "http/message.h"
#include "run/actor.h"
#include "run/trace.h"
#include "step/outgoing.h"
#include "step/step.h"
#include "util/compat.h"
#include "util/json.h"
#include "util/redact.h"

#define MAX_METHOD_BYTES 20
#define MAX_REDIRECTS 10

typedef struct Request
{
	StringInfoData url;
	char		  *method;
	List		  *headers; /* of char *: lines */
	List		  *names;	/* of char *: of these */
	char		  *body;	/* NULL: none */
	int64		   redirects;
	List		  *secrets; /* of char * */
} Request;

/* What the client writes itself, and what would make two requests of one. */
static const char *const own_headers[] = {"connection", "content-length",	   "expect", "host",
										  "keep-alive", "proxy-authorization", "te",	 "trailer",
										  "upgrade",	"transfer-encoding"};

static bool
is_named(const List *names, const char *name)
{
	ListCell *cell;

	foreach (cell, names)
	{
		if (pg_strcasecmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

/* A scalar as text; NULL for null and for what is none. */
static char *
text_of(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/* --- headers --- */

static const char *
add_header(Request *request, const char *name, const char *value)
{
	if (!ff_http_is_token(name) || !ff_http_is_value(value))
		return "has a header that HTTP does not allow";
	for (int i = 0; i < (int) lengthof(own_headers); i++)
	{
		if (pg_strcasecmp(name, own_headers[i]) == 0)
			return psprintf("has the header %s, which is not for a step to set", name);
	}
	/* An empty header is written with a semicolon. */
	request->headers =
		lappend(request->headers, *value ? psprintf("%s: %s", name, value) : psprintf("%s;", name));
	request->names = lappend(request->names, pstrdup(name));
	if (ff_is_secret_name(name, (int) strlen(name)))
	{
		const char *space = strrchr(value, ' ');

		request->secrets = lappend(request->secrets, pstrdup(value));
		if (space != NULL)
			request->secrets = lappend(request->secrets, pstrdup(space + 1));
	}
	return NULL;
}

static const char *
read_headers(Request *request, Jsonb *options)
{
	Jsonb			  *headers = ff_json_member(options, "headers");
	JsonbIterator	  *it;
	JsonbIteratorToken token;
	JsonbValue		   value;
	char			  *name = "";
	const char		  *fault = NULL;

	if (headers == NULL || ff_json_is_null(headers))
		return NULL;
	if (!ff_json_is_object(headers))
		return "has headers that are not an object";
	it = JsonbIteratorInit(&headers->root);
	while (fault == NULL && (token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE || value.type == jbvNull)
			continue;
		fault = text_of(&value) == NULL ? "has a header whose value is not text"
										: add_header(request, name, text_of(&value));
	}
	return fault;
}

/* --- who asks --- */

static const char *
add_basic(Request *request, const char *user, const char *password)
{
	char *plain = psprintf("%s:%s", user, password);
	int	  size = pg_b64_enc_len((int) strlen(plain));
	char *coded = palloc(size + 1);
	int	  length = ff_b64_encode(plain, (int) strlen(plain), coded, size);

	if (strchr(user, ':') != NULL)
		return "has an auth whose username has a colon in it";
	coded[Max(length, 0)] = '\0';
	request->secrets = lappend(request->secrets, pstrdup(password));
	return add_header(request, "Authorization", psprintf("Basic %s", coded));
}

static const char *
read_auth(Request *request, Jsonb *options)
{
	Jsonb *auth = ff_json_member(options, "auth");
	char  *type = auth ? ff_json_text(auth, "type") : NULL;
	char  *name;
	char  *value;

	if (auth == NULL || ff_json_is_null(auth))
		return NULL;
	if (type == NULL)
		return "has an auth without a type: basic, bearer or header";
	if (strcmp(type, "basic") == 0)
	{
		name = ff_json_text(auth, "username");
		value = ff_json_text(auth, "password");
		return name && value ? add_basic(request, name, value)
							 : "has an auth without username and password";
	}
	if (strcmp(type, "bearer") == 0)
	{
		value = ff_json_text(auth, "token");
		return value && *value ? add_header(request, "Authorization", psprintf("Bearer %s", value))
							   : "has an auth without a token";
	}
	if (strcmp(type, "header") != 0)
		return "has an auth of an unknown type: it is basic, bearer or header";
	name = ff_json_text(auth, "name");
	value = ff_json_text(auth, "value");
	if (name == NULL || value == NULL)
		return "has an auth without name and value";
	request->secrets = lappend(request->secrets, value);
	return add_header(request, name, value);
}

/* --- the URL --- */

static void
append_coded(StringInfo out, const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (isalnum((unsigned char) *text) || strchr("-._~", *text) != NULL)
			appendStringInfoChar(out, *text);
		else
			appendStringInfo(out, "%%%02X", (unsigned char) *text);
	}
}

static const char *
add_parameter(Request *request, const char *name, const JsonbValue *value)
{
	const char *text = text_of(value);

	if (value->type == jbvNull)
		return NULL;
	if (text == NULL)
		return psprintf("has a parameter \"%s\" that is neither text, number, boolean nor a list",
						name);
	appendStringInfoChar(&request->url, strchr(request->url.data, '?') ? '&' : '?');
	append_coded(&request->url, name);
	appendStringInfoChar(&request->url, '=');
	append_coded(&request->url, text);
	return NULL;
}

static const char *
add_parameters(Request *request, Jsonb *params, const char *name)
{
	JsonbValue *value = ff_json_get(params, name);
	Jsonb	   *list;
	const char *fault = NULL;

	if (value->type != jbvBinary)
		return add_parameter(request, name, value);
	list = JsonbValueToJsonb(value);
	if (!ff_json_is_array(list))
		return add_parameter(request, name, value);
	for (uint32 i = 0; fault == NULL && i < JB_ROOT_COUNT(list); i++)
		fault = add_parameter(request, name, getIthJsonbValueFromContainer(&list->root, i));
	return fault;
}

/* What is after # names a place in the answer and is not sent. */
static const char *
read_url(Request *request, Jsonb *options)
{
	char			  *url = ff_json_text(options, "url");
	Jsonb			  *params = ff_json_member(options, "params");
	JsonbIterator	  *it;
	JsonbIteratorToken token;
	JsonbValue		   value;
	const char		  *fault = NULL;

	initStringInfo(&request->url);
	appendBinaryStringInfo(&request->url, url, (int) strcspn(url, "#"));
	if (params == NULL || ff_json_is_null(params))
		return NULL;
	if (!ff_json_is_object(params))
		return "has params that are not an object";
	it = JsonbIteratorInit(&params->root);
	while (fault == NULL && (token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			fault = add_parameters(request, params,
								   pnstrdup(value.val.string.val, value.val.string.len));
	}
	return fault;
}

/* --- the whole --- */

/* Text as it is, anything else as JSON. */
static const char *
read_body(Request *request, Jsonb *options)
{
	Jsonb *body = ff_json_member(options, "body");

	request->body = ff_json_text(options, "body");
	if (body == NULL || ff_json_is_null(body))
		return NULL;
	if (pg_strcasecmp(request->method, "GET") == 0 || pg_strcasecmp(request->method, "HEAD") == 0)
		return psprintf("has a body, which a %s has not", request->method);
	if (!is_named(request->names, "content-type"))
		request->headers =
			lappend(request->headers, request->body ? "content-type: text/plain;charset=UTF-8"
													: "content-type: application/json");
	if (request->body == NULL)
		request->body = JsonbToCString(NULL, &body->root, VARSIZE(body));
	return NULL;
}

static const char *
read_method(Request *request, Jsonb *options)
{
	JsonbValue *method = ff_json_get(options, "method");
	JsonbValue *redirects = ff_json_get(options, "max_redirects");

	request->method = ff_json_text(options, "method");
	if (method == NULL || method->type == jbvNull)
		request->method = "GET";
	if (request->method == NULL || !ff_http_is_token(request->method) ||
		strlen(request->method) > MAX_METHOD_BYTES)
		return "has a method that HTTP does not allow";
	if (redirects != NULL && redirects->type != jbvNull &&
		(!ff_json_int64(options, "max_redirects", &request->redirects) || request->redirects < 0 ||
		 request->redirects > MAX_REDIRECTS))
		return psprintf("has a max_redirects that is not a whole number from 0 to %d",
						MAX_REDIRECTS);
	return NULL;
}

static const char *
read_request(Request *request, Jsonb *options)
{
	const char *fault = ff_outgoing_check(options);

	memset(request, 0, sizeof(*request));
	if (fault == NULL)
		fault = read_method(request, options);
	if (fault == NULL)
		fault = read_url(request, options);
	if (fault == NULL)
		fault = read_headers(request, options);
	if (fault == NULL)
		fault = read_auth(request, options);
	if (fault == NULL)
		fault = read_body(request, options);
	if (request->url.data != NULL)
		(void) ff_redact_url(request->url.data, &request->secrets);
	return fault;
}

/* --- the kind --- */

static const char *
read_options(FfOp *op, Jsonb *options, TimestampTz now)
{
	Request request;

	op->options = options;
	return read_request(&request, options);
}

static bool
is_safe(const char *method)
{
	return pg_strcasecmp(method, "GET") == 0 || pg_strcasecmp(method, "HEAD") == 0 ||
		   pg_strcasecmp(method, "OPTIONS") == 0;
}

static char *
request(FfHttpCall *call, const FfRun *run, const FfItem *item, void *found, Jsonb **error)
{
	Request		made;
	ListCell   *cell;
	const char *fault = read_request(&made, item->options);

	/* Until now nobody knew what its secrets are. */
	if (fault != NULL)
	{
		*error = ff_run_error("StepOptionsError", psprintf("it %s", fault));
		return NULL;
	}
	foreach (cell, made.headers)
		ff_http_add_header(call, lfirst(cell));
	if (!is_named(made.names, "traceparent"))
		ff_run_trace_call(call, run, item->id);
	if (!is_named(made.names, "user-agent"))
		ff_http_add_header(call, "user-agent: FlowForge/" FF_VERSION);
	if (!is_safe(made.method) && !is_named(made.names, "idempotency-key"))
		ff_http_add_header(call, psprintf("idempotency-key: %s", ff_outgoing_key(run, item)));
	if (made.body != NULL)
		appendStringInfoString(&call->request, made.body);
	else if (pg_strcasecmp(made.method, "POST") == 0 && !is_named(made.names, "content-type"))
		ff_http_add_header(call, "content-type:"); /* libcurl would say it is a form */
	call->method = made.method;
	call->redirects = (int) made.redirects;
	call->keep_headers = true;
	call->timeout = ff_outgoing_timeout(item->options);
	return made.url.data;
}

/* --- the options, as people see them --- */

/* Headers or parameters, without the values of those whose names say that they are secret. */
static Jsonb *
shown_named(Jsonb *members)
{
	FfJsonBuilder	   builder = {0};
	JsonbIterator	  *it = JsonbIteratorInit(&members->root);
	JsonbIteratorToken token;
	JsonbValue		   value;
	bool			   secret = false;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_OBJECT)
			ff_jb_object(&builder);
		else if (token == WJB_KEY)
		{
			secret = ff_is_secret_name(value.val.string.val, value.val.string.len);
			ff_jb_key(&builder, pnstrdup(value.val.string.val, value.val.string.len));
		}
		else if (token == WJB_VALUE)
			ff_jb_json(&builder,
					   secret ? ff_json_from_text(FF_REDACTED) : JsonbValueToJsonb(&value));
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* The type, and the name of a user or of a header. */
static Jsonb *
shown_auth(Jsonb *auth)
{
	static const char *const shown[] = {"type", "username", "name"};
	FfJsonBuilder			 builder = {0};

	ff_jb_object(&builder);
	for (int i = 0; i < (int) lengthof(shown); i++)
	{
		if (ff_json_text(auth, shown[i]) == NULL)
			continue;
		ff_jb_key(&builder, shown[i]);
		ff_jb_text(&builder, ff_json_text(auth, shown[i]));
	}
	ff_jb_key(&builder, "credential");
	ff_jb_text(&builder, FF_REDACTED);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static Jsonb *
shown_member(const char *key, Jsonb *value, List *secrets)
{
	char	   *text;
	FfJsonError error;
	Jsonb	   *clean;

	if ((strcmp(key, "headers") == 0 || strcmp(key, "params") == 0) && ff_json_is_object(value))
		return shown_named(value);
	if (strcmp(key, "auth") == 0 && !ff_json_is_null(value))
		return ff_json_is_object(value) ? shown_auth(value) : ff_json_from_text(FF_REDACTED);
	text = ff_redact_text(JsonbToCString(NULL, &value->root, VARSIZE(value)), secrets);
	clean = ff_json_parse(text, strlen(text), ff_json_depth_limit, &error);
	return clean != NULL ? clean : ff_json_from_text(FF_REDACTED);
}

static Jsonb *
shown(Jsonb *options)
{
	Request			   made;
	FfJsonBuilder	   builder = {0};
	JsonbIterator	  *it = JsonbIteratorInit(&options->root);
	JsonbIteratorToken token;
	JsonbValue		   value;
	char			  *key = "";

	if (!ff_json_is_object(options))
		return options;
	(void) read_request(&made, options);
	ff_jb_object(&builder);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			key = pnstrdup(value.val.string.val, value.val.string.len);
			ff_jb_key(&builder, key);
		}
		else if (token == WJB_VALUE && strcmp(key, "url") == 0 && value.type == jbvString)
			ff_jb_text(&builder, ff_redact_url(ff_json_text(options, "url"), NULL));
		else if (token == WJB_VALUE)
			ff_jb_json(&builder, shown_member(key, JsonbValueToJsonb(&value), made.secrets));
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static void
answer(FfAnswer *answer, FfOp *op, const FfHttpCall *call, const FfItem *item, void *found,
	   TimestampTz now)
{
	Request made;

	(void) read_request(&made, item->options);
	ff_outgoing_answer(answer, op, call, true, list_concat(made.secrets, item->secrets));
}

const FfStepKind ff_step_http = {.op = "Http",
								 .name = "http",
								 .place = FF_STEP_CALL,
								 .read = read_options,
								 .begin = ff_kind_begin,
								 .callee = ff_outgoing_callee,
								 .shown = shown,
								 .request = request,
								 .answer = answer};
