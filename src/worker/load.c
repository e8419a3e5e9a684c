/*
 * load.c - reading runs, messages and timers (see store.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "function/function.h"
#include "graph/graph.h"
#include "protocol/protocol.h"
#include "run/driver.h"
#include "util/id.h"
#include "util/jcs.h"
#include "util/json.h"
#include "util/spi.h"
#include "worker/claim.h"
#include "worker/store.h"

Datum
ff_store_uuids(const pg_uuid_t *ids, int count)
{
	Datum *values = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		values[i] = UUIDPGetDatum(&ids[i]);
	return PointerGetDatum(construct_array(values, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/* The columns of runs' keys: slots, tenants, ids. */
static void
key_columns(const FfRunKey *keys, int count, Datum *columns)
{
	Datum *slots = palloc(sizeof(Datum) * Max(count, 1));
	Datum *tenants = palloc(sizeof(Datum) * Max(count, 1));
	Datum *ids = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
	{
		slots[i] = Int16GetDatum(ff_slot_of(&keys[i].run_id));
		tenants[i] = Int32GetDatum(keys[i].tenant_id);
		ids[i] = UUIDPGetDatum(&keys[i].run_id);
	}
	columns[0] = PointerGetDatum(construct_array(slots, count, INT2OID, 2, true, TYPALIGN_SHORT));
	columns[1] = PointerGetDatum(construct_array(tenants, count, INT4OID, 4, true, TYPALIGN_INT));
	columns[2] =
		PointerGetDatum(construct_array(ids, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/* Row `row` of the load statement: a run, its state read. */
static FfRun *
read_run(uint64 row, MemoryContext parent, TimestampTz now)
{
	bool		  isnull;
	pg_uuid_t	 *id = DatumGetUUIDP(ff_spi_value(row, 1, &isnull));
	FfRun		 *run = ff_run_new(id, parent);
	MemoryContext old = MemoryContextSwitchTo(run->context);
	Datum		  state;

	run->tenant_id = DatumGetInt32(ff_spi_value(row, 2, &isnull));
	run->function_id = DatumGetInt32(ff_spi_value(row, 3, &isnull));
	run->version = DatumGetInt32(ff_spi_value(row, 4, &isnull));
	run->event_id = *DatumGetUUIDP(ff_spi_value(row, 5, &isnull));
	run->home = DatumGetBool(ff_spi_value(row, 6, &isnull)) ? FF_HOME_PARKED : FF_HOME_HOT;
	state = ff_spi_value(row, 7, &isnull);
	ff_run_read_state(run, isnull ? NULL : DatumGetJsonbP(state), now);
	/* It waits for room from the beginning. */
	if (isnull && run->home == FF_HOME_PARKED)
		run->asked = 1;
	MemoryContextSwitchTo(old);
	return run;
}

/*
 * Keys of rows in partitioned tables, with the bounds that let the executor of a generic plan leave
 * out, before it opens them, the days that cannot hold any of them.
 */
typedef struct Keys
{
	pg_uuid_t *ids;
	Datum	  *tenants;
	int		   count;
	pg_uuid_t  low;
	pg_uuid_t  high;
} Keys;

static void
add_key(Keys *keys, int32 tenant_id, const pg_uuid_t *id)
{
	if (keys->count == 0 || memcmp(id, &keys->low, sizeof(*id)) < 0)
		keys->low = *id;
	if (keys->count == 0 || memcmp(id, &keys->high, sizeof(*id)) > 0)
		keys->high = *id;
	keys->tenants[keys->count] = Int32GetDatum(tenant_id);
	keys->ids[keys->count++] = *id;
}

static Keys
new_keys(int capacity)
{
	Keys keys = {.ids = palloc(sizeof(pg_uuid_t) * Max(capacity, 1)),
				 .tenants = palloc(sizeof(Datum) * Max(capacity, 1))};

	return keys;
}

#define KEYS_ARGS                                    \
	4,                                               \
	{                                                \
		INT4ARRAYOID, UUIDARRAYOID, UUIDOID, UUIDOID \
	}

static void
key_values(Keys *keys, Datum *values)
{
	values[0] = PointerGetDatum(
		construct_array(keys->tenants, keys->count, INT4OID, 4, true, TYPALIGN_INT));
	values[1] = ff_store_uuids(keys->ids, keys->count);
	values[2] = UUIDPGetDatum(&keys->low);
	values[3] = UUIDPGetDatum(&keys->high);
}

/* Runs a statement of KEYS_ARGS: tenants, ids, the least id and the greatest. */
static uint64
run_for_keys(FfPlan *plan, Keys *keys)
{
	Datum values[4];

	if (keys->count == 0)
		return 0;
	key_values(keys, values);
	return ff_spi_run(plan, values, NULL, false);
}

/* Reads the events that started the runs. Gives the runs whose event there is. */
static List *
read_events(List *runs)
{
	static FfPlan plan = {
		"select n.place::integer, " FF_EVENT_COLUMNS
		" from unnest($1, $2) with ordinality as n (tenant_id, event_id, place) cross join lateral ("
		"select * from flowforge.event e where e.tenant_id = n.tenant_id and e.event_id = n.event_id "
		"and e.event_id >= $3 and e.event_id <= $4 offset 0) ev",
		KEYS_ARGS};
	Keys	  keys = new_keys(list_length(runs));
	List	 *found = NIL;
	ListCell *cell;
	uint64	  rows;

	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		add_key(&keys, run->tenant_id, &run->event_id);
	}
	rows = run_for_keys(&plan, &keys);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		  isnull;
		FfRun		 *run = list_nth(runs, DatumGetInt32(ff_spi_value(i, 1, &isnull)) - 1);
		MemoryContext old = MemoryContextSwitchTo(run->context);

		ff_event_read(&run->event, i, 2);
		run->event.tenant_id = run->tenant_id;
		MemoryContextSwitchTo(old);
		found = lappend(found, run);
	}
	return found;
}

/* Adds an event to the text of all of a run's; too much of it is not kept: the app fetches it. */
static void
add_event(FfRun *run, StringInfo text, const FfEvent *event)
{
	if (run->events_large)
		return;
	if (text->len > 0)
		appendStringInfoChar(text, ',');
	appendStringInfoString(text, ff_jcs_text(ff_event_json(event)));
	run->events_large = text->len > ff_request_limit;
}

/* One run's share of the rows of read_batches, from `row` on; gives the row after them. */
static uint64
read_batch(FfRun *run, int place, uint64 row, uint64 rows)
{
	MemoryContext  old = CurrentMemoryContext;
	MemoryContext  context = AllocSetContextCreate(old, "events", ALLOCSET_DEFAULT_SIZES);
	StringInfoData text;

	initStringInfo(&text);
	MemoryContextSwitchTo(context);
	for (; row < rows; row++)
	{
		FfEvent event;
		bool	isnull;

		if (DatumGetInt32(ff_spi_value(row, 1, &isnull)) != place)
			break;
		CHECK_FOR_INTERRUPTS();
		if (run->events_large)
			continue;
		ff_event_read(&event, row, 2);
		event.tenant_id = run->tenant_id;
		add_event(run, &text, &event);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	if (!run->events_large)
		run->events_json = MemoryContextStrdup(run->context, text.data);
	pfree(text.data);
	return row;
}

/* Reads all events of the runs that may have several. */
static void
read_batches(List *runs)
{
	static FfPlan plan = {
		"select n.place::integer, " FF_EVENT_COLUMNS
		" from unnest($1, $2) with ordinality as n (tenant_id, run_id, place) cross join lateral ("
		"select b.event_id, b.position from flowforge.run_batch b where b.tenant_id = n.tenant_id and b.run_id = n.run_id "
		"and b.run_id >= $3 and b.run_id <= $4 offset 0) b "
		"join flowforge.event ev on ev.tenant_id = n.tenant_id and ev.event_id = b.event_id order by n.place, b.position",
		KEYS_ARGS};
	Keys	  keys = new_keys(list_length(runs));
	FfRun	**asked = palloc(sizeof(FfRun *) * Max(list_length(runs), 1));
	ListCell *cell;
	uint64	  row = 0;
	uint64	  rows;

	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		if (!run->batched)
			continue;
		asked[keys.count] = run;
		add_key(&keys, run->tenant_id, &run->id);
	}
	rows = run_for_keys(&plan, &keys);
	while (row < rows)
	{
		bool isnull;
		int	 place = DatumGetInt32(ff_spi_value(row, 1, &isnull));

		row = read_batch(asked[place - 1], place, row, rows);
	}
}

#define LARGE_MEMO 4000 /* bytes as stored: larger ones are read when they are wanted */

/* Reads the checkpoints of runs that are driven here. */
static void
read_outcomes(List *runs)
{
	static FfPlan plan = {
		"select n.place::integer, s.step_id, s.status, s.memo "
		"from unnest($1, $2) with ordinality as n (tenant_id, run_id, place) cross join lateral ("
		"select t.step_id, t.status, case when t.status <> 'completed' or pg_column_size(t.memo) < $5 then t.memo end as memo, t.position "
		"from flowforge.step t where t.tenant_id = n.tenant_id and t.run_id = n.run_id "
		"and t.run_id >= $3 and t.run_id <= $4 offset 0) s order by n.place, s.position",
		5,
		{INT4ARRAYOID, UUIDARRAYOID, UUIDOID, UUIDOID, INT4OID}};
	Keys	  keys = new_keys(list_length(runs));
	FfRun	**asked = palloc(sizeof(FfRun *) * Max(list_length(runs), 1));
	Datum	  values[5];
	ListCell *cell;
	uint64	  rows;

	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		if (run->driver == NULL || run->group == 0)
			continue;
		asked[keys.count] = run;
		add_key(&keys, run->tenant_id, &run->id);
	}
	if (keys.count == 0)
		return;
	key_values(&keys, values);
	values[4] = Int32GetDatum(LARGE_MEMO);
	rows = ff_spi_run(&plan, values, NULL, false);
	for (uint64 i = 0; i < rows; i++)
	{
		bool   isnull;
		FfRun *run = asked[DatumGetInt32(ff_spi_value(i, 1, &isnull)) - 1];
		char  *step_id = TextDatumGetCString(ff_spi_value(i, 2, &isnull));
		char  *status = TextDatumGetCString(ff_spi_value(i, 3, &isnull));
		Datum  memo = ff_spi_value(i, 4, &isnull);

		run->step_count++;
		run->driver->restore(run, step_id, status, isnull ? NULL : DatumGetJsonbP(memo));
	}
}

