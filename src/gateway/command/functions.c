/*
 * flowforge functions: looking at functions, running and pausing them.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/http.h"
#include "cli/term.h"
#include "command/item.h"

static void
print_function(const json_t *function)
{
	const json_t *triggers = json_object_get(function, "triggers");
	char		 *name = ff_term_clean(ff_json_text(function, "function"), 0);

	ff_term_cell(stdout, FF_STYLE_NAME, name, 32);
	for (size_t at = 0; at < json_array_size(triggers); at++)
	{
		const json_t *trigger = json_array_get(triggers, at);
		const char	 *event = ff_json_text(trigger, "event");
		char *text = ff_term_clean(event != NULL ? event : ff_json_text(trigger, "cron"), 0);

		printf("%s%s", at > 0 ? ", " : " ", text);
		free(text);
	}
	putchar('\n');
	free(name);
}

static FfExit
functions_list(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *app = NULL;
	const FfOption options[] = {{'a', "app", "NAME", "functions of this app", &app, NULL, NULL},
								FF_JSON_OPTION(server),
								FF_SERVER_OPTIONS(server),
								{0}};
	const FfUsage  usage = {"", "Lists the functions apps serve.", options};
	FfParse		   parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		   result = FF_EXIT_DONE;
	char		  *escaped;
	char		  *path;
	json_t		  *answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("functions list", "unexpected %s", words.item[0]);
	ff_server_resolve(&server);
	escaped = ff_url_escape(app != NULL ? app : "");
	path = ff_text("/api/v1/functions%s%s", app != NULL ? "?app=" : "", escaped);
	answer = ff_api(&server, "GET", path, NULL, &result);
	if (answer != NULL && server.json)
		ff_json_print(answer);
	else if (answer != NULL && json_array_size(json_object_get(answer, "data")) == 0)
		puts("no functions");
	for (size_t at = 0;
		 answer != NULL && !server.json && at < json_array_size(json_object_get(answer, "data"));
		 at++)
		print_function(json_array_get(json_object_get(answer, "data"), at));
	json_decref(answer);
	free(path);
	free(escaped);
	return result;
}

static FfExit
functions_run(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *data = NULL;
	const char	  *key = NULL;
	const FfOption options[] = {
		{'d', "data", "JSON", "its input, an object", &data, NULL, NULL},
		{'k', "key", "TEXT", "a repeat with this key starts nothing", &key, NULL, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {"FUNCTION", "Starts a run of a function and prints its id.", options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	json_t		 *body;
	json_t		 *input;
	FfExit		  result;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count != 1)
		return ff_misused("functions run", "functions run needs one function's id");
	input = ff_read_json("functions run", "--data", data != NULL ? data : "{}", true);
	if (input == NULL)
		return FF_EXIT_USAGE;
	body = json_pack("{s:o}", "input", input);
	ff_set_text(body, "idempotency_key", key);
	ff_server_resolve(&server);
	result = ff_act_on(&server, "functions", words.item[0], "/run", body, "id");
	json_decref(body);
	return result;
}

/* Pause and resume, of a function or, with --app, of an app. */
static FfExit
pause_or_resume(int argc, char **argv, const char *command, const char *rest, const char *about)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	bool		   app = false;
	const FfOption options[] = {{'a', "app", NULL, "the id is an app's", NULL, &app, NULL},
								FF_JSON_OPTION(server),
								FF_SERVER_OPTIONS(server),
								{0}};
	const FfUsage  usage = {"ID [REASON]", about, options};
	FfParse		   parse = ff_options(argc, argv, &usage, &words, NULL);
	json_t		  *body;
	FfExit		   result;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count < 1 || words.count > 2)
		return ff_misused(command, "%s needs an id and, perhaps, a reason", command);
	body = json_object();
	ff_set_text(body, "reason", words.count == 2 ? words.item[1] : NULL);
	ff_server_resolve(&server);
	result = ff_act_on(&server, app ? "apps" : "functions", words.item[0], rest, body, "result");
	json_decref(body);
	return result;
}

static FfExit
functions_pause(int argc, char **argv)
{
	return pause_or_resume(argc, argv, "functions pause", "/pause",
						   "Pauses a function, or an app: its runs are kept and not called.");
}

static FfExit
functions_resume(int argc, char **argv)
{
	return pause_or_resume(argc, argv, "functions resume", "/resume",
						   "Ends the pause of a function, or of an app.");
}

FfExit
ff_command_functions(int argc, char **argv)
{
	static const FfSubcommand commands[] = {{"list", "functions list", functions_list},
											{"run", "functions run", functions_run},
											{"pause", "functions pause", functions_pause},
											{"resume", "functions resume", functions_resume},
											{0}};

	return ff_subcommand("functions", "Lists, runs, pauses and resumes functions", commands, argc,
						 argv);
}
