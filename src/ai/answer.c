/*
 * answer.c - what a model's provider has answered, whole or in pieces: the result, or a fault that
 * says whether asking again may help (see ai.h).
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "ai/stream.h"
#include "util/duration.h"
#include "util/redact.h"

#define SHOWN_BYTES 500 /* of an answer that is not understood */

/* --- errors --- */

/* UTF-8 without secrets: where a provider repeats what it was sent, nothing of it is kept. */
static char *
clean(const FfAiProvider *provider, const char *text, int length)
{
	char *rest = pnstrdup(text, length);

	if (!pg_verifymbstr(rest, (int) strlen(rest), true) || (int) strlen(rest) != length)
		return pstrdup("(not text)");
	return ff_redact_text(rest, provider->secrets);
}

static void
put_text(FfJsonBuilder *builder, const char *key, const char *text)
{
	if (text == NULL)
		return;
	ff_jb_key(builder, key);
	ff_jb_text(builder, text);
}

static Jsonb *
make_error(const char *message, long status, const char *code, const char *body)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "name", "AiError");
	put_text(&builder, "message", message);
	put_text(&builder, "code", code);
	if (status > 0)
	{
		ff_jb_key(&builder, "status");
		ff_jb_int(&builder, status);
	}
	if (body != NULL)
		put_text(&builder, "stack",
				 pnstrdup(body, pg_mbcliplen(body, (int) strlen(body), SHOWN_BYTES)));
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

Jsonb *
ff_ai_error(const FfAiProvider *provider, const char *message)
{
	return make_error(clean(provider, message, (int) strlen(message)), 0, NULL, NULL);
}

/* The first of these places that holds a text. */
static char *
first_text(Jsonb *json, const char *const *places)
{
	char *text = NULL;

	for (; json != NULL && text == NULL && *places != NULL; places++)
		text = ff_ai_text_at(json, *places);
	return text;
}

/* Google says among an error's details when to come again: "37s" or "1.5s". */
static int64
told_delay(Jsonb *json)
{
	Jsonb *details = ff_ai_list_at(json, "error.details");
	char  *rest;
	double seconds;

	for (uint32 i = 0; details != NULL && i < JB_ROOT_COUNT(details); i++)
	{
		char *text = ff_ai_text_at(ff_ai_element(details, i), "retryDelay");

		if (text == NULL)
			continue;
		seconds = strtod(text, &rest);
		if (rest != text && strcmp(rest, "s") == 0 && seconds >= 0 && seconds < 86400)
			return (int64) (seconds * USECS_PER_SEC);
	}
	return -1;
}

/* Too much at once, too slow, or broken on their side; but who has no money left will have none
 * then either. */
static bool
is_retriable(long status, const char *code)
{
	if (code != NULL && strcmp(code, "insufficient_quota") == 0)
		return false;
	return status == 408 || status == 409 || status == 424 || status == 425 || status == 429 ||
		   status >= 500;
}

/* A refusal, by status or in words. */
static void
refuse(const FfAiProvider *provider, FfAiFault *fault, long status, const char *body, Jsonb *json)
{
	static const char *const messages[] = {"error.message", "message", "Message",
										   "error",			"detail",  NULL};
	static const char *const codes[] = {"error.code", "error.status", "error.type",
										"code",		  "type",		  NULL};
	char					*message = first_text(json, messages);
	char					*code = first_text(json, codes);

	if (message != NULL)
		message = clean(provider, message, (int) strlen(message));
	fault->error = make_error(
		psprintf("the provider answered %s%s%s", status > 0 ? psprintf("%ld", status) : "an error",
				 message ? ": " : "", message ? message : ""),
		status, code ? clean(provider, code, (int) strlen(code)) : NULL, body);
	/* An error without a status says nothing against asking again. */
	fault->retry = status == 0 || is_retriable(status, code);
	fault->retry_after = told_delay(json);
}

/* --- the result --- */

