/*
 * executor.c - the loop of an executor: the owner of a share of the slots, and of every run in
 * them.
 *
 * Each turn it takes hints, reads messages, wakes what is due, reads runs that are ready, moves its
 * calls on, writes what has happened, and then waits for its latch, for a socket of libcurl's, or
 * for the next thing that is due. No transaction is open while it waits.
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "function/function.h"
#include "http/client.h"
#include "protocol/protocol.h"
#include "util/compat.h"
#include "util/id.h"
#include "util/spi.h"
#include "worker/executor.h"
#include "worker/worker.h"

#define LOAD_BATCH 128
#define INBOX_BATCH 128
#define SWEEP_BATCH 1024
#define TIMER_BATCH 20000
#define TIMER_HORIZON_S 300
#define TIMER_SLACK_MS 4
#define HOLD_MS 100
#define TIMER_LEAD_S 30 /* the heap is filled again so long before it must be */
#define MAINTENANCE_S 3600
#define IDLE_RECHECK_MS 60000
#define TRIM_IDLE_MS 1000
#define TRIM_RUNS 1000

int	 ff_sweep_interval = 5000;
int	 ff_partitions_ahead = 3;
int	 ff_retention = 30;
bool ff_restoring = false;

FfDatabase	 *ff_my_database = NULL;
FfExecutor	 *ff_me = NULL;
int			  ff_my_number = 0;
MemoryContext ff_runs_context = NULL;
MemoryContext ff_group_context = NULL;

static Datum	   my_slots; /* smallint[] */
static bool		   inbox_waiting = true;
static bool		   sweep_wanted = true;
static uint64	   swept_at = 0; /* database->enqueued before the last sweep */
static TimestampTz last_sweep = 0;
static TimestampTz next_maintenance = 0;
static bool		   timers_wanted = true;
static TimestampTz last_firing = 0;
static int		   admitted = 0; /* since memory was given back */
static uint32	   seen_epoch = 0;

void
ff_executor_read_inbox(void)
{
	inbox_waiting = true;
}

/* --- transactions --- */

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
	my_slots = PointerGetDatum(construct_array(slots, count, INT2OID, 2, true, TYPALIGN_SHORT));
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
	pg_atomic_write_u32(&ff_me->state, FF_EXECUTOR_WORKING);
}

/* --- finding work --- */

static void
take_hints(void)
{
	for (int s = ff_my_number; s < FF_SLOTS; s += ff_shared->executors)
	{
		FfSlot	 *slot = &ff_my_database->slots[s];
		pg_uuid_t taken[FF_RING_SIZE];
		uint32	  count = 0;

		/* A look without the lock: who adds something sets our latch afterwards. */
		if (slot->count == 0 && !slot->overflow && !slot->inbox)
			continue;
		SpinLockAcquire(&slot->lock);
		for (; slot->count > 0; slot->count--)
		{
			taken[count++] = slot->ring[slot->head];
			slot->head = (slot->head + 1) % FF_RING_SIZE;
		}
		sweep_wanted |= slot->overflow;
		inbox_waiting |= slot->inbox;
		slot->overflow = slot->inbox = false;
		SpinLockRelease(&slot->lock);
		for (uint32 i = 0; i < count; i++)
		{
			if (!ff_queue_push(&taken[i], false))
				sweep_wanted = true;
		}
	}
}

static void
sweep_slot(int slot)
{
	pg_uuid_t last = {{0}};
	pg_uuid_t found[SWEEP_BATCH];
	int		  count;

	do
	{
		CHECK_FOR_INTERRUPTS();
		count = ff_store_sweep(slot, &last, SWEEP_BATCH, found);
		for (int i = 0; i < count; i++)
		{
			if (!ff_queue_push(&found[i], false))
			{
				sweep_wanted = true;
				return;
			}
			last = found[i];
		}
	} while (count == SWEEP_BATCH);
}

