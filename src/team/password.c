/*
 * password.c - passwords at rest: Argon2id (RFC 9106), each with a salt of its own, in the text
 * form that names its own parameters ($argon2id$v=19$m=...).
 *
 * A check takes as long for a user who does not exist as for one who does: it is then made against
 * a hash that no password has.
 */
#include "postgres.h"

#include <argon2.h>

#include "fmgr.h"
#include "utils/builtins.h"

/* 19 MiB, two passes, one lane: no thread is started. */
#define MEMORY_KIB 19456
#define PASSES 2
#define LANES 1
#define SALT_BYTES 16
#define HASH_BYTES 32
#define ENCODED_SIZE 128

static void
check_result(int result)
{
	if (result != ARGON2_OK)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("could not hash a password: %s", argon2_error_message(result))));
}

static void
hash(const char *password, size_t length, const uint8 salt[SALT_BYTES], char encoded[ENCODED_SIZE])
{
	check_result(argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password, length, salt,
									   SALT_BYTES, HASH_BYTES, encoded, ENCODED_SIZE));
}

/* flowforge.password_hash(password) */
PG_FUNCTION_INFO_V1(ff_sql_password_hash);
Datum
ff_sql_password_hash(PG_FUNCTION_ARGS)
{
	text *password = PG_GETARG_TEXT_PP(0);
	uint8 salt[SALT_BYTES];
	char  encoded[ENCODED_SIZE];

	if (!pg_strong_random(salt, sizeof(salt)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random bytes for a salt")));
	hash(VARDATA_ANY(password), VARSIZE_ANY_EXHDR(password), salt, encoded);
	PG_RETURN_TEXT_P(cstring_to_text(encoded));
}

/* flowforge.password_fits(password, hash); not strict: without a hash it takes its time, too. */
PG_FUNCTION_INFO_V1(ff_sql_password_fits);
Datum
ff_sql_password_fits(PG_FUNCTION_ARGS)
{
	text *password = PG_ARGISNULL(0) ? cstring_to_text("") : PG_GETARG_TEXT_PP(0);
	int	  result;

	if (PG_ARGISNULL(1))
	{
		static const uint8 salt[SALT_BYTES] = {0};
		char			   encoded[ENCODED_SIZE];

		hash(VARDATA_ANY(password), VARSIZE_ANY_EXHDR(password), salt, encoded);
		PG_RETURN_BOOL(false);
	}
	result = argon2id_verify(text_to_cstring(PG_GETARG_TEXT_PP(1)), VARDATA_ANY(password),
							 VARSIZE_ANY_EXHDR(password));
	if (result != ARGON2_VERIFY_MISMATCH)
		check_result(result);
	PG_RETURN_BOOL(result == ARGON2_OK);
}
