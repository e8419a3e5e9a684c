/*
 * wait.c - runs waiting for events.
 *
 * A wait is found by (tenant, event name, path, key): if its filter demands `async.<path> ==
 * <constant>` the key is a hash of the constant, so a thousand runs waiting for their own order
 * cost one probe, not a thousand evaluations. A sender visits the few distinct paths of a name by
 * skipping through the index, once for all its events of that name, looks up all keys in one
 * statement, and evaluates the whole filter only for what the keys select.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "function/filter.h"
#include "lang/lang.h"
#include "slot/hint.h"
#include "util/batch.h"
#include "util/id.h"
#include "util/jcs.h"
#include "util/json.h"
#include "util/spi.h"

#define ANY_PATH "*" /* the path of a wait whose filter demands no equality */

static int64
key_of(Jsonb *value)
{
	char *text = ff_jcs_text(value);

	return (int64) hash_bytes_extended((const unsigned char *) text, (int) strlen(text), 0);
}

static void
wait_values(const FfWait *wait, Datum values[9], bool nulls[9])
{
	char  *path = NULL;
	Jsonb *constant = NULL;

	if (wait->expression != NULL)
	{
		FfExpr *filter = ff_expr_cached(wait->expression, (int) strlen(wait->expression));

		if (!ff_expr_wait_key(filter, wait->event, &path, &constant))
			path = NULL;
	}
	memset(nulls, false, sizeof(bool) * 9);
	values[0] = Int32GetDatum(wait->tenant_id);
	values[1] = CStringGetTextDatum(wait->event_name);
	values[2] = CStringGetTextDatum(path ? path : ANY_PATH);
	values[3] = Int64GetDatum(path ? key_of(constant) : 0);
	values[4] = UUIDPGetDatum(&wait->run_id);
	values[5] = CStringGetTextDatum(wait->step_id);
	values[6] = UUIDPGetDatum(&wait->event_id);
	values[7] = wait->expression ? CStringGetTextDatum(wait->expression) : (Datum) 0;
	nulls[7] = wait->expression == NULL;
	values[8] = TimestampTzGetDatum(wait->expires);
	nulls[8] = wait->expires == 0;
}

void
ff_wait_insert_all(List *waits)
{
	static FfPlan insert = {
		"insert into flowforge.wait (tenant_id, event_name, match_path, match_key, run_id, step_id, event_id, expression, expires_at) "
		"select * from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing",
		9,
		{INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, UUIDARRAYOID, TEXTARRAYOID,
		 UUIDARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID}};
	FfBatch	  batch = {.plan = &insert};
	ListCell *cell;

	foreach (cell, waits)
	{
		Datum values[9];
		bool  nulls[9];

		wait_values(lfirst(cell), values, nulls);
		ff_batch_add(&batch, values, nulls);
	}
	ff_batch_run(&batch);
}

void
ff_wait_insert(const FfWait *wait)
{
	ff_wait_insert_all(list_make1(unconstify(FfWait *, wait)));
}

bool
ff_wait_exists(int32 tenant_id, const char *event_name)
{
	static FfPlan plan = {
		"select 1 from flowforge.wait where tenant_id = $1 and event_name = $2 limit 1",
		2,
		{INT4OID, TEXTOID}};
	Datum values[2] = {Int32GetDatum(tenant_id), CStringGetTextDatum(event_name)};

	return ff_spi_run(&plan, values, NULL, false) > 0;
}

/* The next path waits for this name demand after `path`, or NULL. */
static char *
next_path(const FfEvent *event, const char *path)
{
	static FfPlan plan = {
		"select match_path from flowforge.wait where tenant_id = $1 and event_name = $2 and match_path > $3 "
		"order by match_path limit 1",
		3,
		{INT4OID, TEXTOID, TEXTOID}};
	Datum values[3] = {Int32GetDatum(event->tenant_id), CStringGetTextDatum(event->name),
					   CStringGetTextDatum(path)};
	bool  isnull;

	if (ff_spi_run(&plan, values, NULL, false) == 0)
		return NULL;
	return TextDatumGetCString(ff_spi_value(0, 1, &isnull));
}

static void
tell_owner(const FfEvent *event, Jsonb *json, const pg_uuid_t *run_id, const char *step_id)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "step");
	ff_jb_text(&builder, step_id);
	ff_jb_key(&builder, "event");
	ff_jb_json(&builder, json);
	ff_jb_end(&builder);
	ff_inbox_post(event->tenant_id, run_id, "event", ff_jb_finish(&builder));
}

/* The function of a run, for what is said of it. */
static int32
function_of(int32 tenant_id, const pg_uuid_t *run_id)
{
	static FfPlan plan = {
		"select function_id from flowforge.run where tenant_id = $1 and run_id = $2",
		2,
		{INT4OID, UUIDOID}};
	Datum values[2] = {Int32GetDatum(tenant_id), UUIDPGetDatum(run_id)};
	bool  isnull;

	if (ff_spi_run(&plan, values, NULL, false) == 0)
		return 0;
	return DatumGetInt32(ff_spi_value(0, 1, &isnull));
}

static bool
passes(const char *expression, const FfEvent *own, Jsonb *async, int32 tenant_id,
	   const pg_uuid_t *run_id)
{
	FfExpr	 *filter = ff_expr_cached(expression, (int) strlen(expression));
	FfBinding bindings[2] = {{"event", ff_event_json(own)}, {"async", async}};
	char	  why[200];
	bool	  result = ff_expr_filter_why(filter, bindings, 2, why, sizeof(why));

	if (why[0] != '\0')
		ff_filter_failed(tenant_id, function_of(tenant_id, run_id), why);
	return result;
}

/* What is looked up for one event: a path waits for its name demand, and the event's value there.
 */
