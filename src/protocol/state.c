/*
 * state.c - a run's events as functions are handed them, for apps that fetch what a call leaves out
 * (the SDK protocol, "Large state").
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "util/json.h"
#include "util/spi.h"

PG_FUNCTION_INFO_V1(ff_protocol_events);

static Jsonb *
events_of(pg_uuid_t *run_id)
{
	static FfPlan plan = {
		"select " FF_EVENT_COLUMNS " from flowforge.run r "
		"join flowforge.event ev on ev.tenant_id = r.tenant_id and ev.event_id = r.event_id "
		"where r.tenant_id = flowforge.current_tenant() and r.run_id = $1",
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
