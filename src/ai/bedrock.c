/*
 * bedrock.c - Amazon Bedrock's Converse.
 *
 * A call is signed with a key of AWS's (id:secret, or id:secret:token of a session), or says a key
 * of Bedrock's own. There is no JSON format: as with Anthropic the model is made to call a tool.
 */
#include "postgres.h"

#include "ai/wire.h"
#include "util/aws.h"

static const FfAiReason reasons[] = {{"end_turn", "stop"},
									 {"stop_sequence", "stop"},
									 {"max_tokens", "length"},
									 {"model_context_window_exceeded", "length"},
									 {"tool_use", "tool_calls"},
									 {"guardrail_intervened", "content_filter"},
									 {"content_filtered", "content_filter"},
									 {NULL, NULL}};

/* --- asking --- */

static void
put_text_block(FfAiAsk *ask, const char *text)
{
	ff_jb_object(&ask->out);
	ff_ai_put_text(ask, "text", text);
	ff_jb_end(&ask->out);
}

static void
put_image(FfAiAsk *ask, const FfAiPart *part)
{
	const char *format = part->media ? strchr(part->media, '/') : NULL;

	if (part->data == NULL || format == NULL)
	{
		ask->fault = "has an image that is only a URL, which Bedrock does not fetch: give it as "
					 "data:image/png;base64,...";
		return;
	}
	ff_jb_object(&ask->out);
	ff_ai_open_object(ask, "image");
	ff_ai_put_text(ask, "format", format + 1);
	ff_ai_open_object(ask, "source");
	ff_ai_put_text(ask, "bytes", part->data);
	ff_jb_end(&ask->out);
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
			put_text_block(ask, part->text);
		else if (part->data != NULL || part->url != NULL)
			put_image(ask, part);
		else
			ask->fault = psprintf("has a part of a message of type \"%s\", which Bedrock's format "
								  "has no words for",
								  part->type);
	}
}

static void
put_tool_result(FfAiAsk *ask, const FfAiMessage *message)
{
	ff_jb_object(&ask->out);
	ff_ai_open_object(ask, "toolResult");
	ff_ai_put_text(ask, "toolUseId", message->call_id);
	ff_ai_open_array(ask, "content");
	if (message->parts == NIL)
		put_text_block(ask, "");
	put_parts(ask, message->parts);
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
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
		ff_ai_open_object(ask, "toolUse");
		ff_ai_put_text(ask, "toolUseId", call->id);
		ff_ai_put_text(ask, "name", call->name);
		ff_ai_put_json(ask, "input", call->arguments);
		ff_jb_end(&ask->out);
		ff_jb_end(&ask->out);
	}
}

/* Turns of the two sides must alternate. */
static void
put_messages(FfAiAsk *ask)
{
	const FfAiMessage *before = NULL;
	ListCell		  *cell;

	ff_ai_open_array(ask, "messages");
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
			ff_ai_put_text(ask, "role", message->role == FF_AI_ASSISTANT ? "assistant" : "user");
			ff_ai_open_array(ask, "content");
		}
		put_blocks(ask, message);
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
put_tool(FfAiAsk *ask, const char *name, Jsonb *description, Jsonb *schema)
{
	FfJsonError error;

	if (schema == NULL)
		schema = ff_json_parse("{\"type\": \"object\"}", 18, 2, &error);
	ff_jb_object(&ask->out);
	ff_ai_open_object(ask, "toolSpec");
	ff_ai_put_text(ask, "name", name);
	ff_ai_put_json(ask, "description", description);
	ff_ai_open_object(ask, "inputSchema");
	ff_ai_put_json(ask, "json", schema);
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
}

static void
put_choice(FfAiAsk *ask, const char *type, const char *name)
{
	ff_ai_open_object(ask, "toolChoice");
	ff_ai_open_object(ask, type);
	if (name != NULL)
		ff_ai_put_text(ask, "name", name);
	ff_jb_end(&ask->out);
	ff_jb_end(&ask->out);
}

/* "none" has no word here: then there are no tools but the answer's. */
static void
put_tool_config(FfAiAsk *ask)
{
	char	   *name;
	const char *choice = ff_ai_tool_choice(ask->options, &name);
	Jsonb	   *tools = choice && strcmp(choice, "none") == 0 ? NULL : ask->tools;

	if (tools == NULL && ask->shape != FF_AI_SCHEMA)
		return;
	ff_ai_open_object(ask, "toolConfig");
	ff_ai_open_array(ask, "tools");
	for (uint32 i = 0; tools != NULL && i < JB_ROOT_COUNT(tools); i++)
	{
		Jsonb *tool = ff_ai_tool(tools, i);

		put_tool(ask, ff_json_text(tool, "name"), ff_ai_given(tool, "description"),
				 ff_ai_given(tool, "parameters"));
	}
	if (ask->shape == FF_AI_SCHEMA)
		put_tool(ask, FF_AI_ANSWER_TOOL, ff_json_from_text("Gives the answer."), ask->schema);
	ff_jb_end(&ask->out);
	if (tools == NULL)
		put_choice(ask, "tool", FF_AI_ANSWER_TOOL);
	else if (name != NULL)
		put_choice(ask, "tool", name);
	else if (ask->shape == FF_AI_SCHEMA || (choice && strcmp(choice, "required") == 0))
		put_choice(ask, "any", NULL);
	else if (choice != NULL)
		put_choice(ask, "auto", NULL);
	ff_jb_end(&ask->out);
}

