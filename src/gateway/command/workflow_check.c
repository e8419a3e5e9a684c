/*
 * flowforge workflows validate | diff: what keeps a workflow from being published, and what is
 * different between two versions of one.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "cli/http.h"
#include "cli/term.h"
#include "command/item.h"
#include "command/workflow.h"

/* --- validate --- */

static void
print_findings(const json_t *findings, FfStyle style, const char *what)
{
	for (size_t at = 0; at < json_array_size(findings); at++)
	{
		const json_t *finding = json_array_get(findings, at);
		const char	 *node = ff_json_text(finding, "node_id");
		const char	 *hint = ff_json_text(finding, "hint");

		printf("%s%s%s  %s", ff_style(style), what, ff_style(FF_STYLE_END),
			   ff_json_text(finding, "code"));
		if (node == NULL)
			node = ff_json_text(finding, "edge_id");
		ff_workflow_print_text("  ", node != NULL ? node : "", node != NULL ? ": " : "");
		ff_workflow_print_text("", ff_json_text(finding, "message"), "\n");
		if (hint != NULL)
			ff_workflow_print_text("  → ", hint, "\n");
	}
}

FfExit
ff_workflows_validate(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *file = NULL;
	const FfOption options[] = {
		{'f', "file", "FILE", "what this file holds, without storing it", &file, NULL, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {"WORKFLOW | -f FILE",
						   "Says what keeps a workflow from being published (exit code 1).",
						   options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		  result = FF_EXIT_DONE;
	char		 *path;
	json_t		 *document = NULL, *body = NULL, *answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if ((file != NULL) == (words.count == 1) || words.count > 1)
		return ff_misused("workflows validate",
						  "workflows validate needs a workflow, or --file, and not both");
	if (file != NULL && (document = ff_workflow_read(file)) == NULL)
		return FF_EXIT_FAILED;
	if (document != NULL)
		body = json_pack("{s:o}", "definition", document);
	ff_server_resolve(&server);
	path = ff_item_path("workflows", file != NULL ? "-" : words.item[0], "/validate");
	answer = ff_api(&server, "POST", path, body, &result);
	if (answer != NULL)
	{
		bool valid = json_is_true(json_object_get(answer, "valid"));

		if (server.json)
			ff_json_print(answer);
		else
		{
			print_findings(json_object_get(answer, "errors"), FF_STYLE_BAD, "error");
			print_findings(json_object_get(answer, "warnings"), FF_STYLE_WARN, "warning");
			puts(valid ? "valid" : "not valid");
		}
		result = valid ? FF_EXIT_DONE : FF_EXIT_FAILED;
	}
	json_decref(answer);
	json_decref(body);
	free(path);
	return result;
}

/* --- diff --- */

/* A value on one line, "nothing" where there is none. To be freed. */
static char *
value_text(const json_t *value)
{
	char *text, *clean;

	if (value == NULL || json_is_null(value))
		return ff_copy("nothing");
	text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	clean = ff_term_clean(text, 60);
	free(text);
	return clean;
}

static void
print_changes(const json_t *changes, const char *of)
{
	for (size_t at = 0; at < json_array_size(changes); at++)
	{
		const json_t *change = json_array_get(changes, at);
		char		 *before = value_text(json_object_get(change, "from"));
		char		 *after = value_text(json_object_get(change, "to"));

		printf("%s~%s %s", ff_style(FF_STYLE_WARN), ff_style(FF_STYLE_END), of);
		ff_workflow_print_text(" ", ff_json_text(change, "path"), "");
		printf(": %s → %s\n", before, after);
		free(before);
		free(after);
	}
}

static void
print_parts(const json_t *parts, const char *what)
{
	static const char *const lists[] = {"added", "removed"};

	for (int list = 0; list < 2; list++)
	{
		const json_t *those = json_object_get(parts, lists[list]);

		for (size_t at = 0; at < json_array_size(those); at++)
		{
			const json_t *part = json_array_get(those, at);
			const char	 *id = ff_json_text(part, "id");
			const char	 *type = ff_json_text(part, "type");

			printf("%s%s%s %s", ff_style(list == 0 ? FF_STYLE_GOOD : FF_STYLE_BAD),
				   list == 0 ? "+" : "-", ff_style(FF_STYLE_END), what);
			if (id != NULL)
				ff_workflow_print_text(" ", id, "");
			else
			{
				ff_workflow_print_text(" ", ff_json_text(part, "source"), "");
				ff_workflow_print_text(" -> ", ff_json_text(part, "target"), "");
			}
			ff_workflow_print_text(type != NULL ? " (" : "", type, type != NULL ? ")\n" : "\n");
		}
	}
	for (size_t at = 0; at < json_array_size(json_object_get(parts, "changed")); at++)
	{
		const json_t *part = json_array_get(json_object_get(parts, "changed"), at);
		char		 *id = ff_term_clean(ff_json_text(part, "id"), 0);
		char		 *of = ff_text("%s %s", what, id);

		print_changes(json_object_get(part, "changes"), of);
		free(of);
		free(id);
	}
}

static bool
is_same(const json_t *difference)
{
	static const char *const lists[] = {"settings", "input_schema", "triggers"};
	static const char *const kinds[] = {"added", "removed", "changed"};
	size_t					 count = 0;

	for (int at = 0; at < 3; at++)
		count += json_array_size(json_object_get(difference, lists[at])) +
				 json_array_size(json_object_get(json_object_get(difference, "nodes"), kinds[at])) +
				 json_array_size(json_object_get(json_object_get(difference, "edges"), kinds[at]));
	return count == 0;
}

FfExit
ff_workflows_diff(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *from = NULL;
	const char	  *to = NULL;
	const FfOption options[] = {
		{0, "from", "NUMBER", "the older version (the one before)", &from, NULL, NULL},
		{0, "to", "NUMBER", "the newer version (the draft, or the latest)", &to, NULL, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {"WORKFLOW", "Shows what is different between two versions.", options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		  result = FF_EXIT_DONE;
	const char	 *id;
	char		 *path, *rest;
	json_t		 *answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if ((id = ff_workflow_given("workflows diff", &words)) == NULL ||
		!ff_workflow_version("workflows diff", "--from", from) ||
		!ff_workflow_version("workflows diff", "--to", to))
		return FF_EXIT_USAGE;
	ff_server_resolve(&server);
	rest = ff_text("/diff%s%s%s%s", from != NULL ? "?from=" : "", from != NULL ? from : "",
				   to == NULL	  ? ""
				   : from != NULL ? "&to="
								  : "?to=",
				   to != NULL ? to : "");
	path = ff_item_path("workflows", id, rest);
	answer = ff_api(&server, "GET", path, NULL, &result);
	if (answer != NULL && server.json)
		ff_json_print(answer);
	else if (answer != NULL)
	{
		print_parts(json_object_get(answer, "nodes"), "node");
		print_parts(json_object_get(answer, "edges"), "edge");
		print_changes(json_object_get(answer, "settings"), "settings");
		print_changes(json_object_get(answer, "input_schema"), "input_schema");
		print_changes(json_object_get(answer, "triggers"), "triggers");
		if (is_same(answer))
			puts("no difference");
	}
	json_decref(answer);
	free(path);
	free(rest);
	return result;
}
