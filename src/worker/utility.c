/*
 * utility.c - the ProcessUtility hook: DDL that the executors must know of, or step aside for.
 *
 * CREATE, ALTER and DROP EXTENSION flowforge make the executors of this database stand aside and
 * then begin anew; DROP, RENAME and CREATE
 * ... TEMPLATE DATABASE stop the executors of the database concerned; LISTEN and UNLISTEN on the
 * channel are counted, so that nobody is notified in vain; COMMIT PREPARED makes the owners look
 * for what the prepared transaction enqueued.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "tcop/utility.h"

#include "cron/cron.h"
#include "slot/shared.h"
#include "util/compat.h"
#include "worker/worker.h"

#define CHANNEL "flowforge"
#define PAUSE_TRIES 500 /* of 20 ms */

static ProcessUtility_hook_type previous_utility = NULL;
static bool						pausing = false; /* this session has the executors stand aside */
static bool						changed = false; /* and has changed what they must look at anew */
static bool						wake_launcher = false;
static bool						listening = false;

/* --- LISTEN --- */

static void
stop_listening(int code, Datum arg)
{
	FfDatabase *database = ff_shared_database();

	if (listening && database != NULL)
		pg_atomic_fetch_sub_u32(&database->listeners, 1);
	listening = false;
}

static void
start_listening(void)
{
	static bool hooked = false;
	FfDatabase *database = ff_shared_database();

	if (listening || database == NULL)
		return;
	if (!hooked)
	{
		before_shmem_exit(stop_listening, (Datum) 0);
		hooked = true;
	}
	listening = true;
	pg_atomic_fetch_add_u32(&database->listeners, 1);
}

/* --- the extension --- */

static bool
concerns_extension(Node *statement)
{
	ListCell *cell;

	switch (nodeTag(statement))
	{
		case T_CreateExtensionStmt:
			return strcmp(((CreateExtensionStmt *) statement)->extname, "flowforge") == 0;
		case T_AlterExtensionStmt:
			return strcmp(((AlterExtensionStmt *) statement)->extname, "flowforge") == 0;
		case T_DropStmt:
			/* DROP SCHEMA and DROP OWNED may take it along by CASCADE: pausing once too often harms
			 * nobody. */
			if (((DropStmt *) statement)->removeType == OBJECT_SCHEMA)
				return ((DropStmt *) statement)->behavior == DROP_CASCADE;
			if (((DropStmt *) statement)->removeType != OBJECT_EXTENSION)
				return false;
			foreach (cell, ((DropStmt *) statement)->objects)
			{
				if (strcmp(strVal(lfirst(cell)), "flowforge") == 0)
					return true;
			}
			return false;
		default:
			return false;
	}
}

static bool
all_aside(FfDatabase *database)
{
	for (int i = 0; i < ff_shared->executors; i++)
	{
		if (pg_atomic_read_u32(&database->executors[i].state) == FF_EXECUTOR_WORKING ||
			pg_atomic_read_u32(&database->executors[i].state) == FF_EXECUTOR_STARTING)
			return false;
	}
	return !ff_pool_busy(database);
}

