/*
 * sql.c - the step Sql: one statement, whose effect commits together with its result.
 *
 * A sql worker runs the statement and, in the same transaction, puts the result into the inbox of
 * the run's owner: from then on the step has happened, whoever dies. The owner makes it a
 * checkpoint like any other. Before it commits, the worker locks the run's row and sees that the
 * step is still asked for and has no result yet (worker/sql_worker.c); so a statement that runs
 * twice takes effect once.
 *
 * A run that ends while its statement commits keeps what the statement did as a finished step: the
 * ending waits for the row, and then takes the result from the inbox.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "run/actor.h"
#include "run/driver.h"
#include "step/step.h"
#include "util/duration.h"
#include "util/id.h"
#include "util/json.h"
#include "util/spi.h"

#define MAX_QUERY_BYTES (1024 * 1024)
#define MAX_PARAMS 1000
#define MAX_TIMEOUT_US (INT64CONST(86400) * 1000000)

/* --- options --- */

static const char *
read_timeout(Jsonb *options, int64 *timeout)
{
	JsonbValue *said = ff_json_get(options, "timeout");
	char	   *text = ff_json_text(options, "timeout");

	*timeout = (int64) ff_sql_timeout * 1000;
	if (said == NULL || said->type == jbvNull)
		return NULL;
	if (text == NULL || !ff_duration_parse(text, timeout))
		return "has a timeout that is not a duration like \"30s\"";
	if (*timeout < 1000 || *timeout > MAX_TIMEOUT_US)
		return "has a timeout that is not between 1ms and 24h";
	return NULL;
}

static bool
absent(Jsonb *options, const char *key)
{
	JsonbValue *value = ff_json_get(options, key);

	return value == NULL || value->type == jbvNull;
}

static const char *
check(Jsonb *options)
{
	char  *query = ff_json_text(options, "query");
	Jsonb *params = ff_json_member(options, "params");

	if (query == NULL)
		return "has no query";
	if (strlen(query) > MAX_QUERY_BYTES)
		return "has a query of more than 1 MB";
	if (!absent(options, "params") && !ff_json_is_array(params))
		return "has params that are not a list";
	if (!absent(options, "params") && JB_ROOT_COUNT(params) > MAX_PARAMS)
		return "has more than 1000 params";
	if (!absent(options, "role") && ff_json_text(options, "role") == NULL)
		return "has a role that is not text";
	return NULL;
}

static const char *
read_options(FfOp *op, Jsonb *options, TimestampTz now)
{
	FfJsonBuilder builder = {0};
	const char	 *fault = options == NULL ? "has no query" : check(options);
	int64		  timeout;

	if (fault == NULL)
		fault = read_timeout(options, &timeout);
	if (fault != NULL)
		return fault;
	ff_jb_object(&builder);
	ff_jb_key(&builder, "query");
	ff_jb_text(&builder, ff_json_text(options, "query"));
	if (!absent(options, "params"))
	{
		ff_jb_key(&builder, "params");
		ff_jb_json(&builder, ff_json_member(options, "params"));
	}
	if (!absent(options, "role"))
	{
		ff_jb_key(&builder, "role");
		ff_jb_text(&builder, ff_json_text(options, "role"));
	}
	ff_jb_key(&builder, "timeout");
	ff_jb_int(&builder, timeout);
	ff_jb_end(&builder);
	op->options = ff_jb_finish(&builder);
	return NULL;
}

void
ff_statement_read(FfStatement *statement, Jsonb *options)
{
	statement->query = ff_json_text(options, "query");
	statement->params = ff_json_member(options, "params");
	statement->role = ff_json_text(options, "role");
	if (!ff_json_int64(options, "timeout", &statement->timeout))
		statement->timeout = (int64) ff_sql_timeout * 1000;
}

/* --- what may happen --- */

Jsonb *
ff_sql_message(const char *step_id, Jsonb *memo, Jsonb *error, bool retry, TimestampTz started)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "step");
	ff_jb_text(&builder, step_id);
	ff_jb_key(&builder, memo ? "memo" : "error");
	ff_jb_json(&builder, memo ? memo : error);
	ff_jb_key(&builder, "retry");
	ff_jb_bool(&builder, retry);
	ff_jb_key(&builder, "started");
	ff_jb_int(&builder, ff_unix_us(started));
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static void
fail(FfRun *run, FfItem *item, Jsonb *error, bool retry, TimestampTz now)
{
	FfAnswer answer = {.kind = FF_ANSWER_ERROR, .error = error, .retry = retry, .retry_after = -1};

	if (run->driver != NULL)
		ff_run_answer(run, item, &answer, item->max_attempts, now); /* it decides */
	else if (retry && item->attempt + 1 < item->max_attempts)
	{
		ff_run_change(run);
		ff_run_retry(run, item, item->id, item->name, error, &answer, now);
	}
	else
		ff_item_finish(run, item, "failed", ff_run_wrap("error", error), now);
}

