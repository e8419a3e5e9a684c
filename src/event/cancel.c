/*
 * cancel.c - the events that cancel a run: the function's setting `cancel` (cancelOn).
 *
 * They are waits like any other, written in the transaction that makes the run, so that no event
 * that comes after it is missed whatever the executors do. They belong to no step: their step ids
 * say cancelOn[n].
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "event/event.h"
#include "function/function.h"
#include "slot/depth.h"
#include "slot/hint.h"
#include "util/duration.h"
#include "util/id.h"
#include "util/spi.h"

#define PREFIX "cancelOn["

char *
ff_cancel_step_id(int n)
{
	return psprintf(PREFIX "%d]", n);
}

bool
ff_cancel_step(const char *step_id)
{
	return step_id != NULL && strncmp(step_id, PREFIX, strlen(PREFIX)) == 0;
}

/* The event of a run as expressions see it; NULL when it is gone. */
static Jsonb *
event_of(const FfNewRun *run)
{
	static FfPlan plan = {"select " FF_EVENT_COLUMNS
						  " from flowforge.event ev where ev.tenant_id = $1 and ev.event_id = $2",
						  2,
						  {INT4OID, UUIDOID}};
	Datum		  values[2] = {Int32GetDatum(run->tenant_id), UUIDPGetDatum(&run->event_id)};
	FfEvent		  event;

	if (run->event != NULL)
		return ff_event_json(run->event);
	if (ff_spi_run(&plan, values, NULL, false) == 0)
		return NULL;
	ff_event_read(&event, 0, 1);
	return ff_event_json(&event);
}

static FfWait *
make_wait(const FfNewRun *run, const FfCancelOn *cancel, int n, TimestampTz now)
{
	FfWait *wait = palloc0(sizeof(FfWait));

	wait->tenant_id = run->tenant_id;
	wait->event_name = pstrdup(cancel->event);
	wait->run_id = run->run_id;
	wait->step_id = ff_cancel_step_id(n);
	wait->expression = cancel->filter ? pstrdup(cancel->filter) : NULL;
	wait->event_id = run->event_id;
	if (cancel->timeout == NULL || !ff_when_parse(cancel->timeout, now, &wait->expires))
		wait->expires = 0;
	return wait;
}

/* The waits of one run; what the cache holds is copied before anything else is asked. */
static List *
waits_of(const FfNewRun *run, TimestampTz now)
{
	const FfFunction *function = ff_function_get(run->tenant_id, run->function_id, run->version);
	List			 *waits = NIL;
	Jsonb			 *event;
	ListCell		 *cell;

	for (int i = 0; function != NULL && i < function->policy.cancels; i++)
	{
		if (function->cancels[i].event != NULL)
			waits = lappend(waits, make_wait(run, &function->cancels[i], i, now));
	}
	event = waits == NIL ? NULL : event_of(run);
	foreach (cell, waits)
		((FfWait *) lfirst(cell))->event = event;
	return event == NULL ? NIL : waits;
}

void
ff_cancel_register(const FfNewRun *runs, int count)
{
	TimestampTz now = GetCurrentTimestamp();
	List	   *waits = NIL;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!runs[i].uncancelled)
			waits = list_concat(waits, waits_of(&runs[i], now));
	}
	if (waits != NIL)
		ff_wait_insert_all(waits);
}

/* flowforge.hand_over(run): a run whose rows were written in SQL is given to its owner. */
PG_FUNCTION_INFO_V1(ff_event_hand_over);
Datum
ff_event_hand_over(PG_FUNCTION_ARGS)
{
	static FfPlan plan = {
		"select l.function_id, l.version, l.event_id, l.rank from flowforge.run_hot l "
		"where l.slot = flowforge.slot($2) and l.run_id = $2 and l.tenant_id = $1",
		2,
		{INT4OID, UUIDOID}};
	FfNewRun run = {.tenant_id = PG_GETARG_INT32(0), .run_id = *PG_GETARG_UUID_P(1)};
	Datum	 values[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	bool	 isnull;
	Datum	 rank;
	int64	 depth;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (ff_spi_run(&plan, values, NULL, false) == 1)
	{
		run.function_id = DatumGetInt32(ff_spi_value(0, 1, &isnull));
		run.version = DatumGetInt32(ff_spi_value(0, 2, &isnull));
		run.event_id = *DatumGetUUIDP(ff_spi_value(0, 3, &isnull));
		rank = ff_spi_value(0, 4, &isnull);
		ff_hint_run(run.tenant_id, &run.run_id, isnull ? 0 : DatumGetTimestampTz(rank));
		ff_cancel_register(&run, 1);
		(void) ff_depth_add(run.tenant_id, 1, 0, &depth);
	}
	SPI_finish();
	PG_RETURN_VOID();
}
