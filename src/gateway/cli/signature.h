/*
 * By what the API and apps know who asks.
 */
#ifndef FF_SIGNATURE_H
#define FF_SIGNATURE_H

#include "cli/cli.h"

/* "authorization: Bearer ..." for our API made from the API key, else the signing key, or NULL
 * without one. To be freed. */
extern char *ff_api_authorization(const FfServer *server);

/*
 * "x-inngest-signature: ..." for a call to an app (HMAC-SHA256 of body and time with the signing
 * key's text after its prefix); with key NULL the empty header that unsigned calls carry. To be
 * freed.
 */
extern char *ff_app_signature(const char *key, const char *body, int64_t seconds);

#endif
