/*
 * sql_worker.c - a sql worker: a background worker in a session of one role that runs the
 * statements of Sql steps, one at a time.
 *
 * The session is the role's own from its first moment, so there is nobody above it whom a statement
 * could become again by RESET. What the engine itself does in this session (reading the step,
 * writing its result) it does as the extension's owner inside a security-restricted operation with
 * a search path of its own, never while anything of the statement's is still to run.
 *
 * Before a statement commits, its run's row is locked and must still ask for the step, and no
 * earlier execution may have left a result (`claim_step`). Whoever wants to take the step from the
 * run, or the run from the world, writes that row, and so comes before the statement or after it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/discard.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "slot/hint.h"
#include "slot/shared.h"
#include "step/step.h"
#include "util/acting.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/json.h"
#include "util/spi.h"
#include "worker/worker.h"

#define IDLE_LIFE_MS 60000
#define INSIST_MS 1000 /* a statement that catches its cancellation is cancelled again, */
#define INSIST_TIMES 5 /* and then its session is ended */

static FfDatabase			*database;
static FfSqlBirth			 birth;
static uint32				 seen_epoch;
static TimeoutId			 statement_timer;
static volatile sig_atomic_t times_cancelled;

/* What is known of the claim in work. */
typedef struct Work
{
	MemoryContext context; /* of all of it: transactions come and go meanwhile */
	FfSqlClaim	  claim;
	Jsonb		 *options; /* NULL: the step is over, or nobody's */
	TimestampTz	  started;
	FfStatement	  statement;
	Jsonb		 *error;
	bool		  retry;
	bool		  over; /* the step was no longer asked for when its result was to be written */
} Work;

/* --- time --- */

static void
cancel_statement(void)
{
	times_cancelled++;
	InterruptPending = true;
	QueryCancelPending = true;
	if (times_cancelled > INSIST_TIMES)
		ProcDiePending = true;
	SetLatch(MyLatch);
}

static void
start_timer(int64 timeout)
{
	times_cancelled = 0;
	enable_timeout_every(statement_timer, GetCurrentTimestamp() + timeout, INSIST_MS);
}

static void
stop_timer(void)
{
	disable_timeout(statement_timer, false);
	QueryCancelPending = false;
}

/* --- acting as the extension's owner --- */

typedef struct Before
{
	FfActing acting;
	bool	 read_only;
} Before;

static Before
become_owner(void)
{
	Before before = {.read_only = XactReadOnly};

	before.acting = ff_act_as(birth.owner);
	/* What the role or the statement said about this transaction was not meant for the engine. */
	XactReadOnly = false;
	return before;
}

static void
become_role(const Before *before)
{
	XactReadOnly = before->read_only;
	ff_act_end(&before->acting);
}

/* --- the step in its run --- */

static Jsonb *
find_item(Jsonb *state, const char *step_id)
{
	Jsonb *items = state ? ff_json_member(state, "items") : NULL;
	uint32 count = items ? JB_ROOT_COUNT(items) : 0;

	for (uint32 i = 0; i < count; i++)
	{
		Jsonb *item = JsonbValueToJsonb(getIthJsonbValueFromContainer(&items->root, i));
		char  *id = ff_json_text(item, "id");
		char  *op = ff_json_text(item, "op");

		if (id != NULL && op != NULL && strcmp(id, step_id) == 0 && strcmp(op, "sql") == 0)
			return item;
	}
	return NULL;
}

static bool
has_result(const FfSqlClaim *claim)
{
	static FfPlan plan = {
		"select from flowforge.inbox i where i.slot = $1 and i.run_id = $2 and i.kind = 'sql' "
		"and i.payload ->> 'step' = $3 and i.payload ? 'memo'",
		3,
		{INT2OID, UUIDOID, TEXTOID}};
	Datum values[3] = {Int16GetDatum(ff_slot_of(&claim->run_id)), UUIDPGetDatum(&claim->run_id),
					   CStringGetTextDatum(claim->step_id)};

	return ff_spi_run(&plan, values, NULL, false) > 0;
}

static Jsonb *
state_by(FfPlan *plan, const FfSqlClaim *claim)
{
	Datum values[3] = {Int16GetDatum(ff_slot_of(&claim->run_id)), UUIDPGetDatum(&claim->run_id),
					   Int32GetDatum(claim->tenant_id)};
	bool  isnull;
	Datum state;

	if (ff_spi_run(plan, values, NULL, false) == 0)
		return NULL;
	state = ff_spi_value(0, 1, &isnull);
	return isnull ? NULL : DatumGetJsonbPCopy(state);
}

/* The step as its run asks for it, or NULL. */
static Jsonb *
look_at_step(const FfSqlClaim *claim)
{
	static FfPlan plan = {
		"select l.state from flowforge.live_run l where l.slot = $1 and l.run_id = $2 and l.tenant_id = $3",
		3,
		{INT2OID, UUIDOID, INT4OID}};
	Jsonb *item = find_item(state_by(&plan, claim), claim->step_id);

	return item == NULL || has_result(claim) ? NULL : item;
}

/* The same, locking the run's row until the transaction ends. A row may move from one table to the
 * other between the two looks. */
static Jsonb *
lock_step(const FfSqlClaim *claim)
{
	static FfPlan hot = {
		"select h.state from flowforge.run_hot h where h.slot = $1 and h.run_id = $2 and h.tenant_id = $3 "
		"for no key update",
		3,
		{INT2OID, UUIDOID, INT4OID}};
	static FfPlan parked = {
		"select p.state from flowforge.run_parked p where p.slot = $1 and p.run_id = $2 and p.tenant_id = $3 "
		"for no key update",
		3,
		{INT2OID, UUIDOID, INT4OID}};
	Jsonb *state = state_by(&hot, claim);
	Jsonb *item;

	if (state == NULL)
		state = state_by(&parked, claim);
	if (state == NULL)
		state = state_by(&hot, claim);
	item = find_item(state, claim->step_id);
	return item == NULL || has_result(claim) ? NULL : item;
}

