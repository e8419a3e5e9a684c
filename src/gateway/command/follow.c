/*
 * Runs followed live: see follow.h.
 *
 * Each followed run is a stream (GET /api/v1/runs/{id}/stream, Server-Sent Events). Its first
 * message is a snapshot, unless the run is shown from its first event on; the others are run
 * events numbered without a gap; after a break it is
 * asked for again with Last-Event-ID, so nothing is missed or shown twice. A stream is in one of
 * three states: open (a transfer is under way), resting (to be opened again at a time), over.
 */
#define _GNU_SOURCE
#include "command/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/http.h"
#include "cli/signature.h"
#include "cli/term.h"
#include "command/show.h"

#define MESSAGE_LIMIT (16 * 1024 * 1024)
#define REST_MS 500
#define BEAT_MS 120 /* how often the status of a terminal is drawn */

typedef enum StreamState
{
	STREAM_OPEN,
	STREAM_RESTING,
	STREAM_OVER
} StreamState;

typedef struct Stream
{
	struct Stream	  *next;
	struct FfFollow	  *follow;
	FfShown			   shown;
	StreamState		   state;
	int64_t			   rest_until; /* resting: when to open again, steady clock */
	int64_t			   heard;	   /* when something came last, steady clock */
	CURL			  *curl;
	struct curl_slist *headers;
	char			  *line; /* what has arrived of the current line */
	size_t			   length;
	char			  *type; /* of the current message */
	char			  *data;
	char			  *last_id;
	bool			   snapshot; /* the snapshot has been shown */
} Stream;

struct FfFollow
{
	const FfServer *server;
	bool			patient;
	bool			whole; /* runs are shown from their first event, not from a snapshot */
	CURLM		   *multi;
	Stream		   *streams;
	int				count;
	FfExit			result;
};

FfFollow *
ff_follow_open(const FfServer *server, bool patient)
{
	FfFollow *follow = ff_alloc(sizeof(FfFollow));

	follow->server = server;
	follow->patient = patient;
	follow->multi = curl_multi_init();
	return follow;
}

void
ff_follow_whole(FfFollow *follow)
{
	follow->whole = !follow->server->json;
}

static void
end_transfer(Stream *stream)
{
	if (stream->curl == NULL)
		return;
	curl_multi_remove_handle(stream->follow->multi, stream->curl);
	curl_easy_cleanup(stream->curl);
	curl_slist_free_all(stream->headers);
	stream->curl = NULL;
	stream->headers = NULL;
}

static void
replace(char **text, char *with)
{
	free(*text);
	*text = with;
}

static void
finish(Stream *stream, FfExit result)
{
	stream->state = STREAM_OVER;
	if (result > stream->follow->result)
		stream->follow->result = result;
}

static void
free_stream(Stream *stream)
{
	end_transfer(stream);
	ff_shown_free(&stream->shown);
	free(stream->line);
	free(stream->type);
	free(stream->data);
	free(stream->last_id);
	free(stream);
}

void
ff_follow_forget(FfFollow *follow, const char *before)
{
	Stream **at = &follow->streams;

	while (*at != NULL)
	{
		Stream *stream = *at;

		if (stream->state != STREAM_OVER || strcmp(stream->shown.run_id, before) >= 0)
			at = &stream->next;
		else
		{
			*at = stream->next;
			free_stream(stream);
		}
	}
}

void
ff_follow_close(FfFollow *follow)
{
	for (Stream *stream = follow->streams, *next; stream != NULL; stream = next)
	{
		next = stream->next;
		free_stream(stream);
	}
	curl_multi_cleanup(follow->multi);
	free(follow);
}

/* Whether a run in this state, as a status or the type of its last event, has ended; and how. */
static bool
ended(const char *status, FfExit *result)
{
	if (status == NULL)
		return false;
	if (strncmp(status, "run.", 4) == 0)
		status += 4;
	*result = strcmp(status, "completed") == 0 ? FF_EXIT_DONE : FF_EXIT_FAILED;
	return strcmp(status, "completed") == 0 || strcmp(status, "failed") == 0 ||
		   strcmp(status, "cancelled") == 0;
}

static void
print_message(Stream *stream, json_t *message, bool is_snapshot)
{
	if (stream->follow->server->json)
	{
		json_object_set_new(message, "run_id", json_string(stream->shown.run_id));
		ff_json_print(message);
	}
	else if (!is_snapshot)
		ff_show_event(&stream->shown, message);
	else if (!stream->snapshot)
		ff_show_snapshot(&stream->shown, message);
}

