/*
 * The life of a connection (see life.h).
 */
#define _GNU_SOURCE
#include "conn/life.h"

#include <stdlib.h>
#include <unistd.h>

#include "database/call.h"

#define UNHEARD_SIZE 65536 /* unsent, of a WebSocket: nothing more is heard before it is taken */

FfConns		   ff_conns;
static FfConn *graves;

void
ff_conn_add(FfConn *conn)
{
	conn->next = ff_conns.first;
	if (ff_conns.first != NULL)
		ff_conns.first->previous = conn;
	ff_conns.first = conn;
	ff_conns.count++;
}

void
ff_conn_enter(FfConn *conn, FfConnState state)
{
	conn->state = state;
	conn->since = ff_loop_now();
}

bool
ff_conn_may_hear(const FfConn *conn)
{
	return ff_buffer_length(&conn->out) <= UNHEARD_SIZE &&
		   (conn->talk == NULL || !ff_talk_is_busy(conn->talk));
}

void
ff_conn_watch(FfConn *conn)
{
	bool	 unsent = ff_buffer_length(&conn->out) > 0;
	uint32_t events = unsent ? EPOLLOUT : 0;

	if (conn->state == FF_CONN_DEAD)
		return;
	if (conn->state == FF_CONN_STREAM || conn->state == FF_CONN_LINGER ||
		(!unsent && conn->state <= FF_CONN_BODY))
		events |= conn->tls != NULL && ff_tls_wants_write(conn->tls) ? EPOLLIN | EPOLLOUT : EPOLLIN;
	if (conn->socket != NULL && !ff_conn_may_hear(conn))
		events &= ~(uint32_t) EPOLLIN;
	if (events != conn->watch.events)
		ff_loop_watch(&conn->watch, conn->watch.fd, events);
}

void
ff_conn_forget_request(FfConn *conn)
{
	if (conn->state == FF_CONN_CALL && conn->call != NULL)
		ff_pg_abandon(conn->call);
	else
		ff_call_free(conn->call);
	conn->call = NULL;
	free(conn->path);
	conn->path = NULL;
}

void
ff_conn_stop_following(FfConn *conn)
{
	ff_live_unsubscribe(&conn->subscriber);
	ff_talk_end(conn->talk);
	conn->talk = NULL;
	ff_pass_drop(conn->pass);
	conn->pass = NULL;
}

void
ff_conn_bury(FfConn *conn)
{
	int fd = conn->watch.fd;

	if (conn->state == FF_CONN_DEAD)
		return;
	ff_conn_stop_following(conn);
	ff_conn_forget_request(conn);
	ff_loop_unwatch(&conn->watch);
	ff_tls_free(conn->tls);
	conn->tls = NULL;
	close(fd);
	conn->state = FF_CONN_DEAD;
	if (conn->previous != NULL)
		conn->previous->next = conn->next;
	else
		ff_conns.first = conn->next;
	if (conn->next != NULL)
		conn->next->previous = conn->previous;
	conn->next = graves;
	graves = conn;
	ff_conns.count--;
}

void
ff_conn_free_graves(void)
{
	while (graves != NULL)
	{
		FfConn *conn = graves;

		graves = conn->next;
		ff_buffer_free(&conn->in);
		ff_buffer_free(&conn->out);
		ff_socket_free(conn->socket);
		free(conn);
	}
}

void
ff_conn_to_be_flushed(FfConn *conn)
{
	if (conn->is_unflushed)
		return;
	conn->is_unflushed = true;
	conn->next_unflushed = ff_conns.unflushed;
	ff_conns.unflushed = conn;
}
