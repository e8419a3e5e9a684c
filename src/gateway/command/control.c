/*
 * Acting on runs from the command line: see control.h.
 *
 * Each command is one call of the API, or one for each id; what the server says is printed as it
 * says it.
 */
#define _GNU_SOURCE
#include "command/control.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/http.h"
#include "cli/term.h"
#include "command/item.h"

/* What cancel, retry and replay share. */
typedef struct Verb
{
	const char *command; /* its full name */
	const char *about;
	const char *one;  /* after /api/v1/runs/{id} */
	const char *many; /* the path that takes a filter */
} Verb;

/* Acts on all runs that meet a filter and prints what was done with each. */
static FfExit
act_where(const FfServer *server, const char *path, json_t *filter)
{
	FfExit		  result = FF_EXIT_DONE;
	json_t		 *answer = ff_api(server, "POST", path, filter, &result);
	const json_t *runs = json_object_get(answer, "data");

	if (answer != NULL && server->json)
		ff_json_print(answer);
	for (size_t at = 0; answer != NULL && !server->json && at < json_array_size(runs); at++)
	{
		const json_t *run = json_array_get(runs, at);
		const char	 *replay = ff_json_text(run, "replay");

		printf("%s  %s%s%s\n", ff_json_text(run, "id"), ff_json_text(run, "result"),
			   replay != NULL ? " as " : "", replay != NULL ? replay : "");
	}
	if (answer != NULL && !server->json && json_array_size(runs) == 0)
		puts("no run meets the filter");
	if (answer != NULL && !server->json && json_is_true(json_object_get(answer, "more")))
		printf("%sas many as the limit allows; there may be more%s\n", ff_style(FF_STYLE_DIM),
			   ff_style(FF_STYLE_END));
	json_decref(answer);
	return result;
}

/* The filter of --where, with what other options say in it; NULL when it is none. */
static json_t *
read_filter(const char *command, const char *where, bool dry_run, const char *reason,
			const char *from)
{
	json_t *filter = ff_read_json(command, "--where", where, true);

	if (filter == NULL)
		return NULL;
	if (dry_run)
		json_object_set_new(filter, "dry_run", json_true());
	ff_set_text(filter, "reason", reason);
	ff_set_text(filter, "from_step", from);
	return filter;
}

