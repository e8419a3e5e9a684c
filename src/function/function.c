/*
 * function.c - the caches of functions and triggers (see function.h). They live in a memory context
 * of their own; when they have to be forgotten (see src/util/recall.h) it is dropped whole.
 */
#include "postgres.h"

#include "access/hash.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "function/function.h"
#include "slot/hint.h"
#include "util/batch.h"
#include "util/json.h"
#include "util/recall.h"
#include "util/spi.h"

#define MAX_CACHED 16384 /* entries of a kind; then the cache starts anew */
#define MAX_NAME \
	520 /* of an event or function; longer ones are not cached because they cannot exist */

typedef struct TriggerKey
{
	char text[MAX_NAME + 16]; /* tenant, colon, event name */
} TriggerKey;

typedef struct TriggerEntry
{
	TriggerKey	 key;
	FfTriggerSet set;
} TriggerEntry;

/* The function of a name that is in use, or 0. */
typedef struct SlugEntry
{
	TriggerKey key; /* tenant, colon, slug */
	int32	   function_id;
	int32	   version;
} SlugEntry;

typedef struct FunctionKey
{
	int32 tenant_id;
	int32 function_id;
	int32 version;
} FunctionKey;

typedef struct FunctionEntry
{
	FunctionKey key;
	bool		known;
	FfFunction	function;
} FunctionEntry;

static MemoryContext cache_context = NULL;
static HTAB			*triggers_cache = NULL;
static HTAB			*functions_cache = NULL;
static HTAB			*slugs_cache = NULL;
static uint32		 limits = 0; /* of the language, when filters were read */

/* The changes of all the tables that are read here are announced on this one. */
static FfRecall recall = {"trigger"};

void
ff_function_init(void)
{
	ff_recall_register(&recall);
}

static HTAB *
make_cache(const char *name, Size keysize, Size entrysize, int flags)
{
	HASHCTL control = {0};

	control.keysize = keysize;
	control.entrysize = entrysize;
	control.hcxt = cache_context;
	return hash_create(name, 64, &control, HASH_ELEM | HASH_CONTEXT | flags);
}

/* Starts anew when something has changed, or when there is no room for so many more entries. */
static void
make_room(int more)
{
	bool full =
		cache_context != NULL && (hash_get_num_entries(triggers_cache) + more > MAX_CACHED ||
								  hash_get_num_entries(functions_cache) > MAX_CACHED ||
								  hash_get_num_entries(slugs_cache) > MAX_CACHED);

	if (!ff_recall_expired(&recall) && !full && limits == ff_lang_limits())
		return;
	if (cache_context != NULL)
		MemoryContextDelete(cache_context);
	cache_context =
		AllocSetContextCreate(TopMemoryContext, "flowforge functions", ALLOCSET_DEFAULT_SIZES);
	triggers_cache =
		make_cache("flowforge triggers", sizeof(TriggerKey), sizeof(TriggerEntry), HASH_STRINGS);
	functions_cache =
		make_cache("flowforge functions", sizeof(FunctionKey), sizeof(FunctionEntry), HASH_BLOBS);
	slugs_cache =
		make_cache("flowforge slugs", sizeof(TriggerKey), sizeof(SlugEntry), HASH_STRINGS);
	ff_recall_renewed(&recall);
	limits = ff_lang_limits();
}

static void
renew_cache(void)
{
	make_room(0);
}

/* The names a trigger may have to meet an event are the event's own, and each of its prefixes that
 * ends in / or . followed by *. One row for each: the place of the event's name, and the name. */
static void
add_candidates(FfBatch *batch, int32 tenant_id, const char *event_name, int place)
{
	Datum values[3] = {Int32GetDatum(place), Int32GetDatum(tenant_id),
					   CStringGetTextDatum(event_name)};

	ff_batch_add(batch, values, NULL);
	for (int i = 0; event_name[i] != '\0'; i++)
	{
		if (event_name[i] != '/' && event_name[i] != '.')
			continue;
		values[2] = CStringGetTextDatum(psprintf("%.*s*", i + 1, event_name));
		ff_batch_add(batch, values, NULL);
	}
	values[2] = CStringGetTextDatum("*");
	ff_batch_add(batch, values, NULL);
}

