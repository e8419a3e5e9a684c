/*
 * flowforge approvals: what runs ask people, and which request approve and reject are told of.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/http.h"
#include "cli/term.h"

#define LISTED 50

static void
print_request(const json_t *request)
{
	char *id = ff_term_clean(ff_json_text(request, "id"), 0);
	char *function = ff_term_clean(ff_json_text(request, "function"), 0);
	char *prompt = ff_term_clean(ff_json_text(request, "prompt"), 0);

	printf("%s  ", id);
	ff_term_cell(stdout, FF_STYLE_NAME, function, 24);
	printf(" %s\n", prompt);
	free(id);
	free(function);
	free(prompt);
}

static void
print_requests(const json_t *answer)
{
	const json_t *requests = json_object_get(answer, "data");

	if (json_array_size(requests) == 0)
		puts("no requests");
	for (size_t at = 0; at < json_array_size(requests); at++)
		print_request(json_array_get(requests, at));
	if (ff_json_text(answer, "next_cursor") != NULL)
		printf("%sthe newest %d; --json has the cursor of those before%s\n", ff_style(FF_STYLE_DIM),
			   LISTED, ff_style(FF_STYLE_END));
}

FfExit
ff_command_approvals(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *status = "pending";
	const char	  *cursor = NULL;
	const FfOption options[] = {
		{'s', "status", "STATUS", "pending (default), approved, rejected, expired or cancelled",
		 &status, NULL, NULL},
		{0, "cursor", "CURSOR", "go on where a page ended", &cursor, NULL, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {"",
						   "Lists what runs ask people, the newest first: its id, the function "
						   "that asks, the question.",
						   options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		  result = FF_EXIT_DONE;
	char		 *escaped;
	char		 *after;
	char		 *path;
	json_t		 *answer;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("approvals", "unexpected %s", words.item[0]);
	ff_server_resolve(&server);
	escaped = ff_url_escape(status);
	after = ff_url_escape(cursor != NULL ? cursor : "");
	path = ff_text("/api/v1/approvals?limit=%d&status=%s%s%s", LISTED, escaped,
				   cursor != NULL ? "&cursor=" : "", after);
	answer = ff_api(&server, "GET", path, NULL, &result);
	if (answer != NULL && server.json)
		ff_json_print(answer);
	else if (answer != NULL)
		print_requests(answer);
	json_decref(answer);
	free(path);
	free(after);
	free(escaped);
	return result;
}
