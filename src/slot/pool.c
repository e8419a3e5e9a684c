/*
 * pool.c - the sql workers of a database in shared memory (see pool.h).
 *
 * All of it is under the pool's lock, which is held for a few assignments only. Signals are sent
 * while it is held: a worker gives up a claim under the same lock, so a signal never meets the next
 * one.
 */
#include "postgres.h"

#include <signal.h>

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "slot/pool.h"
#include "slot/shared.h"

int ff_sql_workers = 4;

void
ff_pool_init(FfSqlPool *pool, int tranche)
{
	memset(pool, 0, sizeof(*pool));
	LWLockInitialize(&pool->lock, tranche);
}

static void
set_state(FfSqlWorker *worker, FfSqlState state)
{
	worker->state = state;
	worker->since = GetCurrentTimestamp();
}

static void
wake_executors(FfDatabase *database, uint32 mask)
{
	for (int e = 0; e < FF_MAX_EXECUTORS; e++)
	{
		if (mask & (1u << e))
			ff_shared_wake(&database->executors[e]);
	}
}

/* --- executors --- */

static int
find_place(const FfSqlPool *pool, FfSqlState state, Oid role)
{
	for (int i = 0; i < ff_sql_workers; i++)
	{
		const FfSqlWorker *worker = &pool->workers[i];

		if (worker->state == state && (role == InvalidOid || worker->role == role))
			return i;
	}
	return -1;
}

static void
give(FfSqlPool *pool, int place, int executor, const FfSqlClaim *claim, uint64 *number)
{
	FfSqlWorker *worker = &pool->workers[place];

	worker->number = *number = ++pool->claims;
	worker->claimed = true;
	worker->executor = executor;
	worker->claim = *claim;
}

/* Asks the idle worker that has been idle longest to leave. */
static void
make_room(FfSqlPool *pool)
{
	FfSqlWorker *oldest = NULL;

	for (int i = 0; i < ff_sql_workers; i++)
	{
		FfSqlWorker *worker = &pool->workers[i];

		if (worker->state == FF_SQL_LEAVING)
			return;
		if (worker->state == FF_SQL_IDLE && (oldest == NULL || worker->since < oldest->since))
			oldest = worker;
	}
	if (oldest == NULL)
		return;
	set_state(oldest, FF_SQL_LEAVING);
	SetLatch(oldest->latch);
}

FfPoolAnswer
ff_pool_claim(FfDatabase *database, int executor, Oid role, const FfSqlClaim *claim, int *place,
			  uint64 *number)
{
	FfSqlPool	*pool = &database->sql;
	FfPoolAnswer answer = FF_POOL_FULL;

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	if ((*place = find_place(pool, FF_SQL_IDLE, role)) >= 0)
	{
		answer = FF_POOL_GIVEN;
		give(pool, *place, executor, claim, number);
		set_state(&pool->workers[*place], FF_SQL_BUSY);
		SetLatch(pool->workers[*place].latch);
	}
	else if ((*place = find_place(pool, FF_SQL_FREE, InvalidOid)) >= 0)
	{
		answer = FF_POOL_START;
		give(pool, *place, executor, claim, number);
		set_state(&pool->workers[*place], FF_SQL_STARTING);
		pool->workers[*place].role = role;
		pool->workers[*place].birth = ++pool->births;
	}
	else
	{
		pool->wanted |= 1u << executor;
		make_room(pool);
	}
	LWLockRelease(&pool->lock);
	return answer;
}

FfSqlBirth
ff_pool_birth(FfDatabase *database, int place)
{
	FfSqlBirth birth = {0};

	birth.database = (int) (database - ff_shared->databases);
	birth.place = place;
	birth.birth = database->sql.workers[place].birth;
	birth.role = database->sql.workers[place].role;
	birth.epoch = pg_atomic_read_u32(&database->epoch);
	birth.owner = GetUserId();
	return birth;
}

