/*
 * Requests from bytes (see request.h): a head, then a body of a known length or in chunks.
 */
#define _GNU_SOURCE
#include "conn/request.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/series.h"
#include "conn/answer.h"
#include "conn/dispatch.h"
#include "database/call.h"
#include "reply/cors.h"
#include "reply/static.h"
#include "wire/gzip.h"

/* Takes from the head what the answer will need. */
static void
note_request(FfConn *conn, const FfHttpHead *head)
{
	const char *id = ff_http_header(head, "x-request-id");

	if (id != NULL && ff_call_is_id(id))
		snprintf(conn->request_id, sizeof(conn->request_id), "%s", id);
	snprintf(conn->method, sizeof(conn->method), "%s", head->method);
	conn->path = ff_copy(head->path);
	conn->to.is_head = strcmp(head->method, "HEAD") == 0;
	conn->to.origin =
		strncmp(head->path, "/e/", 3) == 0 ? "*" : ff_cors_allowed(ff_http_header(head, "origin"));
	conn->to.by_origin = ff_cors_is_open();
	conn->to.takes_gzip = ff_gzip_accepted(ff_http_header(head, "accept-encoding"));
	conn->to.is_http10 = head->is_http10;
	conn->to.closes = !head->keep_alive || ff_conns.is_draining;
	conn->is_metrics = strcmp(head->path, FF_METRICS_PATH) == 0 &&
					   (conn->to.is_head || strcmp(head->method, "GET") == 0);
	if (conn->is_metrics)
		ff_metrics_key(&conn->metrics_key, head);
}

/* A file needs no call. Requests with a body are none for one. */
static bool
answer_file(FfConn *conn, const FfHttpHead *head)
{
	int status =
		head->chunked || head->length > 0 ? 0 : ff_static_answer(&conn->out, &conn->to, head);

	if (status == 0)
		return false;
	conn->series = FF_SERIES_STATIC;
	ff_conn_answered(conn, status);
	return true;
}

/* A new request begins; until its head is read we know nothing of it. */
static void
begin_request(FfConn *conn)
{
	conn->began = ff_log_clock_us();
	conn->series = FF_SERIES_OTHER;
	conn->is_metrics = false;
	conn->seen = 0;
	ff_log_request_id(conn->request_id);
	snprintf(conn->method, sizeof(conn->method), "-");
	ff_socket_free(conn->socket); /* of a request that was answered otherwise */
	conn->socket = NULL;
	conn->to = (FfReplyTo){.request_id = conn->request_id};
	memset(&conn->chunks, 0, sizeof(conn->chunks));
	ff_conn_enter(conn, FF_CONN_HEAD);
}

/* Always false. */
static bool
refuse_head(FfConn *conn, int status)
{
	ff_conn_refuse(conn, status,
				   status == 413   ? "The body is larger than 4 MB."
				   : status == 431 ? "The head is larger than 16 KB or has more than 64 fields."
								   : "The request is not well-formed HTTP/1.1.");
	return false;
}

/* False: more bytes are needed, or it is over. */
static bool
read_head(FfConn *conn)
{
	FfHttpHead head;
	int		   length =
		ff_http_head_end(ff_buffer_at(&conn->in), ff_buffer_length(&conn->in), &conn->seen);
	int status;

	if (length == 0)
		return false;
	if (length < 0)
		return refuse_head(conn, -length);
	status = ff_http_head_parse(ff_buffer_at(&conn->in), (size_t) length, &head);
	if (status != 0)
		return refuse_head(conn, status);
	note_request(conn, &head);
	if (answer_file(conn, &head))
	{
		ff_buffer_skip(&conn->in, (size_t) length);
		return true;
	}
	status = ff_socket_asked(&head, &conn->socket);
	if (status >= 400)
	{
		ff_conn_refuse(conn, status,
					   "The request for a WebSocket is not that of RFC 6455, version 13.");
		return false;
	}
	conn->call = ff_call_make(&head, conn->request_id, conn->remote);
	conn->series = conn->call->series;
	conn->chunked = head.chunked;
	conn->body_left = head.length;
	ff_buffer_skip(&conn->in, (size_t) length);
	ff_conn_enter(conn, FF_CONN_BODY);
	if (head.expects_continue && (head.chunked || head.length > 0) &&
		ff_buffer_length(&conn->in) == 0)
	{
		ff_buffer_text(&conn->out, "HTTP/1.1 100 Continue\r\n\r\n");
		ff_conn_to_be_flushed(conn);
	}
	return true;
}

/* Adds content to the body. False when that is refused. */
static bool
add_body(FfConn *conn, const char *bytes, size_t length)
{
	int status = ff_call_add_body(conn->call, bytes, length);

	if (status != 0)
		ff_conn_refuse(conn, status,
					   status == 413 ? "The body is larger than 4 MB."
									 : "Too many large requests at once. Nothing was done.");
	return status == 0;
}

static bool
read_chunks(FfConn *conn)
{
	while (!conn->chunks.done && ff_buffer_length(&conn->in) > 0)
	{
		const char *piece;
		size_t		piece_length;
		long		used = ff_http_chunks(&conn->chunks, ff_buffer_at(&conn->in),
										  ff_buffer_length(&conn->in), &piece, &piece_length);

		if (used < 0)
		{
			ff_conn_refuse(conn, 400, "The body is not well-formed in its chunks.");
			return false;
		}
		if (piece_length > 0 && !add_body(conn, piece, piece_length))
			return false;
		ff_buffer_skip(&conn->in, (size_t) used);
	}
	return conn->chunks.done;
}

static bool
read_length(FfConn *conn)
{
	size_t length = ff_buffer_length(&conn->in);

	if (length > (size_t) conn->body_left)
		length = (size_t) conn->body_left;
	if (length > 0 && !add_body(conn, ff_buffer_at(&conn->in), length))
		return false;
	conn->body_left -= (int64_t) length;
	ff_buffer_skip(&conn->in, length);
	return conn->body_left == 0;
}

void
ff_conn_read_requests(FfConn *conn)
{
	while (conn->state <= FF_CONN_BODY)
	{
		if (conn->state == FF_CONN_IDLE)
		{
			if (ff_buffer_length(&conn->out) > 0)
				return;
			/* Some clients send an empty line after a body (RFC 9112 section 2.2). */
			while (ff_buffer_length(&conn->in) >= 2 &&
				   memcmp(ff_buffer_at(&conn->in), "\r\n", 2) == 0)
				ff_buffer_skip(&conn->in, 2);
			if (ff_buffer_length(&conn->in) == 0)
				return;
			begin_request(conn);
		}
		if (conn->state == FF_CONN_HEAD && !read_head(conn))
			return;
		if (conn->state == FF_CONN_BODY)
		{
			if (!(conn->chunked ? read_chunks(conn) : read_length(conn)))
				return;
			ff_conn_dispatch(conn);
		}
	}
}
