/*
 * check.c - whether the options of a call make sense, before anybody is asked (see ai.h). What
 * passes here, ask.c reads without looking twice.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "ai/wire.h"

#define MAX_MODEL_BYTES 200
#define MAX_STOPS 16

static bool
is_number(Jsonb *options, const char *key)
{
	JsonbValue *value = ff_json_get(options, key);

	return value == NULL || value->type == jbvNull || value->type == jbvNumeric;
}

static bool
is_text(Jsonb *options, const char *key)
{
	return ff_ai_given(options, key) == NULL || ff_json_text(options, key) != NULL;
}

static bool
is_known(const char *word, const char *const *words)
{
	for (; *words != NULL; words++)
	{
		if (strcmp(word, *words) == 0)
			return true;
	}
	return false;
}

/* --- messages --- */

static const char *
check_parts(Jsonb *parts)
{
	uint32 count = parts ? JB_ROOT_COUNT(parts) : 0;

	for (uint32 i = 0; i < count; i++)
	{
		Jsonb *part = ff_ai_element(parts, i);
		char  *type = ff_json_text(part, "type");
		Jsonb *image = ff_json_member(part, "image_url");

		if (type == NULL)
			return "has a part of a message without a type";
		if (strcmp(type, "text") == 0 && ff_json_text(part, "text") == NULL)
			return "has a part of a message whose text is not text";
		if (strcmp(type, "image_url") == 0 && ff_json_text(part, "image_url") == NULL &&
			(image == NULL || ff_json_text(image, "url") == NULL))
			return "has an image without a URL: {type: image_url, image_url: {url}}";
	}
	return NULL;
}

/* Either {id, name, arguments}, as results have it, or OpenAI's {id, function: {name, arguments}}.
 */
static const char *
check_calls(Jsonb *message)
{
	Jsonb *calls = ff_ai_given(message, "tool_calls");

	if (calls == NULL)
		return NULL;
	if (!ff_json_is_array(calls))
		return "has a message whose tool_calls are not a list";
	for (uint32 i = 0; i < JB_ROOT_COUNT(calls); i++)
	{
		Jsonb *call = ff_ai_element(calls, i);
		Jsonb *function = ff_json_is_object(call) ? ff_ai_given(call, "function") : NULL;

		if (!ff_json_is_object(call) || ff_json_text(function ? function : call, "name") == NULL)
			return "has a message with a tool call without a name";
	}
	return NULL;
}

static const char *
check_message(Jsonb *message)
{
	static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", NULL};
	char					*role = ff_json_text(message, "role");
	Jsonb					*content = ff_ai_given(message, "content");

	if (role == NULL)
		return "has a message without a role";
	if (!is_known(role, roles))
		return "has a message whose role is not system, developer, user, assistant or tool";
	if (strcmp(role, "tool") == 0)
		return ff_json_text(message, "tool_call_id") == NULL
				   ? "has a tool's message without a tool_call_id"
				   : NULL;
	if (content == NULL && ff_ai_given(message, "tool_calls") == NULL)
		return "has a message without content";
	if (content != NULL && ff_json_text(message, "content") == NULL && !ff_json_is_array(content))
		return "has a message whose content is neither text nor a list of parts";
	if (ff_json_is_array(content) && check_parts(content) != NULL)
		return check_parts(content);
	return check_calls(message);
}

static const char *
check_messages(Jsonb *messages)
{
	if (!ff_json_is_array(messages) || JB_ROOT_COUNT(messages) == 0)
		return "has messages that are not a list";
	for (uint32 i = 0; i < JB_ROOT_COUNT(messages); i++)
	{
		const char *fault = check_message(ff_ai_element(messages, i));

		if (fault != NULL)
			return fault;
	}
	return NULL;
}

/* --- the rest --- */

static const char *
check_tools(Jsonb *tools)
{
	if (!ff_json_is_array(tools))
		return "has tools that are not a list";
	for (uint32 i = 0; i < JB_ROOT_COUNT(tools); i++)
	{
		Jsonb *tool = ff_ai_tool(tools, i);

		if (!ff_json_is_object(tool) || ff_json_text(tool, "name") == NULL)
			return "has one of its tools without a name";
		if (ff_ai_given(tool, "parameters") != NULL &&
			!ff_json_is_object(ff_ai_given(tool, "parameters")))
			return "has one of its tools whose parameters are not a JSON Schema";
	}
	return NULL;
}

