/*
 * access.h - who may call a route.
 *
 * A request shows an API key or a user's token (as a bearer, a key also in x-flowforge-api-key),
 * the hash of the signing key (or of flowforge.signing_key_fallback), which opens everything to
 * apps, or an event key in the path, which opens the routes that receive events. A handshake of a
 * WebSocket may show a ticket instead, and what is said over one a pass (team/pass.h), which only
 * the gateway can. A server is open
 * when it has neither a signing key nor flowforge.auth = on: then who shows nothing is served as an
 * administrator, if the gateway says that they are on the same machine.
 */
#ifndef FF_ACCESS_H
#define FF_ACCESS_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "api/route.h"
#include "team/principal.h"

/* "dev" when the server is open, else "cloud". */
extern const char *ff_server_kind(void);

/*
 * Finds out who asks and serves what follows as them (ff_principal_enter). Raises FF205 or FF611
 * when they do not prove who they are, FF600 when they may not call the route, FF601 when an open
 * server is asked from elsewhere, FF602 when it has no secret.
 */
extern void ff_access_grant(const FfMatch *match, Jsonb *headers, const char *request_id,
							FfPrincipal *who);

/* The principal of a pass; false when it is worth nothing any more. */
extern bool ff_access_by_pass(const char *pass, FfPrincipal *who);

/* Raises FF207 when the app that asks was set up for another kind of server. */
extern void ff_access_check_kind(Jsonb *headers);

#endif
