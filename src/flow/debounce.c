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
	"returning h.function_id, h.superseded, h.event_ids[1], h.look_at",
	COLUMNS,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
	 TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, UUIDARRAYOID}};

static void
add(FfBatch *batch, const FfHold *hold, TimestampTz now)
{
	TimestampTz latest = hold->bound > 0 ? now + hold->bound : DT_NOEND;
	Datum		values[COLUMNS] = {Int32GetDatum(hold->run->tenant_id),
								   Int32GetDatum(hold->run->function_id),
								   CStringGetTextDatum(hold->key),
								   TimestampTzGetDatum(now),
								   TimestampTzGetDatum(now + hold->wait),
								   TimestampTzGetDatum(latest),
								   UUIDPGetDatum(&hold->run->event_id)};

	ff_batch_add(batch, values, NULL);
}

/* The events that the rows held before start nothing any more. */
static void
skip_superseded(int32 tenant_id, uint64 rows)
{
	TimestampTz first = DT_NOEND;

	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		TimestampTz look_at = DatumGetTimestampTz(ff_spi_value(i, 4, &isnull));

		first = Min(first, look_at);
	}
	ff_hint_starts(first);
}

void
ff_debounce_hold(FfHold *holds, int count)
{
	FfBatch		batch = {.plan = &hold_latest};
	TimestampTz now = GetCurrentTimestamp();

	if (count == 0)
		return;
	ff_holds_sort(holds, count);
	for (int i = 0; i < count; i++)
	{
		if (i + 1 == count || !ff_holds_one_row(&holds[i], &holds[i + 1]))
			add(&batch, &holds[i], now);
	}
	skip_superseded(holds->run->tenant_id, ff_batch_run(&batch));
}
