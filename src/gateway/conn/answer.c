/*
 * Answers of our own (see answer.h).
 */
#define _GNU_SOURCE
#include "conn/answer.h"

#include <stdio.h>

#include "base/log.h"
#include "base/series.h"

void
ff_conn_answered(FfConn *conn, int status)
{
	int64_t took = ff_log_clock_us() - conn->began;

	ff_series_answered(conn->series, status, took);
	if (!ff_conns.is_quiet)
		ff_log_request(conn->request_id, conn->method, conn->path != NULL ? conn->path : "", status,
					   took / 1000);
	ff_conn_forget_request(conn);
	conn->written_at = ff_loop_now();
	ff_conn_enter(conn, conn->to.closes ? FF_CONN_CLOSING : FF_CONN_IDLE);
	ff_conn_to_be_flushed(conn);
}

void
ff_conn_refuse(FfConn *conn, int status, const char *detail)
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
	ff_conn_answered(conn, status);
}

void
ff_conn_refuse_late(FfConn *conn, const char *what, int deadline)
{
	char detail[100];

	snprintf(detail, sizeof(detail), "%s did not arrive in %d second%s.", what, deadline / 1000,
			 deadline == 1000 ? "" : "s");
	ff_conn_refuse(conn, 408, detail);
}

void
ff_conn_answer_timeout(FfConn *conn)
{
	char detail[100];

	snprintf(detail, sizeof(detail), "The database took longer than %d second%s. Nothing was done.",
			 ff_conns.deadlines.statement / 1000, ff_conns.deadlines.statement == 1000 ? "" : "s");
	ff_reply_problem(&conn->out, &conn->to, 504, "timeout", detail, NULL);
	ff_conn_answered(conn, 504);
}

void
ff_conn_answer_unavailable(FfConn *conn)
{
	ff_reply_problem(&conn->out, &conn->to, 503, "unavailable",
					 "The database cannot be reached or is too busy. Nothing was done.",
					 "Try again in a moment.");
	ff_conn_answered(conn, 503);
}

void
ff_conn_answer_unknown(FfConn *conn)
{
	ff_reply_problem(
		&conn->out, &conn->to, 503, "outcome_unknown",
		"The connection to the database was lost. The request may have been carried out or not.",
		"Look before you repeat it, or repeat it with the same id, which counts once.");
	ff_conn_answered(conn, 503);
}

void
ff_conn_answer_broken(FfConn *conn)
{
	ff_reply_problem(&conn->out, &conn->to, 500, "internal",
					 "The database failed to answer. Nothing was done.",
					 "The logs of the gateway and the database tell why.");
	ff_conn_answered(conn, 500);
}
