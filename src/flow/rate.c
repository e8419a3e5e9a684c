/*
 * rate.c - rateLimit: never more starts than `limit` within any stretch of time as long as the
 * period.
 *
 * A key's row holds its starts of the last period, and it is locked from when it is asked until the
 * sender's transaction ends. Up to 64 starts are kept one by one, and counted exactly: a sliding
 * window log. Of a higher limit that would be long, so starts are kept by 64ths of the period, and
 * a start counts as made at the end of its 64th: then it counts too long by 1.6 % of the period at
 * most, and never too short. (Counters of parts of the window, as in Figma's "An alternative
 * approach to rate limiting", by Nikrad Mahdi, 2017; there the parts err on the other side.) What
 * counts is the instant at which the row was asked, which the run has as its created_at.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "flow/start.h"
#include "util/batch.h"
#include "util/json.h"
#include "util/spi.h"

#define MAX_PARTS 64

/* --- the starts of a key --- */

typedef struct Starts
{
	int	   count; /* of pairs: an instant and a number */
	int64 *pairs;
} Starts;

static Starts
read_pairs(ArrayType *array)
{
	Starts starts = {0, NULL};
	int	   elements = array == NULL ? 0 : ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (elements == 0)
		return starts;
	if (ARR_HASNULL(array) || elements % 2 != 0)
		elog(ERROR, "the starts of a rate limit are not pairs");
	starts.count = elements / 2;
	starts.pairs = (int64 *) ARR_DATA_PTR(array);
	return starts;
}

static int64
microseconds(const Interval *interval)
{
	return interval->time + (int64) interval->day * USECS_PER_DAY;
}

/* How many may start now, when so many at most may within the period. */
static int64
room(const Starts *starts, int64 most, int64 period, int64 now)
{
	int64 left = most;

	for (int i = 0; i < starts->count; i++)
	{
		if (starts->pairs[2 * i] + period > now)
			left -= starts->pairs[2 * i + 1];
	}
	return Max(left, 0);
}

/* The instant at which a start counts as made. */
static int64
counted_at(int64 now, int64 most, int64 period)
{
	int64 part = Max(period / MAX_PARTS, 1);

	return most <= MAX_PARTS ? now : (now / part + 1) * part;
}

/* What still counts, and so many more. */
static ArrayType *
add_starts(const Starts *starts, int64 granted, int64 at, int64 period, int64 now)
{
	Datum *elements = palloc(sizeof(Datum) * 2 * (starts->count + 1));
	int	   count = 0;

	for (int i = 0; i < starts->count; i++)
	{
		int64 instant = starts->pairs[2 * i];

		if (instant + period <= now)
			continue;
		if (instant == at)
		{
			granted += starts->pairs[2 * i + 1];
			continue;
		}
		elements[count++] = Int64GetDatum(instant);
		elements[count++] = Int64GetDatum(starts->pairs[2 * i + 1]);
	}
	if (granted > 0)
	{
		elements[count++] = Int64GetDatum(at);
		elements[count++] = Int64GetDatum(granted);
	}
	return construct_array(elements, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
						   TYPALIGN_DOUBLE);
}

PG_FUNCTION_INFO_V1(ff_flow_rate_take);
Datum
ff_flow_rate_take(PG_FUNCTION_ARGS)
{
	TimestampTz at = GetCurrentTimestamp();
	int64		now = ff_unix_us(at);
	Starts		starts;
	int64		most;
	int64		period;
	int64		granted;
	TupleDesc	type;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	starts = read_pairs(PG_ARGISNULL(0) ? NULL : PG_GETARG_ARRAYTYPE_P(0));
	most = PG_GETARG_INT64(2);
	period = microseconds(PG_GETARG_INTERVAL_P(3));
	granted = Min(PG_GETARG_INT64(1), room(&starts, most, period, now));
	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "rate_take must return a row");
	values[0] =
		PointerGetDatum(add_starts(&starts, granted, counted_at(now, most, period), period, now));
	values[1] = Int64GetDatum(granted);
	values[2] = TimestampTzGetDatum(at);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(type), values, nulls)));
}

PG_FUNCTION_INFO_V1(ff_flow_rate_room);
Datum
ff_flow_rate_room(PG_FUNCTION_ARGS)
{
	Starts starts = read_pairs(PG_GETARG_ARRAYTYPE_P(0));

	PG_RETURN_INT64(room(&starts, PG_GETARG_INT64(1), microseconds(PG_GETARG_INTERVAL_P(2)),
						 ff_unix_us(GetCurrentTimestamp())));
}

/* --- senders --- */

/* Keys without room are seen to have none before their rows are locked: excess waits for nobody.
 * Excluded.granted is how many are wanted, as far as the limit goes. */
static FfPlan take = {
	"insert into flowforge.flow_rate as r (tenant_id, function_id, key, starts, granted, at, most, period) "
	"select n.tenant_id, n.function_id, n.key, t.starts_after, t.granted, t.at, n.most, make_interval(secs => n.seconds) "
	"from unnest($1, $2, $3, $4, $5, $6) as n (tenant_id, function_id, key, wanted, most, seconds) "
	"cross join lateral flowforge.rate_take(null, n.wanted, n.most, make_interval(secs => n.seconds)) t "
	"where not exists (select from flowforge.flow_rate f where f.tenant_id = n.tenant_id and f.function_id = n.function_id "
	"and f.key = n.key and flowforge.rate_room(f.starts, n.most, make_interval(secs => n.seconds)) = 0) "
	"order by n.tenant_id, n.function_id, n.key collate \"C\" "
	"on conflict (tenant_id, function_id, key) do update set (starts, granted, at, most, period) = ("
	"select t.starts_after, t.granted, t.at, excluded.most, excluded.period "
	"from flowforge.rate_take(r.starts, excluded.granted, excluded.most, excluded.period) t) "
	"where flowforge.rate_room(r.starts, excluded.most, excluded.period) > 0 "
	"returning r.tenant_id, r.function_id, r.key, r.granted, r.at",
	6,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT8ARRAYOID, INT8ARRAYOID, FLOAT8ARRAYOID}};

/* The first ones start; the others are told to by the rows that come back. */
static void
let_pass(FfStartGroup *group, int64 granted, TimestampTz at)
{
	for (int i = 0; i < group->count && i < granted; i++)
	{
		group->members[i]->refused = false;
		group->members[i]->run->created = at;
	}
}

void
ff_start_rate(FfStart *starts, int count)
{
	FfStartGroup *groups;
	int			  group_count = ff_start_groups(starts, count, FF_RULE_RATE, &groups);
	FfBatch		  batch = {.plan = &take};
	uint64		  rows;
	bool		  isnull;

	for (int i = 0; i < group_count; i++)
	{
		const FfStart *first = groups[i].members[0];
		Datum		   values[6];

		ff_start_key_values(first, FF_RULE_RATE, values);
		values[3] = Int64GetDatum(groups[i].count);
		values[4] = Int64GetDatum(first->rate.limit);
		values[5] = Float8GetDatum((double) first->rate.period / 1e6);
		ff_batch_add(&batch, values, NULL);
		for (int j = 0; j < groups[i].count; j++)
			ff_start_refuse(groups[i].members[j], FF_RULE_RATE, NULL);
	}
	rows = ff_batch_run(&batch);
	for (uint64 i = 0; i < rows; i++)
		let_pass(ff_start_group_of_row(groups, group_count, FF_RULE_RATE, i, 1),
				 DatumGetInt64(ff_spi_value(i, 4, &isnull)),
				 DatumGetTimestampTz(ff_spi_value(i, 5, &isnull)));
}
