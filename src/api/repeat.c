/*
 * repeat.c - see repeat.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "api/repeat.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/spi.h"

#define MAX_KEY_BYTES 255

static const char *
key_of(Jsonb *headers)
{
	const char *key = ff_json_text(headers, "idempotency-key");

	if (key == NULL)
		key = ff_json_text(headers, "x-idempotency-key");
	if (key == NULL)
		return NULL;
	if (*key == '\0' || strlen(key) > MAX_KEY_BYTES)
		ereport(ERROR,
				(errcode(FF_ERR_BAD_PARAMETER),
				 errmsg("the idempotency key has not 1 to %d bytes", MAX_KEY_BYTES),
				 errhint("Send a new UUID for each request, and the same for its repeats.")));
	return key;
}

static void
append_part(StringInfo all, const char *part, size_t length)
{
	appendStringInfo(all, "%zu ", length);
	appendBinaryStringInfo(all, part, (int) length);
	appendStringInfoChar(all, ' ');
}

/* Headers that say what the body is: its type, and what a binary CloudEvent keeps beside it. */
static void
append_headers(StringInfo all, Jsonb *headers)
{
	JsonbIterator	  *it = JsonbIteratorInit(&headers->root);
	JsonbIteratorToken token;
	JsonbValue		   item;
	bool			   counts = false;

	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			counts =
				(item.val.string.len > 3 && memcmp(item.val.string.val, "ce-", 3) == 0) ||
				(item.val.string.len == 12 && memcmp(item.val.string.val, "content-type", 12) == 0);
		if (counts && (token == WJB_KEY || (token == WJB_VALUE && item.type == jbvString)))
			append_part(all, item.val.string.val, (size_t) item.val.string.len);
	}
}

/* Lengths keep the parts apart. */
static bytea *
digest_of(const char *method, const char *path, const char *query, Jsonb *headers,
		  const bytea *body)
{
	StringInfoData all;

	initStringInfo(&all);
	append_part(&all, method, strlen(method));
	append_part(&all, path, strlen(path));
	append_part(&all, query, strlen(query));
	append_headers(&all, headers);
	if (body != NULL)
		appendBinaryStringInfo(&all, VARDATA_ANY(body), (int) VARSIZE_ANY_EXHDR(body));
	return DatumGetByteaP(DirectFunctionCall1(
		sha256_bytea, PointerGetDatum(cstring_to_text_with_len(all.data, all.len))));
}

void
ff_repeat_read(FfRepeat *repeat, Jsonb *headers, const char *method, const char *path,
			   const char *query, const bytea *body)
{
	repeat->key = key_of(headers);
	repeat->digest = repeat->key != NULL ? digest_of(method, path, query, headers, body) : NULL;
}

/* True when nobody has the key. Otherwise it waits until who has it commits. */
static bool
claim(const FfRepeat *repeat)
{
	static FfPlan plan = {
		"insert into flowforge.request_key as k (tenant_id, key, digest, expires_at) "
		"values (flowforge.current_tenant(), $1, $2, now() + interval '1 day') "
		"on conflict (tenant_id, key) do update "
		"set digest = excluded.digest, status = null, headers = null, body = null, expires_at = excluded.expires_at "
		"where k.expires_at < now()",
		2,
		{TEXTOID, BYTEAOID}};
	Datum values[2] = {CStringGetTextDatum(repeat->key), PointerGetDatum(repeat->digest)};

	return ff_spi_run(&plan, values, NULL, false) > 0;
}

static void
append_column(StringInfo out, int column)
{
	bool  isnull;
	Datum value = ff_spi_value(0, column, &isnull);

	if (!isnull)
		appendBinaryStringInfo(out, VARDATA_ANY(DatumGetTextPP(value)),
							   (int) VARSIZE_ANY_EXHDR(DatumGetTextPP(value)));
}

static void
read_first(const FfRepeat *repeat, FfAnswer *answer)
{
	static FfPlan plan = {"select digest = $2, status, headers, body from flowforge.request_key "
						  "where tenant_id = flowforge.current_tenant() and key = $1",
						  2,
						  {TEXTOID, BYTEAOID}};
	Datum		  values[2] = {CStringGetTextDatum(repeat->key), PointerGetDatum(repeat->digest)};
	bool		  isnull;

	if (ff_spi_run(&plan, values, NULL, false) == 0)
		elog(ERROR, "the idempotency key \"%s\" is gone", repeat->key);
	if (!DatumGetBool(ff_spi_value(0, 1, &isnull)))
		ereport(ERROR,
				(errcode(FF_ERR_REPEAT),
				 errmsg("the idempotency key \"%s\" was used for another request", repeat->key),
				 errhint("Send a new key with each new request.")));
	answer->status = DatumGetInt32(ff_spi_value(0, 2, &isnull));
	append_column(&answer->headers, 3);
	append_column(&answer->body, 4);
}

static void
connect_spi(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

bool
ff_repeat_answer(const FfRepeat *repeat, FfAnswer *answer)
{
	bool repeated;

	if (repeat->key == NULL)
		return false;
	connect_spi();
	repeated = !claim(repeat);
	if (repeated)
	{
		read_first(repeat, answer);
		appendStringInfoString(&answer->headers, "idempotency-replayed: true\n");
	}
	SPI_finish();
	return repeated;
}

/* A secret is not stored to be told again: a repeat of the request is served anew. */
static void
forget(const FfRepeat *repeat)
{
	static FfPlan plan = {"delete from flowforge.request_key "
						  "where tenant_id = flowforge.current_tenant() and key = $1",
						  1,
						  {TEXTOID}};
	Datum		  values[1] = {CStringGetTextDatum(repeat->key)};

	connect_spi();
	ff_spi_run(&plan, values, NULL, false);
	SPI_finish();
}

void
ff_repeat_keep(const FfRepeat *repeat, const FfAnswer *answer)
{
	static FfPlan plan = {"update flowforge.request_key set status = $2, headers = $3, body = $4 "
						  "where tenant_id = flowforge.current_tenant() and key = $1",
						  4,
						  {TEXTOID, INT4OID, TEXTOID, TEXTOID}};
	Datum		  values[4];

	if (repeat->key == NULL)
		return;
	if (strstr(answer->headers.data, "cache-control: no-store") != NULL)
	{
		forget(repeat);
		return;
	}
	connect_spi();
	values[0] = CStringGetTextDatum(repeat->key);
	values[1] = Int32GetDatum(answer->status);
	values[2] =
		PointerGetDatum(cstring_to_text_with_len(answer->headers.data, answer->headers.len));
	values[3] = PointerGetDatum(cstring_to_text_with_len(answer->body.data, answer->body.len));
	ff_spi_run(&plan, values, NULL, false);
	SPI_finish();
}
