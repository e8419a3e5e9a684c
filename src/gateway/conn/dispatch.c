/*
 * From a complete request to its answer (see dispatch.h).
 */
#define _GNU_SOURCE
#include "conn/dispatch.h"

#include <stdio.h>
#include <string.h>

#include "base/series.h"
#include "conn/answer.h"
#include "conn/stream.h"

static void
take_answer(FfConn *conn, const FfAnswer *answer)
{
	FfReplyStream stream;

	ff_reply_stream(answer, &stream);
	if (conn->socket == NULL || !ff_conn_begin_socket(conn, answer, &stream))
	{
		ff_socket_free(conn->socket);
		conn->socket = NULL;
		if (stream.kind != FF_STREAM_NONE)
			ff_conn_begin_stream(conn, answer, &stream);
		else
		{
			ff_reply_answer(&conn->out, &conn->to, answer, false);
			ff_conn_answered(conn, answer->status);
		}
	}
	ff_reply_stream_free(&stream);
}

/* The page of figures, if it can be made of what is known already. */
static bool
answer_metrics(FfConn *conn, bool is_away)
{
	FfBuffer page = {0};
	FfAnswer answer = {.status = 200};
	char	 fields[200];

	if (!conn->is_metrics || !ff_metrics_page(&page, &conn->metrics_key, is_away))
		return false;
	answer.headers = fields;
	answer.headers_length = (size_t) snprintf(
		fields, sizeof(fields),
		"content-type: text/plain; version=0.0.4; charset=utf-8\ncache-control: no-store\nx-request-id: %s\n",
		conn->request_id);
	answer.body = ff_buffer_at(&page);
	answer.body_length = ff_buffer_length(&page);
	ff_reply_answer(&conn->out, &conn->to, &answer, false);
	ff_buffer_free(&page);
	ff_conn_answered(conn, 200);
	return true;
}

static void
ended(FfCall *call, FfCallEnd end, const FfAnswer *answer)
{
	FfConn *conn = call->argument;

	if (conn == NULL)
		return;
	conn->call = NULL;
	conn->to.closes |= ff_conns.is_draining;
	if (conn->is_metrics && end == FF_CALL_ANSWERED && answer->status == 200)
		ff_metrics_keep(&conn->metrics_key, answer->body, answer->body_length);
	if (conn->is_metrics && (end != FF_CALL_ANSWERED || answer->status == 200) &&
		answer_metrics(conn, end != FF_CALL_ANSWERED))
		return;
	switch (end)
	{
		case FF_CALL_ANSWERED:
			take_answer(conn, answer);
			break;
		case FF_CALL_REFUSED:
			ff_conn_answer_unavailable(conn);
			break;
		case FF_CALL_UNKNOWN:
			ff_conn_answer_unknown(conn);
			break;
		case FF_CALL_TIMEOUT:
			ff_conn_answer_timeout(conn);
			break;
		case FF_CALL_BROKEN:
			ff_conn_answer_broken(conn);
			break;
	}
}

void
ff_conn_dispatch(FfConn *conn)
{
	FfCall *call = conn->call;
	bool	is_get = strcmp(call->method, "GET") == 0;

	if (is_get && strcmp(conn->path, "/health") == 0)
	{
		ff_reply_json(&conn->out, &conn->to, 200, "{\"status\":\"ok\"}");
		ff_conn_answered(conn, 200);
	}
	else if (conn->to.origin != NULL && strcmp(call->method, "OPTIONS") == 0)
	{
		conn->series = FF_SERIES_PREFLIGHT;
		ff_reply_preflight(&conn->out, &conn->to);
		ff_conn_answered(conn, 204);
	}
	else if (is_get && strcmp(conn->path, "/ready") == 0 && !ff_pg_is_ready())
		ff_conn_answer_unavailable(conn);
	else if (!answer_metrics(conn, false))
	{
		call->ended = ended;
		call->argument = conn;
		ff_conn_enter(conn, FF_CONN_CALL);
		ff_pg_call(call);
	}
}
