/*
 * known.c - the cache of credentials (see known.h).
 *
 * Only those that are good are remembered, so nobody can fill it with guesses.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "team/known.h"
#include "team/pass.h"
#include "util/recall.h"
#include "util/spi.h"

#define MAX_CACHED 16384					 /* then it starts anew */
#define USE_NOTED (60 * INT64CONST(1000000)) /* how often the use of a key is noted */

/* A key goes by its digest, a user by its id and the version of its tokens. */
typedef struct Known
{
	uint8		name[FF_DIGEST];
	FfPrincipal principal;
	TimestampTz expires_at;
	TimestampTz noted_at;
} Known;

static HTAB	   *cache = NULL;
static FfRecall recall = {"api_key"};

void
ff_known_init(void)
{
	ff_recall_register(&recall);
}

static void
renew_cache(void)
{
	HASHCTL control = {0};

	if (!ff_recall_expired(&recall) && hash_get_num_entries(cache) < MAX_CACHED)
		return;
	if (cache != NULL)
		hash_destroy(cache);
	control.keysize = FF_DIGEST;
	control.entrysize = sizeof(Known);
	control.hcxt = TopMemoryContext;
	cache =
		hash_create("flowforge credentials", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ff_recall_renewed(&recall);
}

static char *
text_at(int column)
{
	bool  isnull;
	Datum value = ff_spi_value(0, column, &isnull);

	return isnull ? pstrdup("") : TextDatumGetCString(value);
}

static FfScopes
scopes_of(char *names)
{
	FfScopes set = 0;
	char	*name;

	while ((name = strsep(&names, ",")) != NULL)
		set |= ff_scope_named(name);
	return set;
}

/* Who may administer may do everything. */
static FfScopes
widened(FfScopes set)
{
	return set & ff_scope_named("admin") ? ff_scopes_of(FF_ROLE_ADMIN) : set;
}

/* Columns: tenant_id, actor, expires_at, scopes, role; a key has no role, a user no scopes. */
static bool
load(FfPlan *plan, Datum *values, Known *entry)
{
	bool  isnull;
	Datum expires;
	char *scopes;
	char *role;

	if (ff_spi_run(plan, values, NULL, false) == 0)
		return false;
	scopes = text_at(4);
	role = text_at(5);
	ff_principal_init(&entry->principal, DatumGetInt32(ff_spi_value(0, 1, &isnull)),
					  ff_role_named(role), text_at(2));
	if (role[0] == '\0')
	{
		entry->principal.scopes = widened(scopes_of(scopes));
		entry->principal.role = ff_role_for(entry->principal.scopes);
	}
	expires = ff_spi_value(0, 3, &isnull);
	entry->expires_at = isnull ? DT_NOEND : DatumGetTimestampTz(expires);
	entry->noted_at = DT_NOBEGIN;
	return true;
}

static Known *
look_up(const uint8 name[FF_DIGEST], FfPlan *plan, Datum *values)
{
	Known  loaded;
	Known *entry;

	renew_cache();
	entry = hash_search(cache, name, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;
	memset(&loaded, 0, sizeof(loaded));
	if (!load(plan, values, &loaded))
		return NULL;
	memcpy(loaded.name, name, FF_DIGEST);
	ff_recall_noted(&recall);
	entry = hash_search(cache, name, HASH_ENTER, NULL);
	*entry = loaded;
	return entry;
}

/* Never waits for another request that does the same. */
static void
note_use(Known *entry, Datum digest)
{
	static FfPlan plan = {
		"update flowforge.api_key set last_used_at = now() where key_id = "
		"(select k.key_id from flowforge.api_key k where k.digest = $1 "
		"and (k.last_used_at is null or k.last_used_at < now() - interval '1 minute') "
		"for update skip locked)",
		1,
		{BYTEAOID}};
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	Datum		values[1] = {digest};

	if (XactReadOnly || now < entry->noted_at + USE_NOTED)
		return;
	entry->noted_at = now;
	ff_spi_run(&plan, values, NULL, false);
}

static bytea *
bytes_of(const uint8 digest[FF_DIGEST])
{
	bytea *bytes = palloc(VARHDRSZ + FF_DIGEST);

	SET_VARSIZE(bytes, VARHDRSZ + FF_DIGEST);
	memcpy(VARDATA(bytes), digest, FF_DIGEST);
	return bytes;
}

bool
ff_known_key(const uint8 digest[FF_DIGEST], FfPrincipal *who)
{
	static FfPlan plan = {"select k.tenant_id, 'key:' || flowforge.ulid(k.key_id), k.expires_at, "
						  "array_to_string(k.scopes, ','), null::text "
						  "from flowforge.api_key k where k.digest = $1 and k.revoked_at is null",
						  1,
						  {BYTEAOID}};
	Datum		  values[1] = {PointerGetDatum(bytes_of(digest))};
	Known		 *entry;
	bool		  good;

	SPI_connect();
	entry = look_up(digest, &plan, values);
	good = entry != NULL && entry->expires_at > GetCurrentTimestamp();
	if (good)
	{
		*who = entry->principal;
		who->expires_at = entry->expires_at;
		ff_pass_of_key(digest, who->credential);
		note_use(entry, values[0]);
	}
	SPI_finish();
	return good;
}

bool
ff_known_user(const pg_uuid_t *user_id, int32 version, FfPrincipal *who)
{
	static FfPlan plan = {
		"select u.tenant_id, 'user:' || flowforge.ulid(u.user_id), null::timestamptz, null::text, u.role "
		"from flowforge.user_account u "
		"where u.user_id = $1 and u.token_version = $2 and u.disabled_at is null",
		2,
		{UUIDOID, INT4OID}};
	uint8  name[FF_DIGEST] = {0};
	Datum  values[2] = {UUIDPGetDatum(user_id), Int32GetDatum(version)};
	Known *entry;

	memcpy(name, user_id->data, UUID_LEN);
	memcpy(name + UUID_LEN, &version, sizeof(version));
	SPI_connect();
	entry = look_up(name, &plan, values);
	if (entry != NULL)
	{
		*who = entry->principal;
		ff_pass_of_user(user_id, version, who->credential);
	}
	SPI_finish();
	return entry != NULL;
}

/* The trigger on flowforge.api_key and flowforge.user_account. Gateways hear of it, too, and ask
 * whether those who follow live streams still may (flowforge.stream_passes). */
PG_FUNCTION_INFO_V1(ff_known_forget);
Datum
ff_known_forget(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("flowforge.forget_credentials is a trigger")));
	CacheInvalidateRelcacheByRelid(
		get_relname_relid("api_key", get_namespace_oid("flowforge", false)));
	Async_Notify("flowforge_access", "");
	PG_RETURN_POINTER(NULL);
}
