/*
 * send.c - ff_send_event, ff_send_events, the gateway's ingest and invoke: SQL values become
 * events.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "event/event.h"
#include "function/function.h"
#include "slot/rate.h"
#include "slot/shared.h"
#include "team/caller.h"
#include "team/team.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/json.h"
#include "util/spi.h"

#define MAX_EVENTS 5000
#define MAX_KEY_ID_BYTES 512
#define MAX_SEED_SKEW_MS (INT64CONST(86400) * 1000)

/* A tenant with a limit sends no larger events than that. Needs SPI. */
static void
check_payloads(const FfEvent *events, int count)
{
	int limit = count > 0 ? ff_tenant_get(events->tenant_id)->max_payload_bytes : 0;

	for (int i = 0; limit > 0 && i < count; i++)
	{
		size_t size = ff_event_size(&events[i]);

		if (size <= (size_t) limit)
			continue;
		ff_shared_refused(FF_QUOTA_PAYLOAD_BYTES);
		ereport(ERROR,
				(errcode(FF_ERR_PAYLOAD_SIZE),
				 errmsg("event \"%s\" is larger than the tenant may send", events[i].name),
				 errdetail("It has %zu bytes, at most %d are allowed, and nothing of this call "
						   "is kept.",
						   size, limit),
				 errhint("Store the payload elsewhere and send a reference. The limit is the "
						 "tenant's max_payload_bytes: select ff_set_tenant(...).")));
	}
}

/* A tenant with a limit sends no more events a second than that. Needs SPI. */
static void
take_rate(int32 tenant_id, int count)
{
	int limit = ff_tenant_get(tenant_id)->max_events_per_second;

	if (limit == 0 || count == 0 || ff_rate_take(tenant_id, limit, count))
		return;
	ff_shared_refused(FF_QUOTA_EVENTS_PER_SECOND);
	ereport(ERROR,
			(errcode(FF_ERR_EVENT_RATE),
			 errmsg("the tenant sends more than %d events a second", limit),
			 errdetail("It sends %d now, and nothing of them is recorded.", count),
			 count > limit ? errhint("At most %d fit in one call (max_events_per_second).", limit)
						   : errhint("Send them a second later. The limit is the tenant's "
									 "max_events_per_second: select ff_set_tenant(...).")));
}

/* What a sender may send; its runs are bounded, too, when they are made. */
static void
take_quota(FfEvent *events, int count)
{
	check_payloads(events, count);
	if (count > 0)
		take_rate(events->tenant_id, count);
	for (int i = 0; i < count; i++)
		events[i].bounded = true;
}

static Jsonb *
empty_object(void)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* Keys are indexed, so a long id is known by its digest. */
static const char *
key_of(const char *id)
{
	Datum digest;

	if (strlen(id) <= MAX_KEY_ID_BYTES)
		return id;
	digest = DirectFunctionCall1(sha256_bytea, CStringGetTextDatum(id));
	return psprintf("sha256:%s", TextDatumGetCString(DirectFunctionCall2(
									 binary_encode, digest, CStringGetTextDatum("hex"))));
}

static void
use_key(FfEvent *event, const char *id)
{
	if (id == NULL || *id == '\0')
		return;
	event->external_id = id;
	event->dedupe_key = psprintf("id:%s:%s", event->name, key_of(id));
}

PG_FUNCTION_INFO_V1(ff_send_event);
Datum
ff_send_event(PG_FUNCTION_ARGS)
{
	FfEvent	   event = {0};
	pg_uuid_t *result = palloc(sizeof(pg_uuid_t));

	event.tenant_id = ff_require_role(FF_ROLE_MEMBER).tenant_id;
	event.name = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	event.data = PG_ARGISNULL(1) ? empty_object() : PG_GETARG_JSONB_P(1);
	event.user = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3);
	event.ts = PG_ARGISNULL(4) ? GetCurrentTimestamp() : PG_GETARG_TIMESTAMPTZ(4);
	(void) ff_event_read_meta(NULL, ff_event_trace_now(), &event.meta);
	ff_event_check(&event, false);
	use_key(&event, PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	take_quota(&event, 1);
	ff_event_record(&event, 1);
	SPI_finish();
	*result = event.id;
	PG_RETURN_UUID_P(result);
}

static void
not_an_event(int index, const char *what)
{
	ereport(
		ERROR,
		(errcode(FF_ERR_EVENT_FORM), errmsg("event %d of the request %s", index + 1, what),
		 errhint(
			 "An event is {\"name\": \"order/created\", \"data\": {...}, \"id\": ..., \"user\": {...}, \"ts\": milliseconds}.")));
}

/* Removes data._inngest, with which a client could forge an invocation. */
static Jsonb *
without_internals(Jsonb *data)
{
	Datum key = CStringGetTextDatum("_inngest");

	if (ff_json_get(data, "_inngest") == NULL)
		return data;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(data), key));
}

