/*
 * filter.c - the errors of filters, counted by function (see filter.h).
 */
#include "postgres.h"

#include "commands/extension.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "function/filter.h"
#include "team/caller.h"

#define MAX_FUNCTIONS 1024 /* with errors; those of more replace the oldest */
#define WHY_SIZE 200
#define TRANCHE "flowforge filters"

/* The extension's own id is part of it: what is created anew begins with no errors. */
typedef struct FilterKey
{
	Oid	  database;
	Oid	  extension;
	int32 tenant_id;
	int32 function_id;
} FilterKey;

typedef struct FilterErrors
{
	FilterKey	key;
	int64		count;
	TimestampTz last_at;
	char		why[WHY_SIZE];
} FilterErrors;

static HTAB					  *errors = NULL;
static LWLock				  *lock = NULL;
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void
request_shared_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(hash_estimate_size(MAX_FUNCTIONS, sizeof(FilterErrors)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
start_shared_memory(void)
{
	HASHCTL control = {.keysize = sizeof(FilterKey), .entrysize = sizeof(FilterErrors)};

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	errors = ShmemInitHash(TRANCHE, MAX_FUNCTIONS, MAX_FUNCTIONS, &control, HASH_ELEM | HASH_BLOBS);
	lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	LWLockRelease(AddinShmemInitLock);
}

void
ff_filter_init(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

/* Makes room by forgetting the entry whose last error is longest ago. */
static void
forget_oldest(void)
{
	HASH_SEQ_STATUS scan;
	FilterErrors   *entry;
	FilterKey		oldest = {0};
	TimestampTz		at = DT_NOEND;

	hash_seq_init(&scan, errors);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->last_at < at)
		{
			oldest = entry->key;
			at = entry->last_at;
		}
	}
	hash_search(errors, &oldest, HASH_REMOVE, NULL);
}

void
ff_filter_failed(int32 tenant_id, int32 function_id, const char *why)
{
	FilterKey key = {MyDatabaseId, get_extension_oid("flowforge", true), tenant_id, function_id};
	FilterErrors *entry;
	bool		  found;

	if (errors == NULL)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	hash_search(errors, &key, HASH_FIND, &found);
	if (!found && hash_get_num_entries(errors) >= MAX_FUNCTIONS)
		forget_oldest();
	entry = hash_search(errors, &key, HASH_ENTER_NULL, &found);
	if (entry != NULL)
	{
		entry->count = found ? entry->count + 1 : 1;
		entry->last_at = GetCurrentTimestamp();
		strlcpy(entry->why, why, sizeof(entry->why));
	}
	LWLockRelease(lock);
}

bool
ff_filter_passes(const FfExpr *filter, const FfBinding *bindings, int count, int32 tenant_id,
				 int32 function_id)
{
	char why[WHY_SIZE];
	bool passes = ff_expr_filter_why(filter, bindings, count, why, sizeof(why));

	if (why[0] != '\0')
		ff_filter_failed(tenant_id, function_id, why);
	return passes;
}

/* A copy of this database's entries, so that nothing is made under the lock. */
static FilterErrors *
copy_entries(int *count)
{
	Oid				extension = get_extension_oid("flowforge", true);
	HASH_SEQ_STATUS scan;
	FilterErrors   *copy;
	FilterErrors   *entry;

	*count = 0;
	if (errors == NULL)
		return NULL;
	copy = palloc(sizeof(FilterErrors) * MAX_FUNCTIONS);
	LWLockAcquire(lock, LW_SHARED);
	hash_seq_init(&scan, errors);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->key.database == MyDatabaseId && entry->key.extension == extension &&
			*count < MAX_FUNCTIONS)
			copy[(*count)++] = *entry;
	}
	LWLockRelease(lock);
	return copy;
}

PG_FUNCTION_INFO_V1(ff_function_filter_errors);
Datum
ff_function_filter_errors(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FilterErrors  *entries;
	FfCaller	   caller = ff_caller();
	int			   count;

	InitMaterializedSRF(fcinfo, 0);
	entries = copy_entries(&count);
	for (int i = 0; i < count; i++)
	{
		Datum values[5] = {Int32GetDatum(entries[i].key.tenant_id),
						   Int32GetDatum(entries[i].key.function_id),
						   Int64GetDatum(entries[i].count), CStringGetTextDatum(entries[i].why),
						   TimestampTzGetDatum(entries[i].last_at)};
		bool  nulls[5] = {false};

		if (!ff_caller_sees(&caller, entries[i].key.tenant_id))
			continue;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