/* What stands for the content of a provider without JSON formats becomes it. */
static void
lift_answer(FfAiResult *result)
{
	ListCell *cell;

	foreach (cell, result->calls)
	{
		FfAiToolCall *call = lfirst(cell);

		if (call->name == NULL || strcmp(call->name, FF_AI_ANSWER_TOOL) != 0)
			continue;
		resetStringInfo(&result->content);
		ff_ai_add_text(result, call->arguments ? JsonbToCString(NULL, &call->arguments->root,
																VARSIZE(call->arguments))
											   : call->text.data);
		result->calls = list_delete_ptr(result->calls, call);
		break;
	}
	if (result->calls == NIL && result->finish_reason != NULL &&
		strcmp(result->finish_reason, "tool_calls") == 0)
		ff_ai_set_text(result, &result->finish_reason, "stop");
}

/* Arguments that came as text are read; those that are no object, as models err, are kept beside
 * it. */
static void
put_call(FfJsonBuilder *builder, FfAiToolCall *call)
{
	FfJsonError error;
	bool		blank = call->text.data[strspn(call->text.data, " \t\r\n")] == '\0';
	bool		readable;

	if (call->arguments == NULL && !blank)
		call->arguments =
			ff_json_parse(call->text.data, call->text.len, ff_json_depth_limit, &error);
	readable = ff_json_is_object(call->arguments);
	ff_jb_object(builder);
	ff_jb_key(builder, "id");
	ff_jb_text(builder, call->id);
	ff_jb_key(builder, "name");
	ff_jb_text(builder, call->name);
	ff_jb_key(builder, "arguments");
	ff_jb_json(builder, readable ? call->arguments : ff_json_parse("{}", 2, 1, &error));
	if (!readable && !blank)
		put_text(builder, "invalid_arguments", call->text.data);
	put_text(builder, "thought_signature", call->signature);
	ff_jb_end(builder);
}

static void
put_count(FfJsonBuilder *builder, const char *key, int64 count)
{
	ff_jb_key(builder, key);
	ff_jb_int(builder, count);
}

static void
put_usage(FfJsonBuilder *builder, const FfAiProvider *provider, const FfAiResult *result,
		  int64 took_ms)
{
	Jsonb *cost = ff_ai_cost(&provider->price, result);

	ff_jb_key(builder, "usage");
	ff_jb_object(builder);
	put_count(builder, "prompt_tokens", result->input);
	put_count(builder, "completion_tokens", result->output);
	put_count(builder, "total_tokens", result->input + result->output);
	if (result->cached > 0)
		put_count(builder, "cached_tokens", result->cached);
	if (result->cache_write > 0)
		put_count(builder, "cache_write_tokens", result->cache_write);
	if (result->reasoning > 0)
		put_count(builder, "reasoning_tokens", result->reasoning);
	ff_jb_key(builder, "cost_usd");
	ff_jb_json(builder, cost);
	ff_jb_key(builder, "cost_known");
	ff_jb_bool(builder, cost != NULL);
	put_count(builder, "latency_ms", took_ms);
	ff_jb_end(builder);
}

static void
put_content(FfJsonBuilder *builder, const FfAiResult *result, FfAiShape shape)
{
	bool		has = result->content.len > 0 || (result->has_content && result->calls == NIL);
	FfJsonError error;
	Jsonb	   *parsed =
		 shape == FF_AI_ANY || !has
				 ? NULL
				 : ff_json_parse(result->content.data, result->content.len, ff_json_depth_limit, &error);

	ff_jb_key(builder, "content");
	ff_jb_text(builder, has ? result->content.data : NULL);
	if (parsed != NULL)
	{
		ff_jb_key(builder, "parsed");
		ff_jb_json(builder, parsed);
	}
}

