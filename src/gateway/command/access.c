/*
 * flowforge create-admin | keys: the first user, and API keys, made in the database itself, by
 * somebody who may call ff_user_create and ff_key_create there.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli/cli.h"
#include "cli/database.h"
#include "cli/http.h"
#include "cli/term.h"
#include "command/access.h"

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

FfExit
ff_command_create_admin(int argc, char **argv)
{
	static const char *const shown[] = {"id", "email", NULL};
	FfServer				 server = {0};
	FfList					 words = {0};
	const char				*values[3] = {0};
	const FfOption			 options[] = {
				  {'e', "email", "MAIL", "the email to sign in with", &values[0], NULL, NULL},
				  {'p', "password", "PASSWORD", "10 characters or more (FLOWFORGE_ADMIN_PASSWORD)",
				   &values[1], NULL, NULL},
				  {'n', "name", "NAME", "the name people know them by", &values[2], NULL, NULL},
				  FF_JSON_OPTION(server),
				  FF_DATABASE_OPTION(server),
				  {0}};
	const FfUsage usage = {"-e MAIL -p PASSWORD -n NAME",
						   "Makes a user who is an administrator and can make others.", options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		  result;
	json_t		 *answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (values[1] == NULL)
		values[1] = getenv("FLOWFORGE_ADMIN_PASSWORD");
	if (words.count > 0)
		return ff_misused("create-admin", "unexpected %s", words.item[0]);
	if (values[0] == NULL || values[1] == NULL || values[2] == NULL)
		return ff_misused("create-admin", "create-admin needs --email, --password and --name");
	answer = ff_access_ask(
		&server,
		"select jsonb_build_object('id', ff_user_create($1, $2, $3, 'admin'), 'email', "
		"lower(btrim($1)))",
		3, values, &result);
	if (answer != NULL)
		ff_access_print(&server, answer, shown);
	json_decref(answer);
	return result;
}

/* "a,b,c" of scopes that were given one by one, or several with commas. */
static char *
join(const FfList *scopes)
{
	char *all = ff_text("%s", "");

	for (int at = 0; at < scopes->count; at++)
	{
		char *longer = ff_text("%s%s%s", all, at > 0 ? "," : "", scopes->item[at]);

		free(all);
		all = longer;
	}
	return all;
}

static FfExit
create_key(int argc, char **argv)
{
	static const char *const shown[] = {"key", NULL};
	FfServer				 server = {0};
	FfList					 words = {0};
	FfList					 scopes = {0};
	const char				*values[4] = {"command line", "live", NULL, NULL};
	const FfOption			 options[] = {
				  {'n', "name", "NAME", "what it is for", &values[0], NULL, NULL},
				  {'t', "type", "TYPE", "live (default), test, or ro, which can only read", &values[1], NULL,
				   NULL},
				  {'s', "scope", "SCOPE", "what it may do, like runs:read; repeat it for more", NULL, NULL,
				   &scopes},
				  {0, "expires", "TIME", "until when, like 2027-01-31; without it, for ever", &values[3],
				   NULL, NULL},
				  FF_JSON_OPTION(server),
				  FF_DATABASE_OPTION(server),
				  {0}};
	const FfUsage usage = {"--type TYPE --scope SCOPE [--scope SCOPE...]",
						   "Makes an API key and prints it, which nobody can do later.", options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		  result;
	json_t		 *answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("keys create", "unexpected %s", words.item[0]);
	if (scopes.count == 0)
		return ff_misused("keys create", "which scopes? Give --scope");
	values[2] = join(&scopes);
	answer = ff_access_ask(
		&server,
		"select jsonb_build_object('id', k.key_id, 'key', k.key, 'prefix', k.prefix) from "
		"ff_key_create($1, $2, string_to_array(replace($3, ' ', ''), ','), $4::timestamptz) k",
		4, values, &result);
	if (answer != NULL)
		ff_access_print(&server, answer, shown);
	json_decref(answer);
	free((char *) values[2]);
	return result;
}

static FfExit
list_keys(int argc, char **argv)
{
	static const char *const shown[] = {"id", "status", "prefix", "scopes", "name", NULL};
	FfServer				 server = {0};
	FfList					 words = {0};
	const FfOption			 options[] = {FF_JSON_OPTION(server), FF_DATABASE_OPTION(server), {0}};
	const FfUsage			 usage = {"", "Lists the API keys, newest first.", options};
	FfParse					 parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit					 result;
	json_t					*answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("keys list", "unexpected %s", words.item[0]);
	answer = ff_access_ask(
		&server,
		"select coalesce(jsonb_agg(jsonb_build_object('id', k.ulid, 'name', k.name, 'prefix', "
		"k.prefix, 'status', k.status, 'scopes', array_to_string(k.scopes, ','), "
		"'expires_at', k.expires_at, 'last_used_at', k.last_used_at) order by k.key_id "
		"desc), '[]') from flowforge.api_keys k",
		0, NULL, &result);
	if (answer != NULL && server.json)
		ff_json_print(answer);
	for (size_t at = 0; answer != NULL && !server.json && at < json_array_size(answer); at++)
		ff_access_print(&server, json_array_get(answer, at), shown);
	json_decref(answer);
	return result;
}

static FfExit
revoke_keys(int argc, char **argv)
{
	static const char *const shown[] = {"key", "result", NULL};
	FfServer				 server = {0};
	FfList					 words = {0};
	const FfOption			 options[] = {FF_JSON_OPTION(server), FF_DATABASE_OPTION(server), {0}};
	const FfUsage usage = {"KEY...", "Revokes API keys, given by id, by prefix or themselves.",
						   options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		  result = FF_EXIT_DONE;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count == 0)
		return ff_misused("keys revoke", "keys revoke needs keys (flowforge keys list)");
	for (int at = 0; at < words.count && result != FF_EXIT_UNREACHABLE; at++)
	{
		FfExit	one;
		json_t *answer =
			ff_access_ask(&server,
						  "select jsonb_build_object('key', left($1, 14), 'result', case when "
						  "ff_key_revoke($1) then 'revoked' else 'already revoked' end)",
						  1, &words.item[at], &one);

		if (answer != NULL)
			ff_access_print(&server, answer, shown);
		json_decref(answer);
		if (one != FF_EXIT_DONE)
			result = one;
	}
	return result;
}

FfExit
ff_command_keys(int argc, char **argv)
{
	static const FfSubcommand commands[] = {{"create", "keys create", create_key},
											{"list", "keys list", list_keys},
											{"revoke", "keys revoke", revoke_keys},
											{0}};

	return ff_subcommand("keys", "Makes, lists and revokes API keys", commands, argc, argv);
}