/* Takes the rows of one place, from `row` on; the number of the row after them. */
static uint64
read_set(FfTriggerSet *set, int place, uint64 row, uint64 rows)
{
	uint64 end = row;
	bool   isnull;

	while (end < rows && DatumGetInt32(ff_spi_value(end, 1, &isnull)) == place)
		end++;
	set->count = (int) (end - row);
	set->triggers = MemoryContextAlloc(cache_context, sizeof(FfTrigger) * Max(set->count, 1));
	for (int i = 0; i < set->count; i++, row++)
	{
		FfTrigger *trigger = &set->triggers[i];
		Datum	   expression;

		trigger->function_id = DatumGetInt32(ff_spi_value(row, 2, &isnull));
		trigger->version = DatumGetInt32(ff_spi_value(row, 3, &isnull));
		trigger->cancels = DatumGetBool(ff_spi_value(row, 5, &isnull));
		trigger->flows = DatumGetBool(ff_spi_value(row, 6, &isnull));
		expression = ff_spi_value(row, 4, &isnull);
		trigger->filter =
			isnull ? NULL : ff_expr_compile_stored(TextDatumGetCString(expression), cache_context);
	}
	set->index = ff_trigger_index_make(set, cache_context);
	return row;
}

static void
load_triggers(FfTriggerSet *sets, int32 tenant_id, const char **names, int count)
{
	static FfPlan plan = {
		"select n.place, t.function_id, t.version, t.expression, coalesce(v.config -> 'cancel', '[]') not in ('[]', 'null'), "
		"coalesce(case when v.config ? 'graph' then v.config -> 'settings' else v.config end ?| " FF_FLOW_MEMBERS
		", false) "
		"from unnest($1, $2, $3) as n (place, tenant_id, event) "
		"join flowforge.trigger t on t.tenant_id = n.tenant_id and t.event = n.event "
		"left join flowforge.function_version v on v.tenant_id = t.tenant_id and v.function_id = t.function_id and v.version = t.version "
		"order by n.place, t.function_id, t.trigger_id",
		3,
		{INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID}};
	FfBatch batch = {.plan = &plan};
	uint64	row = 0;
	uint64	rows;

	for (int i = 0; i < count; i++)
		add_candidates(&batch, tenant_id, names[i], i);
	rows = ff_batch_run(&batch);
	for (int i = 0; i < count; i++)
		row = read_set(&sets[i], i, row, rows);
}

static void
set_key(TriggerKey *key, int32 tenant_id, const char *event_name)
{
	memset(key, 0, sizeof(*key));
	snprintf(key->text, sizeof(key->text), "%d:%s", tenant_id, event_name);
}

