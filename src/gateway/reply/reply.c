/*
 * Answers as bytes. The lines of serve()'s headers are passed on, except those that are ours to set
 * and any that could not be a header line.
 */
#define _GNU_SOURCE
#include "reply/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/memory.h"
#include "wire/gzip.h"
#include "wire/http.h"

#define STREAM_HEADER "x-flowforge-stream"
#define PASS_HEADER "x-flowforge-pass"
#define MESSAGES_HEADER "x-flowforge-messages"
#define NAME_HEADER "x-flowforge-subscription"
#define CORS_HEADER "access-control-allow-origin"

/* RFC 9110 section 5.6.7; made once a second. */
static const char *
date(void)
{
	static char	  text[32];
	static time_t made;
	time_t		  now = time(NULL);
	struct tm	  parts;

	if (now != made)
	{
		gmtime_r(&now, &parts);
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
		made = now;
	}
	return text;
}

/* The status line and the headers of every answer. */
static void
begin(FfBuffer *out, const FfReplyTo *to, int status)
{
	ff_buffer_format(out, "HTTP/1.1 %d %s\r\ndate: %s\r\n", status, ff_http_reason(status), date());
	if (to->closes)
		ff_buffer_text(out, "connection: close\r\n");
	else if (to->is_http10)
		ff_buffer_text(out, "connection: keep-alive\r\n");
	if (to->origin != NULL)
		ff_buffer_format(out,
						 CORS_HEADER
						 ": %s\r\naccess-control-expose-headers: etag, "
						 "idempotency-replayed, location, retry-after, x-request-id\r\n",
						 to->origin);
	if (to->by_origin)
		ff_buffer_text(out, "vary: origin\r\n");
	if (status == 426)
		ff_buffer_text(out, "upgrade: websocket\r\nsec-websocket-version: 13\r\n");
}

/* The empty line and the body, with its length. 204 and 304 have none. */
static void
end(FfBuffer *out, const FfReplyTo *to, int status, const char *body, size_t length)
{
	if (status != 204 && status != 304)
		ff_buffer_format(out, "content-length: %zu\r\n", length);
	ff_buffer_text(out, "\r\n");
	if (!to->is_head && status != 204 && status != 304)
		ff_buffer_add(out, body, length);
}

static bool
is_named(const char *line, size_t length, const char *name)
{
	size_t name_length = strlen(name);

	return length > name_length && line[name_length] == ':' &&
		   strncasecmp(line, name, name_length) == 0;
}

static bool
is_passed_on(const char *line, size_t length, const FfReplyTo *to)
{
	static const char *const ours[] = {"content-length", "transfer-encoding", "connection",
									   "date",			 STREAM_HEADER,		  PASS_HEADER,
									   MESSAGES_HEADER,	 NAME_HEADER,		  NULL};

	if (memchr(line, ':', length) == NULL || line[0] == ':' || memchr(line, '\r', length) != NULL ||
		memchr(line, '\0', length) != NULL)
		return false;
	for (int at = 0; ours[at] != NULL; at++)
	{
		if (is_named(line, length, ours[at]))
			return false;
	}
	return to->origin == NULL || !is_named(line, length, CORS_HEADER);
}

/* The next line of the headers, without its end; NULL after the last. */
static const char *
next_line(const char **at, const char *stop, size_t *length)
{
	const char *line = *at;
	const char *line_end;

	if (line >= stop)
		return NULL;
	line_end = memchr(line, '\n', (size_t) (stop - line));
	*length = (size_t) ((line_end != NULL ? line_end : stop) - line);
	*at = line + *length + 1;
	return line;
}

/* A uuid as PostgreSQL prints it. */
static bool
is_uuid(const char *text)
{
	return strlen(text) == 36 && strspn(text, "0123456789abcdef-") == 36 && text[8] == '-' &&
		   text[13] == '-' && text[18] == '-' && text[23] == '-';
}

