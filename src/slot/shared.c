/*
 * shared.c - the shared memory of the slots (see shared.h), and the functions that show it.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "slot/shared.h"
#include "team/caller.h"
#include "util/id.h"
#include "util/json.h"

FfShared *ff_shared = NULL;

int ff_executors = 2;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void
request_shared_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(sizeof(FfShared));
	RequestNamedLWLockTranche("flowforge", 1);
}

static void
init_executor(FfExecutor *executor, int tranche)
{
	SpinLockInit(&executor->lock);
	pg_atomic_init_u32(&executor->state, FF_EXECUTOR_ABSENT);
	pg_atomic_init_u32(&executor->ready, 0);
	pg_atomic_init_u32(&executor->in_flight, 0);
	pg_atomic_init_u32(&executor->timers, 0);
	pg_atomic_init_u64(&executor->commits, 0);
	pg_atomic_init_u64(&executor->steps, 0);
	pg_atomic_init_u64(&executor->runs_ended, 0);
	pg_atomic_init_u64(&executor->errors, 0);
	LWLockInitialize(&executor->calls_lock, tranche);
}

static void
init_database(FfDatabase *database, int tranche)
{
	pg_atomic_init_u64(&database->enqueued, 0);
	pg_atomic_init_u32(&database->listeners, 0);
	pg_atomic_init_u32(&database->paused, 0);
	pg_atomic_init_u32(&database->epoch, 0);
	pg_atomic_init_u32(&database->schedules, 0);
	pg_atomic_init_u64(&database->starts, 0);
	for (int i = 0; i < FF_QUOTAS; i++)
		pg_atomic_init_u64(&database->refused[i], 0);
	SpinLockInit(&database->waiters_lock);
	SpinLockInit(&database->gate.lock);
	for (int i = 0; i < FF_SLOTS; i++)
		SpinLockInit(&database->slots[i].lock);
	for (int i = 0; i < FF_MAX_EXECUTORS; i++)
		init_executor(&database->executors[i], tranche);
	ff_pool_init(&database->sql, tranche);
	ff_follow_init(&database->followed);
}

static void
start_shared_memory(void)
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	ff_shared = ShmemInitStruct("flowforge", sizeof(FfShared), &found);
	if (!found)
	{
		int tranche = GetNamedLWLockTranche("flowforge")->lock.tranche;

		memset(ff_shared, 0, sizeof(FfShared));
		LWLockInitialize(&ff_shared->lock, tranche);
		ff_shared->executors = ff_executors;
		ff_shared->life = ff_unix_us(GetCurrentTimestamp());
		ff_channel_make(ff_shared->live_channel);
		ff_rate_init(&ff_shared->rates);
		ff_depths_init(&ff_shared->depths);
		for (int i = 0; i < FF_MAX_DATABASES; i++)
			init_database(&ff_shared->databases[i], tranche);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
ff_shared_init(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

FfDatabase *
ff_shared_find(Oid oid, bool create)
{
	FfDatabase *result = NULL;
	FfDatabase *free_entry = NULL;

	if (ff_shared == NULL)
		return NULL;
	LWLockAcquire(&ff_shared->lock, create ? LW_EXCLUSIVE : LW_SHARED);
	for (int i = 0; i < FF_MAX_DATABASES && result == NULL; i++)
	{
		FfDatabase *entry = &ff_shared->databases[i];

		if (entry->oid == oid)
			result = entry;
		else if (entry->oid == InvalidOid && free_entry == NULL)
			free_entry = entry;
	}
	if (result == NULL && create && free_entry != NULL)
	{
		free_entry->oid = oid;
		result = free_entry;
	}
	LWLockRelease(&ff_shared->lock);
	return result;
}

FfDatabase *
ff_shared_database(void)
{
	static FfDatabase *cached = NULL;

	if (cached == NULL || cached->oid != MyDatabaseId)
		cached = OidIsValid(MyDatabaseId) ? ff_shared_find(MyDatabaseId, false) : NULL;
	return cached;
}

FfExecutor *
ff_shared_owner(FfDatabase *database, int slot)
{
	return &database->executors[slot % ff_shared->executors];
}

void
ff_shared_wake(FfExecutor *executor)
{
	SpinLockAcquire(&executor->lock);
	if (executor->latch != NULL)
		SetLatch(executor->latch);
	SpinLockRelease(&executor->lock);
}

void
ff_shared_wake_all(FfDatabase *database)
{
	for (int i = 0; i < ff_shared->executors; i++)
		ff_shared_wake(&database->executors[i]);
}

void
ff_shared_wake_launcher(void)
{
	Latch *latch = ff_shared != NULL ? ff_shared->launcher : NULL;

	if (latch != NULL)
		SetLatch(latch);
}

void
ff_shared_overflow(FfDatabase *database)
{
	for (int i = 0; i < FF_SLOTS; i++)
	{
		FfSlot *slot = &database->slots[i];

		SpinLockAcquire(&slot->lock);
		slot->overflow = true;
		slot->inbox = true;
		SpinLockRelease(&slot->lock);
	}
	SpinLockAcquire(&database->gate.lock);
	database->gate.overflow = true;
	SpinLockRelease(&database->gate.lock);
	pg_atomic_fetch_add_u32(&database->schedules, 1);
	ff_shared_starts_at(database, 0);
	ff_shared_wake_all(database);
}

void
ff_shared_schedules_changed(FfDatabase *database)
{
	pg_atomic_fetch_add_u32(&database->schedules, 1);
	ff_shared_wake(&database->executors[0]);
}

bool
ff_shared_starts_at(FfDatabase *database, TimestampTz at)
{
	uint64 known = pg_atomic_read_u64(&database->starts);

	while (at < (TimestampTz) known)
	{
		if (pg_atomic_compare_exchange_u64(&database->starts, &known, (uint64) at))
			return true;
	}
	return false;
}

const char *
ff_executor_state_name(FfExecutorState state)
{
	static const char *const names[] = {
		[FF_EXECUTOR_ABSENT] = "not running",
		[FF_EXECUTOR_STARTING] = "starting",
		[FF_EXECUTOR_WORKING] = "working",
		[FF_EXECUTOR_NO_EXTENSION] = "idle: the extension is not installed in this database",
		[FF_EXECUTOR_WRONG_VERSION] = "idle: the extension has another version than the library",
		[FF_EXECUTOR_RESTORING] = "idle: flowforge.restoring is on",
		[FF_EXECUTOR_PAUSED] = "idle: the extension is being changed",
	};

	return names[state];
}

PG_FUNCTION_INFO_V1(ff_slot_calls);
Datum
ff_slot_calls(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FfDatabase	  *database = ff_shared_database();
	FfCallInfo	  *copy = palloc(sizeof(FfCallInfo) * FF_MAX_CALLS);
	FfCaller	   caller = ff_caller();

	InitMaterializedSRF(fcinfo, 0);
	for (int e = 0; database != NULL && e < ff_shared->executors; e++)
	{
		FfExecutor *executor = &database->executors[e];

		if (pg_atomic_read_u32(&executor->in_flight) == 0)
			continue;
		LWLockAcquire(&executor->calls_lock, LW_SHARED);
		memcpy(copy, executor->calls, sizeof(FfCallInfo) * FF_MAX_CALLS);
		LWLockRelease(&executor->calls_lock);
		for (int i = 0; i < FF_MAX_CALLS; i++)
		{
			Datum values[6];
			bool  nulls[6] = {false};

			if (!copy[i].used || !ff_caller_sees(&caller, copy[i].tenant_id))
				continue;
			values[0] = Int32GetDatum(e);
			values[1] = Int32GetDatum(copy[i].tenant_id);
			values[2] = UUIDPGetDatum(&copy[i].run_id);
			values[3] = CStringGetTextDatum(copy[i].step_id);
			values[4] = Int32GetDatum(copy[i].attempt);
			values[5] = TimestampTzGetDatum(copy[i].started_at);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}

/* Whether a call is the one that a checkpoint says it belongs to. */
static bool
is_call(const FfCallInfo *call, FunctionCallInfo fcinfo)
{
	if (!call->used || call->step_id[0] != '\0' ||
		memcmp(&call->run_id, PG_GETARG_UUID_P(0), sizeof(pg_uuid_t)) != 0)
		return false;
	if (!PG_ARGISNULL(1) && memcmp(&call->request_id, PG_GETARG_UUID_P(1), sizeof(pg_uuid_t)) != 0)
		return false;
	return PG_ARGISNULL(2) || call->generation == PG_GETARG_INT64(2);
}

