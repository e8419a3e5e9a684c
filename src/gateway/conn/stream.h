/*
 * Answers that stay open: event streams, and WebSockets, which get the same in frames.
 */
#ifndef FF_CONN_STREAM_H
#define FF_CONN_STREAM_H

#include "conn/life.h"

/* serve() answered with a stream. */
extern void ff_conn_begin_stream(FfConn *conn, const FfAnswer *answer, const FfReplyStream *stream);

/* The client asked for a WebSocket: it gets the stream in frames, or is told in a frame why not,
 * since browsers do not show what else they are answered. False: the answer is another. */
extern bool ff_conn_begin_socket(FfConn *conn, const FfAnswer *answer, const FfReplyStream *stream);

/* Goes on with what the client of a WebSocket has said; the first takes more of it. */
extern void ff_conn_hear(FfConn *conn, const char *bytes, size_t length);
extern void ff_conn_go_on_hearing(FfConn *conn);

/* What is due at the end of a turn, other than writing. */
extern void ff_conn_settle(FfConn *conn);

/* What is due about once a second: keeps it awake, or ends it with its pass. */
extern void ff_conn_tend(FfConn *conn);

/* The gateway stops. */
extern void ff_conn_leave(FfConn *conn);

#endif
