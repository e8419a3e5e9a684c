/*
 * Client connections: states, limits, deadlines.
 *
 * Everything that is to be written is gathered in `out` and written once at the end of the turn. A
 * connection that ended is kept until then too, because events already fetched may still name it.
 * Reading is paused while a call runs or an answer is unwritten, so a client can not make us hold
 * more than one request of it.
 */
#define _GNU_SOURCE
#include "conn/conn.h"

#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "conn/metrics.h"
#include "database/call.h"
#include "live/live.h"
#include "live/pass.h"
#include "live/talk.h"
#include "reply/cors.h"
#include "reply/reply.h"
#include "reply/static.h"
#include "wire/gzip.h"
#include "wire/http.h"
#include "wire/socket.h"
#include "wire/tls.h"

#define LINGER_MS 2000
#define PING_MS 15000
#define READ_SIZE 65536
#define UNSENT_SIZE (1024 * 1024) /* of news; a snapshot and the latest piece may be larger */
#define UNHEARD_SIZE 65536 /* unsent, of a WebSocket: nothing more is heard before it is taken */
#define MOST_CONNECTIONS 10000

typedef enum State
{
	IDLE, /* between requests */
	HEAD,
	BODY,
	CALL, /* the database works */
	STREAM,
	CLOSING, /* the last answer is being written */
	LINGER,	 /* it is written; what the client still sends is dropped, so that a reset does not
				overtake it */
	DEAD
} State;

typedef struct Conn Conn;
struct Conn
{
	FfWatch		 watch; /* first */
	FfSubscriber subscriber;
	Conn		*next;
	Conn		*previous;
	Conn		*next_unflushed;
	bool		 is_unflushed;
	State		 state;
	int64_t		 since; /* the state's clock */
	int64_t		 written_at;
	size_t		 unsent_limit; /* of a stream */
	bool		 is_deaf;	   /* it has more unread than that */
	int			 end_code;	   /* of a WebSocket that is to be ended; 0: none */
	FfSocket	*socket;	   /* NULL: plain HTTP */
	FfTalk		*talk;		   /* what is said over it; NULL: nothing */
	FfPass		*pass;		   /* whose stream it is; NULL: anybody's */
	FfBuffer	 in;
	FfBuffer	 out;
	size_t		 seen; /* of the head */
	FfTls		*tls;  /* NULL: plain */
	char		 remote[64];
	/* the request */
	FfCall		*call; /* ours in BODY; the database's in CALL */
	FfHttpChunks chunks;
	bool		 chunked;
	int64_t		 body_left;
	int64_t		 began;		  /* microseconds */
	int			 series;	  /* what it counts for */
	bool		 is_metrics;  /* its answer is completed by us */
	FfMetricsKey metrics_key; /* if so */
	char		 request_id[65];
	char		 method[33];
	char		*path;
	FfReplyTo	 to;
};

static Conn		  *conns;
static Conn		  *unflushed;
static Conn		  *graves;
static int		   conn_count;
static uint64_t	   accepted;
static bool		   is_quiet;
static FfDeadlines deadlines;
static bool		   is_draining;

static void read_requests(Conn *conn);

/* ---- life ---- */

static void
enter(Conn *conn, State state)
{
	conn->state = state;
	conn->since = ff_loop_now();
}

/* Whether the client of a WebSocket is listened to: its last message is answered, and it reads. */
static bool
may_hear(const Conn *conn)
{
	return ff_buffer_length(&conn->out) <= UNHEARD_SIZE &&
		   (conn->talk == NULL || !ff_talk_is_busy(conn->talk));
}

/* What the connection waits for in its state. */
static void
watch(Conn *conn)
{
	bool	 unsent = ff_buffer_length(&conn->out) > 0;
	uint32_t events = unsent ? EPOLLOUT : 0;

	if (conn->state == DEAD)
		return;
	if (conn->state == STREAM || conn->state == LINGER || (!unsent && conn->state <= BODY))
		events |= conn->tls != NULL && ff_tls_wants_write(conn->tls) ? EPOLLIN | EPOLLOUT : EPOLLIN;
	if (conn->socket != NULL && !may_hear(conn))
		events &= ~(uint32_t) EPOLLIN;
	if (events != conn->watch.events)
		ff_loop_watch(&conn->watch, conn->watch.fd, events);
}

