/*
 * openai.c - OpenAI's chat completions, and those who speak it with differences: Azure by its
 * addresses and key, Mistral by two words.
 *
 * Options are written in this format, so most of them are handed on as they are.
 */
#include "postgres.h"

#include "ai/wire.h"

#define AZURE_VERSION "2024-10-21"

static const FfAiReason reasons[] = {
	{"function_call", "tool_calls"}, {"model_length", "length"}, {NULL, NULL}};

/* --- asking --- */

static void
put_call(FfAiAsk *ask, const FfAiToolCall *call)
{
	Jsonb *arguments = call->arguments;

	ff_jb_object(&ask->out);
	ff_ai_put_text(ask, "id", call->id);
	ff_ai_put_text(ask, "type", "function");
	ff_ai_open_object(ask, "function");
	ff_ai_put_text(ask, "name", call->name);
	ff_ai_put_text(ask, "arguments", JsonbToCString(NULL, &arguments->root, VARSIZE(arguments)));
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
}

/* A message's own members, but for those that are written here. */
static void
copy_members(FfAiAsk *ask, Jsonb *message)
{
	JsonbIterator	  *it = JsonbIteratorInit(&message->root);
	JsonbValue		   value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		if (strcmp(key, "tool_calls") == 0 || strcmp(key, "content") == 0)
			continue;
		ff_jb_key(&ask->out, key);
		ff_jb_json(&ask->out, JsonbValueToJsonb(&value));
	}
}

static void
put_message(FfAiAsk *ask, const FfAiMessage *message)
{
	ListCell *cell;

	ff_jb_object(&ask->out);
	if (message->json == NULL)
		ff_ai_put_text(ask, "role", message->role == FF_AI_SYSTEM ? "system" : "user");
	else
		copy_members(ask, message->json);
	if (message->text != NULL || message->json == NULL)
		ff_ai_put_text(ask, "content", message->text);
	else
		ff_ai_put_json(ask, "content", ff_json_member(message->json, "content"));
	if (message->calls != NIL)
	{
		ff_ai_open_array(ask, "tool_calls");
		foreach (cell, message->calls)
			put_call(ask, lfirst(cell));
		ff_jb_end(&ask->out);
	}
	ff_jb_end(&ask->out);
}

static void
put_tools(FfAiAsk *ask)
{
	if (ask->tools == NULL)
		return;
	ff_ai_open_array(ask, "tools");
	for (uint32 i = 0; i < JB_ROOT_COUNT(ask->tools); i++)
	{
		Jsonb *tool = ff_ai_element(ask->tools, i);

		if (ff_ai_given(tool, "function") != NULL)
		{
			ff_jb_json(&ask->out, tool);
			continue;
		}
		ff_jb_object(&ask->out);
		ff_ai_put_text(ask, "type", "function");
		ff_ai_put_json(ask, "function", tool);
		ff_jb_end(&ask->out);
	}
	ff_jb_end(&ask->out);
}

static void
put_tool_choice(FfAiAsk *ask)
{
	char	   *name;
	const char *choice = ff_ai_tool_choice(ask->options, &name);

	if (choice == NULL || ask->tools == NULL)
		return;
	if (name == NULL)
	{
		bool any = strcmp(choice, "required") == 0 && ask->provider->wire == &ff_ai_mistral;

		ff_ai_put_text(ask, "tool_choice", any ? "any" : choice);
		return;
	}
	ff_ai_open_object(ask, "tool_choice");
	ff_ai_put_text(ask, "type", "function");
	ff_ai_open_object(ask, "function");
	ff_ai_put_text(ask, "name", name);
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
}

/* OpenAI's own form as it is; {type, schema} is given the name that OpenAI wants. */
static void
put_response_format(FfAiAsk *ask)
{
	Jsonb *format = ff_ai_given(ask->options, "response_format");

	if (ask->schema == NULL || ff_ai_given(format, "json_schema") != NULL)
	{
		ff_ai_put_option(ask, "response_format", "response_format");
		return;
	}
	ff_ai_open_object(ask, "response_format");
	ff_ai_put_text(ask, "type", "json_schema");
	ff_ai_open_object(ask, "json_schema");
	ff_ai_put_text(ask, "name", "answer");
	ff_ai_put_json(ask, "schema", ask->schema);
	ff_ai_put_json(ask, "strict", ff_ai_given(format, "strict"));
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
}

