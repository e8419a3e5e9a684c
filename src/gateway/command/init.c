/*
 * flowforge init: a first project that runs and passes its own test.
 *
 * The projects are the folders of templates/, compiled in (templates.sh), so that the program makes
 * them wherever it is. In them @name@ is the project's name and @schema@ the same as an identifier.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/cli.h"
#include "cli/http.h"
#include "cli/term.h"

#define NAME_LIMIT 40

typedef struct Template
{
	const char *language;
	const char *path;
	const char *text;
} Template;

static const Template templates[] = {
#include "templates.inc"
};

#define TEMPLATE_COUNT (sizeof(templates) / sizeof(templates[0]))

/* Lower case letters, digits and dashes: good in a URL, as a package and, with underlines, in SQL.
 */
static bool
is_name(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= NAME_LIMIT && islower((unsigned char) name[0]) &&
		   name[length - 1] != '-' && strstr(name, "--") == NULL &&
		   strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static char *
identifier_of(const char *name)
{
	char *identifier = ff_text("%s", name);

	for (char *at = identifier; *at != '\0'; at++)
	{
		if (*at == '-')
			*at = '_';
	}
	return identifier;
}

/* The text with every `word` replaced. Takes the text. */
static char *
put_in(char *text, const char *word, const char *value)
{
	char *at;

	while ((at = strstr(text, word)) != NULL)
	{
		char *longer = ff_text("%.*s%s%s", (int) (at - text), text, value, at + strlen(word));

		free(text);
		text = longer;
	}
	return text;
}

/* A file that is not there yet, with the directories it is in; scripts may be executed. */
static bool
write_file(const char *path, const char *text)
{
	bool  is_script = strncmp(text, "#!", 2) == 0;
	FILE *file;
	int	  fd;

	for (const char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/'))
	{
		char *directory = strndup(path, (size_t) (at - path));
		bool  made = mkdir(directory, 0777) == 0 || errno == EEXIST;

		free(directory);
		if (!made)
			return false;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, is_script ? 0777 : 0666);
	if (fd < 0)
		return false;
	file = fdopen(fd, "w");
	if (file == NULL)
	{
		close(fd);
		return false;
	}
	fputs(text, file);
	return fclose(file) == 0;
}

/* The name a file has in a project: what begins with a dot does not in templates/. */
static char *
file_path(const char *directory, const char *path)
{
	return ff_text("%s/%s%s", directory, strcmp(path, "gitignore") == 0 ? "." : "", path);
}

static bool
write_project(const char *name, const char *language, json_t *files)
{
	char *identifier = identifier_of(name);
	bool  done = true;

	for (size_t at = 0; at < TEMPLATE_COUNT && done; at++)
	{
		char *path = file_path(name, templates[at].path);
		char *text = put_in(ff_text("%s", templates[at].text), "@name@", name);

		text = put_in(text, "@schema@", identifier);
		if (strcmp(templates[at].language, language) == 0)
		{
			done = write_file(path, text);
			if (done)
				json_array_append_new(files, json_string(path));
			else
				ff_complain(NULL, "cannot write %s: %s", path, strerror(errno));
		}
		free(text);
		free(path);
	}
	free(identifier);
	return done;
}

static void
print_project(const char *name, const json_t *files)
{
	for (size_t at = 0; at < json_array_size(files); at++)
		printf("  %s\n", json_string_value(json_array_get(files, at)));
	printf("\n%scd %s%s, and read README.md: `sh test.sh` is its test\n", ff_style(FF_STYLE_BOLD),
		   name, ff_style(FF_STYLE_END));
}

static FfExit
make_project(const FfServer *server, const char *name, const char *language)
{
	json_t *files;
	FfExit	result = FF_EXIT_FAILED;

	if (mkdir(name, 0777) != 0)
	{
		ff_complain(errno == EEXIST ? "take another name, or remove it" : NULL,
					"cannot make the directory %s: %s", name, strerror(errno));
		return FF_EXIT_FAILED;
	}
	files = json_array();
	if (write_project(name, language, files))
		result = FF_EXIT_DONE;
	if (result == FF_EXIT_DONE && server->json)
	{
		json_t *answer =
			json_pack("{s:s, s:s, s:O}", "project", name, "language", language, "files", files);

		ff_json_print(answer);
		json_decref(answer);
	}
	else if (result == FF_EXIT_DONE)
		print_project(name, files);
	json_decref(files);
	return result;
}

FfExit
ff_command_init(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	bool		   python = false;
	bool		   sql = false;
	const FfOption options[] = {
		{0, "python", NULL, "an app in Python", NULL, &python, NULL},
		{0, "sql", NULL, "a workflow in SQL, which needs nothing else (default)", NULL, &sql, NULL},
		FF_JSON_OPTION(server),
		{0}};
	const FfUsage usage = {"NAME [--python | --sql]",
						   "Makes a directory with a first project that runs and has a test.",
						   options};
	FfParse		  parse = ff_options(argc, argv, &usage, &words, NULL);

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count != 1)
		return ff_misused("init", words.count == 0 ? "init needs the project's name"
												   : "init takes one name");
	if (python && sql)
		return ff_misused("init", "give --python or --sql, not both");
	if (!is_name(words.item[0]))
		return ff_misused(
			"init",
			"a project's name is at most %d lower case letters, digits and dashes, such "
			"as my-orders; not %s",
			NAME_LIMIT, words.item[0]);
	return make_project(&server, words.item[0], python ? "python" : "sql");
}
