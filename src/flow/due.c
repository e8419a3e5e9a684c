/*
 * due.c - starting what was held back (see held.h).
 *
 * A row leaves in the transaction that writes its runs, so each event starts once. It starts with
 * what the function is by then: a version whose batches are smaller splits it, one that gathers no
 * more takes its events one by one, one that debounces no more takes the latest all the same.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "flow/held.h"
#include "function/function.h"
#include "util/batch.h"

#define MOST 10000
/* A row that another transaction has locked is looked at again when that commits, which wakes us;
 * if it is undone, after so long. */
#define LOCKED_US 100000

static FfPlan look = {
	"select h.tenant_id, h.function_id, h.kind, h.key, h.due_at, h.event_ids from flowforge.held_start h "
	"where h.look_at <= $1 order by h.look_at limit $2 for update skip locked",
	2,
	{TIMESTAMPTZOID, INT4OID}};

static FfPlan delete_rows = {
	"delete from flowforge.held_start h using unnest($1, $2, $3, $4) as n (tenant_id, function_id, kind, key) "
	"where h.tenant_id = n.tenant_id and h.function_id = n.function_id and h.kind = n.kind and h.key = n.key",
	4,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID}};

static FfPlan look_later = {
	"update flowforge.held_start h set look_at = h.due_at from unnest($1, $2, $3, $4) as n (tenant_id, function_id, kind, key) "
	"where h.tenant_id = n.tenant_id and h.function_id = n.function_id and h.kind = n.kind and h.key = n.key",
	4,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID}};

static FfPlan next_look = {"select min(h.look_at) from flowforge.held_start h", 0, {0}};

typedef struct Held
{
	int32	   tenant_id;
	int32	   function_id;
	pg_uuid_t *events;
	int		   count;
} Held;

/* Sorts the rows that are to be looked at into those that are due and the others. */
static int
read_rows(Held *due, uint64 rows, TimestampTz now, FfBatch *gone, FfBatch *later)
{
	int count = 0;

	for (uint64 i = 0; i < rows; i++)
	{
		bool	   isnull;
		Datum	   key[4] = {ff_spi_value(i, 1, &isnull), ff_spi_value(i, 2, &isnull),
							 ff_spi_value(i, 3, &isnull), ff_spi_value(i, 4, &isnull)};
		ArrayType *ids;

		if (DatumGetTimestampTz(ff_spi_value(i, 5, &isnull)) > now)
		{
			ff_batch_add(later, key, NULL);
			continue;
		}
		ff_batch_add(gone, key, NULL);
		ids = DatumGetArrayTypePCopy(ff_spi_value(i, 6, &isnull));
		due[count].tenant_id = DatumGetInt32(key[0]);
		due[count].function_id = DatumGetInt32(key[1]);
		due[count].events = (pg_uuid_t *) ARR_DATA_PTR(ids);
		due[count++].count = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
	}
	return count;
}

