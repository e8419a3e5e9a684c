/*
 * start.c - starting runs: the rows of new runs and the hints to their owners.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "flow/claim.h"
#include "function/function.h"
#include "slot/hint.h"
#include "team/team.h"
#include "util/batch.h"
#include "util/id.h"
#include "util/json.h"
#include "util/spi.h"

#define COLUMNS 11
#define CLAIM_COLUMNS (COLUMNS + 3)

static FfPlan insert_run = {
	"with r as (insert into flowforge.run (tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, created_at) "
	"values ($2, $3, $4, $5, $6, $7, $8, coalesce($11, clock_timestamp()))) "
	"insert into flowforge.run_hot (slot, run_id, tenant_id, function_id, version, event_id, state, rank) "
	"values ($1, $3, $2, $4, $5, $6, $9, $10)",
	COLUMNS,
	{INT2OID, INT4OID, UUIDOID, INT4OID, INT4OID, UUIDOID, UUIDOID, TEXTOID, JSONBOID,
	 TIMESTAMPTZOID, TIMESTAMPTZOID}};

static FfPlan insert_runs = {
	"with n as (select * from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "
	"as n (slot, tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, state, rank, created_at)), "
	"r as (insert into flowforge.run (tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, created_at) "
	"select tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, coalesce(created_at, clock_timestamp()) from n) "
	"insert into flowforge.run_hot (slot, run_id, tenant_id, function_id, version, event_id, state, rank) "
	"select slot, run_id, tenant_id, function_id, version, event_id, state, rank from n",
	COLUMNS,
	{INT2ARRAYOID, INT4ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, UUIDARRAYOID,
	 UUIDARRAYOID, TEXTARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID}};

/* Runs that have to wait for room, if only for the gate to look at them. */
static FfPlan insert_claiming = {
	"with n as (select * from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) "
	"as n (slot, tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, state, rank, created_at, wake_at, queue, keys)), "
	"r as (insert into flowforge.run (tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, created_at) "
	"select tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, coalesce(created_at, clock_timestamp()) from n), "
	"p as (insert into flowforge.run_parked (slot, run_id, tenant_id, function_id, version, event_id, state, wake_at) "
	"select slot, run_id, tenant_id, function_id, version, event_id, state, wake_at from n) "
	"insert into flowforge.claim (slot, run_id, tenant_id, function_id, queue, keys, rank, asked) "
	"select slot, run_id, tenant_id, function_id, queue, keys::bigint[], rank, 1 from n",
	CLAIM_COLUMNS,
	{INT2ARRAYOID, INT4ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, UUIDARRAYOID,
	 UUIDARRAYOID, TEXTARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
	 TIMESTAMPTZARRAYOID, INT8ARRAYOID, TEXTARRAYOID}};

/* An invoked run carries its parent in its state, so that its end can tell the parent without
 * another read. */
static Jsonb *
initial_state(const FfNewRun *run)
{
	FfJsonBuilder builder = {0};
	char		  ulid[FF_ULID_SIZE];

	ff_ulid_encode(&run->parent_run_id, ulid);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "parent");
	ff_jb_text(&builder, ulid);
	ff_jb_key(&builder, "pstep");
	ff_jb_text(&builder, run->parent_step_id);
	ff_jb_key(&builder, "depth");
	ff_jb_int(&builder, run->depth);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static void
run_values(FfNewRun *run, Datum values[COLUMNS], bool nulls[COLUMNS])
{
	bool parent = run->parent_step_id != NULL;

	memset(nulls, false, sizeof(bool) * COLUMNS);
	values[0] = Int16GetDatum(ff_slot_of(&run->run_id));
	values[1] = Int32GetDatum(run->tenant_id);
	values[2] = UUIDPGetDatum(&run->run_id);
	values[3] = Int32GetDatum(run->function_id);
	values[4] = Int32GetDatum(run->version);
	values[5] = UUIDPGetDatum(&run->event_id);
	values[6] = UUIDPGetDatum(&run->parent_run_id);
	values[7] = parent ? CStringGetTextDatum(run->parent_step_id) : (Datum) 0;
	values[8] = parent ? JsonbPGetDatum(initial_state(run)) : (Datum) 0;
	values[9] = TimestampTzGetDatum(run->rank);
	nulls[6] = nulls[7] = nulls[8] = !parent;
	nulls[9] = run->rank == 0;
	values[10] = TimestampTzGetDatum(run->created);
	nulls[10] = run->created == 0;
}

static void
write_one_run(FfNewRun *run)
{
	Datum values[COLUMNS];
	bool  isnull[COLUMNS];
	char  nulls[COLUMNS + 1];

	run_values(run, values, isnull);
	for (int i = 0; i < COLUMNS; i++)
		nulls[i] = isnull[i] ? 'n' : ' ';
	nulls[COLUMNS] = '\0';
	ff_spi_run(&insert_run, values, nulls, false);
}

static void
write_runs(FfNewRun *runs, int count)
{
	FfBatch batch = {.plan = &insert_runs};

	for (int i = 0; i < count; i++)
	{
		Datum values[COLUMNS];
		bool  nulls[COLUMNS];

		run_values(&runs[i], values, nulls);
		ff_batch_add(&batch, values, nulls);
	}
	ff_batch_run(&batch);
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
add_claiming(FfBatch *batch, FfNewRun *run, const FfClaim *claim, TimestampTz wake_at)
{
	Datum values[CLAIM_COLUMNS];
	bool  nulls[CLAIM_COLUMNS] = {false};

	run_values(run, values, nulls);
	values[9] = TimestampTzGetDatum(claim->rank);
	nulls[9] = false;
	values[COLUMNS] = TimestampTzGetDatum(wake_at);
	values[COLUMNS + 1] = Int64GetDatum(claim->queue);
	values[COLUMNS + 2] = CStringGetTextDatum(ff_claim_keys_text(&claim->keys));
	ff_batch_add(batch, values, nulls);
	ff_hint_waits(claim->queue);
}

/* Writes the runs that limits bound, and gives the others, in order, with their number. */
static FfNewRun *
write_claiming(FfNewRun *runs, int *count)
{
	FfBatch	  batch = {.plan = &insert_claiming};
	FfNewRun *others = NULL;
	int		  other_count = 0;

	for (int i = 0; i < *count; i++)
	{
		FfClaim		claim = {0};
		TimestampTz wake_at;

		if (claim_of(&runs[i], &claim, &wake_at))
		{
			if (others == NULL)
			{
				others = palloc(sizeof(FfNewRun) * *count);
				memcpy(others, runs, sizeof(FfNewRun) * i);
				other_count = i;
			}
			add_claiming(&batch, &runs[i], &claim, wake_at);
		}
		else if (others != NULL)
			others[other_count++] = runs[i];
	}
	ff_batch_run(&batch);
	if (others == NULL)
		return runs;
	*count = other_count;
	return others;
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

void
ff_run_insert(FfNewRun *runs, int count)
{
	int		  ready_count = count;
	FfNewRun *ready;

	for (int i = 0; i < count; i++)
	{
		if (!runs[i].has_run_id)
			ff_uuid7(&runs[i].run_id);
	}
	ready = write_claiming(runs, &ready_count);
	for (int i = 0; i < ready_count; i++)
		ff_hint_run(ready[i].tenant_id, &ready[i].run_id, ready[i].rank);
	if (ready_count == 1)
		write_one_run(&ready[0]);
	else if (ready_count > 1)
		write_runs(ready, ready_count);
	write_run_batches(runs, count);
	ff_cancel_register(runs, count);
}
