/*
 * gemini.c - Google's generateContent.
 *
 * Calls of tools need have no ids there, results of tools are known by the tool's name, and whether
 * tools were called is not told by the reason it stopped for.
 */
#include "postgres.h"

#include "ai/wire.h"

static const FfAiReason reasons[] = {{"STOP", "stop"},
									 {"MAX_TOKENS", "length"},
									 {"SAFETY", "content_filter"},
									 {"RECITATION", "content_filter"},
									 {"BLOCKLIST", "content_filter"},
									 {"PROHIBITED_CONTENT", "content_filter"},
									 {"SPII", "content_filter"},
									 {"IMAGE_SAFETY", "content_filter"},
									 {NULL, NULL}};

/* --- asking --- */

static void
put_text_part(FfAiAsk *ask, const char *text)
{
	ff_jb_object(&ask->out);
	ff_ai_put_text(ask, "text", text);
	ff_jb_end(&ask->out);
}

/* What a URL's ending says of an image. */
static const char *
media_of(const char *url)
{
	static const char *const known[][2] = {{".png", "image/png"},
										   {".jpg", "image/jpeg"},
										   {".jpeg", "image/jpeg"},
										   {".webp", "image/webp"},
										   {".gif", "image/gif"}};
	size_t					 length = strcspn(url, "?#");

	for (int i = 0; i < (int) lengthof(known); i++)
	{
		size_t size = strlen(known[i][0]);

		if (length > size && pg_strncasecmp(url + length - size, known[i][0], size) == 0)
			return known[i][1];
	}
	return NULL;
}

static void
put_image(FfAiAsk *ask, const FfAiPart *part)
{
	const char *media = part->data ? part->media : media_of(part->url);

	ff_jb_object(&ask->out);
	ff_ai_open_object(ask, part->data ? "inlineData" : "fileData");
	if (media != NULL)
		ff_ai_put_text(ask, "mimeType", media);
	ff_ai_put_text(ask, part->data ? "data" : "fileUri", part->data ? part->data : part->url);
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
}

static void
put_call(FfAiAsk *ask, const FfAiToolCall *call)
{
	ff_jb_object(&ask->out);
	ff_ai_open_object(ask, "functionCall");
	ff_ai_put_text(ask, "name", call->name);
	ff_ai_put_json(ask, "args", call->arguments);
	ff_jb_end(&ask->out);
	if (call->signature != NULL)
		ff_ai_put_text(ask, "thoughtSignature", call->signature);
	ff_jb_end(&ask->out);
}

/* The result has to be an object. */
static void
put_tool_result(FfAiAsk *ask, const FfAiMessage *message)
{
	const FfAiPart *part = message->parts ? linitial(message->parts) : NULL;
	const char	   *text = part && part->text ? part->text : "";
	FfJsonError		error;
	Jsonb		   *json = ff_json_parse(text, strlen(text), ff_json_depth_limit, &error);

	if (message->name == NULL)
	{
		ask->fault = psprintf("has a tool's message with the tool_call_id \"%s\", by which no "
							  "tool was called before",
							  message->call_id);
		return;
	}
	ff_jb_object(&ask->out);
	ff_ai_open_object(ask, "functionResponse");
	ff_ai_put_text(ask, "name", message->name);
	if (ff_json_is_object(json))
		ff_ai_put_json(ask, "response", json);
	else
	{
		ff_ai_open_object(ask, "response");
		ff_ai_put_text(ask, "result", text);
		ff_jb_end(&ask->out);
	}
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
}

static void
put_parts(FfAiAsk *ask, const FfAiMessage *message)
{
	ListCell *cell;

	if (message->role == FF_AI_TOOL)
	{
		put_tool_result(ask, message);
		return;
	}
	foreach (cell, message->parts)
	{
		const FfAiPart *part = lfirst(cell);

		if (part->text != NULL)
			put_text_part(ask, part->text);
		else if (part->data != NULL || part->url != NULL)
			put_image(ask, part);
		else
			ask->fault = psprintf("has a part of a message of type \"%s\", which Gemini's format "
								  "has no words for",
								  part->type);
	}
	foreach (cell, message->calls)
		put_call(ask, lfirst(cell));
}

