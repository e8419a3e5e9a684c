/*
 * The program `flowforge`: the gateway and the command line in one binary. This file only finds the
 * command.
 */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/describe.h"
#include "cli/term.h"

static FfExit command_version(int argc, char **argv);
static FfExit command_help(int argc, char **argv);

typedef struct Command
{
	const char *name;
	const char *synopsis;
	const char *about;
	FfExit (*run)(int argc, char **argv);
} Command;

static const Command commands[] = {
	{"dev", "[-p PORT] [-u APP_URL] [-- APP...]",
	 "a private server to develop against, with your app", ff_command_dev},
	{"serve", "", "the gateway alone, for production", ff_command_serve},
	{"init", "NAME [--python | --typescript]", "a first project that runs", ff_command_init},
	{"send", "NAME [-d JSON] [--wait]", "send an event and follow its runs", ff_command_send},
	{"runs", "list | get | tail | explain ID", "look at runs", ff_command_runs},
	{"runs", "cancel | retry | replay ID...", "act on runs", ff_command_runs},
	{"runs", "resume ID [-s STEP] [-d JSON]", "let a waiting step go on", ff_command_runs},
	{"functions", "list | run | pause | resume ID", "look at functions, run and pause them",
	 ff_command_functions},
	{"workflows", "list | get | diff NAME", "look at workflows", ff_command_workflows},
	{"workflows", "export NAME | import FILE", "keep workflows in files", ff_command_workflows},
	{"workflows", "validate | publish | archive", "put workflows into use", ff_command_workflows},
	{"workflows", "run NAME [-d JSON]", "start a run of a workflow", ff_command_workflows},
	{"approvals", "[-s STATUS]", "what runs ask people", ff_command_approvals},
	{"approve", "ID [-d JSON] [-b NAME]", "approve what a run asks a person", ff_command_approve},
	{"reject", "ID [-r TEXT] [-b NAME]", "reject it", ff_command_reject},
	{"create-admin", "-e MAIL -p PASSWORD -n NAME", "make the first user", ff_command_create_admin},
	{"keys", "create | list | revoke KEY", "make and revoke API keys", ff_command_keys},
	{"secrets", "list | set NAME | delete NAME", "what workflows send and nobody reads",
	 ff_command_secrets},
	{"doctor", "", "find what is wrong and say how to mend it", ff_command_doctor},
	{"completion", "bash | zsh", "what shells complete commands with", ff_command_completion},
	{"psql", "[ARGUMENT...]", "psql on the right database", ff_command_psql},
	{"version", "", "print the version", command_version},
	{"help", "[COMMAND | --man]", "this, how a command is used, or the manual page", command_help},
};

const char *const ff_exit_codes =
	"Exit codes: 0 done, 1 failed, 2 used wrongly, 3 the server cannot be reached.";
const char *const ff_settings =
	"Settings come from options, else FLOWFORGE_URL, FLOWFORGE_DATABASE_URL, FLOWFORGE_API_KEY,\n"
	"FLOWFORGE_EVENT_KEY and FLOWFORGE_SIGNING_KEY, else from the `flowforge dev` that runs in this "
	"directory or above.";

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const Command *
find_command(const char *name)
{
	for (size_t at = 0; at < COMMAND_COUNT; at++)
	{
		if (strcmp(commands[at].name, name) == 0)
			return &commands[at];
	}
	return NULL;
}

static FfExit
command_version(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const FfOption options[] = {FF_JSON_OPTION(server), {0}};
	const FfUsage  usage = {"", "Prints the version.", options};
	FfParse		   parse = ff_options(argc, argv, &usage, &words, NULL);

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("version", "unexpected %s", words.item[0]);
	puts(server.json ? "{\"version\":\"" FF_VERSION "\"}" : "flowforge " FF_VERSION);
	return FF_EXIT_DONE;
}

static void
print_commands(FILE *out)
{
	fputs("flowforge runs durable workflows inside PostgreSQL.\n\n", out);
	for (size_t at = 0; at < COMMAND_COUNT; at++)
	{
		char *form = ff_text("  %s %s", commands[at].name, commands[at].synopsis);

		ff_term_cell(out, out == stdout ? FF_STYLE_NAME : FF_STYLE_END, form, 42);
		fprintf(out, " %s\n", commands[at].about);
		free(form);
	}
	fprintf(out, "\n%s\n%s\n", ff_exit_codes, ff_settings);
}

static FfExit
command_help(int argc, char **argv)
{
	if (argc > 1 && find_command(argv[1]) != NULL && strcmp(argv[1], "help") != 0)
	{
		char *ask[] = {argv[1], "--help", NULL};

		return find_command(argv[1])->run(2, ask);
	}
	if (argc > 1 && argv[1][0] != '-' && strcmp(argv[1], "help") != 0)
		return ff_misused("help", "there is no command %s", argv[1]);
	if (argc > 1 && strcmp(argv[1], "--man") == 0)
		ff_print_manual();
	else
		print_commands(stdout);
	return FF_EXIT_DONE;
}

FfCommands
ff_all_commands(void)
{
	FfCommands all = {0};

	for (size_t at = 0; at < COMMAND_COUNT; at++)
	{
		bool again = at > 0 && strcmp(commands[at].name, commands[at - 1].name) == 0;

		if (!again && commands[at].run != command_help)
			ff_describe(&all, commands[at].name, commands[at].run);
	}
	return all;
}

int
main(int argc, char **argv)
{
	const Command *command;
	FfExit		   result;

	ff_term_init();
	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	if (argc < 2)
	{
		print_commands(stderr);
		return FF_EXIT_USAGE;
	}
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
		argv[1] = "help";
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = "version";
	command = find_command(argv[1]);
	if (command == NULL)
		return ff_misused("help", "there is no command %s", argv[1]);
	result = command->run(argc - 1, argv + 1);
	if (!ff_flush() && result == FF_EXIT_DONE)
		result = FF_EXIT_FAILED;
	return result;
}
