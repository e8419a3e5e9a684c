/*
 * hint.c - gathering hints in a transaction and handing them over at its commit (see hint.h).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "slot/hint.h"
#include "slot/shared.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/json.h"
#include "util/rows.h"
#include "util/spi.h"

#define MAX_PENDING 1024 /* beyond it the owners are told from where on to look for themselves */

static struct
{
	int			runs_count;
	int			ended_count;
	bool		overflow;
	FfLost		lost; /* that there was no room for */
	bool		schedules;
	bool		starts;
	TimestampTz starts_at;
	bool		limits;
	bool		notes_lost;
	int			notes_count;
	uint64		inboxes; /* bit per slot */
	FfReady		runs[MAX_PENDING];
	pg_uuid_t	ended[MAX_PENDING];
	FfGateNote	notes[MAX_PENDING];
} pending;

StaticAssertDecl(FF_SLOTS == 64, "pending.inboxes has a bit for each slot");

static bool
anything_pending(void)
{
	return pending.runs_count > 0 || pending.lost.count > 0 || pending.ended_count > 0 ||
		   pending.overflow || pending.schedules || pending.starts || pending.limits ||
		   pending.notes_count > 0 || pending.inboxes != 0;
}

static void
forget(void)
{
	pending.runs_count = 0;
	pending.ended_count = 0;
	pending.overflow = false;
	pending.lost.count = 0;
	pending.lost.others = false;
	pending.schedules = false;
	pending.limits = false;
	pending.notes_lost = false;
	pending.notes_count = 0;
	pending.starts = false;
	pending.inboxes = 0;
}

static void
keep_least(FfReady *least, const FfReady *run)
{
	if (memcmp(&run->run_id, &least->run_id, sizeof(pg_uuid_t)) < 0)
		least->run_id = run->run_id;
	if (run->rank != 0 && (least->rank == 0 || run->rank < least->rank))
		least->rank = run->rank;
}

void
ff_lost_add(FfLost *lost, const FfReady *run)
{
	/* No look at run_hot finds it: only a sweep does. */
	lost->others |= run->rank == FF_RANK_GRANTED;
	for (int i = 0; i < lost->count; i++)
	{
		if (lost->tenants[i].tenant_id == run->tenant_id)
		{
			keep_least(&lost->tenants[i], run);
			return;
		}
	}
	if (lost->count == FF_LOST_TENANTS)
		lost->others = true;
	else
		lost->tenants[lost->count++] = *run;
}

/* What was lost may be in any slot. */
static void
push_lost(FfDatabase *database)
{
	for (int s = 0; s < FF_SLOTS; s++)
	{
		FfSlot *slot = &database->slots[s];

		SpinLockAcquire(&slot->lock);
		for (int i = 0; i < pending.lost.count; i++)
			ff_lost_add(&slot->lost, &pending.lost.tenants[i]);
		slot->overflow |= pending.lost.others;
		SpinLockRelease(&slot->lock);
	}
}

static void
push_run(FfDatabase *database, const FfReady *run)
{
	FfSlot *slot = &database->slots[ff_slot_of(&run->run_id)];

	SpinLockAcquire(&slot->lock);
	if (slot->count == FF_RING_SIZE)
		ff_lost_add(&slot->lost, run);
	else
		slot->ring[(slot->head + slot->count++) % FF_RING_SIZE] = *run;
	SpinLockRelease(&slot->lock);
}

/* Pushes what is pending; the bits of `wake` are the executors that have something new. */
static uint32
push_all(FfDatabase *database)
{
	uint32 wake = 0;

	for (int i = 0; i < pending.runs_count; i++)
	{
		push_run(database, &pending.runs[i]);
		wake |= 1u << (ff_slot_of(&pending.runs[i].run_id) % ff_shared->executors);
	}
	if (pending.lost.count > 0)
	{
		push_lost(database);
		wake = PG_UINT32_MAX;
	}
	for (int slot = 0; slot < FF_SLOTS; slot++)
	{
		if ((pending.inboxes & (UINT64CONST(1) << slot)) == 0)
			continue;
		SpinLockAcquire(&database->slots[slot].lock);
		database->slots[slot].inbox = true;
		SpinLockRelease(&database->slots[slot].lock);
		wake |= 1u << (slot % ff_shared->executors);
	}
	return wake;
}

