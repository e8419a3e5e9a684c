/*
 * request.c - a call to a model as each format has it (see ai.h).
 *
 * OpenAI's chat format is the one options are written in. Anthropic wants the system's text and
 * tools elsewhere and max_tokens always; Gemini has words of its own for everything.
 */
#include "postgres.h"

#include "ai/ai.h"
#include "util/json.h"

#define DEFAULT_MAX_TOKENS 4096
#define ANTHROPIC_VERSION "2023-06-01"

/* --- options --- */

static Jsonb *
given(Jsonb *options, const char *key)
{
	Jsonb *value = ff_json_member(options, key);

	return value == NULL || ff_json_is_null(value) ? NULL : value;
}

static Jsonb *
element(Jsonb *list, uint32 place)
{
	return JsonbValueToJsonb(getIthJsonbValueFromContainer(&list->root, place));
}

static bool
is_number(Jsonb *options, const char *key)
{
	JsonbValue *value = ff_json_get(options, key);

	return value == NULL || value->type == jbvNull || value->type == jbvNumeric;
}

static const char *
check_messages(Jsonb *messages)
{
	if (!ff_json_is_array(messages) || JB_ROOT_COUNT(messages) == 0)
		return "has messages that are not a list";
	for (uint32 i = 0; i < JB_ROOT_COUNT(messages); i++)
	{
		if (ff_json_text(element(messages, i), "role") == NULL)
			return "has a message without a role";
	}
	return NULL;
}

const char *
ff_ai_check(Jsonb *options)
{
	char *model = options ? ff_json_text(options, "model") : NULL;

	if (model == NULL || *model == '\0' || strlen(model) > 200)
		return "names no model";
	if ((given(options, "messages") == NULL) == (given(options, "prompt") == NULL))
		return "needs either messages or a prompt";
	if (given(options, "prompt") != NULL && ff_json_text(options, "prompt") == NULL)
		return "has a prompt that is not text";
	if (given(options, "system") != NULL && ff_json_text(options, "system") == NULL)
		return "has a system prompt that is not text";
	if (given(options, "provider") != NULL && ff_json_text(options, "provider") == NULL)
		return "has a provider that is not text";
	if (given(options, "tools") != NULL && !ff_json_is_array(given(options, "tools")))
		return "has tools that are not a list";
	if (given(options, "response_format") != NULL &&
		!ff_json_is_object(given(options, "response_format")))
		return "has a response_format that is not an object";
	if (!is_number(options, "max_tokens") || !is_number(options, "temperature"))
		return "has a max_tokens or a temperature that is not a number";
	return given(options, "messages") ? check_messages(given(options, "messages")) : NULL;
}

/* --- writing JSON --- */

static void
put_text(FfJsonBuilder *builder, const char *key, const char *text)
{
	ff_jb_key(builder, key);
	ff_jb_text(builder, text);
}

/* Copies an option, under another name perhaps; nothing when it is not given. */
static void
put_option(FfJsonBuilder *builder, Jsonb *options, const char *option, const char *key)
{
	Jsonb *value = given(options, option);

	if (value == NULL)
		return;
	ff_jb_key(builder, key);
	ff_jb_json(builder, value);
}

static void
put_message(FfJsonBuilder *builder, const char *role, const char *content)
{
	ff_jb_object(builder);
	put_text(builder, "role", role);
	put_text(builder, "content", content);
	ff_jb_end(builder);
}

/* The system's text: of the option, or of the first message if that is the system's. */
static char *
system_text(Jsonb *options)
{
	char  *text = ff_json_text(options, "system");
	Jsonb *messages = given(options, "messages");
	Jsonb *first = messages ? element(messages, 0) : NULL;

	if (text == NULL && first != NULL && strcmp(ff_json_text(first, "role"), "system") == 0)
		text = ff_json_text(first, "content");
	return text;
}

/* --- OpenAI --- */

static void
put_openai_messages(FfJsonBuilder *builder, Jsonb *options)
{
	Jsonb *messages = given(options, "messages");

	ff_jb_key(builder, "messages");
	ff_jb_array(builder);
	if (ff_json_text(options, "system") != NULL)
		put_message(builder, "system", ff_json_text(options, "system"));
	if (messages == NULL)
		put_message(builder, "user", ff_json_text(options, "prompt"));
	for (uint32 i = 0; messages != NULL && i < JB_ROOT_COUNT(messages); i++)
		ff_jb_json(builder, element(messages, i));
	ff_jb_end(builder);
}

static void
put_openai(FfJsonBuilder *builder, const FfAiProvider *provider, Jsonb *options)
{
	put_text(builder, "model", provider->model);
	put_openai_messages(builder, options);
	put_option(builder, options, "tools", "tools");
	put_option(builder, options, "max_tokens", "max_tokens");
	put_option(builder, options, "temperature", "temperature");
	put_option(builder, options, "response_format", "response_format");
}

/* --- Anthropic --- */

/* {type: function, function: {name, description, parameters}} → {name, description, input_schema}
 */
static void
put_tool(FfJsonBuilder *builder, Jsonb *tool, const char *schema)
{
	Jsonb *function = given(tool, "function");

	ff_jb_object(builder);
	put_option(builder, function ? function : tool, "name", "name");
	put_option(builder, function ? function : tool, "description", "description");
	put_option(builder, function ? function : tool, "parameters", schema);
	ff_jb_end(builder);
}

