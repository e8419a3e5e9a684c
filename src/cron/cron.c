/*
 * cron.c - the functions that SQL asks about schedules, and the runs and events they start.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "cron/cron.h"
#include "event/event.h"
#include "flow/flow.h"
#include "slot/hint.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/spi.h"

#define TIMER_EVENT "inngest/scheduled.timer"
#define RFC3339_SIZE 24

static void
read_cron(FunctionCallInfo fcinfo, FfCron *cron)
{
	char *given = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *problem;

	if (!ff_cron_parse(given, cron, &problem))
		ereport(ERROR, (errcode(FF_ERR_CRON), errmsg("\"%.80s\" is not a schedule", given),
						errdetail("The problem: %s.", problem),
						errhint("Write it like 0 9 * * 1, @daily or TZ=Europe/Paris 0 9 * * 1.")));
}

PG_FUNCTION_INFO_V1(ff_cron_check);
Datum
ff_cron_check(PG_FUNCTION_ARGS)
{
	char  *given = text_to_cstring(PG_GETARG_TEXT_PP(0));
	FfCron cron;
	char  *problem;

	if (ff_cron_parse(given, &cron, &problem))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("\"%.80s\" is not a schedule: %s", given, problem)));
}

PG_FUNCTION_INFO_V1(ff_cron_utc);
Datum
ff_cron_utc(PG_FUNCTION_ARGS)
{
	FfCron cron;

	read_cron(fcinfo, &cron);
	PG_RETURN_TEXT_P(cstring_to_text(ff_cron_in_utc(&cron, GetCurrentTimestamp())));
}

/* flowforge.cron_times(cron, after, until, most) */
PG_FUNCTION_INFO_V1(ff_cron_times);
Datum
ff_cron_times(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz	   at = PG_GETARG_TIMESTAMPTZ(1);
	TimestampTz	   until = PG_GETARG_TIMESTAMPTZ(2);
	FfCron		   cron;

	read_cron(fcinfo, &cron);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (TIMESTAMP_NOT_FINITE(at))
		return (Datum) 0;
	for (int i = 0; i < PG_GETARG_INT32(3) && ff_cron_next(&cron, at, &at) && at <= until; i++)
	{
		Datum values[1] = {TimestampTzGetDatum(at)};
		bool  nulls[1] = {false};

		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* --- firing --- */

/* An instant as 2026-01-31T12:00:00Z. */
static char *
rfc3339(TimestampTz at)
{
	pg_time_t time = (pg_time_t) (ff_unix_us(at) / USECS_PER_SEC);
	char	 *text = palloc(RFC3339_SIZE);

	pg_strftime(text, RFC3339_SIZE, "%Y-%m-%dT%H:%M:%SZ", pg_gmtime(&time));
	return text;
}

/* What a function that a schedule starts is told. */
static Jsonb *
timer_data(const char *cron, TimestampTz scheduled, TimestampTz fire)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "cron");
	ff_jb_text(&builder, cron);
	ff_jb_key(&builder, "scheduledAt");
	ff_jb_text(&builder, rfc3339(scheduled));
	ff_jb_key(&builder, "fireAt");
	ff_jb_text(&builder, rfc3339(fire));
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* The current version of a function that is not archived; 0 when there is none. */
static int32
version_of(int32 tenant_id, int32 function_id)
{
	static FfPlan plan = {"select version from flowforge.function where tenant_id = $1 and "
						  "function_id = $2 and archived_at is null",
						  2,
						  {INT4OID, INT4OID}};
	Datum		  values[2] = {Int32GetDatum(tenant_id), Int32GetDatum(function_id)};
	bool		  isnull;

	if (ff_spi_run(&plan, values, NULL, true) == 0)
		return 0;
	return DatumGetInt32(ff_spi_value(0, 1, &isnull));
}

/* Starts the function, and no other, with an event for each instant that had none. */
static int
fire_function(FfEvent *events, int count, int32 function_id)
{
	int32	  version = version_of(events->tenant_id, function_id);
	FfNewRun *runs = palloc0(sizeof(FfNewRun) * count);
	int		  started = 0;

	if (version == 0)
		return 0;
	ff_event_insert(events, count);
	for (int i = 0; i < count; i++)
	{
		FfNewRun *run = &runs[started];

		if (events[i].duplicate)
			continue;
		started++;
		run->tenant_id = events[i].tenant_id;
		run->function_id = function_id;
		run->version = version;
		run->event_id = events[i].id;
		run->event = &events[i];
	}
	if (started > 0)
		ff_flow_start(runs, &started);
	if (started > 0)
		ff_run_insert(runs, started);
	return started;
}

static int
fire_events(FfEvent *events, int count)
{
	int sent = 0;

	ff_event_record(events, count);
	for (int i = 0; i < count; i++)
		sent += !events[i].duplicate;
	return sent;
}

/* flowforge.fire(tenant, key, cron, function, event, data, scheduled, fire) */
/* Only what the other kind of schedule needs may be null: a function, or an event and its data. */
static void
check_fire(FunctionCallInfo fcinfo, bool of_function)
{
	for (int i = 0; i < 8; i++)
	{
		bool of_other = of_function ? i == 4 || i == 5 : i == 3;

		if (PG_ARGISNULL(i) && !of_other)
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument %d of flowforge.fire is null", i + 1)));
	}
}

PG_FUNCTION_INFO_V1(ff_cron_fire);
Datum
ff_cron_fire(PG_FUNCTION_ARGS)
{
	bool	 of_function = !PG_ARGISNULL(3);
	char	*key;
	char	*cron;
	Datum	*scheduled;
	Datum	*fire;
	int		 count;
	int		 fire_count;
	FfEvent *events;
	int		 started;

	check_fire(fcinfo, of_function);
	key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	cron = text_to_cstring(PG_GETARG_TEXT_PP(2));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(6), TIMESTAMPTZOID, 8, true, TYPALIGN_DOUBLE,
					  &scheduled, NULL, &count);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(7), TIMESTAMPTZOID, 8, true, TYPALIGN_DOUBLE, &fire,
					  NULL, &fire_count);
	if (count == 0 || count != fire_count)
		PG_RETURN_INT32(0);
	events = palloc0(sizeof(FfEvent) * count);
	for (int i = 0; i < count; i++)
	{
		TimestampTz at = DatumGetTimestampTz(scheduled[i]);

		events[i].tenant_id = PG_GETARG_INT32(0);
		events[i].name = of_function ? TIMER_EVENT : text_to_cstring(PG_GETARG_TEXT_PP(4));
		events[i].data =
			of_function ? timer_data(cron, at, DatumGetTimestampTz(fire[i])) : PG_GETARG_JSONB_P(5);
		events[i].external_id = rfc3339(at);
		events[i].dedupe_key = psprintf("cron:%s:%s", key, events[i].external_id);
		events[i].ts = at;
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	started =
		of_function ? fire_function(events, count, PG_GETARG_INT32(3)) : fire_events(events, count);
	SPI_finish();
	PG_RETURN_INT32(started);
}

/* DROP EXTENSION leaves no job behind that would call what is gone. */
void
ff_cron_drop_jobs(void)
{
	List *name = list_make2(makeString("flowforge"), makeString("drop_jobs"));
	Oid	  types[1] = {BOOLOID};

	if (!OidIsValid(get_extension_oid("flowforge", true)) ||
		!OidIsValid(LookupFuncName(name, 1, types, true)))
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (SPI_execute("select flowforge.drop_jobs()", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not drop the jobs of the schedules");
	SPI_finish();
}

/* The executor that keeps the clock looks at the schedules anew when this transaction commits. */
PG_FUNCTION_INFO_V1(ff_cron_changed);
Datum
ff_cron_changed(PG_FUNCTION_ARGS)
{
	if (CALLED_AS_TRIGGER(fcinfo))
		ff_hint_schedules();
	PG_RETURN_POINTER(NULL);
}
