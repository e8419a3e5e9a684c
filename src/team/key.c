/*
 * key.c - API keys as texts (see key.h).
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/pg_crc.h"

#include "team/key.h"

#define RANDOM_BYTES 20
#define RANDOM_DIGITS 32
#define CHECKSUM_DIGITS 7

static const char		 crockford[] = "0123456789abcdefghjkmnpqrstvwxyz";
static const char		 rfc4648[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char *const prefixes[] = {"ff_live_", "ff_test_", "ff_ro_"};

static const char *
prefix_of(const char *text)
{
	for (size_t at = 0; at < lengthof(prefixes); at++)
	{
		if (strncmp(text, prefixes[at], strlen(prefixes[at])) == 0)
			return prefixes[at];
	}
	return NULL;
}

/* Bits from the first byte on, five a digit; zeros fill the last one. */
static char *
encode(const uint8 *bytes, size_t length, const char *alphabet)
{
	StringInfoData text;
	uint32		   bits = 0;
	int			   held = 0;

	initStringInfo(&text);
	for (size_t at = 0; at < length; at++)
	{
		bits = (bits << 8) | bytes[at];
		held += 8;
		for (; held >= 5; held -= 5)
			appendStringInfoChar(&text, alphabet[(bits >> (held - 5)) & 31]);
	}
	if (held > 0)
		appendStringInfoChar(&text, alphabet[(bits << (5 - held)) & 31]);
	return text.data;
}

char *
ff_base32(const uint8 *bytes, size_t length)
{
	return encode(bytes, length, rfc4648);
}

/* CRC-32 as everybody has it (of zlib and IEEE 802.3), big-endian. */
static char *
checksum_of(const char *text, size_t length)
{
	pg_crc32 crc;
	uint8	 bytes[4];

	INIT_TRADITIONAL_CRC32(crc);
	COMP_TRADITIONAL_CRC32(crc, text, length);
	FIN_TRADITIONAL_CRC32(crc);
	for (int at = 0; at < 4; at++)
		bytes[at] = (uint8) (crc >> (8 * (3 - at)));
	return encode(bytes, sizeof(bytes), crockford);
}

bool
ff_key_is_api(const char *text)
{
	return prefix_of(text) != NULL;
}

bool
ff_key_is_whole(const char *text)
{
	const char *prefix = prefix_of(text);
	size_t		length = strlen(text);
	size_t		body;

	if (prefix == NULL || length != strlen(prefix) + RANDOM_DIGITS + CHECKSUM_DIGITS)
		return false;
	body = length - CHECKSUM_DIGITS;
	return strspn(text + strlen(prefix), crockford) == RANDOM_DIGITS + CHECKSUM_DIGITS &&
		   strcmp(checksum_of(text, body), text + body) == 0;
}

char *
ff_key_make(const char *type)
{
	uint8 bytes[RANDOM_BYTES];
	char *text;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random bytes for a key")));
	text = psprintf("ff_%s_%s", type, encode(bytes, sizeof(bytes), crockford));
	return psprintf("%s%s", text, checksum_of(text, strlen(text)));
}

void
ff_key_digest(const char *text, uint8 out[FF_DIGEST])
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	bool			   done = context != NULL && pg_cryptohash_init(context) >= 0 &&
				pg_cryptohash_update(context, (const uint8 *) text, strlen(text)) >= 0 &&
				pg_cryptohash_final(context, out, FF_DIGEST) >= 0;

	if (context != NULL)
		pg_cryptohash_free(context);
	if (!done)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not hash a key")));
}

/* --- for SQL --- */

/* flowforge.key_text(type) */
PG_FUNCTION_INFO_V1(ff_sql_key_text);
Datum
ff_sql_key_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(ff_key_make(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}

/* flowforge.key_is_whole(text) */
PG_FUNCTION_INFO_V1(ff_sql_key_is_whole);
Datum
ff_sql_key_is_whole(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(ff_key_is_whole(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* flowforge.base32(bytes) */
PG_FUNCTION_INFO_V1(ff_sql_base32);
Datum
ff_sql_base32(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);

	PG_RETURN_TEXT_P(
		cstring_to_text(ff_base32((uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes))));
}
