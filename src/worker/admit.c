/*
 * admit.c - runs come into memory: they are read in batches, and what was due while they were not
 * in memory is done before anything else.
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "utils/memutils.h"

#include "function/function.h"
#include "worker/call.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define LOAD_BATCH 256
#define RETRY_S 60 /* of a run that cannot be read */
#define TRIM_IDLE_MS 1000
#define TRIM_RUNS 1000

static int admitted = 0; /* since memory was given back */

typedef struct LoadRequest
{
	const FfRunKey *keys;
	int				count;
	List		   *runs; /* what has been read */
} LoadRequest;

static void
load_runs(void *arg)
{
	LoadRequest *request = arg;
	List		*runs =
		ff_store_load(request->keys, request->count, ff_runs_context, GetCurrentTimestamp());
	ListCell	 *cell;
	MemoryContext old;

	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		ff_function_get(run->tenant_id, run->function_id, run->version);
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	request->runs = list_copy(runs);
	MemoryContextSwitchTo(old);
}

/* Reads runs; when one of them cannot be read, the others one by one, and that one again in a
 * while. */
static List *
load(const FfRunKey *keys, int count)
{
	LoadRequest request = {keys, count, NIL};
	List	   *runs = NIL;
	FfFailure	failure;

	if (count == 0 || ff_transaction(load_runs, &request, &failure))
		return request.runs;
	if (count == 1)
	{
		ff_timer_push(GetCurrentTimestamp() + RETRY_S * USECS_PER_SEC, keys->tenant_id,
					  &keys->run_id);
		return NIL;
	}
	for (int i = 0; i < count; i++)
	{
		List *one = load(&keys[i], 1);

		runs = list_concat(runs, one);
		list_free(one);
	}
	return runs;
}

/* In memory: what was due while the run was not is done first. */
static void
admit(FfRun *run)
{
	ff_active_add(run);
	admitted++;
	ff_wake(run, GetCurrentTimestamp());
}

List *
ff_admit(const FfRunKey *keys, int count)
{
	List	 *runs = load(keys, count);
	ListCell *cell;

	foreach (cell, runs)
		admit(lfirst(cell));
	return runs;
}

void
ff_admit_turn(void)
{
	FfRunKey  keys[LOAD_BATCH];
	ListCell *cell;
	List	 *runs;
	int		  count;

	/* What a run has been told may change what it calls: a checkpoint, for example. */
	if (ff_inbox_waiting() || ff_queue_next() > GetCurrentTimestamp())
		return;
	count = ff_queue_pop(keys, LOAD_BATCH);
	runs = ff_admit(keys, count);
	/* Those that are there count as such by now. */
	for (int i = 0; i < count; i++)
		ff_queue_count(keys[i].tenant_id, -1);
	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		if (ff_may_call(run))
			ff_settle(run);
	}
	list_free(runs);
}

void
ff_give_memory_back(long pause)
{
#ifdef __GLIBC__
	if (admitted < TRIM_RUNS || (pause >= 0 && pause < TRIM_IDLE_MS))
		return;
	admitted = 0;
	malloc_trim(0);
#endif
}
