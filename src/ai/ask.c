/*
 * ask.c - what a call's options ask for, in one form whatever way they say it, and what writing it
 * takes (see wire.h). Options have passed ff_ai_check.
 */
#include "postgres.h"

#include "ai/wire.h"
#include "util/url.h"

/* --- reading options --- */

Jsonb *
ff_ai_given(Jsonb *options, const char *key)
{
	Jsonb *value = ff_json_member(options, key);

	return value == NULL || ff_json_is_null(value) ? NULL : value;
}

Jsonb *
ff_ai_element(Jsonb *list, uint32 place)
{
	return JsonbValueToJsonb(getIthJsonbValueFromContainer(&list->root, place));
}

FfAiShape
ff_ai_shape(Jsonb *options, Jsonb **schema)
{
	Jsonb *format = ff_ai_given(options, "response_format");
	char  *type = format ? ff_json_text(format, "type") : NULL;
	Jsonb *named;

	*schema = NULL;
	if (type == NULL || strcmp(type, "text") == 0)
		return FF_AI_ANY;
	if (strcmp(type, "json_object") == 0)
		return FF_AI_JSON;
	named = ff_ai_given(format, "json_schema");
	*schema = ff_ai_given(ff_json_is_object(named) ? named : format, "schema");
	return FF_AI_SCHEMA;
}

Jsonb *
ff_ai_tool(Jsonb *tools, uint32 place)
{
	Jsonb *tool = ff_ai_element(tools, place);
	Jsonb *function = ff_json_is_object(tool) ? ff_ai_given(tool, "function") : NULL;

	return function ? function : tool;
}

const char *
ff_ai_tool_choice(Jsonb *options, char **name)
{
	Jsonb *choice = ff_ai_given(options, "tool_choice");
	char  *word = choice ? ff_json_text(options, "tool_choice") : NULL;
	Jsonb *function = ff_json_is_object(choice) ? ff_ai_given(choice, "function") : NULL;

	*name = NULL;
	if (word != NULL && (strcmp(word, "auto") == 0 || strcmp(word, "none") == 0))
		return word;
	if (word != NULL && (strcmp(word, "required") == 0 || strcmp(word, "any") == 0))
		return "required";
	if (ff_json_is_object(choice))
		*name = ff_json_text(ff_json_is_object(function) ? function : choice, "name");
	return *name ? "tool" : NULL;
}

/* "data:image/png;base64,iVBOR..." */
bool
ff_ai_data_url(const char *url, char **media, char **data)
{
	const char *comma = strchr(url, ',');
	const char *end;

	if (strncmp(url, "data:", 5) != 0 || comma == NULL || comma - url < 12 ||
		strncmp(comma - 7, ";base64", 7) != 0)
		return false;
	end = url + 5 + strcspn(url + 5, ";,");
	*media = pnstrdup(url + 5, end - url - 5);
	*data = pstrdup(comma + 1);
	return true;
}

/* --- messages --- */

static FfAiPart *
make_text(const char *text)
{
	FfAiPart *part = palloc0(sizeof(FfAiPart));

	part->type = "text";
	part->text = pstrdup(text);
	return part;
}

static FfAiPart *
read_part(Jsonb *given)
{
	FfAiPart *part = palloc0(sizeof(FfAiPart));
	Jsonb	 *image;
	char	 *url;

	part->type = ff_json_text(given, "type");
	if (strcmp(part->type, "text") == 0)
		part->text = ff_json_text(given, "text");
	if (strcmp(part->type, "image_url") != 0)
		return part;
	image = ff_json_member(given, "image_url");
	url = ff_json_is_object(image) ? ff_json_text(image, "url") : ff_json_text(given, "image_url");
	if (!ff_ai_data_url(url, &part->media, &part->data))
		part->url = url;
	return part;
}

static List *
read_content(FfAiMessage *message)
{
	Jsonb *content = ff_ai_given(message->json, "content");
	List  *parts = NIL;

	message->text = ff_json_text(message->json, "content");
	/* What a tool gave may be any value. */
	if (message->text == NULL && message->role == FF_AI_TOOL && !ff_json_is_array(content))
		message->text = content ? JsonbToCString(NULL, &content->root, VARSIZE(content)) : "";
	if (message->text != NULL)
		return *message->text != '\0' ? list_make1(make_text(message->text)) : NIL;
	for (uint32 i = 0; content != NULL && i < JB_ROOT_COUNT(content); i++)
	{
		Jsonb *part = ff_ai_element(content, i);

		/* A list that a tool gave need not be one of parts. */
		if (ff_json_text(part, "type") == NULL)
		{
			message->text = JsonbToCString(NULL, &content->root, VARSIZE(content));
			return list_make1(make_text(message->text));
		}
		parts = lappend(parts, read_part(part));
	}
	return parts;
}

static FfAiToolCall *
read_call(Jsonb *given)
{
	FfAiToolCall *call = palloc0(sizeof(FfAiToolCall));
	Jsonb		 *function = ff_ai_given(given, "function");
	Jsonb		 *from = function ? function : given;
	char		 *text = ff_json_text(from, "arguments");
	FfJsonError	  error;

	call->id = ff_json_text(given, "id");
	call->name = ff_json_text(from, "name");
	call->signature = ff_json_text(given, "thought_signature");
	call->arguments = text ? ff_json_parse(text, strlen(text), ff_json_depth_limit, &error)
						   : ff_ai_given(from, "arguments");
	if (!ff_json_is_object(call->arguments))
		call->arguments = ff_json_parse("{}", 2, 1, &error);
	return call;
}

