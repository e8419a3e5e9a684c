/*
 * From a complete request to its answer: by us, or by the database.
 */
#ifndef FF_CONN_DISPATCH_H
#define FF_CONN_DISPATCH_H

#include "conn/life.h"

/* The request is complete: answers it here or hands it to the database. */
extern void ff_conn_dispatch(FfConn *conn);

#endif