static void
forget_request(Conn *conn)
{
	if (conn->state == CALL && conn->call != NULL)
		ff_pg_abandon(conn->call);
	else
		ff_call_free(conn->call);
	conn->call = NULL;
	free(conn->path);
	conn->path = NULL;
}

static void
stop_following(Conn *conn)
{
	ff_live_unsubscribe(&conn->subscriber);
	ff_talk_end(conn->talk);
	conn->talk = NULL;
	ff_pass_drop(conn->pass);
	conn->pass = NULL;
}

static void
bury(Conn *conn)
{
	int fd = conn->watch.fd;

	if (conn->state == DEAD)
		return;
	stop_following(conn);
	forget_request(conn);
	ff_loop_unwatch(&conn->watch);
	ff_tls_free(conn->tls);
	conn->tls = NULL;
	close(fd);
	conn->state = DEAD;
	if (conn->previous != NULL)
		conn->previous->next = conn->next;
	else
		conns = conn->next;
	if (conn->next != NULL)
		conn->next->previous = conn->previous;
	conn->next = graves;
	graves = conn;
	conn_count--;
}

static void
free_graves(void)
{
	while (graves != NULL)
	{
		Conn *conn = graves;

		graves = conn->next;
		ff_buffer_free(&conn->in);
		ff_buffer_free(&conn->out);
		ff_socket_free(conn->socket);
		free(conn);
	}
}

/* ---- answers ---- */

/* Has `out` written at the end of the turn. */
static void
to_be_flushed(Conn *conn)
{
	if (conn->is_unflushed)
		return;
	conn->is_unflushed = true;
	conn->next_unflushed = unflushed;
	unflushed = conn;
}

/* The answer is in `out`. */
static void
answered(Conn *conn, int status)
{
	int64_t took = ff_log_clock_us() - conn->began;

	ff_metrics_answered(conn->series, status, took);
	if (!is_quiet)
		ff_log_request(conn->request_id, conn->method, conn->path != NULL ? conn->path : "", status,
					   took / 1000);
	forget_request(conn);
	conn->written_at = ff_loop_now();
	enter(conn, conn->to.closes ? CLOSING : IDLE);
	to_be_flushed(conn);
}

/* Refuses a request that can not be understood or takes too long: after it nothing on this
 * connection can be trusted. */
static void
refuse(Conn *conn, int status, const char *detail)
{
	static const struct
	{
		int			status;
		const char *code;
	} codes[] = {{408, "timeout"},			{413, "too_large"}, {417, "expectation"},
				 {426, "upgrade_required"}, {431, "too_large"}, {501, "not_implemented"},
				 {503, "unavailable"},		{505, "version"}};
	const char *code = "bad_request";

	for (size_t at = 0; at < sizeof(codes) / sizeof(codes[0]); at++)
		code = codes[at].status == status ? codes[at].code : code;
	conn->to.closes = true;
	conn->series = FF_SERIES_REFUSED;
	ff_reply_problem(&conn->out, &conn->to, status, code, detail, NULL);
	answered(conn, status);
}

/* What took longer than it may. */
static void
refuse_late(Conn *conn, const char *what, int deadline)
{
	char detail[100];

	snprintf(detail, sizeof(detail), "%s did not arrive in %d second%s.", what, deadline / 1000,
			 deadline == 1000 ? "" : "s");
	refuse(conn, 408, detail);
}

static void
answer_timeout(Conn *conn)
{
	char detail[100];

	snprintf(detail, sizeof(detail), "The database took longer than %d second%s. Nothing was done.",
			 deadlines.statement / 1000, deadlines.statement == 1000 ? "" : "s");
	ff_reply_problem(&conn->out, &conn->to, 504, "timeout", detail, NULL);
	answered(conn, 504);
}

static void
answer_unavailable(Conn *conn)
{
	ff_reply_problem(&conn->out, &conn->to, 503, "unavailable",
					 "The database cannot be reached or is too busy. Nothing was done.",
					 "Try again in a moment.");
	answered(conn, 503);
}

