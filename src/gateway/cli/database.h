/*
 * The command line's few questions to the database.
 */
#ifndef FF_CLI_DATABASE_H
#define FF_CLI_DATABASE_H

#include <libpq-fe.h>
#include <stdbool.h>

/* A connection (10 s at most to make), notices kept quiet; PQstatus tells whether it is one. To be
 * ended with PQfinish. */
extern PGconn *ff_database_connect(const char *url);

/* The first value of a query's first row, or NULL when there is none or the query failed (*error:
 * why, may be NULL). To be freed. */
extern char *ff_database_value(PGconn *connection, const char *query, char **error);

/* Runs statements; false, with *error set (to be freed), when one fails. */
extern bool ff_database_run(PGconn *connection, const char *statements, char **error);

#endif
