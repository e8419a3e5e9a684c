/*
 * Runs as a person reads them: see show.h.
 *
 * A line of a followed run is: time since the run was created, a mark, the step's name, what
 * happened. Waiting for a step's turn is not worth a line; everything that took effect is.
 */
#define _GNU_SOURCE
#include "command/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/http.h"
#include "cli/term.h"

#define NAME_COLUMNS 28
#define FAR_MS (300LL * 86400 * 1000)
#define LABEL_COLUMNS 22
#define TIME_COLUMNS 10

/* A line's mark and the style it is printed in. */
typedef struct Mark
{
	const char *sign;
	FfStyle		style;
} Mark;

static const Mark mark_begun = {"▸", FF_STYLE_NAME};
static const Mark mark_done = {"✓", FF_STYLE_GOOD};
static const Mark mark_failed = {"✗", FF_STYLE_BAD};
static const Mark mark_again = {"↻", FF_STYLE_WARN};
static const Mark mark_idle = {"◷", FF_STYLE_DIM};
static const Mark mark_stopped = {"■", FF_STYLE_WARN};

void
ff_shown_init(FfShown *shown, const char *run_id, const char *function)
{
	memset(shown, 0, sizeof(*shown));
	shown->run_id = ff_copy(run_id);
	shown->function = ff_copy(function != NULL ? function : "run");
	shown->names = json_object();
}

void
ff_shown_free(FfShown *shown)
{
	free(shown->run_id);
	free(shown->function);
	free(shown->doing);
	json_decref(shown->names);
}

static void
line(FfShown *shown, int64_t at, Mark mark, const char *what, const char *detail)
{
	char		buffer[32];
	char	   *name = ff_term_clean(what, 0);
	char	   *label = ff_term_clean(shown->labelled ? shown->function : "", LABEL_COLUMNS);
	int			used = 2 + TIME_COLUMNS + 3 + NAME_COLUMNS + 1;
	const char *time = at > 0 && shown->created > 0
						   ? ff_term_duration(buffer, (double) (at - shown->created))
						   : "";

	ff_term_status_clear();
	printf("  ");
	if (shown->labelled)
	{
		ff_term_cell(stdout, FF_STYLE_NAME, label, LABEL_COLUMNS);
		used += LABEL_COLUMNS;
	}
	printf("%s%*s%s %s%s%s ", ff_style(FF_STYLE_DIM), TIME_COLUMNS, time, ff_style(FF_STYLE_END),
		   ff_style(mark.style), mark.sign, ff_style(FF_STYLE_END));
	ff_term_cell(stdout, FF_STYLE_END, name,
				 detail != NULL && detail[0] != '\0' ? NAME_COLUMNS : 0);
	if (detail != NULL && detail[0] != '\0')
	{
		char *text = ff_term_clean(detail, ff_term_room(used));

		printf(" %s%s%s", ff_style(FF_STYLE_DIM), text, ff_style(FF_STYLE_END));
		free(text);
	}
	putchar('\n');
	ff_flush();
	free(label);
	free(name);
}

/* What a step that has not ended does now (NULL: it has ended). */
static void
set_doing(FfShown *shown, const char *name, const char *what)
{
	free(shown->doing);
	shown->doing = what != NULL ? ff_text("%s %s", name, what) : NULL;
}

char *
ff_show_progress(const FfShown *shown)
{
	char  duration[32] = "";
	char *text;

	if (shown->created > 0)
		ff_term_duration(duration, (double) (ff_wall_clock() - shown->created));
	text = ff_text("%s %s · %d step%s done%s%s", shown->function, duration, shown->finished,
				   shown->finished == 1 ? "" : "s", shown->doing != NULL ? " · " : "",
				   shown->doing != NULL ? shown->doing : "");
	return text;
}

/* "message" of an error as the protocol has it, or its JSON. To be freed. */
static char *
error_text(const json_t *error)
{
	const char *message = ff_json_text(error, "message");
	const char *name = ff_json_text(error, "name");

	if (json_is_string(error))
		return ff_copy(json_string_value(error));
	if (message == NULL)
		return error == NULL || json_is_null(error) ? ff_text("no explanation")
													: ff_json_dump(error);
	if (name != NULL && strcmp(name, "Error") != 0)
		return ff_text("%s: %s", name, message);
	return ff_copy(message);
}

