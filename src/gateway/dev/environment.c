/*
 * What children, and the other commands, find in their environment or in the directory of
 * `flowforge dev`.
 */
#define _GNU_SOURCE
#include "dev/dev.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

char *
ff_dev_program(void)
{
	char	self[PATH_MAX] = "";
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char   *path = ff_copy(getenv("PATH") != NULL ? getenv("PATH") : "");
	char   *found = NULL;

	self[length > 0 ? length : 0] = '\0';
	for (char *directory = strtok(path, ":"); directory != NULL && found == NULL;
		 directory = strtok(NULL, ":"))
	{
		char *candidate = ff_text("%s/flowforge", directory);

		found = realpath(candidate, NULL);
		free(candidate);
	}
	free(path);
	if (found != NULL && strcmp(found, self) == 0)
		return ff_text("flowforge");
	return ff_copy(self);
}

void
ff_dev_set_environment(const FfDev *dev)
{
	char   *local = ff_text("http://localhost:%d", dev->port);
	char	self[PATH_MAX] = "";
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char   *slash;

	setenv("FLOWFORGE_URL", dev->server.url, 1);
	setenv("FLOWFORGE_DATABASE_URL", dev->server.database_url, 1);
	setenv("FLOWFORGE_EVENT_KEY", dev->server.event_key, 1);
	if (dev->server.signing_key != NULL)
	{
		setenv("FLOWFORGE_SIGNING_KEY", dev->server.signing_key, 1);
		setenv("INNGEST_BASE_URL", local, 1);
		setenv("INNGEST_EVENT_KEY", dev->server.event_key, 1);
		setenv("INNGEST_SIGNING_KEY", dev->server.signing_key, 1);
	}
	else
		setenv("INNGEST_DEV", local, 1);
	self[length > 0 ? length : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash != NULL && dev->program[0] == '/')
	{
		char *path;

		*slash = '\0';
		path = ff_text("%s:%s", self, getenv("PATH") != NULL ? getenv("PATH") : "/usr/bin:/bin");
		setenv("PATH", path, 1);
		free(path);
	}
	free(local);
}

int
ff_dev_open_log(const FfDev *dev, const char *name)
{
	char *path;
	int	  log;

	if (!dev->has_cluster)
		return -1;
	path = ff_text("%s/%s", dev->cluster.log, name);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	free(path);
	return log;
}

void
ff_dev_leave_word(const FfDev *dev)
{
	char *path = ff_text("%s/" FF_DEV_ENVIRONMENT, dev->cluster.home);
	FILE *file;

	unlink(path);
	file = fopen(path, "we");
	if (file != NULL)
	{
		if (dev->server.signing_key != NULL)
			fchmod(fileno(file), 0600);
		fprintf(file, "FLOWFORGE_URL=%s\nFLOWFORGE_DATABASE_URL=%s\nFLOWFORGE_EVENT_KEY=%s\n",
				dev->server.url, dev->server.database_url, dev->server.event_key);
		if (dev->server.signing_key != NULL)
			fprintf(file, "FLOWFORGE_SIGNING_KEY=%s\n", dev->server.signing_key);
		fclose(file);
	}
	free(path);
}

void
ff_dev_take_word_back(const FfDev *dev)
{
	char *path = ff_text("%s/" FF_DEV_ENVIRONMENT, dev->cluster.home);

	unlink(path);
	free(path);
}
