/*
 * flowforge workflows: looking at workflows, moving them between files and servers, publishing and
 * running them.
 *
 * A file holds one document: nodes and edges as they are drawn, and name, description, settings,
 * input_schema and triggers beside them. What `export` writes, `import` reads.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/http.h"
#include "cli/term.h"
#include "command/control.h"

#define MAX_FILE (4 * 1024 * 1024)

static void
print_clean(const char *before, const char *text, const char *after)
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

static void
print_line(const json_t *workflow)
{
	char *slug = ff_term_clean(ff_json_text(workflow, "workflow"), 0);
	char *status = status_of(workflow);

	ff_term_cell(stdout, FF_STYLE_NAME, slug, 32);
	printf(" ");
	ff_term_cell(stdout, FF_STYLE_DIM, status, 24);
	print_clean(" ", ff_json_text(workflow, "name"), "\n");
	free(status);
	free(slug);
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
		print_line(json_array_get(json_object_get(answer, "data"), at));
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

	print_clean("name         ", ff_json_text(workflow, "name"), "\n");
	print_clean("workflow     ", ff_json_text(workflow, "workflow"), "\n");
	printf("status       %s\n", status);
	if (ff_json_text(workflow, "description")[0] != '\0')
		print_clean("description  ", ff_json_text(workflow, "description"), "\n");
	printf("graph        %zu nodes, %zu edges\n",
		   json_array_size(json_object_get(definition, "nodes")),
		   json_array_size(json_object_get(definition, "edges")));
	printf("triggers     %zu\n", json_array_size(json_object_get(workflow, "triggers")));
	if (ff_json_text(workflow, "role") != NULL)
		print_clean("role         ", ff_json_text(workflow, "role"), "\n");
	printf("etag         %s\n", ff_json_text(workflow, "etag"));
	free(status);
}

/* A workflow, or a version of it; NULL with the user told. */
static json_t *
fetch(const FfServer *server, const char *id, const char *version, FfExit *result)
{
	char   *rest = version != NULL ? ff_text("?version=%s", version) : ff_text("%s", "");
	char   *path = ff_item_path("workflows", id, rest);
	json_t *answer = ff_api(server, "GET", path, NULL, result);

	free(path);
	free(rest);
	return answer;
}

/* The one word a command takes, or NULL with the user told. */
static const char *
one_workflow(const char *command, const FfList *words)
{
	if (words->count == 1)
		return words->item[0];
	if (words->count == 0)
		ff_misused(command, "%s needs a workflow", command);
	else
		ff_misused(command, "unexpected %s", words->item[1]);
	return NULL;
}

/* A version's number, or NULL: none. False with the user told. */
static bool
is_version(const char *command, const char *option, const char *text)
{
	int number;

	if (text == NULL || ff_whole_number(text, 1, 999999999, &number))
		return true;
	ff_misused(command, "%s must be the number of a version", option);
	return false;
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
	if ((id = one_workflow("workflows get", &words)) == NULL ||
		!is_version("workflows get", "--version", version))
		return FF_EXIT_USAGE;
	ff_server_resolve(&server);
	answer = fetch(&server, id, version, &result);
	if (answer != NULL && server.json)
		ff_json_print(answer);
	else if (answer != NULL)
		print_workflow(answer);
	json_decref(answer);
	return result;
}

/* --- documents --- */

/* A workflow as a file holds it. */
static json_t *
document_of(const json_t *workflow)
{
	static const char *const members[] = {"name",		  "description", "settings",
										  "input_schema", "triggers",	 NULL};
	json_t					*document = json_deep_copy(json_object_get(workflow, "definition"));

	for (int at = 0; members[at] != NULL; at++)
		json_object_set(document, members[at], json_object_get(workflow, members[at]));
	return document;
}

