/*
 * webhook.h - Standard Webhooks: how a request proves who sent it. Of those that come (src/hook)
 * and those that go (src/step/webhook.c).
 */
#ifndef FF_WEBHOOK_H
#define FF_WEBHOOK_H

#include "postgres.h"

/* The key of a secret: the base64 after whsec_, or without that. False when it is not base64. */
extern bool ff_webhook_key(const char *secret, uint8 **key, int *length);

/* The signature of a request, as it stands after "v1,". */
extern char *ff_webhook_sign(const uint8 *key, int key_length, const char *id, const char *time,
							 const char *body, size_t length);

#endif