static void
sweep_slots(void *arg)
{
	for (int s = ff_my_number; s < FF_SLOTS; s += ff_shared->executors)
		sweep_slot(s);
}

/*
 * Rows are the truth: looks for runnable runs at the start, when a ring overflowed, and some
 * seconds after work has come in, if any has. An idle server looks for nothing.
 */
static void
sweep(void)
{
	uint64		enqueued = pg_atomic_read_u64(&ff_my_database->enqueued);
	TimestampTz now = GetCurrentTimestamp();
	FfFailure	failure;

	if (!sweep_wanted &&
		(enqueued == swept_at || now < last_sweep + (int64) ff_sweep_interval * 1000))
		return;
	/* A queue that is full has work enough; what it has no room for is found when it has shrunk. */
	if (ff_queue_length() > 8000)
		return;
	sweep_wanted = false;
	swept_at = enqueued;
	last_sweep = now;
	inbox_waiting = true;
	if (!ff_transaction(sweep_slots, NULL, &failure))
		sweep_wanted = true;
}

typedef struct LoadRequest
{
	pg_uuid_t ids[LOAD_BATCH];
	int		  count;
} LoadRequest;

static bool
only_slept(const FfChange *change)
{
	ListCell *cell;

	if (change->ended || change->waits_done != NIL || change->signals_done != NIL ||
		change->inbox != NIL || change->effects != NIL)
		return false;
	foreach (cell, change->steps)
	{
		if (strcmp(((FfStepRow *) lfirst(cell))->op, "sleep") != 0)
			return false;
	}
	return true;
}

/*
 * What is due of a run is done. That a sleep has ended needs no commit before the app is called: it
 * has, whoever looks, and after a crash too. So its change is held, for the answer to be written
 * with it, but not for longer than HOLD_MS; unless the app reads the rows itself.
 */
static void
wake(FfRun *run, TimestampTz now)
{
	bool		  first = run->change == NULL;
	MemoryContext old = MemoryContextSwitchTo(first ? run->context : ff_group_context);

	ff_run_wake(run, now);
	MemoryContextSwitchTo(old);
	if (first && run->change != NULL && only_slept(run->change) && !ff_reads_rows(run))
	{
		run->change->held = true;
		ff_timer_push(now + HOLD_MS * 1000, &run->id);
	}
	else
		ff_group_add(run);
}

/* In memory: what was due while the run was not is done first. */
static void
admit(FfRun *run)
{
	ff_active_add(run);
	admitted++;
	wake(run, GetCurrentTimestamp());
}

static List *loaded = NIL;

static void
load_runs(void *arg)
{
	LoadRequest *request = arg;
	List		*runs =
		ff_store_load(request->ids, request->count, ff_runs_context, GetCurrentTimestamp());
	ListCell	 *cell;
	MemoryContext old;

	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		ff_function_get(run->tenant_id, run->function_id, run->version);
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	loaded = list_copy(runs);
	MemoryContextSwitchTo(old);
}

/* Reads runs; when one of them cannot be read, the others one by one, and that one again in a
 * while. */
static bool
load(LoadRequest *request)
{
	FfFailure failure;

	loaded = NIL;
	if (request->count == 0 || ff_transaction(load_runs, request, &failure))
		return true;
	loaded = NIL;
	if (request->count == 1)
		ff_timer_push(GetCurrentTimestamp() + 60 * USECS_PER_SEC, &request->ids[0]);
	for (int i = 0; request->count > 1 && i < request->count; i++)
	{
		LoadRequest one = {.count = 1};
		List	   *before = loaded;

		one.ids[0] = request->ids[i];
		loaded = NIL;
		load(&one);
		loaded = list_concat(before, loaded);
	}
	return false;
}