/* "run TENANT RUN SEQ", "run TENANT RUN SEQ end" */
static void
read_run(const char *value, FfReplyStream *stream)
{
	char word[8] = "";

	if (sscanf(value, "run %d %36s %d %7s", &stream->tenant, stream->run, &stream->seq, word) < 3 ||
		!is_uuid(stream->run))
		return;
	stream->kind = FF_STREAM_RUN;
	stream->is_complete = strcmp(word, "end") == 0;
}

/* "feed TENANT FUNCTION CURSOR" */
static void
read_feed(const char *value, FfReplyStream *stream)
{
	int begins = 0;

	if (sscanf(value, "feed %d %d %n", &stream->tenant, &stream->function, &begins) < 2 ||
		begins == 0 || value[begins] == '\0')
		return;
	stream->cursor = ff_copy(value + begins);
	stream->kind = FF_STREAM_FEED;
}

static void
read_follow(const char *value, FfReplyStream *stream)
{
	if (stream->kind != FF_STREAM_NONE)
		return;
	read_run(value, stream);
	if (stream->kind == FF_STREAM_NONE)
		read_feed(value, stream);
	if (stream->kind == FF_STREAM_NONE && strcmp(value, "none") == 0)
		stream->kind = FF_STREAM_SILENT;
}

/* It becomes part of an array's text, so nothing in it may need quoting. */
static void
read_pass(const char *value, FfReplyStream *stream)
{
	char *rest;

	stream->lifetime = strtoll(value, &rest, 10);
	if (stream->pass == NULL && *rest == ' ' && strpbrk(rest, "\"\\") == NULL)
		stream->pass = ff_copy(rest + 1);
}

static void
read_messages(const char *value, FfReplyStream *stream)
{
	if (stream->messages == NULL && value[0] == '/')
		stream->messages = ff_copy(value);
}

static void
read_name(const char *value, FfReplyStream *stream)
{
	if (stream->name == NULL && value[0] != '\0')
		stream->name = ff_copy(value);
}

/* Has the value of a line read, as a text. */
static void
take_text(const char *line, size_t length, FfReplyStream *stream,
		  void (*read)(const char *value, FfReplyStream *stream))
{
	FfBuffer	text = {0};
	const char *value;

	ff_buffer_add(&text, line, length);
	ff_buffer_add(&text, "", 1);
	value = strchr(ff_buffer_at(&text), ':') + 1;
	read(value + strspn(value, " "), stream);
	ff_buffer_free(&text);
}

void
ff_reply_stream(const FfAnswer *answer, FfReplyStream *stream)
{
	const char *at = answer->headers;
	const char *line;
	size_t		length;

	memset(stream, 0, sizeof(*stream));
	while ((line = next_line(&at, answer->headers + answer->headers_length, &length)) != NULL)
	{
		if (is_named(line, length, STREAM_HEADER))
			take_text(line, length, stream, read_follow);
		else if (is_named(line, length, PASS_HEADER))
			take_text(line, length, stream, read_pass);
		else if (is_named(line, length, MESSAGES_HEADER))
			take_text(line, length, stream, read_messages);
		else if (is_named(line, length, NAME_HEADER))
			take_text(line, length, stream, read_name);
	}
}

void
ff_reply_stream_free(FfReplyStream *stream)
{
	free(stream->cursor);
	free(stream->pass);
	free(stream->messages);
	free(stream->name);
}

/* Compresses an answer's body when that is wanted and worth it: its type gets smaller, and no tag
 * stands for its bytes as they are. False: it goes as it is. */
static bool
compress_body(const FfReplyTo *to, const FfAnswer *answer, FfBuffer *body)
{
	const char *at = answer->headers;
	const char *line;
	size_t		length;
	bool		suits = false;

	if (!to->takes_gzip || answer->body_length < FF_GZIP_LEAST ||
		answer->body_length > FF_GZIP_MOST || answer->status == 204 || answer->status == 304)
		return false;
	while ((line = next_line(&at, answer->headers + answer->headers_length, &length)) != NULL)
	{
		if (is_named(line, length, "etag") || is_named(line, length, "content-encoding"))
			return false;
		if (is_named(line, length, "content-type"))
		{
			char type[80];

			snprintf(type, sizeof(type), "%.*s", (int) (length - strlen("content-type:")),
					 line + strlen("content-type:"));
			suits = ff_gzip_suits(type + strspn(type, " "));
		}
	}
	return suits && ff_gzip(answer->body, answer->body_length, body);
}