/* Makes the step this transaction's, or ends the transaction. */
static void
claim_step(Work *work)
{
	work->over = lock_step(&work->claim) == NULL;
	if (work->over)
		ereport(ERROR, (errcode(FF_ERR_STEP_OVER), errmsg("the step is already over")));
}

/* --- the transactions of a claim --- */

/* Runs `body` in a transaction, connected to SPI. On an error gives it, copied, and the transaction
 * is rolled back. */
static ErrorData *
in_transaction(void (*body)(Work *), Work *work)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData *volatile error = NULL;

	SetCurrentStatementStartTimestamp();
	PG_TRY();
	{
		StartTransactionCommand();
		XactIsoLevel = XACT_READ_COMMITTED; /* whatever the role's default: see claim_step */
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "could not connect to SPI");
		PushActiveSnapshot(GetTransactionSnapshot());
		body(work);
		SPI_finish();
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		HOLD_INTERRUPTS();
		stop_timer();
		if (!work->over)
			EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return error;
}

static void
read_step(Work *work)
{
	Before before = become_owner();
	Jsonb *item = look_at_step(&work->claim);
	Jsonb *options = item ? ff_json_member(item, "o") : NULL;

	if (options != NULL)
	{
		Size size = VARSIZE(options);

		work->options = memcpy(MemoryContextAlloc(work->context, size), options, size);
	}
	become_role(&before);
}

static void
put_message(Work *work, Jsonb *memo)
{
	Before before = become_owner();

	claim_step(work);
	ff_inbox_post(
		work->claim.tenant_id, &work->claim.run_id, "sql",
		ff_sql_message(work->claim.step_id, memo, work->error, work->retry, work->started));
	become_role(&before);
}

static Jsonb *
wrap(const char *key, Jsonb *value)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, key);
	ff_jb_json(&builder, value);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* The statement and its result: one commit. */
static void
run_statement(Work *work)
{
	Jsonb *result;

	start_timer(work->statement.timeout);
	if (work->statement.role != NULL)
		(void) set_config_option("role", work->statement.role, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	result = ff_statement_run(&work->statement);
	put_message(work, wrap("data", result));
}

static void
report_error(Work *work)
{
	put_message(work, NULL);
}

/* Nothing of a statement's session meets the next one. */
static void
clean_session(void)
{
	DiscardStmt discard = {.type = T_DiscardStmt, .target = DISCARD_ALL};

	StartTransactionCommand();
	DiscardCommand(&discard, true);
	CommitTransactionCommand();
}

static void
use_tenant(int32 tenant_id)
{
	char text[12];

	snprintf(text, sizeof(text), "%d", tenant_id);
	/* As an override, so that RESET comes back to it. */
	SetConfigOption("flowforge.tenant", text, PGC_SUSET, PGC_S_OVERRIDE);
}

static void
note_error(Work *work, ErrorData *error)
{
	if (times_cancelled > 0 && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		error->message = psprintf("the statement took longer than " INT64_FORMAT " ms",
								  work->statement.timeout / 1000);
	work->retry = ff_statement_retriable(error);
	work->error = ff_step_error("SqlError", error);
}

static void
do_work(Work *work)
{
	ErrorData *error = in_transaction(read_step, work);

	if (error != NULL || work->options == NULL)
		return;
	ff_statement_read(&work->statement, work->options);
	use_tenant(work->claim.tenant_id);
	debug_query_string = work->statement.query;
	pgstat_report_activity(STATE_RUNNING, work->statement.query);
	work->started = GetCurrentTimestamp();
	error = in_transaction(run_statement, work);
	stop_timer();
	debug_query_string = NULL;
	if (error != NULL && !work->over)
	{
		note_error(work, error);
		(void) in_transaction(report_error, work);
	}
	clean_session();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* --- the process --- */

static void
leave(int code, Datum arg)
{
	ff_pool_leave(database, &birth);
}

static bool
stale(void)
{
	return pg_atomic_read_u32(&database->epoch) != seen_epoch || database->stopping;
}

static void
prepare(void)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	ConfigReloadPending = true; /* one while this process was being started was ignored */
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database->oid, birth.role, 0);
	statement_timer = RegisterTimeout(USER_TIMEOUT, cancel_statement);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Ends the process when there is nothing more to do here. */
static void
wait_for_work(void)
{
	int event = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, IDLE_LIFE_MS,
						  PG_WAIT_EXTENSION);

	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (ff_pool_leaving(database, birth.place, (event & WL_TIMEOUT) || stale()))
		proc_exit(0);
}

void
ff_sql_worker_main(Datum arg)
{
	MemoryContext context;

	memcpy(&birth, MyBgworkerEntry->bgw_extra, sizeof(birth));
	database = &ff_shared->databases[birth.database];
	if (!ff_pool_arrive(database, &birth))
		proc_exit(0);
	before_shmem_exit(leave, (Datum) 0);
	seen_epoch = birth.epoch;
	prepare();
	context =
		AllocSetContextCreate(TopMemoryContext, "flowforge statement", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		Work work = {.context = context};

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		QueryCancelPending = false;
		if (!ff_pool_take(database, birth.place, &work.claim))
			wait_for_work();
		else if (stale())
			proc_exit(0);
		else
		{
			do_work(&work);
			ff_pool_done(database, birth.place);
		}
	}
}