static void
free_place(FfSqlWorker *worker)
{
	worker->claimed = false;
	worker->pid = 0;
	worker->latch = NULL;
	set_state(worker, FF_SQL_FREE);
}

void
ff_pool_stillborn(FfDatabase *database, int place, uint32 birth)
{
	FfSqlPool	*pool = &database->sql;
	FfSqlWorker *worker = &pool->workers[place];

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	if (worker->birth == birth && worker->state == FF_SQL_STARTING && worker->pid == 0)
		free_place(worker);
	LWLockRelease(&pool->lock);
}

bool
ff_pool_over(FfDatabase *database, int place, uint64 number, bool *died)
{
	FfSqlPool		  *pool = &database->sql;
	const FfSqlWorker *worker = &pool->workers[place];
	bool			   over;

	LWLockAcquire(&pool->lock, LW_SHARED);
	over = !worker->claimed || worker->number != number;
	*died = worker->died == number;
	LWLockRelease(&pool->lock);
	return over;
}

void
ff_pool_cancel(FfDatabase *database, int place, uint64 number)
{
	FfSqlPool		  *pool = &database->sql;
	const FfSqlWorker *worker = &pool->workers[place];

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	if (worker->claimed && worker->number == number && worker->pid != 0)
		kill(worker->pid, SIGINT);
	LWLockRelease(&pool->lock);
}

int
ff_pool_room(FfDatabase *database)
{
	FfSqlPool *pool = &database->sql;
	int		   room = 0;

	LWLockAcquire(&pool->lock, LW_SHARED);
	for (int i = 0; i < ff_sql_workers; i++)
		room += pool->workers[i].state == FF_SQL_FREE || pool->workers[i].state == FF_SQL_IDLE;
	LWLockRelease(&pool->lock);
	return room;
}

void
ff_pool_adopt(FfDatabase *database, int executor)
{
	FfSqlPool *pool = &database->sql;

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	for (int i = 0; i < FF_MAX_SQL_WORKERS; i++)
	{
		FfSqlWorker *worker = &pool->workers[i];

		if (worker->state == FF_SQL_STARTING && worker->executor == executor && worker->pid == 0)
			free_place(worker);
	}
	LWLockRelease(&pool->lock);
}

/* --- sql workers --- */

bool
ff_pool_arrive(FfDatabase *database, const FfSqlBirth *birth)
{
	FfSqlPool	*pool = &database->sql;
	FfSqlWorker *worker = &pool->workers[birth->place];
	bool		 expected;

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	expected = worker->birth == birth->birth && worker->state == FF_SQL_STARTING;
	if (expected)
	{
		worker->pid = MyProcPid;
		worker->latch = MyLatch;
	}
	LWLockRelease(&pool->lock);
	return expected;
}

void
ff_pool_leave(FfDatabase *database, const FfSqlBirth *birth)
{
	FfSqlPool	*pool = &database->sql;
	FfSqlWorker *worker = &pool->workers[birth->place];
	uint32		 wake = 0;

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	if (worker->birth == birth->birth && worker->pid == MyProcPid)
	{
		wake = pool->wanted | (worker->claimed ? 1u << worker->executor : 0);
		pool->wanted = 0;
		if (worker->claimed && worker->state == FF_SQL_BUSY)
			worker->died = worker->number;
		free_place(worker);
	}
	LWLockRelease(&pool->lock);
	wake_executors(database, wake);
}

bool
ff_pool_take(FfDatabase *database, int place, FfSqlClaim *claim)
{
	FfSqlPool	*pool = &database->sql;
	FfSqlWorker *worker = &pool->workers[place];
	bool		 taken;

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	taken = worker->claimed;
	*claim = worker->claim;
	if (worker->state == FF_SQL_STARTING)
		set_state(worker, taken ? FF_SQL_BUSY : FF_SQL_IDLE);
	LWLockRelease(&pool->lock);
	return taken;
}

