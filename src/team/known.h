/*
 * known.h - who a credential belongs to, as a backend remembers it.
 *
 * What is remembered is forgotten when a key is revoked or a user changed: triggers on
 * flowforge.api_key and flowforge.user_account send the former's relcache invalidation, which every
 * backend meets before its next statement (src/util/recall.h).
 */
#ifndef FF_KNOWN_H
#define FF_KNOWN_H

#include "postgres.h"

#include "utils/uuid.h"

#include "team/principal.h"
#include "util/sign.h"

/* Once per process, in _PG_init. */
extern void ff_known_init(void);

/* The principal of an API key by its digest; false when there is none, or it was revoked or has
 * expired. Notes, about once a minute, that the key was used. */
extern bool ff_known_key(const uint8 digest[FF_DIGEST], FfPrincipal *who);

/* The principal of a user; false when there is none, or its tokens of this version no longer count.
 */
extern bool ff_known_user(const pg_uuid_t *user_id, int32 version, FfPrincipal *who);

#endif
