/*
 * once.c - idempotency: one run a value in 24 hours.
 *
 * A value is claimed by its row in flowforge.flow_once. Whoever claims what another transaction has
 * claimed and not yet committed waits for it. What is known to be claimed is not even tried, so
 * that repetitions lock nothing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "flow/start.h"
#include "util/batch.h"
#include "util/spi.h"

static FfPlan claim = {
	"insert into flowforge.flow_once as o (tenant_id, function_id, key, run_id, expires_at) "
	"select n.tenant_id, n.function_id, n.key, n.run_id, clock_timestamp() + make_interval(secs => n.seconds) "
	"from unnest($1, $2, $3, $4, $5) as n (tenant_id, function_id, key, run_id, seconds) "
	"where not exists (select from flowforge.flow_once t where t.tenant_id = n.tenant_id and t.function_id = n.function_id "
	"and t.key = n.key and t.expires_at > clock_timestamp()) "
	"order by n.tenant_id, n.function_id, n.key collate \"C\" "
	"on conflict (tenant_id, function_id, key) do update set run_id = excluded.run_id, expires_at = excluded.expires_at "
	"where o.expires_at <= clock_timestamp() returning o.tenant_id, o.function_id, o.key",
	5,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, UUIDARRAYOID, FLOAT8ARRAYOID}};

static FfPlan find = {
	"select o.tenant_id, o.function_id, o.key, o.run_id from unnest($1, $2, $3) as n (tenant_id, function_id, key) "
	"join flowforge.flow_once o on o.tenant_id = n.tenant_id and o.function_id = n.function_id and o.key = n.key",
	3,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID}};

static FfPlan forget = {
	"delete from flowforge.flow_once o using unnest($1, $2, $3, $4) as n (tenant_id, function_id, key, run_id) "
	"where o.tenant_id = n.tenant_id and o.function_id = n.function_id and o.key = n.key and o.run_id = n.run_id",
	4,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, UUIDARRAYOID}};

/* Of each value the first run claims; marks the groups whose claim did not succeed. */
static bool *
claim_values(FfStartGroup *groups, int count)
{
	FfBatch batch = {.plan = &claim};
	bool   *taken = palloc(sizeof(bool) * count);
	uint64	claimed;

	for (int i = 0; i < count; i++)
	{
		const FfStart *first = groups[i].members[0];
		Datum		   values[5];

		ff_start_key_values(first, FF_RULE_ONCE, values);
		values[3] = UUIDPGetDatum(&first->run->run_id);
		values[4] = Float8GetDatum(FF_ONCE_PERIOD_S);
		ff_batch_add(&batch, values, NULL);
		taken[i] = true;
	}
	claimed = ff_batch_run(&batch);
	for (uint64 i = 0; i < claimed; i++)
		taken[ff_start_group_of_row(groups, count, FF_RULE_ONCE, i, 1) - groups] = false;
	return taken;
}

/* All runs of the groups that are taken are refused, by the runs that have their values. */
static void
refuse_taken(FfStartGroup *groups, int count, const bool *taken)
{
	FfBatch batch = {.plan = &find};
	uint64	found;
	bool	isnull;

	for (int i = 0; i < count; i++)
	{
		Datum values[3];

		if (!taken[i])
			continue;
		for (int j = 0; j < groups[i].count; j++)
			ff_start_refuse(groups[i].members[j], FF_RULE_ONCE, NULL);
		ff_start_key_values(groups[i].members[0], FF_RULE_ONCE, values);
		ff_batch_add(&batch, values, NULL);
	}
	found = ff_batch_run(&batch);
	for (uint64 i = 0; i < found; i++)
	{
		FfStartGroup *group = ff_start_group_of_row(groups, count, FF_RULE_ONCE, i, 1);

		for (int j = 0; j < group->count; j++)
			ff_start_refuse(group->members[j], FF_RULE_ONCE,
							DatumGetUUIDP(ff_spi_value(i, 4, &isnull)));
	}
}

void
ff_start_once(FfStart *starts, int count)
{
	FfStartGroup *groups;
	int			  group_count = ff_start_groups(starts, count, FF_RULE_ONCE, &groups);
	bool		 *taken;

	if (group_count == 0)
		return;
	taken = claim_values(groups, group_count);
	refuse_taken(groups, group_count, taken);
	for (int i = 0; i < group_count; i++)
	{
		for (int j = 1; !taken[i] && j < groups[i].count; j++)
			ff_start_refuse(groups[i].members[j], FF_RULE_ONCE, &groups[i].members[0]->run->run_id);
	}
}

void
ff_start_undo_once(FfStart *starts, int count)
{
	FfBatch batch = {.plan = &forget};

	for (int i = 0; i < count; i++)
	{
		Datum values[4];

		if (starts[i].key[FF_RULE_ONCE] == NULL || !starts[i].refused ||
			starts[i].rule == FF_RULE_ONCE)
			continue;
		ff_start_key_values(&starts[i], FF_RULE_ONCE, values);
		values[3] = UUIDPGetDatum(&starts[i].run->run_id);
		ff_batch_add(&batch, values, NULL);
	}
	ff_batch_run(&batch);
}
