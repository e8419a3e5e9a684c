/*
 * transaction.c - work in a transaction of its own, whose failure is the executor's to survive: it
 * is logged, shown in flowforge.executors(), and told to the caller.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "worker/executor.h"

static void
note_failure(const ErrorData *error, FfFailure *failure)
{
	failure->sqlstate = error->sqlerrcode;
	strlcpy(failure->message, error->message ? error->message : "", sizeof(failure->message));
	pg_atomic_fetch_add_u64(&ff_me->errors, 1);
	SpinLockAcquire(&ff_me->lock);
	strlcpy(ff_me->last_error, failure->message, sizeof(ff_me->last_error));
	ff_me->last_error_at = GetCurrentTimestamp();
	SpinLockRelease(&ff_me->lock);
}

bool
ff_transaction(void (*work)(void *), void *arg, FfFailure *failure)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	SetCurrentStatementStartTimestamp();
	PG_TRY();
	{
		StartTransactionCommand();
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "could not connect to SPI");
		PushActiveSnapshot(GetTransactionSnapshot());
		work(arg);
		SPI_finish();
		PopActiveSnapshot();
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		note_failure(error, failure);
		RESUME_INTERRUPTS();
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	pgstat_report_stat(false);
	return done;
}
