/*
 * anthropic.c - Anthropic's messages.
 *
 * The system's text stands apart, max_tokens is always said, what tools gave is part of a user's
 * turn, and turns of one side are one. There is no JSON format: the model is made to call a tool
 * whose parameters are the schema, and what it calls it with is the content.
 */
#include "postgres.h"

#include "ai/wire.h"

#define DEFAULT_MAX_TOKENS 4096
#define VERSION "2023-06-01"

static const FfAiReason reasons[] = {{"end_turn", "stop"},
									 {"stop_sequence", "stop"},
									 {"pause_turn", "stop"},
									 {"max_tokens", "length"},
									 {"model_context_window_exceeded", "length"},
									 {"tool_use", "tool_calls"},
									 {"refusal", "content_filter"},
									 {NULL, NULL}};

/* --- asking --- */

static void
put_image(FfAiAsk *ask, const FfAiPart *part)
{
	ff_jb_object(&ask->out);
	ff_ai_put_text(ask, "type", "image");
	ff_ai_open_object(ask, "source");
	ff_ai_put_text(ask, "type", part->data ? "base64" : "url");
	if (part->data != NULL)
	{
		ff_ai_put_text(ask, "media_type", part->media);
		ff_ai_put_text(ask, "data", part->data);
	}
	else
		ff_ai_put_text(ask, "url", part->url);
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
}

static void
put_parts(FfAiAsk *ask, List *parts)
{
	ListCell *cell;

	foreach (cell, parts)
	{
		const FfAiPart *part = lfirst(cell);

		if (part->text != NULL)
		{
			ff_jb_object(&ask->out);
			ff_ai_put_text(ask, "type", "text");
			ff_ai_put_text(ask, "text", part->text);
			ff_jb_end(&ask->out);
		}
		else if (part->data != NULL || part->url != NULL)
			put_image(ask, part);
		else
			ask->fault = psprintf("has a part of a message of type \"%s\", which Anthropic's "
								  "format has no words for",
								  part->type);
	}
}

static void
put_tool_result(FfAiAsk *ask, const FfAiMessage *message)
{
	ff_jb_object(&ask->out);
	ff_ai_put_text(ask, "type", "tool_result");
	ff_ai_put_text(ask, "tool_use_id", message->call_id);
	if (message->text != NULL)
		ff_ai_put_text(ask, "content", message->text);
	else
	{
		ff_ai_open_array(ask, "content");
		put_parts(ask, message->parts);
		ff_jb_end(&ask->out);
	}
	ff_jb_end(&ask->out);
}

static void
put_blocks(FfAiAsk *ask, const FfAiMessage *message)
{
	ListCell *cell;

	if (message->role == FF_AI_TOOL)
	{
		put_tool_result(ask, message);
		return;
	}
	put_parts(ask, message->parts);
	foreach (cell, message->calls)
	{
		const FfAiToolCall *call = lfirst(cell);

		ff_jb_object(&ask->out);
		ff_ai_put_text(ask, "type", "tool_use");
		ff_ai_put_text(ask, "id", call->id);
		ff_ai_put_text(ask, "name", call->name);
		ff_ai_put_json(ask, "input", call->arguments);
		ff_jb_end(&ask->out);
	}
}

/* The messages of a turn: `from` and all that go with it. Gives the place after them. */
static int
put_turn(FfAiAsk *ask, List *messages, int from)
{
	const FfAiMessage *first = list_nth(messages, from);
	int				   to = from + 1;

	while (to < list_length(messages) && ff_ai_same_turn(first, list_nth(messages, to)))
		to++;
	ff_jb_object(&ask->out);
	ff_ai_put_text(ask, "role", first->role == FF_AI_ASSISTANT ? "assistant" : "user");
	if (to == from + 1 && first->text != NULL && first->calls == NIL && first->role != FF_AI_TOOL)
		ff_ai_put_text(ask, "content", first->text);
	else
	{
		ff_ai_open_array(ask, "content");
		for (int i = from; i < to; i++)
			put_blocks(ask, list_nth(messages, i));
		ff_jb_end(&ask->out);
	}
	ff_jb_end(&ask->out);
	return to;
}

static void
put_messages(FfAiAsk *ask)
{
	List	 *messages = NIL;
	ListCell *cell;

	foreach (cell, ask->messages)
	{
		if (((FfAiMessage *) lfirst(cell))->role != FF_AI_SYSTEM)
			messages = lappend(messages, lfirst(cell));
	}
	ff_ai_open_array(ask, "messages");
	for (int i = 0; i < list_length(messages);)
		i = put_turn(ask, messages, i);
	ff_jb_end(&ask->out);
}

