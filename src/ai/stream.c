/*
 * stream.c - answers that come bit by bit: Server-Sent Events, and AWS's frames.
 *
 * What has been read is taken out of the body, so that only what has not yet come whole is kept;
 * the answer itself is gathered in the stream's result and bounded by flowforge.response_limit like
 * any other.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "ai/stream.h"
#include "http/client.h"
#include "util/redact.h"

#define SSE_TYPE "text/event-stream"
#define FRAME_TYPE "application/vnd.amazon.eventstream"

/* --- Server-Sent Events --- */

/* The next line, without its end (CR, LF or both); -1 when it has not come whole. */
static int
line_length(const char *text, int length, int *used)
{
	int at = 0;

	while (at < length && text[at] != '\n' && text[at] != '\r')
		at++;
	/* A CR at the end of what has come may be half of an end. */
	if (at == length || (text[at] == '\r' && at + 1 == length))
		return -1;
	*used = at + (text[at] == '\r' && text[at + 1] == '\n' ? 2 : 1);
	return at;
}

/* The value of a field "name: value" or "name:value", or NULL when the line is of another. */
static const char *
field(const char *line, int length, const char *name, int *size)
{
	int begins = (int) strlen(name) + 1;

	if (length < begins || strncmp(line, name, begins - 1) != 0 || line[begins - 1] != ':')
		return NULL;
	if (begins < length && line[begins] == ' ')
		begins++;
	*size = length - begins;
	return line + begins;
}

/* The events of a line or more, up to the empty one that ends them. */
static FfAiTaken
take_event(StringInfo body, FfAiPiece *piece, int *used)
{
	StringInfoData data;
	int			   at = 0;
	int			   step;
	int			   length;

	memset(piece, 0, sizeof(*piece));
	initStringInfo(&data);
	while ((length = line_length(body->data + at, body->len - at, &step)) >= 0)
	{
		const char *line = body->data + at;
		const char *value;
		int			size;

		at += step;
		if (length == 0)
		{
			piece->data = data.data;
			piece->length = data.len;
			*used = at;
			return FF_AI_TAKEN;
		}
		value = field(line, length, "data", &size);
		if (value != NULL)
		{
			appendStringInfo(&data, "%s", data.len > 0 ? "\n" : "");
			appendBinaryStringInfo(&data, value, size);
		}
		value = field(line, length, "event", &size);
		if (value != NULL)
			piece->event = pnstrdup(value, size);
	}
	return FF_AI_MORE;
}

/* --- pieces --- */

/* Neither an event without data nor the last word of OpenAI's is JSON. */
static bool
is_empty(const FfAiPiece *piece)
{
	return piece->length == 0 || (piece->length == 6 && memcmp(piece->data, "[DONE]", 6) == 0);
}

static void
read_piece(const FfAiProvider *provider, FfAiResult *result, const FfAiPiece *piece)
{
	FfJsonError error;
	Jsonb	   *json = ff_json_parse(piece->data, piece->length, ff_json_depth_limit, &error);

	if (!ff_json_is_object(json))
	{
		result->malformed =
			MemoryContextStrdup(result->context, json ? "a piece of its stream is not an object"
													  : psprintf("a piece of its stream is not "
																 "JSON: %s",
																 error.message));
		return;
	}
	provider->wire->read_piece(result, piece->event, json);
	if (piece->error && result->error == NULL)
		ff_ai_set_error(result, json, 0);
	if (result->content.len > ff_response_limit)
	{
		result->malformed = "it is larger than flowforge.response_limit";
		result->too_large = true;
	}
}

static void
remove_front(StringInfo body, int count)
{
	memmove(body->data, body->data + count, body->len - count + 1);
	body->len -= count;
}

static void
read_body(const FfAiProvider *provider, FfAiReply *reply)
{
	FfAiResult *result = &reply->stream->result;
	StringInfo	body = reply->body;
	FfAiPiece	piece;
	int			used;

	while (result->malformed == NULL && result->error == NULL)
	{
		FfAiTaken taken = provider->wire->framed ? ff_ai_frame(body->data, body->len, &piece, &used)
												 : take_event(body, &piece, &used);

		if (taken == FF_AI_BROKEN)
			result->malformed = "its stream is damaged";
		if (taken != FF_AI_TAKEN)
			return;
		if (!is_empty(&piece))
			read_piece(provider, result, &piece);
		remove_front(body, used);
	}
	/* What follows a fault is of no use. */
	remove_front(body, body->len);
}

static bool
is_stream(const FfAiProvider *provider, const FfAiReply *reply)
{
	const char *type = provider->wire->framed ? FRAME_TYPE : SSE_TYPE;

	return reply->status >= 200 && reply->status <= 299 && reply->type != NULL &&
		   pg_strncasecmp(reply->type, type, strlen(type)) == 0;
}

void
ff_ai_progress(const FfAiProvider *provider, FfAiReply *reply, MemoryContext context)
{
	if (!is_stream(provider, reply))
		return;
	if (reply->stream == NULL)
	{
		reply->stream = MemoryContextAllocZero(context, sizeof(FfAiStream));
		ff_ai_result(&reply->stream->result, context);
	}
	read_body(provider, reply);
}

/* --- news --- */

/* The text people watch: the content, or the arguments of the tool that stands for it. */
static StringInfo
watched_text(FfAiResult *result)
{
	FfAiToolCall *call = ff_ai_last_call(result);

	if (result->content.len == 0 && call != NULL && call->name != NULL &&
		strcmp(call->name, FF_AI_ANSWER_TOOL) == 0)
		return &call->text;
	return &result->content;
}

/* How many bytes at the end of a text may be the beginning of a secret. */
static int
held_back(const char *text, int length, List *secrets)
{
	int		  most = 0;
	ListCell *cell;

	foreach (cell, secrets)
	{
		const char *secret = lfirst(cell);
		int			size = Min((int) strlen(secret) - 1, length);

		if (strlen(secret) < FF_MIN_SECRET_BYTES)
			continue;
		while (size > most && memcmp(text + length - size, secret, size) != 0)
			size--;
		most = Max(most, size);
	}
	return most;
}

char *
ff_ai_news(const FfAiProvider *provider, FfAiReply *reply, bool last, int64 *offset)
{
	FfAiStream *stream = reply->stream;
	StringInfo	text;
	char	   *news;
	int			end;

	if (stream == NULL)
		return NULL;
	text = watched_text(&stream->result);
	end = text->len - (last ? 0 : held_back(text->data, text->len, provider->secrets));
	if (end <= stream->said)
		return NULL;
	news =
		ff_redact_text(pnstrdup(text->data + stream->said, end - stream->said), provider->secrets);
	*offset = stream->said_characters;
	stream->said = end;
	stream->said_characters += pg_mbstrlen(news);
	return news;
}