/* A step's name, from what is at hand or was heard before. */
static const char *
step_name(FfShown *shown, const char *id, const json_t *described)
{
	const char *name = ff_json_text(described, "name");

	if (id == NULL)
		return name != NULL ? name : "step";
	if (name != NULL)
		json_object_set_new(shown->names, id, json_string(name));
	else
		name = ff_json_text(shown->names, id);
	return name != NULL ? name : id;
}

/* "in 2.0 s", or "" for what is past, far off or not known. In a buffer of 48 bytes. */
static const char *
due_text(char buffer[48], int64_t due, int64_t now)
{
	char duration[32];

	buffer[0] = '\0';
	if (due > now && due - now < FAR_MS)
		snprintf(buffer, 48, "in %s", ff_term_duration(duration, (double) (due - now)));
	return buffer;
}

/* A finished step: which attempt, how long, or why it failed. To be freed. */
static char *
finish_text(int attempt, int64_t took, const json_t *error)
{
	char  duration[32] = "";
	char *why = error != NULL ? error_text(error) : ff_copy("");
	char *text;

	if (error == NULL && took >= 0)
		ff_term_duration(duration, (double) took);
	text = attempt > 0 ? ff_text("attempt %d%s%s%s", attempt + 1,
								 why[0] != '\0' || duration[0] != '\0' ? " · " : "", why, duration)
					   : ff_text("%s%s", why, duration);
	free(why);
	return text;
}

/* Why a step or call is tried again, and when. To be freed. */
static char *
retry_text(const json_t *error, const char *due)
{
	char *why = error_text(error);
	char *text = ff_text("%s · tried again%s%s", why, due[0] != '\0' ? " " : "", due);

	free(why);
	return text;
}

static void
show_step(FfShown *shown, const json_t *step)
{
	const char	 *status = ff_json_text(step, "status");
	const char	 *name = step_name(shown, ff_json_text(step, "step_id"), step);
	const json_t *error = json_object_get(step, "error");
	int			  attempt = (int) json_integer_value(json_object_get(step, "attempt"));
	int64_t		  started = ff_json_time(json_object_get(step, "started_at"));
	int64_t		  ended = ff_json_time(json_object_get(step, "ended_at"));
	char		  due[48];
	char		 *detail;

	due_text(due, ff_json_time(json_object_get(step, "due_at")), ff_wall_clock());
	if (status == NULL || strcmp(status, "pending") == 0 || strcmp(status, "running") == 0)
		return;
	if (strcmp(status, "completed") == 0 || strcmp(status, "failed") == 0)
	{
		bool failed = strcmp(status, "failed") == 0;

		shown->finished++;
		detail = finish_text(attempt, started > 0 && ended > 0 ? ended - started : -1,
							 failed ? error : NULL);
		line(shown, ended, failed ? mark_failed : mark_done, name, detail);
	}
	else if (strcmp(status, "retrying") == 0)
	{
		detail = retry_text(error, due);
		set_doing(shown, name, "is tried again");
		line(shown, started, mark_again, name, detail);
	}
	else
	{
		detail = ff_text("%s %s", status, due);
		set_doing(shown, name, status);
		line(shown, started, mark_idle, name, detail);
	}
	free(detail);
}

static int
by_end(const void *left, const void *right)
{
	int64_t a = ff_json_time(json_object_get(*(json_t *const *) left, "ended_at"));
	int64_t b = ff_json_time(json_object_get(*(json_t *const *) right, "ended_at"));

	a = a == 0 ? INT64_MAX : a;
	b = b == 0 ? INT64_MAX : b;
	return a < b ? -1 : a > b;
}