static void
put_contents(FfAiAsk *ask)
{
	const FfAiMessage *before = NULL;
	ListCell		  *cell;

	ff_ai_open_array(ask, "contents");
	foreach (cell, ask->messages)
	{
		const FfAiMessage *message = lfirst(cell);

		if (message->role == FF_AI_SYSTEM)
			continue;
		if (before != NULL && !ff_ai_same_turn(before, message))
		{
			ff_jb_end(&ask->out);
			ff_jb_end(&ask->out);
		}
		if (!ff_ai_same_turn(before, message))
		{
			ff_jb_object(&ask->out);
			ff_ai_put_text(ask, "role", message->role == FF_AI_ASSISTANT ? "model" : "user");
			ff_ai_open_array(ask, "parts");
		}
		put_parts(ask, message);
		before = message;
	}
	if (before != NULL)
	{
		ff_jb_end(&ask->out);
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
	ff_jb_object(&ask->out);
	ff_ai_open_array(ask, "functionDeclarations");
	for (uint32 i = 0; i < JB_ROOT_COUNT(ask->tools); i++)
	{
		Jsonb *tool = ff_ai_tool(ask->tools, i);

		ff_jb_object(&ask->out);
		ff_ai_put_text(ask, "name", ff_json_text(tool, "name"));
		ff_ai_put_json(ask, "description", ff_ai_given(tool, "description"));
		ff_ai_put_json(ask, "parametersJsonSchema", ff_ai_given(tool, "parameters"));
		ff_jb_end(&ask->out);
	}
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
}

static void
put_tool_choice(FfAiAsk *ask)
{
	char	   *name;
	const char *choice = ff_ai_tool_choice(ask->options, &name);

	if (choice == NULL || ask->tools == NULL)
		return;
	ff_ai_open_object(ask, "toolConfig");
	ff_ai_open_object(ask, "functionCallingConfig");
	ff_ai_put_text(ask, "mode",
				   strcmp(choice, "auto") == 0	 ? "AUTO"
				   : strcmp(choice, "none") == 0 ? "NONE"
												 : "ANY");
	if (name != NULL)
	{
		ff_ai_open_array(ask, "allowedFunctionNames");
		ff_jb_text(&ask->out, name);
		ff_jb_end(&ask->out);
	}
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
}

static void
put_generation(FfAiAsk *ask)
{
	char *stop = ff_json_text(ask->options, "stop");

	ff_ai_open_object(ask, "generationConfig");
	ff_ai_put_option(ask, "max_tokens", "maxOutputTokens");
	ff_ai_put_option(ask, "temperature", "temperature");
	if (stop == NULL)
		ff_ai_put_option(ask, "stop", "stopSequences");
	else
	{
		ff_ai_open_array(ask, "stopSequences");
		ff_jb_text(&ask->out, stop);
		ff_jb_end(&ask->out);
	}
	if (ask->shape != FF_AI_ANY)
		ff_ai_put_text(ask, "responseMimeType", "application/json");
	ff_ai_put_json(ask, "responseJsonSchema", ask->schema);
	ff_jb_end(&ask->out);
}

static void
body(FfAiAsk *ask)
{
	char *system = ff_ai_system(ask);

	put_contents(ask);
	if (system != NULL)
	{
		ff_ai_open_object(ask, "systemInstruction");
		ff_ai_open_array(ask, "parts");
		put_text_part(ask, system);
		ff_jb_end(&ask->out);
		ff_jb_end(&ask->out);
	}
	put_tools(ask);
	put_tool_choice(ask);
	put_generation(ask);
}

static void
path(StringInfo url, const FfAiAsk *ask)
{
	appendStringInfoString(url, "/models/");
	ff_ai_put_model(url, ask);
	appendStringInfoString(url,
						   ask->stream ? ":streamGenerateContent?alt=sse" : ":generateContent");
}

static List *
authorize(List *headers, const FfAiProvider *provider)
{
	return lappend(headers, psprintf("x-goog-api-key: %s", provider->key));
}

/* --- being answered --- */

/* Thoughts are output, but counted apart. */
static void
read_usage(FfAiResult *result, Jsonb *json)
{
	if (ff_ai_object_at(json, "usageMetadata") == NULL)
		return;
	result->input = ff_ai_count_at(json, "usageMetadata.promptTokenCount");
	result->reasoning = ff_ai_count_at(json, "usageMetadata.thoughtsTokenCount");
	result->output = ff_ai_count_at(json, "usageMetadata.candidatesTokenCount") + result->reasoning;
	result->cached = ff_ai_count_at(json, "usageMetadata.cachedContentTokenCount");
}

static void
read_call(FfAiResult *result, Jsonb *part)
{
	char		 *id = ff_ai_text_at(part, "functionCall.id");
	FfAiToolCall *call =
		ff_ai_add_call(result, id ? id : psprintf("call_%d", list_length(result->calls)),
					   ff_ai_text_at(part, "functionCall.name"));

	ff_ai_set_json(result, &call->arguments, ff_ai_object_at(part, "functionCall.args"));
	ff_ai_set_text(result, &call->signature, ff_ai_text_at(part, "thoughtSignature"));
}

static void
read_parts(FfAiResult *result, Jsonb *parts)
{
	for (uint32 i = 0; parts != NULL && i < JB_ROOT_COUNT(parts); i++)
	{
		Jsonb *part = ff_ai_element(parts, i);

		if (ff_ai_object_at(part, "functionCall") != NULL)
			read_call(result, part);
		else if (!ff_json_is_object(part))
			result->malformed = "a part of it is not an object";
		else if (!ff_json_bool(part, "thought"))
			ff_ai_add_text(result, ff_ai_text_at(part, "text"));
	}
}

/* A whole answer, or a piece of one: they have the same form. */
static void
read_piece(FfAiResult *result, const char *event, Jsonb *json)
{
	char *reason = ff_ai_text_at(json, "candidates.0.finishReason");
	char *blocked = ff_ai_text_at(json, "promptFeedback.blockReason");

	if (ff_ai_given(json, "error") != NULL)
	{
		ff_ai_set_error(result, json, (long) ff_ai_count_at(json, "error.code"));
		return;
	}
	ff_ai_set_text(result, &result->model, ff_ai_text_at(json, "modelVersion"));
	read_usage(result, json);
	read_parts(result, ff_ai_list_at(json, "candidates.0.content.parts"));
	ff_ai_set_reason(result, reasons, blocked ? "PROHIBITED_CONTENT" : reason);
	result->complete |= reason != NULL || blocked != NULL;
}

static void
read_whole(FfAiResult *result, Jsonb *json)
{
	read_piece(result, NULL, json);
	if (result->error == NULL && ff_ai_object_at(json, "candidates.0") == NULL &&
		ff_ai_text_at(json, "promptFeedback.blockReason") == NULL)
		result->malformed = "it has no candidates.0";
	result->complete = true;
}

const FfAiWire ff_ai_gemini = {.format = "gemini",
							   .path = path,
							   .body = body,
							   .authorize = authorize,
							   .read = read_whole,
							   .read_piece = read_piece};
