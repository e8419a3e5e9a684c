/*
 * start.c - which events start a run (see flow.h).
 *
 * A run is refused by one rule at most, and what is refused leaves nothing behind but its row in
 * run_skip: neither a value that counts as used, nor a key that is taken, nor a start that counts.
 * So the rule that counts starts comes last, and what the ones before it took is given back.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "flow/held.h"
#include "flow/start.h"
#include "function/function.h"
#include "util/batch.h"
#include "util/id.h"
#include "util/json.h"
#include "util/spi.h"

#define MAX_KEY_BYTES 256 /* of an indexed key; longer ones are known by their digest */
#define DIGEST "sha256:"

/* --- keys --- */

const char *
ff_start_key(const FfExpr *expression, Jsonb *event)
{
	char *value = ff_flow_key_value(expression, event);
	Datum digest;

	if (strlen(value) <= MAX_KEY_BYTES)
		return value;
	digest = DirectFunctionCall1(sha256_bytea, CStringGetTextDatum(value));
	return psprintf(DIGEST "%s", TextDatumGetCString(DirectFunctionCall2(
									 binary_encode, digest, CStringGetTextDatum("hex"))));
}

static int
compare(int32 tenant_id, int32 function_id, const char *key, const FfStart *other, FfRule rule)
{
	if (tenant_id != other->run->tenant_id)
		return tenant_id < other->run->tenant_id ? -1 : 1;
	if (function_id != other->run->function_id)
		return function_id < other->run->function_id ? -1 : 1;
	return strcmp(key, other->key[rule]);
}

static int
compare_starts(const void *a, const void *b, void *arg)
{
	const FfStart *left = *(FfStart *const *) a;
	const FfStart *right = *(FfStart *const *) b;
	FfRule		   rule = *(FfRule *) arg;
	int order = compare(left->run->tenant_id, left->run->function_id, left->key[rule], right, rule);

	return order != 0 ? order : (left > right) - (left < right);
}

int
ff_start_groups(FfStart *starts, int count, FfRule rule, FfStartGroup **groups)
{
	FfStart **sorted = palloc(sizeof(FfStart *) * count);
	int		  members = 0;
	int		  group_count = 0;

	for (int i = 0; i < count; i++)
	{
		if (starts[i].key[rule] != NULL && !starts[i].refused)
			sorted[members++] = &starts[i];
	}
	qsort_arg(sorted, members, sizeof(FfStart *), compare_starts, &rule);
	*groups = palloc(sizeof(FfStartGroup) * Max(members, 1));
	for (int i = 0; i < members; i++)
	{
		const FfStart *start = sorted[i];

		if (i == 0 || compare(start->run->tenant_id, start->run->function_id, start->key[rule],
							  sorted[i - 1], rule) != 0)
			(*groups)[group_count++] = (FfStartGroup){&sorted[i], 0};
		(*groups)[group_count - 1].count++;
	}
	return group_count;
}

