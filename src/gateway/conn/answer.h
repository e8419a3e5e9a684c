/*
 * Answers to requests that the database is not asked about, or could not answer.
 */
#ifndef FF_CONN_ANSWER_H
#define FF_CONN_ANSWER_H

#include "conn/life.h"

/* The answer is in `out`: counts and logs it, and has it written. */
extern void ff_conn_answered(FfConn *conn, int status);

/* Refuses a request that can not be understood or takes too long: after it nothing on this
 * connection can be trusted. */
extern void ff_conn_refuse(FfConn *conn, int status, const char *detail);

/* What took longer than it may, in milliseconds. */
extern void ff_conn_refuse_late(FfConn *conn, const char *what, int deadline);

/* The database is away, has lost the call, took too long, or failed. */
extern void ff_conn_answer_unavailable(FfConn *conn);
extern void ff_conn_answer_unknown(FfConn *conn);
extern void ff_conn_answer_timeout(FfConn *conn);
extern void ff_conn_answer_broken(FfConn *conn);

#endif
