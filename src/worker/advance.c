/*
 * advance.c - runs whose functions live in the server go on: what has come to them is in memory,
 * and before it is written their driver says what follows from it, so that both are one commit. All
 * that are to advance do so in one transaction, which reads what they need and writes nothing.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "function/function.h"
#include "run/driver.h"
#include "worker/call.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define STEPS_A_CHANGE 512 /* what a run has done beyond that waits until they are written */

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

/* Whether what is to be written takes so much memory that nothing is to be added to it. */
static bool
group_is_large(void)
{
	return MemoryContextMemAllocated(ff_group_context, true) > (Size) ff_executor_memory * 1024 / 4;
}

/* A paused run takes what has come and is held when that is written; so does one with much to
 * write, for a moment. */
static bool
may_start(const FfRun *run, const FfFunction *function)
{
	return !function->paused && !group_is_large() &&
		   (run->change == NULL || list_length(run->change->steps) < STEPS_A_CHANGE);
}

static void
advance(FfRun *run)
{
	const FfFunction *function = ff_function_get(run->tenant_id, run->function_id, run->version);
	TimestampTz		  now = GetCurrentTimestamp();
	MemoryContext	  old = MemoryContextSwitchTo(ff_group_context);

	ff_run_change(run);
	ff_item_remove(run, ff_item_find(run, ""));
	run->group = Max(run->group, 1);
	if (function == NULL)
		ff_run_end(run, "failed", NULL,
				   ff_run_error("FunctionNotFound", "the function of this run no longer exists"),
				   now);
	else
	{
		ff_run_note_start(run, now);
		run->driver->advance(run, may_start(run, function), now);
	}
	MemoryContextSwitchTo(old);
}

static void
advance_all(void *arg)
{
	ListCell *cell;

	foreach (cell, (List *) arg)
	{
		FfRun *run = lfirst(cell);

		if (ff_run_advances(run))
			advance(run);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * All in one transaction; when that fails, each in its own. Those that fail again because of what
 * is in them fail for good; the others leave memory as if this executor had died, and come back
 * from their rows. Gives those that are still here.
 */
static List *
advance_runs(List *runs)
{
	List	 *left = NIL;
	FfFailure failure;
	ListCell *cell;

	if (ff_transaction(advance_all, runs, &failure))
		return runs;
	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		if (ff_item_find(run, "") == NULL && !(run->change != NULL && run->change->ended))
			ff_run_ask_next(run, GetCurrentTimestamp());
		if (ff_transaction(advance_all, list_make1(run), &failure) ||
			ff_group_refuse(run, &failure))
			left = lappend(left, run);
	}
	return left;
}

static void
shrink(FfRun *run)
{
	if (run->driver != NULL && run->change == NULL)
		run->driver->shrink(run);
}

/* Once a group has been written: what runs have in memory is then in their rows, too. */
void
ff_advance_spare(void)
{
	if (MemoryContextMemAllocated(ff_runs_context, true) > (Size) ff_executor_memory * 1024)
		ff_active_each(shrink);
}

void
ff_advance_turn(void)
{
	List	 *runs = advancing;
	ListCell *cell;

	if (runs == NIL || ff_group_held())
		return;
	advancing = NIL;
	foreach (cell, runs)
		((FfRun *) lfirst(cell))->advancing = false;
	runs = advance_runs(runs);
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