static void
load_ready(void)
{
	LoadRequest request;
	ListCell   *cell;
	List	   *runs;
	long		room = Min(2 * ff_max_in_flight - ff_active_count(), LOAD_BATCH);

	/* What a run has been told may change what it calls: a checkpoint, for example. */
	if (room <= 0 || ff_queue_length() == 0 || inbox_waiting)
		return;
	request.count = ff_queue_pop(request.ids, (int) room);
	load(&request);
	runs = loaded;
	foreach (cell, runs)
		admit(lfirst(cell));
	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		if (ff_may_call(run))
			ff_settle(run);
	}
	list_free(runs);
}

/* --- messages --- */

static List			*messages = NIL;
static MemoryContext message_context = NULL;

bool
ff_messages_waiting(void)
{
	take_hints();
	return inbox_waiting;
}

/* A batch of messages, and with each all others to the same run. */
static void
read_messages(void *arg)
{
	List		 *found = ff_store_inbox(my_slots, INBOX_BATCH);
	MemoryContext old;
	ListCell	 *cell;

	if (list_length(found) == INBOX_BATCH)
		found = list_concat(found, ff_store_inbox_rest(my_slots, found));
	old = MemoryContextSwitchTo(message_context);
	foreach (cell, found)
	{
		FfMessage *message = palloc(sizeof(FfMessage));

		*message = *(FfMessage *) lfirst(cell);
		message->kind = pstrdup(message->kind);
		message->payload =
			memcpy(palloc(VARSIZE(message->payload)), message->payload, VARSIZE(message->payload));
		messages = lappend(messages, message);
	}
	MemoryContextSwitchTo(old);
}

static void
drop_messages(void *arg)
{
	ff_store_drop_messages(arg);
}

static void
load_addressees(void)
{
	LoadRequest request = {.count = 0};
	ListCell   *cell;

	foreach (cell, messages)
	{
		FfMessage *message = lfirst(cell);
		bool	   known = ff_active_find(&message->run_id) != NULL;

		for (int i = 0; i < request.count && !known; i++)
			known = memcmp(&request.ids[i], &message->run_id, sizeof(pg_uuid_t)) == 0;
		Assert(known || request.count < LOAD_BATCH);
		if (!known)
			request.ids[request.count++] = message->run_id;
	}
	load(&request);
	foreach (cell, loaded)
		admit(lfirst(cell));
	list_free(loaded);
	loaded = NIL;
}

static void
hand_over_message(FfRun *run, const FfMessage *message)
{
	Size   size = VARSIZE(message->payload);
	Jsonb *payload = memcpy(palloc(size), message->payload, size);

	if (strcmp(message->kind, "checkpoint") == 0)
		ff_checkpoint_message(run, payload, GetCurrentTimestamp());
	else if (strcmp(message->kind, "report") == 0)
		ff_report_message(run, payload, GetCurrentTimestamp());
	else
		ff_run_message(run, message->kind, payload, GetCurrentTimestamp());
}

static void
deliver(FfMessage *message, List **orphans)
{
	FfRun		 *run = ff_active_find(&message->run_id);
	MemoryContext old;
	pg_uuid_t	 *id;

	if (run == NULL)
	{
		*orphans = lappend(*orphans, message);
		return;
	}
	/* A statement that committed while its run was ending: the ending takes its result. */
	if (run->change != NULL && run->change->ended && strcmp(message->kind, "sql") == 0)
		return;
	old = MemoryContextSwitchTo(ff_group_context);
	id = palloc(sizeof(pg_uuid_t));
	*id = message->id;
	ff_run_change(run)->inbox = lappend(ff_run_change(run)->inbox, id);
	if (!run->change->ended)
		hand_over_message(run, message);
	MemoryContextSwitchTo(old);
	if (run->change->ended)
		ff_abandon(run);
	ff_group_add(run);
}

