/*
 * wait.c - runs waiting for events.
 *
 * A wait is found by (tenant, event name, path, key): if its filter demands `async.<path> ==
 * <constant>` the key is a hash of the constant, so a thousand runs waiting for their own order
 * cost one probe, not a thousand evaluations. A sender visits the few distinct paths of a name by
 * skipping through the index, and evaluates the whole filter only for what the key selects.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "lang/lang.h"
#include "slot/hint.h"
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

void
ff_wait_insert(const FfWait *wait)
{
	static FfPlan insert = {
		"insert into flowforge.wait (tenant_id, event_name, match_path, match_key, run_id, step_id, event_id, expression) "
		"values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
		8,
		{INT4OID, TEXTOID, TEXTOID, INT8OID, UUIDOID, TEXTOID, UUIDOID, TEXTOID}};
	Datum  values[8];
	char  *path = NULL;
	Jsonb *constant = NULL;

	if (wait->expression != NULL)
	{
		FfExpr *filter = ff_expr_cached(wait->expression, (int) strlen(wait->expression));

		if (!ff_expr_wait_key(filter, wait->event, &path, &constant))
			path = NULL;
	}
	values[0] = Int32GetDatum(wait->tenant_id);
	values[1] = CStringGetTextDatum(wait->event_name);
	values[2] = CStringGetTextDatum(path ? path : ANY_PATH);
	values[3] = Int64GetDatum(path ? key_of(constant) : 0);
	values[4] = UUIDPGetDatum(&wait->run_id);
	values[5] = CStringGetTextDatum(wait->step_id);
	values[6] = UUIDPGetDatum(&wait->event_id);
	values[7] = wait->expression ? CStringGetTextDatum(wait->expression) : (Datum) 0;
	ff_spi_run(&insert, values, wait->expression ? NULL : "       n", false);
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

static bool
passes(const char *expression, const FfEvent *own, Jsonb *async)
{
	FfExpr	 *filter = ff_expr_cached(expression, (int) strlen(expression));
	FfBinding bindings[2] = {{"event", ff_event_json(own)}, {"async", async}};

	return ff_expr_filter(filter, bindings, 2);
}

/* Tells the owners of all waits with this path and key whose whole filter the event passes. */
static void
resolve_key(const FfEvent *event, Jsonb *json, const char *path, int64 key)
{
	static FfPlan plan = {
		"select w.run_id, w.step_id, w.expression, " FF_EVENT_COLUMNS " from flowforge.wait w "
		"join flowforge.event ev on ev.tenant_id = w.tenant_id and ev.event_id = w.event_id "
		"where w.tenant_id = $1 and w.event_name = $2 and w.match_path = $3 and w.match_key = $4",
		4,
		{INT4OID, TEXTOID, TEXTOID, INT8OID}};
	Datum		   values[4];
	SPITupleTable *found;
	uint64		   count;

	values[0] = Int32GetDatum(event->tenant_id);
	values[1] = CStringGetTextDatum(event->name);
	values[2] = CStringGetTextDatum(path);
	values[3] = Int64GetDatum(key);
	count = ff_spi_run(&plan, values, NULL, false);
	found = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
	{
		FfEvent	  own;
		bool	  isnull;
		pg_uuid_t run_id;
		char	 *step_id;
		Datum	  expression;

		SPI_tuptable = found;
		run_id = *DatumGetUUIDP(ff_spi_value(i, 1, &isnull));
		step_id = TextDatumGetCString(ff_spi_value(i, 2, &isnull));
		expression = ff_spi_value(i, 3, &isnull);
		if (!isnull)
		{
			ff_event_read(&own, i, 4);
			if (!passes(TextDatumGetCString(expression), &own, json))
				continue;
		}
		tell_owner(event, json, &run_id, step_id);
	}
	SPI_freetuptable(found);
}

void
ff_wait_resolve(const FfEvent *event)
{
	char  *path = next_path(event, "");
	Jsonb *json;

	if (path == NULL)
		return;
	json = ff_event_json(event);
	for (; path != NULL; path = next_path(event, path))
	{
		Jsonb *value;

		if (strcmp(path, ANY_PATH) == 0)
		{
			resolve_key(event, json, path, 0);
			continue;
		}
		value = ff_json_at(json, path);
		resolve_key(event, json, path, key_of(value ? value : ff_json_null()));
	}
}
