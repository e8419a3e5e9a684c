/*
 * Helpers of the command line and the settings every command shares: see cli.h.
 */
#define _GNU_SOURCE
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/term.h"

#define ENVIRONMENT_LIMIT 65536

static int64_t
clock_milliseconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
ff_wall_clock(void)
{
	return clock_milliseconds(CLOCK_REALTIME);
}

int64_t
ff_steady_clock(void)
{
	return clock_milliseconds(CLOCK_MONOTONIC);
}

char *
ff_read_file(const char *path, size_t limit)
{
	FILE  *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char  *text;
	size_t length;
	int	   failure;

	if (file == NULL)
		return NULL;
	text = ff_alloc(limit + 2);
	errno = 0;
	length = fread(text, 1, limit + 1, file);
	failure = ferror(file) ? (errno != 0 ? errno : EIO) : length > limit ? EFBIG : 0;
	if (file != stdin)
		fclose(file);
	if (failure != 0)
	{
		free(text);
		errno = failure;
		return NULL;
	}
	return text;
}

void
ff_complain(const char *hint, const char *format, ...)
{
	va_list arguments;

	ff_term_status_clear();
	fflush(stdout);
	fputs("flowforge: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	if (hint != NULL)
		fprintf(stderr, "  → %s\n", hint);
}

bool
ff_flush(void)
{
	static bool failed = false;

	if (!failed && (fflush(stdout) != 0 || ferror(stdout)))
	{
		failed = true;
		if (errno != EPIPE)
			fprintf(stderr, "flowforge: cannot write the results: %s\n", strerror(errno));
	}
	return !failed;
}

/* The value of NAME in a text of NAME=value lines, or NULL. */
static char *
line_value(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = text; line != NULL && *line != '\0';)
	{
		const char *end = strchrnul(line, '\n');

		if (strncmp(line, name, length) == 0 && line[length] == '=')
			return strndup(line + length + 1, (size_t) (end - line) - length - 1);
		line = *end == '\n' ? end + 1 : NULL;
	}
	return NULL;
}

/* What `flowforge dev` wrote in this directory or the nearest one above it; NULL when there is
 * none. */
static char *
dev_environment(void)
{
	char *directory = getcwd(NULL, 0);
	char *text = NULL;

	while (directory != NULL && text == NULL)
	{
		char *path = ff_text("%s/" FF_DEV_DIRECTORY "/" FF_DEV_ENVIRONMENT, directory);
		char *slash = strrchr(directory, '/');

		text = ff_read_file(path, ENVIRONMENT_LIMIT);
		free(path);
		if (slash == NULL || directory[0] == '\0')
			break;
		*slash = '\0';
	}
	free(directory);
	return text;
}

static void
resolve(const char **setting, const char *name, const char *file)
{
	const char *value = getenv(name);

	if (*setting == NULL && value != NULL && value[0] != '\0')
		*setting = value;
	if (*setting == NULL && file != NULL)
		*setting = line_value(file, name);
}

void
ff_server_resolve(FfServer *server)
{
	char  *file = dev_environment();
	size_t length;

	resolve(&server->url, "FLOWFORGE_URL", file);
	resolve(&server->database_url, "FLOWFORGE_DATABASE_URL", file);
	resolve(&server->event_key, "FLOWFORGE_EVENT_KEY", file);
	resolve(&server->signing_key, "FLOWFORGE_SIGNING_KEY", file);
	resolve(&server->api_key, "FLOWFORGE_API_KEY", file);
	free(file);

	if (server->url == NULL)
		server->url = ff_text("http://127.0.0.1:%d", FF_DEFAULT_PORT);
	length = strlen(server->url);
	while (length > 0 && server->url[length - 1] == '/')
		length--;
	server->url = strndup(server->url, length);
}
