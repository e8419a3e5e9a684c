/*
 * sync.c - asking an app which functions it serves (the SDK protocol, "Sync", in-band).
 *
 * A person asks for it, so the calling backend makes the call itself and waits, for ten seconds at
 * most and ready to be interrupted. Runs are called by executors only.
 */
#include "postgres.h"

#include <time.h>

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"

#include "http/client.h"
#include "protocol/protocol.h"
#include "util/jcs.h"
#include "util/json.h"
#include "util/sign.h"

#define SYNC_TIMEOUT_MS 10000

/* An answer is of use when it is whole. */
static void
has_grown(FfHttpCall *call)
{
}

static void
is_over(FfHttpCall *call)
{
	*(bool *) call->owner = true;
}

static void
await_call(FfHttpCall *call, const char *url)
{
	bool *over = MemoryContextAllocZero(call->context, sizeof(bool));

	call->owner = over;
	if (!ff_http_start(call, url))
		return;
	while (!*over)
	{
		long timeout = ff_http_timeout();

		(void) WaitLatchOrSocket(
			MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH,
			ff_http_descriptor(), timeout < 0 ? SYNC_TIMEOUT_MS : timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		ff_http_drive(has_grown, is_over);
	}
}

static void
write_request(FfHttpCall *call, const char *body, const char *key)
{
	appendStringInfoString(&call->request, body);
	call->method = "PUT";
	call->reach = FF_REACH_APP;
	call->timeout = SYNC_TIMEOUT_MS;
	ff_http_add_header(call, "content-type: application/json");
	ff_http_add_header(call, "x-inngest-sync-kind: in_band");
	ff_http_add_header(call,
					   psprintf("x-inngest-server-kind: %s", ff_protocol_dev() ? "dev" : "cloud"));
	if (!ff_protocol_dev())
		ff_http_add_header(call, psprintf("x-inngest-signature: %s",
										  ff_sign_header(key, call->request.data, call->request.len,
														 (int64) time(NULL))));
}

/* What keeps the answer from being used, or NULL. */
static const char *
fault_of(const FfHttpCall *call, FfJsonError *error)
{
	if (call->failure != NULL)
		return psprintf("It could not be reached: %s", call->failure);
	if (call->headers[FF_HEADER_SDK] == NULL && call->headers[FF_HEADER_SDK_HANDLED] == NULL)
		return psprintf("The answer (%ld) did not come from an SDK", call->status);
	if (ff_json_parse(call->body.data, call->body.len, ff_json_depth_limit, error) == NULL)
		return psprintf("The answer (%ld) is not JSON: %s", call->status, error->message);
	if (call->headers[FF_HEADER_SYNC_KIND] != NULL &&
		strcmp(call->headers[FF_HEADER_SYNC_KIND], "in_band") == 0 && !ff_protocol_dev() &&
		ff_protocol_signature(call) != FF_SIGNATURE_OK)
		return "The signature of the answer is missing, wrong or too old";
	return NULL;
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static HeapTuple
make_answer(TupleDesc type, const FfHttpCall *call)
{
	FfJsonError error = {0};
	const char *fault = fault_of(call, &error);
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = Int32GetDatum((int32) call->status);
	values[1] = text_or_null(call->headers[FF_HEADER_SYNC_KIND], &nulls[1]);
	nulls[2] = fault != NULL;
	values[2] = fault != NULL ? (Datum) 0
							  : JsonbPGetDatum(ff_json_parse(call->body.data, call->body.len,
															 ff_json_depth_limit, &error));
	values[3] = text_or_null(fault, &nulls[3]);
	return heap_form_tuple(BlessTupleDesc(type), values, nulls);
}

/* Signed with one of our keys. To be freed by ff_http_free. */
static FfHttpCall *
ask(const char *url, const char *body, const char *key)
{
	FfHttpCall *call = ff_http_new(CurrentMemoryContext);

	PG_TRY();
	{
		write_request(call, body, key);
		await_call(call, url);
	}
	PG_CATCH();
	{
		ff_http_free(call);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return call;
}

/* While keys are changed an app may know only the other one: it is asked again, once. */
static bool
refuses_key(const FfHttpCall *call)
{
	return call->status == 401 && !ff_protocol_dev() && ff_signing_key_fallback != NULL &&
		   *ff_signing_key_fallback != '\0';
}

static char *
write_body(const char *url)
{
	StringInfoData body;

	initStringInfo(&body);
	appendStringInfoString(&body, "{\"url\":");
	ff_jcs_append_string(&body, url, (int) strlen(url));
	appendStringInfoChar(&body, '}');
	return body.data;
}

/* flowforge.ask_app(url, out status, out sync_kind, out body, out fault) */
PG_FUNCTION_INFO_V1(ff_protocol_ask_app);
Datum
ff_protocol_ask_app(PG_FUNCTION_ARGS)
{
	static bool ready = false;
	char	   *url = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *body = write_body(url);
	HeapTuple	answer = NULL;
	FfHttpCall *call;
	TupleDesc	type;

	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "ask_app must return a row");
	if (!ready)
		ff_http_init();
	ready = true;
	call = ask(url, body, ff_signing_key);
	if (refuses_key(call))
	{
		ff_http_free(call);
		call = ask(url, body, ff_signing_key_fallback);
	}
	PG_TRY();
	{
		answer = make_answer(type, call);
	}
	PG_FINALLY();
	{
		ff_http_free(call);
	}
	PG_END_TRY();
	PG_RETURN_DATUM(HeapTupleGetDatum(answer));
}
