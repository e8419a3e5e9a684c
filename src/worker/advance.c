/*
 * advance.c - runs whose functions live in the server go on: what has come to them is in memory,
 * and before it is written their driver says what follows from it, so that both are one commit. All
 * that are to advance do so in one transaction, which reads what they need and writes nothing.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "function/function.h"
#include "run/driver.h"
#include "worker/call.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define STEPS_A_CHANGE 512 /* what a run has done beyond that waits until they are written */
#define AGAIN_US USECS_PER_SEC
#define MAX_FAILURES 5

int ff_executor_memory = 256 * 1024; /* kB */

static List *advancing = NIL; /* of FfRun, each once (run->advancing) */

void
ff_advance_push(FfRun *run)
{
	MemoryContext old;

	if (run->advancing)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	advancing = lappend(advancing, run);
	MemoryContextSwitchTo(old);
	run->advancing = true;
}

void
ff_advance_forget(FfRun *run)
{
	if (run->advancing)
		advancing = list_delete_ptr(advancing, run);
	run->advancing = false;
}

bool
ff_advance_waiting(void)
{
	return advancing != NIL;
}

/* A run with much to write has that written first; a paused one is held when it has been. */
static bool
may_advance(FfRun *run)
{
	const FfFunction *function =
		ff_function_get(run->tenant_id, run->function_id, run->version);

	if (!ff_run_advances(run) || function == NULL || function->paused)
		return false;
	return run->change == NULL || list_length(run->change->steps) < STEPS_A_CHANGE;
}

static void
advance(FfRun *run)
{
	TimestampTz	  now = GetCurrentTimestamp();
	FfItem		 *asking = ff_item_find(run, "");
	MemoryContext old = MemoryContextSwitchTo(ff_group_context);

	ff_run_change(run);
	ff_run_note_start(run, now);
	ff_item_remove(run, asking);
	run->group = Max(run->group, 1);
	run->driver->advance(run, now);
	MemoryContextSwitchTo(old);
}

static void
advance_all(void *arg)
{
	ListCell *cell;

	foreach (cell, (List *) arg)
	{
		FfRun *run = lfirst(cell);

		if (may_advance(run))
			advance(run);
		CHECK_FOR_INTERRUPTS();
	}
}

/* What a run needs could not be read. It is tried again in a while, and not for ever. */
static void
note_failure(FfRun *run, const FfFailure *failure)
{
	TimestampTz	  now = GetCurrentTimestamp();
	MemoryContext old = MemoryContextSwitchTo(ff_group_context);
	FfItem		 *asking = ff_item_find(run, "");

	ff_run_change(run);
	if (asking == NULL)
	{
		ff_run_ask_next(run, now);
		asking = ff_item_find(run, "");
	}
	asking->due = now + AGAIN_US;
	asking->attempt++;
	if (asking->attempt >= MAX_FAILURES)
		ff_run_end(run, "failed", NULL,
				   ff_run_error("EngineError",
								psprintf("the run could not go on: %s", failure->message)),
				   now);
	MemoryContextSwitchTo(old);
}

/* All in one transaction; when that fails, each in its own. */
static void
advance_runs(List *runs)
{
	FfFailure failure;
	ListCell *cell;

	if (ff_transaction(advance_all, runs, &failure))
		return;
	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		if (run->change != NULL && run->change->ended)
			continue;
		if (ff_item_find(run, "") == NULL)
			ff_run_ask_next(run, GetCurrentTimestamp());
		if (!ff_transaction(advance_all, list_make1(run), &failure))
			note_failure(run, &failure);
	}
}

static void
shrink(FfRun *run)
{
	if (run->driver != NULL && run->change == NULL)
		run->driver->shrink(run);
}

void
ff_advance_turn(void)
{
	List	 *runs = advancing;
	ListCell *cell;

	if (runs == NIL || ff_group_held())
		return;
	advancing = NIL;
	if (MemoryContextMemAllocated(ff_runs_context, true) > (Size) ff_executor_memory * 1024)
		ff_active_each(shrink);
	foreach (cell, runs)
		((FfRun *) lfirst(cell))->advancing = false;
	advance_runs(runs);
	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		if (run->change == NULL)
			continue;
		if (run->change->ended)
			ff_abandon(run);
		ff_group_keep(run);
	}
	list_free(runs);
}
