/*
 * gateway.c - requests the engine makes for steps: fetch and inference (the SDK protocol,
 * "Gateway" and "AI gateway auth by format").
 *
 * A request with its secrets lives in the memory of the run's owner only. What is stored is its
 * shape without them, and an answer that repeats one of them is cleaned first.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "http/message.h"
#include "protocol/protocol.h"
#include "run/trace.h"
#include "util/duration.h"
#include "util/json.h"
#include "util/redact.h"

#define MAX_METHOD_BYTES 20

/* --- reading the options --- */

typedef struct Shape
{
	const char *url;
	const char *method;
	Jsonb	   *headers;   /* an object of text, or NULL */
	const char *body;	   /* NULL: none */
	const char *auth_name; /* a header the options do not name themselves */
	const char *auth_value;
	bool		ai;
	List	   *secrets; /* of char * */
} Shape;

static bool
is_http(const char *url)
{
	return pg_strncasecmp(url, "http://", 7) == 0 || pg_strncasecmp(url, "https://", 8) == 0;
}

/* "Bearer abc" is a secret, and so is abc. */
static void
remember_secret(Shape *shape, const char *value)
{
	const char *space = strrchr(value, ' ');

	shape->secrets = lappend(shape->secrets, pstrdup(value));
	if (space != NULL)
		shape->secrets = lappend(shape->secrets, pstrdup(space + 1));
}

static void
put_header(FfJsonBuilder *builder, Shape *shape, const char *name, const char *value)
{
	ff_jb_key(builder, name);
	ff_jb_text(builder, value);
	if (ff_is_secret_name(name, (int) strlen(name)))
		remember_secret(shape, value);
}

/* Calls `put` for each header; gives what is wrong with one, or NULL. */
static const char *
copy_headers(FfJsonBuilder *builder, Shape *shape)
{
	JsonbIterator	  *it;
	JsonbValue		   value;
	JsonbIteratorToken token;
	char			  *name = "";
	bool			   given = false;

	it = shape->headers ? JsonbIteratorInit(&shape->headers->root) : NULL;
	while (it != NULL && (token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE || value.type == jbvNull)
			continue;
		if (value.type != jbvString)
			return "has a header whose value is not text";
		else
		{
			char *text = pnstrdup(value.val.string.val, value.val.string.len);

			if (!ff_http_is_token(name) || !ff_http_is_value(text))
				return "has a header that HTTP does not allow";
			given |= shape->auth_name != NULL && pg_strcasecmp(name, shape->auth_name) == 0;
			put_header(builder, shape, name, text);
		}
	}
	if (shape->auth_name != NULL && !given)
		put_header(builder, shape, shape->auth_name, shape->auth_value);
	return NULL;
}

static void
put_secrets(FfJsonBuilder *builder, const Shape *shape)
{
	ListCell *cell;

	ff_jb_key(builder, "secrets");
	ff_jb_array(builder);
	foreach (cell, shape->secrets)
		ff_jb_text(builder, lfirst(cell));
	ff_jb_end(builder);
}

static const char *
make_request(Shape *shape, Jsonb **request)
{
	FfJsonBuilder builder = {0};
	const char	 *fault;

	ff_jb_object(&builder);
	ff_jb_key(&builder, "url");
	ff_jb_text(&builder, shape->url);
	ff_jb_key(&builder, "method");
	ff_jb_text(&builder, shape->method);
	ff_jb_key(&builder, "headers");
	ff_jb_object(&builder);
	fault = copy_headers(&builder, shape);
	if (fault != NULL)
		return fault;
	ff_jb_end(&builder);
	if (shape->body != NULL)
	{
		ff_jb_key(&builder, "body");
		ff_jb_text(&builder, shape->body);
	}
	if (shape->ai)
	{
		ff_jb_key(&builder, "ai");
		ff_jb_bool(&builder, true);
	}
	(void) ff_redact_url(shape->url, &shape->secrets);
	put_secrets(&builder, shape);
	ff_jb_end(&builder);
	*request = ff_jb_finish(&builder);
	return NULL;
}

