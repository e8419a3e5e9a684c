/*
 * debounce.c - the latest event of a key starts its run when no other has come for a while (see
 * held.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "flow/held.h"
#include "slot/hint.h"
#include "util/batch.h"

#define COLUMNS 7

/* One row a key. What the row held before is in `superseded`, which tells whom the new one
 * replaced. */
static FfPlan hold_latest = {
	"insert into flowforge.held_start as h (tenant_id, function_id, kind, key, first_at, due_at, latest_at, look_at, event_ids) "
	"select n.tenant_id, n.function_id, 'debounce', n.key, n.now, least(n.due_at, n.latest_at), n.latest_at, "
	"least(n.due_at, n.latest_at), array[n.event_id] "
	"from unnest($1, $2, $3, $4, $5, $6, $7) as n (tenant_id, function_id, key, now, due_at, latest_at, event_id) "
	"on conflict (tenant_id, function_id, kind, key) do update set event_ids = excluded.event_ids, superseded = h.event_ids[1], "
	"due_at = least(excluded.due_at, h.latest_at), look_at = least(h.look_at, excluded.due_at, h.latest_at) "
	"returning h.function_id, h.key, h.superseded, h.event_ids[1], h.look_at",
	COLUMNS,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
	 TIMESTAMPTZARRAYOID, UUIDARRAYOID}};

static void
add(FfBatch *batch, const FfHold *hold, TimestampTz now)
{
	TimestampTz latest = hold->bound > 0 ? now + hold->bound : DT_NOEND;
	Datum		values[COLUMNS] = {
			  Int32GetDatum(hold->run->tenant_id),	 Int32GetDatum(hold->run->function_id),
			  CStringGetTextDatum(hold->key),		 TimestampTzGetDatum(now),
			  TimestampTzGetDatum(now + hold->wait), TimestampTzGetDatum(latest),
			  UUIDPGetDatum(&hold->run->event_id)};

	ff_batch_add(batch, values, NULL);
}

/* --- events that start nothing any more --- */

static FfPlan insert_skips = {
	"insert into flowforge.run_skip (tenant_id, event_id, function_id, version, reason, detail) "
	"select n.tenant_id, n.event_id, n.function_id, n.version, 'debounced', jsonb_build_object('event', flowforge.ulid(n.by)) "
	"from unnest($1, $2, $3, $4, $5) as n (tenant_id, event_id, function_id, version, by)",
	5,
	{INT4ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, UUIDARRAYOID}};

static void
add_skip(FfBatch *skips, const FfNewRun *run, const pg_uuid_t *event_id, const pg_uuid_t *by)
{
	Datum values[5] = {Int32GetDatum(run->tenant_id), UUIDPGetDatum(event_id),
					   Int32GetDatum(run->function_id), Int32GetDatum(run->version),
					   UUIDPGetDatum(by)};

	ff_batch_add(skips, values, NULL);
}

/* The last of those for one row. */
static const FfHold *
latest_of(const FfHold *hold, const FfHold *end)
{
	while (hold + 1 < end && ff_holds_one_row(hold, hold + 1))
		hold++;
	return hold;
}

/* What the n-th row that was written held before. */
static void
skip_before(FfBatch *skips, const FfHold *holds, int count, uint64 row)
{
	bool		  isnull;
	Datum		  before = ff_spi_value(row, 3, &isnull);
	const FfHold *hold;

	if (isnull)
		return;
	hold = ff_holds_find(holds, count, DatumGetInt32(ff_spi_value(row, 1, &isnull)),
						 TextDatumGetCString(ff_spi_value(row, 2, &isnull)));
	add_skip(skips, hold->run, DatumGetUUIDP(before), DatumGetUUIDP(ff_spi_value(row, 4, &isnull)));
}

void
ff_debounce_hold(FfHold *holds, int count)
{
	FfBatch		  batch = {.plan = &hold_latest};
	FfBatch		  skips = {.plan = &insert_skips};
	const FfHold *end = holds + count;
	TimestampTz	  now = GetCurrentTimestamp();
	TimestampTz	  first = DT_NOEND;
	uint64		  rows;

	if (count == 0)
		return;
	ff_holds_sort(holds, count);
	for (const FfHold *hold = holds; hold < end; hold++)
	{
		const FfHold *latest = latest_of(hold, end);

		for (; hold < latest; hold++)
			add_skip(&skips, hold->run, &hold->run->event_id, &latest->run->event_id);
		add(&batch, latest, now);
	}
	rows = ff_batch_run(&batch);
	for (uint64 i = 0; i < rows; i++)
	{
		bool isnull;

		skip_before(&skips, holds, count, i);
		first = Min(first, DatumGetTimestampTz(ff_spi_value(i, 5, &isnull)));
	}
	ff_hint_starts(first);
	ff_batch_run(&skips);
}
