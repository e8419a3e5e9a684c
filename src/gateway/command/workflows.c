/*
 * flowforge workflows list | get | publish | archive | run; moving them between files and servers
 * is in workflow_file.c, looking at what is wrong or different in workflow_check.c.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "cli/http.h"
#include "cli/term.h"
#include "command/item.h"
#include "command/workflow.h"

void
ff_workflow_print_text(const char *before, const char *text, const char *after)
{
	char *clean = ff_term_clean(text != NULL ? text : "", 0);

	printf("%s%s%s", before, clean, after);
	free(clean);
}

/* "published v3 + draft". To be freed. */
static char *
status_of(const json_t *workflow)
{
	const json_t *version = json_object_get(workflow, "version");
	bool		  draft = json_is_true(json_object_get(workflow, "has_draft"));
	const char	 *status = ff_json_text(workflow, "status");

	if (!json_is_integer(version))
		return ff_text("%s", status);
	return ff_text("%s v%" JSON_INTEGER_FORMAT "%s", status, json_integer_value(version),
				   draft ? " + draft" : "");
}

void
ff_workflow_print_line(const json_t *workflow)
{
	char *slug = ff_term_clean(ff_json_text(workflow, "workflow"), 0);
	char *status = status_of(workflow);

	ff_term_cell(stdout, FF_STYLE_NAME, slug, 32);
	printf(" ");
	ff_term_cell(stdout, FF_STYLE_DIM, status, 24);
	ff_workflow_print_text(" ", ff_json_text(workflow, "name"), "\n");
	free(status);
	free(slug);
}

/* --- what the commands share --- */

json_t *
ff_workflow_fetch(const FfServer *server, const char *id, const char *version, FfExit *result)
{
	char   *rest = version != NULL ? ff_text("?version=%s", version) : ff_copy("");
	char   *path = ff_item_path("workflows", id, rest);
	json_t *answer = ff_api(server, "GET", path, NULL, result);

	free(path);
	free(rest);
	return answer;
}

const char *
ff_workflow_given(const char *command, const FfList *words)
{
	if (words->count == 1)
		return words->item[0];
	if (words->count == 0)
		ff_misused(command, "%s needs a workflow", command);
	else
		ff_misused(command, "unexpected %s", words->item[1]);
	return NULL;
}

bool
ff_workflow_version(const char *command, const char *option, const char *text)
{
	int number;

	if (text == NULL || ff_whole_number(text, 1, 999999999, &number))
		return true;
	ff_misused(command, "%s must be the number of a version", option);
	return false;
}

/* --- list and get --- */