/* Reads the checkpoints of the runs that have any, in order of completion. */
static void
read_memos(List *runs)
{
	static FfPlan plan = {
		"select n.place::integer, s.step_id, s.memo "
		"from unnest($1, $2) with ordinality as n (tenant_id, run_id, place) cross join lateral ("
		"select t.step_id, t.memo, t.position from flowforge.step t where t.tenant_id = n.tenant_id and t.run_id = n.run_id "
		"and t.run_id >= $3 and t.run_id <= $4 offset 0) s order by n.place, s.position",
		KEYS_ARGS};
	Keys	  keys = new_keys(list_length(runs));
	FfRun	**asked = palloc(sizeof(FfRun *) * Max(list_length(runs), 1));
	ListCell *cell;
	uint64	  rows;

	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		if (run->driver != NULL || run->group == 0)
			continue; /* it has never answered with operations */
		asked[keys.count] = run;
		add_key(&keys, run->tenant_id, &run->id);
	}
	rows = run_for_keys(&plan, &keys);
	for (uint64 i = 0; i < rows; i++)
	{
		bool   isnull;
		FfRun *run = asked[DatumGetInt32(ff_spi_value(i, 1, &isnull)) - 1];
		char  *step_id = TextDatumGetCString(ff_spi_value(i, 2, &isnull));
		Datum  memo = ff_spi_value(i, 3, &isnull);

		ff_run_add_memo(run, step_id, isnull ? ff_json_null() : DatumGetJsonbP(memo));
	}
}

