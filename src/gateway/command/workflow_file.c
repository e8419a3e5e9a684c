/*
 * flowforge workflows export | import: workflows between files and servers.
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
#include "command/item.h"
#include "command/workflow.h"

#define MAX_FILE (4 * 1024 * 1024)

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

FfExit
ff_workflows_export(int argc, char **argv)
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
	if ((id = ff_workflow_given("workflows export", &words)) == NULL ||
		!ff_workflow_version("workflows export", "--version", version))
		return FF_EXIT_USAGE;
	ff_server_resolve(&server);
	answer = ff_workflow_fetch(&server, id, version, &result);
	if (answer != NULL)
	{
		json_t *document = document_of(answer);

		result = write_document(document, file);
		json_decref(document);
	}
	json_decref(answer);
	return result;
}

json_t *
ff_workflow_read(const char *path)
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

FfExit
ff_workflows_import(int argc, char **argv)
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
	if ((document = ff_workflow_read(words.item[0])) == NULL)
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
		ff_workflow_print_line(answer);
	json_decref(answer);
	json_decref(body);
	return result;
}
