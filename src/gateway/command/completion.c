/*
 * flowforge completion: what bash and zsh complete a command line with, from the tables that the
 * help is printed from.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/describe.h"

static bool
is_path(const FfOption *option)
{
	return option->value != NULL &&
		   (strcmp(option->value, "FILE") == 0 || strcmp(option->value, "DIR") == 0);
}

/* ---- bash ---- */

/* The words that may come after `first` ("": the commands), each once. */
static void
print_words(const FfCommands *all, const char *first)
{
	char *before = ff_copy("");

	for (int at = 0; at < all->count; at++)
	{
		char	   *word = ff_command_first(&all->item[at]);
		bool		below = first[0] != '\0';
		bool		fits = !below || strcmp(word, first) == 0;
		const char *shown = below ? ff_command_second(&all->item[at]) : word;

		if (fits && strcmp(shown, before) != 0)
		{
			printf(" %s", shown);
			free(before);
			before = ff_copy(shown);
		}
		free(word);
	}
	free(before);
}

static void
print_bash_command(const FfCommand *command)
{
	printf("\t'%s'*)\n\t\toptions='--help", command->name);
	for (const FfOption *option = command->options; option->name != NULL; option++)
		printf(" --%s", option->name);
	printf("'\n\t\tvalued='");
	for (const FfOption *option = command->options; option->name != NULL; option++)
	{
		if (option->value != NULL && option->letter != '\0')
			printf(" -%c", option->letter);
		if (option->value != NULL)
			printf(" --%s", option->name);
	}
	printf(" '\n\t\tpaths='");
	for (const FfOption *option = command->options; option->name != NULL; option++)
	{
		if (is_path(option) && option->letter != '\0')
			printf(" -%c", option->letter);
		if (is_path(option))
			printf(" --%s", option->name);
	}
	printf(" '\n\t\t;;\n");
}

static void
print_bash_groups(const FfCommands *all)
{
	char *before = ff_copy("");

	for (int at = 0; at < all->count; at++)
	{
		char *first = ff_command_first(&all->item[at]);

		if (ff_command_second(&all->item[at])[0] != '\0' && strcmp(first, before) != 0)
		{
			printf("\t'%s ')\n\t\twords='", first);
			print_words(all, first);
			printf("'\n\t\t;;\n");
		}
		free(before);
		before = first;
	}
	free(before);
}

static void
print_bash(const FfCommands *all)
{
	printf("# Completion of flowforge for bash; made by `flowforge completion bash`.\n"
		   "_flowforge() {\n"
		   "\tlocal current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
		   "\tlocal first= second= options= valued= paths= words= at\n"
		   "\tfor ((at = 1; at < COMP_CWORD; at++)); do\n"
		   "\t\tcase ${COMP_WORDS[at]} in\n"
		   "\t\t-*) ;;\n"
		   "\t\t*) if [ -z \"$first\" ]; then first=${COMP_WORDS[at]}; "
		   "elif [ -z \"$second\" ]; then second=${COMP_WORDS[at]}; fi ;;\n"
		   "\t\tesac\n"
		   "\tdone\n"
		   "\tcase \"$first $second\" in\n"
		   "\t' ')\n\t\twords='");
	print_words(all, "");
	printf("'\n\t\toptions='--help --version'\n\t\t;;\n");
	print_bash_groups(all);
	for (int at = 0; at < all->count; at++)
	{
		bool group = ff_command_second(&all->item[at])[0] != '\0';

		if (group)
			print_bash_command(&all->item[at]);
	}
	for (int at = 0; at < all->count; at++)
	{
		bool group = ff_command_second(&all->item[at])[0] != '\0';

		if (!group)
		{
			FfCommand alone = all->item[at];

			alone.name = ff_text("%s ", alone.name);
			print_bash_command(&alone);
			free(alone.name);
		}
	}
	printf("\tesac\n"
		   "\tcase \"$paths\" in\n"
		   "\t*\" $before \"*) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n"
		   "\tesac\n"
		   "\tcase \"$valued\" in\n"
		   "\t*\" $before \"*) return ;;\n"
		   "\tesac\n"
		   "\tcase $current in\n"
		   "\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$current\")) ;;\n"
		   "\t*) COMPREPLY=($(compgen -W \"$words\" -- \"$current\")) ;;\n"
		   "\tesac\n"
		   "}\n"
		   "complete -o filenames -F _flowforge flowforge\n");
}

/* ---- zsh ---- */

/* Text in single quotes of zsh and, for _arguments and _describe, with their signs escaped. */
static void
print_quoted(const char *text, const char *escaped)
{
	for (; *text != '\0'; text++)
	{
		if (*text == '\'')
			fputs("'\\''", stdout);
		else if (strchr(escaped, *text) != NULL)
			printf("\\%c", *text);
		else
			putchar(*text);
	}
}

