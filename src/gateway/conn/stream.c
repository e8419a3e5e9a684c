/*
 * Answers that stay open (see stream.h): an event stream ends with its connection, a WebSocket is
 * told why it ends.
 */
#define _GNU_SOURCE
#include "conn/stream.h"

#include <stddef.h>

#include "base/log.h"
#include "base/series.h"
#include "conn/answer.h"
#include "wire/websocket.h"

#define PING_MS 15000
#define UNSENT_SIZE (1024 * 1024) /* of news; a snapshot and the latest piece may be larger */

/* Nothing follows what is in `out`. */
static void
end_stream(FfConn *conn)
{
	ff_conn_stop_following(conn);
	ff_conn_enter(conn, FF_CONN_CLOSING);
	ff_conn_to_be_flushed(conn);
}

/* The same for a WebSocket, which is told why. */
static void
end_socket(FfConn *conn, int code, const char *reason)
{
	ff_frame_close(&conn->out, code, reason);
	end_stream(conn);
}

/* Who does not read is not waited for. A WebSocket is told so, should it read again. */
static void
drop_follower(FfConn *conn)
{
	ff_log("warning", "request %s: a follower that does not read was dropped", conn->request_id);
	if (conn->socket != NULL)
		end_socket(conn, FF_WS_TRY_LATER, "more than 1 MB is unread");
	else
		ff_conn_bury(conn);
}

/* Adds more of a stream. Who has too much unread is dropped at the end of the turn: one connection
 * may follow many things, of which others are just being told. */
static void
add_news(FfConn *conn, FfNews *news, const char *name)
{
	ff_conn_to_be_flushed(conn);
	conn->is_deaf |= ff_buffer_length(&conn->out) > conn->unsent_limit;
	if (conn->is_deaf)
		return;
	if (ff_buffer_length(&conn->out) == 0)
		conn->written_at = ff_loop_now();
	if (conn->socket != NULL)
		ff_news_frames(news, name, &conn->out);
	else
		ff_buffer_add(&conn->out, news->text, news->length);
}

/* More of what was asked for by the request. */
static void
deliver(FfSubscriber *subscriber, FfNews *news)
{
	FfConn *conn = (FfConn *) ((char *) subscriber - offsetof(FfConn, subscriber));

	add_news(conn, news, NULL);
	if (conn->is_deaf)
		return;
	if (news->is_final && conn->socket != NULL)
		end_socket(conn, FF_WS_NORMAL, "the run has ended");
	else if (news->is_final)
		end_stream(conn);
}

static void
deliver_named(void *connection, FfNews *news, const char *name)
{
	add_news(connection, news, name);
}

/* What the client said has been answered; what else it has said is heard when that is written. */
static void
said(void *connection, const FfCall *call, int status, int code)
{
	FfConn *conn = connection;
	int64_t took = ff_log_clock_us() - conn->began;

	ff_series_answered(call->series, status, took);
	if (!ff_conns.is_quiet)
		ff_log_request(conn->request_id, call->method, call->path, status, took / 1000);
	ff_socket_listens(conn->socket);
	conn->unsent_limit = ff_buffer_length(&conn->out) + UNSENT_SIZE;
	conn->written_at = ff_loop_now();
	conn->end_code = code;
	ff_conn_to_be_flushed(conn);
}

static void
begin_talk(FfConn *conn, const char *path)
{
	FfTalkHost host = {.request_id = conn->request_id,
					   .remote = conn->remote,
					   .pass = conn->pass,
					   .out = &conn->out,
					   .deliver = deliver_named,
					   .answered = said,
					   .connection = conn};

	conn->talk = ff_talk_begin(path, &host);
}

/* What was answered is in `out`; it goes on until the run ends or the client leaves. */
static void
follow(FfConn *conn, const FfReplyStream *stream)
{
	ff_conn_enter(conn, FF_CONN_STREAM);
	ff_buffer_free(&conn->in);
	conn->unsent_limit = ff_buffer_length(&conn->out) + UNSENT_SIZE;
	conn->subscriber.deliver = deliver;
	if (stream->pass != NULL)
		conn->pass = ff_pass_take(stream->pass, stream->lifetime);
	if (stream->messages != NULL && conn->socket != NULL)
		begin_talk(conn, stream->messages);
	if (stream->kind == FF_STREAM_SILENT)
		ff_live_check();
	else if (stream->kind == FF_STREAM_RUN)
		ff_live_subscribe(&conn->subscriber, stream->tenant, stream->run, stream->seq);
	else
		ff_live_subscribe_feed(&conn->subscriber, stream->tenant, stream->function, stream->cursor);
}

