/*
 * Client connections.
 *
 * One request at a time: a connection goes idle -> head -> body -> call -> idle, or ends in stream,
 * or closing -> linger. Bytes of the next request wait until the answer has been written. README.md
 * has the picture.
 */
#ifndef FF_CONN_H
#define FF_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/config.h"

/* To be called before any connection is accepted. */
extern void ff_conn_open(const FfConfig *config);

/* Takes over an accepted, non-blocking socket. False (and the socket is still the caller's) when
 * there are too many. */
extern bool ff_conn_accept(int fd, const struct sockaddr *address, socklen_t length);

/* End of a turn: writes what is to be written and frees what has ended. */
extern void ff_conn_flush(void);

/* Ends what has exceeded its time, and keeps streams awake. To be called about once a second. */
extern void ff_conn_sweep(void);

/* From now on every answer ends its connection; idle ones and streams end at once. */
extern void ff_conn_drain(void);

/* Ends all, whatever they are doing. */
extern void ff_conn_close_all(void);

extern int ff_conn_count(void);

typedef struct FfConnFigures
{
	int		 open;
	int		 streams; /* of these */
	uint64_t accepted;
} FfConnFigures;

extern void ff_conn_figures(FfConnFigures *figures);

#endif