static void
wake_waiters(FfDatabase *database)
{
	SpinLockAcquire(&database->waiters_lock);
	if (database->waiters_used > 0)
	{
		for (int w = 0; w < FF_MAX_WAITERS; w++)
		{
			FfWaiter *waiter = &database->waiters[w];

			for (int i = 0; waiter->latch != NULL && i < pending.ended_count; i++)
			{
				if (memcmp(&waiter->run_id, &pending.ended[i], sizeof(pg_uuid_t)) == 0)
					SetLatch(waiter->latch);
			}
		}
	}
	SpinLockRelease(&database->waiters_lock);
}

static void
push_notes(FfGateRing *gate)
{
	SpinLockAcquire(&gate->lock);
	gate->changed |= pending.limits;
	gate->overflow |= pending.notes_lost;
	for (int i = 0; i < pending.notes_count; i++)
	{
		if (gate->count == FF_GATE_NOTES)
			gate->overflow = true;
		else
			gate->notes[(gate->head + gate->count++) % FF_GATE_NOTES] = pending.notes[i];
	}
	SpinLockRelease(&gate->lock);
}

static void
hand_over(void)
{
	FfDatabase *database = ff_shared_database();
	uint32		wake;

	if (database == NULL)
		return;
	wake = push_all(database);
	if (pending.notes_count > 0 || pending.limits)
	{
		push_notes(&database->gate);
		wake |= 1u; /* executor 0 keeps the gate */
	}
	if (pending.overflow)
		ff_shared_overflow(database);
	if (pending.schedules)
		ff_shared_schedules_changed(database);
	if (pending.starts && ff_shared_starts_at(database, pending.starts_at))
		ff_shared_wake(&database->executors[0]);
	for (int e = 0; e < ff_shared->executors; e++)
	{
		if (wake & (1u << e))
			ff_shared_wake(&database->executors[e]);
	}
	if (pending.ended_count > 0)
		wake_waiters(database);
}

static void
at_transaction_event(XactEvent event, void *arg)
{
	if (!anything_pending())
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			/* Counted before the commit, so that "nothing counted" proves "nothing committed":
			 * executors then need no sweep. */
			if (ff_shared_database() != NULL)
				pg_atomic_fetch_add_u64(&ff_shared_database()->enqueued, 1);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
			hand_over();
			forget();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			forget();
			break;
	}
}

void
ff_hint_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
}

void
ff_hint_run(int32 tenant_id, const pg_uuid_t *run_id, TimestampTz rank)
{
	FfReady run = {rank, tenant_id, *run_id};

	if (pending.runs_count < MAX_PENDING)
		pending.runs[pending.runs_count++] = run;
	else
		ff_lost_add(&pending.lost, &run);
}

void
ff_hint_everything(void)
{
	pending.overflow = true;
}

void
ff_hint_schedules(void)
{
	pending.schedules = true;
}

static void
add_note(int64 queue, const pg_uuid_t *run_id, int released)
{
	FfGateNote *note;

	if (pending.notes_count == MAX_PENDING)
	{
		pending.notes_lost = true;
		return;
	}
	note = &pending.notes[pending.notes_count++];
	note->queue = queue;
	note->released = released;
	memset(&note->run_id, 0, sizeof(note->run_id));
	if (run_id != NULL)
		note->run_id = *run_id;
}

void
ff_hint_waits(int64 queue)
{
	/* Many runs of one call often wait in one queue. */
	if (pending.notes_count > 0 && pending.notes[pending.notes_count - 1].queue == queue &&
		pending.notes[pending.notes_count - 1].released == 0)
		return;
	add_note(queue, NULL, 0);
}

