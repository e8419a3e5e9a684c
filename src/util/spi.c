/*
 * spi.c - statements prepared once per backend (see spi.h).
 */
#include "spi.h"

uint64
ff_spi_run(FfPlan *plan, Datum *values, const char *nulls, bool read_only)
{
	bool outer = ff_planning_own;
	int	 status = 0;

	Assert(plan->nargs <= FF_PLAN_MAX_ARGS);
	if (plan->kept == NULL)
	{
		SPIPlanPtr prepared =
			SPI_prepare_cursor(plan->sql, plan->nargs, plan->types, CURSOR_OPT_GENERIC_PLAN);

		if (prepared == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", plan->sql,
				 SPI_result_code_string(SPI_result));
		if (SPI_keepplan(prepared) != 0)
			elog(ERROR, "could not keep the plan of \"%s\"", plan->sql);
		plan->kept = prepared;
	}
	ff_planning_own = true;
	PG_TRY();
	{
		status = SPI_execute_plan(plan->kept, values, nulls, read_only, 0);
	}
	PG_FINALLY();
	{
		ff_planning_own = outer;
	}
	PG_END_TRY();
	if (status < 0)
		elog(ERROR, "\"%s\" failed: %s", plan->sql, SPI_result_code_string(status));
	return SPI_processed;
}

Datum
ff_spi_value(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}