static void
print_zsh_option(const FfOption *option)
{
	const char *repeat = option->list != NULL ? "*" : "";
	const char *action = is_path(option) ? "_files" : " ";

	for (int form = option->letter != '\0' ? 0 : 1; form < 2; form++)
	{
		printf(" \\\n\t\t\t'%s", repeat);
		if (option->letter != '\0' && option->list == NULL)
			printf("(-%c --%s)", option->letter, option->name);
		if (form == 0)
			printf("-%c%s[", option->letter, option->value != NULL ? "+" : "");
		else
			printf("--%s%s[", option->name, option->value != NULL ? "=" : "");
		print_quoted(option->help, "[]:\\");
		putchar(']');
		if (option->value != NULL)
		{
			putchar(':');
			print_quoted(option->value, ":\\");
			printf(":%s", action);
		}
		putchar('\'');
	}
}

static void
print_zsh_words(const FfCommands *all, const char *first)
{
	char *before = ff_copy("");

	for (int at = 0; at < all->count; at++)
	{
		const FfCommand *command = &all->item[at];
		char			*word = ff_command_first(command);
		bool			 group = ff_command_second(command)[0] != '\0';
		bool			 fits = first[0] == '\0' || strcmp(word, first) == 0;
		const char		*shown = first[0] != '\0' ? ff_command_second(command) : word;

		if (fits && strcmp(shown, before) != 0)
		{
			printf(" \\\n\t\t\t'");
			print_quoted(shown, ":\\");
			putchar(':');
			print_quoted(group && first[0] == '\0' ? "several commands" : command->about, ":\\");
			putchar('\'');
			free(before);
			before = ff_copy(shown);
		}
		free(word);
	}
	free(before);
}

static void
print_zsh(const FfCommands *all)
{
	char *group = ff_copy("");

	printf("#compdef flowforge\n# Completion of flowforge for zsh; made by `flowforge completion "
		   "zsh`.\n_flowforge() {\n\tlocal -a commands\n\tif (( CURRENT == 2 )); then\n"
		   "\t\tcommands=(");
	print_zsh_words(all, "");
	printf(")\n\t\t_describe -t commands command commands\n\t\treturn\n\tfi\n"
		   "\tcase \"$words[2]\" in\n");
	for (int at = 0; at < all->count; at++)
	{
		char *first = ff_command_first(&all->item[at]);

		if (ff_command_second(&all->item[at])[0] != '\0' && strcmp(first, group) != 0)
		{
			printf("\t%s)\n\t\tif (( CURRENT == 3 )); then\n\t\t\tcommands=(", first);
			print_zsh_words(all, first);
			printf(")\n\t\t\t_describe -t commands command commands\n\t\t\treturn\n\t\tfi ;;\n");
		}
		free(group);
		group = first;
	}
	free(group);
	printf("\tesac\n\tcase \"$words[2] $words[3]\" in\n");
	for (int pass = 0; pass < 2; pass++)
	{
		for (int at = 0; at < all->count; at++)
		{
			const FfCommand *command = &all->item[at];
			bool			 below = ff_command_second(command)[0] != '\0';

			if (below != (pass == 0))
				continue;
			printf("\t'%s%s'*)\n", command->name, below ? "" : " ");
			printf("\t\tshift %d words\n\t\t(( CURRENT -= %d ))\n\t\t_arguments -s", below ? 2 : 1,
				   below ? 2 : 1);
			for (const FfOption *option = command->options; option->name != NULL; option++)
				print_zsh_option(option);
			printf(" \\\n\t\t\t'(-h --help)'{-h,--help}'[how it is used]' \\\n\t\t\t'*: :_files' "
				   ";;\n");
		}
	}
	printf("\tesac\n}\n"
		   "if [ \"$funcstack[1]\" = _flowforge ]; then _flowforge \"$@\"; else compdef _flowforge "
		   "flowforge; fi\n");
}

FfExit
ff_command_completion(int argc, char **argv)
{
	FfList		   words = {0};
	const FfOption options[] = {{0}};
	const FfUsage  usage = {"bash | zsh",
							"Prints what completes commands and options: eval \"$(flowforge "
							 "completion bash)\", or a file of the shell's own.",
							options};
	FfParse		   parse = ff_options(argc, argv, &usage, &words, NULL);
	FfCommands	   all;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count != 1)
		return ff_misused("completion", "completion of which shell, bash or zsh?");
	all = ff_all_commands();
	if (strcmp(words.item[0], "bash") == 0)
		print_bash(&all);
	else if (strcmp(words.item[0], "zsh") == 0)
		print_zsh(&all);
	else
		return ff_misused("completion", "there is none for %s, only for bash and zsh",
						  words.item[0]);
	return FF_EXIT_DONE;
}
