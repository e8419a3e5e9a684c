/*
 * flowforge send: an event, and with --wait its runs live until all have ended.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/http.h"
#include "cli/term.h"
#include "command/follow.h"

#define DATA_LIMIT (4 * 1024 * 1024)
#define TURN_MS 1000

/* The event's data from -d or -f; NULL, said to the user, when it is no JSON object. */
static json_t *
read_data(const char *text, const char *path)
{
	char		*read = NULL;
	json_error_t error;
	json_t		*data;

	if (text == NULL && path == NULL)
		return json_object();
	if (path != NULL && (text = read = ff_read_file(path, DATA_LIMIT)) == NULL)
	{
		ff_misused("send", "cannot read %s: %s", path, strerror(errno));
		return NULL;
	}
	data = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (data == NULL)
		ff_misused("send", "the data is no JSON: %s (line %d, column %d)", error.text, error.line,
				   error.column);
	else if (!json_is_object(data))
	{
		ff_misused("send", "the data must be a JSON object, such as {\"id\": 1}");
		json_decref(data);
		data = NULL;
	}
	free(read);
	return data;
}

static FfExit
follow_runs(const FfServer *server, const json_t *runs)
{
	FfFollow *follow = ff_follow_open(server, true);
	FfExit	  result;

	ff_follow_whole(follow);
	for (size_t at = 0; at < json_array_size(runs); at++)
	{
		const json_t *run = json_array_get(runs, at);
		const char	 *id = ff_json_text(run, "id");

		if (id != NULL)
			ff_follow_run(follow, id, ff_json_text(run, "function"));
	}
	while (ff_follow_turn(follow, TURN_MS) > 0)
		;
	result = ff_follow_result(follow);
	ff_follow_close(follow);
	return result;
}

static void
print_sent(const char *name, const json_t *answer)
{
	const json_t *runs = json_object_get(answer, "runs");
	const char	 *id = ff_json_text(answer, "id");

	printf("%s%s%s %s%s%s\n", ff_style(FF_STYLE_BOLD), name, ff_style(FF_STYLE_END),
		   ff_style(FF_STYLE_DIM), id != NULL ? id : "", ff_style(FF_STYLE_END));
	if (json_array_size(runs) == 0)
		printf("  starts no run\n");
	for (size_t at = 0; at < json_array_size(runs); at++)
	{
		const json_t *run = json_array_get(runs, at);
		const char	 *function = ff_json_text(run, "function");

		printf("  starts %s%s%s %s\n", ff_style(FF_STYLE_NAME),
			   function != NULL ? function : "a run", ff_style(FF_STYLE_END),
			   ff_json_text(run, "id"));
	}
	fflush(stdout);
}

static FfExit
send_event(const FfServer *server, json_t *event, bool wait)
{
	FfExit		  result = FF_EXIT_DONE;
	json_t		 *answer = ff_api(server, "POST", "/api/v1/events", event, &result);
	const json_t *runs = json_object_get(answer, "runs");

	if (answer == NULL)
		return result;
	if (server->json)
		ff_json_print(answer);
	else if (!wait || json_array_size(runs) == 0)
		print_sent(ff_json_text(event, "name"), answer);
	if (wait)
		result = follow_runs(server, runs);
	json_decref(answer);
	return result;
}

FfExit
ff_command_send(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *text = NULL;
	const char	  *path = NULL;
	const char	  *id = NULL;
	bool		   wait = false;
	const FfOption options[] = {
		{'d', "data", "JSON", "the event's data, an object", &text, NULL, NULL},
		{'f', "file", "FILE", "read the data from a file (-: standard input)", &path, NULL, NULL},
		{'i', "id", "ID", "an id that makes sending it again harmless", &id, NULL, NULL},
		{'w', "wait", NULL, "follow the runs it starts until they end; exit 1 if one fails", NULL,
		 &wait, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {"NAME [-d JSON | -f FILE] [--wait]", "Sends an event.", options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	json_t		 *data;
	json_t		 *event;
	FfExit		  result;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count != 1)
		return ff_misused("send",
						  words.count == 0 ? "send needs the event's name" : "send takes one name");
	if (text != NULL && path != NULL)
		return ff_misused("send", "give -d or -f, not both");
	data = read_data(text, path);
	if (data == NULL)
		return FF_EXIT_USAGE;

	ff_server_resolve(&server);
	event = json_pack("{s:s, s:o, s:s*}", "name", words.item[0], "data", data, "id", id);
	if (event == NULL)
		return ff_misused("send", "the name and id must be UTF-8");
	result = send_event(&server, event, wait);
	json_decref(event);
	return result;
}
