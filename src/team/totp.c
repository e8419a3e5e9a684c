/*
 * totp.c - one-time passwords of authenticator apps: HOTP (RFC 4226) over HMAC-SHA-1, which TOTP
 * (RFC 6238) counts by steps of 30 seconds since 1970.
 */
#include "postgres.h"

#include "common/hmac.h"
#include "common/sha1.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "util/json.h"
#include "util/seal.h"
#include "util/sign.h"

#define MAX_DIGITS 9
#define DIGITS 6
#define STEP_SECONDS 30

static void
hmac_sha1(const bytea *key, const uint8 message[8], uint8 out[SHA1_DIGEST_LENGTH])
{
	pg_hmac_ctx *context = pg_hmac_create(PG_SHA1);
	bool		 done =
		context != NULL &&
		pg_hmac_init(context, (const uint8 *) VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)) >= 0 &&
		pg_hmac_update(context, message, 8) >= 0 &&
		pg_hmac_final(context, out, SHA1_DIGEST_LENGTH) >= 0;

	if (context != NULL)
		pg_hmac_free(context);
	if (!done)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute an HMAC")));
}

static uint32
hotp(const bytea *secret, uint64 counter, int digits)
{
	uint8  message[8];
	uint8  digest[SHA1_DIGEST_LENGTH];
	uint32 modulus = 1;
	int	   offset;

	for (int at = 0; at < 8; at++)
		message[at] = (uint8) (counter >> (8 * (7 - at)));
	hmac_sha1(secret, message, digest);
	offset = digest[SHA1_DIGEST_LENGTH - 1] & 15;
	for (int at = 0; at < digits; at++)
		modulus *= 10;
	return (((uint32) (digest[offset] & 127) << 24) | ((uint32) digest[offset + 1] << 16) |
			((uint32) digest[offset + 2] << 8) | digest[offset + 3]) %
		   modulus;
}

/* flowforge.hotp(secret, counter, digits) */
PG_FUNCTION_INFO_V1(ff_sql_hotp);
Datum
ff_sql_hotp(PG_FUNCTION_ARGS)
{
	int digits = PG_GETARG_INT32(2);

	if (digits < 6 || digits > MAX_DIGITS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a one-time password has 6 to %d digits", MAX_DIGITS)));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(
		"%0*u", digits, hotp(PG_GETARG_BYTEA_PP(0), (uint64) PG_GETARG_INT64(1), digits))));
}

static bytea *
open_secret(const bytea *sealed, const char *purpose)
{
	char  *hex = ff_unseal(sealed, purpose);
	size_t length = strlen(hex);
	bytea *secret = palloc(VARHDRSZ + length / 2);

	SET_VARSIZE(secret, VARHDRSZ + hex_decode(hex, length, VARDATA(secret)));
	return secret;
}

/* flowforge.totp_step(sealed, purpose, code, at): every step that may be is tried, whichever it is.
 */
PG_FUNCTION_INFO_V1(ff_sql_totp_step);
Datum
ff_sql_totp_step(PG_FUNCTION_ARGS)
{
	bytea	   *secret = open_secret(PG_GETARG_BYTEA_PP(0), text_to_cstring(PG_GETARG_TEXT_PP(1)));
	const char *code = text_to_cstring(PG_GETARG_TEXT_PP(2));
	int64		now = ff_unix_us(PG_GETARG_TIMESTAMPTZ(3)) / 1000000 / STEP_SECONDS;
	int64		found = 0;

	for (int64 step = now - 1; step <= now + 1; step++)
	{
		char right[DIGITS + 1];

		snprintf(right, sizeof(right), "%0*u", DIGITS, hotp(secret, (uint64) step, DIGITS));
		if (ff_equal_constant_time(right, code))
			found = step;
	}
	if (found == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(found);
}