/* A body as it is sent: text as it is, anything else as JSON. */
static char *
body_text(Jsonb *opts)
{
	Jsonb *body = ff_json_member(opts, "body");
	char  *text = ff_json_text(opts, "body");

	if (text != NULL || body == NULL || ff_json_is_null(body))
		return text;
	return JsonbToCString(NULL, &body->root, VARSIZE(body));
}

static const char *
read_headers(Shape *shape, Jsonb *opts)
{
	Jsonb *headers = ff_json_member(opts, "headers");

	if (headers == NULL || ff_json_is_null(headers))
		return NULL;
	shape->headers = headers;
	return ff_json_is_object(headers) ? NULL : "has headers that are not an object";
}

const char *
ff_gateway_fetch(Jsonb *opts, Jsonb **request)
{
	Shape		shape = {.method = "GET"};
	const char *fault;

	shape.url = opts ? ff_json_text(opts, "url") : NULL;
	if (shape.url == NULL || !is_http(shape.url))
		return "has no http or https URL";
	if (ff_json_text(opts, "method") != NULL)
		shape.method = ff_json_text(opts, "method");
	if (!ff_http_is_token(shape.method) || strlen(shape.method) > MAX_METHOD_BYTES)
		return "has a method that HTTP does not allow";
	fault = read_headers(&shape, opts);
	shape.body = body_text(opts);
	return fault ? fault : make_request(&shape, request);
}

/* How each provider is told who asks. */
static void
authorize(Shape *shape, const char *format, const char *key)
{
	if (key == NULL || *key == '\0')
		return;
	shape->secrets = lappend(shape->secrets, pstrdup(key));
	if (strcmp(format, "gemini") == 0)
	{
		if (strstr(shape->url, "key=") == NULL)
			shape->url =
				psprintf("%s%ckey=%s", shape->url, strchr(shape->url, '?') ? '&' : '?', key);
		return;
	}
	shape->auth_name = strcmp(format, "anthropic") == 0 ? "x-api-key" : "authorization";
	shape->auth_value = strcmp(format, "anthropic") == 0 || strcmp(format, "bedrock") == 0
							? key
							: psprintf("Bearer %s", key);
}

const char *
ff_gateway_ai(Jsonb *opts, Jsonb **request)
{
	Shape		shape = {.method = "POST", .ai = true};
	const char *fault;
	char	   *format;
	char	   *key;

	shape.url = opts ? ff_json_text(opts, "url") : NULL;
	if (shape.url == NULL || !is_http(shape.url))
		return "has no http or https URL";
	format = ff_json_text(opts, "format");
	key = ff_json_text(opts, "auth_key");
	if (key != NULL && !ff_http_is_value(key))
		return "has an auth_key that HTTP does not allow";
	fault = read_headers(&shape, opts);
	shape.body = body_text(opts);
	if (shape.body == NULL)
		return "has no body";
	authorize(&shape, format ? format : "", key);
	return fault ? fault : make_request(&shape, request);
}

/* --- making the request --- */

