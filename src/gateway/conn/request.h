/*
 * Requests from bytes.
 */
#ifndef FF_CONN_REQUEST_H
#define FF_CONN_REQUEST_H

#include "conn/life.h"

/* Goes as far as the bytes at hand allow, but not beyond an unwritten answer. */
extern void ff_conn_read_requests(FfConn *conn);

#endif
