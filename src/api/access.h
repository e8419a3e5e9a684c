/*
 * access.h - who may call a route.
 *
 * Without flowforge.signing_key everybody may call everything (a development server). With it,
 * event keys (flowforge.event_keys) open the routes that receive events, and the hash of the
 * signing key, or of flowforge.signing_key_fallback, opens the others.
 */
#ifndef FF_ACCESS_H
#define FF_ACCESS_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "api/route.h"

/* "dev" or "cloud": whether a signing key is set. */
extern const char *ff_server_kind(void);

/* Raises FF205 unless the request may call the route it meets. */
extern void ff_access_check(const FfMatch *match, Jsonb *headers);

/* Raises FF207 when the app that asks was set up for another kind of server. */
extern void ff_access_check_kind(Jsonb *headers);

#endif