char *
ff_gateway_request(FfHttpCall *call, const FfRun *run, const FfItem *item)
{
	Jsonb			  *request = item->request;
	Jsonb			  *headers = ff_json_member(request, "headers");
	JsonbIterator	  *it = JsonbIteratorInit(&headers->root);
	JsonbValue		   value;
	JsonbIteratorToken token;
	char			  *name = "";
	char			  *body = ff_json_text(request, "body");
	bool			   typed = false;
	bool			   traced = false;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
		{
			/* An empty header is written with a semicolon. */
			ff_http_add_header(
				call, value.val.string.len == 0
						  ? psprintf("%s;", name)
						  : psprintf("%s: %.*s", name, value.val.string.len, value.val.string.val));
			typed |= pg_strcasecmp(name, "content-type") == 0;
			traced |= pg_strcasecmp(name, "traceparent") == 0;
		}
	}
	if (body != NULL)
		appendStringInfoString(&call->request, body);
	if (!typed)
		ff_http_add_header(call, ff_json_bool(request, "ai") ? "content-type: application/json"
								 : body != NULL ? "content-type: text/plain;charset=UTF-8"
												: "content-type:");
	if (!traced)
		ff_run_trace_call(call, run, item->id);
	call->method = ff_json_text(request, "method");
	call->keep_headers = true;
	/* A provider that sends its callers elsewhere would be sent the key there. */
	call->redirects = ff_json_bool(request, "ai") ? 0 : 10;
	return ff_json_text(request, "url");
}

/* --- its answer --- */

static List *
secrets_of(Jsonb *request)
{
	Jsonb *list = ff_json_member(request, "secrets");
	uint32 count = JB_ROOT_COUNT(list);
	List  *secrets = NIL;

	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&list->root, i);

		secrets = lappend(secrets, pnstrdup(element->val.string.val, element->val.string.len));
	}
	return secrets;
}

/* The request without its secrets, for people. */
static Jsonb *
request_shape(Jsonb *request, List *secrets)
{
	FfJsonBuilder	   builder = {0};
	Jsonb			  *headers = ff_json_member(request, "headers");
	JsonbIterator	  *it = JsonbIteratorInit(&headers->root);
	JsonbValue		   value;
	JsonbIteratorToken token;
	bool			   secret = false;
	char			  *body = ff_json_text(request, "body");

	ff_jb_object(&builder);
	ff_jb_key(&builder, "url");
	ff_jb_text(&builder, ff_redact_url(ff_json_text(request, "url"), NULL));
	ff_jb_key(&builder, "method");
	ff_jb_text(&builder, ff_json_text(request, "method"));
	ff_jb_key(&builder, "headers");
	ff_jb_object(&builder);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char *text;

		if (token != WJB_KEY && token != WJB_VALUE)
			continue;
		text = pnstrdup(value.val.string.val, value.val.string.len);
		if (token == WJB_VALUE)
			ff_jb_text(&builder, secret ? FF_REDACTED : ff_redact_text(text, secrets));
		else
		{
			secret = ff_is_secret_name(text, (int) strlen(text));
			ff_jb_key(&builder, text);
		}
	}
	ff_jb_end(&builder);
	if (body != NULL)
	{
		ff_jb_key(&builder, "body");
		ff_jb_text(&builder, ff_redact_text(body, secrets));
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static Jsonb *
fetched(const FfHttpCall *call, const char *text, List *secrets)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "url");
	ff_jb_text(&builder, ff_redact_url(call->effective_url ? call->effective_url : "", NULL));
	ff_jb_key(&builder, "status_code");
	ff_jb_int(&builder, call->status);
	ff_jb_key(&builder, "headers");
	ff_http_put_headers(&builder, call, secrets);
	ff_jb_key(&builder, "body");
	ff_jb_text(&builder, text);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static void
put_count(FfJsonBuilder *builder, const char *key, Jsonb *answer, const char *const places[],
		  int count)
{
	for (int i = 0; i < count; i++)
	{
		Jsonb *found = ff_json_at(answer, places[i]);

		if (found != NULL && JB_ROOT_IS_SCALAR(found))
		{
			ff_jb_key(builder, key);
			ff_jb_json(builder, found);
			return;
		}
	}
}