/* A whole message has arrived. */
static void
handle_message(Stream *stream)
{
	bool		is_snapshot = stream->type != NULL && strcmp(stream->type, "snapshot") == 0;
	json_t	   *message = stream->data != NULL ? json_loads(stream->data, 0, NULL) : NULL;
	const char *status;
	FfExit		result;

	if (message != NULL)
	{
		print_message(stream, message, is_snapshot);
		status =
			is_snapshot ? ff_json_text(json_object_get(message, "run"), "status") : stream->type;
		if (is_snapshot)
			stream->snapshot = true;
		if (ended(status, &result) && (is_snapshot || strncmp(status, "run.", 4) == 0))
			finish(stream, result);
		json_decref(message);
	}
	replace(&stream->type, NULL);
	replace(&stream->data, NULL);
}

/* One line of an event stream, by the rules of the HTML standard's section on server-sent events.
 */
static void
handle_line(Stream *stream, const char *line)
{
	const char *value = strchrnul(line, ':');
	size_t		name = (size_t) (value - line);

	if (*value == ':')
		value += value[1] == ' ' ? 2 : 1;
	if (line[0] == '\0')
		handle_message(stream);
	else if (name == 2 && strncmp(line, "id", 2) == 0)
		replace(&stream->last_id, ff_copy(value));
	else if (name == 5 && strncmp(line, "event", 5) == 0)
		replace(&stream->type, ff_copy(value));
	else if (name == 4 && strncmp(line, "data", 4) == 0)
		replace(&stream->data,
				stream->data != NULL ? ff_text("%s\n%s", stream->data, value) : ff_copy(value));
}

static size_t
take_bytes(char *bytes, size_t size, size_t count, void *context)
{
	Stream *stream = context;
	size_t	length = size * count;
	long	status = 0;

	curl_easy_getinfo(stream->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status == 200)
		stream->heard = ff_steady_clock();
	if (stream->length + length > MESSAGE_LIMIT)
		return 0;
	stream->line = realloc(stream->line, stream->length + length + 1);
	if (stream->line == NULL)
		abort();
	memcpy(stream->line + stream->length, bytes, length);
	stream->length += length;
	stream->line[stream->length] = '\0';
	return length;
}

/* Handles the whole lines that have arrived and keeps the rest. */
static void
handle_bytes(Stream *stream)
{
	size_t done = 0;
	char  *end;

	while (stream->state != STREAM_OVER && done < stream->length &&
		   (end = memchr(stream->line + done, '\n', stream->length - done)) != NULL)
	{
		char *line = stream->line + done;

		*end = '\0';
		if (end > line && end[-1] == '\r')
			end[-1] = '\0';
		handle_line(stream, line);
		done = (size_t) (end + 1 - stream->line);
	}
	if (done == 0)
		return;
	stream->length -= done;
	memmove(stream->line, stream->line + done, stream->length + 1);
}

