/*
 * tenant.c - the cache of tenants (see team.h). An invalidation, which can arrive at any time, only
 * marks it stale; the next look starts anew.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "slot/hint.h"
#include "team/team.h"
#include "util/spi.h"

#define MAX_CACHED 65536 /* then it starts anew */

static HTAB		  *tenants = NULL;
static bool		   stale = true;
static uint64	   generation = 0;
static Oid		   watched = InvalidOid; /* flowforge.tenant */
static TimestampTz old_since = 0;		 /* the start of a transaction whose snapshot may be old */

static void
forget_relation(Datum arg, Oid relid)
{
	if (relid != watched && relid != InvalidOid)
		return;
	stale = true;
	generation++;
}

void
ff_tenant_init(void)
{
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
}

static void
renew_cache(void)
{
	HASHCTL control = {0};

	if (old_since != 0 && old_since != GetCurrentTransactionStartTimestamp())
	{
		stale = true;
		old_since = 0;
	}
	if (!stale && hash_get_num_entries(tenants) < MAX_CACHED)
		return;
	if (tenants != NULL)
		hash_destroy(tenants);
	control.keysize = sizeof(int32);
	control.entrysize = sizeof(FfTenant);
	control.hcxt = TopMemoryContext;
	tenants = hash_create("flowforge tenants", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	watched = get_relname_relid("tenant", get_namespace_oid("flowforge", false));
	stale = false;
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
	static FfPlan plan = {"select t.weight, t.max_running, t.max_events_per_second "
						  "from flowforge.tenant t where t.tenant_id = $1",
						  1,
						  {INT4OID}};
	FfTenant	  tenant = {tenant_id, 1, 0, 0};
	Datum		  values[1] = {Int32GetDatum(tenant_id)};

	if (ff_spi_run(&plan, values, NULL, false) == 0)
		return tenant;
	tenant.weight = limit_of(0, 1);
	tenant.max_running = limit_of(0, 2);
	tenant.max_events_per_second = limit_of(0, 3);
	return tenant;
}

uint64
ff_tenant_generation(void)
{
	return generation;
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
	/* The row is read with a snapshot taken after the invalidations that come with the look, or is
	 * forgotten with the transaction's only one (see src/function/function.c). */
	loaded = load(tenant_id);
	if (IsolationUsesXactSnapshot())
		old_since = GetCurrentTransactionStartTimestamp();
	entry = hash_search(tenants, &tenant_id, HASH_ENTER, NULL);
	*entry = loaded;
	return entry;
}

const FfTenant *
ff_tenant_cached(int32 tenant_id)
{
	return stale ? NULL : hash_search(tenants, &tenant_id, HASH_FIND, NULL);
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
