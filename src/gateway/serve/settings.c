/*
 * A file of settings: see settings.h.
 *
 * Every option of `serve` that has a value may stand in a variable (FLOWFORGE_PORT for --port), so
 * a line of the file becomes that variable, unless it is set.
 */
#define _GNU_SOURCE
#include "serve/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_LIMIT 65536

/* "FLOWFORGE_TLS_CERT" for "tls-cert". To be freed. */
static char *
variable_of(const FfOption *option)
{
	char *name;

	if (strcmp(option->name, "db") == 0)
		return ff_text("FLOWFORGE_DATABASE_URL");
	name = ff_text("FLOWFORGE_%s", option->name);
	for (char *at = name; *at != '\0'; at++)
		*at = (char) (*at == '-' ? '_' : toupper((unsigned char) *at));
	return name;
}

/* Where a file is read, and which options of the table it has set. */
typedef struct Reading
{
	const char	   *command;
	const char	   *path;
	int				line;
	const FfOption *options;
	bool		   *from_file;
} Reading;

static bool
set_switch(const Reading *reading, const FfOption *option, const char *value)
{
	bool on = strcmp(value, "on") == 0 || strcmp(value, "true") == 0;

	if (!on && strcmp(value, "off") != 0 && strcmp(value, "false") != 0)
	{
		ff_misused(reading->command, "%s, line %d: %s is on or off, not %s", reading->path,
				   reading->line, option->name, value);
		return false;
	}
	*option->flag = *option->flag || on;
	return true;
}

static bool
set_variable(const Reading *reading, const FfOption *option, const char *value)
{
	bool	   *from_file = &reading->from_file[option - reading->options];
	char	   *name = variable_of(option);
	const char *now = getenv(name);
	bool		done = true;

	if (*from_file && option->list == NULL)
	{
		ff_misused(reading->command, "%s, line %d: %s was set before", reading->path, reading->line,
				   option->name);
		done = false;
	}
	else if (*from_file)
	{
		char *both = ff_text("%s,%s", now, value);

		setenv(name, both, 1);
		free(both);
	}
	else if (now == NULL || now[0] == '\0')
	{
		setenv(name, value, 1);
		*from_file = true;
	}
	free(name);
	return done;
}

static bool
set_option(const Reading *reading, const char *name, const char *value)
{
	const FfOption *option = reading->options;

	while (option->name != NULL &&
		   (strcmp(option->name, name) != 0 || strcmp(option->name, "config") == 0))
		option++;
	if (option->name == NULL)
	{
		ff_misused(reading->command, "%s, line %d: there is no option %s", reading->path,
				   reading->line, name);
		return false;
	}
	if (option->value == NULL)
		return set_switch(reading, option, value);
	return set_variable(reading, option, value);
}

/* The text without the blanks around it. */
static char *
trim(char *text)
{
	size_t length;

	text += strspn(text, " \t\r");
	length = strlen(text);
	while (length > 0 && strchr(" \t\r", text[length - 1]) != NULL)
		text[--length] = '\0';
	return text;
}

static bool
read_line(const Reading *reading, char *line)
{
	char *text = trim(line);
	char *equals = strchr(text, '=');

	if (text[0] == '\0' || text[0] == '#')
		return true;
	if (equals == NULL || trim(equals + 1)[0] == '\0')
	{
		ff_misused(reading->command, "%s, line %d: a line is like port = 8288", reading->path,
				   reading->line);
		return false;
	}
	*equals = '\0';
	return set_option(reading, trim(text), trim(equals + 1));
}

static int
count_options(const FfOption *options)
{
	int count = 0;

	while (options[count].name != NULL)
		count++;
	return count;
}

bool
ff_settings_read(const char *command, const char *path, const FfOption *options)
{
	Reading reading = {.command = command, .path = path, .options = options};
	char   *text = ff_read_file(path, CONFIG_LIMIT);
	char   *rest = text;
	char   *line;
	bool	good = text != NULL;

	if (text == NULL)
		ff_misused(command, "cannot read %s: %s", path, strerror(errno));
	reading.from_file = ff_alloc(sizeof(bool) * (size_t) (count_options(options) + 1));
	while (good && (line = strsep(&rest, "\n")) != NULL)
	{
		reading.line++;
		good = read_line(&reading, line);
	}
	free(reading.from_file);
	free(text);
	return good;
}