/* ---- streams ---- */

/* Nothing follows what is in `out`. */
static void
end_stream(Conn *conn)
{
	stop_following(conn);
	enter(conn, CLOSING);
	to_be_flushed(conn);
}

/* The same for a WebSocket, which is told why. */
static void
end_socket(Conn *conn, int code, const char *reason)
{
	ff_frame_close(&conn->out, code, reason);
	end_stream(conn);
}

/* Who does not read is not waited for. A WebSocket is told so, should it read again. */
static void
drop_follower(Conn *conn)
{
	ff_log("warning", "request %s: a follower that does not read was dropped", conn->request_id);
	if (conn->socket != NULL)
		end_socket(conn, FF_WS_TRY_LATER, "more than 1 MB is unread");
	else
		bury(conn);
}

/* Adds more of a stream. Who has too much unread is dropped at the end of the turn: one connection
 * may follow many things, of which others are just being told. */
static void
add_news(Conn *conn, FfNews *news, const char *name)
{
	to_be_flushed(conn);
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
	Conn *conn = (Conn *) ((char *) subscriber - offsetof(Conn, subscriber));

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
	Conn   *conn = connection;
	int64_t took = ff_log_clock_us() - conn->began;

	ff_metrics_answered(call->series, status, took);
	if (!is_quiet)
		ff_log_request(conn->request_id, call->method, call->path, status, took / 1000);
	ff_socket_listens(conn->socket);
	conn->unsent_limit = ff_buffer_length(&conn->out) + UNSENT_SIZE;
	conn->written_at = ff_loop_now();
	conn->end_code = code;
	to_be_flushed(conn);
}

