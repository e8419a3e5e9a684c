/*
 * single.c - singleton: one live run a key.
 *
 * A key is taken by its row in flowforge.flow_single, which names the run that has it. The run's
 * owner deletes the row when the run ends (src/worker/save.c), but waits for nobody who has locked
 * it: a row may outlive its run, so a key is free when it has no row or its row's run is not live.
 *
 * Rows are locked by those alone who want to put another run into them. Whether the run in a locked
 * row is live is asked by a statement of its own, which sees all that was committed before the lock
 * was had. Who only finds that the key is taken, and does not start a run because of it, locks
 * nothing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "flow/start.h"
#include "function/function.h"
#include "slot/hint.h"
#include "util/batch.h"
#include "util/id.h"
#include "util/json.h"
#include "util/spi.h"

#define LIVE                                                                                \
	"exists (select from flowforge.live_run l where l.slot = flowforge.slot(s.run_id) and " \
	"l.tenant_id = s.tenant_id and l.run_id = s.run_id)"

static FfPlan claim = {
	"insert into flowforge.flow_single as s (tenant_id, function_id, key, run_id) "
	"select n.tenant_id, n.function_id, n.key, n.run_id from unnest($1, $2, $3, $4) as n (tenant_id, function_id, key, run_id) "
	"order by n.tenant_id, n.function_id, n.key collate \"C\" "
	"on conflict do nothing returning s.tenant_id, s.function_id, s.key",
	4,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, UUIDARRAYOID}};

static FfPlan look = {
	"select s.tenant_id, s.function_id, s.key, s.run_id from unnest($1, $2, $3) as n (tenant_id, function_id, key) "
	"join flowforge.flow_single s on s.tenant_id = n.tenant_id and s.function_id = n.function_id and s.key = n.key "
	"where " LIVE,
	3,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID}};

static FfPlan lock = {
	"select s.tenant_id, s.function_id, s.key, s.run_id from unnest($1, $2, $3) as n (tenant_id, function_id, key) "
	"join flowforge.flow_single s on s.tenant_id = n.tenant_id and s.function_id = n.function_id and s.key = n.key "
	"order by s.tenant_id, s.function_id, s.key for update of s",
	3,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID}};

static FfPlan replace = {
	"update flowforge.flow_single s set run_id = n.run_id from unnest($1, $2, $3, $4) as n (tenant_id, function_id, key, run_id) "
	"where s.tenant_id = n.tenant_id and s.function_id = n.function_id and s.key = n.key",
	4,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, UUIDARRAYOID}};

static FfPlan forget = {
	"delete from flowforge.flow_single s using unnest($1, $2, $3, $4) as n (tenant_id, function_id, key, run_id) "
	"where s.tenant_id = n.tenant_id and s.function_id = n.function_id and s.key = n.key and s.run_id = n.run_id",
	4,
	{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, UUIDARRAYOID}};

/* Of several runs with one key in one call, the one that counts: the first, or the one that ends
 * those before it. */
static FfStart *
chosen(const FfStartGroup *group)
{
	return group->members[group->members[0]->cancels ? group->count - 1 : 0];
}

static bool
undecided(const FfStart *start)
{
	return !start->refused && !start->claimed && !start->replaces;
}

static void
add_key(FfBatch *batch, const FfStart *start)
{
	Datum values[4];

	ff_start_key_values(start, FF_RULE_SINGLE, values);
	values[3] = UUIDPGetDatum(&start->run->run_id);
	ff_batch_add(batch, values, NULL);
}

static FfStart *
chosen_of_row(FfStartGroup *groups, int count, uint64 row)
{
	return chosen(ff_start_group_of_row(groups, count, FF_RULE_SINGLE, row, 1));
}

/* New rows, for keys that have none. */
static void
claim_keys(FfStartGroup *groups, int count)
{
	FfBatch batch = {.plan = &claim};
	uint64	rows;

	for (int i = 0; i < count; i++)
	{
		if (undecided(chosen(&groups[i])))
			add_key(&batch, chosen(&groups[i]));
	}
	rows = ff_batch_run(&batch);
	for (uint64 i = 0; i < rows; i++)
		chosen_of_row(groups, count, i)->claimed = true;
}

/* Runs that wait for no key are refused by the live runs that have theirs. */
static void
refuse_taken(FfStartGroup *groups, int count)
{
	FfBatch batch = {.plan = &look};
	uint64	rows;
	bool	isnull;

	for (int i = 0; i < count; i++)
	{
		if (undecided(chosen(&groups[i])) && !chosen(&groups[i])->cancels)
			add_key(&batch, chosen(&groups[i]));
	}
	rows = ff_batch_run(&batch);
	for (uint64 i = 0; i < rows; i++)
		ff_start_refuse(chosen_of_row(groups, count, i), FF_RULE_SINGLE,
						DatumGetUUIDP(ff_spi_value(i, 4, &isnull)));
}

static void
lock_keys(FfStartGroup *groups, int count)
{
	FfBatch batch = {.plan = &lock};
	uint64	rows;
	bool	isnull;

	for (int i = 0; i < count; i++)
	{
		if (undecided(chosen(&groups[i])))
			add_key(&batch, chosen(&groups[i]));
	}
	rows = ff_batch_run(&batch);
	for (uint64 i = 0; i < rows; i++)
	{
		FfStart *start = chosen_of_row(groups, count, i);

		start->replaces = true;
		start->holder = *DatumGetUUIDP(ff_spi_value(i, 4, &isnull));
	}
}

