/*
 * webhook.h - Standard Webhooks: how a request proves who sent it. Of those that come (src/hook)
 * and those that go (src/step/webhook.c).
 */
#ifndef FF_WEBHOOK_H
#define FF_WEBHOOK_H

#include "postgres.h"

#include "common/sha2.h"

#define FF_DIGEST PG_SHA256_DIGEST_LENGTH

typedef struct FfBytes
{
	const void *data;
	size_t		length;
} FfBytes;

/* The HMAC-SHA-256 of several pieces, one after another. */
extern void	 ff_hmac(const void *key, size_t key_length, const FfBytes *pieces, int count,
					 uint8 out[FF_DIGEST]);
extern char *ff_digest_base64(const uint8 digest[FF_DIGEST]);

/* The key of a secret: the base64 after whsec_, or without that. False when it is not base64. */
extern bool ff_webhook_key(const char *secret, uint8 **key, int *length);

/* The signature of a request, as it stands after "v1,". */
extern char *ff_webhook_sign(const uint8 *key, int key_length, const char *id, const char *time,
							 const char *body, size_t length);

#endif