/* What the provider says it has used, whatever words it uses for it. */
static Jsonb *
usage_of(Jsonb *answer)
{
	static const char *const inputs[] = {"usage.prompt_tokens", "usage.input_tokens",
										 "usageMetadata.promptTokenCount", "usage.inputTokens"};
	static const char *const outputs[] = {"usage.completion_tokens", "usage.output_tokens",
										  "usageMetadata.candidatesTokenCount",
										  "usage.outputTokens"};
	static const char *const models[] = {"model", "modelVersion"};
	FfJsonBuilder			 builder = {0};

	ff_jb_object(&builder);
	put_count(&builder, "model", answer, models, lengthof(models));
	put_count(&builder, "input_tokens", answer, inputs, lengthof(inputs));
	put_count(&builder, "output_tokens", answer, outputs, lengthof(outputs));
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static Jsonb *
detail_of(Jsonb *input, Jsonb *usage)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "input");
	ff_jb_json(&builder, input);
	if (usage != NULL)
	{
		ff_jb_key(&builder, "usage");
		ff_jb_json(&builder, usage);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static Jsonb *
request_error(const char *name, const char *message, const char *stack)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "name");
	ff_jb_text(&builder, name);
	ff_jb_key(&builder, "message");
	ff_jb_text(&builder, message);
	ff_jb_key(&builder, "stack");
	ff_jb_text(&builder, stack);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* An inference succeeds when the provider answers 2xx with JSON. */
static void
read_inference(FfOp *op, const FfHttpCall *call, const char *text, Jsonb **usage)
{
	FfJsonError error = {0};

	if (call->status < 200 || call->status > 299)
	{
		op->kind = FF_OP_ERROR;
		op->error = request_error("AIGatewayError",
								  psprintf("the provider answered %ld", call->status), text);
		return;
	}
	op->kind = FF_OP_COMPLETED;
	op->data = ff_json_parse(text, strlen(text), ff_json_depth_limit, &error);
	if (op->data == NULL)
	{
		op->kind = FF_OP_ERROR;
		op->error = request_error(
			"AIGatewayError",
			psprintf("the provider's answer (%ld) is not JSON: %s", call->status, error.message),
			text);
		return;
	}
	*usage = usage_of(op->data);
}

static void
read_outcome(FfOp *op, const FfHttpCall *call, bool ai, List *secrets, Jsonb **usage)
{
	char *text = ff_redact_text(ff_http_text(call->body.data, call->body.len), secrets);

	if (call->refused)
	{
		op->kind = FF_OP_FAILED;
		op->error = ff_guard_error(ff_redact_text(call->failure, secrets));
	}
	else if (!call->reached || call->failure != NULL)
	{
		char *reason = ff_redact_text(call->failure ? call->failure : "no connection", secrets);

		op->kind = FF_OP_ERROR;
		op->error = request_error(ai ? "AIGatewayError" : "FetchError",
								  psprintf("the request failed: %s", reason), "");
	}
	else if (ai)
		read_inference(op, call, text, usage);
	else
	{
		op->kind = FF_OP_COMPLETED;
		op->data = fetched(call, text, secrets);
	}
}

void
ff_gateway_answer(FfAnswer *answer, const FfHttpCall *call, const FfItem *item, TimestampTz now)
{
	FfOp  *op = palloc0(sizeof(FfOp));
	List  *secrets = secrets_of(item->request);
	Jsonb *usage = NULL;

	memset(answer, 0, sizeof(*answer));
	answer->kind = FF_ANSWER_OPS;
	answer->retry = true;
	answer->retry_after = -1;
	answer->protocol = -1;
	answer->ops = list_make1(op);
	strlcpy(op->id, item->id, sizeof(op->id));
	op->name = item->name;
	op->race = item->race;
	op->took = -1;
	read_outcome(op, call, ff_json_bool(item->request, "ai"), secrets, &usage);
	op->detail = detail_of(request_shape(item->request, secrets), usage);
	if (op->kind == FF_OP_ERROR && call->headers[FF_HEADER_RETRY_AFTER] != NULL &&
		!ff_retry_after_parse(call->headers[FF_HEADER_RETRY_AFTER], now, &answer->retry_after))
		answer->retry_after = -1;
}