/* Models that reason want another word for the limit, and refuse the old one. */
static const char *
limit_word(const FfAiProvider *provider)
{
	const char *model = provider->model;
	bool		reasons_itself =
		(model[0] == 'o' && isdigit((unsigned char) model[1])) || strncmp(model, "gpt-5", 5) == 0;

	return reasons_itself && provider->wire != &ff_ai_mistral ? "max_completion_tokens"
															  : "max_tokens";
}

static void
put_stream(FfAiAsk *ask)
{
	if (!ask->stream)
		return;
	ff_jb_key(&ask->out, "stream");
	ff_jb_bool(&ask->out, true);
	/* Mistral says what was used without being asked, and refuses to be. */
	if (ask->provider->wire == &ff_ai_mistral)
		return;
	ff_ai_open_object(ask, "stream_options");
	ff_jb_key(&ask->out, "include_usage");
	ff_jb_bool(&ask->out, true);
	ff_jb_end(&ask->out);
}

static void
body(FfAiAsk *ask)
{
	ListCell *cell;

	ff_ai_put_text(ask, "model", ask->provider->model);
	ff_ai_open_array(ask, "messages");
	foreach (cell, ask->messages)
		put_message(ask, lfirst(cell));
	ff_jb_end(&ask->out);
	put_tools(ask);
	put_tool_choice(ask);
	ff_ai_put_option(ask, "max_tokens", limit_word(ask->provider));
	ff_ai_put_option(ask, "temperature", "temperature");
	ff_ai_put_option(ask, "stop", "stop");
	put_response_format(ask);
	put_stream(ask);
}

static void
path(StringInfo url, const FfAiAsk *ask)
{
	appendStringInfoString(url, "/chat/completions");
}

static void
azure_path(StringInfo url, const FfAiAsk *ask)
{
	const char *version = ask->provider->api_version;

	appendStringInfoString(url, "/openai/deployments/");
	ff_ai_put_model(url, ask);
	appendStringInfo(url, "/chat/completions?api-version=%s", version ? version : AZURE_VERSION);
}

static List *
authorize(List *headers, const FfAiProvider *provider)
{
	return lappend(headers, psprintf("authorization: Bearer %s", provider->key));
}

static List *
azure_authorize(List *headers, const FfAiProvider *provider)
{
	return lappend(headers, psprintf("api-key: %s", provider->key));
}

/* --- being answered --- */

/* Text, or a list of parts of which some are text. */
static void
read_content(FfAiResult *result, Jsonb *message)
{
	Jsonb *content = message ? ff_ai_given(message, "content") : NULL;

	if (content == NULL)
		return;
	if (ff_json_is_array(content))
	{
		for (uint32 i = 0; i < JB_ROOT_COUNT(content); i++)
			ff_ai_add_text(result, ff_json_text(ff_ai_element(content, i), "text"));
	}
	else if (ff_json_text(message, "content") == NULL)
		result->malformed = "its content is neither text nor a list of parts";
	else
		ff_ai_add_text(result, ff_json_text(message, "content"));
}

/* Input tokens hold those of the cache, output tokens those of reasoning. */
static void
read_usage(FfAiResult *result, Jsonb *json)
{
	if (ff_ai_object_at(json, "usage") == NULL)
		return;
	result->input = ff_ai_count_at(json, "usage.prompt_tokens");
	result->output = ff_ai_count_at(json, "usage.completion_tokens");
	result->cached = ff_ai_count_at(json, "usage.prompt_tokens_details.cached_tokens");
	result->reasoning = ff_ai_count_at(json, "usage.completion_tokens_details.reasoning_tokens");
	ff_ai_set_json(result, &result->told_cost, ff_json_at(json, "usage.cost"));
}