void
ff_hint_released(int64 queue, const pg_uuid_t *run_id, int released)
{
	add_note(queue, run_id, released);
}

void
ff_hint_limits(void)
{
	pending.limits = true;
}

void
ff_hint_starts(TimestampTz at)
{
	if (!pending.starts || at < pending.starts_at)
		pending.starts_at = at;
	pending.starts = true;
}

void
ff_hint_run_ended(const pg_uuid_t *run_id)
{
	if (pending.ended_count < MAX_PENDING)
		pending.ended[pending.ended_count++] = *run_id;
}

#define INBOX_COLUMNS 6

static void
inbox_values(const FfPost *post, Datum values[INBOX_COLUMNS])
{
	int		   slot = ff_slot_of(&post->run_id);
	pg_uuid_t *inbox_id = palloc(sizeof(pg_uuid_t));

	ff_uuid7(inbox_id);
	values[0] = Int16GetDatum(slot);
	values[1] = UUIDPGetDatum(inbox_id);
	values[2] = Int32GetDatum(post->tenant_id);
	values[3] = UUIDPGetDatum(&post->run_id);
	values[4] = CStringGetTextDatum(post->kind);
	values[5] = JsonbPGetDatum(post->payload);
	pending.inboxes |= UINT64CONST(1) << slot;
}

void
ff_inbox_post(int32 tenant_id, const pg_uuid_t *run_id, const char *kind, Jsonb *payload)
{
	static FfPlan insert = {
		"insert into flowforge.inbox (slot, inbox_id, tenant_id, run_id, kind, payload) values ($1, $2, $3, $4, $5, $6)",
		INBOX_COLUMNS,
		{INT2OID, UUIDOID, INT4OID, UUIDOID, TEXTOID, JSONBOID}};
	FfPost post = {tenant_id, *run_id, kind, payload};
	Datum  values[INBOX_COLUMNS];

	inbox_values(&post, values);
	ff_spi_run(&insert, values, NULL, false);
}

void
ff_inbox_post_many(const FfPost *posts, int count)
{
	static const FfTable table = {
		"inbox", INBOX_COLUMNS, {"slot", "inbox_id", "tenant_id", "run_id", "kind", "payload"}};
	FfRows rows = {.table = &table};

	for (int i = 0; i < count; i++)
	{
		Datum values[INBOX_COLUMNS];

		inbox_values(&posts[i], values);
		ff_rows_add(&rows, values, NULL);
	}
	ff_rows_write(&rows);
}

#define ENVELOPE_DEPTH 4 /* levels that what is posted may have around what somebody gave */

/* What is posted reaches an app, which reads nothing deeper than what it may answer. */
static void
check_depth(Jsonb *payload)
{
	int most = ff_json_depth_limit + ENVELOPE_DEPTH;

	if (ff_json_depth(payload, most + 1) > most)
		ereport(ERROR, (errcode(FF_ERR_EVENT_DEPTH), errmsg("the data is nested too deeply"),
						errdetail("At most %d levels are allowed.", ff_json_depth_limit),
						errhint("The limit is flowforge.json_depth_limit.")));
}

PG_FUNCTION_INFO_V1(ff_slot_post);
Datum
ff_slot_post(PG_FUNCTION_ARGS)
{
	char *kind;

	for (int i = 0; i < 4; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("flowforge.post takes no null")));
	}
	kind = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	check_depth(PG_GETARG_JSONB_P(3));
	ff_inbox_post(PG_GETARG_INT32(0), PG_GETARG_UUID_P(1), kind, PG_GETARG_JSONB_P(3));
	SPI_finish();
	PG_RETURN_VOID();
}

/* flowforge.look(): at commit, all owners look for runnable runs. */
PG_FUNCTION_INFO_V1(ff_slot_look);
Datum
ff_slot_look(PG_FUNCTION_ARGS)
{
	ff_hint_everything();
	PG_RETURN_VOID();
}
