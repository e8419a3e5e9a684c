/*
 * step.h - the steps that the server takes itself: one file per kind, a table of them in step.c.
 * README.md tells how each survives a crash.
 */
#ifndef FF_STEP_H
#define FF_STEP_H

#include "postgres.h"

#include "run/kind.h"
#include "run/run.h"

extern int ff_sql_timeout; /* ms a statement may take when its step does not say */

/* Tells the kinds to runs; once, when the library is loaded. */
extern void ff_step_init(void);

extern const FfStepKind ff_step_sql;
extern const FfStepKind ff_step_send_event;
extern const FfStepKind ff_step_approval;
extern const FfStepKind ff_step_lock;
extern const FfStepKind ff_step_unlock;
extern const FfStepKind ff_step_ai;
extern const FfStepKind ff_step_http;
extern const FfStepKind ff_step_webhook;
extern const FfStepKind ff_step_mail;
extern const FfStepKind ff_step_code;

/* An error as a step's: {name, message, code, detail?, hint?, ...}. */
extern Jsonb *ff_step_error(const char *name, const ErrorData *error);

/* In PG_CATCH, about what reads what an app sent: an error of class FF as a step's; any other goes
 * on its way. */
extern Jsonb *ff_step_caught(const char *name);

/* An error that is not raised, as a step's. */
extern Jsonb *ff_step_problem(const char *name, const char *message, int sqlstate);

/* What a step was asked for with, as people see it: {input}. */
extern Jsonb *ff_step_input(Jsonb *options);

/* The item cannot be worked on at all: its step has failed. */
extern void ff_step_refuse(FfRun *run, FfItem *item, Jsonb *error, TimestampTz now);

/* Microseconds the code of a Code step may run, by the options its item keeps. */
extern int64 ff_code_timeout(Jsonb *options);

/* --- statements (statement.c) --- */

typedef struct FfStatement
{
	char  *query;
	Jsonb *params;	/* an array, or NULL */
	char  *role;	/* to take for the statement, or NULL */
	int64  timeout; /* microseconds */
} FfStatement;

/* What the options of a Sql step, as its item keeps them, ask for. */
extern void ff_statement_read(FfStatement *statement, Jsonb *options);

/*
 * Runs the statement as the current user, with what it defers, and gives {count, rows}. Raises what
 * the statement raises, and FF401 to FF403. Connected to SPI, in a transaction.
 */
extern Jsonb *ff_statement_run(const FfStatement *statement);

/* Whether another attempt may end better: conflicts, resources, connections, time. */
extern bool ff_statement_retriable(const ErrorData *error);

/* --- what a sql worker and an executor tell runs (sql.c) --- */

/* The message of a statement's end, for the inbox: a memo {data}, or an error. */
extern Jsonb *ff_sql_message(const char *step_id, Jsonb *memo, Jsonb *error, bool retry,
							 TimestampTz started);

#endif
