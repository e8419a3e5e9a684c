/*
 * spi.h - statements prepared once per backend.
 *
 * An FfPlan is a static variable: its text and argument types. The first use prepares and keeps it,
 * with one plan for all arguments (plan.c); PostgreSQL replans it when what it names has changed,
 * so it survives DROP and CREATE EXTENSION. The caller is connected to SPI.
 */
#ifndef FF_SPI_H
#define FF_SPI_H

#include "postgres.h"

#include "executor/spi.h"

#define FF_PLAN_MAX_ARGS 14

typedef struct FfPlan
{
	const char *sql;
	int			nargs;
	Oid			types[FF_PLAN_MAX_ARGS];
	SPIPlanPtr	kept;
} FfPlan;

/*
 * Runs a plan with its arguments (nulls as SPI_execute_plan takes them, or NULL) and gives the
 * number of rows, which SPI_tuptable then holds. Raises whatever the statement raises; a status
 * other than success is an internal error.
 */
extern uint64 ff_spi_run(FfPlan *plan, Datum *values, const char *nulls, bool read_only);

/* Whether the statement being planned is one of ours (plan.c). */
extern bool ff_planning_own;
extern void ff_plan_init(void);

/* Column `number` (from 1) of row `row` of SPI_tuptable. */
extern Datum ff_spi_value(uint64 row, int number, bool *isnull);

#endif