/* Of the runs in locked rows, which are live. Another sender may have put one there since. */
static void
look_at_holders(FfStartGroup *groups, int count)
{
	FfBatch batch = {.plan = &look};
	uint64	rows;

	for (int i = 0; i < count; i++)
	{
		if (chosen(&groups[i])->replaces)
			add_key(&batch, chosen(&groups[i]));
	}
	rows = ff_batch_run(&batch);
	for (uint64 i = 0; i < rows; i++)
	{
		FfStart *start = chosen_of_row(groups, count, i);

		start->holder_live = true;
		if (!start->cancels)
		{
			start->replaces = false;
			ff_start_refuse(start, FF_RULE_SINGLE, &start->holder);
		}
	}
}

static bool
any_undecided(const FfStartGroup *groups, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (undecided(chosen(&groups[i])))
			return true;
	}
	return false;
}

void
ff_start_single(FfStart *starts, int count)
{
	FfStartGroup *groups;
	int			  group_count = ff_start_groups(starts, count, FF_RULE_SINGLE, &groups);

	/* Another round is for rows that were deleted between two statements. */
	while (any_undecided(groups, group_count))
	{
		CHECK_FOR_INTERRUPTS();
		claim_keys(groups, group_count);
		refuse_taken(groups, group_count);
		lock_keys(groups, group_count);
	}
	look_at_holders(groups, group_count);
	for (int i = 0; i < group_count; i++)
	{
		FfStart *start = chosen(&groups[i]);

		for (int j = 0; j < groups[i].count; j++)
		{
			if (groups[i].members[j] != start)
				ff_start_refuse(groups[i].members[j], FF_RULE_SINGLE,
								start->refused ? &start->by : &start->run->run_id);
		}
	}
}

/* What the owner of a run is told that another one takes the place of. */
static FfPost
cancellation(const FfStart *start)
{
	FfPost		  post = {start->run->tenant_id, start->holder, "cancel", NULL};
	FfJsonBuilder builder = {0};
	char		  ulid[FF_ULID_SIZE];

	ff_ulid_encode(&start->run->run_id, ulid);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "reason");
	ff_jb_text(&builder, psprintf("replaced by run %s of the same singleton key", ulid));
	ff_jb_end(&builder);
	post.payload = ff_jb_finish(&builder);
	return post;
}

void
ff_start_settle_single(FfStart *starts, int count)
{
	FfBatch replaced = {.plan = &replace};
	FfBatch forgotten = {.plan = &forget};
	FfPost *posts = palloc(sizeof(FfPost) * count);
	int		post_count = 0;

	for (int i = 0; i < count; i++)
	{
		const FfStart *start = &starts[i];

		if (start->refused && start->claimed)
			add_key(&forgotten, start);
		if (start->refused || !start->replaces)
			continue;
		add_key(&replaced, start);
		if (start->holder_live)
			posts[post_count++] = cancellation(start);
	}
	ff_batch_run(&replaced);
	ff_batch_run(&forgotten);
	if (post_count > 0)
		ff_inbox_post_many(posts, post_count);
}

/* --- the end of a run, and its life after that --- */

bool
ff_flow_has_single(int32 tenant_id, int32 function_id, int32 version)
{
	const FfFunction *function = ff_function_get(tenant_id, function_id, version);

	return function != NULL && function->flow != NULL && function->flow->singleton.on;
}

/* A run that lives again goes on whether it has its key or not, and ends nobody to have it. */
static void
retake(FfNewRun *run)
{
	const FfFunction *function;
	FfStart			  start = {.run = run};

	if (!ff_flow_has_single(run->tenant_id, run->function_id, run->version))
		return;
	function = ff_function_get(run->tenant_id, run->function_id, run->version);
	start.key[FF_RULE_SINGLE] =
		ff_start_key(function->flow->singleton.key, ff_event_json(run->event));
	ff_start_single(&start, 1);
	ff_start_settle_single(&start, 1);
}

PG_FUNCTION_INFO_V1(ff_flow_retake_single);
Datum
ff_flow_retake_single(PG_FUNCTION_ARGS)
{
	static FfPlan plan = {
		"select l.function_id, l.version, l.event_id, " FF_EVENT_COLUMNS
		" from flowforge.run_hot l "
		"join flowforge.event ev on ev.tenant_id = l.tenant_id and ev.event_id = l.event_id "
		"where l.slot = flowforge.slot($2) and l.run_id = $2 and l.tenant_id = $1 and ev.name <> 'inngest/function.invoked'",
		2,
		{INT4OID, UUIDOID}};
	FfNewRun run = {
		.tenant_id = PG_GETARG_INT32(0), .run_id = *PG_GETARG_UUID_P(1), .has_run_id = true};
	Datum	values[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	FfEvent event;
	bool	isnull;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (ff_spi_run(&plan, values, NULL, false) == 1)
	{
		run.function_id = DatumGetInt32(ff_spi_value(0, 1, &isnull));
		run.version = DatumGetInt32(ff_spi_value(0, 2, &isnull));
		run.event_id = *DatumGetUUIDP(ff_spi_value(0, 3, &isnull));
		ff_event_read(&event, 0, 4);
		run.event = &event;
		retake(&run);
	}
	SPI_finish();
	PG_RETURN_VOID();
}
