/*
 * limit.c - how much a run may keep (see actor.h). Each limit is a setting; each has its error.
 */
#include "postgres.h"

#include "run/actor.h"
#include "util/json.h"

int ff_executor_memory = 256 * 1024;
int ff_output_limit = 4 * 1024 * 1024;
int ff_state_limit = 32 * 1024 * 1024;
int ff_step_limit = 1000;

static Jsonb *
too_large(const char *whose, Size size, const char *more)
{
	return ff_run_error(
		"OutputTooLarge",
		psprintf("the result of %s has %zu bytes%s; flowforge.output_limit allows %d", whose,
				 (size_t) size, more, ff_output_limit));
}

Jsonb *
ff_limit_output(Jsonb *output, const char *whose)
{
	return output == NULL || VARSIZE(output) <= (Size) ff_output_limit
			   ? NULL
			   : too_large(whose, VARSIZE(output), "");
}

Jsonb *
ff_limit_size(Size size, const char *whose)
{
	return size <= (Size) ff_output_limit ? NULL : too_large(whose, size, " or more");
}

/* Steps that are finished and steps that are not; asking what comes next is none. */
static int
count_steps(const FfRun *run)
{
	int		  count = run->memo_count;
	ListCell *cell;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		count += item->id[0] != '\0';
	}
	return count;
}

void
ff_limit_run(FfRun *run, TimestampTz now)
{
	Jsonb *error = NULL;

	if (run->change == NULL || run->change->ended)
		return;
	if (count_steps(run) > ff_step_limit)
		error = ff_run_error(
			"TooManySteps",
			psprintf("the run has more than %d steps, which is flowforge.step_limit; start another "
					 "run with step.invoke or an event",
					 ff_step_limit));
	else if (run->memo_bytes > (Size) ff_state_limit)
		error = ff_run_error(
			"StateTooLarge",
			psprintf("the results of the run's steps have %zu bytes; flowforge.state_limit allows "
					 "%d: keep large values elsewhere and return where they are",
					 run->memo_bytes, ff_state_limit));
	if (error != NULL)
		ff_run_end(run, "failed", NULL, error, now);
}