static void
put_inference(FfAiAsk *ask)
{
	char *stop = ff_json_text(ask->options, "stop");

	ff_ai_open_object(ask, "inferenceConfig");
	ff_ai_put_option(ask, "max_tokens", "maxTokens");
	ff_ai_put_option(ask, "temperature", "temperature");
	if (stop == NULL)
		ff_ai_put_option(ask, "stop", "stopSequences");
	else
	{
		ff_ai_open_array(ask, "stopSequences");
		ff_jb_text(&ask->out, stop);
		ff_jb_end(&ask->out);
	}
	ff_jb_end(&ask->out);
}

static void
body(FfAiAsk *ask)
{
	char *system = ff_ai_system(ask);

	put_messages(ask);
	if (system != NULL)
	{
		ff_ai_open_array(ask, "system");
		put_text_block(ask, system);
		ff_jb_end(&ask->out);
	}
	put_inference(ask);
	put_tool_config(ask);
}

static void
path(StringInfo url, const FfAiAsk *ask)
{
	appendStringInfoString(url, "/model/");
	ff_ai_put_model(url, ask);
	appendStringInfoString(url, ask->stream ? "/converse-stream" : "/converse");
}

static List *
sign(List *headers, const FfAiProvider *provider, const char *url, StringInfo request,
	 TimestampTz now)
{
	FfAwsKey key;

	if (provider->key == NULL)
		return headers;
	if (!ff_aws_key(&key, provider->key))
		return lappend(headers, psprintf("authorization: Bearer %s", provider->key));
	return list_concat(headers, ff_aws_sign(&key, provider->region, "bedrock", url, headers,
											request->data, request->len, now));
}

/* --- being answered --- */

static void
read_usage(FfAiResult *result, Jsonb *json)
{
	if (ff_ai_object_at(json, "usage") == NULL)
		return;
	result->cached = ff_ai_count_at(json, "usage.cacheReadInputTokens");
	result->cache_write = ff_ai_count_at(json, "usage.cacheWriteInputTokens");
	result->input =
		ff_ai_count_at(json, "usage.inputTokens") + result->cached + result->cache_write;
	result->output = ff_ai_count_at(json, "usage.outputTokens");
}

static void
read_block(FfAiResult *result, Jsonb *block)
{
	FfAiToolCall *call;

	if (!ff_json_is_object(block))
		result->malformed = "a block of it is not an object";
	ff_ai_add_text(result, ff_ai_text_at(block, "text"));
	if (ff_ai_object_at(block, "toolUse") == NULL)
		return;
	call = ff_ai_add_call(result, ff_ai_text_at(block, "toolUse.toolUseId"),
						  ff_ai_text_at(block, "toolUse.name"));
	ff_ai_set_json(result, &call->arguments, ff_ai_object_at(block, "toolUse.input"));
}

static void
read_whole(FfAiResult *result, Jsonb *json)
{
	Jsonb *blocks = ff_ai_list_at(json, "output.message.content");

	if (blocks == NULL)
	{
		result->malformed = "it has no output.message.content";
		return;
	}
	for (uint32 i = 0; i < JB_ROOT_COUNT(blocks); i++)
		read_block(result, ff_ai_element(blocks, i));
	ff_ai_set_reason(result, reasons, ff_ai_text_at(json, "stopReason"));
	read_usage(result, json);
	result->complete = true;
}

/* Exceptions have names that end so; a piece is named by the frame, not in itself. */
static bool
read_exception(FfAiResult *result, const char *event, Jsonb *piece)
{
	static const struct
	{
		const char *name;
		long		status;
	} statuses[] = {{"throttlingException", 429},	  {"serviceUnavailableException", 503},
					{"internalServerException", 500}, {"modelStreamErrorException", 424},
					{"modelTimeoutException", 408},	  {"validationException", 400},
					{"accessDeniedException", 403},	  {"resourceNotFoundException", 404}};

	for (int i = 0; i < (int) lengthof(statuses); i++)
	{
		if (pg_strcasecmp(event, statuses[i].name) == 0)
		{
			ff_ai_set_error(result, piece, statuses[i].status);
			return true;
		}
	}
	return false;
}

static void
read_delta(FfAiResult *result, Jsonb *piece)
{
	char		 *input = ff_ai_text_at(piece, "delta.toolUse.input");
	FfAiToolCall *call = ff_ai_last_call(result);

	ff_ai_add_text(result, ff_ai_text_at(piece, "delta.text"));
	if (input != NULL && call == NULL)
		result->malformed = "it has arguments of no tool call";
	else if (input != NULL)
		appendStringInfoString(&call->text, input);
}

/* The usage comes last, after the reason it stopped for. */
static void
read_piece(FfAiResult *result, const char *event, Jsonb *piece)
{
	if (event == NULL || read_exception(result, event, piece))
		return;
	if (strcmp(event, "contentBlockStart") == 0 && ff_ai_object_at(piece, "start.toolUse") != NULL)
		(void) ff_ai_add_call(result, ff_ai_text_at(piece, "start.toolUse.toolUseId"),
							  ff_ai_text_at(piece, "start.toolUse.name"));
	else if (strcmp(event, "contentBlockDelta") == 0)
		read_delta(result, piece);
	else if (strcmp(event, "messageStop") == 0)
	{
		ff_ai_set_reason(result, reasons, ff_ai_text_at(piece, "stopReason"));
		result->complete = true;
	}
	else if (strcmp(event, "metadata") == 0)
		read_usage(result, piece);
}

const FfAiWire ff_ai_bedrock = {.format = "bedrock",
								.framed = true,
								.answer_tool = true,
								.path = path,
								.body = body,
								.sign = sign,
								.read = read_whole,
								.read_piece = read_piece};