static void
pause_executors(void)
{
	FfDatabase *database = ff_shared_database();

	if (database == NULL)
		return;
	if (!pausing)
	{
		pausing = true;
		pg_atomic_fetch_add_u32(&database->paused, 1);
	}
	for (int tries = 0; tries < PAUSE_TRIES && !all_aside(database); tries++)
	{
		ff_shared_wake_all(database);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 20,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
release_executors(void)
{
	FfDatabase *database = ff_shared_database();

	if (database != NULL && (changed || pausing))
		pg_atomic_fetch_add_u32(&database->epoch, 1);
	if (database != NULL && pausing)
		pg_atomic_fetch_sub_u32(&database->paused, 1);
	pausing = changed = false;
	if (database != NULL)
	{
		ff_shared_wake_all(database);
		ff_pool_wake_all(database);
	}
}

static void
release_at_exit(int code, Datum arg)
{
	if (pausing || changed)
		release_executors();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (pausing || changed)
		release_executors();
	if (wake_launcher)
		ff_shared_wake_launcher();
	wake_launcher = false;
}

/* --- databases --- */

/* The database whose workers must stop while the statement runs, or InvalidOid. */
static Oid
database_in_the_way(Node *statement)
{
	ListCell *cell;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return get_database_oid(((DropdbStmt *) statement)->dbname, true);
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				return get_database_oid(((RenameStmt *) statement)->subname, true);
			return InvalidOid;
		case T_CreatedbStmt:
			foreach (cell, ((CreatedbStmt *) statement)->options)
			{
				DefElem *option = lfirst(cell);

				if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
					return get_database_oid(defGetString(option), true);
			}
			return InvalidOid;
		default:
			return InvalidOid;
	}
}

/* --- the hook --- */

static void
before(Node *statement)
{
	if (concerns_extension(statement))
	{
		static bool hooked = false;

		if (!hooked)
		{
			before_shmem_exit(release_at_exit, (Datum) 0);
			hooked = true;
		}
		changed = true;
		if (!IsA(statement, CreateExtensionStmt))
			pause_executors();
		if (IsA(statement, DropStmt))
			ff_cron_drop_jobs();
	}
	if (IsA(statement, CreatedbStmt) || IsA(statement, DropdbStmt) || IsA(statement, RenameStmt))
		wake_launcher = true;
	/* ALTER DATABASE ... SET flowforge.restoring: settings are read when a worker starts. */
	if (IsA(statement, AlterDatabaseSetStmt) &&
		get_database_oid(((AlterDatabaseSetStmt *) statement)->dbname, true) == MyDatabaseId)
		changed = true;
}

static void
after(Node *statement)
{
	if (IsA(statement, ListenStmt) &&
		strcmp(((ListenStmt *) statement)->conditionname, CHANNEL) == 0)
		start_listening();
	if (IsA(statement, UnlistenStmt) &&
		(((UnlistenStmt *) statement)->conditionname == NULL ||
		 strcmp(((UnlistenStmt *) statement)->conditionname, CHANNEL) == 0))
		stop_listening(0, (Datum) 0);
	if (IsA(statement, DiscardStmt) && ((DiscardStmt *) statement)->target == DISCARD_ALL)
		stop_listening(0, (Datum) 0);
	if (IsA(statement, TransactionStmt) &&
		((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED &&
		ff_shared_database() != NULL)
		ff_shared_overflow(ff_shared_database());
}

static void
run_statement(PlannedStmt *pstmt, const char *text, bool readonly_tree,
			  ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
			  DestReceiver *dest, QueryCompletion *completion)
{
	if (previous_utility)
		previous_utility(pstmt, text, readonly_tree, context, params, environment, dest,
						 completion);
	else
		standard_ProcessUtility(pstmt, text, readonly_tree, context, params, environment, dest,
								completion);
}

static void
on_utility(PlannedStmt *pstmt, const char *text, bool readonly_tree, ProcessUtilityContext context,
		   ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
		   QueryCompletion *completion)
{
	/* The statement's memory may be gone when it is over (COMMIT): what is asked afterwards is
	 * asked of a copy. */
	Node *statement = pstmt->utilityStmt;
	bool  look_after = IsA(statement, ListenStmt) || IsA(statement, UnlistenStmt) ||
					  IsA(statement, DiscardStmt) ||
					  (IsA(statement, TransactionStmt) &&
					   ((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED);
	Oid stopped;

	before(statement);
	stopped = database_in_the_way(statement);
	if (!OidIsValid(stopped))
		run_statement(pstmt, text, readonly_tree, context, params, environment, dest, completion);
	else
	{
		PG_TRY();
		{
			ff_workers_stop(stopped);
			run_statement(pstmt, text, readonly_tree, context, params, environment, dest,
						  completion);
		}
		PG_FINALLY();
		{
			ff_workers_release(stopped);
		}
		PG_END_TRY();
	}
	if (look_after)
		after(statement);
}

void
ff_utility_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
	RegisterXactCallback(at_transaction_end, NULL);
}
