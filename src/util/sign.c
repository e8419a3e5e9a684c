/*
 * sign.c - keys and signatures (see sign.h).
 */
#include "postgres.h"

#include "common/base64.h"
#include "common/cryptohash.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "utils/builtins.h"
#include "utils/resowner.h"

#include "util/compat.h"
#include "util/sign.h"

/*
 * The server's crypto contexts belong to a resource owner; between an executor's transactions there
 * is none, so they get one of ours. Gives the owner to restore.
 */
static ResourceOwner
enter_owner(void)
{
	static ResourceOwner own = NULL;
	ResourceOwner		 before = CurrentResourceOwner;

	if (before == NULL)
	{
		if (own == NULL)
			own = ResourceOwnerCreate(NULL, "flowforge signatures");
		CurrentResourceOwner = own;
	}
	return before;
}

const char *
ff_key_secret(const char *key)
{
	static const char word[] = "0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t			  length;

	if (strncmp(key, "signkey-", 8) != 0)
		return key;
	length = strspn(key + 8, word);
	return length > 0 && key[8 + length] == '-' ? key + 8 + length + 1 : key;
}

static void
to_hex(const uint8 *bytes, int count, char *out)
{
	for (int i = 0; i < count; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void
ff_hmac(const void *key, size_t key_length, const FfBytes *pieces, int count, uint8 out[FF_DIGEST])
{
	ResourceOwner owner = enter_owner();
	pg_hmac_ctx	 *context = pg_hmac_create(PG_SHA256);
	bool		  ok = context != NULL && pg_hmac_init(context, key, key_length) >= 0;

	for (int i = 0; ok && i < count; i++)
		ok = pg_hmac_update(context, pieces[i].data, pieces[i].length) >= 0;
	ok = ok && pg_hmac_final(context, out, FF_DIGEST) >= 0;
	if (context != NULL)
		pg_hmac_free(context);
	CurrentResourceOwner = owner;
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute an HMAC")));
}

char *
ff_digest_base64(const uint8 digest[FF_DIGEST])
{
	int	  size = pg_b64_enc_len(FF_DIGEST);
	char *text = palloc(size + 1);
	int	  length = ff_b64_encode((const char *) digest, FF_DIGEST, text, size);

	text[Max(length, 0)] = '\0';
	return text;
}

static void
sign(const char *key, const char *body, size_t length, int64 t, char hex[2 * FF_DIGEST + 1])
{
	const char *secret = ff_key_secret(key);
	char	   *time = psprintf(INT64_FORMAT, t);
	FfBytes		pieces[2] = {{body, length}, {time, strlen(time)}};
	uint8		digest[FF_DIGEST];

	ff_hmac(secret, strlen(secret), pieces, 2, digest);
	to_hex(digest, sizeof(digest), hex);
}

char *
ff_sign_header(const char *key, const char *body, size_t length, int64 t)
{
	char hex[2 * PG_SHA256_DIGEST_LENGTH + 1];

	sign(key, body, length, t, hex);
	return psprintf("t=" INT64_FORMAT "&s=%s", t, hex);
}

bool
ff_equal_constant_time(const char *a, const char *b)
{
	size_t		  length = strlen(a);
	unsigned char difference = length != strlen(b);

	for (size_t i = 0; i < length && b[0] != '\0'; i++)
		difference |= (unsigned char) (a[i] ^ b[i % strlen(b)]);
	return difference == 0;
}

FfSignature
ff_sign_verify(const char *key, const char *header, const char *body, size_t length, int64 now)
{
	char  hex[2 * PG_SHA256_DIGEST_LENGTH + 1];
	char *end;
	int64 t;

	if (header == NULL || *header == '\0')
		return FF_SIGNATURE_MISSING;
	errno = 0;
	if (strncmp(header, "t=", 2) != 0)
		return FF_SIGNATURE_MALFORMED;
	t = strtoll(header + 2, &end, 10);
	if (errno != 0 || strncmp(end, "&s=", 3) != 0 || t < 0)
		return FF_SIGNATURE_MALFORMED;
	if (t < now - FF_SIGNATURE_TOLERANCE || t > now + FF_SIGNATURE_TOLERANCE)
		return FF_SIGNATURE_EXPIRED;
	sign(key, body, length, t, hex);
	return ff_equal_constant_time(hex, end + 3) ? FF_SIGNATURE_OK : FF_SIGNATURE_WRONG;
}

static bool
from_hex(const char *hex, uint8 *out)
{
	for (size_t i = 0; i < strlen(hex); i++)
	{
		int c = pg_tolower((unsigned char) hex[i]);
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			return false;
		out[i / 2] = i % 2 ? out[i / 2] | digit : digit << 4;
	}
	return strlen(hex) % 2 == 0 && *hex != '\0';
}

bool
ff_key_is_valid(const char *key)
{
	const char *secret = ff_key_secret(key);
	size_t		length = strlen(secret);

	return length > 0 && length % 2 == 0 && strspn(secret, "0123456789abcdefABCDEF") == length;
}

char *
ff_key_hash(const char *key)
{
	const char		  *secret = ff_key_secret(key);
	uint8			  *bytes = palloc(strlen(secret) / 2 + 1);
	uint8			   digest[PG_SHA256_DIGEST_LENGTH];
	char			   hex[2 * PG_SHA256_DIGEST_LENGTH + 1];
	pg_cryptohash_ctx *context;
	ResourceOwner	   owner;
	bool			   ok;

	if (!from_hex(secret, bytes))
		return NULL;
	owner = enter_owner();
	context = pg_cryptohash_create(PG_SHA256);
	ok = context != NULL && pg_cryptohash_init(context) >= 0 &&
		 pg_cryptohash_update(context, bytes, strlen(secret) / 2) >= 0 &&
		 pg_cryptohash_final(context, digest, sizeof(digest)) >= 0;
	if (context != NULL)
		pg_cryptohash_free(context);
	CurrentResourceOwner = owner;
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256")));
	to_hex(digest, sizeof(digest), hex);
	return psprintf("%.*s%s", (int) (secret - key), key, hex);
}

PG_FUNCTION_INFO_V1(ff_sql_sign);
Datum
ff_sql_sign(PG_FUNCTION_ARGS)
{
	char *body = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char *key = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text(ff_sign_header(key, body, strlen(body), PG_GETARG_INT64(2))));
}

PG_FUNCTION_INFO_V1(ff_sql_key_hash);
Datum
ff_sql_key_hash(PG_FUNCTION_ARGS)
{
	char *hash = ff_key_hash(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (hash == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(hash));
}