/* What an app is sent of it; what is driven here reads the event itself. */
static void
write_event(FfRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	if (run->driver == NULL)
		run->event_json = ff_jcs_text(ff_event_json(&run->event));
	MemoryContextSwitchTo(old);
}

/* What its version says of its times; of a function that is gone, nothing. */
static void
read_policy(FfRun *run)
{
	const FfFunction *function = ff_function_get(run->tenant_id, run->function_id, run->version);

	if (function == NULL)
		return;
	run->policy = function->policy;
	run->batched |= function->flow != NULL && function->flow->batch.max_size > 0;
	if (function->graph)
		run->driver = &ff_graph_driver;
	ff_claim_prepare(run, function);
}

List *
ff_store_load(const FfRunKey *keys, int count, MemoryContext parent, TimestampTz now)
{
	static FfPlan plan = {
		"select r.* from unnest($1, $2, $3) as n (slot, tenant_id, run_id) cross join lateral ("
		"select h.run_id, h.tenant_id, h.function_id, h.version, h.event_id, false, h.state "
		"from flowforge.run_hot h where h.slot = n.slot and h.tenant_id = n.tenant_id and h.run_id = n.run_id "
		"union all "
		"select p.run_id, p.tenant_id, p.function_id, p.version, p.event_id, true, p.state "
		"from flowforge.run_parked p where p.slot = n.slot and p.run_id = n.run_id offset 0) r",
		3,
		{INT2ARRAYOID, INT4ARRAYOID, UUIDARRAYOID}};
	Datum	  values[3];
	List	 *runs = NIL;
	ListCell *cell;
	uint64	  rows;

	key_columns(keys, count, values);
	rows = ff_spi_run(&plan, values, NULL, false);
	for (uint64 i = 0; i < rows; i++)
		runs = lappend(runs, read_run(i, parent, now));
	runs = read_events(runs);
	foreach (cell, runs)
	{
		read_policy(lfirst(cell));
		write_event(lfirst(cell));
	}
	read_batches(runs);
	ff_claims_read(runs);
	read_memos(runs);
	read_outcomes(runs);
	return runs;
}