void
ff_pool_done(FfDatabase *database, int place)
{
	FfSqlPool	*pool = &database->sql;
	FfSqlWorker *worker = &pool->workers[place];
	uint32		 wake;

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	wake = pool->wanted | (1u << worker->executor);
	pool->wanted = 0;
	worker->claimed = false;
	set_state(worker, FF_SQL_IDLE);
	LWLockRelease(&pool->lock);
	wake_executors(database, wake);
}

bool
ff_pool_leaving(FfDatabase *database, int place, bool leave_now)
{
	FfSqlPool	*pool = &database->sql;
	FfSqlWorker *worker = &pool->workers[place];
	bool		 leaving;

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	if (leave_now && worker->state == FF_SQL_IDLE)
		set_state(worker, FF_SQL_LEAVING);
	leaving = worker->state == FF_SQL_LEAVING;
	LWLockRelease(&pool->lock);
	return leaving;
}

/* --- everybody --- */

bool
ff_pool_busy(FfDatabase *database)
{
	FfSqlPool *pool = &database->sql;
	bool	   busy = false;

	LWLockAcquire(&pool->lock, LW_SHARED);
	for (int i = 0; i < FF_MAX_SQL_WORKERS; i++)
		busy |= pool->workers[i].claimed && pool->workers[i].pid != 0;
	LWLockRelease(&pool->lock);
	return busy;
}

void
ff_pool_wake_all(FfDatabase *database)
{
	FfSqlPool *pool = &database->sql;

	LWLockAcquire(&pool->lock, LW_SHARED);
	for (int i = 0; i < FF_MAX_SQL_WORKERS; i++)
	{
		if (pool->workers[i].latch != NULL)
			SetLatch(pool->workers[i].latch);
	}
	LWLockRelease(&pool->lock);
}

bool
ff_pool_stop(FfDatabase *database)
{
	FfSqlPool *pool = &database->sql;
	bool	   stopped = true;

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	for (int i = 0; i < FF_MAX_SQL_WORKERS; i++)
	{
		if (pool->workers[i].pid == 0)
			continue;
		stopped = false;
		kill(pool->workers[i].pid, SIGTERM);
	}
	LWLockRelease(&pool->lock);
	return stopped;
}

static const char *
state_name(FfSqlState state)
{
	static const char *const names[] = {[FF_SQL_FREE] = "free",
										[FF_SQL_STARTING] = "starting",
										[FF_SQL_IDLE] = "idle",
										[FF_SQL_BUSY] = "busy",
										[FF_SQL_LEAVING] = "leaving"};

	return names[state];
}

static void
put_worker(ReturnSetInfo *result, int place, const FfSqlWorker *worker)
{
	Datum values[7];
	bool  nulls[7] = {false};

	values[0] = Int32GetDatum(place);
	values[1] = Int32GetDatum((int32) worker->pid);
	nulls[1] = worker->pid == 0;
	values[2] = CStringGetTextDatum(state_name(worker->state));
	values[3] = ObjectIdGetDatum(worker->role);
	values[4] = TimestampTzGetDatum(worker->since);
	values[5] = UUIDPGetDatum(&worker->claim.run_id);
	values[6] = CStringGetTextDatum(worker->claim.step_id);
	nulls[5] = nulls[6] = !worker->claimed;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(ff_slot_sql_workers);
Datum
ff_slot_sql_workers(PG_FUNCTION_ARGS)
{
	FfDatabase *database = ff_shared_database();
	FfSqlWorker copy[FF_MAX_SQL_WORKERS];

	InitMaterializedSRF(fcinfo, 0);
	if (database == NULL)
		return (Datum) 0;
	LWLockAcquire(&database->sql.lock, LW_SHARED);
	memcpy(copy, database->sql.workers, sizeof(copy));
	LWLockRelease(&database->sql.lock);
	for (int i = 0; i < FF_MAX_SQL_WORKERS; i++)
	{
		if (copy[i].state != FF_SQL_FREE)
			put_worker((ReturnSetInfo *) fcinfo->resultinfo, i, &copy[i]);
	}
	return (Datum) 0;
}