static void
begin_talk(Conn *conn, const char *path)
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
follow(Conn *conn, const FfReplyStream *stream)
{
	enter(conn, STREAM);
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

/* serve() answered with a stream. */
static void
begin_stream(Conn *conn, const FfAnswer *answer, const FfReplyStream *stream)
{
	conn->to.closes = true;
	ff_reply_answer(&conn->out, &conn->to, answer, true);
	answered(conn, answer->status);
	if (!stream->is_complete && !conn->to.is_head && !is_draining)
		follow(conn, stream);
}

/* Goes on with what the client of a WebSocket has said, one message at a time. Who follows what the
 * path says only has nothing to say. */
static void
hear(Conn *conn)
{
	FfFrame message = {.kind = FF_FRAME_TEXT};
	int		code = 0;

	while (may_hear(conn) && conn->end_code == 0 && code == 0 && message.kind != FF_FRAME_NONE)
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

/* The client asked for a WebSocket: it gets the stream in frames, or is told in a frame why not,
 * since browsers do not show what else they are answered. False: the answer is another. */
static bool
begin_socket(Conn *conn, const FfAnswer *answer, const FfReplyStream *stream)
{
	int	   refusal = ff_socket_refusal(answer->status);
	size_t rest = ff_buffer_length(&conn->in);

	if (stream->kind == FF_STREAM_NONE && refusal == 0)
		return false;
	conn->to.closes = true;
	ff_socket_welcome(conn->socket, &conn->out, conn->request_id);
	answered(conn, 101);
	if (refusal != 0)
	{
		end_socket(conn, refusal, ff_http_reason(answer->status));
		return true;
	}
	ff_frame_events(&conn->out, NULL, answer->body, answer->body_length);
	if (stream->is_complete)
		end_socket(conn, FF_WS_NORMAL, "the run has ended");
	else if (is_draining)
		end_socket(conn, FF_WS_AWAY, "the gateway stops");
	else
	{
		FfBuffer early = conn->in;

		conn->in = (FfBuffer){0};
		follow(conn, stream);
		if (rest > 0)
		{
			ff_socket_feed(conn->socket, ff_buffer_at(&early), rest);
			hear(conn);
		}
		ff_buffer_free(&early);
	}
	return true;
}

static void
take_answer(Conn *conn, const FfAnswer *answer)
{
	FfReplyStream stream;

	ff_reply_stream(answer, &stream);
	if (conn->socket == NULL || !begin_socket(conn, answer, &stream))
	{
		ff_socket_free(conn->socket);
		conn->socket = NULL;
		if (stream.kind != FF_STREAM_NONE)
			begin_stream(conn, answer, &stream);
		else
		{
			ff_reply_answer(&conn->out, &conn->to, answer, false);
			answered(conn, answer->status);
		}
	}
	ff_reply_stream_free(&stream);
}

/* The page of figures, if it can be made of what is known already. */
static bool
answer_metrics(Conn *conn, bool is_away)
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
	answered(conn, 200);
	return true;
}

static void
ended(FfCall *call, FfCallEnd end, const FfAnswer *answer)
{
	Conn *conn = call->argument;

	if (conn == NULL)
		return;
	conn->call = NULL;
	conn->to.closes |= is_draining;
	if (conn->is_metrics && end == FF_CALL_ANSWERED && answer->status == 200)
		ff_metrics_keep(&conn->metrics_key, answer->body, answer->body_length);
	if (conn->is_metrics && (end != FF_CALL_ANSWERED || answer->status == 200) &&
		answer_metrics(conn, end != FF_CALL_ANSWERED))
		return;
	switch (end)
	{
		case FF_CALL_ANSWERED:
			take_answer(conn, answer);
			return;
		case FF_CALL_REFUSED:
			answer_unavailable(conn);
			return;
		case FF_CALL_UNKNOWN:
			ff_reply_problem(
				&conn->out, &conn->to, 503, "outcome_unknown",
				"The connection to the database was lost. The request may have been carried out or not.",
				"Look before you repeat it, or repeat it with the same id, which counts once.");
			answered(conn, 503);
			return;
		case FF_CALL_TIMEOUT:
			answer_timeout(conn);
			return;
		case FF_CALL_BROKEN:
			break;
	}
	ff_reply_problem(&conn->out, &conn->to, 500, "internal",
					 "The database failed to answer. Nothing was done.",
					 "The logs of the gateway and the database tell why.");
	answered(conn, 500);
}

/* ---- requests ---- */

/* The request is complete: answers it here or hands it to the database. */
static void
dispatch(Conn *conn)
{
	FfCall *call = conn->call;
	bool	is_get = strcmp(call->method, "GET") == 0;

	if (is_get && strcmp(conn->path, "/health") == 0)
	{
		ff_reply_json(&conn->out, &conn->to, 200, "{\"status\":\"ok\"}");
		answered(conn, 200);
	}
	else if (conn->to.origin != NULL && strcmp(call->method, "OPTIONS") == 0)
	{
		conn->series = FF_SERIES_PREFLIGHT;
		ff_reply_preflight(&conn->out, &conn->to);
		answered(conn, 204);
	}
	else if (is_get && strcmp(conn->path, "/ready") == 0 && !ff_pg_is_ready())
		answer_unavailable(conn);
	else if (!answer_metrics(conn, false))
	{
		call->ended = ended;
		call->argument = conn;
		enter(conn, CALL);
		ff_pg_call(call);
	}
}

/* Takes from the head what the answer will need. */
static void
note_request(Conn *conn, const FfHttpHead *head)
{
	const char *id = ff_http_header(head, "x-request-id");

	if (id != NULL && ff_call_is_id(id))
		snprintf(conn->request_id, sizeof(conn->request_id), "%s", id);
	snprintf(conn->method, sizeof(conn->method), "%s", head->method);
	conn->path = strdup(head->path);
	if (conn->path == NULL)
		abort();
	conn->to.is_head = strcmp(head->method, "HEAD") == 0;
	conn->to.origin =
		strncmp(head->path, "/e/", 3) == 0 ? "*" : ff_cors_allowed(ff_http_header(head, "origin"));
	conn->to.by_origin = ff_cors_is_open();
	conn->to.takes_gzip = ff_gzip_accepted(ff_http_header(head, "accept-encoding"));
	conn->to.is_http10 = head->is_http10;
	conn->to.closes = !head->keep_alive || is_draining;
	conn->is_metrics = strcmp(head->path, FF_METRICS_PATH) == 0 &&
					   (conn->to.is_head || strcmp(head->method, "GET") == 0);
	if (conn->is_metrics)
		ff_metrics_key(&conn->metrics_key, head);
}

/* A file needs no call. Requests with a body are none for one. */
static bool
answer_file(Conn *conn, const FfHttpHead *head)
{
	int status =
		head->chunked || head->length > 0 ? 0 : ff_static_answer(&conn->out, &conn->to, head);

	if (status == 0)
		return false;
	conn->series = FF_SERIES_STATIC;
	answered(conn, status);
	return true;
}

/* A new request begins; until its head is read we know nothing of it. */
static void
begin_request(Conn *conn)
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
	enter(conn, HEAD);
}

