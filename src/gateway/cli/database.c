/*
 * The command line's few questions to the database: see database.h.
 */
#define _GNU_SOURCE
#include "cli/database.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static void
ignore_notice(void *context, const char *message)
{
}

PGconn *
ff_database_connect(const char *url)
{
	const char *const names[] = {"dbname", "connect_timeout", "application_name", NULL};
	const char *const values[] = {url, "10", "flowforge", NULL};
	PGconn			 *connection = PQconnectdbParams(names, values, 1);

	PQsetNoticeProcessor(connection, ignore_notice, NULL);
	return connection;
}

static void
set_error(char **error, PGconn *connection)
{
	if (error == NULL)
		return;
	*error = ff_copy(PQerrorMessage(connection));
	(*error)[strcspn(*error, "\n")] = '\0';
}

char *
ff_database_value(PGconn *connection, const char *query, char **error)
{
	PGresult *result = PQexec(connection, query);
	char	 *value = NULL;

	if (error != NULL)
		*error = NULL;
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		set_error(error, connection);
	else if (PQntuples(result) > 0 && !PQgetisnull(result, 0, 0))
		value = ff_copy(PQgetvalue(result, 0, 0));
	PQclear(result);
	return value;
}

bool
ff_database_run(PGconn *connection, const char *statements, char **error)
{
	PGresult *result = PQexec(connection, statements);
	bool	  done =
		PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK;

	if (!done)
		set_error(error, connection);
	PQclear(result);
	return done;
}
