/*
 * load.c - reading runs, messages and timers (see store.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "function/function.h"
#include "util/id.h"
#include "util/jcs.h"
#include "util/json.h"
#include "util/spi.h"
#include "worker/store.h"

Datum
ff_store_uuids(const pg_uuid_t *ids, int count)
{
	Datum *values = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		values[i] = UUIDPGetDatum(&ids[i]);
	return PointerGetDatum(construct_array(values, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

static Datum
slots_of(const pg_uuid_t *ids, int count)
{
	Datum *values = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		values[i] = Int16GetDatum(ff_slot_of(&ids[i]));
	return PointerGetDatum(construct_array(values, count, INT2OID, 2, true, TYPALIGN_SHORT));
}

/* Row `row` of the load statement: a run with its event, its state read. */
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
	ff_event_read(&run->event, row, 8);
	run->event.tenant_id = run->tenant_id;
	run->event_json = ff_jcs_text(ff_event_json(&run->event));
	MemoryContextSwitchTo(old);
	return run;
}

static FfRun *
find_run(List *runs, const pg_uuid_t *id)
{
	ListCell *cell;

	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);

		if (memcmp(&run->id, id, sizeof(pg_uuid_t)) == 0)
			return run;
	}
	return NULL;
}

/* Reads the checkpoints of the runs that have any, in order of completion. */
static void
read_memos(List *runs)
{
	static FfPlan plan = {
		"select s.run_id, s.step_id, s.memo from flowforge.step s "
		"where s.tenant_id = any ($1) and s.run_id = any ($2) order by s.run_id, s.position",
		2,
		{INT4ARRAYOID, UUIDARRAYOID}};
	pg_uuid_t *ids = palloc(sizeof(pg_uuid_t) * Max(list_length(runs), 1));
	Datum	  *tenants = palloc(sizeof(Datum) * Max(list_length(runs), 1));
	int		   count = 0;
	Datum	   values[2];
	ListCell  *cell;
	FfRun	  *run = NULL;
	uint64	   rows;

	foreach (cell, runs)
	{
		run = lfirst(cell);
		if (run->group == 0)
			continue; /* it has never answered with operations */
		tenants[count] = Int32GetDatum(run->tenant_id);
		ids[count++] = run->id;
	}
	if (count == 0)
		return;
	values[0] = PointerGetDatum(construct_array(tenants, count, INT4OID, 4, true, TYPALIGN_INT));
	values[1] = ff_store_uuids(ids, count);
	rows = ff_spi_run(&plan, values, NULL, false);
	run = NULL;
	for (uint64 i = 0; i < rows; i++)
	{
		bool	   isnull;
		pg_uuid_t *id = DatumGetUUIDP(ff_spi_value(i, 1, &isnull));
		char	  *step_id = TextDatumGetCString(ff_spi_value(i, 2, &isnull));
		Datum	   memo = ff_spi_value(i, 3, &isnull);

		if (run == NULL || memcmp(&run->id, id, sizeof(pg_uuid_t)) != 0)
			run = find_run(runs, id);
		ff_run_add_memo(run, step_id, isnull ? ff_json_null() : DatumGetJsonbP(memo));
	}
}

/* What its version says of its times; of a function that is gone, nothing. */
static void
read_policy(FfRun *run)
{
	const FfFunction *function = ff_function_get(run->tenant_id, run->function_id, run->version);

	if (function != NULL)
		run->policy = function->policy;
}

List *
ff_store_load(const pg_uuid_t *ids, int count, MemoryContext parent, TimestampTz now)
{
	static FfPlan plan = {
		"with n as (select * from unnest($1, $2) as n (slot, run_id)), l as ("
		"select h.run_id, h.tenant_id, h.function_id, h.version, h.event_id, false as parked, h.state "
		"from n join flowforge.run_hot h on h.slot = n.slot and h.run_id = n.run_id "
		"union all "
		"select p.run_id, p.tenant_id, p.function_id, p.version, p.event_id, true, p.state "
		"from n join flowforge.run_parked p on p.slot = n.slot and p.run_id = n.run_id) "
		"select l.run_id, l.tenant_id, l.function_id, l.version, l.event_id, l.parked, l.state, " FF_EVENT_COLUMNS
		" "
		"from l join flowforge.event ev on ev.tenant_id = l.tenant_id and ev.event_id = l.event_id",
		2,
		{INT2ARRAYOID, UUIDARRAYOID}};
	Datum	  values[2] = {slots_of(ids, count), ff_store_uuids(ids, count)};
	uint64	  rows = ff_spi_run(&plan, values, NULL, false);
	List	 *runs = NIL;
	ListCell *cell;

	for (uint64 i = 0; i < rows; i++)
		runs = lappend(runs, read_run(i, parent, now));
	read_memos(runs);
	foreach (cell, runs)
		read_policy(lfirst(cell));
	return runs;
}

List *
ff_store_inbox(Datum slots, int limit)
{
	static FfPlan plan = {
		"select i.inbox_id, i.run_id, i.kind, i.payload from flowforge.inbox i where i.slot = any ($1) order by i.inbox_id limit $2",
		2,
		{INT2ARRAYOID, INT4OID}};
	Datum  values[2] = {slots, Int32GetDatum(limit)};
	uint64 rows = ff_spi_run(&plan, values, NULL, false);
	List  *messages = NIL;

	for (uint64 i = 0; i < rows; i++)
	{
		FfMessage *message = palloc(sizeof(FfMessage));
		bool	   isnull;

		message->id = *DatumGetUUIDP(ff_spi_value(i, 1, &isnull));
		message->run_id = *DatumGetUUIDP(ff_spi_value(i, 2, &isnull));
		message->kind = TextDatumGetCString(ff_spi_value(i, 3, &isnull));
		message->payload = DatumGetJsonbPCopy(ff_spi_value(i, 4, &isnull));
		messages = lappend(messages, message);
	}
	return messages;
}

int
ff_store_sweep(int slot, const pg_uuid_t *after, int limit, pg_uuid_t *out)
{
	static FfPlan plan = {
		"select h.run_id from flowforge.run_hot h where h.slot = $1 and h.run_id > $2 "
		"and h.function_id <> all (array(select flowforge.paused_functions())) order by h.run_id limit $3",
		3,
		{INT2OID, UUIDOID, INT4OID}};
	Datum  values[3] = {Int16GetDatum(slot), UUIDPGetDatum(after), Int32GetDatum(limit)};
	uint64 rows = ff_spi_run(&plan, values, NULL, false);
	bool   isnull;

	for (uint64 i = 0; i < rows; i++)
		out[i] = *DatumGetUUIDP(ff_spi_value(i, 1, &isnull));
	return (int) rows;
}

int
ff_store_timers(Datum slots, TimestampTz after, TimestampTz horizon, int limit, FfTimer *out)
{
	static FfPlan plan = {
		"select t.run_id, t.wake_at from unnest($1) as s (slot) cross join lateral ("
		"select p.run_id, p.wake_at from flowforge.run_parked p where p.slot = s.slot and p.wake_at > $2 and p.wake_at <= $3 "
		"order by p.wake_at limit $4) t order by t.wake_at limit $4",
		4,
		{INT2ARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}};
	Datum  values[4] = {slots, TimestampTzGetDatum(after), TimestampTzGetDatum(horizon),
						Int32GetDatum(limit)};
	uint64 rows = ff_spi_run(&plan, values, NULL, false);
	bool   isnull;

	for (uint64 i = 0; i < rows; i++)
	{
		out[i].run_id = *DatumGetUUIDP(ff_spi_value(i, 1, &isnull));
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
