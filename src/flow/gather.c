/*
 * gather.c - events that one run is to have together (see held.h).
 *
 * A row gathers the events of a key in order of arrival. Whoever fills it starts its run, in the
 * transaction that brings the last event: the row is locked, so no two senders add the same place.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "flow/held.h"
#include "slot/hint.h"
#include "util/batch.h"

#define COLUMNS 6

static FfPlan add_events = {
	"with n as (select n.* from unnest($1, $2, $3, $4, $5, $6) with ordinality "
	"as n (tenant_id, function_id, key, now, due_at, event_id, place)), "
	"g as (select n.tenant_id, n.function_id, n.key, min(n.now) as now, min(n.due_at) as due_at, "
	"array_agg(n.event_id order by n.place) as event_ids from n group by 1, 2, 3) "
	"insert into flowforge.held_start as h (tenant_id, function_id, kind, key, first_at, due_at, latest_at, look_at, event_ids) "
	"select g.tenant_id, g.function_id, 'batch', g.key, g.now, g.due_at, g.due_at, g.due_at, g.event_ids "
	"from g order by g.function_id, g.key collate \"C\" "
	"on conflict (tenant_id, function_id, kind, key) do update set event_ids = h.event_ids || excluded.event_ids "
	"returning h.function_id, h.key, h.event_ids, h.look_at",
	COLUMNS,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
	 UUIDARRAYOID}};

/* What is left of rows when `taken` of their events have started; the time of what is left begins
 * anew, unless it was there before. */
static FfPlan take_events = {
	"with t as (select * from unnest($1, $2, $3, $4, $5, $6, $7) as t (tenant_id, function_id, key, taken, fresh, now, due_at)), "
	"gone as (delete from flowforge.held_start h using t where h.tenant_id = t.tenant_id and h.function_id = t.function_id "
	"and h.kind = 'batch' and h.key = t.key and cardinality(h.event_ids) = t.taken) "
	"update flowforge.held_start h set event_ids = h.event_ids[t.taken + 1:], "
	"first_at = case when t.fresh then t.now else h.first_at end, due_at = case when t.fresh then t.due_at else h.due_at end, "
	"latest_at = case when t.fresh then t.due_at else h.latest_at end from t "
	"where h.tenant_id = t.tenant_id and h.function_id = t.function_id and h.kind = 'batch' and h.key = t.key and cardinality(h.event_ids) > t.taken",
	7,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID,
	 TIMESTAMPTZARRAYOID}};

static void
add(FfBatch *batch, const FfHold *hold, TimestampTz now)
{
	Datum values[COLUMNS] = {
		Int32GetDatum(hold->run->tenant_id),   Int32GetDatum(hold->run->function_id),
		CStringGetTextDatum(hold->key),		   TimestampTzGetDatum(now),
		TimestampTzGetDatum(now + hold->wait), UUIDPGetDatum(&hold->run->event_id)};

	ff_batch_add(batch, values, NULL);
}

int
ff_gather_runs(FfNewRun *runs, const FfNewRun *like, const pg_uuid_t *events, int count, int size)
{
	int made = 0;

	for (int from = 0; from < count; from += size)
	{
		FfNewRun *run = &runs[made++];

		*run = (FfNewRun){.tenant_id = like->tenant_id,
						  .function_id = like->function_id,
						  .version = like->version,
						  .uncancelled = like->uncancelled,
						  .bounded = like->bounded};
		run->event_id = events[from];
		run->batch = &events[from];
		run->batch_count = Min(size, count - from);
	}
	return made;
}

static int
events_of_row(const FfHold *hold, const FfHold *end)
{
	int count = 1;

	while (hold + count < end && ff_holds_one_row(hold, hold + count))
		count++;
	return count;
}

/* The rows that are full. */
typedef struct Full
{
	FfBatch		taken;
	FfNewRun   *runs;
	int			count;
	TimestampTz now;
} Full;

static void
start_full(Full *full, const FfHold *hold, int own, const pg_uuid_t *events, int count)
{
	int	  runs = count / hold->max;
	int	  taken = runs * hold->max;
	Datum values[7] = {Int32GetDatum(hold->run->tenant_id),
					   Int32GetDatum(hold->run->function_id),
					   CStringGetTextDatum(hold->key),
					   Int32GetDatum(taken),
					   BoolGetDatum(count - taken <= own),
					   TimestampTzGetDatum(full->now),
					   TimestampTzGetDatum(full->now + hold->wait)};

	full->runs = full->runs == NULL
					 ? palloc(sizeof(FfNewRun) * runs)
					 : repalloc_huge(full->runs, sizeof(FfNewRun) * (full->count + runs));
	full->count += ff_gather_runs(full->runs + full->count, hold->run, events, taken, hold->max);
	ff_batch_add(&full->taken, values, NULL);
}

static const pg_uuid_t *
uuids(Datum array, int *count)
{
	ArrayType *ids = DatumGetArrayTypePCopy(array);

	*count = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
	return (pg_uuid_t *) ARR_DATA_PTR(ids);
}

void
ff_gather_hold(FfHold *holds, int count)
{
	FfBatch		batch = {.plan = &add_events};
	Full		full = {.taken = {.plan = &take_events}, .now = GetCurrentTimestamp()};
	TimestampTz first = DT_NOEND;
	uint64		rows;

	if (count == 0)
		return;
	ff_holds_sort(holds, count);
	for (int i = 0; i < count; i++)
		add(&batch, &holds[i], full.now);
	rows = ff_batch_run(&batch);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		  isnull;
		const FfHold *hold = ff_holds_find(holds, count, DatumGetInt32(ff_spi_value(i, 1, &isnull)),
										   TextDatumGetCString(ff_spi_value(i, 2, &isnull)));
		int			  gathered;
		const pg_uuid_t *events = uuids(ff_spi_value(i, 3, &isnull), &gathered);

		CHECK_FOR_INTERRUPTS();
		if (gathered >= hold->max)
			start_full(&full, hold, events_of_row(hold, holds + count), events, gathered);
		first = Min(first, DatumGetTimestampTz(ff_spi_value(i, 4, &isnull)));
	}
	ff_hint_starts(first);
	ff_batch_run(&full.taken);
	if (full.count > 0)
		ff_run_insert(full.runs, full.count);
}