FfStartGroup *
ff_start_group_of_row(FfStartGroup *groups, int count, FfRule rule, uint64 row, int column)
{
	bool  isnull;
	int32 tenant_id = DatumGetInt32(ff_spi_value(row, column, &isnull));
	int32 function_id = DatumGetInt32(ff_spi_value(row, column + 1, &isnull));
	char *key = TextDatumGetCString(ff_spi_value(row, column + 2, &isnull));
	int	  low = 0;
	int	  high = count - 1;

	while (low <= high)
	{
		int middle = (low + high) / 2;
		int order = compare(tenant_id, function_id, key, groups[middle].members[0], rule);

		if (order == 0)
			return &groups[middle];
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	elog(ERROR, "flow control was told of a key it did not ask for");
}

void
ff_start_key_values(const FfStart *start, FfRule rule, Datum *values)
{
	values[0] = Int32GetDatum(start->run->tenant_id);
	values[1] = Int32GetDatum(start->run->function_id);
	values[2] = CStringGetTextDatum(start->key[rule]);
}

void
ff_start_refuse(FfStart *start, FfRule rule, const pg_uuid_t *by)
{
	start->refused = true;
	start->rule = rule;
	start->has_by = by != NULL;
	if (by != NULL)
		start->by = *by;
}

/* --- what is to be decided --- */

bool
ff_start_is_named(const FfEvent *event)
{
	return event != NULL && strcmp(event->name, "inngest/deferred.schedule") == 0;
}

/* Events without a value do not repeat each other. */
static const char *
value_or_none(const FfExpr *expression, Jsonb *event)
{
	const char *value = ff_start_key(expression, event);

	return strcmp(value, "null") == 0 ? NULL : value;
}

/* False when nothing is to be decided. What the cache holds is copied, for it may not stay. */
static bool
read_start(FfStart *start, FfNewRun *run, const FfFlow *flow, Jsonb *event, bool held)
{
	bool later = flow->debounce.period > 0 || flow->batch.max_size > 0;

	memset(start, 0, sizeof(*start));
	start->run = run;
	if (flow->priority != NULL)
		run->rank = ff_flow_rank(flow, event, GetCurrentTimestamp());
	if (ff_start_is_named(run->event))
		return false;
	if (flow->singleton.on && (held || !later))
		start->key[FF_RULE_SINGLE] = ff_start_key(flow->singleton.key, event);
	start->cancels = flow->singleton.cancels;
	if (flow->idempotency != NULL && !held)
		start->key[FF_RULE_ONCE] = value_or_none(flow->idempotency, event);
	if (flow->rate.limit > 0 && !held)
		start->key[FF_RULE_RATE] = ff_start_key(flow->rate.key, event);
	start->rate = flow->rate;
	for (int i = 0; i < FF_RULES; i++)
	{
		if (start->key[i] != NULL)
			return true;
	}
	return false;
}

/* The runs of one event stand side by side, so its JSON is made once. */
static int
read_starts(FfStart *starts, FfNewRun *runs, int count, bool held)
{
	const FfEvent *event = NULL;
	Jsonb		  *json = NULL;
	int			   found = 0;

	for (int i = 0; i < count; i++)
	{
		FfNewRun		 *run = &runs[i];
		const FfFunction *function;

		CHECK_FOR_INTERRUPTS();
		if (run->unlimited)
			continue;
		function = ff_function_get(run->tenant_id, run->function_id, run->version);
		if (function == NULL || function->flow == NULL)
			continue;
		if (run->event != event)
			json = ff_event_json(run->event);
		event = run->event;
		if (!read_start(&starts[found], run, function->flow, json, held))
			continue;
		found++;
		/* Rows name the run before its own is written. */
		if (!run->has_run_id)
			ff_uuid7(&run->run_id);
		run->has_run_id = true;
	}
	return found;
}

/* --- what is not started --- */

static FfPlan insert_skips = {
	"insert into flowforge.run_skip (tenant_id, event_id, function_id, version, reason, detail) "
	"select * from unnest($1, $2, $3, $4, $5, $6)",
	6,
	{INT4ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, JSONBARRAYOID}};

static Jsonb *
why(const FfStart *start)
{
	const char	 *key = start->key[start->rule];
	FfJsonBuilder builder = {0};
	char		  ulid[FF_ULID_SIZE];

	ff_jb_object(&builder);
	if (*key != '\0')
	{
		ff_jb_key(&builder, "key");
		ff_jb_json(&builder, strncmp(key, DIGEST, strlen(DIGEST)) == 0 ? ff_json_from_text(key)
																	   : ff_json_literal(key));
	}
	if (start->has_by)
	{
		ff_ulid_encode(&start->by, ulid);
		ff_jb_key(&builder, "run");
		ff_jb_text(&builder, ulid);
	}
	if (start->rule == FF_RULE_RATE)
	{
		ff_jb_key(&builder, "limit");
		ff_jb_int(&builder, start->rate.limit);
		ff_jb_key(&builder, "period_ms");
		ff_jb_int(&builder, start->rate.period / 1000);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static void
write_skips(const FfStart *starts, int count)
{
	static const char *const reasons[FF_RULES] = {"idempotency", "singleton", "rate_limit"};
	FfBatch					 batch = {.plan = &insert_skips};

	for (int i = 0; i < count; i++)
	{
		const FfNewRun *run = starts[i].run;
		Datum			values[6];

		if (!starts[i].refused)
			continue;
		values[0] = Int32GetDatum(run->tenant_id);
		values[1] = UUIDPGetDatum(&run->event_id);
		values[2] = Int32GetDatum(run->function_id);
		values[3] = Int32GetDatum(run->version);
		values[4] = CStringGetTextDatum(reasons[starts[i].rule]);
		values[5] = JsonbPGetDatum(why(&starts[i]));
		ff_batch_add(&batch, values, NULL);
	}
	ff_batch_run(&batch);
}

/* Starts stand in the order of their runs. */
static int
drop_refused(FfNewRun *runs, int count, const FfStart *starts, int start_count)
{
	int kept = 0;
	int next = 0;

	for (int i = 0; i < count; i++)
	{
		const FfStart *start =
			next < start_count && starts[next].run == &runs[i] ? &starts[next++] : NULL;

		if (start == NULL || !start->refused)
			runs[kept++] = runs[i];
	}
	return kept;
}

static void
decide(FfNewRun *runs, int *count, bool held)
{
	FfStart *starts = palloc_extended(sizeof(FfStart) * *count, MCXT_ALLOC_HUGE);
	int		 found = read_starts(starts, runs, *count, held);

	if (found == 0)
		return;
	ff_start_once(starts, found);
	ff_start_single(starts, found);
	ff_start_rate(starts, found);
	ff_start_settle_single(starts, found);
	ff_start_undo_once(starts, found);
	write_skips(starts, found);
	*count = drop_refused(runs, *count, starts, found);
}

void
ff_flow_start(FfNewRun *runs, int *count)
{
	decide(runs, count, false);
	*count = ff_flow_hold(runs, *count);
}

void
ff_flow_start_held(FfNewRun *runs, int *count)
{
	decide(runs, count, true);
}

void
ff_flow_start_named(FfNewRun *run)
{
	const FfFunction *function = ff_function_get(run->tenant_id, run->function_id, run->version);

	if (function != NULL && function->flow != NULL && function->flow->priority != NULL)
		run->rank = ff_flow_rank(function->flow, ff_event_json(run->event), GetCurrentTimestamp());
}