void
ff_reply_answer(FfBuffer *out, const FfReplyTo *to, const FfAnswer *answer, bool is_stream)
{
	const char *at = answer->headers;
	const char *line;
	size_t		length;
	FfBuffer	compressed = {0};

	begin(out, to, answer->status);
	while ((line = next_line(&at, answer->headers + answer->headers_length, &length)) != NULL)
	{
		if (!is_passed_on(line, length, to))
			continue;
		ff_buffer_add(out, line, length);
		ff_buffer_text(out, "\r\n");
	}
	if (!is_stream && compress_body(to, answer, &compressed))
	{
		ff_buffer_text(out, "content-encoding: gzip\r\nvary: accept-encoding\r\n");
		end(out, to, answer->status, ff_buffer_at(&compressed), ff_buffer_length(&compressed));
		ff_buffer_free(&compressed);
		return;
	}
	if (!is_stream)
	{
		end(out, to, answer->status, answer->body, answer->body_length);
		return;
	}
	ff_buffer_text(out, "\r\n");
	if (!to->is_head)
		ff_buffer_add(out, answer->body, answer->body_length);
}

void
ff_reply_content(FfBuffer *out, const FfReplyTo *to, int status, const char *fields,
				 const char *body, size_t length)
{
	begin(out, to, status);
	ff_buffer_format(out, "%sx-request-id: %s\r\n", fields, to->request_id);
	end(out, to, status, body, length);
}

void
ff_reply_json(FfBuffer *out, const FfReplyTo *to, int status, const char *json)
{
	begin(out, to, status);
	ff_buffer_format(
		out, "content-type: application/json\r\ncache-control: no-store\r\nx-request-id: %s\r\n",
		to->request_id);
	end(out, to, status, json, strlen(json));
}

void
ff_reply_problem_json(FfBuffer *out, int status, const char *code, const char *detail,
					  const char *hint)
{
	ff_buffer_format(
		out,
		"{\"type\":\"urn:flowforge:error:%s\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\",\"code\":\"%s\"",
		code, ff_http_reason(status), status, detail, code);
	if (hint != NULL)
		ff_buffer_format(out, ",\"hint\":\"%s\"", hint);
	ff_buffer_text(out, "}");
}

void
ff_reply_problem(FfBuffer *out, const FfReplyTo *to, int status, const char *code,
				 const char *detail, const char *hint)
{
	FfBuffer json = {0};

	ff_reply_problem_json(&json, status, code, detail, hint);
	begin(out, to, status);
	ff_buffer_format(
		out,
		"content-type: application/problem+json\r\ncache-control: no-store\r\nx-request-id: %s\r\n",
		to->request_id);
	if (status == 503)
		ff_buffer_text(out, "retry-after: 1\r\n");
	end(out, to, status, ff_buffer_at(&json), ff_buffer_length(&json));
	ff_buffer_free(&json);
}

void
ff_reply_preflight(FfBuffer *out, const FfReplyTo *to)
{
	begin(out, to, 204);
	ff_buffer_format(
		out,
		"access-control-allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
		"access-control-allow-headers: authorization, content-type, idempotency-key, x-idempotency-key, x-request-id, "
		"traceparent, tracestate, if-match, if-none-match, last-event-id, x-flowforge-api-key, x-inngest-env, x-inngest-sdk, "
		"x-flowforge-env, *\r\n"
		"access-control-max-age: 86400\r\nx-request-id: %s\r\n",
		to->request_id);
	end(out, to, 204, "", 0);
}
