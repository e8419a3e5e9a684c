/*
 * executor.c - the loop of an executor: the owner of a share of the slots, and of every run in
 * them.
 *
 * Each turn it takes hints, reads messages, wakes what is due, reads runs that are ready, moves its
 * calls on, writes what has happened, and then waits for its latch, for a socket of libcurl's, or
 * for the next thing that is due. No transaction is open while it waits.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "http/client.h"
#include "sandbox/client.h"
#include "util/compat.h"
#include "util/spi.h"
#include "worker/call.h"
#include "worker/executor.h"
#include "worker/turn.h"
#include "worker/worker.h"

#define IDLE_RECHECK_MS 60000

bool ff_restoring = false;

FfDatabase	 *ff_my_database = NULL;
FfExecutor	 *ff_me = NULL;
int			  ff_my_number = 0;
Datum		  ff_my_slots;
MemoryContext ff_runs_context = NULL;
MemoryContext ff_group_context = NULL;

static uint32 seen_epoch = 0;

/* --- coming and going --- */

static void
leave(int code, Datum arg)
{
	SpinLockAcquire(&ff_me->lock);
	ff_me->latch = NULL;
	ff_me->pid = 0;
	SpinLockRelease(&ff_me->lock);
	pg_atomic_write_u32(&ff_me->state, FF_EXECUTOR_ABSENT);
	pg_atomic_write_u32(&ff_me->in_flight, 0);
	pg_atomic_write_u32(&ff_me->ready, 0);
	pg_atomic_write_u32(&ff_me->timers, 0);
	memset(ff_me->calls, 0, sizeof(ff_me->calls));
}

static void
arrive(void)
{
	memset(ff_me->calls, 0, sizeof(ff_me->calls));
	pg_atomic_write_u32(&ff_me->state, FF_EXECUTOR_STARTING);
	before_shmem_exit(leave, (Datum) 0);
	SpinLockAcquire(&ff_me->lock);
	ff_me->latch = MyLatch;
	ff_me->pid = MyProcPid;
	SpinLockRelease(&ff_me->lock);
}

static void
set_own_slots(void)
{
	Datum slots[FF_SLOTS];
	int	  count = 0;

	for (int s = ff_my_number; s < FF_SLOTS; s += ff_shared->executors)
		slots[count++] = Int16GetDatum(s);
	ff_my_slots = PointerGetDatum(construct_array(slots, count, INT2OID, 2, true, TYPALIGN_SHORT));
}

/* What the catalogs say of the extension: whether this executor may work, and as whom. */
typedef struct ExtensionLook
{
	FfExecutorState state;
	Oid				owner;
} ExtensionLook;

static void
look_at_extension(void *arg)
{
	static FfPlan plan = {
		"select e.extversion, e.extowner from pg_catalog.pg_extension e where e.extname = 'flowforge'",
		0,
		{0}};
	ExtensionLook *look = arg;
	bool		   isnull;

	look->state = FF_EXECUTOR_NO_EXTENSION;
	if (ff_spi_run(&plan, NULL, NULL, true) == 0)
		return;
	look->state = strcmp(TextDatumGetCString(ff_spi_value(0, 1, &isnull)), FF_VERSION) == 0
					  ? FF_EXECUTOR_WORKING
					  : FF_EXECUTOR_WRONG_VERSION;
	look->owner = DatumGetObjectId(ff_spi_value(0, 2, &isnull));
	if (ff_restoring)
		look->state = FF_EXECUTOR_RESTORING;
}

/* Leaves so that the launcher starts another, with nothing of ours in memory and the settings as
 * they are now. */
static void
start_over(const char *reason)
{
	ereport(DEBUG1, (errmsg("flowforge executor %d starts over: %s", ff_my_number, reason)));
	proc_exit(0);
}

static void
log_idle(void *arg)
{
	FfExecutorState state = *(FfExecutorState *) arg;

	ereport(LOG, (errmsg("flowforge executor %d in database \"%s\" is %s", ff_my_number,
						 get_database_name(MyDatabaseId), ff_executor_state_name(state))));
}

/* Waits, doing nothing, until something about the extension changes. */
static void
idle(FfExecutorState state)
{
	pg_atomic_write_u32(&ff_me->state, state);
	pgstat_report_activity(STATE_IDLE, NULL);
	for (;;)
	{
		int event = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							  IDLE_RECHECK_MS, PG_WAIT_EXTENSION);

		if (event & WL_LATCH_SET)
			ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			if (state == FF_EXECUTOR_RESTORING && !ff_restoring)
				start_over("restoring is off");
		}
		if (pg_atomic_read_u32(&ff_my_database->epoch) != seen_epoch)
			start_over("the extension changed");
	}
}

/* Returns when this executor may work. */
static void
require_extension(void)
{
	ExtensionLook look = {FF_EXECUTOR_NO_EXTENSION, InvalidOid};
	FfFailure	  failure;

	seen_epoch = pg_atomic_read_u32(&ff_my_database->epoch);
	if (!ff_transaction(look_at_extension, &look, &failure))
		proc_exit(1);
	if (look.state != FF_EXECUTOR_WORKING)
	{
		if (ff_my_number == 0)
			ff_transaction(log_idle, &look.state, &failure);
		idle(look.state);
	}
	SetSessionAuthorization(look.owner, true);
}

/* --- the loop --- */

static long
shorter(long a, long b)
{
	if (a < 0)
		return b;
	return b < 0 ? a : Min(a, b);
}

static long
milliseconds_until(TimestampTz at)
{
	return at == DT_NOEND ? -1 : TimestampDifferenceMilliseconds(GetCurrentTimestamp(), at);
}

