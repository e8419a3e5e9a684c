/*
 * flowforge secrets: what steps of workflows send and nobody reads, set in the database itself. A
 * value comes from standard input and goes as a parameter: it is in no list of processes, no
 * history of a shell, and in no statement's text.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "command/access.h"

#define MOST_BYTES 65536 /* the server takes no more */

/* --- the value --- */

/* What is read until the end, or on a terminal one line, unseen. */
static size_t
read_input(char *value, size_t room)
{
	struct termios shown;
	bool		   hides = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &shown) == 0;
	size_t		   length = 0;

	if (hides)
	{
		struct termios hidden = shown;

		hidden.c_lflag &= ~(tcflag_t) ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
		fputs("Value: ", stderr);
		if (fgets(value, (int) room, stdin) != NULL)
			length = strlen(value);
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		fputc('\n', stderr);
		return length;
	}
	return fread(value, 1, room, stdin);
}

/* Without the line's end; NULL, with a complaint, for what is no value. To be freed. */
static char *
read_value(void)
{
	size_t room = MOST_BYTES + 3; /* one more than fits, a line's end, and a NUL */
	char  *value = calloc(room, 1);
	size_t length = value != NULL ? read_input(value, room - 1) : 0;

	if (length > 0 && value[length - 1] == '\n')
		value[--length] = '\0';
	if (length == 0)
		ff_complain("flowforge secrets set NAME < FILE", "standard input has no value");
	else if (length > MOST_BYTES)
		ff_complain("a secret has at most 64 KB", "the value is too long");
	else if (memchr(value, '\0', length) != NULL)
		ff_complain("a secret is text; encode it, for example in base64",
					"the value has a byte 0 in it");
	else
		return value;
	free(value);
	return NULL;
}

/* --- the commands --- */

static FfExit
set_secret(int argc, char **argv)
{
	static const char *const shown[] = {"name", "result", NULL};
	FfServer				 server = {0};
	FfList					 words = {0};
	const FfOption			 options[] = {FF_JSON_OPTION(server), FF_DATABASE_OPTION(server), {0}};
	const FfUsage			 usage = {"NAME < FILE",
									  "Stores a secret, or another value of one, read from standard input.",
									  options};
	FfParse					 parse = ff_options(argc, argv, &usage, &words, NULL);
	const char				*values[2];
	FfExit					 result;
	char					*value;
	json_t					*answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count != 1)
		return ff_misused("secrets set",
						  words.count == 0 ? "secrets set needs a name"
										   : "the value comes from standard input, not from here");
	value = read_value();
	if (value == NULL)
		return FF_EXIT_USAGE;
	values[0] = words.item[0];
	values[1] = value;
	answer = ff_access_ask(&server,
						   "select jsonb_build_object('name', $1, 'version', v.version, 'result', "
						   "case v.version when 1 then 'created' else 'changed' end) "
						   "from ff_secret_set($1, $2) v (version)",
						   2, values, &result);
	explicit_bzero(value, strlen(value));
	free(value);
	if (answer != NULL)
		ff_access_print(&server, answer, shown);
	json_decref(answer);
	return result;
}

static FfExit
list_secrets(int argc, char **argv)
{
	static const FfAccess access = {
		.command = "secrets list",
		.synopsis = "",
		.about = "Lists the secrets by name, and when they were set and used.",
		.statement = "select coalesce(jsonb_agg(to_jsonb(s) order by s.name collate \"C\"), '[]') "
					 "from flowforge.secrets s",
		.shown = {"name", "updated_at", "last_used_at"},
	};

	return ff_access_once(&access, argc, argv);
}

static FfExit
delete_secrets(int argc, char **argv)
{
	static const FfAccess access = {
		.command = "secrets delete",
		.synopsis = "NAME...",
		.about = "Deletes secrets; steps that name them fail.",
		.missing = "secrets delete needs names (flowforge secrets list)",
		.statement =
			"select jsonb_build_object('name', $1, 'result', 'deleted') from ff_secret_delete($1)",
		.shown = {"name", "result"},
	};

	return ff_access_each(&access, argc, argv);
}

static FfExit
rotate_secrets(int argc, char **argv)
{
	static const FfAccess access = {
		.command = "secrets rotate",
		.synopsis = "",
		.about = "Seals everything with the key of today (docs/secrets.md); says how much.",
		.statement = "select jsonb_build_object('resealed', ff_secret_rotate()::text)",
		.shown = {"resealed"},
	};

	return ff_access_once(&access, argc, argv);
}

FfExit
ff_command_secrets(int argc, char **argv)
{
	static const FfSubcommand commands[] = {{"list", "secrets list", list_secrets},
											{"set", "secrets set", set_secret},
											{"delete", "secrets delete", delete_secrets},
											{"rotate", "secrets rotate", rotate_secrets},
											{0}};

	return ff_subcommand("secrets", "Keys and passwords that steps of workflows send", commands,
						 argc, argv);
}