static const char *
check_tool_choice(Jsonb *options)
{
	char *name;

	if (ff_ai_given(options, "tool_choice") == NULL || ff_ai_tool_choice(options, &name) != NULL)
		return NULL;
	return "has a tool_choice that is not auto, none, required or {name}";
}

static const char *
check_stop(Jsonb *options)
{
	Jsonb *stop = ff_ai_given(options, "stop");

	if (stop == NULL || ff_json_text(options, "stop") != NULL)
		return NULL;
	if (!ff_json_is_array(stop) || JB_ROOT_COUNT(stop) > MAX_STOPS)
		return "has a stop that is neither text nor a list of up to 16 texts";
	for (uint32 i = 0; i < JB_ROOT_COUNT(stop); i++)
	{
		JsonbValue *one = getIthJsonbValueFromContainer(&stop->root, i);

		if (one->type != jbvString)
			return "has a stop that is neither text nor a list of up to 16 texts";
	}
	return NULL;
}

static const char *
check_response_format(Jsonb *options)
{
	static const char *const types[] = {"text", "json_object", "json_schema", NULL};
	Jsonb					*format = ff_ai_given(options, "response_format");
	char					*type = ff_json_is_object(format) ? ff_json_text(format, "type") : NULL;
	Jsonb					*schema = NULL;

	if (format == NULL)
		return NULL;
	if (!ff_json_is_object(format))
		return "has a response_format that is not an object";
	if (type == NULL || !is_known(type, types))
		return "has a response_format whose type is not text, json_object or json_schema";
	if (strcmp(type, "json_schema") != 0)
		return NULL;
	(void) ff_ai_shape(options, &schema);
	return ff_json_is_object(schema) ? NULL
									 : "has a response_format of type json_schema without a schema";
}

/* Absent, or a whole number from 1. */
static bool
is_count(Jsonb *options, const char *key)
{
	int64 number;

	return ff_ai_given(options, key) == NULL ||
		   (ff_json_int64(options, key, &number) && number > 0 && number <= PG_INT32_MAX);
}

static bool
is_bool(Jsonb *options, const char *key)
{
	JsonbValue *value = ff_json_get(options, key);

	return value == NULL || value->type == jbvNull || value->type == jbvBool;
}

static const char *
check_numbers(Jsonb *options)
{
	if (!is_number(options, "max_tokens") || !is_number(options, "temperature"))
		return "has a max_tokens or a temperature that is not a number";
	if (!is_count(options, "max_tokens"))
		return "has a max_tokens that is not a whole number from 1";
	return is_bool(options, "stream") ? NULL : "has a stream that is not true or false";
}

const char *
ff_ai_check(Jsonb *options)
{
	char	   *model = options ? ff_json_text(options, "model") : NULL;
	const char *fault = NULL;

	if (model == NULL || *model == '\0' || strlen(model) > MAX_MODEL_BYTES)
		return "names no model";
	if ((ff_ai_given(options, "messages") == NULL) == (ff_ai_given(options, "prompt") == NULL))
		return "needs either messages or a prompt";
	if (!is_text(options, "prompt"))
		return "has a prompt that is not text";
	if (!is_text(options, "system"))
		return "has a system prompt that is not text";
	if (!is_text(options, "provider"))
		return "has a provider that is not text";
	if (ff_ai_given(options, "tools") != NULL)
		fault = check_tools(ff_ai_given(options, "tools"));
	if (fault == NULL)
		fault = check_tool_choice(options);
	if (fault == NULL)
		fault = check_response_format(options);
	if (fault == NULL)
		fault = check_numbers(options);
	if (fault == NULL)
		fault = check_stop(options);
	if (fault == NULL && ff_ai_given(options, "messages") != NULL)
		fault = check_messages(ff_ai_given(options, "messages"));
	return fault;
}
