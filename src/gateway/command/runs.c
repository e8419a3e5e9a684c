/*
 * flowforge runs list | get | tail; what acts on runs is in control.c.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/http.h"
#include "cli/term.h"
#include "command/control.h"
#include "command/follow.h"
#include "command/show.h"

#define TURN_MS 1000
#define MOST_LISTED 200
#define LISTED "20"
#define PAGE 50

/* "?limit=..&status=.." of the filters that are given. To be freed. */
static char *
list_query(int limit, const char *status, const char *function, const char *cursor)
{
	const char *const names[] = {"status", "function", "cursor"};
	const char *const values[] = {status, function, cursor};
	char			 *query = ff_text("?limit=%d", limit);

	for (int at = 0; at < 3; at++)
	{
		char *value;
		char *longer;

		if (values[at] == NULL)
			continue;
		value = ff_url_escape(values[at]);
		longer = ff_text("%s&%s=%s", query, names[at], value);
		free(value);
		free(query);
		query = longer;
	}
	return query;
}

static void
print_runs(const json_t *answer)
{
	const json_t *runs = json_object_get(answer, "data");
	const char	 *cursor = ff_json_text(answer, "next_cursor");

	if (json_array_size(runs) == 0)
	{
		puts("no runs");
		return;
	}
	ff_show_run_head();
	for (size_t at = 0; at < json_array_size(runs); at++)
		ff_show_run_line(json_array_get(runs, at));
	if (cursor != NULL)
		printf("%smore: --cursor %s%s\n", ff_style(FF_STYLE_DIM), cursor, ff_style(FF_STYLE_END));
}

static FfExit
runs_list(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *limit = LISTED;
	const char	  *status = NULL;
	const char	  *function = NULL;
	const char	  *cursor = NULL;
	const FfOption options[] = {
		{'n', "limit", "N", "at most so many (default " LISTED ", at most 200)", &limit, NULL,
		 NULL},
		{'s', "status", "STATUS", "pending, running, completed, failed or cancelled", &status, NULL,
		 NULL},
		{'f', "function", "NAME", "runs of this function", &function, NULL, NULL},
		{0, "cursor", "CURSOR", "go on where a page ended", &cursor, NULL, NULL},
		FF_JSON_OPTION(server),
		FF_SERVER_OPTIONS(server),
		{0}};
	const FfUsage usage = {"", "Lists runs, the newest first.", options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);
	FfExit		  result = FF_EXIT_DONE;
	int			  count;
	json_t		 *answer;
	char		 *query;
	char		 *path;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("runs list", "unexpected %s", words.item[0]);
	if (!ff_whole_number(limit, 1, MOST_LISTED, &count))
		return ff_misused("runs list", "--limit is a number from 1 to %d, not %s", MOST_LISTED,
						  limit);
	ff_server_resolve(&server);
	query = list_query(count, status, function, cursor);
	path = ff_text("/api/v1/runs%s", query);
	answer = ff_api(&server, "GET", path, NULL, &result);
	if (answer != NULL && server.json)
		ff_json_print(answer);
	else if (answer != NULL)
		print_runs(answer);
	json_decref(answer);
	free(path);
	free(query);
	return result;
}

/* The answer to GET /api/v1/runs/{id}{rest}. */
static json_t *
get_run(const FfServer *server, const char *id, const char *rest, FfExit *result)
{
	char   *escaped = ff_url_escape(id);
	char   *path = ff_text("/api/v1/runs/%s%s", escaped, rest);
	json_t *answer = ff_api(server, "GET", path, NULL, result);

	free(path);
	free(escaped);
	return answer;
}

static FfExit
print_run(const FfServer *server, const char *id)
{
	FfExit	result = FF_EXIT_DONE;
	json_t *run = get_run(server, id, "", &result);
	json_t *steps = run != NULL ? get_run(server, id, "/steps", &result) : NULL;
	json_t *both;
	FfShown shown;

	if (steps == NULL)
	{
		json_decref(run);
		return result;
	}
	both = json_pack("{s:o, s:O?}", "run", run, "steps", json_object_get(steps, "data"));
	if (server->json)
		ff_json_print(both);
	else
	{
		const char *full = ff_json_text(run, "id");

		ff_shown_init(&shown, full != NULL ? full : id, NULL);
		ff_show_snapshot(&shown, both);
		ff_shown_free(&shown);
	}
	json_decref(steps);
	json_decref(both);
	return FF_EXIT_DONE;
}

/* Reads the options that get and tail share; the id is what *id is left at. FF_PARSE_GO to go on.
 */
static FfParse
read_id(int argc, char **argv, const char *synopsis, const char *about, FfServer *server,
		const char **id)
{
	FfList		   words = {0};
	const FfOption options[] = {FF_JSON_OPTION(*server), FF_SERVER_OPTIONS(*server), {0}};
	const FfUsage  usage = {synopsis, about, options};
	FfParse		   parse = ff_options(argc, argv, &usage, &words, NULL);

	if (parse != FF_PARSE_GO)
		return parse;
	if (words.count > 1)
	{
		ff_misused(argv[0], "unexpected %s", words.item[1]);
		return FF_PARSE_WRONG;
	}
	*id = words.count == 1 ? words.item[0] : NULL;
	ff_server_resolve(server);
	return FF_PARSE_GO;
}