static void
put_tool(FfAiAsk *ask, const char *name, Jsonb *description, Jsonb *schema)
{
	FfJsonError error;

	if (schema == NULL)
		schema = ff_json_parse("{\"type\": \"object\"}", 18, 2, &error);
	ff_jb_object(&ask->out);
	ff_ai_put_text(ask, "name", name);
	ff_ai_put_json(ask, "description", description);
	ff_ai_put_json(ask, "input_schema", schema);
	ff_jb_end(&ask->out);
}

static void
put_tools(FfAiAsk *ask)
{
	if (ask->tools == NULL && ask->shape != FF_AI_SCHEMA)
		return;
	ff_ai_open_array(ask, "tools");
	for (uint32 i = 0; ask->tools != NULL && i < JB_ROOT_COUNT(ask->tools); i++)
	{
		Jsonb *tool = ff_ai_tool(ask->tools, i);

		put_tool(ask, ff_json_text(tool, "name"), ff_ai_given(tool, "description"),
				 ff_ai_given(tool, "parameters"));
	}
	if (ask->shape == FF_AI_SCHEMA)
		put_tool(ask, FF_AI_ANSWER_TOOL, ff_json_from_text("Gives the answer."), ask->schema);
	ff_jb_end(&ask->out);
}

static void
put_choice(FfAiAsk *ask, const char *type, const char *name)
{
	ff_ai_open_object(ask, "tool_choice");
	ff_ai_put_text(ask, "type", type);
	if (name != NULL)
		ff_ai_put_text(ask, "name", name);
	ff_jb_end(&ask->out);
}

static void
put_tool_choice(FfAiAsk *ask)
{
	char	   *name;
	const char *choice = ff_ai_tool_choice(ask->options, &name);

	if (ask->shape == FF_AI_SCHEMA && (ask->tools == NULL || (choice && !strcmp(choice, "none"))))
		put_choice(ask, "tool", FF_AI_ANSWER_TOOL);
	else if (ask->shape == FF_AI_SCHEMA && name == NULL)
		put_choice(ask, "any", NULL);
	else if (choice != NULL && ask->tools != NULL)
		put_choice(ask, strcmp(choice, "required") == 0 ? "any" : choice, name);
}

static void
put_stop(FfAiAsk *ask)
{
	char *one = ff_json_text(ask->options, "stop");

	if (one == NULL)
	{
		ff_ai_put_option(ask, "stop", "stop_sequences");
		return;
	}
	ff_ai_open_array(ask, "stop_sequences");
	ff_jb_text(&ask->out, one);
	ff_jb_end(&ask->out);
}

static void
body(FfAiAsk *ask)
{
	char *system = ff_ai_system(ask);

	ff_ai_put_text(ask, "model", ask->provider->model);
	if (system != NULL)
		ff_ai_put_text(ask, "system", system);
	put_messages(ask);
	put_tools(ask);
	put_tool_choice(ask);
	ff_ai_put_option(ask, "temperature", "temperature");
	put_stop(ask);
	ff_ai_put_option(ask, "max_tokens", "max_tokens");
	if (ff_ai_given(ask->options, "max_tokens") == NULL)
	{
		ff_jb_key(&ask->out, "max_tokens");
		ff_jb_int(&ask->out, DEFAULT_MAX_TOKENS);
	}
	if (ask->stream)
	{
		ff_jb_key(&ask->out, "stream");
		ff_jb_bool(&ask->out, true);
	}
}

static void
path(StringInfo url, const FfAiAsk *ask)
{
	appendStringInfoString(url, "/messages");
}

static List *
authorize(List *headers, const FfAiProvider *provider)
{
	return lappend(headers, psprintf("x-api-key: %s", provider->key));
}

static List *
add_headers(List *headers, const FfAiProvider *provider)
{
	return lappend(headers, pstrdup("anthropic-version: " VERSION));
}

/* --- being answered --- */

/* Input tokens are without those of the cache. */
static void
read_usage(FfAiResult *result, Jsonb *usage)
{
	if (usage == NULL)
		return;
	if (ff_json_member(usage, "input_tokens") != NULL)
	{
		result->cached = ff_ai_count_at(usage, "cache_read_input_tokens");
		result->cache_write = ff_ai_count_at(usage, "cache_creation_input_tokens");
		result->input =
			ff_ai_count_at(usage, "input_tokens") + result->cached + result->cache_write;
	}
	result->output = ff_ai_count_at(usage, "output_tokens");
}