static long
time_to_wait(void)
{
	long wait = shorter(ff_http_timeout(), ff_group_wait_left());

	wait = shorter(wait, ff_sandbox_timeout());
	wait = shorter(wait, milliseconds_until(ff_wake_next()));
	wait = shorter(wait, milliseconds_until(ff_clock_next()));
	wait = shorter(wait, milliseconds_until(ff_gate_next()));
	wait = shorter(wait, milliseconds_until(ff_starts_next()));
	wait = shorter(wait, milliseconds_until(ff_maintain_next()));
	wait = shorter(wait, milliseconds_until(ff_export_next()));
	wait = shorter(wait, milliseconds_until(ff_sweep_next()));
	wait = shorter(wait, milliseconds_until(ff_news_next()));
	/* While a group cannot be written there is nothing to be done but wait. */
	if (ff_group_held())
		return wait;
	if (ff_inbox_waiting() || ff_gate_waiting() || ff_calls_unhandled() || ff_advance_waiting())
		wait = 0;
	return shorter(wait, milliseconds_until(ff_queue_next()));
}

static WaitEventSet *
make_wait_set(void)
{
	WaitEventSet *set = ff_create_wait_event_set(4);

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, ff_http_descriptor(), NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, ff_sandbox_descriptor(), NULL, NULL);
	return set;
}

static void
publish_gauges(void)
{
	/* A run with parallel steps has several calls under way: what is left over is at least what is
	 * queued. */
	pg_atomic_write_u32(&ff_me->ready, (uint32) (ff_queue_length() +
												 Max(ff_active_count() - ff_calls_in_flight(), 0)));
	pg_atomic_write_u32(&ff_me->timers, (uint32) ff_timer_count());
}

/* While a session changes the extension, executors hold nothing open; when it has, they begin anew.
 */
static void
stand_aside(void)
{
	while (pg_atomic_read_u32(&ff_my_database->paused) != 0)
	{
		pg_atomic_write_u32(&ff_me->state, FF_EXECUTOR_PAUSED);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	pg_atomic_write_u32(&ff_me->state, FF_EXECUTOR_WORKING);
}

static void
call_done(FfHttpCall *call)
{
	if (!ff_export_done(call))
		ff_call_done(call);
}

static void
turn(void)
{
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		if (ff_restoring)
			start_over("restoring is on");
	}
	if (pg_atomic_read_u32(&ff_my_database->paused) != 0)
		stand_aside();
	if (pg_atomic_read_u32(&ff_my_database->epoch) != seen_epoch)
		start_over("the extension changed");
	AcceptInvalidationMessages();
	ff_gate_turn();
	ff_take_hints();
	ff_maintain_turn();
	ff_clock_turn();
	ff_starts_turn();
	ff_sweep_turn();
	ff_timers_turn();
	ff_inbox_turn();
	ff_sql_watch();
	ff_wake_turn();
	ff_admit_turn();
	ff_calls_finish();
	ff_http_drive(ff_call_progress, call_done);
	ff_export_turn();
	ff_news_turn();
	ff_code_drive();
	ff_group_flush(false);
	ff_claims_turn();
	publish_gauges();
}

static void
prepare(void)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	/* A reload while this process was being started was ignored. */
	ConfigReloadPending = true;
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(ff_my_database->oid, InvalidOid, 0);
	/* Every query looks keys up (util/plan.c). */
	SetConfigOption("enable_bitmapscan", "off", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("jit", "off", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION);
	/* Guards of effects, and the rows that sql workers lock, say that others see what is new. */
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("statement_timeout", "0", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("lock_timeout", "10s", PGC_USERSET, PGC_S_SESSION);
	ff_runs_context =
		AllocSetContextCreate(TopMemoryContext, "flowforge runs", ALLOCSET_DEFAULT_SIZES);
	ff_group_context =
		AllocSetContextCreate(TopMemoryContext, "flowforge group", ALLOCSET_DEFAULT_SIZES);
}

/*
 * Today's partitions are there before anybody is told that this executor works: rows that a new one
 * takes from the default partition are not seen by a reader who was before it in line and waits.
 */
static void
begin_work(void)
{
	if (pg_atomic_read_u32(&ff_my_database->paused) == 0)
		ff_maintain_turn();
	pg_atomic_write_u32(&ff_me->state, FF_EXECUTOR_WORKING);
}

void
ff_executor_main(Datum arg)
{
	MemoryContext turn_context;
	WaitEventSet *waits;

	ff_my_number = DatumGetInt32(arg) % FF_MAX_EXECUTORS;
	ff_my_database = &ff_shared->databases[DatumGetInt32(arg) / FF_MAX_EXECUTORS];
	ff_me = &ff_my_database->executors[ff_my_number];
	arrive();
	prepare();
	MemoryContextSwitchTo(TopMemoryContext);
	require_extension();
	set_own_slots();
	ff_active_init();
	ff_queue_init();
	ff_inbox_init();
	ff_sql_init();
	ff_http_init();
	ff_code_init();
	waits = make_wait_set();
	turn_context =
		AllocSetContextCreate(TopMemoryContext, "flowforge turn", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(turn_context);
	begin_work();
	pgstat_report_activity(STATE_IDLE, NULL);
	for (;;)
	{
		WaitEvent event;
		long	  pause;

		MemoryContextReset(turn_context);
		MemoryContextSwitchTo(turn_context);
		turn();
		pause = time_to_wait();
		ff_give_memory_back(pause);
		WaitEventSetWait(waits, pause, &event, 1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}