static Jsonb *
member_or_null(Jsonb *object, const char *key)
{
	Jsonb *member = ff_json_member(object, key);

	return member == NULL || ff_json_is_null(member) ? NULL : member;
}

static void
read_meta(FfEvent *event, Jsonb *meta)
{
	const char *problem = ff_event_read_meta(meta, ff_event_trace_now(), &event->meta);

	if (problem != NULL)
		ereport(ERROR, (errcode(FF_ERR_EVENT_SESSIONS),
						errmsg("the sessions of event \"%s\" cannot be used",
							   event->name ? event->name : ""),
						errdetail("%s.", problem),
						errhint("Sessions are a few pairs of a key and an id, like {\"meta\": "
								"{\"sessions\": {\"conversation\": \"c1\"}}}.")));
}

static void
read_event(FfEvent *event, Jsonb *json, int index, int32 tenant_id, bool internal)
{
	Jsonb	   *id;
	JsonbValue *ts;
	int64		ms;

	if (!ff_json_is_object(json))
		not_an_event(index, "is not an object");
	event->tenant_id = tenant_id;
	event->name = ff_json_text(json, "name");
	if (event->name == NULL && ff_json_get(json, "name") != NULL)
		not_an_event(index, "has a name that is not text");
	event->data = member_or_null(json, "data");
	if (event->data == NULL)
		event->data = empty_object();
	else if (!internal && ff_json_is_object(event->data))
		event->data = without_internals(event->data);
	event->user = member_or_null(json, "user");
	event->v = ff_json_text(json, "v");
	read_meta(event, ff_json_member(json, "meta"));
	event->ts = GetCurrentTimestamp();
	ts = ff_json_get(json, "ts");
	if (ts != NULL && ts->type != jbvNull)
	{
		if (!ff_json_int64(json, "ts", &ms))
			not_an_event(index, "has a ts that is not a whole number of milliseconds");
		if (ms != 0)
			event->ts = ms > PG_INT64_MAX / 1000 || ms < PG_INT64_MIN / 2000
							? PG_INT64_MAX
							: ff_from_unix_us(ms * 1000);
	}
	ff_event_check(event, internal);
	id = member_or_null(json, "id");
	if (id != NULL && ff_json_text(json, "id") == NULL)
		not_an_event(index, "has an id that is not text");
	use_key(event, ff_json_text(json, "id"));
}

/*
 * Ids from the sender's seed repeat when it sends again. A seed far from now would put the event
 * into another day's partition: the event then has an id of ours, and a repeat is given the same.
 */
static void
use_seed(FfEvent *event, const FfIdSeed *seed, int index)
{
	int64 skew = seed->ms - ff_unix_us(GetCurrentTimestamp()) / 1000;
	char  ulid[FF_ULID_SIZE];

	if (event->dedupe_key != NULL)
		return;
	ff_seed_id(seed, (uint32) index + 1, &event->id);
	event->has_id = skew <= MAX_SEED_SKEW_MS && skew >= -MAX_SEED_SKEW_MS;
	ff_ulid_encode(&event->id, ulid);
	event->dedupe_key = psprintf("seed:%s", ulid);
}

static FfEvent *
read_events(Jsonb *list, int32 tenant_id, const FfIdSeed *seed, bool internal, int *count)
{
	FfEvent *events;

	if (ff_json_is_object(list))
	{
		*count = 1;
		events = palloc0(sizeof(FfEvent));
		read_event(events, list, 0, tenant_id, internal);
		if (seed != NULL)
			use_seed(events, seed, 0);
		return events;
	}
	if (!ff_json_is_array(list))
		not_an_event(0, "is neither an object nor an array of objects");
	*count = JB_ROOT_COUNT(list);
	if (*count > MAX_EVENTS)
		ereport(ERROR, (errcode(FF_ERR_EVENT_COUNT), errmsg("too many events in one call"),
						errdetail("There are %d, at most %d are allowed.", *count, MAX_EVENTS),
						errhint("Send them in several calls.")));
	events = palloc0(sizeof(FfEvent) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		read_event(&events[i], JsonbValueToJsonb(getIthJsonbValueFromContainer(&list->root, i)), i,
				   tenant_id, internal);
		if (seed != NULL)
			use_seed(&events[i], seed, i);
	}
	return events;
}

FfEvent *
ff_events_read(Jsonb *list, int32 tenant_id, int *count)
{
	return read_events(list, tenant_id, NULL, false, count);
}

static FfEvent *
record(Jsonb *list, const FfIdSeed *seed, bool internal, int *count)
{
	FfEvent *events = read_events(list, ff_current_tenant(), seed, internal, count);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (!internal)
		take_quota(events, *count);
	ff_event_record(events, *count);
	SPI_finish();
	return events;
}