static void
receive(FfRun *run, FfItem *item, const char *message, Jsonb *payload, TimestampTz now)
{
	Jsonb *memo = ff_json_member(payload, "memo");
	int64  started;

	if (strcmp(message, "sql") != 0)
		return;
	item->call = NULL;
	if (ff_json_int64(payload, "started", &started))
		item->created = ff_from_unix_us(started);
	if (memo != NULL)
		ff_item_finish(run, item, "completed", memo, now);
	else
		fail(run, item, ff_json_member(payload, "error"), ff_json_bool(payload, "retry"), now);
}

/* --- the run's end --- */

/* What a run that ends looks for; `kept` once it has been found, whatever becomes of the
 * transaction. */
typedef struct Last
{
	const FfItem *item;
	bool		  kept;
} Last;

/* Waits for a statement that is committing, and keeps those that come later from it. */
static void
lock_run(const FfRun *run)
{
	static FfPlan hot = {
		"select from flowforge.run_hot h where h.slot = $1 and h.run_id = $2 and h.tenant_id = $3 for update",
		3,
		{INT2OID, UUIDOID, INT4OID}};
	static FfPlan parked = {
		"select from flowforge.run_parked p where p.slot = $1 and p.run_id = $2 and p.tenant_id = $3 for update",
		3,
		{INT2OID, UUIDOID, INT4OID}};
	Datum values[3] = {Int16GetDatum(ff_slot_of(&run->id)), UUIDPGetDatum(&run->id),
					   Int32GetDatum(run->tenant_id)};

	if (ff_spi_run(&hot, values, NULL, false) == 0)
		ff_spi_run(&parked, values, NULL, false);
}

/* The step has finished before the run has ended: so it stands in the log, too. */
static void
keep(FfRun *run, const FfItem *item, Jsonb *payload)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	FfChange	 *change = run->change;
	void		 *end = llast(change->events);
	int64		  started;

	if (!ff_json_int64(payload, "started", &started))
		started = ff_unix_us(item->created);
	change->events = list_delete_last(change->events);
	run->seq--;
	if (run->driver != NULL)
		run->driver->settle(run, item, ff_json_member(payload, "memo"), ff_from_unix_us(started));
	else
		ff_step_checkpoint(run, item->id, "sql", item->name, "completed", item->attempt,
						   ff_json_member(payload, "memo"), ff_from_unix_us(started),
						   change->ended_at);
	change->events = lappend(change->events, end);
	run->seq++;
	MemoryContextSwitchTo(old);
}

/* The run's row is ours: no statement of it can commit any more, and what has committed is in the
 * inbox. */
static void
keep_result(FfRun *run, FfEffect *effect)
{
	static FfPlan take = {
		"delete from flowforge.inbox i where i.slot = $1 and i.run_id = $2 and i.kind = 'sql' "
		"and i.payload ->> 'step' = $3 returning i.payload, i.payload ? 'memo'",
		3,
		{INT2OID, UUIDOID, TEXTOID}};
	Last  *last = effect->detail;
	Datum  values[3];
	uint64 count;
	bool   isnull;

	lock_run(run);
	values[0] = Int16GetDatum(ff_slot_of(&run->id));
	values[1] = UUIDPGetDatum(&run->id);
	values[2] = CStringGetTextDatum(last->item->id);
	count = ff_spi_run(&take, values, NULL, false);
	for (uint64 i = 0; i < count && !last->kept; i++)
	{
		if (!DatumGetBool(ff_spi_value(i, 2, &isnull)))
			continue;
		keep(run, last->item, DatumGetJsonbPCopy(ff_spi_value(i, 1, &isnull)));
		last->kept = true;
	}
}

static void
release(FfRun *run, const FfItem *item)
{
	Last *last;

	if (!run->change->ended)
		return;
	last = palloc0(sizeof(Last));
	last->item = item;
	ff_run_effect(run, keep_result, last)->first = true;
}

const FfStepKind ff_step_sql = {.op = "Sql",
								.name = "sql",
								.place = FF_STEP_SQL,
								.read = read_options,
								.begin = ff_kind_begin,
								.message = receive,
								.release = release};