static FfExit
workflows_list(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *status = NULL;
	const char	  *search = NULL;
	const FfOption options[] = {
		{'s', "status", "STATUS", "draft, published or archived", &status, NULL, NULL},
		{'q', "search", "TEXT", "with this in name or description", &search, NULL, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {"", "Lists workflows, newest first, 200 at most.", options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		  result = FF_EXIT_DONE;
	char		 *path, *escaped_status, *escaped_search;
	json_t		 *answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("workflows list", "unexpected %s", words.item[0]);
	ff_server_resolve(&server);
	escaped_status = ff_url_escape(status != NULL ? status : "");
	escaped_search = ff_url_escape(search != NULL ? search : "");
	path = ff_text("/api/v1/workflows?limit=200%s%s%s%s", status != NULL ? "&status=" : "",
				   escaped_status, search != NULL ? "&search=" : "", escaped_search);
	answer = ff_api(&server, "GET", path, NULL, &result);
	if (answer != NULL && server.json)
		ff_json_print(answer);
	else if (answer != NULL && json_array_size(json_object_get(answer, "data")) == 0)
		puts("no workflows");
	for (size_t at = 0;
		 answer != NULL && !server.json && at < json_array_size(json_object_get(answer, "data"));
		 at++)
		ff_workflow_print_line(json_array_get(json_object_get(answer, "data"), at));
	json_decref(answer);
	free(path);
	free(escaped_status);
	free(escaped_search);
	return result;
}

static void
print_workflow(const json_t *workflow)
{
	const json_t *definition = json_object_get(workflow, "definition");
	char		 *status = status_of(workflow);

	ff_workflow_print_text("name         ", ff_json_text(workflow, "name"), "\n");
	ff_workflow_print_text("workflow     ", ff_json_text(workflow, "workflow"), "\n");
	printf("status       %s\n", status);
	if (ff_json_text(workflow, "description")[0] != '\0')
		ff_workflow_print_text("description  ", ff_json_text(workflow, "description"), "\n");
	printf("graph        %zu nodes, %zu edges\n",
		   json_array_size(json_object_get(definition, "nodes")),
		   json_array_size(json_object_get(definition, "edges")));
	printf("triggers     %zu\n", json_array_size(json_object_get(workflow, "triggers")));
	if (ff_json_text(workflow, "role") != NULL)
		ff_workflow_print_text("role         ", ff_json_text(workflow, "role"), "\n");
	printf("etag         %s\n", ff_json_text(workflow, "etag"));
	free(status);
}

static FfExit
workflows_get(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *version = NULL;
	const FfOption options[] = {
		{'v', "version", "NUMBER", "of this version, not the working one", &version, NULL, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {"WORKFLOW", "Shows a workflow.", options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		  result = FF_EXIT_DONE;
	const char	 *id;
	json_t		 *answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if ((id = ff_workflow_given("workflows get", &words)) == NULL ||
		!ff_workflow_version("workflows get", "--version", version))
		return FF_EXIT_USAGE;
	ff_server_resolve(&server);
	answer = ff_workflow_fetch(&server, id, version, &result);
	if (answer != NULL && server.json)
		ff_json_print(answer);
	else if (answer != NULL)
		print_workflow(answer);
	json_decref(answer);
	return result;
}

/* --- publish, archive, run --- */

static FfExit
act_on_workflows(int argc, char **argv, const char *command, const char *rest, const char *about)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const FfOption options[] = {FF_JSON_OPTION(server), FF_SERVER_OPTIONS(server), {0}};
	const FfUsage  usage = {"WORKFLOW...", about, options};
	FfParse		   parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		   result = FF_EXIT_DONE;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count == 0)
		return ff_misused(command, "%s needs a workflow", command);
	ff_server_resolve(&server);
	for (int at = 0; at < words.count && result != FF_EXIT_UNREACHABLE; at++)
	{
		FfExit	one = FF_EXIT_DONE;
		char   *path = ff_item_path("workflows", words.item[at], rest);
		json_t *answer = ff_api(&server, "POST", path, NULL, &one);

		if (answer != NULL && server.json)
			ff_json_print(answer);
		else if (answer != NULL)
			ff_workflow_print_line(answer);
		if (one != FF_EXIT_DONE)
			result = one;
		json_decref(answer);
		free(path);
	}
	return result;
}

static FfExit
workflows_publish(int argc, char **argv)
{
	return act_on_workflows(argc, argv, "workflows publish", "/publish",
							"Publishes the drafts of workflows as their next versions.");
}

static FfExit
workflows_archive(int argc, char **argv)
{
	return act_on_workflows(argc, argv, "workflows archive", "/archive",
							"Takes workflows out of use: nothing starts them any more.");
}

static FfExit
workflows_run(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *data = NULL;
	const char	  *key = NULL;
	const char	  *id;
	bool		   draft = false;
	const FfOption options[] = {
		{'d', "data", "JSON", "its input, an object", &data, NULL, NULL},
		{'k', "key", "TEXT", "a repeat with this key starts nothing", &key, NULL, NULL},
		{0, "draft", NULL, "a test run of the draft, published or not", NULL, &draft, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {"WORKFLOW", "Starts a run of a workflow and prints its id.", options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	json_t		 *body, *input;
	FfExit		  result;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if ((id = ff_workflow_given("workflows run", &words)) == NULL)
		return FF_EXIT_USAGE;
	input = ff_read_json("workflows run", "--data", data != NULL ? data : "{}", true);
	if (input == NULL)
		return FF_EXIT_USAGE;
	body = json_pack("{s:o}", "input", input);
	ff_set_text(body, "idempotency_key", key);
	ff_server_resolve(&server);
	result = ff_act_on(&server, "workflows", id, draft ? "/test-run" : "/run", body, "id");
	json_decref(body);
	return result;
}

FfExit
ff_command_workflows(int argc, char **argv)
{
	static const FfSubcommand commands[] = {
		{"list", "workflows list", workflows_list},
		{"get", "workflows get", workflows_get},
		{"export", "workflows export", ff_workflows_export},
		{"import", "workflows import", ff_workflows_import},
		{"validate", "workflows validate", ff_workflows_validate},
		{"publish", "workflows publish", workflows_publish},
		{"diff", "workflows diff", ff_workflows_diff},
		{"run", "workflows run", workflows_run},
		{"archive", "workflows archive", workflows_archive},
		{0}};

	return ff_subcommand("workflows", "Lists, moves, publishes and runs workflows", commands, argc,
						 argv);
}