static FfExit
write_document(const json_t *document, const char *path)
{
	FILE *file = path == NULL ? stdout : fopen(path, "we");
	bool  written;

	if (file == NULL)
	{
		ff_complain(NULL, "cannot write %s: %s", path, strerror(errno));
		return FF_EXIT_FAILED;
	}
	written = json_dumpf(document, file, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 &&
			  fputc('\n', file) != EOF && fflush(file) == 0;
	if (file != stdout)
		written = fclose(file) == 0 && written;
	if (!written)
		ff_complain(NULL, "cannot write %s: %s", path != NULL ? path : "the document",
					strerror(errno));
	return written ? FF_EXIT_DONE : FF_EXIT_FAILED;
}

static FfExit
workflows_export(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *version = NULL;
	const char	  *file = NULL;
	const FfOption options[] = {
		{'o', "output", "FILE", "into this file", &file, NULL, NULL},
		{'v', "version", "NUMBER", "of this version, not the working one", &version, NULL, NULL},
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {"WORKFLOW", "Writes a workflow as a document that import reads.",
						   options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		  result = FF_EXIT_DONE;
	const char	 *id;
	json_t		 *answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if ((id = one_workflow("workflows export", &words)) == NULL ||
		!is_version("workflows export", "--version", version))
		return FF_EXIT_USAGE;
	ff_server_resolve(&server);
	answer = fetch(&server, id, version, &result);
	if (answer != NULL)
	{
		json_t *document = document_of(answer);

		result = write_document(document, file);
		json_decref(document);
	}
	json_decref(answer);
	return result;
}

/* What a file holds, NULL with the user told. */
static json_t *
read_document(const char *path)
{
	json_error_t error;
	json_t		*document;
	char		*text = ff_read_file(path, MAX_FILE);

	if (text == NULL)
	{
		ff_complain(NULL, "cannot read %s: %s", path, strerror(errno));
		return NULL;
	}
	document = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	free(text);
	if (document == NULL)
		ff_complain(NULL, "%s is no JSON: %s (line %d, column %d)", path, error.text, error.line,
					error.column);
	else if (!json_is_object(document))
	{
		ff_complain("It is {\"name\", \"nodes\", \"edges\", ...}.", "%s is no workflow", path);
		json_decref(document);
		document = NULL;
	}
	return document;
}

/* The body that makes or changes a workflow by a document, which is taken over. */
static json_t *
body_of(json_t *document, const char *name)
{
	json_t *body = json_object();

	if (name != NULL)
		json_object_set_new(document, "name", json_string(name));
	if (json_object_get(document, "name") != NULL)
		json_object_set(body, "name", json_object_get(document, "name"));
	if (json_object_get(document, "description") != NULL)
		json_object_set(body, "description", json_object_get(document, "description"));
	json_object_set_new(body, "definition", document);
	return body;
}

/* Changes the workflow of that name, or makes it. The answer is the workflow. */
static json_t *
store(const FfServer *server, json_t *body, FfExit *result)
{
	const char *name = ff_json_text(body, "name");
	char	   *path = ff_item_path("workflows", name, "");
	FfReply		reply;
	json_t	   *answer = ff_api_ask(server, "PUT", path, body, &reply);

	if (answer == NULL && reply.failure == NULL && reply.status == 404)
		answer = ff_api(server, "POST", "/api/v1/workflows", body, result);
	else if (answer == NULL)
		*result = ff_api_tell(server, path, &reply);
	ff_reply_free(&reply);
	free(path);
	return answer;
}

static FfExit
workflows_import(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *name = NULL;
	bool		   publish = false;
	const FfOption options[] = {
		{'n', "name", "NAME", "under this name, not the document's", &name, NULL, NULL},
		{'p', "publish", NULL, "and publish it", NULL, &publish, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {
		"FILE",
		"Makes the workflow a document names, or changes the one of that name (- reads "
		"standard input).",
		options};
	FfParse parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit	result = FF_EXIT_DONE;
	json_t *document, *body, *answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count != 1)
		return ff_misused("workflows import", "workflows import needs one file");
	if ((document = read_document(words.item[0])) == NULL)
		return FF_EXIT_FAILED;
	body = body_of(document, name);
	if (ff_json_text(body, "name") == NULL)
	{
		ff_complain("Name it with --name.", "%s has no name", words.item[0]);
		json_decref(body);
		return FF_EXIT_FAILED;
	}
	ff_server_resolve(&server);
	answer = store(&server, body, &result);
	if (answer != NULL && publish)
	{
		char *path = ff_item_path("workflows", ff_json_text(answer, "id"), "/publish");

		json_decref(answer);
		answer = ff_api(&server, "POST", path, NULL, &result);
		free(path);
	}
	if (answer != NULL && server.json)
		ff_json_print(answer);
	else if (answer != NULL)
		print_line(answer);
	json_decref(answer);
	json_decref(body);
	return result;
}

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
		print_clean("  ", node != NULL ? node : "", node != NULL ? ": " : "");
		print_clean("", ff_json_text(finding, "message"), "\n");
		if (hint != NULL)
			print_clean("  → ", hint, "\n");
	}
}

static FfExit
workflows_validate(int argc, char **argv)
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
	if (file != NULL && (document = read_document(file)) == NULL)
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
		return ff_text("%s", "nothing");
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
		print_clean(" ", ff_json_text(change, "path"), "");
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
				print_clean(" ", id, "");
			else
			{
				print_clean(" ", ff_json_text(part, "source"), "");
				print_clean(" -> ", ff_json_text(part, "target"), "");
			}
			print_clean(type != NULL ? " (" : "", type, type != NULL ? ")\n" : "\n");
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

static FfExit
workflows_diff(int argc, char **argv)
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
	if ((id = one_workflow("workflows diff", &words)) == NULL ||
		!is_version("workflows diff", "--from", from) || !is_version("workflows diff", "--to", to))
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
			print_line(answer);
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
	if ((id = one_workflow("workflows run", &words)) == NULL)
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
	static const FfSubcommand commands[] = {{"list", "workflows list", workflows_list},
											{"get", "workflows get", workflows_get},
											{"export", "workflows export", workflows_export},
											{"import", "workflows import", workflows_import},
											{"validate", "workflows validate", workflows_validate},
											{"publish", "workflows publish", workflows_publish},
											{"diff", "workflows diff", workflows_diff},
											{"run", "workflows run", workflows_run},
											{"archive", "workflows archive", workflows_archive},
											{0}};

	return ff_subcommand("workflows", "Lists, moves, publishes and runs workflows", commands, argc,
						 argv);
}