/* Of a whole message the arguments are there at once, of a stream they come bit by bit and the
 * index says whose. */
static void
read_calls(FfAiResult *result, Jsonb *calls, bool streamed)
{
	for (uint32 i = 0; calls != NULL && i < JB_ROOT_COUNT(calls); i++)
	{
		Jsonb		 *given = ff_ai_element(calls, i);
		int64		  index;
		FfAiToolCall *call;
		char		 *text = ff_ai_text_at(given, "function.arguments");

		if (!streamed || !ff_json_int64(given, "index", &index))
			index = streamed && ff_ai_text_at(given, "id") == NULL
						? Max(list_length(result->calls) - 1, 0)
						: list_length(result->calls);
		if (index < 0 || index > list_length(result->calls))
		{
			result->malformed = "a tool call of it has an index that makes no sense";
			return;
		}
		call = index < list_length(result->calls) ? list_nth(result->calls, (int) index)
												  : ff_ai_add_call(result, NULL, NULL);
		ff_ai_set_text(result, &call->id, ff_ai_text_at(given, "id"));
		ff_ai_set_text(result, &call->name, ff_ai_text_at(given, "function.name"));
		if (text != NULL)
			appendStringInfoString(&call->text, text);
		else if (!streamed)
			call->arguments = ff_json_at(given, "function.arguments");
	}
}

static void
read_choice(FfAiResult *result, Jsonb *message, Jsonb *choice, bool streamed)
{
	char *reason = ff_ai_text_at(choice, "finish_reason");
	char *refusal = ff_ai_text_at(message, "refusal");

	read_content(result, message);
	ff_ai_add_text(result, refusal);
	if (message != NULL && ff_ai_given(message, "tool_calls") != NULL &&
		ff_ai_list_at(message, "tool_calls") == NULL)
		result->malformed = "its tool_calls are not a list";
	read_calls(result, ff_ai_list_at(message, "tool_calls"), streamed);
	ff_ai_set_reason(result, reasons, refusal && reason ? "content_filter" : reason);
	result->complete |= reason != NULL;
}

/* Some report an error under the status 200. */
static bool
read_error(FfAiResult *result, Jsonb *json)
{
	if (ff_ai_given(json, "error") == NULL)
		return false;
	ff_ai_set_error(result, json, (long) ff_ai_count_at(json, "error.code"));
	return true;
}

static void
read_whole(FfAiResult *result, Jsonb *json)
{
	Jsonb *message = ff_ai_object_at(json, "choices.0.message");

	if (read_error(result, json))
		return;
	if (message == NULL)
	{
		result->malformed = "it has no choices.0.message";
		return;
	}
	ff_ai_set_text(result, &result->model, ff_ai_text_at(json, "model"));
	read_usage(result, json);
	read_choice(result, message, ff_ai_object_at(json, "choices.0"), false);
	result->complete = true;
}

static void
read_piece(FfAiResult *result, const char *event, Jsonb *piece)
{
	Jsonb *choice = ff_ai_object_at(piece, "choices.0");

	if (read_error(result, piece))
		return;
	ff_ai_set_text(result, &result->model, ff_ai_text_at(piece, "model"));
	read_usage(result, piece);
	/* The last piece may hold nothing but the usage. */
	if (choice != NULL)
		read_choice(result, ff_ai_object_at(choice, "delta"), choice, true);
}

const FfAiWire ff_ai_openai = {.format = "openai",
							   .path = path,
							   .body = body,
							   .authorize = authorize,
							   .read = read_whole,
							   .read_piece = read_piece};

const FfAiWire ff_ai_azure = {.format = "azure",
							  .path = azure_path,
							  .body = body,
							  .authorize = azure_authorize,
							  .read = read_whole,
							  .read_piece = read_piece};

const FfAiWire ff_ai_mistral = {.format = "mistral",
								.path = path,
								.body = body,
								.authorize = authorize,
								.read = read_whole,
								.read_piece = read_piece};