/* Always false. */
static bool
refuse_head(Conn *conn, int status)
{
	refuse(conn, status,
		   status == 413   ? "The body is larger than 4 MB."
		   : status == 431 ? "The head is larger than 16 KB or has more than 64 fields."
						   : "The request is not well-formed HTTP/1.1.");
	return false;
}

/* False: more bytes are needed, or it is over. */
static bool
read_head(Conn *conn)
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
		refuse(conn, status, "The request for a WebSocket is not that of RFC 6455, version 13.");
		return false;
	}
	conn->call = ff_call_make(&head, conn->request_id, conn->remote);
	conn->series = conn->call->series;
	conn->chunked = head.chunked;
	conn->body_left = head.length;
	ff_buffer_skip(&conn->in, (size_t) length);
	enter(conn, BODY);
	if (head.expects_continue && (head.chunked || head.length > 0) &&
		ff_buffer_length(&conn->in) == 0)
	{
		ff_buffer_text(&conn->out, "HTTP/1.1 100 Continue\r\n\r\n");
		to_be_flushed(conn);
	}
	return true;
}

/* Adds content to the body. False when that is refused. */
static bool
add_body(Conn *conn, const char *bytes, size_t length)
{
	int status = ff_call_add_body(conn->call, bytes, length);

	if (status != 0)
		refuse(conn, status,
			   status == 413 ? "The body is larger than 4 MB."
							 : "Too many large requests at once. Nothing was done.");
	return status == 0;
}

static bool
read_chunks(Conn *conn)
{
	while (!conn->chunks.done && ff_buffer_length(&conn->in) > 0)
	{
		const char *piece;
		size_t		piece_length;
		long		used = ff_http_chunks(&conn->chunks, ff_buffer_at(&conn->in),
										  ff_buffer_length(&conn->in), &piece, &piece_length);

		if (used < 0)
		{
			refuse(conn, 400, "The body is not well-formed in its chunks.");
			return false;
		}
		if (piece_length > 0 && !add_body(conn, piece, piece_length))
			return false;
		ff_buffer_skip(&conn->in, (size_t) used);
	}
	return conn->chunks.done;
}

static bool
read_length(Conn *conn)
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

/* Goes as far as the bytes at hand allow, but not beyond an unwritten answer. */
static void
read_requests(Conn *conn)
{
	while (conn->state <= BODY)
	{
		if (conn->state == IDLE)
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
		if (conn->state == HEAD && !read_head(conn))
			return;
		if (conn->state == BODY)
		{
			if (!(conn->chunked ? read_chunks(conn) : read_length(conn)))
				return;
			dispatch(conn);
		}
	}
}

/* ---- bytes ---- */

static ssize_t
read_bytes(Conn *conn, char *bytes, size_t room)
{
	ssize_t length = conn->tls != NULL ? ff_tls_read(conn->tls, bytes, room)
									   : recv(conn->watch.fd, bytes, room, 0);

	if (length > 0)
		ff_metrics_received((size_t) length);
	return length;
}

/* What comes in a stream or while lingering is heard, or dropped, and never kept. */
static ssize_t
receive_for_stream(Conn *conn)
{
	static char bytes[READ_SIZE];
	ssize_t		length = read_bytes(conn, bytes, sizeof(bytes));

	if (length > 0 && conn->state == STREAM && conn->socket != NULL)
	{
		ff_socket_feed(conn->socket, bytes, (size_t) length);
		hear(conn);
	}
	return length;
}

