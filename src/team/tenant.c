/*
 * tenant.c - the cache of tenants (see team.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "slot/hint.h"
#include "team/team.h"
#include "util/recall.h"
#include "util/spi.h"

#define MAX_CACHED 65536 /* then it starts anew */

static HTAB	   *tenants = NULL;
static FfRecall recall = {"tenant"};

void
ff_tenant_init(void)
{
	ff_recall_register(&recall);
}

static void
renew_cache(void)
{
	HASHCTL control = {0};

	if (!ff_recall_expired(&recall) && hash_get_num_entries(tenants) < MAX_CACHED)
		return;
	if (tenants != NULL)
		hash_destroy(tenants);
	control.keysize = sizeof(int32);
	control.entrysize = sizeof(FfTenant);
	control.hcxt = TopMemoryContext;
	tenants = hash_create("flowforge tenants", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ff_recall_renewed(&recall);
}

static int
limit_of(uint64 row, int column)
{
	bool  isnull;
	Datum value = ff_spi_value(row, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

static FfTenant
load(int32 tenant_id)
{
	static FfPlan plan = {
		"select t.weight, t.max_running, t.max_events_per_second, t.max_queued, t.max_payload_bytes "
		"from flowforge.tenant t where t.tenant_id = $1",
		1,
		{INT4OID}};
	FfTenant tenant = {.tenant_id = tenant_id, .weight = 1};
	Datum	 values[1] = {Int32GetDatum(tenant_id)};

	if (ff_spi_run(&plan, values, NULL, false) == 0)
		return tenant;
	tenant.weight = limit_of(0, 1);
	tenant.max_running = limit_of(0, 2);
	tenant.max_events_per_second = limit_of(0, 3);
	tenant.max_queued = limit_of(0, 4);
	tenant.max_payload_bytes = limit_of(0, 5);
	return tenant;
}

uint64
ff_tenant_generation(void)
{
	return recall.generation;
}

const FfTenant *
ff_tenant_get(int32 tenant_id)
{
	FfTenant *entry;
	FfTenant  loaded;

	renew_cache();
	entry = hash_search(tenants, &tenant_id, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;
	loaded = load(tenant_id);
	ff_recall_noted(&recall);
	entry = hash_search(tenants, &tenant_id, HASH_ENTER, NULL);
	*entry = loaded;
	return entry;
}

const FfTenant *
ff_tenant_cached(int32 tenant_id)
{
	return recall.stale ? NULL : hash_search(tenants, &tenant_id, HASH_FIND, NULL);
}

PG_FUNCTION_INFO_V1(ff_tenant_forget);
Datum
ff_tenant_forget(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("flowforge.forget_tenants is a trigger")));
	ff_hint_limits();
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	PG_RETURN_POINTER(NULL);
}
