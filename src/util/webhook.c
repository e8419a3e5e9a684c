/*
 * webhook.c - Standard Webhooks (see webhook.h).
 */
#include "postgres.h"

#include "common/base64.h"
#include "common/hmac.h"

#include "util/compat.h"
#include "util/webhook.h"

void
ff_hmac(const void *key, size_t key_length, const FfBytes *pieces, int count, uint8 out[FF_DIGEST])
{
	pg_hmac_ctx *context = pg_hmac_create(PG_SHA256);
	bool		 ok = context != NULL && pg_hmac_init(context, key, key_length) >= 0;

	for (int i = 0; ok && i < count; i++)
		ok = pg_hmac_update(context, pieces[i].data, pieces[i].length) >= 0;
	ok = ok && pg_hmac_final(context, out, FF_DIGEST) >= 0;
	if (context != NULL)
		pg_hmac_free(context);
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

bool
ff_webhook_key(const char *secret, uint8 **key, int *length)
{
	const char *text = strncmp(secret, "whsec_", 6) == 0 ? secret + 6 : secret;
	int			size = pg_b64_dec_len((int) strlen(text));

	*key = palloc(size + 1);
	*length = ff_b64_decode(text, (int) strlen(text), (char *) *key, size);
	return *length > 0;
}

char *
ff_webhook_sign(const uint8 *key, int key_length, const char *id, const char *time,
				const char *body, size_t length)
{
	FfBytes pieces[5] = {
		{id, strlen(id)}, {".", 1}, {time, strlen(time)}, {".", 1}, {body, length}};
	uint8 digest[FF_DIGEST];

	ff_hmac(key, key_length, pieces, 5, digest);
	return ff_digest_base64(digest);
}