static Jsonb *
write_result(const FfAiProvider *provider, FfAiResult *result, FfAiShape shape, int64 took_ms)
{
	FfJsonBuilder builder = {0};
	ListCell	 *cell;
	const char	 *reason = result->finish_reason;

	/* Not all say by the reason that tools were called. */
	if (result->calls != NIL && reason != NULL && strcmp(reason, "stop") == 0)
		reason = "tool_calls";
	ff_jb_object(&builder);
	put_content(&builder, result, shape);
	ff_jb_key(&builder, "finish_reason");
	ff_jb_text(&builder, reason);
	ff_jb_key(&builder, "model");
	ff_jb_text(&builder, result->model ? result->model : provider->model);
	ff_jb_key(&builder, "provider");
	ff_jb_text(&builder, provider->name);
	ff_jb_key(&builder, "tool_calls");
	ff_jb_array(&builder);
	foreach (cell, result->calls)
		put_call(&builder, lfirst(cell));
	ff_jb_end(&builder);
	put_usage(&builder, provider, result, took_ms);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* The result without secrets. Those that came in pieces are whole only now. */
static Jsonb *
clean_result(const FfAiProvider *provider, Jsonb *json)
{
	char	   *text = JsonbToCString(NULL, &json->root, VARSIZE(json));
	char	   *cleaned = ff_redact_text(text, provider->secrets);
	FfJsonError error;

	if (strcmp(text, cleaned) == 0)
		return json;
	return ff_json_parse(cleaned, strlen(cleaned), ff_json_depth_limit + 8, &error);
}

/* --- the answer --- */

static void
misunderstand(FfAiFault *fault, const char *why, long status, const char *body)
{
	fault->error = make_error(psprintf("the provider's answer is not one of a model: %s", why),
							  status, NULL, body);
	fault->retry = true;
	fault->retry_after = -1;
}

static Jsonb *
conclude(const FfAiProvider *provider, Jsonb *options, FfAiReply *reply, FfAiResult *result,
		 const char *body, FfAiFault *fault)
{
	Jsonb	 *schema;
	FfAiShape shape = ff_ai_shape(options, &schema);

	if (result->error != NULL)
	{
		char *text = JsonbToCString(NULL, &result->error->root, VARSIZE(result->error));

		refuse(provider, fault, result->error_status, clean(provider, text, (int) strlen(text)),
			   result->error);
		return NULL;
	}
	if (result->malformed != NULL || !result->complete)
	{
		misunderstand(fault,
					  result->malformed
						  ? clean(provider, result->malformed, (int) strlen(result->malformed))
						  : "its stream ended before it was whole",
					  reply->status, body);
		fault->retry = !result->too_large;
		return NULL;
	}
	if (provider->wire->answer_tool)
		lift_answer(result);
	return clean_result(provider, write_result(provider, result, shape, reply->took_ms));
}

static Jsonb *
read_whole(const FfAiProvider *provider, Jsonb *options, FfAiReply *reply, FfAiFault *fault)
{
	char	   *text = clean(provider, reply->body->data, reply->body->len);
	FfJsonError error;
	Jsonb *json = ff_json_parse(reply->body->data, reply->body->len, ff_json_depth_limit, &error);
	FfAiResult result;

	if (reply->status < 200 || reply->status > 299)
	{
		refuse(provider, fault, reply->status, text, json);
		return NULL;
	}
	if (!ff_json_is_object(json))
	{
		misunderstand(fault,
					  json ? "it is not an object" : psprintf("it is not JSON: %s", error.message),
					  reply->status, text);
		return NULL;
	}
	ff_ai_result(&result, CurrentMemoryContext);
	provider->wire->read(&result, json);
	return conclude(provider, options, reply, &result, text, fault);
}

Jsonb *
ff_ai_answer(const FfAiProvider *provider, Jsonb *options, FfAiReply *reply, FfAiFault *fault)
{
	memset(fault, 0, sizeof(*fault));
	fault->retry_after = -1;
	ff_ai_progress(provider, reply, CurrentMemoryContext);
	if (reply->stream != NULL)
		return conclude(provider, options, reply, &reply->stream->result, NULL, fault);
	return read_whole(provider, options, reply, fault);
}
