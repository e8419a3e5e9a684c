/*
 * signal.c - runs waiting for signals (see event.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "util/spi.h"

/* When the name is taken by another run, the newer run has it or the newer run is refused. */
static FfPlan insert_or_keep = {
	"insert into flowforge.signal (tenant_id, name, run_id, step_id) values ($1, $2, $3, $4) "
	"on conflict (tenant_id, name) do nothing returning 1",
	4,
	{INT4OID, TEXTOID, UUIDOID, TEXTOID}};

static FfPlan insert_or_replace = {
	"insert into flowforge.signal (tenant_id, name, run_id, step_id) values ($1, $2, $3, $4) "
	"on conflict (tenant_id, name) do update set run_id = excluded.run_id, step_id = excluded.step_id returning 1",
	4,
	{INT4OID, TEXTOID, UUIDOID, TEXTOID}};

bool
ff_signal_insert(const FfSignal *signal)
{
	Datum values[4] = {Int32GetDatum(signal->tenant_id), CStringGetTextDatum(signal->name),
					   UUIDPGetDatum(&signal->run_id), CStringGetTextDatum(signal->step_id)};

	return ff_spi_run(signal->replace ? &insert_or_replace : &insert_or_keep, values, NULL, false) >
		   0;
}

int
ff_signal_compare(const ListCell *a, const ListCell *b)
{
	const FfSignal *left = lfirst(a);
	const FfSignal *right = lfirst(b);

	if (left->tenant_id != right->tenant_id)
		return left->tenant_id < right->tenant_id ? -1 : 1;
	return strcmp(left->name, right->name);
}