static void
put_tools(FfJsonBuilder *builder, Jsonb *options, const char *key, const char *schema)
{
	Jsonb *tools = given(options, "tools");

	if (tools == NULL)
		return;
	ff_jb_key(builder, key);
	ff_jb_array(builder);
	for (uint32 i = 0; i < JB_ROOT_COUNT(tools); i++)
		put_tool(builder, element(tools, i), schema);
	ff_jb_end(builder);
}

static void
put_anthropic(FfJsonBuilder *builder, const FfAiProvider *provider, Jsonb *options)
{
	Jsonb *messages = given(options, "messages");

	put_text(builder, "model", provider->model);
	if (system_text(options) != NULL)
		put_text(builder, "system", system_text(options));
	ff_jb_key(builder, "messages");
	ff_jb_array(builder);
	if (messages == NULL)
		put_message(builder, "user", ff_json_text(options, "prompt"));
	for (uint32 i = 0; messages != NULL && i < JB_ROOT_COUNT(messages); i++)
	{
		if (strcmp(ff_json_text(element(messages, i), "role"), "system") != 0)
			ff_jb_json(builder, element(messages, i));
	}
	ff_jb_end(builder);
	put_tools(builder, options, "tools", "input_schema");
	put_option(builder, options, "temperature", "temperature");
	if (given(options, "max_tokens") != NULL)
		put_option(builder, options, "max_tokens", "max_tokens");
	else
	{
		ff_jb_key(builder, "max_tokens");
		ff_jb_int(builder, DEFAULT_MAX_TOKENS);
	}
}

/* --- Gemini --- */

static void
put_parts(FfJsonBuilder *builder, const char *text)
{
	ff_jb_key(builder, "parts");
	ff_jb_array(builder);
	ff_jb_object(builder);
	put_text(builder, "text", text);
	ff_jb_end(builder);
	ff_jb_end(builder);
}

static void
put_content(FfJsonBuilder *builder, const char *role, const char *text)
{
	ff_jb_object(builder);
	put_text(builder, "role", strcmp(role, "assistant") == 0 ? "model" : "user");
	put_parts(builder, text ? text : "");
	ff_jb_end(builder);
}

static void
put_gemini_contents(FfJsonBuilder *builder, Jsonb *options)
{
	Jsonb *messages = given(options, "messages");

	ff_jb_key(builder, "contents");
	ff_jb_array(builder);
	if (messages == NULL)
		put_content(builder, "user", ff_json_text(options, "prompt"));
	for (uint32 i = 0; messages != NULL && i < JB_ROOT_COUNT(messages); i++)
	{
		Jsonb *message = element(messages, i);
		char  *role = ff_json_text(message, "role");

		if (strcmp(role, "system") != 0)
			put_content(builder, role, ff_json_text(message, "content"));
	}
	ff_jb_end(builder);
}

static void
put_gemini(FfJsonBuilder *builder, Jsonb *options)
{
	put_gemini_contents(builder, options);
	if (system_text(options) != NULL)
	{
		ff_jb_key(builder, "systemInstruction");
		ff_jb_object(builder);
		put_parts(builder, system_text(options));
		ff_jb_end(builder);
	}
	if (given(options, "tools") != NULL)
	{
		ff_jb_key(builder, "tools");
		ff_jb_array(builder);
		ff_jb_object(builder);
		put_tools(builder, options, "functionDeclarations", "parameters");
		ff_jb_end(builder);
		ff_jb_end(builder);
	}
	ff_jb_key(builder, "generationConfig");
	ff_jb_object(builder);
	put_option(builder, options, "max_tokens", "maxOutputTokens");
	put_option(builder, options, "temperature", "temperature");
	if (given(options, "response_format") != NULL)
		put_text(builder, "responseMimeType", "application/json");
	ff_jb_end(builder);
}

/* --- the request --- */

char *
ff_ai_request(const FfAiProvider *provider, Jsonb *options, StringInfo body, List **headers)
{
	FfJsonBuilder builder = {0};
	char		 *url;
	char		 *header = NULL;
	Jsonb		 *json;

	ff_jb_object(&builder);
	switch (provider->format)
	{
		case FF_AI_ANTHROPIC:
			put_anthropic(&builder, provider, options);
			url = psprintf("%s/messages", provider->base_url);
			header = "x-api-key: %s";
			break;
		case FF_AI_GEMINI:
			put_gemini(&builder, options);
			url = psprintf("%s/models/%s:generateContent", provider->base_url, provider->model);
			header = "x-goog-api-key: %s";
			break;
		case FF_AI_OPENAI:
		default:
			put_openai(&builder, provider, options);
			url = psprintf("%s/chat/completions", provider->base_url);
			header = "authorization: Bearer %s";
			break;
	}
	ff_jb_end(&builder);
	json = ff_jb_finish(&builder);
	(void) JsonbToCString(body, &json->root, VARSIZE(json));
	*headers = list_make1("content-type: application/json");
	if (provider->format == FF_AI_ANTHROPIC)
		*headers = lappend(*headers, "anthropic-version: " ANTHROPIC_VERSION);
	if (provider->key != NULL)
	{
		const char *place = strstr(header, "%s");

		*headers =
			lappend(*headers, psprintf("%.*s%s", (int) (place - header), header, provider->key));
	}
	return url;
}