void
ff_conn_begin_stream(FfConn *conn, const FfAnswer *answer, const FfReplyStream *stream)
{
	conn->to.closes = true;
	ff_reply_answer(&conn->out, &conn->to, answer, true);
	ff_conn_answered(conn, answer->status);
	if (!stream->is_complete && !conn->to.is_head && !ff_conns.is_draining)
		follow(conn, stream);
}

/* Goes on with what the client of a WebSocket has said, one message at a time. Who follows what the
 * path says only has nothing to say. */
static void
hear(FfConn *conn)
{
	FfFrame message = {.kind = FF_FRAME_TEXT};
	int		code = 0;

	while (ff_conn_may_hear(conn) && conn->end_code == 0 && code == 0 &&
		   message.kind != FF_FRAME_NONE)
	{
		code = ff_socket_hear(conn->socket, &message, &conn->out);
		if (code != 0 || message.kind == FF_FRAME_NONE || conn->talk == NULL)
			continue;
		conn->began = ff_log_clock_us();
		ff_talk_say(conn->talk, message.data, message.length);
	}
	if (code != 0)
		end_socket(conn, code, "");
}

void
ff_conn_hear(FfConn *conn, const char *bytes, size_t length)
{
	ff_socket_feed(conn->socket, bytes, length);
	hear(conn);
}

bool
ff_conn_begin_socket(FfConn *conn, const FfAnswer *answer, const FfReplyStream *stream)
{
	int	   refusal = ff_socket_refusal(answer->status);
	size_t rest = ff_buffer_length(&conn->in);

	if (stream->kind == FF_STREAM_NONE && refusal == 0)
		return false;
	conn->to.closes = true;
	ff_socket_welcome(conn->socket, &conn->out, conn->request_id);
	ff_conn_answered(conn, 101);
	if (refusal != 0)
	{
		end_socket(conn, refusal, ff_http_reason(answer->status));
		return true;
	}
	ff_frame_events(&conn->out, NULL, answer->body, answer->body_length);
	if (stream->is_complete)
		end_socket(conn, FF_WS_NORMAL, "the run has ended");
	else if (ff_conns.is_draining)
		end_socket(conn, FF_WS_AWAY, "the gateway stops");
	else
	{
		FfBuffer early = conn->in;

		conn->in = (FfBuffer){0};
		follow(conn, stream);
		if (rest > 0)
			ff_conn_hear(conn, ff_buffer_at(&early), rest);
		ff_buffer_free(&early);
	}
	return true;
}

/* What was said while the client was not listened to is heard when it is again. */
void
ff_conn_go_on_hearing(FfConn *conn)
{
	size_t before = ff_buffer_length(&conn->out);

	hear(conn);
	if (ff_buffer_length(&conn->out) != before)
		ff_conn_to_be_flushed(conn);
}

void
ff_conn_settle(FfConn *conn)
{
	if (conn->state != FF_CONN_STREAM)
		return;
	if (conn->is_deaf)
		drop_follower(conn);
	else if (conn->end_code != 0)
		end_socket(conn, conn->end_code, "");
}

/* A comment line keeps proxies from closing a quiet stream; one that has something to send is not
 * quiet. A WebSocket is pinged, and answers while it is there. */
static void
ping(FfConn *conn)
{
	FfNews comment = {.text = ": ping\n\n", .length = 8};

	if (conn->socket != NULL)
	{
		if (!ff_socket_tend(conn->socket, &conn->out, ff_conns.deadlines.idle))
			ff_conn_bury(conn);
		else if (ff_buffer_length(&conn->out) > 0)
			ff_conn_to_be_flushed(conn);
		return;
	}
	if (ff_loop_now() - conn->since < PING_MS || ff_buffer_length(&conn->out) > 0)
		return;
	conn->since = ff_loop_now();
	deliver(&conn->subscriber, &comment);
}

/* Whose key or session has ended follows no more. */
static void
dismiss(FfConn *conn)
{
	if (conn->socket != NULL)
		end_socket(conn, FF_WS_UNAUTHORIZED, "signed out");
	else
		end_stream(conn);
}

void
ff_conn_tend(FfConn *conn)
{
	if (ff_pass_is_spent(conn->pass))
		dismiss(conn);
	else
		ping(conn);
}

void
ff_conn_leave(FfConn *conn)
{
	if (conn->state == FF_CONN_STREAM && conn->socket != NULL)
		end_socket(conn, FF_WS_AWAY, "the gateway stops");
	else
		end_stream(conn);
}
