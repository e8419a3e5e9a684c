/*
 * batch.h - many rows for one statement: each argument of the plan is an array with one element a
 * row, which the statement unnests.
 */
#ifndef FF_BATCH_H
#define FF_BATCH_H

#include "util/spi.h"

typedef struct FfBatch
{
	FfPlan *plan; /* its argument types are array types */
	int		rows;
	int		capacity;
	Datum  *values[FF_PLAN_MAX_ARGS];
	bool   *nulls[FF_PLAN_MAX_ARGS];
} FfBatch;

/* Adds a row; nulls may be NULL. The values must live until the batch is run. */
extern void ff_batch_add(FfBatch *batch, const Datum *values, const bool *nulls);

/* Runs the statement once for all rows; nothing when there are none. Gives the number of rows the
 * statement gave. */
extern uint64 ff_batch_run(FfBatch *batch);

#endif