static FfExit
runs_get(int argc, char **argv)
{
	FfServer	server = {0};
	const char *id;
	FfParse		parse = read_id(argc, argv, "ID", "Shows a run and its steps.", &server, &id);

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (id == NULL)
		return ff_misused("runs get", "runs get needs a run's id");
	return print_run(&server, id);
}

/* What tailing all runs remembers between its looks at the list of runs. */
typedef struct Tail
{
	const FfServer *server;
	FfFollow	   *follow;
	bool			begun; /* the list has been seen once */
	int64_t			heard; /* when it was last seen, steady clock */
	FfExit			result;
} Tail;

/* A page of the newest runs, or NULL; tail->result tells whether to go on without it. */
static json_t *
get_page(Tail *tail, const char *cursor)
{
	char   *query = list_query(PAGE, NULL, NULL, cursor);
	char   *path = ff_text("/api/v1/runs%s", query);
	FfReply reply;
	json_t *page = ff_api_ask(tail->server, "GET", path, NULL, &reply);
	bool	away = reply.failure != NULL || reply.status == 429 || reply.status >= 500;

	if (page != NULL)
		tail->heard = ff_steady_clock();
	else if (!tail->begun || !away || ff_steady_clock() - tail->heard > FF_FOLLOW_PATIENCE_MS)
		tail->result = ff_api_tell(tail->server, path, &reply);
	ff_reply_free(&reply);
	free(path);
	free(query);
	return page;
}

/*
 * Follows the new runs of a page, the oldest first, and at the first look those under way. False
 * when it holds one that was known: the pages after it hold nothing new.
 */
static bool
follow_page(Tail *tail, const json_t *page)
{
	const json_t *runs = json_object_get(page, "data");
	bool		  all_new = true;

	for (size_t at = json_array_size(runs); at-- > 0;)
	{
		const json_t *run = json_array_get(runs, at);
		const char	 *id = ff_json_text(run, "id");

		if (id == NULL)
			continue;
		if (!tail->begun && !json_is_null(json_object_get(run, "ended_at")))
			ff_follow_ignore(tail->follow, id);
		else if (!ff_follow_run(tail->follow, id, ff_json_text(run, "function")))
			all_new = false;
	}
	return all_new;
}

/* Looks at the list of runs, from the newest back to those known. */
static void
look_for_runs(Tail *tail)
{
	char *oldest = NULL; /* of the first page */
	char *cursor = NULL;
	bool  more = true;

	while (more && tail->result == FF_EXIT_DONE)
	{
		json_t		 *page = get_page(tail, cursor);
		const json_t *runs = json_object_get(page, "data");
		const char	 *next = ff_json_text(page, "next_cursor");
		const char	 *last = ff_json_text(json_array_get(runs, json_array_size(runs) - 1), "id");

		if (oldest == NULL && last != NULL)
			oldest = ff_copy(last);
		more = page != NULL && follow_page(tail, page) && tail->begun && next != NULL;
		tail->begun |= page != NULL;
		free(cursor);
		cursor = more ? ff_copy(next) : NULL;
		json_decref(page);
	}
	if (oldest != NULL)
		ff_follow_forget(tail->follow, oldest);
	free(oldest);
	free(cursor);
}

static FfExit
tail_all(const FfServer *server)
{
	Tail tail = {.server = server, .follow = ff_follow_open(server, true)};

	look_for_runs(&tail);
	if (tail.result == FF_EXIT_DONE && !server->json)
		fputs("  every run from now on; Ctrl-C ends it\n", stderr);
	while (tail.result == FF_EXIT_DONE)
	{
		int64_t next_look = ff_steady_clock() + TURN_MS;

		while (ff_steady_clock() < next_look)
			ff_follow_turn(tail.follow, (int) (next_look - ff_steady_clock()) + 1);
		if (!ff_flush())
			tail.result = FF_EXIT_FAILED;
		else
			look_for_runs(&tail);
	}
	ff_follow_close(tail.follow);
	return tail.result;
}

static FfExit
runs_tail(int argc, char **argv)
{
	FfServer	server = {0};
	const char *id;
	FfParse		parse = read_id(
			argc, argv, "[ID]",
			"Follows a run until it ends (exit 1 if it fails); without ID every run, until Ctrl-C.",
			&server, &id);
	FfFollow *follow;
	FfExit	  result;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (id == NULL)
		return tail_all(&server);
	follow = ff_follow_open(&server, false);
	ff_follow_run(follow, id, NULL);
	while (ff_follow_turn(follow, TURN_MS) > 0)
		;
	result = ff_follow_result(follow);
	ff_follow_close(follow);
	return result;
}

FfExit
ff_command_runs(int argc, char **argv)
{
	static const FfSubcommand commands[] = {{"list", "runs list", runs_list},
											{"get", "runs get", runs_get},
											{"tail", "runs tail", runs_tail},
											{"explain", "runs explain", ff_runs_explain},
											{"cancel", "runs cancel", ff_runs_cancel},
											{"retry", "runs retry", ff_runs_retry},
											{"replay", "runs replay", ff_runs_replay},
											{"resume", "runs resume", ff_runs_resume},
											{0}};

	return ff_subcommand("runs", "Lists, shows and follows runs, and acts on them", commands, argc,
						 argv);
}