/* Messages are read, handled and deleted before any more are read, so none is handled twice. */
static void
handle_messages(void)
{
	FfFailure	  failure;
	List		 *orphans = NIL;
	ListCell	 *cell;
	MemoryContext old;

	if (!inbox_waiting || ff_group_wait_left() >= 0)
	{
		if (!inbox_waiting)
			return;
		ff_group_flush(true);
		if (ff_group_wait_left() >= 0)
			return; /* it could not be written just now */
	}
	inbox_waiting = false;
	messages = NIL;
	MemoryContextReset(message_context);
	if (!ff_transaction(read_messages, NULL, &failure))
	{
		inbox_waiting = true;
		return;
	}
	if (messages == NIL)
		return;
	inbox_waiting = list_length(messages) >= INBOX_BATCH;
	load_addressees();
	old = MemoryContextSwitchTo(message_context);
	foreach (cell, messages)
		deliver(lfirst(cell), &orphans);
	MemoryContextSwitchTo(old);
	if (orphans != NIL)
		ff_transaction(drop_messages, orphans, &failure);
	ff_group_flush(true);
	if (ff_group_wait_left() >= 0)
		inbox_waiting =
			false; /* kept for later with its messages; the next sweep or hint reads on */
}

/* --- time --- */

static void
read_timers(void *arg)
{
	FfTimer	   *found = palloc(sizeof(FfTimer) * TIMER_BATCH);
	TimestampTz horizon = GetCurrentTimestamp() + TIMER_HORIZON_S * USECS_PER_SEC;
	int			count = ff_store_timers(my_slots, ff_timer_horizon, horizon, TIMER_BATCH, found);

	for (int i = 0; i < count; i++)
		ff_timer_push(found[i].due, &found[i].run_id);
	ff_timer_horizon = count == TIMER_BATCH ? found[count - 1].due - 1 : horizon;
	ff_timer_beyond = ff_store_next_timer(my_slots, ff_timer_horizon);
}

/* Keeps the heap filled for the next minutes; with nothing parked beyond it there is nothing to
 * look for. */
static void
fill_timers(void)
{
	TimestampTz now = GetCurrentTimestamp();
	FfFailure	failure;

	if (!timers_wanted &&
		(ff_timer_beyond == DT_NOEND || now < ff_timer_beyond - TIMER_LEAD_S * USECS_PER_SEC))
		return;
	timers_wanted = !ff_transaction(read_timers, NULL, &failure);
	/* Runs in memory whose rows are in run_hot are due, too. */
	if (!timers_wanted)
		ff_active_each(ff_set_timer);
}

/* When the next timer is to fire: those due within TIMER_SLACK_MS of the last ones fire together.
 */
static TimestampTz
next_firing(void)
{
	return Max(ff_timer_next(), last_firing + TIMER_SLACK_MS * 1000);
}

static void
fire_timers(void)
{
	TimestampTz now = GetCurrentTimestamp();
	pg_uuid_t	id;

	if (ff_timer_next() > now || next_firing() > now)
		return;
	last_firing = now;
	while (ff_timer_pop(now, &id))
	{
		FfRun *run = ff_active_find(&id);

		if (run == NULL)
		{
			if (!ff_queue_push(&id, true))
				timers_wanted = true;
			continue;
		}
		if (run->change != NULL && run->change->ended)
			continue;
		wake(run, now);
		if (run->change != NULL && run->change->ended)
			ff_abandon(run);
		if (ff_may_call(run))
			ff_settle(run);
	}
}

/* --- maintenance --- */

static void
maintain_table(void *arg)
{
	static FfPlan plan = {"select flowforge.maintain($1, $2, make_interval(days => $3))",
						  3,
						  {TEXTOID, INT4OID, INT4OID}};
	Datum		  values[3] = {CStringGetTextDatum(arg), Int32GetDatum(ff_partitions_ahead),
							   Int32GetDatum(ff_retention)};

	ff_spi_run(&plan, values, NULL, false);
}

static void
forget_keys(void *arg)
{
	static FfPlan plan = {"with e as (delete from flowforge.event_key where expires_at < now()) "
						  "delete from flowforge.request_key where expires_at < now()",
						  0,
						  {0}};

	ff_spi_run(&plan, NULL, NULL, false);
}