typedef struct Probe
{
	const FfEvent *event;
	Jsonb		 **json; /* the event as expressions see it, made once */
	const char	  *path;
	int64		   key;
} Probe;

typedef struct ProbeList
{
	const FfEvent *last; /* of the call */
	Probe		  *probes;
	int			   count;
	int			   capacity;
} ProbeList;

static void
add_probe(ProbeList *list, const FfEvent *event, Jsonb **json, const char *path)
{
	Probe *probe;
	Jsonb *value;

	if (list->count == list->capacity)
	{
		list->capacity = list->capacity * 2 + 4;
		list->probes = list->probes == NULL
						   ? palloc(sizeof(Probe) * list->capacity)
						   : repalloc_huge(list->probes, sizeof(Probe) * list->capacity);
	}
	if (*json == NULL)
		*json = ff_event_json(event);
	probe = &list->probes[list->count++];
	probe->event = event;
	probe->json = json;
	probe->path = path;
	probe->key = 0;
	if (strcmp(path, ANY_PATH) == 0)
		return;
	value = ff_json_at(*json, path);
	probe->key = key_of(value ? value : ff_json_null());
}

static int
compare_names(const void *a, const void *b)
{
	const FfEvent *left = *(FfEvent *const *) a;
	const FfEvent *right = *(FfEvent *const *) b;
	int			   order = left->tenant_id - right->tenant_id;

	if (order == 0)
		order = strcmp(left->name, right->name);
	return order != 0 ? order : (left > right) - (left < right);
}

/* The paths of a name are looked up once, however many events have it. */
static void
gather_probes(ProbeList *list, FfEvent **events, int count)
{
	Jsonb **json = palloc0(sizeof(Jsonb *) * count);
	int		end;

	for (int start = 0; start < count; start = end)
	{
		char *path;

		CHECK_FOR_INTERRUPTS();
		for (end = start + 1; end < count; end++)
		{
			if (events[end]->tenant_id != events[start]->tenant_id ||
				strcmp(events[end]->name, events[start]->name) != 0)
				break;
		}
		for (path = next_path(events[start], ""); path != NULL;
			 path = next_path(events[start], path))
		{
			for (int i = start; i < end; i++)
				add_probe(list, events[i], &json[i], path);
		}
	}
}

/* Whether an event comes before, or is, the one of this id in the same call: what started a run
 * does not cancel it, nor does what came before. */
static bool
comes_before(const ProbeList *list, const FfEvent *event, const pg_uuid_t *id)
{
	for (; event <= list->last; event++)
	{
		if (memcmp(&event->id, id, sizeof(pg_uuid_t)) == 0)
			return true;
	}
	return false;
}

/* Tells the owners of all waits that the probes find and whose whole filter the event passes. */
static void
resolve(ProbeList *list)
{
	static FfPlan plan = {
		"select n.place, w.run_id, w.step_id, w.expression, " FF_EVENT_COLUMNS
		" from unnest($1, $2, $3, $4, $5) as n (place, tenant_id, event_name, match_path, match_key) "
		"cross join lateral (select * from flowforge.wait w where w.tenant_id = n.tenant_id "
		"and w.event_name = n.event_name and w.match_path = n.match_path and w.match_key = n.match_key "
		"and (w.expires_at is null or w.expires_at > clock_timestamp()) offset 0) w "
		"join flowforge.event ev on ev.tenant_id = w.tenant_id and ev.event_id = w.event_id",
		5,
		{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID}};
	FfBatch		   batch = {.plan = &plan};
	SPITupleTable *found;
	uint64		   count;

	for (int i = 0; i < list->count; i++)
	{
		Probe *probe = &list->probes[i];
		Datum  values[5];

		values[0] = Int32GetDatum(i);
		values[1] = Int32GetDatum(probe->event->tenant_id);
		values[2] = CStringGetTextDatum(probe->event->name);
		values[3] = CStringGetTextDatum(probe->path);
		values[4] = Int64GetDatum(probe->key);
		ff_batch_add(&batch, values, NULL);
	}
	count = ff_batch_run(&batch);
	found = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
	{
		Probe	 *probe;
		FfEvent	  own;
		bool	  isnull;
		bool	  none;
		pg_uuid_t run_id;
		char	 *step_id;
		Datum	  expression;

		CHECK_FOR_INTERRUPTS();
		SPI_tuptable = found;
		probe = &list->probes[DatumGetInt32(ff_spi_value(i, 1, &isnull))];
		run_id = *DatumGetUUIDP(ff_spi_value(i, 2, &isnull));
		step_id = TextDatumGetCString(ff_spi_value(i, 3, &isnull));
		expression = ff_spi_value(i, 4, &isnull);
		if (ff_cancel_step(step_id) &&
			comes_before(list, probe->event, DatumGetUUIDP(ff_spi_value(i, 5, &none))))
			continue;
		if (!isnull)
		{
			ff_event_read(&own, i, 5);
			if (!passes(TextDatumGetCString(expression), &own, *probe->json,
						probe->event->tenant_id, &run_id))
				continue;
		}
		tell_owner(probe->event, *probe->json, &run_id, step_id);
	}
	SPI_freetuptable(found);
}

void
ff_wait_resolve(FfEvent *events, int count)
{
	FfEvent **fresh = palloc(sizeof(FfEvent *) * Max(count, 1));
	ProbeList list = {.last = events + count - 1};
	int		  fresh_count = 0;

	for (int i = 0; i < count; i++)
	{
		if (!events[i].duplicate)
			fresh[fresh_count++] = &events[i];
	}
	if (fresh_count > 1)
		qsort(fresh, fresh_count, sizeof(FfEvent *), compare_names);
	gather_probes(&list, fresh, fresh_count);
	if (list.count > 0)
		resolve(&list);
}
