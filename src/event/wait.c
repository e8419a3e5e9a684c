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

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "event/event.h"
#include "function/filter.h"
#include "lang/lang.h"
#include "slot/hint.h"
#include "util/batch.h"
#include "util/id.h"
#include "util/jcs.h"
#include "util/json.h"
#include "util/spi.h"

#define WAIT_TENANT 1 /* columns of flowforge.wait */
#define WAIT_NAME 2
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
		FfExpr *filter = ff_expr_cached_stored(wait->expression);

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

static bool
wait_exists(Relation table, Oid index, Snapshot snapshot, const FfWanted *wanted)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&keys[0], WAIT_TENANT, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(wanted->tenant_id));
	ScanKeyEntryInitialize(&keys[1], 0, WAIT_NAME, BTEqualStrategyNumber, InvalidOid,
						   DEFAULT_COLLATION_OID, F_TEXTEQ, CStringGetTextDatum(wanted->name));
	scan = systable_beginscan(table, index, true, snapshot, lengthof(keys), keys);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	return found;
}

/* Every event asks this, and nearly always in vain: so without a statement, straight from the
 * index. It sees what a statement would. */
void
ff_waits_exist(FfWanted *names, int count)
{
	Oid		 schema = get_namespace_oid("flowforge", false);
	Relation table = table_open(get_relname_relid("wait", schema), AccessShareLock);
	Oid		 index = get_relname_relid("wait_lookup", schema);
	Snapshot snapshot = RegisterSnapshot(GetTransactionSnapshot());

	for (int i = 0; i < count; i++)
	{
		if (!names[i].wanted)
			names[i].wanted = wait_exists(table, index, snapshot, &names[i]);
	}
	UnregisterSnapshot(snapshot);
	table_close(table, AccessShareLock);
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

/* What the owner of a waiting run is told. */
static Jsonb *
message_of(Jsonb *json, const char *step_id)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "step");
	ff_jb_text(&builder, step_id);
	ff_jb_key(&builder, "event");
	ff_jb_json(&builder, json);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
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
	FfExpr	 *filter = ff_expr_cached_stored(expression);
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

/* Events of one name. */
typedef struct NameGroup
{
	FfEvent **events;
	Jsonb	**json;
	int		  count;
} NameGroup;

static void
probe_path(ProbeList *list, const NameGroup *group, const char *path)
{
	for (int i = 0; i < group->count; i++)
		add_probe(list, group->events[i], &group->json[i], path);
}

/* Sorted events fall into groups; their number. */
static int
make_groups(FfEvent **events, int count, NameGroup *groups)
{
	int group_count = 0;
	int end;

	for (int start = 0; start < count; start = end)
	{
		NameGroup *group = &groups[group_count++];

		for (end = start + 1; end < count; end++)
		{
			if (events[end]->tenant_id != events[start]->tenant_id ||
				strcmp(events[end]->name, events[start]->name) != 0)
				break;
		}
		group->events = &events[start];
		group->count = end - start;
		group->json = palloc0(sizeof(Jsonb *) * group->count);
	}
	return group_count;
}

/* The paths of many names in one statement, which goes through the index as next_path does. */
static void
probe_many(ProbeList *list, const NameGroup *groups, int count)
{
	static FfPlan plan = {
		"with recursive p as (select n.place, n.tenant_id, n.event_name, w.match_path "
		"from unnest($1, $2, $3) as n (place, tenant_id, event_name) cross join lateral ("
		"select w.match_path from flowforge.wait w where w.tenant_id = n.tenant_id and w.event_name = n.event_name "
		"order by w.match_path limit 1) w union all "
		"select p.place, p.tenant_id, p.event_name, w.match_path from p cross join lateral ("
		"select w.match_path from flowforge.wait w where w.tenant_id = p.tenant_id and w.event_name = p.event_name "
		"and w.match_path > p.match_path order by w.match_path limit 1) w) "
		"select p.place, p.match_path from p",
		3,
		{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID}};
	FfBatch batch = {.plan = &plan};
	uint64	found;
	bool	isnull;

	for (int i = 0; i < count; i++)
	{
		Datum values[3] = {Int32GetDatum(i), Int32GetDatum(groups[i].events[0]->tenant_id),
						   CStringGetTextDatum(groups[i].events[0]->name)};

		ff_batch_add(&batch, values, NULL);
	}
	found = ff_batch_run(&batch);
	for (uint64 i = 0; i < found; i++)
		probe_path(list, &groups[DatumGetInt32(ff_spi_value(i, 1, &isnull))],
				   TextDatumGetCString(ff_spi_value(i, 2, &isnull)));
}

/* The paths of a name are looked up once, however many events have it. */
static void
gather_probes(ProbeList *list, FfEvent **events, int count)
{
	NameGroup *groups = palloc(sizeof(NameGroup) * Max(count, 1));
	int		   group_count = make_groups(events, count, groups);

	if (group_count > 1)
		probe_many(list, groups, group_count);
	else if (group_count == 1)
	{
		FfWanted wanted = {events[0]->tenant_id, events[0]->name, false};

		ff_waits_exist(&wanted, 1);
		if (!wanted.wanted)
			return;
		for (char *path = next_path(events[0], ""); path != NULL; path = next_path(events[0], path))
			probe_path(list, &groups[0], path);
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
	FfPost		  *posts;
	int			   post_count = 0;
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
	posts = palloc_extended(sizeof(FfPost) * Max(count, 1), MCXT_ALLOC_HUGE);
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
		posts[post_count++] =
			(FfPost){probe->event->tenant_id, run_id, "event", message_of(*probe->json, step_id)};
	}
	SPI_freetuptable(found);
	ff_inbox_post_many(posts, post_count);
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