/* Cancel and retry: ids, or a filter. */
static FfExit
cancel_or_retry(int argc, char **argv, const Verb *verb, bool with_reason)
{
	FfServer	   server = {0};
	FfList		   ids = {0};
	const char	  *where = NULL;
	const char	  *reason = NULL;
	bool		   dry_run = false;
	const FfOption reasons[] = {
		{'w', "where", "JSON", "all runs that meet a filter: {\"function\": ..}", &where, NULL,
		 NULL},
		{0, "dry-run", NULL, "with --where: only tell which", NULL, &dry_run, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{'r', "reason", "TEXT", "why, for the run's error", &reason, NULL, NULL},
		{0}};
	const FfOption plain[] = {reasons[0], reasons[1], reasons[2], reasons[3],
							  reasons[4], reasons[5], {0}};
	const FfUsage  usage = {"ID... | --where JSON", verb->about, with_reason ? reasons : plain};
	FfParse		   parse = ff_options(argc, argv, &usage, &ids, NULL);
	json_t		  *body;
	FfExit		   result;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if ((ids.count > 0) == (where != NULL))
		return ff_misused(verb->command, "%s needs ids of runs, or --where, and not both",
						  verb->command);
	if (dry_run && where == NULL)
		return ff_misused(verb->command, "--dry-run goes with --where");
	body = where != NULL ? read_filter(verb->command, where, dry_run, reason, NULL) : json_object();
	if (body == NULL)
		return FF_EXIT_USAGE;
	if (where == NULL)
		ff_set_text(body, "reason", reason);
	ff_server_resolve(&server);
	result = where != NULL ? act_where(&server, verb->many, body)
						   : ff_act_on_each(&server, "runs", &ids, verb->one, body, "result");
	json_decref(body);
	return result;
}

FfExit
ff_runs_cancel(int argc, char **argv)
{
	static const Verb verb = {"runs cancel", "Cancels runs.", "/cancel", "/api/v1/runs/cancel"};

	return cancel_or_retry(argc, argv, &verb, true);
}

FfExit
ff_runs_retry(int argc, char **argv)
{
	static const Verb verb = {
		"runs retry", "Makes runs that failed or were cancelled go on: what has completed stays.",
		"/retry", "/api/v1/runs/retry"};

	return cancel_or_retry(argc, argv, &verb, false);
}

FfExit
ff_runs_replay(int argc, char **argv)
{
	static const Verb verb = {"runs replay", "", "/replay", "/api/v1/runs/replay"};
	FfServer		  server = {0};
	FfList			  ids = {0};
	const char		 *where = NULL;
	const char		 *from = NULL;
	const char		 *input = NULL;
	bool			  dry_run = false;
	const FfOption	  options[] = {
		   {'s', "step", "STEP", "begin with this step (id or name); keep what was before", &from,
			NULL, NULL},
		   {'d', "data", "JSON", "the step's arguments, or the event's data instead", &input, NULL,
			NULL},
		   {'w', "where", "JSON", "all ended runs that meet a filter", &where, NULL, NULL},
		   {0, "dry-run", NULL, "with --where: only tell which", NULL, &dry_run, NULL},
		   FF_JSON_OPTION(server),
		   FF_SERVER_OPTIONS(server),
		   {0}};
	const FfUsage usage = {"ID... | --where JSON",
						   "Runs the functions of runs again, as new runs whose ids are printed.",
						   options};
	FfParse		  parse = ff_options(argc, argv, &usage, &ids, NULL);
	json_t		 *body;
	json_t		 *value = NULL;
	FfExit		  result;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if ((ids.count > 0) == (where != NULL))
		return ff_misused(verb.command, "runs replay needs ids of runs, or --where, and not both");
	if (dry_run && where == NULL)
		return ff_misused(verb.command, "--dry-run goes with --where");
	if (input != NULL && where != NULL)
		return ff_misused(verb.command, "--data goes with ids");
	if (input != NULL && (value = ff_read_json(verb.command, "--data", input, false)) == NULL)
		return FF_EXIT_USAGE;
	body = where != NULL ? read_filter(verb.command, where, dry_run, NULL, from) : json_object();
	if (body == NULL)
		return FF_EXIT_USAGE;
	if (where == NULL)
		ff_set_text(body, "from_step", from);
	if (value != NULL)
		json_object_set_new(body, "input", value);
	ff_server_resolve(&server);
	result = where != NULL ? act_where(&server, verb.many, body)
						   : ff_act_on_each(&server, "runs", &ids, verb.one, body, "id");
	json_decref(body);
	return result;
}

FfExit
ff_runs_resume(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *step = NULL;
	const char	  *data = NULL;
	const char	  *by = NULL;
	const FfOption options[] = {
		{'s', "step", "STEP", "the waiting step (id or name); else the only one", &step, NULL,
		 NULL},
		{'d', "data", "JSON", "what it is handed", &data, NULL, NULL},
		{'b', "by", "NAME", "who resumes it, for an approval", &by, NULL, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {"ID", "Ends the wait of a step of a run, with data.", options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	json_t		 *body;
	json_t		 *value;
	FfExit		  result;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count != 1)
		return words.count == 0 ? ff_misused("runs resume", "runs resume needs a run's id")
								: ff_misused("runs resume", "unexpected %s", words.item[1]);
	value = ff_read_json("runs resume", "--data", data != NULL ? data : "{}", false);
	if (value == NULL)
		return FF_EXIT_USAGE;
	body = json_pack("{s:o}", "data", value);
	ff_set_text(body, "step_id", step);
	ff_set_text(body, "by", by);
	ff_server_resolve(&server);
	result = ff_act_on(&server, "runs", words.item[0], "/resume", body, "result");
	json_decref(body);
	return result;
}

FfExit
ff_runs_explain(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const FfOption options[] = {FF_JSON_OPTION(server), FF_SERVER_OPTIONS(server), {0}};
	const FfUsage  usage = {"ID", "Says why a run is not running.", options};
	FfParse		   parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		   result = FF_EXIT_DONE;
	char		  *path;
	json_t		  *answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count != 1)
		return words.count == 0 ? ff_misused("runs explain", "runs explain needs a run's id")
								: ff_misused("runs explain", "unexpected %s", words.item[1]);
	ff_server_resolve(&server);
	path = ff_item_path("runs", words.item[0], "/explain");
	answer = ff_api(&server, "GET", path, NULL, &result);
	if (answer != NULL && server.json)
		ff_json_print(answer);
	else if (answer != NULL)
	{
		char *clean = ff_term_clean(ff_json_text(answer, "explanation"), 0);

		puts(clean);
		free(clean);
	}
	json_decref(answer);
	free(path);
	return result;
}