/* The runs of all rows. Of a function that is no more, none. */
static int
make_runs(FfNewRun **out, const Held *due, int count)
{
	int		  made = 0;
	int		  capacity = 0;
	FfNewRun *runs;

	for (int i = 0; i < count; i++)
		capacity += due[i].count;
	runs = palloc_extended(sizeof(FfNewRun) * Max(capacity, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
	{
		const FfFunction *function = ff_function_current(due[i].tenant_id, due[i].function_id);
		FfNewRun		  like = {.tenant_id = due[i].tenant_id, .function_id = due[i].function_id};
		int32			  size;

		CHECK_FOR_INTERRUPTS();
		if (function == NULL)
			continue;
		like.version = function->version;
		size = function->flow ? Max(function->flow->batch.max_size, 1) : 1;
		made += ff_gather_runs(runs + made, &like, due[i].events, due[i].count, size);
	}
	*out = runs;
	return made;
}

/* --- what is asked of the others --- */

static FfPlan read_events = {
	"select n.place::integer, " FF_EVENT_COLUMNS
	" from unnest($1, $2) with ordinality as n (tenant_id, event_id, place) "
	"join flowforge.event ev on ev.tenant_id = n.tenant_id and ev.event_id = n.event_id",
	2,
	{INT4ARRAYOID, UUIDARRAYOID}};

/* Whether a run's event has more to say: by a singleton, or by its priority. */
static bool
is_asked(const FfNewRun *run)
{
	const FfFunction *function = ff_function_get(run->tenant_id, run->function_id, run->version);
	const FfFlow	 *flow = function ? function->flow : NULL;

	return flow != NULL && (flow->singleton.on || flow->priority != NULL);
}

static int
start_asked(FfNewRun *runs, int count)
{
	FfBatch	  batch = {.plan = &read_events};
	FfNewRun *found = palloc(sizeof(FfNewRun) * count);
	FfEvent	 *events = palloc0(sizeof(FfEvent) * count);
	uint64	  rows;
	int		  left;

	for (int i = 0; i < count; i++)
	{
		Datum values[2] = {Int32GetDatum(runs[i].tenant_id), UUIDPGetDatum(&runs[i].event_id)};

		ff_batch_add(&batch, values, NULL);
	}
	rows = ff_batch_run(&batch);
	for (uint64 i = 0; i < rows; i++)
	{
		bool isnull;

		found[i] = runs[DatumGetInt32(ff_spi_value(i, 1, &isnull)) - 1];
		ff_event_read(&events[i], i, 2);
		events[i].tenant_id = found[i].tenant_id;
		found[i].event = &events[i];
	}
	left = (int) rows;
	ff_flow_start_held(found, &left);
	if (left > 0)
		ff_run_insert(found, left);
	return left;
}

/* Gives how many of them have started. */
static int
start_runs(FfNewRun *runs, int count)
{
	FfNewRun *asked = palloc_extended(sizeof(FfNewRun) * Max(count, 1), MCXT_ALLOC_HUGE);
	int		  asked_count = 0;
	int		  free_count = 0;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_asked(&runs[i]))
			asked[asked_count++] = runs[i];
		else
			runs[free_count++] = runs[i];
	}
	if (free_count > 0)
		ff_run_insert(runs, free_count);
	return free_count + (asked_count > 0 ? start_asked(asked, asked_count) : 0);
}

static int
start_rows(TimestampTz now, int most, uint64 *looked)
{
	FfBatch	  gone = {.plan = &delete_rows};
	FfBatch	  later = {.plan = &look_later};
	Datum	  values[2] = {TimestampTzGetDatum(now), Int32GetDatum(most)};
	FfNewRun *runs;
	Held	 *due;
	int		  count;

	*looked = ff_spi_run(&look, values, NULL, false);
	due = palloc(sizeof(Held) * Max(*looked, 1));
	count = read_rows(due, *looked, now, &gone, &later);
	ff_batch_run(&later);
	ff_batch_run(&gone);
	count = make_runs(&runs, due, count);
	return start_runs(runs, count);
}

PG_FUNCTION_INFO_V1(ff_flow_start_due);
Datum
ff_flow_start_due(PG_FUNCTION_ARGS)
{
	int			most = Min(Max(PG_GETARG_INT32(0), 1), MOST);
	TimestampTz now = GetCurrentTimestamp();
	TupleDesc	type;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	TimestampTz next;
	uint64		looked;

	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "start_due must return a row");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	values[0] = Int32GetDatum(start_rows(now, most, &looked));
	ff_spi_run(&next_look, NULL, NULL, false);
	next = DatumGetTimestampTz(ff_spi_value(0, 1, &nulls[1]));
	SPI_finish();
	if (!nulls[1] && next <= now && looked < (uint64) most)
		next = now + LOCKED_US;
	values[1] = TimestampTzGetDatum(next);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(type), values, nulls)));
}
