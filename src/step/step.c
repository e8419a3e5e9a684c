/*
 * step.c - the table of kinds (see step.h).
 */
#include "postgres.h"

#include "step/step.h"

int ff_step_output_limit = 4 * 1024 * 1024;
int ff_sql_timeout = 300000;

static const FfStepKind *const kinds[] = {&ff_step_sql};

void
ff_step_init(void)
{
	for (int i = 0; i < (int) lengthof(kinds); i++)
		ff_kind_register(kinds[i]);
}