const FfTriggerSet *
ff_triggers_for(int32 tenant_id, const char *event_name)
{
	TriggerKey	  key;
	TriggerEntry *entry;
	FfTriggerSet  loaded;

	renew_cache();
	set_key(&key, tenant_id, event_name);
	entry = hash_search(triggers_cache, &key, HASH_FIND, NULL);
	if (entry == NULL)
	{
		/* Loading may raise or process invalidations: only a complete entry enters the cache. */
		load_triggers(&loaded, tenant_id, &event_name, 1);
		ff_recall_noted(&recall);
		entry = hash_search(triggers_cache, &key, HASH_ENTER, NULL);
		entry->set = loaded;
	}
	return &entry->set;
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* The names that the cache has not, each once; their number. */
static int
unknown_names(int32 tenant_id, const char **names, int count, const char **out)
{
	int unknown = 0;
	int kept = 0;

	for (int i = 0; i < count; i++)
	{
		TriggerKey key;

		set_key(&key, tenant_id, names[i]);
		if (hash_search(triggers_cache, &key, HASH_FIND, NULL) == NULL)
			out[unknown++] = names[i];
	}
	qsort(out, unknown, sizeof(char *), compare_texts);
	for (int i = 0; i < unknown; i++)
	{
		if (i == 0 || strcmp(out[i], out[kept - 1]) != 0)
			out[kept++] = out[i];
	}
	return kept;
}

void
ff_triggers_prepare(int32 tenant_id, const char **names, int count)
{
	const char	**unknown = palloc(sizeof(char *) * Max(count, 1));
	FfTriggerSet *sets;

	make_room(count);
	count = unknown_names(tenant_id, names, count, unknown);
	if (count < 2)
		return;
	sets = palloc(sizeof(FfTriggerSet) * count);
	load_triggers(sets, tenant_id, unknown, count);
	ff_recall_noted(&recall);
	for (int i = 0; i < count; i++)
	{
		TriggerKey	  key;
		TriggerEntry *entry;

		set_key(&key, tenant_id, unknown[i]);
		entry = hash_search(triggers_cache, &key, HASH_ENTER, NULL);
		entry->set = sets[i];
	}
}

static char *
cached_text(uint64 row, int column)
{
	bool  isnull;
	Datum value = ff_spi_value(row, column, &isnull);

	return isnull ? NULL : MemoryContextStrdup(cache_context, TextDatumGetCString(value));
}

static char *
keep_text(const char *text)
{
	return text == NULL ? NULL : MemoryContextStrdup(cache_context, text);
}

static void
read_cancel(FfCancelOn *cancel, Jsonb *json)
{
	cancel->event = keep_text(ff_json_text(json, "event"));
	cancel->filter = keep_text(ff_json_text(json, "if"));
	cancel->timeout = keep_text(ff_json_text(json, "timeout"));
}

/* The setting `cancel`: a list, or one object that stands for a list of one. */
static void
read_config(FfFunction *function, Jsonb *config)
{
	Jsonb *cancel = ff_json_member(config, "cancel");

	ff_policy_read(&function->policy, config);
	function->flow = ff_flow_read(config, cache_context);
	if (function->policy.cancels == 0)
		return;
	function->cancels =
		MemoryContextAllocZero(cache_context, sizeof(FfCancelOn) * function->policy.cancels);
	if (ff_json_is_object(cancel))
		read_cancel(&function->cancels[0], cancel);
	else
	{
		for (int i = 0; i < function->policy.cancels; i++)
			read_cancel(&function->cancels[i],
						JsonbValueToJsonb(getIthJsonbValueFromContainer(&cancel->root, i)));
	}
}

static bool
load_function(FfFunction *function, const FunctionKey *key)
{
	static FfPlan plan = {
		"select v.retries, f.app_id, f.slug, f.url, v.config, (extract(epoch from a.request_timeout) * 1000000)::bigint, "
		"exists (select from flowforge.pause p where p.tenant_id = f.tenant_id and (p.function_id = f.function_id or p.app_id = f.app_id)), "
		"coalesce(v.config ->> 'endpoint' = 'true', false) from flowforge.function f "
		"join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = $3 "
		"left join flowforge.app a on a.tenant_id = f.tenant_id and a.app_id = f.app_id "
		"where f.tenant_id = $1 and f.function_id = $2",
		3,
		{INT4OID, INT4OID, INT4OID}};
	Datum values[3] = {Int32GetDatum(key->tenant_id), Int32GetDatum(key->function_id),
					   Int32GetDatum(key->version)};
	bool  isnull;
	Datum app_id;
	Datum config;
	Datum timeout;

	if (ff_spi_run(&plan, values, NULL, false) == 0)
		return false;
	memset(function, 0, sizeof(*function));
	function->tenant_id = key->tenant_id;
	function->function_id = key->function_id;
	function->version = key->version;
	function->max_attempts = DatumGetInt16(ff_spi_value(0, 1, &isnull)) + 1;
	app_id = ff_spi_value(0, 2, &isnull);
	if (!isnull)
		function->app_id = *DatumGetUUIDP(app_id);
	function->slug = cached_text(0, 3);
	function->url = cached_text(0, 4);
	config = ff_spi_value(0, 5, &isnull);
	read_config(function, DatumGetJsonbP(config));
	function->graph = ff_json_get(DatumGetJsonbP(config), "graph") != NULL;
	timeout = ff_spi_value(0, 6, &isnull);
	function->read_timeout = isnull ? 0 : DatumGetInt64(timeout);
	function->paused = DatumGetBool(ff_spi_value(0, 7, &isnull));
	function->endpoint = DatumGetBool(ff_spi_value(0, 8, &isnull));
	return true;
}

const FfFunction *
ff_function_get(int32 tenant_id, int32 function_id, int32 version)
{
	FunctionKey	   key = {tenant_id, function_id, version};
	FunctionEntry *entry;

	renew_cache();
	entry = hash_search(functions_cache, &key, HASH_FIND, NULL);
	if (entry == NULL)
	{
		FfFunction function = {0};
		bool	   known = load_function(&function, &key);

		ff_recall_noted(&recall);
		entry = hash_search(functions_cache, &key, HASH_ENTER, NULL);
		entry->known = known;
		entry->function = function;
	}
	return entry->known ? &entry->function : NULL;
}

const FfFunction *
ff_function_cached(int32 tenant_id, int32 function_id, int32 version)
{
	FunctionKey	   key = {tenant_id, function_id, version};
	FunctionEntry *entry =
		recall.stale ? NULL : hash_search(functions_cache, &key, HASH_FIND, NULL);

	return entry != NULL && entry->known ? &entry->function : NULL;
}

uint64
ff_function_generation(void)
{
	return recall.generation;
}

const FfFunction *
ff_function_current(int32 tenant_id, int32 function_id)
{
	static FfPlan plan = {"select f.version from flowforge.function f "
						  "where f.tenant_id = $1 and f.function_id = $2",
						  2,
						  {INT4OID, INT4OID}};
	Datum		  values[2] = {Int32GetDatum(tenant_id), Int32GetDatum(function_id)};
	bool		  isnull;

	if (ff_spi_run(&plan, values, NULL, false) == 0)
		return NULL;
	return ff_function_get(tenant_id, function_id, DatumGetInt32(ff_spi_value(0, 1, &isnull)));
}

static void
load_slug(SlugEntry *out, int32 tenant_id, const char *slug)
{
	static FfPlan plan = {"select f.function_id, f.version from flowforge.function f "
						  "where f.tenant_id = $1 and f.slug = $2 and f.archived_at is null",
						  2,
						  {INT4OID, TEXTOID}};
	Datum		  values[2] = {Int32GetDatum(tenant_id), CStringGetTextDatum(slug)};
	bool		  isnull;

	out->function_id = out->version = 0;
	if (ff_spi_run(&plan, values, NULL, false) == 0)
		return;
	out->function_id = DatumGetInt32(ff_spi_value(0, 1, &isnull));
	out->version = DatumGetInt32(ff_spi_value(0, 2, &isnull));
}

const FfFunction *
ff_function_by_slug(int32 tenant_id, const char *slug)
{
	TriggerKey key;
	SlugEntry *entry;
	SlugEntry  found;

	if (strlen(slug) >= MAX_NAME)
		return NULL;
	renew_cache();
	set_key(&key, tenant_id, slug);
	entry = hash_search(slugs_cache, &key, HASH_FIND, NULL);
	if (entry == NULL)
	{
		load_slug(&found, tenant_id, slug);
		ff_recall_noted(&recall);
		entry = hash_search(slugs_cache, &key, HASH_ENTER, NULL);
		entry->function_id = found.function_id;
		entry->version = found.version;
	}
	return entry->function_id == 0 ? NULL
								   : ff_function_get(tenant_id, entry->function_id, entry->version);
}

PG_FUNCTION_INFO_V1(ff_function_forget);
Datum
ff_function_forget(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("flowforge.forget_functions is a trigger")));
	ff_hint_limits();
	CacheInvalidateRelcacheByRelid(
		get_relname_relid("trigger", get_namespace_oid("flowforge", false)));
	PG_RETURN_POINTER(NULL);
}
