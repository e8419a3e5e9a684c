/*
 * dedupe.c - recognising events that were received before, by the keys of their senders.
 *
 * A key is claimed by inserting it into flowforge.event_key. Whoever claims a key that another
 * transaction has claimed and not yet committed waits for it: if that commits the event is a
 * repeat, if it rolls back the key is ours. Many keys are claimed by one statement, in the order of
 * the keys, so that two senders of the same events in different orders wait for each other and do
 * not deadlock.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "util/batch.h"
#include "util/spi.h"

static FfPlan claim_one = {
	"insert into flowforge.event_key as k (tenant_id, key, event_id, expires_at) "
	"values ($1, $2, $3, now() + make_interval(secs => $4)) "
	"on conflict (tenant_id, key) do update set event_id = excluded.event_id, expires_at = excluded.expires_at "
	"where k.expires_at < now() returning 1",
	4,
	{INT4OID, TEXTOID, UUIDOID, FLOAT8OID}};

static FfPlan first_of_one = {
	"select event_id from flowforge.event_key where tenant_id = $1 and key = $2",
	2,
	{INT4OID, TEXTOID}};

/* The numbers of the claimed keys: what is not among them is taken. */
static FfPlan claim_many = {
	"with claimed as (insert into flowforge.event_key as k (tenant_id, key, event_id, expires_at) "
	"select n.tenant_id, n.key, n.event_id, now() + make_interval(secs => n.seconds) "
	"from unnest($1, $2, $3, $4) as n (tenant_id, key, event_id, seconds) "
	"on conflict (tenant_id, key) do update set event_id = excluded.event_id, expires_at = excluded.expires_at "
	"where k.expires_at < now() returning k.event_id) "
	"select n.place::integer from unnest($3) with ordinality as n (event_id, place) "
	"join claimed c using (event_id)",
	4,
	{INT4ARRAYOID, TEXTARRAYOID, UUIDARRAYOID, FLOAT8ARRAYOID}};

static FfPlan first_of_many = {
	"select n.place, k.event_id from unnest($1, $2, $3) as n (place, tenant_id, key) "
	"join flowforge.event_key k on k.tenant_id = n.tenant_id and k.key = n.key",
	3,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID}};

static void
dedupe_one(FfEvent *event)
{
	Datum values[4];
	bool  isnull;

	values[0] = Int32GetDatum(event->tenant_id);
	values[1] = CStringGetTextDatum(event->dedupe_key);
	values[2] = UUIDPGetDatum(&event->id);
	values[3] = Float8GetDatum(ff_event_dedupe_window);
	if (ff_spi_run(&claim_one, values, NULL, false) > 0)
		return;
	event->duplicate = true;
	if (ff_spi_run(&first_of_one, values, NULL, false) > 0)
		event->id = *DatumGetUUIDP(ff_spi_value(0, 1, &isnull));
}

static int
compare_keys(const void *a, const void *b)
{
	const FfEvent *left = *(FfEvent *const *) a;
	const FfEvent *right = *(FfEvent *const *) b;
	int			   order = left->tenant_id - right->tenant_id;

	if (order == 0)
		order = strcmp(left->dedupe_key, right->dedupe_key);
	return order != 0 ? order : (left > right) - (left < right);
}

static bool
same_key(const FfEvent *a, const FfEvent *b)
{
	return a->tenant_id == b->tenant_id && strcmp(a->dedupe_key, b->dedupe_key) == 0;
}

/* Marks what could not be claimed; the events' keys are all different. */
static void
claim(FfEvent **events, int count)
{
	FfBatch batch = {.plan = &claim_many};
	uint64	claimed;
	bool	isnull;

	for (int i = 0; i < count; i++)
	{
		Datum values[4] = {Int32GetDatum(events[i]->tenant_id),
						   CStringGetTextDatum(events[i]->dedupe_key),
						   UUIDPGetDatum(&events[i]->id), Float8GetDatum(ff_event_dedupe_window)};

		ff_batch_add(&batch, values, NULL);
		events[i]->duplicate = true;
	}
	claimed = ff_batch_run(&batch);
	for (uint64 i = 0; i < claimed; i++)
		events[DatumGetInt32(ff_spi_value(i, 1, &isnull)) - 1]->duplicate = false;
}

/* Gives those that could not be claimed the ids of the first ones. */
static void
find_first(FfEvent **events, int count)
{
	FfBatch batch = {.plan = &first_of_many};
	uint64	found;
	bool	isnull;

	for (int i = 0; i < count; i++)
	{
		Datum values[3] = {Int32GetDatum(i), Int32GetDatum(events[i]->tenant_id)};

		if (!events[i]->duplicate)
			continue;
		values[2] = CStringGetTextDatum(events[i]->dedupe_key);
		ff_batch_add(&batch, values, NULL);
	}
	found = ff_batch_run(&batch);
	for (uint64 i = 0; i < found; i++)
		events[DatumGetInt32(ff_spi_value(i, 1, &isnull))]->id =
			*DatumGetUUIDP(ff_spi_value(i, 2, &isnull));
}

/* Events sorted by key: the first of each key is claimed, the others of the same call repeat it. */
static void
dedupe_many(FfEvent **events, int count)
{
	FfEvent **firsts = palloc(sizeof(FfEvent *) * count);
	int		  first_count = 0;

	qsort(events, count, sizeof(FfEvent *), compare_keys);
	for (int i = 0; i < count; i++)
	{
		if (i == 0 || !same_key(events[i], events[i - 1]))
			firsts[first_count++] = events[i];
	}
	claim(firsts, first_count);
	find_first(firsts, first_count);
	for (int i = 1; i < count; i++)
	{
		if (!same_key(events[i], events[i - 1]))
			continue;
		events[i]->id = events[i - 1]->id;
		events[i]->duplicate = true;
	}
}

void
ff_event_dedupe(FfEvent *events, int count)
{
	FfEvent **keyed;
	int		  keyed_count = 0;

	if (count == 1)
	{
		if (events->dedupe_key != NULL)
			dedupe_one(events);
		return;
	}
	keyed = palloc(sizeof(FfEvent *) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		if (events[i].dedupe_key != NULL)
			keyed[keyed_count++] = &events[i];
	}
	if (keyed_count > 0)
		dedupe_many(keyed, keyed_count);
}
