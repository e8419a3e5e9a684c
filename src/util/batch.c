/*
 * batch.c - many rows for one statement (see batch.h).
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/lsyscache.h"

#include "util/batch.h"

static void
grow(FfBatch *batch)
{
	int capacity = batch->capacity * 2 + 8;

	for (int c = 0; c < batch->plan->nargs; c++)
	{
		if (batch->capacity == 0)
		{
			batch->values[c] = palloc(sizeof(Datum) * capacity);
			batch->nulls[c] = palloc(sizeof(bool) * capacity);
		}
		else
		{
			batch->values[c] = repalloc(batch->values[c], sizeof(Datum) * capacity);
			batch->nulls[c] = repalloc(batch->nulls[c], sizeof(bool) * capacity);
		}
	}
	batch->capacity = capacity;
}

void
ff_batch_add(FfBatch *batch, const Datum *values, const bool *nulls)
{
	if (batch->rows == batch->capacity)
		grow(batch);
	for (int c = 0; c < batch->plan->nargs; c++)
	{
		batch->values[c][batch->rows] = values[c];
		batch->nulls[c][batch->rows] = nulls != NULL && nulls[c];
	}
	batch->rows++;
}

uint64
ff_batch_run(FfBatch *batch)
{
	Datum arrays[FF_PLAN_MAX_ARGS];
	int	  dims[1] = {batch->rows};
	int	  bounds[1] = {1};

	if (batch->rows == 0)
		return 0;
	for (int c = 0; c < batch->plan->nargs; c++)
	{
		Oid	  element = get_element_type(batch->plan->types[c]);
		int16 length;
		bool  by_value;
		char  align;

		get_typlenbyvalalign(element, &length, &by_value, &align);
		arrays[c] = PointerGetDatum(construct_md_array(batch->values[c], batch->nulls[c], 1, dims,
													   bounds, element, length, by_value, align));
	}
	return ff_spi_run(batch->plan, arrays, NULL, false);
}
