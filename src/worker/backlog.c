/*
 * backlog.c - reading which runs are ready (see backlog.h).
 *
 * A look reads a few rows of each slot, all slots in one statement. Beyond the least of the slots'
 * last rows it knows nothing of that slot, so there it stops: what it has seen up to there is all
 * there is, in whatever slot. Runs of paused functions are passed over, and so, by id, are runs
 * that have a rank: they have an order of their own.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "util/spi.h"
#include "worker/backlog.h"
#include "worker/executor.h"

#define PAUSED "q.function_id = any (array(select flowforge.paused_functions()))"

static FfPlan by_age = {
	"select q.slot, q.run_id, null::timestamptz, q.rank is not null or " PAUSED
	" from unnest($1) as s (slot) cross join lateral ("
	"select h.slot, h.run_id, h.rank, h.function_id from flowforge.run_hot h "
	"where h.slot = s.slot and h.tenant_id = $2 and h.run_id >= $3 order by h.run_id limit $4) q",
	4,
	{INT2ARRAYOID, INT4OID, UUIDOID, INT4OID}};

static FfPlan by_rank = {
	"select q.slot, q.run_id, q.rank, " PAUSED " from unnest($1) as s (slot) cross join lateral ("
	"select h.slot, h.run_id, h.rank, h.function_id from flowforge.run_hot h "
	"where h.slot = s.slot and h.tenant_id = $2 and h.rank is not null and (h.rank, h.run_id) >= ($5, $3) "
	"order by h.rank, h.run_id limit $4) q",
	5,
	{INT2ARRAYOID, INT4OID, UUIDOID, INT4OID, TIMESTAMPTZOID}};

/* A row of a look. */
typedef struct Row
{
	int		slot;
	FfReady run;
	bool	passed_over;
} Row;

static Row
read_row(uint64 number, int32 tenant_id)
{
	bool  isnull;
	Row	  row = {.run.tenant_id = tenant_id};
	Datum rank;

	row.slot = DatumGetInt16(ff_spi_value(number, 1, &isnull));
	row.run.run_id = *DatumGetUUIDP(ff_spi_value(number, 2, &isnull));
	rank = ff_spi_value(number, 3, &isnull);
	row.run.rank = isnull ? 0 : DatumGetTimestampTz(rank);
	row.passed_over = DatumGetBool(ff_spi_value(number, 4, &isnull));
	return row;
}

static int
compare(const FfReady *a, const FfReady *b)
{
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return memcmp(&a->run_id, &b->run_id, sizeof(pg_uuid_t));
}

/* Where the look stops: the least of the last rows of slots that may have more. */
static void
find_end(FfLook *look, const Row *rows, uint64 count, FfReady *end)
{
	int in_slot = 0;

	look->more = false;
	for (uint64 i = 0; i < count; i++)
	{
		in_slot = i > 0 && rows[i].slot == rows[i - 1].slot ? in_slot + 1 : 1;
		if (in_slot == look->limit && (!look->more || compare(&rows[i].run, end) < 0))
		{
			*end = rows[i].run;
			look->more = true;
		}
	}
}

/* The id that comes after this one. */
static pg_uuid_t
id_after(pg_uuid_t id)
{
	for (int i = UUID_LEN - 1; i >= 0 && ++id.data[i] == 0; i--)
		;
	return id;
}

void
ff_backlog_look(FfLook *look)
{
	Datum	values[5] = {ff_my_slots, Int32GetDatum(look->tenant_id), UUIDPGetDatum(&look->from_id),
						 Int32GetDatum(look->limit), TimestampTzGetDatum(look->from_rank)};
	uint64	count = ff_spi_run(look->ranked ? &by_rank : &by_age, values, NULL, false);
	Row	   *rows = palloc(sizeof(Row) * Max(count, 1));
	FfReady end = {0};

	look->found = palloc(sizeof(FfReady) * Max(count, 1));
	look->count = 0;
	for (uint64 i = 0; i < count; i++)
		rows[i] = read_row(i, look->tenant_id);
	find_end(look, rows, count, &end);
	for (uint64 i = 0; i < count; i++)
	{
		if (!rows[i].passed_over && (!look->more || compare(&rows[i].run, &end) <= 0))
			look->found[look->count++] = rows[i].run;
	}
	look->from_rank = end.rank;
	look->from_id = id_after(end.run_id);
}

int
ff_backlog_tenants(int32 **tenants)
{
	static FfPlan plan = {
		"with recursive t as ("
		"select s.slot, (select min(h.tenant_id) from flowforge.run_hot h where h.slot = s.slot) as tenant_id "
		"from unnest($1) as s (slot) "
		"union all "
		"select t.slot, (select min(h.tenant_id) from flowforge.run_hot h where h.slot = t.slot and h.tenant_id > t.tenant_id) "
		"from t where t.tenant_id is not null) "
		"select distinct t.tenant_id from t where t.tenant_id is not null",
		1,
		{INT2ARRAYOID}};
	Datum  values[1] = {ff_my_slots};
	uint64 count = ff_spi_run(&plan, values, NULL, false);
	bool   isnull;

	*tenants = palloc(sizeof(int32) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
		(*tenants)[i] = DatumGetInt32(ff_spi_value(i, 1, &isnull));
	return (int) count;
}