PG_FUNCTION_INFO_V1(ff_send_events);
Datum
ff_send_events(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FfEvent		  *events;
	int			   count;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0))
		not_an_event(0, "is null");
	ff_require_role(FF_ROLE_MEMBER);
	events = record(PG_GETARG_JSONB_P(0), NULL, false, &count);
	for (int i = 0; i < count; i++)
	{
		Datum values[1] = {UUIDPGetDatum(&events[i].id)};
		bool  nulls[1] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* --- invoking a function by hand --- */

/* A copy of an object with a member added or replaced. */
static Jsonb *
with_member(Jsonb *object, const char *key, Jsonb *value)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, key);
	ff_jb_json(&builder, value);
	ff_jb_end(&builder);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(object),
											  JsonbPGetDatum(ff_jb_finish(&builder))));
}

/* Whatever name the caller gave, the event is an invocation; its id counts for this function. */
static void
read_invocation(FfEvent *event, Jsonb *json, const char *slug)
{
	if (!ff_json_is_object(json))
		not_an_event(0, "is not an object");
	read_event(event, with_member(json, "name", ff_json_from_text("inngest/function.invoked")), 0,
			   ff_current_tenant(), true);
	event->data = with_member(event->data, "_inngest",
							  with_member(empty_object(), "fn_id", ff_json_from_text(slug)));
	if (event->external_id != NULL)
		event->dedupe_key = psprintf("invoke:%s:%s", slug, key_of(event->external_id));
}

static const FfFunction *
invoked_function(int32 tenant_id, const char *slug)
{
	const FfFunction *function = ff_function_by_slug(tenant_id, slug);

	if (function == NULL)
		ereport(ERROR,
				(errcode(FF_ERR_FUNCTION_NOT_FOUND), errmsg("there is no function \"%s\"", slug),
				 errhint("select function from flowforge.functions lists them.")));
	return function;
}

/* Records the event and starts the run, unless the event was received before: (event_id, run_id).
 */
static Datum
start_run(FunctionCallInfo fcinfo, FfEvent *event, const FfFunction *function)
{
	FfNewRun  run = {0};
	TupleDesc type;
	Datum	  values[2];
	bool	  nulls[2] = {false, false};

	run.tenant_id = event->tenant_id;
	run.function_id = function->function_id;
	run.version = function->version;
	take_quota(event, 1);
	ff_event_insert(event, 1);
	run.event_id = event->id;
	run.event = event;
	run.bounded = event->bounded;
	if (!event->duplicate)
	{
		ff_flow_start_named(&run);
		ff_run_insert(&run, 1);
	}
	SPI_finish();
	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "invoke must return a row");
	values[0] = UUIDPGetDatum(&event->id);
	values[1] = UUIDPGetDatum(&run.run_id);
	nulls[1] = event->duplicate;
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(type), values, nulls));
}

PG_FUNCTION_INFO_V1(ff_event_invoke);
Datum
ff_event_invoke(PG_FUNCTION_ARGS)
{
	FfEvent	 event = {0};
	FfIdSeed seed;
	char	*slug;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		not_an_event(0, "is null");
	slug = text_to_cstring(PG_GETARG_TEXT_PP(0));
	read_invocation(&event, PG_GETARG_JSONB_P(1), slug);
	if (!PG_ARGISNULL(2) && ff_seed_parse(text_to_cstring(PG_GETARG_TEXT_PP(2)), &seed))
		use_seed(&event, &seed, -1);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PG_RETURN_DATUM(start_run(fcinfo, &event, invoked_function(event.tenant_id, slug)));
}

PG_FUNCTION_INFO_V1(ff_event_start_version);
Datum
ff_event_start_version(PG_FUNCTION_ARGS)
{
	FfEvent			  event = {0};
	const FfFunction *function;
	int32			  tenant_id = ff_current_tenant();

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	function = ff_function_get(tenant_id, PG_GETARG_INT32(0), PG_GETARG_INT32(1));
	if (function == NULL)
		ereport(ERROR, (errcode(FF_ERR_FUNCTION_NOT_FOUND), errmsg("there is no such version")));
	read_invocation(&event, PG_GETARG_JSONB_P(2), function->slug);
	PG_RETURN_DATUM(start_run(fcinfo, &event, function));
}

PG_FUNCTION_INFO_V1(ff_event_ingest);
Datum
ff_event_ingest(PG_FUNCTION_ARGS)
{
	FfIdSeed seed;
	bool seeded = !PG_ARGISNULL(1) && ff_seed_parse(text_to_cstring(PG_GETARG_TEXT_PP(1)), &seed);
	FfEvent *events;
	Datum	*ids;
	int		 count;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		not_an_event(0, "is null");
	events = record(PG_GETARG_JSONB_P(0), seeded ? &seed : NULL, PG_GETARG_BOOL(2), &count);
	ids = palloc(sizeof(Datum) * Max(count, 1));
	for (int i = 0; i < count; i++)
		ids[i] = UUIDPGetDatum(&events[i].id);
	PG_RETURN_ARRAYTYPE_P(construct_array(ids, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}
