/*
 * Every command as its help has it: what completions and the manual page are made of.
 *
 * Commands have their options in tables of their own. To describe is to ask each for its help and
 * to keep what it would have printed.
 */
#ifndef FF_CLI_DESCRIBE_H
#define FF_CLI_DESCRIBE_H

#include "cli/cli.h"

/* A command by its whole name ("runs list"). Texts belong to the program. */
typedef struct FfCommand
{
	char		   *name;
	const char	   *synopsis;
	const char	   *about;
	const FfOption *options; /* name NULL ends them; what they set is gone */
	int				option_count;
} FfCommand;

typedef struct FfCommands
{
	FfCommand *item;
	int		   count;
} FfCommands;

/* Asks a command, and those below it, for its help. */
extern void ff_describe(FfCommands *all, const char *name,
						FfExit (*command)(int argc, char **argv));

/* Its first word, to be freed, and what follows it ("": nothing). */
extern char		  *ff_command_first(const FfCommand *command);
extern const char *ff_command_second(const FfCommand *command);

/* What is known of all commands, in the order of the help. main.c. */
extern FfCommands ff_all_commands(void);

/* Prints the manual page (man(7)). */
extern void ff_print_manual(void);

/* The help's lists of commands, exit codes and settings, of which the manual has parts. main.c. */
extern const char *const ff_exit_codes;
extern const char *const ff_settings;

#endif
