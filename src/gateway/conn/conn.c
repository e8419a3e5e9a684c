/*
 * Client connections: their beginning and what is done to all of them (see conn.h).
 *
 * A connection lives in life.c. Its bytes (bytes.c) become requests (request.c), which are answered
 * by us (answer.c) or by the database (dispatch.c), once or for as long as somebody follows
 * (stream.c).
 */
#define _GNU_SOURCE
#include "conn/conn.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "conn/answer.h"
#include "conn/bytes.h"
#include "conn/life.h"
#include "conn/stream.h"

#define LINGER_MS 2000
#define MOST_CONNECTIONS 10000

static uint64_t accepted;

void
ff_conn_open(const FfConfig *config)
{
	ff_conns.is_quiet = config->quiet;
	ff_conns.deadlines = config->deadlines;
}

bool
ff_conn_accept(int fd, const struct sockaddr *address, socklen_t length)
{
	FfConn *conn = ff_conns.count < MOST_CONNECTIONS ? calloc(1, sizeof(FfConn)) : NULL;

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
	conn->watch.ready = ff_conn_ready;
	ff_conn_add(conn);
	accepted++;
	ff_conn_enter(conn, FF_CONN_IDLE);
	conn->written_at = conn->since;
	ff_loop_watch(&conn->watch, fd, EPOLLIN);
	return true;
}

static void
sweep(FfConn *conn)
{
	int64_t age = ff_loop_now() - conn->since;
	int64_t rest = ff_loop_now() - conn->written_at;

	if (ff_buffer_length(&conn->out) > 0 && rest > ff_conns.deadlines.write)
		ff_conn_bury(conn);
	else if (conn->state == FF_CONN_STREAM)
		ff_conn_tend(conn);
	else if (conn->state == FF_CONN_HEAD && age > ff_conns.deadlines.head)
		ff_conn_refuse_late(conn, "The head of the request", ff_conns.deadlines.head);
	else if (conn->state == FF_CONN_BODY && age > ff_conns.deadlines.body)
		ff_conn_refuse_late(conn, "The body of the request", ff_conns.deadlines.body);
	else if ((conn->state == FF_CONN_IDLE && rest > ff_conns.deadlines.idle) ||
			 (conn->tls != NULL && !ff_tls_is_made(conn->tls) && age > ff_conns.deadlines.head) ||
			 (conn->state == FF_CONN_LINGER && age > LINGER_MS))
		ff_conn_bury(conn);
}

void
ff_conn_sweep(void)
{
	FfConn *next;

	for (FfConn *conn = ff_conns.first; conn != NULL; conn = next)
	{
		next = conn->next;
		sweep(conn);
	}
}

void
ff_conn_drain(void)
{
	FfConn *next;

	ff_conns.is_draining = true;
	for (FfConn *conn = ff_conns.first; conn != NULL; conn = next)
	{
		next = conn->next;
		conn->to.closes = true;
		if (conn->state == FF_CONN_IDLE && ff_buffer_length(&conn->out) == 0)
			ff_conn_bury(conn);
		else if (conn->state == FF_CONN_STREAM || conn->state == FF_CONN_IDLE)
			ff_conn_leave(conn);
	}
}

void
ff_conn_close_all(void)
{
	while (ff_conns.first != NULL)
		ff_conn_bury(ff_conns.first);
	ff_conn_free_graves();
}

int
ff_conn_count(void)
{
	return ff_conns.count;
}

void
ff_conn_figures(FfConnFigures *figures)
{
	*figures = (FfConnFigures){.open = ff_conns.count, .accepted = accepted};
	for (const FfConn *conn = ff_conns.first; conn != NULL; conn = conn->next)
		figures->streams += conn->state == FF_CONN_STREAM;
}
