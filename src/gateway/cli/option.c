/*
 * Options of the commands, read from one table that also prints their help: see cli.h.
 *
 * Understood are -x, -xVALUE, -x VALUE, --name, --name=VALUE and --name VALUE, mixed with words in
 * any order.
 */
#define _GNU_SOURCE
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/term.h"

#define HELP_COLUMN 34

void
ff_list_add(FfList *list, const char *item)
{
	list->item = realloc(list->item, sizeof(char *) * (size_t) (list->count + 1));
	if (list->item == NULL)
		abort();
	list->item[list->count++] = item;
}

bool
ff_whole_number(const char *text, long low, long high, int *number)
{
	char *end;
	long  value = strtol(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < low || value > high)
		return false;
	*number = (int) value;
	return true;
}

static void
print_usage(const char *command, const FfUsage *usage)
{
	printf("%sflowforge %s%s %s\n\n%s\n", ff_style(FF_STYLE_BOLD), command, ff_style(FF_STYLE_END),
		   usage->synopsis, usage->about);
	if (usage->options->name != NULL)
		putchar('\n');
	for (const FfOption *option = usage->options; option->name != NULL; option++)
	{
		char  letter[8] = "   ";
		char *form;

		if (option->letter != '\0')
			snprintf(letter, sizeof(letter), "-%c,", option->letter);
		form = ff_text("  %s --%s%s%s", letter, option->name, option->value != NULL ? " " : "",
					   option->value != NULL ? option->value : "");
		ff_term_cell(stdout, FF_STYLE_NAME, form, HELP_COLUMN);
		printf(" %s\n", option->help);
		free(form);
	}
}

FfExit
ff_misused(const char *command, const char *format, ...)
{
	va_list arguments;
	char   *message;
	char   *hint = ff_text("flowforge %s --help", command);

	va_start(arguments, format);
	if (vasprintf(&message, format, arguments) < 0)
		abort();
	va_end(arguments);
	ff_complain(hint, "%s", message);
	free(message);
	free(hint);
	return FF_EXIT_USAGE;
}

/* The option a word names, and the value that is part of the word (NULL: none). */
static const FfOption *
find_option(const FfOption *options, const char *word, const char **value)
{
	const char *name = word + 2;
	size_t		length = strcspn(name, "=");

	*value = NULL;
	for (const FfOption *option = options; option->name != NULL; option++)
	{
		if (word[1] != '-' && option->letter != word[1])
			continue;
		if (word[1] == '-' &&
			(strlen(option->name) != length || strncmp(option->name, name, length) != 0))
			continue;
		if (word[1] == '-' && name[length] == '=')
			*value = name + length + 1;
		if (word[1] != '-' && word[2] != '\0')
			*value = word + 2;
		return option;
	}
	return NULL;
}

static void
set_option(const FfOption *option, const char *value)
{
	if (option->flag != NULL)
		*option->flag = true;
	else if (option->list != NULL)
		ff_list_add(option->list, value);
	else
		*option->text = value;
}

/* Reads the option at argv[*at], which moves on over a value of its own. */
static FfParse
read_option(char **argv, int argc, int *at, const FfUsage *usage)
{
	const char	   *value;
	const FfOption *option = find_option(usage->options, argv[*at], &value);

	if (option == NULL)
	{
		ff_misused(argv[0], "%s has no option %s", argv[0], argv[*at]);
		return FF_PARSE_WRONG;
	}
	if (option->value == NULL && value != NULL)
	{
		ff_misused(argv[0], "--%s takes no value", option->name);
		return FF_PARSE_WRONG;
	}
	if (option->value != NULL && value == NULL)
	{
		if (*at + 1 >= argc)
		{
			ff_misused(argv[0], "--%s needs a value: %s", option->name, option->value);
			return FF_PARSE_WRONG;
		}
		value = argv[++*at];
	}
	set_option(option, value);
	return FF_PARSE_GO;
}

static void (*described)(const char *command, const FfUsage *usage, void *context) = NULL;
static void *described_context = NULL;

void
ff_options_describe(void (*describe)(const char *command, const FfUsage *usage, void *context),
					void *context)
{
	described = describe;
	described_context = context;
}

FfParse
ff_options(int argc, char **argv, const FfUsage *usage, FfList *words, FfList *rest)
{
	if (described != NULL)
	{
		described(argv[0], usage, described_context);
		return FF_PARSE_HELPED;
	}
	for (int at = 1; at < argc; at++)
	{
		const char *word = argv[at];

		if (strcmp(word, "--") == 0)
		{
			while (++at < argc)
				ff_list_add(rest != NULL ? rest : words, argv[at]);
		}
		else if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
		{
			print_usage(argv[0], usage);
			return FF_PARSE_HELPED;
		}
		else if (word[0] != '-' || word[1] == '\0')
			ff_list_add(words, word);
		else if (read_option(argv, argc, &at, usage) != FF_PARSE_GO)
			return FF_PARSE_WRONG;
	}
	return FF_PARSE_GO;
}

/* "a, b and c", or with `or` instead; `mark` between all when it is not NULL. To be freed. */
static char *
name_commands(const FfSubcommand *commands, const char *mark, const char *last)
{
	char *text = ff_copy(commands->name);

	for (const FfSubcommand *next = commands + 1; next->name != NULL; next++)
	{
		char *longer = ff_text("%s%s%s", text, next[1].name == NULL ? last : mark, next->name);

		free(text);
		text = longer;
	}
	return text;
}

FfExit
ff_subcommand(const char *name, const char *about, const FfSubcommand *commands, int argc,
			  char **argv)
{
	char  *names;
	FfExit result = FF_EXIT_DONE;

	for (const FfSubcommand *at = commands; described != NULL && at->name != NULL; at++)
	{
		char *ask[] = {at->full_name, "--help", NULL};

		at->command(2, ask);
	}
	if (described != NULL)
		return FF_EXIT_DONE;
	for (const FfSubcommand *at = commands; argc > 1 && at->name != NULL; at++)
	{
		if (strcmp(argv[1], at->name) != 0)
			continue;
		argv[1] = at->full_name;
		return at->command(argc - 1, argv + 1);
	}
	if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0))
	{
		names = name_commands(commands, "|", "|");
		printf("flowforge %s %s\n\n%s; `flowforge %s --help` has the options.\n", name, names,
			   about, commands->full_name);
	}
	else if (argc > 1)
	{
		names = name_commands(commands, ", ", " and ");
		result = ff_misused(name, "%s has no command %s; it has %s", name, argv[1], names);
	}
	else
	{
		names = name_commands(commands, ", ", " or ");
		result = ff_misused(name, "%s %s?", name, names);
	}
	free(names);
	return result;
}
