/*
 * Commands that ask the database itself: see access.h.
 */
#define _GNU_SOURCE
#include "command/access.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/database.h"
#include "cli/http.h"
#include "cli/term.h"

static void
complain(const PGresult *answer)
{
	const char *message = PQresultErrorField(answer, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(answer, PG_DIAG_MESSAGE_DETAIL);

	ff_complain(PQresultErrorField(answer, PG_DIAG_MESSAGE_HINT), "%s%s%s",
				message != NULL ? message : "the connection to the database was lost",
				detail != NULL ? ": " : "", detail != NULL ? detail : "");
}

json_t *
ff_access_ask(FfServer *server, const char *statement, int count, const char *const *values,
			  FfExit *result)
{
	PGconn	 *connection;
	PGresult *answer;
	json_t	 *json = NULL;

	ff_server_resolve(server);
	*result = FF_EXIT_USAGE;
	if (server->database_url == NULL)
	{
		ff_complain("run it where `flowforge dev` runs, or set FLOWFORGE_DATABASE_URL",
					"which database?");
		return NULL;
	}
	connection = ff_database_connect(server->database_url);
	if (PQstatus(connection) != CONNECTION_OK)
	{
		*result = FF_EXIT_UNREACHABLE;
		ff_complain("is PostgreSQL running, and the address right?",
					"no connection to the database");
		PQfinish(connection);
		return NULL;
	}
	*result = FF_EXIT_FAILED;
	answer = PQexecParams(connection, statement, count, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(answer) == PGRES_TUPLES_OK && PQntuples(answer) > 0)
		json = json_loads(PQgetvalue(answer, 0, 0), JSON_DECODE_ANY, NULL);
	else
		complain(answer);
	if (json != NULL)
		*result = FF_EXIT_DONE;
	PQclear(answer);
	PQfinish(connection);
	return json;
}

void
ff_access_print(const FfServer *server, const json_t *answer, const char *const names[])
{
	if (server->json)
	{
		ff_json_print(answer);
		return;
	}
	for (int at = 0; names[at] != NULL; at++)
	{
		const char *text = ff_json_text(answer, names[at]);
		char	   *clean = ff_term_clean(text != NULL ? text : "-", 0);

		printf("%s%s", at > 0 ? "  " : "", clean);
		free(clean);
	}
	puts("");
}

static FfParse
read_words(const FfAccess *access, int argc, char **argv, FfServer *server, FfList *words)
{
	const FfOption options[] = {FF_JSON_OPTION(*server), FF_DATABASE_OPTION(*server), {0}};
	const FfUsage  usage = {access->synopsis, access->about, options};

	return ff_options(argc, argv, &usage, words, NULL);
}

FfExit
ff_access_once(const FfAccess *access, int argc, char **argv)
{
	FfServer server = {0};
	FfList	 words = {0};
	FfParse	 parse = read_words(access, argc, argv, &server, &words);
	FfExit	 result;
	json_t	*answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused(access->command, "unexpected %s", words.item[0]);
	answer = ff_access_ask(&server, access->statement, 0, NULL, &result);
	if (answer != NULL && (server.json || !json_is_array(answer)))
		ff_access_print(&server, answer, access->shown);
	else
		for (size_t at = 0; at < json_array_size(answer); at++)
			ff_access_print(&server, json_array_get(answer, at), access->shown);
	json_decref(answer);
	return result;
}

FfExit
ff_access_each(const FfAccess *access, int argc, char **argv)
{
	FfServer server = {0};
	FfList	 words = {0};
	FfParse	 parse = read_words(access, argc, argv, &server, &words);
	FfExit	 result = FF_EXIT_DONE;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count == 0)
		return ff_misused(access->command, "%s", access->missing);
	for (int at = 0; at < words.count && result != FF_EXIT_UNREACHABLE; at++)
	{
		FfExit	one;
		json_t *answer = ff_access_ask(&server, access->statement, 1, &words.item[at], &one);

		if (answer != NULL)
			ff_access_print(&server, answer, access->shown);
		json_decref(answer);
		if (one != FF_EXIT_DONE)
			result = one;
	}
	return result;
}
