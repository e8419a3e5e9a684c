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

#include "run/actor.h"
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

static bool
begin(FfRun *run, const FfOp *op, int group, int max_attempts, TimestampTz now)
{
	ff_item_note(run, ff_kind_item(run, op, group, max_attempts, now), "step.planned", now);
	return false;
}

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
	FfAnswer answer = {.retry = retry, .retry_after = -1};

	if (retry && item->attempt + 1 < item->max_attempts)
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

/* The run's row is gone: no statement of it can commit any more, and what has committed is in the
 * inbox. */
static void
keep_result(FfRun *run, FfEffect *effect)
{
	static FfPlan plan = {
		"with m as (delete from flowforge.inbox i where i.slot = $1 and i.run_id = $2 and i.kind = 'sql' "
		"and i.payload ->> 'step' = $4 returning i.payload) "
		"insert into flowforge.step (tenant_id, run_id, step_id, position, op, name, status, attempt, memo, started_at, ended_at) "
		"select $3, $2, $4, 1 + (select coalesce(max(s.position), 0) from flowforge.step s where s.tenant_id = $3 and s.run_id = $2), "
		"'sql', $5, 'completed', $6, m.payload -> 'memo', to_timestamp((m.payload ->> 'started')::numeric / 1000000), clock_timestamp() "
		"from m where m.payload ? 'memo' limit 1",
		6,
		{INT2OID, UUIDOID, INT4OID, TEXTOID, TEXTOID, INT2OID}};
	const FfItem *item = effect->detail;
	Datum		  values[6];

	values[0] = Int16GetDatum(ff_slot_of(&run->id));
	values[1] = UUIDPGetDatum(&run->id);
	values[2] = Int32GetDatum(run->tenant_id);
	values[3] = CStringGetTextDatum(item->id);
	values[4] = CStringGetTextDatum(item->name ? item->name : "");
	values[5] = Int16GetDatum(item->attempt);
	ff_spi_run(&plan, values, NULL, false);
}

static void
release(FfRun *run, const FfItem *item)
{
	if (run->change->ended)
		ff_run_effect(run, keep_result, (void *) item);
}

const FfStepKind ff_step_sql = {.op = "Sql",
								.name = "sql",
								.place = FF_STEP_SQL,
								.read = read_options,
								.begin = begin,
								.message = receive,
								.release = release};