static ssize_t
receive_for_request(Conn *conn)
{
	size_t	room = conn->tls == NULL && conn->state <= HEAD ? FF_HTTP_HEAD_SIZE : READ_SIZE;
	ssize_t length;

	_Static_assert(READ_SIZE >= FF_HTTP_HEAD_SIZE + FF_TLS_RECORD, "a record has room");
	if (ff_buffer_length(&conn->in) >= room)
		return 1;
	room -= ff_buffer_length(&conn->in);
	length = read_bytes(conn, ff_buffer_room(&conn->in, room), room);
	if (length > 0)
		conn->in.end += (size_t) length;
	return length;
}

/* Reads once. False: the connection is gone. */
static bool
receive(Conn *conn)
{
	ssize_t length = conn->state <= BODY ? receive_for_request(conn) : receive_for_stream(conn);

	if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR))
	{
		bury(conn);
		return false;
	}
	return true;
}

/* What was said while the client was not listened to is heard when it is again. */
static void
go_on_hearing(Conn *conn)
{
	size_t before = ff_buffer_length(&conn->out);

	hear(conn);
	if (ff_buffer_length(&conn->out) != before)
		to_be_flushed(conn);
}

/* What is due at the end of a turn, other than writing. */
static void
settle(Conn *conn)
{
	if (conn->state != STREAM)
		return;
	if (conn->is_deaf)
		drop_follower(conn);
	else if (conn->end_code != 0)
		end_socket(conn, conn->end_code, "");
}

static void
send_out(Conn *conn)
{
	ssize_t length = 0;

	if (ff_buffer_length(&conn->out) > 0 && conn->tls != NULL)
		length = ff_tls_write(conn->tls, ff_buffer_at(&conn->out), ff_buffer_length(&conn->out));
	else if (ff_buffer_length(&conn->out) > 0)
		length = send(conn->watch.fd, ff_buffer_at(&conn->out), ff_buffer_length(&conn->out),
					  MSG_NOSIGNAL);
	if (length < 0 && errno != EAGAIN && errno != EINTR)
	{
		bury(conn);
		return;
	}
	if (length > 0)
	{
		ff_metrics_sent((size_t) length);
		conn->written_at = ff_loop_now();
		ff_buffer_skip(&conn->out, (size_t) length);
	}
	if (ff_buffer_length(&conn->out) == 0 && conn->state == CLOSING)
	{
		if (conn->tls != NULL)
			ff_tls_end(conn->tls);
		shutdown(conn->watch.fd, SHUT_WR);
		ff_buffer_free(&conn->in);
		enter(conn, LINGER);
	}
	if (conn->state == IDLE)
		read_requests(conn);
	if (conn->state == STREAM && conn->socket != NULL)
		go_on_hearing(conn);
	if (conn->state == STREAM && ff_buffer_length(&conn->out) == 0)
		ff_buffer_free(&conn->out); /* most streams are quiet: they cost little */
	watch(conn);
}

static void
ready(FfWatch *watched, uint32_t events)
{
	Conn *conn = (Conn *) watched;

	if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0)
	{
		bury(conn);
		return;
	}
	if ((events & EPOLLOUT) != 0 && conn->tls != NULL && ff_tls_wants_write(conn->tls) &&
		ff_buffer_length(&conn->out) == 0)
		events |= EPOLLIN; /* that is what a handshake has waited for */
	if ((events & EPOLLIN) != 0 && !receive(conn))
		return;
	if ((events & EPOLLIN) != 0)
		read_requests(conn);
	to_be_flushed(conn);
}

void
ff_conn_flush(void)
{
	while (unflushed != NULL)
	{
		Conn *conn = unflushed;

		unflushed = conn->next_unflushed;
		settle(conn);
		conn->is_unflushed = false;
		if (conn->state != DEAD)
			send_out(conn);
	}
	free_graves();
}

/* ---- the outside ---- */

void
ff_conn_open(const FfConfig *config)
{
	is_quiet = config->quiet;
	deadlines = config->deadlines;
}

