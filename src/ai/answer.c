/*
 * answer.c - what a model's provider has answered (see ai.h).
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "ai/ai.h"
#include "util/json.h"
#include "util/redact.h"

#define SHOWN_BYTES 500 /* of an answer that is not understood */

/* --- text from outside --- */

/* UTF-8 without the key: where a provider repeats what it was sent, nothing of it is kept. */
static char *
clean(const FfAiProvider *provider, const char *text, int length)
{
	char *rest = pnstrdup(text, length);

	if (!pg_verifymbstr(rest, (int) strlen(rest), true) || (int) strlen(rest) != length)
		return pstrdup("(not text)");
	return provider->key ? ff_redact_text(rest, list_make1(provider->key)) : rest;
}

static Jsonb *
make_error(const char *message, long status, const char *body)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "name");
	ff_jb_text(&builder, "AiError");
	ff_jb_key(&builder, "message");
	ff_jb_text(&builder, message);
	if (status > 0)
	{
		ff_jb_key(&builder, "status");
		ff_jb_int(&builder, status);
	}
	if (body != NULL)
	{
		ff_jb_key(&builder, "stack");
		ff_jb_text(&builder, pnstrdup(body, pg_mbcliplen(body, (int) strlen(body), SHOWN_BYTES)));
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

Jsonb *
ff_ai_error(const FfAiProvider *provider, const char *message)
{
	return make_error(clean(provider, message, (int) strlen(message)), 0, NULL);
}

/* --- finding one's way --- */

/* A member, or an element of a list, by a path like choices.0.message; NULL when there is none. */
static Jsonb *
at(Jsonb *json, const char *path)
{
	char *parts = pstrdup(path);
	char *part;

	while (json != NULL && (part = strsep(&parts, ".")) != NULL)
	{
		if (ff_json_is_array(json))
		{
			JsonbValue *value = getIthJsonbValueFromContainer(&json->root, (uint32) atoi(part));

			json = value ? JsonbValueToJsonb(value) : NULL;
		}
		else
			json = ff_json_is_object(json) ? ff_json_member(json, part) : NULL;
	}
	return json;
}

static char *
text_at(Jsonb *json, const char *path)
{
	Jsonb	  *found = at(json, path);
	JsonbValue value;

	if (found == NULL || !JsonbExtractScalar(&found->root, &value) || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

static int64
count_at(Jsonb *json, const char *path)
{
	Jsonb	  *found = at(json, path);
	JsonbValue value;
	bool	   overflow = false;
	int32	   number;

	if (found == NULL || !JsonbExtractScalar(&found->root, &value) || value.type != jbvNumeric ||
		numeric_is_nan(value.val.numeric))
		return 0;
	number = numeric_int4_opt_error(value.val.numeric, &overflow);
	return overflow ? 0 : number;
}

/* --- the result --- */

typedef struct Result
{
	char		 *model;
	char		 *content;
	char		 *finish_reason;
	int64		  input;
	int64		  output;
	FfJsonBuilder calls; /* an open list */
} Result;

/* {id, name, arguments}; arguments are an object even where a provider writes them as text. */
static void
add_call(Result *result, const char *id, const char *name, Jsonb *arguments)
{
	JsonbValue	value;
	FfJsonError error;

	if (arguments != NULL && JsonbExtractScalar(&arguments->root, &value) &&
		value.type == jbvString)
	{
		Jsonb *parsed =
			ff_json_parse(value.val.string.val, value.val.string.len, ff_json_depth_limit, &error);

		arguments = parsed ? parsed : arguments;
	}
	ff_jb_object(&result->calls);
	ff_jb_key(&result->calls, "id");
	ff_jb_text(&result->calls, id);
	ff_jb_key(&result->calls, "name");
	ff_jb_text(&result->calls, name);
	ff_jb_key(&result->calls, "arguments");
	ff_jb_json(&result->calls, arguments);
	ff_jb_end(&result->calls);
}

static bool
read_openai(Result *result, Jsonb *json)
{
	Jsonb *calls = at(json, "choices.0.message.tool_calls");

	if (!ff_json_is_object(at(json, "choices.0.message")))
		return false;
	result->content = text_at(json, "choices.0.message.content");
	result->finish_reason = text_at(json, "choices.0.finish_reason");
	result->model = text_at(json, "model");
	result->input = count_at(json, "usage.prompt_tokens");
	result->output = count_at(json, "usage.completion_tokens");
	for (uint32 i = 0; ff_json_is_array(calls) && i < JB_ROOT_COUNT(calls); i++)
	{
		Jsonb *call = at(calls, psprintf("%u", i));

		add_call(result, text_at(call, "id"), text_at(call, "function.name"),
				 at(call, "function.arguments"));
	}
	return true;
}

static void
add_text(Result *result, const char *text)
{
	if (text != NULL)
		result->content = psprintf("%s%s", result->content ? result->content : "", text);
}

static bool
read_anthropic(Result *result, Jsonb *json)
{
	Jsonb *blocks = at(json, "content");

	if (!ff_json_is_array(blocks))
		return false;
	result->finish_reason = text_at(json, "stop_reason");
	result->model = text_at(json, "model");
	result->input = count_at(json, "usage.input_tokens");
	result->output = count_at(json, "usage.output_tokens");
	for (uint32 i = 0; i < JB_ROOT_COUNT(blocks); i++)
	{
		Jsonb *block = at(blocks, psprintf("%u", i));
		char  *type = text_at(block, "type");

		if (type != NULL && strcmp(type, "tool_use") == 0)
			add_call(result, text_at(block, "id"), text_at(block, "name"), at(block, "input"));
		else
			add_text(result, text_at(block, "text"));
	}
	return true;
}

static bool
read_gemini(Result *result, Jsonb *json)
{
	Jsonb *parts = at(json, "candidates.0.content.parts");

	if (!ff_json_is_object(at(json, "candidates.0")))
		return false;
	result->finish_reason = text_at(json, "candidates.0.finishReason");
	result->model = text_at(json, "modelVersion");
	result->input = count_at(json, "usageMetadata.promptTokenCount");
	result->output = count_at(json, "usageMetadata.candidatesTokenCount");
	for (uint32 i = 0; ff_json_is_array(parts) && i < JB_ROOT_COUNT(parts); i++)
	{
		Jsonb *part = at(parts, psprintf("%u", i));

		if (at(part, "functionCall") != NULL)
			add_call(result, psprintf("call_%u", i), text_at(part, "functionCall.name"),
					 at(part, "functionCall.args"));
		else
			add_text(result, text_at(part, "text"));
	}
	return true;
}

static void
put_cost(FfJsonBuilder *builder, const FfAiProvider *provider, const Result *result)
{
	double cost =
		(result->input * provider->input_price + result->output * provider->output_price) / 1e6;

	ff_jb_key(builder, "cost_usd");
	if (provider->priced)
		ff_jb_json(builder, DatumGetJsonbP(DirectFunctionCall1(
								jsonb_in, CStringGetDatum(psprintf("%.8f", cost)))));
	else
		ff_jb_json(builder, NULL);
}

static void
put_usage(FfJsonBuilder *builder, const FfAiProvider *provider, const Result *result, int64 took_ms)
{
	ff_jb_key(builder, "usage");
	ff_jb_object(builder);
	ff_jb_key(builder, "prompt_tokens");
	ff_jb_int(builder, result->input);
	ff_jb_key(builder, "completion_tokens");
	ff_jb_int(builder, result->output);
	ff_jb_key(builder, "total_tokens");
	ff_jb_int(builder, result->input + result->output);
	put_cost(builder, provider, result);
	ff_jb_key(builder, "latency_ms");
	ff_jb_int(builder, took_ms);
	ff_jb_end(builder);
}

static Jsonb *
write_result(const FfAiProvider *provider, Result *result, int64 took_ms)
{
	FfJsonBuilder builder = {0};

	ff_jb_end(&result->calls);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "content");
	ff_jb_text(&builder, result->content);
	ff_jb_key(&builder, "finish_reason");
	ff_jb_text(&builder, result->finish_reason);
	ff_jb_key(&builder, "model");
	ff_jb_text(&builder, result->model ? result->model : provider->model);
	ff_jb_key(&builder, "provider");
	ff_jb_text(&builder, provider->name);
	ff_jb_key(&builder, "tool_calls");
	ff_jb_json(&builder, ff_jb_finish(&result->calls));
	put_usage(&builder, provider, result, took_ms);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static bool
read_result(Result *result, FfAiFormat format, Jsonb *json)
{
	switch (format)
	{
		case FF_AI_ANTHROPIC:
			return read_anthropic(result, json);
		case FF_AI_GEMINI:
			return read_gemini(result, json);
		case FF_AI_OPENAI:
			break;
	}
	return read_openai(result, json);
}

static Jsonb *
refused(long status, const char *text, Jsonb *json)
{
	char *message = json ? text_at(json, "error.message") : NULL;

	if (message == NULL && json != NULL)
		message = text_at(json, "error");
	return make_error(psprintf("the provider answered %ld%s%s", status, message ? ": " : "",
							   message ? message : ""),
					  status, text);
}

Jsonb *
ff_ai_answer(const FfAiProvider *provider, long status, const char *body, int length, int64 took_ms,
			 Jsonb **error, bool *retry)
{
	char	   *text = clean(provider, body, length);
	FfJsonError fault;
	Jsonb	   *json = ff_json_parse(text, strlen(text), ff_json_depth_limit, &fault);
	Result		result = {0};

	*error = NULL;
	*retry = status == 408 || status == 409 || status == 429 || status >= 500;
	if (status < 200 || status > 299)
	{
		*error = refused(status, text, json);
		return NULL;
	}
	ff_jb_array(&result.calls);
	if (json != NULL && read_result(&result, provider->format, json))
		return write_result(provider, &result, took_ms);
	*retry = true;
	*error = make_error("the provider's answer is not one of a model", status, text);
	return NULL;
}
