/*
 * Bytes from and to clients.
 */
#ifndef FF_CONN_BYTES_H
#define FF_CONN_BYTES_H

#include "base/loop.h"

/* A connection's socket is ready: what the loop calls. */
extern void ff_conn_ready(FfWatch *watched, uint32_t events);

#endif
