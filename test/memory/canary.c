/*
 * Faults on purpose, one a call: before the tests, check-memory.sh has the server commit each of
 * them and wants a report for each. So a check that would find nothing because it watches nothing
 * cannot pass.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(canary);

static int
read_beyond_a_chunk(int length)
{
	char *chunk = palloc0(length);

	return chunk[length];
}

static int
read_after_pfree(int length)
{
	char *chunk = palloc0(length);

	pfree(chunk);
	return *(volatile char *) chunk;
}

static int
read_after_reset(int length)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "canary", ALLOCSET_DEFAULT_SIZES);
	char *chunk = MemoryContextAllocZero(context, length);

	MemoryContextReset(context);
	return *(volatile char *) chunk;
}

static int
write_beyond_the_stack(int length)
{
	volatile char array[8] = {0};

	array[length] = 1;
	return array[0];
}

static int
shift_too_far(int length)
{
	return 1 << (length + 24);
}

static int
assert_wrongly(int length)
{
	Assert(length > 8);
	return 0;
}

Datum
canary(PG_FUNCTION_ARGS)
{
	static const struct
	{
		const char *name;
		int (*commit)(int length);
	} faults[] = {{"read beyond a chunk", read_beyond_a_chunk},
				  {"read after pfree", read_after_pfree},
				  {"read after reset", read_after_reset},
				  {"write beyond the stack", write_beyond_the_stack},
				  {"shift too far", shift_too_far},
				  {"assert wrongly", assert_wrongly}};
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	for (int i = 0; i < lengthof(faults); i++)
		if (strcmp(faults[i].name, name) == 0)
			PG_RETURN_INT32(faults[i].commit(8));
	elog(ERROR, "no such fault: %s", name);
}
