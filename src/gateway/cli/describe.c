/*
 * Every command as its help has it: see describe.h.
 */
#define _GNU_SOURCE
#include "cli/describe.h"

#include <stdlib.h>
#include <string.h>

static void
keep(const char *name, const FfUsage *usage, void *context)
{
	FfCommands *all = context;
	FfOption   *options;
	int			count = 0;

	while (usage->options[count].name != NULL)
		count++;
	options = ff_alloc(sizeof(FfOption) * (size_t) (count + 1));
	memcpy(options, usage->options, sizeof(FfOption) * (size_t) count);
	all->item = realloc(all->item, sizeof(FfCommand) * (size_t) (all->count + 1));
	if (all->item == NULL)
		abort();
	all->item[all->count++] = (FfCommand){.name = ff_copy(name),
										  .synopsis = usage->synopsis,
										  .about = usage->about,
										  .options = options,
										  .option_count = count};
}

void
ff_describe(FfCommands *all, const char *name, FfExit (*command)(int argc, char **argv))
{
	char *ask[] = {(char *) name, "--help", NULL};

	ff_options_describe(keep, all);
	command(2, ask);
	ff_options_describe(NULL, NULL);
}

char *
ff_command_first(const FfCommand *command)
{
	return ff_text("%.*s", (int) strcspn(command->name, " "), command->name);
}

const char *
ff_command_second(const FfCommand *command)
{
	const char *space = strchr(command->name, ' ');

	return space != NULL ? space + 1 : "";
}
