/*
 * webhook.c - Standard Webhooks (see webhook.h).
 */
#include "postgres.h"

#include "common/base64.h"

#include "util/compat.h"
#include "util/sign.h"
#include "util/webhook.h"

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