bool
ff_conn_accept(int fd, const struct sockaddr *address, socklen_t length)
{
	Conn *conn = conn_count < MOST_CONNECTIONS ? calloc(1, sizeof(Conn)) : NULL;

	if (conn != NULL && ff_tls_is_open())
		conn->tls = ff_tls_accept(fd);
	if (conn == NULL || (conn->tls == NULL && ff_tls_is_open()))
	{
		free(conn);
		return false;
	}
	if (getnameinfo(address, length, conn->remote, sizeof(conn->remote), NULL, 0, NI_NUMERICHOST) !=
		0)
		snprintf(conn->remote, sizeof(conn->remote), "unknown");
	conn->watch.fd = -1;
	conn->watch.ready = ready;
	conn->next = conns;
	if (conns != NULL)
		conns->previous = conn;
	conns = conn;
	conn_count++;
	accepted++;
	enter(conn, IDLE);
	conn->written_at = conn->since;
	ff_loop_watch(&conn->watch, fd, EPOLLIN);
	return true;
}

/* A comment line keeps proxies from closing a quiet stream; one that has something to send is not
 * quiet. A WebSocket is pinged, and answers while it is there. */
static void
ping(Conn *conn)
{
	FfNews comment = {.text = ": ping\n\n", .length = 8};

	if (conn->socket != NULL)
	{
		if (!ff_socket_tend(conn->socket, &conn->out, deadlines.idle))
			bury(conn);
		else if (ff_buffer_length(&conn->out) > 0)
			to_be_flushed(conn);
		return;
	}
	if (ff_loop_now() - conn->since < PING_MS || ff_buffer_length(&conn->out) > 0)
		return;
	conn->since = ff_loop_now();
	deliver(&conn->subscriber, &comment);
}

/* Whose key or session has ended follows no more. */
static void
dismiss(Conn *conn)
{
	if (conn->socket != NULL)
		end_socket(conn, FF_WS_UNAUTHORIZED, "signed out");
	else
		end_stream(conn);
}

static void
sweep(Conn *conn)
{
	int64_t age = ff_loop_now() - conn->since;
	int64_t rest = ff_loop_now() - conn->written_at;

	if (ff_buffer_length(&conn->out) > 0 && rest > deadlines.write)
		bury(conn);
	else if (conn->state == STREAM && ff_pass_is_spent(conn->pass))
		dismiss(conn);
	else if (conn->state == STREAM)
		ping(conn);
	else if (conn->state == HEAD && age > deadlines.head)
		refuse_late(conn, "The head of the request", deadlines.head);
	else if (conn->state == BODY && age > deadlines.body)
		refuse_late(conn, "The body of the request", deadlines.body);
	else if ((conn->state == IDLE && rest > deadlines.idle) ||
			 (conn->tls != NULL && !ff_tls_is_made(conn->tls) && age > deadlines.head) ||
			 (conn->state == LINGER && age > LINGER_MS))
		bury(conn);
}

void
ff_conn_sweep(void)
{
	Conn *next;

	for (Conn *conn = conns; conn != NULL; conn = next)
	{
		next = conn->next;
		sweep(conn);
	}
}

void
ff_conn_drain(void)
{
	Conn *next;

	is_draining = true;
	for (Conn *conn = conns; conn != NULL; conn = next)
	{
		next = conn->next;
		conn->to.closes = true;
		if (conn->state == IDLE && ff_buffer_length(&conn->out) == 0)
			bury(conn);
		else if (conn->state == STREAM && conn->socket != NULL)
			end_socket(conn, FF_WS_AWAY, "the gateway stops");
		else if (conn->state == STREAM || conn->state == IDLE)
			end_stream(conn);
	}
}

void
ff_conn_close_all(void)
{
	while (conns != NULL)
		bury(conns);
	free_graves();
}

int
ff_conn_count(void)
{
	return conn_count;
}

void
ff_conn_figures(FfConnFigures *figures)
{
	*figures = (FfConnFigures){.open = conn_count, .accepted = accepted};
	for (const Conn *conn = conns; conn != NULL; conn = conn->next)
		figures->streams += conn->state == STREAM;
}