static FfAiRole
role_of(const char *word)
{
	return strcmp(word, "assistant") == 0 ? FF_AI_ASSISTANT
		   : strcmp(word, "tool") == 0	  ? FF_AI_TOOL
		   : strcmp(word, "user") == 0	  ? FF_AI_USER
										  : FF_AI_SYSTEM;
}

/* The name of the tool that was called by this id, in what the model said before: the last one, as
 * ids need only differ within a turn. */
static char *
called_name(List *messages, const char *id)
{
	char	 *name = NULL;
	ListCell *cell;
	ListCell *call_cell;

	foreach (cell, messages)
	{
		foreach (call_cell, ((FfAiMessage *) lfirst(cell))->calls)
		{
			const FfAiToolCall *call = lfirst(call_cell);

			if (call->id != NULL && strcmp(call->id, id) == 0)
				name = call->name;
		}
	}
	return name;
}

static FfAiMessage *
read_message(List *before, Jsonb *given)
{
	FfAiMessage *message = palloc0(sizeof(FfAiMessage));
	Jsonb		*calls = ff_ai_given(given, "tool_calls");

	message->json = given;
	message->role = role_of(ff_json_text(given, "role"));
	message->parts = read_content(message);
	for (uint32 i = 0; ff_json_is_array(calls) && i < JB_ROOT_COUNT(calls); i++)
		message->calls = lappend(message->calls, read_call(ff_ai_element(calls, i)));
	message->call_id = ff_json_text(given, "tool_call_id");
	message->name = ff_json_text(given, "name");
	if (message->role == FF_AI_TOOL && message->name == NULL)
		message->name = called_name(before, message->call_id);
	return message;
}

static FfAiMessage *
make_message(FfAiRole role, const char *text)
{
	FfAiMessage *message = palloc0(sizeof(FfAiMessage));

	message->role = role;
	message->text = pstrdup(text);
	message->parts = list_make1(make_text(text));
	return message;
}

static List *
read_messages(Jsonb *options)
{
	Jsonb *given = ff_ai_given(options, "messages");
	char  *system = ff_json_text(options, "system");
	List  *messages = NIL;

	if (system != NULL)
		messages = lappend(messages, make_message(FF_AI_SYSTEM, system));
	if (given == NULL)
		return lappend(messages, make_message(FF_AI_USER, ff_json_text(options, "prompt")));
	for (uint32 i = 0; i < JB_ROOT_COUNT(given); i++)
		messages = lappend(messages, read_message(messages, ff_ai_element(given, i)));
	return messages;
}

bool
ff_ai_same_turn(const FfAiMessage *before, const FfAiMessage *message)
{
	return before != NULL &&
		   (before->role == FF_AI_ASSISTANT) == (message->role == FF_AI_ASSISTANT);
}

/* Providers without a form for it are asked in words to answer with JSON. */
static const char json_wish[] = "Answer with one JSON object and nothing else.";

char *
ff_ai_system(const FfAiAsk *ask)
{
	StringInfoData text;
	ListCell	  *cell;
	ListCell	  *part_cell;

	initStringInfo(&text);
	foreach (cell, ask->messages)
	{
		const FfAiMessage *message = lfirst(cell);

		foreach (part_cell, message->role == FF_AI_SYSTEM ? message->parts : NIL)
		{
			const FfAiPart *part = lfirst(part_cell);

			if (part->text != NULL)
				appendStringInfo(&text, "%s%s", text.len > 0 ? "\n\n" : "", part->text);
		}
	}
	if (ask->shape == FF_AI_JSON && ask->provider->wire->answer_tool)
		appendStringInfo(&text, "%s%s", text.len > 0 ? "\n\n" : "", json_wish);
	return text.len > 0 ? text.data : NULL;
}

void
ff_ai_ask(FfAiAsk *ask, const FfAiProvider *provider, Jsonb *options)
{
	memset(ask, 0, sizeof(*ask));
	ask->provider = provider;
	ask->options = options;
	ask->messages = read_messages(options);
	ask->tools = ff_ai_given(options, "tools");
	if (ask->tools != NULL && JB_ROOT_COUNT(ask->tools) == 0)
		ask->tools = NULL;
	ask->shape = ff_ai_shape(options, &ask->schema);
	ask->stream = ff_json_bool(options, "stream");
}

/* --- writing --- */

void
ff_ai_put_text(FfAiAsk *ask, const char *key, const char *text)
{
	ff_jb_key(&ask->out, key);
	ff_jb_text(&ask->out, text);
}

void
ff_ai_put_json(FfAiAsk *ask, const char *key, Jsonb *value)
{
	if (value == NULL)
		return;
	ff_jb_key(&ask->out, key);
	ff_jb_json(&ask->out, value);
}

void
ff_ai_put_option(FfAiAsk *ask, const char *option, const char *key)
{
	ff_ai_put_json(ask, key, ff_ai_given(ask->options, option));
}

void
ff_ai_open_object(FfAiAsk *ask, const char *key)
{
	ff_jb_key(&ask->out, key);
	ff_jb_object(&ask->out);
}

void
ff_ai_open_array(FfAiAsk *ask, const char *key)
{
	ff_jb_key(&ask->out, key);
	ff_jb_array(&ask->out);
}

void
ff_ai_put_model(StringInfo url, const FfAiAsk *ask)
{
	const char *model = ask->provider->model;

	ff_url_put(url, model, (int) strlen(model), false);
}