static List *
read_inbox(uint64 rows)
{
	List *messages = NIL;

	for (uint64 i = 0; i < rows; i++)
	{
		FfMessage *message = palloc(sizeof(FfMessage));
		bool	   isnull;

		message->id = *DatumGetUUIDP(ff_spi_value(i, 1, &isnull));
		message->run.run_id = *DatumGetUUIDP(ff_spi_value(i, 2, &isnull));
		message->kind = TextDatumGetCString(ff_spi_value(i, 3, &isnull));
		message->payload = DatumGetJsonbPCopy(ff_spi_value(i, 4, &isnull));
		message->run.tenant_id = DatumGetInt32(ff_spi_value(i, 5, &isnull));
		messages = lappend(messages, message);
	}
	return messages;
}

List *
ff_store_inbox_rest(Datum slots, const List *messages)
{
	static FfPlan plan = {
		"select i.inbox_id, i.run_id, i.kind, i.payload, i.tenant_id from flowforge.inbox i "
		"where i.slot = any ($1) and i.inbox_id > $2 and i.run_id = any ($3) order by i.inbox_id",
		3,
		{INT2ARRAYOID, UUIDOID, UUIDARRAYOID}};
	pg_uuid_t *ids = palloc(sizeof(pg_uuid_t) * list_length(messages));
	FfMessage *last = llast(messages);
	int		   count = 0;
	Datum	   values[3];
	ListCell  *cell;

	foreach (cell, messages)
		ids[count++] = ((FfMessage *) lfirst(cell))->run.run_id;
	values[0] = slots;
	values[1] = UUIDPGetDatum(&last->id);
	values[2] = ff_store_uuids(ids, count);
	return read_inbox(ff_spi_run(&plan, values, NULL, false));
}

List *
ff_store_inbox(Datum slots, int limit)
{
	static FfPlan plan = {
		"select m.* from unnest($1) as s (slot) cross join lateral ("
		"select i.inbox_id, i.run_id, i.kind, i.payload, i.tenant_id from flowforge.inbox i where i.slot = s.slot "
		"order by i.inbox_id limit $2) m order by m.inbox_id limit $2",
		2,
		{INT2ARRAYOID, INT4OID}};
	Datum values[2] = {slots, Int32GetDatum(limit)};

	return read_inbox(ff_spi_run(&plan, values, NULL, false));
}

int
ff_store_timers(Datum slots, TimestampTz after, TimestampTz horizon, int limit, FfTimer *out)
{
	static FfPlan plan = {
		"select t.run_id, t.wake_at, t.tenant_id from unnest($1) as s (slot) cross join lateral ("
		"select p.run_id, p.wake_at, p.tenant_id from flowforge.run_parked p where p.slot = s.slot and p.wake_at > $2 and p.wake_at <= $3 "
		"order by p.wake_at limit $4) t order by t.wake_at limit $4",
		4,
		{INT2ARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}};
	Datum  values[4] = {slots, TimestampTzGetDatum(after), TimestampTzGetDatum(horizon),
						Int32GetDatum(limit)};
	uint64 rows = ff_spi_run(&plan, values, NULL, false);
	bool   isnull;

	for (uint64 i = 0; i < rows; i++)
	{
		out[i].run.run_id = *DatumGetUUIDP(ff_spi_value(i, 1, &isnull));
		out[i].run.tenant_id = DatumGetInt32(ff_spi_value(i, 3, &isnull));
		out[i].due = DatumGetTimestampTz(ff_spi_value(i, 2, &isnull));
	}
	return (int) rows;
}

TimestampTz
ff_store_next_timer(Datum slots, TimestampTz horizon)
{
	static FfPlan plan = {
		"select min(t.wake_at) from unnest($1) as s (slot) cross join lateral ("
		"select p.wake_at from flowforge.run_parked p where p.slot = s.slot and p.wake_at > $2 order by p.wake_at limit 1) t",
		2,
		{INT2ARRAYOID, TIMESTAMPTZOID}};
	Datum values[2] = {slots, TimestampTzGetDatum(horizon)};
	bool  isnull;
	Datum next;

	ff_spi_run(&plan, values, NULL, false);
	next = ff_spi_value(0, 1, &isnull);
	return isnull ? DT_NOEND : DatumGetTimestampTz(next);
}
