/*
 * start.c - starting runs: the rows of new runs and the hints to their owners.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "flow/claim.h"
#include "function/function.h"
#include "slot/depth.h"
#include "slot/hint.h"
#include "slot/shared.h"
#include "team/team.h"
#include "util/batch.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/json.h"
#include "util/rows.h"
#include "util/spi.h"

static const FfTable run_table = {"run",
								  8,
								  {"tenant_id", "run_id", "function_id", "version", "event_id",
								   "parent_run_id", "parent_step_id", "created_at"}};

static const FfTable hot_table = {
	"run_hot",
	8,
	{"slot", "run_id", "tenant_id", "function_id", "version", "event_id", "state", "rank"}};

#define CLAIM_COLUMNS 11

/* Runs that have to wait for room, if only for the gate to look at them. */
static FfPlan insert_claiming = {
	"with n as (select * from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "
	"as n (slot, run_id, tenant_id, function_id, version, event_id, state, rank, wake_at, queue, keys)), "
	"p as (insert into flowforge.run_parked (slot, run_id, tenant_id, function_id, version, event_id, state, wake_at) "
	"select slot, run_id, tenant_id, function_id, version, event_id, state, wake_at from n) "
	"insert into flowforge.claim (slot, run_id, tenant_id, function_id, queue, keys, rank, asked) "
	"select slot, run_id, tenant_id, function_id, queue, keys::bigint[], rank, 1 from n",
	CLAIM_COLUMNS,
	{INT2ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, UUIDARRAYOID,
	 JSONBARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, TEXTARRAYOID}};

/* An invoked run carries its parent in its state, so that its end can tell the parent without
 * another read. */
static Jsonb *
initial_state(const FfNewRun *run)
{
	FfJsonBuilder builder = {0};
	char		  ulid[FF_ULID_SIZE];

	ff_ulid_encode(&run->parent_run_id, ulid);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "depth");
	ff_jb_int(&builder, run->depth);
	ff_jb_key(&builder, "pstep");
	ff_jb_text(&builder, run->parent_step_id);
	ff_jb_key(&builder, "parent");
	ff_jb_text(&builder, ulid);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* What is known of every run for good. */
static void
write_runs(const FfNewRun *runs, int count)
{
	FfRows		rows = {.table = &run_table};
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < count; i++)
	{
		const FfNewRun *run = &runs[i];
		bool			none = run->parent_step_id == NULL;
		bool			nulls[8] = {[5] = none, [6] = none};
		Datum			values[8] = {Int32GetDatum(run->tenant_id),
									 UUIDPGetDatum(&run->run_id),
									 Int32GetDatum(run->function_id),
									 Int32GetDatum(run->version),
									 UUIDPGetDatum(&run->event_id),
									 UUIDPGetDatum(&run->parent_run_id),
							 none ? (Datum) 0 : CStringGetTextDatum(run->parent_step_id),
									 TimestampTzGetDatum(run->created != 0 ? run->created : now)};

		ff_rows_add(&rows, values, nulls);
	}
	ff_rows_write(&rows);
}

/* The first columns of run_hot, which run_parked has as well. */
static void
live_values(const FfNewRun *run, Datum values[8], bool nulls[8])
{
	bool parent = run->parent_step_id != NULL;

	memset(nulls, false, sizeof(bool) * 8);
	values[0] = Int16GetDatum(ff_slot_of(&run->run_id));
	values[1] = UUIDPGetDatum(&run->run_id);
	values[2] = Int32GetDatum(run->tenant_id);
	values[3] = Int32GetDatum(run->function_id);
	values[4] = Int32GetDatum(run->version);
	values[5] = UUIDPGetDatum(&run->event_id);
	values[6] = parent ? JsonbPGetDatum(initial_state(run)) : (Datum) 0;
	nulls[6] = !parent;
	values[7] = TimestampTzGetDatum(run->rank);
	nulls[7] = run->rank == 0;
}

/* The event that starts a run; false when it is gone. */
static bool
event_of(const FfNewRun *run, FfEvent *event)
{
	static FfPlan plan = {"select " FF_EVENT_COLUMNS
						  " from flowforge.event ev where ev.tenant_id = $1 and ev.event_id = $2",
						  2,
						  {INT4OID, UUIDOID}};
	Datum		  values[2] = {Int32GetDatum(run->tenant_id), UUIDPGetDatum(&run->event_id)};

	if (run->event != NULL)
	{
		*event = *run->event;
		return true;
	}
	if (ff_spi_run(&plan, values, NULL, false) == 0)
		return false;
	ff_event_read(event, 0, 1);
	return true;
}

/* What a new run asks of limits; false when it may run at once. */
static bool
claim_of(const FfNewRun *run, FfClaim *claim, TimestampTz *wake_at)
{
	const FfFunction *function;
	FfEvent			  event;
	TimestampTz		  created = ff_from_unix_us(ff_id_ms(&run->run_id) * 1000);

	if (run->unlimited && ff_tenant_get(run->tenant_id)->max_running == 0)
		return false;
	function = ff_function_get(run->tenant_id, run->function_id, run->version);
	if (function == NULL || function->flow == NULL || !event_of(run, &event))
		return false;
	/* What has just been read may have been forgotten again. */
	function = ff_function_get(run->tenant_id, run->function_id, run->version);
	if (function == NULL)
		return false;
	*wake_at =
		function->policy.start_timeout > 0 ? created + function->policy.start_timeout : DT_NOEND;
	return ff_claim_make(claim, function->flow, run->tenant_id, run->function_id, &event, created,
						 false);
}

