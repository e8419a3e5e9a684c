/*
 * flowforge create-admin | keys: the first user, and API keys, made in the database itself, by
 * somebody who may call ff_user_create and ff_key_create there.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "command/access.h"

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
	char *all = ff_copy("");

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
	static const FfAccess access = {
		.command = "keys list",
		.synopsis = "",
		.about = "Lists the API keys, newest first.",
		.statement =
			"select coalesce(jsonb_agg(jsonb_build_object('id', k.ulid, 'name', k.name, 'prefix', "
			"k.prefix, 'status', k.status, 'scopes', array_to_string(k.scopes, ','), "
			"'expires_at', k.expires_at, 'last_used_at', k.last_used_at) order by k.key_id "
			"desc), '[]') from flowforge.api_keys k",
		.shown = {"id", "status", "prefix", "scopes", "name"},
	};

	return ff_access_once(&access, argc, argv);
}

static FfExit
revoke_keys(int argc, char **argv)
{
	static const FfAccess access = {
		.command = "keys revoke",
		.synopsis = "KEY...",
		.about = "Revokes API keys, given by id, by prefix or themselves.",
		.missing = "keys revoke needs keys (flowforge keys list)",
		.statement =
			"select jsonb_build_object('key', left($1, 14), 'result', case when ff_key_revoke($1) "
			"then 'revoked' else 'already revoked' end)",
		.shown = {"key", "result"},
	};

	return ff_access_each(&access, argc, argv);
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