static void
show_steps(FfShown *shown, const json_t *steps)
{
	size_t	 count = json_array_size(steps);
	json_t **sorted = ff_alloc(sizeof(json_t *) * (count + 1));

	for (size_t at = 0; at < count; at++)
		sorted[at] = json_array_get(steps, at);
	qsort(sorted, count, sizeof(json_t *), by_end);
	for (size_t at = 0; at < count; at++)
		show_step(shown, sorted[at]);
	free(sorted);
}

/* The last line of a run. */
static void
show_end(FfShown *shown, int64_t at, const char *status, const json_t *output, const json_t *error)
{
	char *detail = NULL;

	if (strcmp(status, "completed") == 0)
	{
		detail = output != NULL && !json_is_null(output) ? ff_json_dump(output) : NULL;
		line(shown, at, mark_done, "completed", detail);
	}
	else if (strcmp(status, "failed") == 0)
	{
		detail = error_text(error);
		line(shown, at, mark_failed, "failed", detail);
	}
	else
		line(shown, at, mark_stopped, status, NULL);
	free(detail);
}

static bool
is_end(const char *status)
{
	return strcmp(status, "completed") == 0 || strcmp(status, "failed") == 0 ||
		   strcmp(status, "cancelled") == 0;
}

/* The first line of a run. */
static void
show_begin(FfShown *shown, int64_t at)
{
	shown->created = at;
	line(shown, at, mark_begun, shown->function, shown->run_id);
}

void
ff_show_snapshot(FfShown *shown, const json_t *snapshot)
{
	const json_t *run = json_object_get(snapshot, "run");
	const char	 *function = ff_json_text(run, "function");
	const char	 *status = ff_json_text(run, "status");

	if (function != NULL)
	{
		free(shown->function);
		shown->function = ff_copy(function);
	}
	show_begin(shown, ff_json_time(json_object_get(run, "created_at")));
	show_steps(shown, json_object_get(snapshot, "steps"));
	if (status != NULL && is_end(status))
		show_end(shown, ff_json_time(json_object_get(run, "ended_at")), status,
				 json_object_get(run, "output"), json_object_get(run, "error"));
}

/* When what a step waits for is due at the latest: functions say it in one way, workflows in
 * another. */
static int64_t
due_time(const json_t *data, int64_t at)
{
	const json_t *backoff = json_object_get(data, "backoff_seconds");
	int64_t		  due = ff_json_time(json_object_get(data, "due"));

	if (due == 0)
		due = ff_json_time(json_object_get(data, "until"));
	return due == 0 && backoff != NULL ? at + (int64_t) (json_number_value(backoff) * 1000) : due;
}

/* What a step that has not finished is doing. */
static void
show_pause(FfShown *shown, const char *type, const char *name, int64_t at, const json_t *data)
{
	const char *status = ff_json_text(data, "status");
	char		due[48];
	char	   *detail;

	due_text(due, due_time(data, at), at);
	if (strcmp(type, "step.retrying") == 0)
	{
		set_doing(shown, name, "is tried again");
		detail = retry_text(json_object_get(data, "error"), due);
		line(shown, at, mark_again, name, detail);
	}
	else if (strcmp(type, "step.sleeping") == 0 ||
			 (strcmp(type, "step.waiting") == 0 && status != NULL &&
			  strcmp(status, "sleeping") == 0))
	{
		set_doing(shown, name, "sleeps");
		detail = ff_text("sleeps%s", due[0] != '\0' ? due + 2 : "");
		line(shown, at, mark_idle, name, detail);
	}
	else if (strcmp(type, "step.waiting") == 0)
	{
		set_doing(shown, name, "waits");
		detail =
			ff_text("waits%s%s", due[0] != '\0' ? " at most" : "", due[0] != '\0' ? due + 2 : "");
		line(shown, at, mark_idle, name, detail);
	}
	else if (strcmp(type, "step.resumed") == 0)
	{
		const char *by = ff_json_text(data, "by");

		detail = ff_text("resumed%s%s", by != NULL ? " by " : "", by != NULL ? by : "");
		line(shown, at, mark_idle, name, detail);
	}
	else
		return;
	free(detail);
}