static void
forget_approvals(void *arg)
{
	static FfPlan plan = {
		"select flowforge.forget_approvals(make_interval(days => $1))", 1, {INT4OID}};
	Datum values[1] = {Int32GetDatum(ff_retention)};

	ff_spi_run(&plan, values, NULL, false);
}

/* pg_cron may have come or gone. */
static void
sync_jobs(void *arg)
{
	static FfPlan plan = {"select flowforge.sync_jobs()", 0, {0}};

	ff_spi_run(&plan, NULL, NULL, false);
}

/* Executor 0 makes partitions ahead and drops old ones, a table a transaction. */
static void
maintain(void)
{
	static char *const tables[] = {"event", "run", "step", "run_end", "run_event_batch"};
	FfFailure		   failure;

	if (ff_my_number != 0 || GetCurrentTimestamp() < next_maintenance)
		return;
	next_maintenance = GetCurrentTimestamp() + MAINTENANCE_S * USECS_PER_SEC;
	for (int i = 0; i < (int) lengthof(tables); i++)
	{
		if (!ff_transaction(maintain_table, tables[i], &failure))
			next_maintenance = GetCurrentTimestamp() + 60 * USECS_PER_SEC;
	}
	ff_transaction(forget_keys, NULL, &failure);
	ff_transaction(forget_approvals, NULL, &failure);
	ff_transaction(sync_jobs, NULL, &failure);
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

	if (ff_timer_next() != DT_NOEND)
		wait = shorter(wait, milliseconds_until(next_firing()));
	wait = shorter(wait, milliseconds_until(ff_clock_next()));
	if (ff_timer_beyond != DT_NOEND)
		wait = shorter(wait, milliseconds_until(ff_timer_beyond - TIMER_LEAD_S * USECS_PER_SEC));
	if (ff_my_number == 0)
		wait = shorter(wait, milliseconds_until(next_maintenance));
	if (pg_atomic_read_u64(&ff_my_database->enqueued) != swept_at)
		wait = shorter(wait, milliseconds_until(last_sweep + (int64) ff_sweep_interval * 1000));
	/* While a group cannot be written there is nothing to be done but wait. */
	if (ff_group_held())
		return wait;
	if (inbox_waiting || ff_calls_unhandled() ||
		(ff_queue_length() > 0 && ff_active_count() < 2 * ff_max_in_flight))
		wait = 0;
	return wait;
}

static WaitEventSet *
make_wait_set(void)
{
	WaitEventSet *set = ff_create_wait_event_set(3);

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, ff_http_descriptor(), NULL, NULL);
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
	take_hints();
	maintain();
	ff_clock_turn();
	sweep();
	fill_timers();
	handle_messages();
	ff_sql_watch();
	fire_timers();
	load_ready();
	ff_calls_finish();
	ff_http_drive(ff_call_progress, ff_call_done);
	ff_group_flush(false);
	publish_gauges();
}

static void
prepare(void)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
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
	message_context =
		AllocSetContextCreate(TopMemoryContext, "flowforge messages", ALLOCSET_DEFAULT_SIZES);
}

/* Runs that have gone to sleep leave holes: before a pause the pages in them go back to the system.
 */
static void
give_memory_back(long pause)
{
#ifdef __GLIBC__
	if (admitted < TRIM_RUNS || (pause >= 0 && pause < TRIM_IDLE_MS))
		return;
	admitted = 0;
	malloc_trim(0);
#endif
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
	ff_sql_init();
	ff_http_init();
	waits = make_wait_set();
	turn_context =
		AllocSetContextCreate(TopMemoryContext, "flowforge turn", ALLOCSET_DEFAULT_SIZES);
	pgstat_report_activity(STATE_IDLE, NULL);
	for (;;)
	{
		WaitEvent event;
		long	  pause;

		MemoryContextReset(turn_context);
		MemoryContextSwitchTo(turn_context);
		turn();
		pause = time_to_wait();
		give_memory_back(pause);
		WaitEventSetWait(waits, pause, &event, 1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}