static void
add_claiming(FfBatch *batch, const FfNewRun *run, const FfClaim *claim, TimestampTz wake_at)
{
	Datum values[CLAIM_COLUMNS];
	bool  nulls[CLAIM_COLUMNS] = {false};

	live_values(run, values, nulls);
	values[7] = TimestampTzGetDatum(claim->rank);
	nulls[7] = false;
	values[8] = TimestampTzGetDatum(wake_at);
	values[9] = Int64GetDatum(claim->queue);
	values[10] = CStringGetTextDatum(ff_claim_keys_text(&claim->keys));
	ff_batch_add(batch, values, nulls);
	ff_hint_waits(claim->queue);
}

static void
add_ready(FfRows *rows, const FfNewRun *run)
{
	Datum values[8];
	bool  nulls[8];

	live_values(run, values, nulls);
	ff_rows_add(rows, values, nulls);
	ff_hint_run(run->tenant_id, &run->run_id, run->rank);
}

/* The places of runs in their list, slot by slot: their owners read them so, and their index has
 * them so. */
static int *
by_slot(const FfNewRun *runs, int count)
{
	int *order = palloc(sizeof(int) * count);
	int	 first[FF_SLOTS + 1] = {0};

	for (int i = 0; i < count; i++)
		first[ff_slot_of(&runs[i].run_id) + 1]++;
	for (int s = 0; s < FF_SLOTS; s++)
		first[s + 1] += first[s];
	for (int i = 0; i < count; i++)
		order[first[ff_slot_of(&runs[i].run_id)]++] = i;
	return order;
}

/* Runs that limits bound ask for room, the others are ready. */
static void
write_live(const FfNewRun *runs, int count)
{
	FfBatch claiming = {.plan = &insert_claiming};
	FfRows	ready = {.table = &hot_table};
	int	   *order = by_slot(runs, count);

	for (int i = 0; i < count; i++)
	{
		const FfNewRun *run = &runs[order[i]];
		FfClaim			claim = {0};
		TimestampTz		wake_at;

		if (claim_of(run, &claim, &wake_at))
			add_claiming(&claiming, run, &claim, wake_at);
		else
			add_ready(&ready, run);
	}
	ff_batch_run(&claiming);
	ff_rows_write(&ready);
}

/* The events of runs that have several; of a batch of one the run's row tells all. */
static void
write_run_batches(const FfNewRun *runs, int count)
{
	static FfPlan plan = {
		"insert into flowforge.run_batch (tenant_id, run_id, position, event_id) select * from unnest($1, $2, $3, $4)",
		4,
		{INT4ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, UUIDARRAYOID}};
	FfBatch batch = {.plan = &plan};

	for (int i = 0; i < count; i++)
	{
		for (int n = 0; runs[i].batch_count > 1 && n < runs[i].batch_count; n++)
		{
			Datum values[4] = {Int32GetDatum(runs[i].tenant_id), UUIDPGetDatum(&runs[i].run_id),
							   Int32GetDatum(n), UUIDPGetDatum(&runs[i].batch[n])};

			ff_batch_add(&batch, values, NULL);
		}
	}
	ff_batch_run(&batch);
}

/* Runs of one tenant; bounded: its senders' among them. */
static void
count_queued(int32 tenant_id, int count, bool bounded)
{
	int	  limit = bounded ? ff_tenant_get(tenant_id)->max_queued : 0;
	int64 depth;

	if (ff_depth_add(tenant_id, count, limit, &depth))
		return;
	ff_shared_refused(FF_QUOTA_QUEUED);
	ereport(ERROR,
			(errcode(FF_ERR_QUEUE_FULL), errmsg("the tenant's queue is full"),
			 errdetail("%lld of its runs have not begun, %d more would be more than the %d it may "
					   "have, and nothing of this call is kept.",
					   (long long) depth, count, limit),
			 errhint("Send it again when some have begun. The limit is the tenant's max_queued: "
					 "select ff_set_tenant(...).")));
}

/* Before anything is written: it may be refused. */
static void
count_all_queued(const FfNewRun *runs, int count)
{
	int first = 0;

	for (int i = 1; i <= count; i++)
	{
		if (i < count && runs[i].tenant_id == runs[first].tenant_id &&
			runs[i].bounded == runs[first].bounded)
			continue;
		count_queued(runs[first].tenant_id, i - first, runs[first].bounded);
		first = i;
	}
}

void
ff_run_insert(FfNewRun *runs, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (!runs[i].has_run_id)
			ff_uuid7(&runs[i].run_id);
	}
	count_all_queued(runs, count);
	write_runs(runs, count);
	write_live(runs, count);
	write_run_batches(runs, count);
	ff_cancel_register(runs, count);
}
