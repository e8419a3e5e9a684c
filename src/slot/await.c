/*
 * await.c - ff_wait: a backend sleeps on its latch until the executor that ends a run wakes it.
 *
 * The backend first registers in shared memory and then looks whether the run has ended, so that an
 * end between the two is not missed. Registration is undone on every way out, the death of the
 * session included.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "slot/shared.h"
#include "util/errors.h"
#include "util/spi.h"

#define RECHECK_MS 30000 /* only a bound; every end wakes us */

static FfWaiter	  *registered = NULL;
static FfDatabase *registered_in = NULL;

static void
unregister_waiter(int code, Datum arg)
{
	if (registered == NULL)
		return;
	SpinLockAcquire(&registered_in->waiters_lock);
	registered->latch = NULL;
	registered_in->waiters_used--;
	SpinLockRelease(&registered_in->waiters_lock);
	registered = NULL;
}

/* False when all places are taken: the caller then looks more often. */
static bool
register_waiter(FfDatabase *database, const pg_uuid_t *run_id)
{
	static bool exit_hooked = false;

	if (!exit_hooked)
	{
		before_shmem_exit(unregister_waiter, (Datum) 0);
		exit_hooked = true;
	}
	SpinLockAcquire(&database->waiters_lock);
	for (int i = 0; i < FF_MAX_WAITERS && registered == NULL; i++)
	{
		if (database->waiters[i].latch == NULL)
		{
			registered = &database->waiters[i];
			registered_in = database;
			registered->run_id = *run_id;
			registered->latch = MyLatch;
			database->waiters_used++;
		}
	}
	SpinLockRelease(&database->waiters_lock);
	return registered != NULL;
}

typedef enum RunLook
{
	RUN_UNKNOWN,
	RUN_LIVE,
	RUN_OURS, /* started by this very transaction */
	RUN_ENDED
} RunLook;

/* Looks with a fresh snapshot. */
static RunLook
look(const pg_uuid_t *run_id)
{
	static FfPlan plan = {
		"select r.xmin::text, e.run_id is not null from flowforge.run r "
		"left join flowforge.run_end e on e.tenant_id = r.tenant_id and e.run_id = r.run_id "
		"where r.tenant_id = flowforge.current_tenant() and r.run_id = $1",
		1,
		{UUIDOID}};
	Datum	values[1] = {UUIDPGetDatum(run_id)};
	RunLook result = RUN_UNKNOWN;
	bool	isnull;

	SPI_connect();
	if (ff_spi_run(&plan, values, NULL, false) > 0)
	{
		char *xmin = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		if (TransactionIdIsCurrentTransactionId((TransactionId) strtoul(xmin, NULL, 10)))
			result = RUN_OURS;
		else
			result = DatumGetBool(ff_spi_value(0, 2, &isnull)) ? RUN_ENDED : RUN_LIVE;
	}
	SPI_finish();
	return result;
}

static RunLook
checked_look(const pg_uuid_t *run_id)
{
	RunLook result = look(run_id);

	if (result == RUN_UNKNOWN)
		ereport(ERROR, (errcode(FF_ERR_RUN_NOT_FOUND), errmsg("run does not exist"),
						errhint("select * from flowforge.runs lists the runs of this tenant.")));
	if (result == RUN_OURS)
		ereport(ERROR, (errcode(FF_ERR_RUN_NOT_COMMITTED),
						errmsg("the run was started by this transaction"),
						errdetail("It starts when the transaction commits."),
						errhint("Commit first, then wait.")));
	return result;
}

static bool
wait_for_end(const pg_uuid_t *run_id, int64 timeout_ms, bool woken)
{
	TimestampTz deadline = GetCurrentTimestamp() + timeout_ms * 1000;

	for (;;)
	{
		long left;
		int	 event;

		if (checked_look(run_id) == RUN_ENDED)
			return true;
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (left <= 0)
			return false;
		event = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						  Min(left, woken ? RECHECK_MS : 100), PG_WAIT_EXTENSION);
		if (event & WL_LATCH_SET)
			ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

PG_FUNCTION_INFO_V1(ff_run_await);
Datum
ff_run_await(PG_FUNCTION_ARGS)
{
	pg_uuid_t	run_id;
	int64		timeout_ms;
	FfDatabase *database = ff_shared_database();
	bool		ended = false;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("ff_wait needs a run and a time-out"),
				 errdetail("The %s is null.", PG_ARGISNULL(0) ? "run" : "time-out"),
				 errhint("Did ff_event_runs give a run? Without a time-out it is a minute.")));
	run_id = *PG_GETARG_UUID_P(0);
	timeout_ms = Min(Max(PG_GETARG_INT64(1), 0), INT64CONST(366) * 86400 * 1000);
	if (IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_STATE),
						errmsg("ff_wait cannot see a run end in this transaction"),
						errdetail("Its isolation level keeps showing it the past."),
						errhint("Use read committed.")));
	PG_TRY();
	{
		bool woken = database != NULL && register_waiter(database, &run_id);

		ended = wait_for_end(&run_id, timeout_ms, woken);
	}
	PG_FINALLY();
	{
		unregister_waiter(0, (Datum) 0);
	}
	PG_END_TRY();
	PG_RETURN_BOOL(ended);
}
