/*
 * PostgreSQL's programs on this machine: see programs.h.
 */
#define _GNU_SOURCE
#include "cli/programs.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

#ifndef FF_PG_BINDIR
#define FF_PG_BINDIR ""
#endif

static bool
has_postgres(const char *directory)
{
	char *path = ff_text("%s/postgres", directory);
	bool  found = directory[0] != '\0' && access(path, X_OK) == 0;

	free(path);
	return found;
}

/* The first line a command prints, without its end; NULL when it fails. To be freed. */
static char *
first_line(const char *command)
{
	FILE *pipe = popen(command, "re");
	char  line[PATH_MAX] = "";
	bool  read;

	if (pipe == NULL)
		return NULL;
	read = fgets(line, sizeof(line), pipe) != NULL;
	if (pclose(pipe) != 0 || !read)
		return NULL;
	line[strcspn(line, "\n")] = '\0';
	return ff_copy(line);
}

char *
ff_programs(void)
{
	const char *given = getenv("FLOWFORGE_PG_BINDIR");
	char	   *found;

	if (given != NULL && given[0] != '\0')
		return has_postgres(given) ? ff_copy(given) : NULL;
	if (has_postgres(FF_PG_BINDIR))
		return ff_copy(FF_PG_BINDIR);
	found = first_line("pg_config --bindir 2>/dev/null");
	if (found != NULL && has_postgres(found))
		return found;
	free(found);
	return NULL;
}

void
ff_programs_version(const char *directory, char version[32])
{
	char *command = ff_text("'%s/postgres' --version", directory);
	char *line = first_line(command);

	version[0] = '\0';
	if (line != NULL)
		sscanf(line, "postgres (PostgreSQL) %31s", version);
	free(line);
	free(command);
}
