/*
 * What the gateway answers besides the API, as `serve` and `dev` are told it: see web.h.
 */
#define _GNU_SOURCE
#include "serve/web.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reply/cors.h"
#include "reply/static.h"

static const char *
from_environment(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* A list in one variable, its items parted by commas or blanks. */
static void
split(FfList *list, const char *text)
{
	char *rest = ff_copy(text);
	char *item;

	while ((item = strsep(&rest, ", ")) != NULL)
	{
		if (item[0] != '\0')
			ff_list_add(list, item);
	}
}

static bool
settle_origins(const char *command, FfList *origins, FfConfig *config)
{
	const char *given = from_environment("FLOWFORGE_CORS_ORIGIN");

	if (origins->count == 0 && given != NULL)
		split(origins, given);
	for (int at = 0; at < origins->count; at++)
	{
		if (ff_cors_is_origin(origins->item[at]))
			continue;
		ff_misused(command, "%s is no origin, such as https://app.example.com or *",
				   origins->item[at]);
		return false;
	}
	config->origins = origins->item;
	config->origin_count = origins->count;
	return true;
}

/* "/ui/" and "/ui" are the same, and "/" is "". */
static bool
settle_prefix(const char *command, const char *given, FfConfig *config)
{
	static char prefix[200];

	if (given[0] != '/' || strpbrk(given, "?#% \t\r\n") != NULL || strlen(given) >= sizeof(prefix))
	{
		ff_misused(command, "--static-prefix is a path, such as %s, not %s", FF_STATIC_PREFIX,
				   given);
		return false;
	}
	strcpy(prefix, given);
	while (prefix[0] != '\0' && prefix[strlen(prefix) - 1] == '/')
		prefix[strlen(prefix) - 1] = '\0';
	config->static_prefix = prefix;
	return true;
}

bool
ff_web_settle(const char *command, FfWeb *web, FfConfig *config)
{
	struct stat status;
	const char *prefix =
		web->prefix != NULL ? web->prefix : from_environment("FLOWFORGE_STATIC_PREFIX");

	config->static_directory =
		web->directory != NULL ? web->directory : from_environment("FLOWFORGE_STATIC");
	if (config->static_directory != NULL &&
		(stat(config->static_directory, &status) != 0 || !S_ISDIR(status.st_mode)))
	{
		ff_misused(command, "--static: there is no directory %s", config->static_directory);
		return false;
	}
	return settle_prefix(command, prefix != NULL ? prefix : FF_STATIC_PREFIX, config) &&
		   settle_origins(command, &web->origins, config);
}