void
ff_show_event(FfShown *shown, const json_t *event)
{
	const char	 *type = ff_json_text(event, "type");
	const json_t *data = json_object_get(event, "data");
	int64_t		  at = ff_json_time(json_object_get(event, "at"));
	const char	 *name;

	if (type == NULL)
		return;
	if (strcmp(type, "run.created") == 0)
		show_begin(shown, at);
	if (strcmp(type, "run.paused") == 0)
		line(shown, at, mark_idle, "the run is paused", ff_json_text(data, "reason"));
	if (strncmp(type, "run.", 4) == 0 && is_end(type + 4))
	{
		show_end(shown, at, type + 4, json_object_get(data, "output"),
				 json_object_get(data, "error"));
		return;
	}
	if (strcmp(type, "run.retrying") == 0)
	{
		char  due[48];
		char *detail = retry_text(json_object_get(data, "error"),
								  due_text(due, ff_json_time(json_object_get(data, "due")), at));

		line(shown, at, mark_again, "the function", detail);
		free(detail);
	}
	/* What a model says as it comes is shown when it is whole. */
	if (strncmp(type, "step.", 5) != 0 || strcmp(type, "step.delta") == 0)
		return;
	name = step_name(shown, ff_json_text(event, "step_id"), event);
	if (strcmp(type, "step.completed") == 0 || strcmp(type, "step.failed") == 0)
	{
		bool  failed = strcmp(type, "step.failed") == 0;
		char *detail = finish_text((int) json_integer_value(json_object_get(event, "attempt")), -1,
								   failed ? json_object_get(data, "error") : NULL);

		shown->finished++;
		set_doing(shown, name, NULL);
		line(shown, at, failed ? mark_failed : mark_done, name, detail);
		free(detail);
	}
	else
		show_pause(shown, type, name, at, data);
}

/* "3 s ago" for the list. In a buffer of 48 bytes. */
static const char *
ago_text(char buffer[48], int64_t at)
{
	char duration[32];

	buffer[0] = '\0';
	if (at > 0 && ff_wall_clock() - at < 60000)
		snprintf(buffer, 48, "%d s ago", (int) ((ff_wall_clock() - at) / 1000));
	else if (at > 0)
		snprintf(buffer, 48, "%s ago", ff_term_duration(duration, (double) (ff_wall_clock() - at)));
	return buffer;
}

void
ff_show_run_head(void)
{
	printf("%s%-36s  %-9s  %-28s %-24s %-14s %s%s\n", ff_style(FF_STYLE_DIM), "run", "status",
		   "function", "event", "created", "took", ff_style(FF_STYLE_END));
}

static FfStyle
status_style(const char *status)
{
	if (strcmp(status, "completed") == 0)
		return FF_STYLE_GOOD;
	if (strcmp(status, "failed") == 0)
		return FF_STYLE_BAD;
	return strcmp(status, "cancelled") == 0 ? FF_STYLE_WARN : FF_STYLE_NAME;
}

static void
cell(const json_t *run, const char *key, int columns)
{
	const char *value = ff_json_text(run, key);
	char	   *text = ff_term_clean(value != NULL ? value : "-", columns);

	ff_term_cell(stdout, FF_STYLE_END, text, columns + 1);
	free(text);
}

void
ff_show_run_line(const json_t *run)
{
	const char *status = ff_json_text(run, "status");
	int64_t		created = ff_json_time(json_object_get(run, "created_at"));
	int64_t		ended = ff_json_time(json_object_get(run, "ended_at"));
	char		buffer[48];

	status = status != NULL ? status : "-";
	cell(run, "id", 36);
	putchar(' ');
	ff_term_cell(stdout, status_style(status), status, 11);
	cell(run, "function", 28);
	cell(run, "event_name", 24 - 1);
	putchar(' ');
	ff_term_cell(stdout, FF_STYLE_DIM, ago_text(buffer, created), 15);
	if (ended > 0)
		printf("%s%s%s", ff_style(FF_STYLE_DIM),
			   ff_term_duration(buffer, (double) (ended - created)), ff_style(FF_STYLE_END));
	putchar('\n');
}
