/*
 * state.c - what apps fetch and report beside calls (the SDK protocol, "Large state" and "SDK-side
 * checkpointing").
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "protocol/protocol.h"
#include "util/errors.h"
#include "util/jcs.h"
#include "util/json.h"
#include "util/spi.h"

PG_FUNCTION_INFO_V1(ff_protocol_events);

static Jsonb *
events_of(pg_uuid_t *run_id)
{
	static FfPlan plan = {
		"select " FF_EVENT_COLUMNS " from flowforge.run r "
		"cross join lateral unnest(flowforge.events_of_run(r.tenant_id, r.run_id, r.event_id)) with ordinality b (event_id, place) "
		"join flowforge.event ev on ev.tenant_id = r.tenant_id and ev.event_id = b.event_id "
		"where r.tenant_id = flowforge.current_tenant() and r.run_id = $1 order by b.place",
		1,
		{UUIDOID}};
	Datum		  values[1] = {UUIDPGetDatum(run_id)};
	FfJsonBuilder builder = {0};
	uint64		  rows = ff_spi_run(&plan, values, NULL, true);

	ff_jb_array(&builder);
	for (uint64 i = 0; i < rows; i++)
	{
		FfEvent event = {0};

		ff_event_read(&event, i, 1);
		ff_jb_json(&builder, ff_event_json(&event));
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* flowforge.run_call_events(run) */
Datum
ff_protocol_events(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Jsonb		 *found;
	Jsonb		 *result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	found = events_of(PG_GETARG_UUID_P(0));
	result = MemoryContextAlloc(caller, VARSIZE(found));
	memcpy(result, found, VARSIZE(found));
	SPI_finish();
	PG_RETURN_JSONB_P(result);
}

PG_FUNCTION_INFO_V1(ff_protocol_check_checkpoint);

static void
check_op(Jsonb *json, bool any)
{
	FfOp  op = {0};
	char *fault = ff_protocol_op(&op, json, GetCurrentTimestamp());

	if (fault == NULL && !any && !ff_op_is_checkpoint(&op))
		fault = psprintf("the step \"%s\" is not finished", op.name);
	if (fault != NULL)
		ereport(ERROR,
				(errcode(FF_ERR_CHECKPOINT_FORM), errmsg("%s", fault),
				 errhint("Report steps that have finished: StepRun, StepFailed, DeferAdd and "
						 "DeferAbort. Answer the call with anything else.")));
	if (op.data != NULL && VARSIZE(op.data) > (Size) ff_output_limit)
		ereport(ERROR, (errcode(FF_ERR_CHECKPOINT_SIZE),
						errmsg("the result of the step \"%s\" has %zu bytes; "
							   "flowforge.output_limit allows %d",
							   op.name, (size_t) VARSIZE(op.data), ff_output_limit),
						errhint("Keep large values elsewhere and return where they are.")));
}

static void
check_ops(Jsonb *steps, bool any)
{
	uint32 count;

	if (steps == NULL || !ff_json_is_array(steps))
		ereport(ERROR,
				(errcode(FF_ERR_CHECKPOINT_FORM), errmsg("steps is not a list of operations"),
				 errhint("Send {\"steps\": [{\"id\", \"op\", ...}, ...]}.")));
	count = JB_ROOT_COUNT(steps);
	for (uint32 i = 0; i < count; i++)
		check_op(JsonbValueToJsonb(getIthJsonbValueFromContainer(&steps->root, i)), any);
}

/* flowforge.check_checkpoint(steps) */
Datum
ff_protocol_check_checkpoint(PG_FUNCTION_ARGS)
{
	check_ops(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), false);
	PG_RETURN_VOID();
}

/* --- whether a run may keep what is reported --- */

/*
 * The bytes of what a run keeps, and of what was accepted for it before; what is reported again
 * counts once, also while its first report is on its way. By the sizes the rows tell of themselves,
 * for which no value has to be read, or exactly, as the run's owner counts.
 */
static Size
kept_bytes(pg_uuid_t *run_id, Jsonb *steps, bool exactly)
{
	static FfPlan plan = {
		"with reported as materialized (select e.value ->> 'id' as id from jsonb_array_elements($2) e) "
		"select distinct on (kept.id) kept.memo from ("
		"select s.step_id as id, s.memo from flowforge.step s "
		"where s.tenant_id = flowforge.current_tenant() and s.run_id = $1 "
		"and s.step_id not in (select id from reported where id is not null) "
		"union all select e.value ->> 'id', e.value -> 'data' from flowforge.inbox i "
		"cross join lateral jsonb_array_elements(i.payload -> 'steps') e "
		"where i.slot = flowforge.slot($1) and i.run_id = $1 and i.kind in ('checkpoint', 'report') "
		"and e.value ->> 'id' not in (select id from reported where id is not null)) kept",
		2,
		{UUIDOID, JSONBOID}};
	Datum  values[2] = {UUIDPGetDatum(run_id), JsonbPGetDatum(steps)};
	uint64 rows = ff_spi_run(&plan, values, NULL, true);
	Size   bytes = 0;

	for (uint64 i = 0; i < rows; i++)
	{
		bool  isnull;
		Datum memo = ff_spi_value(i, 1, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (isnull)
			continue;
		bytes += exactly ? strlen(ff_jcs_text(DatumGetJsonbP(memo))) : toast_raw_datum_size(memo);
	}
	return bytes;
}

static Size
reported_bytes(Jsonb *steps)
{
	uint32 count = JB_ROOT_COUNT(steps);
	Size   bytes = 0;

	for (uint32 i = 0; i < count; i++)
	{
		FfOp op = {0};

		if (ff_protocol_op(&op, JsonbValueToJsonb(getIthJsonbValueFromContainer(&steps->root, i)),
						   GetCurrentTimestamp()) == NULL &&
			ff_op_is_checkpoint(&op) && op.data != NULL)
			bytes += strlen(ff_jcs_text(op.data)) + strlen("{\"data\":}");
	}
	return bytes;
}

PG_FUNCTION_INFO_V1(ff_protocol_check_state);

/* flowforge.check_state(run, steps): the sizes rows tell are looked at first, because they are
 * cheap and no more than about twice as small as the exact ones. */
Datum
ff_protocol_check_state(PG_FUNCTION_ARGS)
{
	pg_uuid_t *run_id = PG_GETARG_UUID_P(0);
	Jsonb	  *steps = PG_GETARG_JSONB_P(1);
	Size	   bytes = ff_json_is_array(steps) ? reported_bytes(steps) : 0;

	if (bytes == 0)
		PG_RETURN_VOID();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (bytes + 2 * kept_bytes(run_id, steps, false) > (Size) ff_state_limit)
		bytes += kept_bytes(run_id, steps, true);
	SPI_finish();
	if (bytes > (Size) ff_state_limit)
		ereport(ERROR, (errcode(FF_ERR_CHECKPOINT_SIZE),
						errmsg("with these the results of the run's steps have %zu bytes; "
							   "flowforge.state_limit allows %d",
							   bytes, ff_state_limit),
						errhint("Keep large values elsewhere and return where they are.")));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ff_protocol_check_report);

/* flowforge.check_report(steps) */
Datum
ff_protocol_check_report(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0))
		check_ops(PG_GETARG_JSONB_P(0), true);
	PG_RETURN_VOID();
}
