/*
 * launcher.c - starts the executors of each configured database and starts them again when they
 * end.
 *
 * The launcher is connected to no database, so that it stands in nobody's way; it sees only the
 * shared catalogs. A database that does not exist yet is looked for again when one is created, and
 * every half minute.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "slot/shared.h"
#include "worker/worker.h"

#define LOOK_AGAIN_MS 30000
#define MIN_LIFE_US \
	(1 * USECS_PER_SEC) /* one that ends sooner is started again only after a pause */

char *ff_databases = NULL;

typedef struct Child
{
	BackgroundWorkerHandle *handle;
	TimestampTz				started;
} Child;

static Child children[FF_MAX_DATABASES][FF_MAX_EXECUTORS];

static void
forget_launcher(int code, Datum arg)
{
	ff_shared->launcher = NULL;
}

static bool
running(Child *child)
{
	pid_t pid;

	if (child->handle == NULL)
		return false;
	if (GetBackgroundWorkerPid(child->handle, &pid) != BGWH_STOPPED)
		return true;
	pfree(child->handle);
	child->handle = NULL;
	return false;
}

static void
start_executor(int database, int number)
{
	BackgroundWorker worker = {0};
	Child			*child = &children[database][number];

	snprintf(worker.bgw_name, BGW_MAXLEN, "flowforge executor %d", number);
	snprintf(worker.bgw_type, BGW_MAXLEN, "flowforge executor");
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "flowforge");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "ff_executor_main");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = Int32GetDatum(database * FF_MAX_EXECUTORS + number);
	worker.bgw_notify_pid = MyProcPid;
	child->started = GetCurrentTimestamp();
	if (!RegisterDynamicBackgroundWorker(&worker, &child->handle))
		ereport(LOG, (errmsg("flowforge could not start executor %d", number),
					  errhint("Raise max_worker_processes.")));
}

/* Starts what is not running of a database; milliseconds after which to look again, or -1. */
static long
tend_database(int index)
{
	FfDatabase *database = &ff_shared->databases[index];
	long		again = -1;

	for (int i = 0; i < ff_shared->executors; i++)
	{
		Child	   *child = &children[index][i];
		TimestampTz now = GetCurrentTimestamp();

		if (running(child))
		{
			if (database->stopping)
				TerminateBackgroundWorker(child->handle);
			continue;
		}
		if (database->stopping)
			continue;
		if (now - child->started < MIN_LIFE_US)
			again = 1000;
		else
			start_executor(index, i);
		if (child->handle == NULL)
			again = 1000;
	}
	return again;
}

static bool
configured(List *names, const char *name)
{
	ListCell *cell;

	foreach (cell, names)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

/* A dropped database's entry is free again. */
static void
free_entries(List *existing)
{
	for (int i = 0; i < FF_MAX_DATABASES; i++)
	{
		FfDatabase *database = &ff_shared->databases[i];

		if (OidIsValid(database->oid) && !list_member_oid(existing, database->oid))
		{
			database->oid = InvalidOid;
			database->stopping = false;
		}
	}
}

/*
 * Gives the configured databases that exist and accept connections an entry each. pg_database is
 * read from end to end, because without a database of one's own its indexes may not be usable.
 */
static void
find_databases(void)
{
	List		 *names;
	List		 *existing = NIL;
	Relation	  relation;
	TableScanDesc scan;
	HeapTuple	  tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	if (!SplitIdentifierString(pstrdup(ff_databases), ',', &names))
		ereport(LOG, (errmsg("flowforge.databases is not a list of names: \"%s\"", ff_databases)));
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database row = (Form_pg_database) GETSTRUCT(tuple);

		existing = lappend_oid(existing, row->oid);
		if (configured(names, NameStr(row->datname)) && row->datallowconn &&
			ff_shared_find(row->oid, true) == NULL)
			ereport(LOG, (errmsg("flowforge serves at most %d databases", FF_MAX_DATABASES)));
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	free_entries(existing);
	CommitTransactionCommand();
}

static int
configured_count(void)
{
	int count = *ff_databases ? 1 : 0;

	for (const char *c = ff_databases; *c != '\0'; c++)
		count += *c == ',';
	return count;
}

static long
tend(void)
{
	long wait = -1;
	int	 known = 0;

	for (int i = 0; i < FF_MAX_DATABASES; i++)
	{
		long again;

		if (!OidIsValid(ff_shared->databases[i].oid))
			continue;
		known++;
		again = tend_database(i);
		wait = again >= 0 ? again : wait;
	}
	if (wait < 0 && known < configured_count())
		wait = LOOK_AGAIN_MS;
	return wait;
}

void
ff_launcher_main(Datum arg)
{
	MemoryContext context;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	before_shmem_exit(forget_launcher, (Datum) 0);
	ff_shared->launcher = MyLatch;
	context =
		AllocSetContextCreate(TopMemoryContext, "flowforge launcher turn", ALLOCSET_DEFAULT_SIZES);
	pgstat_report_activity(STATE_IDLE, NULL);
	for (;;)
	{
		long wait;

		/* Handles of workers live in TopMemoryContext, everything else is of this turn. */
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		find_databases();
		MemoryContextSwitchTo(TopMemoryContext);
		wait = tend();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (wait >= 0 ? WL_TIMEOUT : 0),
						 wait, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

void
ff_worker_register(void)
{
	BackgroundWorker worker = {0};

	snprintf(worker.bgw_name, BGW_MAXLEN, "flowforge launcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "flowforge launcher");
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "flowforge");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "ff_launcher_main");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	RegisterBackgroundWorker(&worker);
}

static bool
any_executor(FfDatabase *database)
{
	for (int i = 0; i < ff_shared->executors; i++)
	{
		if (database->executors[i].pid != 0)
			return true;
	}
	return false;
}

void
ff_workers_stop(Oid oid)
{
	FfDatabase *database = OidIsValid(oid) ? ff_shared_find(oid, false) : NULL;

	if (database == NULL)
		return;
	database->stopping = true;
	for (int tries = 0; tries < 500 && (!ff_pool_stop(database) || any_executor(database)); tries++)
	{
		ff_shared_wake_launcher();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 20,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
ff_workers_release(Oid oid)
{
	FfDatabase *database = OidIsValid(oid) ? ff_shared_find(oid, false) : NULL;

	if (database != NULL)
		database->stopping = false;
	ff_shared_wake_launcher();
}