PG_FUNCTION_INFO_V1(ff_slot_call_is_live);
Datum
ff_slot_call_is_live(PG_FUNCTION_ARGS)
{
	FfDatabase *database = ff_shared_database();
	FfExecutor *owner;
	bool		found = false;

	if (database == NULL || PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	owner = ff_shared_owner(database, ff_slot_of(PG_GETARG_UUID_P(0)));
	LWLockAcquire(&owner->calls_lock, LW_SHARED);
	for (int i = 0; i < FF_MAX_CALLS && !found; i++)
		found = is_call(&owner->calls[i], fcinfo);
	LWLockRelease(&owner->calls_lock);
	PG_RETURN_BOOL(found);
}

static void
put_executor(ReturnSetInfo *result, int number, FfExecutor *executor)
{
	Datum		values[12];
	bool		nulls[12] = {false};
	char		message[FF_MESSAGE_SIZE];
	TimestampTz at;
	pid_t		pid;

	SpinLockAcquire(&executor->lock);
	pid = executor->pid;
	at = executor->last_error_at;
	memcpy(message, executor->last_error, sizeof(message));
	SpinLockRelease(&executor->lock);
	values[0] = Int32GetDatum(number);
	values[1] = Int32GetDatum((int32) pid);
	nulls[1] = pid == 0;
	values[2] = CStringGetTextDatum(ff_executor_state_name(pg_atomic_read_u32(&executor->state)));
	values[3] = Int32GetDatum((int32) pg_atomic_read_u32(&executor->ready));
	values[4] = Int32GetDatum((int32) pg_atomic_read_u32(&executor->in_flight));
	values[5] = Int32GetDatum((int32) pg_atomic_read_u32(&executor->timers));
	values[6] = Int64GetDatum((int64) pg_atomic_read_u64(&executor->commits));
	values[7] = Int64GetDatum((int64) pg_atomic_read_u64(&executor->steps));
	values[8] = Int64GetDatum((int64) pg_atomic_read_u64(&executor->runs_ended));
	values[9] = Int64GetDatum((int64) pg_atomic_read_u64(&executor->errors));
	values[10] = CStringGetTextDatum(message);
	values[11] = TimestampTzGetDatum(at);
	nulls[10] = nulls[11] = at == 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

void
ff_shared_refused(FfQuota quota)
{
	FfDatabase *database = ff_shared_database();

	if (database != NULL)
		pg_atomic_fetch_add_u64(&database->refused[quota], 1);
}

/* flowforge.refusals() */
PG_FUNCTION_INFO_V1(ff_slot_refusals);
Datum
ff_slot_refusals(PG_FUNCTION_ARGS)
{
	static const char *const names[FF_QUOTAS] = {
		[FF_QUOTA_QUEUED] = "max_queued",
		[FF_QUOTA_EVENTS_PER_SECOND] = "max_events_per_second",
		[FF_QUOTA_PAYLOAD_BYTES] = "max_payload_bytes",
	};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FfDatabase	  *database = ff_shared_database();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; database != NULL && i < FF_QUOTAS; i++)
	{
		Datum values[2] = {CStringGetTextDatum(names[i]),
						   Int64GetDatum((int64) pg_atomic_read_u64(&database->refused[i]))};
		bool  nulls[2] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(ff_slot_executors);
Datum
ff_slot_executors(PG_FUNCTION_ARGS)
{
	FfDatabase *database = ff_shared_database();

	InitMaterializedSRF(fcinfo, 0);
	for (int e = 0; database != NULL && e < ff_shared->executors; e++)
		put_executor((ReturnSetInfo *) fcinfo->resultinfo, e, &database->executors[e]);
	return (Datum) 0;
}