static void
open_stream(Stream *stream)
{
	char *id = ff_url_escape(stream->shown.run_id);
	char *url = ff_text("%s/api/v1/runs/%s/stream", stream->follow->server->url, id);
	char *authorization = ff_api_authorization(stream->follow->server);
	char *resume = stream->last_id != NULL ? ff_text("last-event-id: %s", stream->last_id) : NULL;

	stream->curl = curl_easy_init();
	stream->headers = curl_slist_append(NULL, "accept: text/event-stream");
	if (authorization != NULL)
		stream->headers = curl_slist_append(stream->headers, authorization);
	if (resume != NULL)
		stream->headers = curl_slist_append(stream->headers, resume);
	curl_easy_setopt(stream->curl, CURLOPT_URL, url);
	curl_easy_setopt(stream->curl, CURLOPT_HTTPHEADER, stream->headers);
	curl_easy_setopt(stream->curl, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(stream->curl, CURLOPT_WRITEDATA, stream);
	curl_easy_setopt(stream->curl, CURLOPT_PRIVATE, stream);
	curl_easy_setopt(stream->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(stream->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(stream->curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
	curl_easy_setopt(stream->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_multi_add_handle(stream->follow->multi, stream->curl);
	stream->state = STREAM_OPEN;
	stream->length = 0;
	replace(&stream->type, NULL);
	replace(&stream->data, NULL);
	free(resume);
	free(authorization);
	free(url);
	free(id);
}

/* A stream that is not open yet at the end of the list; NULL when there is one for this run
 * already. */
static Stream *
add_stream(FfFollow *follow, const char *run_id, const char *function)
{
	Stream	*stream;
	Stream **last = &follow->streams;

	for (; *last != NULL; last = &(*last)->next)
	{
		if (strcmp((*last)->shown.run_id, run_id) == 0)
			return NULL;
	}
	stream = ff_alloc(sizeof(Stream));
	stream->follow = follow;
	stream->state = STREAM_OVER;
	ff_shown_init(&stream->shown, run_id, function);
	*last = stream;
	return stream;
}

bool
ff_follow_run(FfFollow *follow, const char *run_id, const char *function)
{
	Stream *stream = add_stream(follow, run_id, function);

	if (stream == NULL)
		return false;
	stream->heard = ff_steady_clock();
	if (follow->whole)
		stream->last_id = ff_text("0");
	if (++follow->count > 1)
	{
		for (Stream *each = follow->streams; each != NULL; each = each->next)
			each->shown.labelled = true;
	}
	open_stream(stream);
	return true;
}

void
ff_follow_ignore(FfFollow *follow, const char *run_id)
{
	add_stream(follow, run_id, NULL);
}

static bool
is_event_stream(const Stream *stream)
{
	const char *type = NULL;

	curl_easy_getinfo(stream->curl, CURLINFO_CONTENT_TYPE, &type);
	return type != NULL && strncmp(type, "text/event-stream", 17) == 0;
}

/* Whether to ask again: the stream broke, or the server is away or too busy, for the moment. */
static bool
may_recover(const Stream *stream, long status)
{
	if (ff_steady_clock() - stream->heard > FF_FOLLOW_PATIENCE_MS)
		return false;
	if (status == 200)
		return is_event_stream(stream);
	return (stream->snapshot || stream->follow->patient) &&
		   (status == 0 || status == 429 || status >= 500);
}

static void
rest(Stream *stream)
{
	stream->state = STREAM_RESTING;
	stream->rest_until = ff_steady_clock() + REST_MS;
}

/* A transfer has ended: the run is unknown, or the stream broke and is opened again after a rest.
 */
static void
handle_end(Stream *stream, CURLcode code)
{
	FfReply reply = {.body = stream->line != NULL ? stream->line : "", .length = stream->length};
	bool	again;

	if (stream->state == STREAM_OVER)
	{
		end_transfer(stream);
		return;
	}
	curl_easy_getinfo(stream->curl, CURLINFO_RESPONSE_CODE, &reply.status);
	again = may_recover(stream, reply.status);
	end_transfer(stream);
	if (again)
		rest(stream);
	else if (code != CURLE_OK)
		finish(stream, ff_api_unreachable(stream->follow->server, curl_easy_strerror(code)));
	else if (reply.status == 200)
	{
		ff_complain("is FLOWFORGE_URL the address of a FlowForge gateway?",
					"%s did not answer with the run's events", stream->follow->server->url);
		finish(stream, FF_EXIT_FAILED);
	}
	else
		finish(stream, ff_api_complain(stream->shown.run_id, &reply));
}

/* What the streams have come to since the last look. */
static void
handle_streams(FfFollow *follow)
{
	CURLMsg *message;
	int		 left;

	for (Stream *stream = follow->streams; stream != NULL; stream = stream->next)
	{
		long status = 0;

		if (stream->state == STREAM_OPEN)
			curl_easy_getinfo(stream->curl, CURLINFO_RESPONSE_CODE, &status);
		if (status == 200 && is_event_stream(stream))
			handle_bytes(stream);
	}
	while ((message = curl_multi_info_read(follow->multi, &left)) != NULL)
	{
		Stream	*stream;
		CURLcode code = message->data.result;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &stream);
		handle_end(stream, code);
	}
}

/* Below the lines of the runs: how far they are. Of several, how many there are and the first. */
static void
draw_status(const FfFollow *follow, int followed)
{
	static const char *const beat[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
	const Stream			*stream = follow->streams;
	char					*progress;
	char					*text;

	while (stream != NULL && stream->state == STREAM_OVER)
		stream = stream->next;
	if (follow->server->json || !ff_term_is_live() || stream == NULL)
		return;
	progress = stream->state == STREAM_RESTING ? ff_text("waiting for the server")
											   : ff_show_progress(&stream->shown);
	text = followed > 1 ? ff_text("%s %d runs · %s", beat[ff_steady_clock() / BEAT_MS % 10],
								  followed, progress)
						: ff_text("%s %s", beat[ff_steady_clock() / BEAT_MS % 10], progress);
	ff_term_status(text);
	free(text);
	free(progress);
}

int
ff_follow_turn(FfFollow *follow, int timeout_ms)
{
	int running;
	int followed = 0;

	if (ff_term_is_live() && !follow->server->json && timeout_ms > BEAT_MS &&
		follow->streams != NULL)
		timeout_ms = BEAT_MS;
	curl_multi_poll(follow->multi, NULL, 0, timeout_ms, NULL);
	curl_multi_perform(follow->multi, &running);
	handle_streams(follow);
	for (Stream *stream = follow->streams; stream != NULL; stream = stream->next)
	{
		if (stream->state == STREAM_OVER)
			end_transfer(stream);
		else
			followed++;
		if (stream->state == STREAM_RESTING && ff_steady_clock() >= stream->rest_until)
			open_stream(stream);
	}
	if (running > 0)
		curl_multi_perform(follow->multi, &running);
	if (followed > 0)
		draw_status(follow, followed);
	else
		ff_term_status_clear();
	if (!ff_flush())
	{
		follow->result = FF_EXIT_FAILED;
		return 0;
	}
	return followed;
}

FfExit
ff_follow_result(const FfFollow *follow)
{
	return follow->result;
}
