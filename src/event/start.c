/*
 * start.c - starting runs: the rows of new runs and the hints to their owners.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "slot/hint.h"
#include "util/batch.h"
#include "util/id.h"
#include "util/json.h"
#include "util/spi.h"

static FfPlan insert_run = {
	"with r as (insert into flowforge.run (tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, created_at) "
	"values ($2, $3, $4, $5, $6, $7, $8, coalesce($10, clock_timestamp()))) "
	"insert into flowforge.run_hot (slot, run_id, tenant_id, function_id, version, event_id, state) "
	"values ($1, $3, $2, $4, $5, $6, $9)",
	10,
	{INT2OID, INT4OID, UUIDOID, INT4OID, INT4OID, UUIDOID, UUIDOID, TEXTOID, JSONBOID,
	 TIMESTAMPTZOID}};

static FfPlan insert_runs = {
	"with n as (select * from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) "
	"as n (slot, tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, state, created_at)), "
	"r as (insert into flowforge.run (tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, created_at) "
	"select tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, coalesce(created_at, clock_timestamp()) from n) "
	"insert into flowforge.run_hot (slot, run_id, tenant_id, function_id, version, event_id, state) "
	"select slot, run_id, tenant_id, function_id, version, event_id, state from n",
	10,
	{INT2ARRAYOID, INT4ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, UUIDARRAYOID,
	 UUIDARRAYOID, TEXTARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID}};

#define COLUMNS 10

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
	nulls[6] = nulls[7] = nulls[8] = !parent;
	values[9] = TimestampTzGetDatum(run->created);
	nulls[9] = run->created == 0;
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
	for (int i = 0; i < count; i++)
	{
		if (!runs[i].has_run_id)
			ff_uuid7(&runs[i].run_id);
		ff_hint_run(&runs[i].run_id);
	}
	if (count == 1)
		write_one_run(&runs[0]);
	else if (count > 1)
		write_runs(runs, count);
	write_run_batches(runs, count);
	ff_cancel_register(runs, count);
}
