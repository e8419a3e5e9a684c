/*
 * From a request head to a call of serve(). The headers become a JSON object, written here byte by
 * byte: values are known to be UTF-8 without control characters other than tabs.
 */
#define _GNU_SOURCE
#include "database/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "database/route.h"
#include "wire/socket.h"

#define BODIES_SIZE (256u * 1024 * 1024) /* of all calls together */

static size_t bodies_size;

static const char *const allowed[] = {"authorization",
									  "content-type",
									  "user-agent",
									  "traceparent",
									  "tracestate",
									  "idempotency-key",
									  "x-idempotency-key",
									  "last-event-id",
									  "if-match",
									  "if-none-match",
									  "accept",
									  "origin",
									  "host",
									  "upgrade",
									  NULL};
static const char *const allowed_prefixes[] = {"x-inngest-", "x-flowforge-", "ce-", NULL};

/* Nobody's business, or said by us. */
static const char *const withheld[] = {"x-request-id",
									   "x-flowforge-address",
									   "x-flowforge-pass",
									   "x-flowforge-subscriptions",
									   "cookie",
									   "connection",
									   "content-length",
									   "transfer-encoding",
									   NULL};

bool
ff_call_is_id(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length <= 64 &&
		   strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-") ==
			   length;
}

static bool
is_among(const char *const names[], const char *name)
{
	for (int at = 0; names[at] != NULL; at++)
	{
		if (strcmp(names[at], name) == 0)
			return true;
	}
	return false;
}

static bool
is_allowed(const char *name)
{
	if (is_among(allowed, name))
		return true;
	for (int at = 0; allowed_prefixes[at] != NULL; at++)
	{
		if (strncmp(allowed_prefixes[at], name, strlen(allowed_prefixes[at])) == 0)
			return true;
	}
	return false;
}

/* The inside of a JSON string (RFC 8259 section 7). */
static void
add_escaped(FfBuffer *json, const char *text)
{
	while (*text != '\0')
	{
		size_t plain = strcspn(text, "\"\\\t");

		ff_buffer_add(json, text, plain);
		text += plain;
		if (*text == '\t')
			ff_buffer_text(json, "\\t");
		else if (*text != '\0')
			ff_buffer_format(json, "\\%c", *text);
		text += *text != '\0';
	}
}

static void
add_member(FfBuffer *json, const char *name, const char *value)
{
	ff_buffer_text(json, ff_buffer_length(json) == 0 ? "{\"" : ",\"");
	add_escaped(json, name);
	ff_buffer_text(json, "\":\"");
	add_escaped(json, value);
	ff_buffer_text(json, "\"");
}

/* One header with all its values, unless an earlier one of the same name has taken this along. */
static void
add_header(FfBuffer *json, const FfHttpHead *head, int which)
{
	const char *name = head->header[which].name;
	FfBuffer	value = {0};

	for (int at = 0; at < which; at++)
	{
		if (strcmp(head->header[at].name, name) == 0)
			return;
	}
	for (int at = which; at < head->header_count; at++)
	{
		if (strcmp(head->header[at].name, name) == 0)
			ff_buffer_format(&value, "%s%s", at > which ? ", " : "", head->header[at].value);
	}
	ff_buffer_add(&value, "", 1);
	add_member(json, name, ff_buffer_at(&value));
	ff_buffer_free(&value);
}

/* What a browser that asks for a WebSocket says to prove who it is. */
static void
add_credential(FfBuffer *json, const FfHttpHead *head)
{
	FfBuffer	value = {0};
	const char *name = ff_socket_credential(head, &value);

	if (name != NULL)
		add_member(json, name, ff_buffer_at(&value));
	ff_buffer_free(&value);
}

FfCall *
ff_call_make(const FfHttpHead *head, const char *request_id, const char *remote)
{
	FfCall *call = calloc(1, sizeof(FfCall));
	FfRoute route;

	if (call == NULL)
		abort();
	call->method = ff_copy(strcmp(head->method, "HEAD") == 0 ? "GET" : head->method);
	call->path = ff_copy(head->path);
	call->query = ff_copy(head->query);
	route = ff_route_find(call->method, call->path);
	call->lane = route.lane;
	call->series = route.series;
	add_member(&call->headers, "x-request-id", request_id);
	add_member(&call->headers, "x-flowforge-address", remote);
	for (int at = 0; at < head->header_count; at++)
	{
		const char *name = head->header[at].name;

		if ((route.all_headers || is_allowed(name)) && !is_among(withheld, name))
			add_header(&call->headers, head, at);
	}
	add_credential(&call->headers, head);
	ff_buffer_add(&call->headers, "}", 2);
	return call;
}

FfCall *
ff_call_said(const char *path, const char *pass, int follows, const char *request_id,
			 const char *remote)
{
	FfCall *call = calloc(1, sizeof(FfCall));
	FfRoute route = ff_route_find("POST", path);
	char	number[16];

	if (call == NULL)
		abort();
	call->method = ff_copy("POST");
	call->path = ff_copy(path);
	call->query = ff_copy("");
	call->lane = route.lane;
	call->series = route.series;
	snprintf(number, sizeof(number), "%d", follows);
	add_member(&call->headers, "x-request-id", request_id);
	add_member(&call->headers, "x-flowforge-address", remote);
	if (pass != NULL)
		add_member(&call->headers, "x-flowforge-pass", pass);
	add_member(&call->headers, "x-flowforge-subscriptions", number);
	ff_buffer_add(&call->headers, "}", 2);
	return call;
}

int
ff_call_add_body(FfCall *call, const char *bytes, size_t length)
{
	if (ff_buffer_length(&call->body) + length > FF_HTTP_BODY_SIZE)
		return 413;
	if (bodies_size + length > BODIES_SIZE)
		return 503;
	ff_buffer_add(&call->body, bytes, length);
	bodies_size += length;
	return 0;
}

void
ff_call_free_body(FfCall *call)
{
	bodies_size -= ff_buffer_length(&call->body);
	ff_buffer_free(&call->body);
}

void
ff_call_free(FfCall *call)
{
	if (call == NULL)
		return;
	free(call->method);
	free(call->path);
	free(call->query);
	ff_buffer_free(&call->headers);
	ff_call_free_body(call);
	free(call);
}