static void
read_block(FfAiResult *result, Jsonb *block)
{
	char *type = ff_ai_text_at(block, "type");

	if (type != NULL && strcmp(type, "tool_use") == 0)
	{
		FfAiToolCall *call =
			ff_ai_add_call(result, ff_ai_text_at(block, "id"), ff_ai_text_at(block, "name"));

		ff_ai_set_json(result, &call->arguments, ff_ai_object_at(block, "input"));
	}
	else if (type != NULL && strcmp(type, "text") == 0)
	{
		if (ff_ai_text_at(block, "text") == NULL)
			result->malformed = "the text of a block of it is not text";
		ff_ai_add_text(result, ff_ai_text_at(block, "text"));
	}
}

static bool
read_error(FfAiResult *result, Jsonb *json)
{
	static const struct
	{
		const char *type;
		long		status;
	} statuses[] = {
		{"overloaded_error", 529},		{"rate_limit_error", 429},	   {"api_error", 500},
		{"timeout_error", 504},			{"authentication_error", 401}, {"permission_error", 403},
		{"invalid_request_error", 400}, {"not_found_error", 404}};
	char *type = ff_ai_text_at(json, "error.type");

	if (ff_ai_given(json, "error") == NULL)
		return false;
	ff_ai_set_error(result, json, 0);
	for (int i = 0; type != NULL && i < (int) lengthof(statuses); i++)
	{
		if (strcmp(type, statuses[i].type) == 0)
			result->error_status = statuses[i].status;
	}
	return true;
}

static void
read_whole(FfAiResult *result, Jsonb *json)
{
	Jsonb *blocks = ff_ai_list_at(json, "content");

	if (read_error(result, json))
		return;
	if (blocks == NULL)
	{
		result->malformed = "its content is not a list";
		return;
	}
	for (uint32 i = 0; i < JB_ROOT_COUNT(blocks); i++)
		read_block(result, ff_ai_element(blocks, i));
	ff_ai_set_text(result, &result->model, ff_ai_text_at(json, "model"));
	ff_ai_set_reason(result, reasons, ff_ai_text_at(json, "stop_reason"));
	read_usage(result, ff_ai_object_at(json, "usage"));
	result->complete = true;
}

static void
read_delta(FfAiResult *result, Jsonb *piece)
{
	char		 *json = ff_ai_text_at(piece, "delta.partial_json");
	FfAiToolCall *call = ff_ai_last_call(result);

	ff_ai_add_text(result, ff_ai_text_at(piece, "delta.text"));
	if (json != NULL && call == NULL)
		result->malformed = "it has arguments of no tool call";
	else if (json != NULL)
		appendStringInfoString(&call->text, json);
}

/* Blocks come one after the other. Usage comes at the beginning, and grows. */
static void
read_piece(FfAiResult *result, const char *event, Jsonb *piece)
{
	char *type = ff_ai_text_at(piece, "type");
	char *block = ff_ai_text_at(piece, "content_block.type");

	if (read_error(result, piece) || type == NULL)
		return;
	if (strcmp(type, "message_start") == 0)
	{
		ff_ai_set_text(result, &result->model, ff_ai_text_at(piece, "message.model"));
		read_usage(result, ff_ai_object_at(piece, "message.usage"));
	}
	else if (strcmp(type, "content_block_start") == 0 && block && strcmp(block, "tool_use") == 0)
		(void) ff_ai_add_call(result, ff_ai_text_at(piece, "content_block.id"),
							  ff_ai_text_at(piece, "content_block.name"));
	else if (strcmp(type, "content_block_start") == 0)
		ff_ai_add_text(result, ff_ai_text_at(piece, "content_block.text"));
	else if (strcmp(type, "content_block_delta") == 0)
		read_delta(result, piece);
	else if (strcmp(type, "message_delta") == 0)
	{
		ff_ai_set_reason(result, reasons, ff_ai_text_at(piece, "delta.stop_reason"));
		read_usage(result, ff_ai_object_at(piece, "usage"));
	}
	else if (strcmp(type, "message_stop") == 0)
		result->complete = true;
}

const FfAiWire ff_ai_anthropic = {.format = "anthropic",
								  .answer_tool = true,
								  .path = path,
								  .body = body,
								  .authorize = authorize,
								  .add_headers = add_headers,
								  .read = read_whole,
								  .read_piece = read_piece};
