/*
 * The manual page flowforge(1), from the tables that the help is printed from.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "cli/describe.h"

/* Text as it stands: no line of it is a request, no sign of it an escape, a dash is a dash. */
static void
print_text(const char *text)
{
	if (text[0] == '.' || text[0] == '\'')
		fputs("\\&", stdout);
	for (; *text != '\0'; text++)
	{
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else if (*text == '`')
			fputs("\\(ga", stdout);
		else if (*text == '"')
			fputs("\\(dq", stdout);
		else if (*text == '\n' && text[1] != '\0')
			fputs("\n.br\n", stdout);
		else if (strncmp(text, "→", 3) == 0)
		{
			fputs("\\(->", stdout);
			text += 2;
		}
		else
			putchar(*text);
	}
}

static void
print_command(const FfCommand *command)
{
	printf(".SS \"flowforge ");
	print_text(command->name);
	printf("\"\n.B flowforge ");
	print_text(command->name);
	if (command->synopsis[0] != '\0')
	{
		printf("\n");
		print_text(command->synopsis);
	}
	printf("\n.PP\n");
	print_text(command->about);
	putchar('\n');
	for (const FfOption *option = command->options; option->name != NULL; option++)
	{
		printf(".TP\n\\fB");
		if (option->letter != '\0')
			printf("\\-%c\\fR, \\fB", option->letter);
		printf("\\-\\-");
		print_text(option->name);
		printf("\\fR");
		if (option->value != NULL)
			printf(" \\fI%s\\fR", option->value);
		putchar('\n');
		print_text(option->help);
		putchar('\n');
	}
}

void
ff_print_manual(void)
{
	FfCommands all = ff_all_commands();

	printf(
		".\\\" Made from the program's tables by `flowforge help --man`; do not edit.\n"
		".TH FLOWFORGE 1 \"\" \"FlowForge " FF_VERSION "\" \"FlowForge\"\n"
		".SH NAME\nflowforge \\- durable workflows inside PostgreSQL\n"
		".SH SYNOPSIS\n.B flowforge\n.I COMMAND\n[\\fIOPTION\\fR ...] [\\fIWORD\\fR ...]\n"
		".SH DESCRIPTION\n"
		"The gateway and the command line of FlowForge: runs a server to develop against, serves "
		"the HTTP API of a database, and shows and moves what runs there.\n"
		".SH COMMANDS\n");
	for (int at = 0; at < all.count; at++)
		print_command(&all.item[at]);
	printf(".SH \"EXIT STATUS\"\n");
	print_text(ff_exit_codes);
	printf("\n.SH ENVIRONMENT\n");
	print_text(ff_settings);
	printf("\n.TP\n.B NO_COLOR\nPlain text on terminals too.\n"
		   ".SH FILES\n.TP\n.I " FF_DEV_DIRECTORY "/" FF_DEV_ENVIRONMENT
		   "\nWhere the server of flowforge dev is, for commands in this directory and below it.\n"
		   ".SH \"SEE ALSO\"\n.BR psql (1)\n");
}
