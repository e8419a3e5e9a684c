/*
 * Bytes from and to clients (see bytes.h).
 *
 * Reading is paused while a call runs or an answer is unwritten, so a client can not make us hold
 * more than one request of it.
 */
#define _GNU_SOURCE
#include "conn/bytes.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn/conn.h"
#include "conn/life.h"
#include "conn/request.h"
#include "conn/stream.h"

#define READ_SIZE 65536

static ssize_t
read_bytes(FfConn *conn, char *bytes, size_t room)
{
	ssize_t length = conn->tls != NULL ? ff_tls_read(conn->tls, bytes, room)
									   : recv(conn->watch.fd, bytes, room, 0);

	if (length > 0)
		ff_metrics_received((size_t) length);
	return length;
}

/* What comes in a stream or while lingering is heard, or dropped, and never kept. */
static ssize_t
receive_for_stream(FfConn *conn)
{
	static char bytes[READ_SIZE];
	ssize_t		length = read_bytes(conn, bytes, sizeof(bytes));

	if (length > 0 && conn->state == FF_CONN_STREAM && conn->socket != NULL)
		ff_conn_hear(conn, bytes, (size_t) length);
	return length;
}

static ssize_t
receive_for_request(FfConn *conn)
{
	size_t	room = conn->tls == NULL && conn->state <= FF_CONN_HEAD ? FF_HTTP_HEAD_SIZE : READ_SIZE;
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
receive(FfConn *conn)
{
	ssize_t length =
		conn->state <= FF_CONN_BODY ? receive_for_request(conn) : receive_for_stream(conn);

	if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR))
	{
		ff_conn_bury(conn);
		return false;
	}
	return true;
}

static void
send_out(FfConn *conn)
{
	ssize_t length = 0;

	if (ff_buffer_length(&conn->out) > 0 && conn->tls != NULL)
		length = ff_tls_write(conn->tls, ff_buffer_at(&conn->out), ff_buffer_length(&conn->out));
	else if (ff_buffer_length(&conn->out) > 0)
		length = send(conn->watch.fd, ff_buffer_at(&conn->out), ff_buffer_length(&conn->out),
					  MSG_NOSIGNAL);
	if (length < 0 && errno != EAGAIN && errno != EINTR)
	{
		ff_conn_bury(conn);
		return;
	}
	if (length > 0)
	{
		ff_metrics_sent((size_t) length);
		conn->written_at = ff_loop_now();
		ff_buffer_skip(&conn->out, (size_t) length);
	}
	if (ff_buffer_length(&conn->out) == 0 && conn->state == FF_CONN_CLOSING)
	{
		if (conn->tls != NULL)
			ff_tls_end(conn->tls);
		shutdown(conn->watch.fd, SHUT_WR);
		ff_buffer_free(&conn->in);
		ff_conn_enter(conn, FF_CONN_LINGER);
	}
	if (conn->state == FF_CONN_IDLE)
		ff_conn_read_requests(conn);
	if (conn->state == FF_CONN_STREAM && conn->socket != NULL)
		ff_conn_go_on_hearing(conn);
	if (conn->state == FF_CONN_STREAM && ff_buffer_length(&conn->out) == 0)
		ff_buffer_free(&conn->out); /* most streams are quiet: they cost little */
	ff_conn_watch(conn);
}

void
ff_conn_ready(FfWatch *watched, uint32_t events)
{
	FfConn *conn = (FfConn *) watched;

	if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0)
	{
		ff_conn_bury(conn);
		return;
	}
	if ((events & EPOLLOUT) != 0 && conn->tls != NULL && ff_tls_wants_write(conn->tls) &&
		ff_buffer_length(&conn->out) == 0)
		events |= EPOLLIN; /* that is what a handshake has waited for */
	if ((events & EPOLLIN) != 0 && !receive(conn))
		return;
	if ((events & EPOLLIN) != 0)
		ff_conn_read_requests(conn);
	ff_conn_to_be_flushed(conn);
}

void
ff_conn_flush(void)
{
	while (ff_conns.unflushed != NULL)
	{
		FfConn *conn = ff_conns.unflushed;

		ff_conns.unflushed = conn->next_unflushed;
		ff_conn_settle(conn);
		conn->is_unflushed = false;
		if (conn->state != FF_CONN_DEAD)
			send_out(conn);
	}
	ff_conn_free_graves();
}
