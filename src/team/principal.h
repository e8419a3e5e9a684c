/*
 * principal.h - who asks: the tenant, the role and the scopes a request is served with.
 *
 * A scope is what a route asks for ("runs:read"). A role is a set of scopes: a viewer has those
 * that read, a member also those of daily work, an admin all. A principal has the scopes of its
 * role, or, when it is a key, those it was given.
 */
#ifndef FF_PRINCIPAL_H
#define FF_PRINCIPAL_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define FF_ACTOR_SIZE 48
#define FF_CREDENTIAL_SIZE 80

typedef uint32 FfScopes; /* a set */

typedef enum FfRole
{
	FF_ROLE_NONE,
	FF_ROLE_VIEWER,
	FF_ROLE_MEMBER,
	FF_ROLE_ADMIN
} FfRole;

/* flowforge.auth */
typedef enum FfAuth
{
	FF_AUTH_DEV,
	FF_AUTH_ON
} FfAuth;

extern int ff_auth;

typedef struct FfPrincipal
{
	int32	 tenant_id; /* 0: the one the session works for */
	FfRole	 role;
	FfScopes scopes;
	char	 actor[FF_ACTOR_SIZE]; /* "user:ULID", "key:ULID", "app", "event-key", "dev" */
	/* what it was known by, as passes have it (pass.h); "": by nothing that can be asked again */
	char		credential[FF_CREDENTIAL_SIZE];
	TimestampTz expires_at; /* DT_NOEND: never */
} FfPrincipal;

/* The scope of this name; the empty set when there is none. */
extern FfScopes ff_scope_named(const char *name);
/* What a role may. */
extern FfScopes ff_scopes_of(FfRole role);
/* The least role that has all of these. */
extern FfRole	   ff_role_for(FfScopes scopes);
extern FfRole	   ff_role_named(const char *name); /* FF_ROLE_NONE when there is none */
extern const char *ff_role_name(FfRole role);		/* "" for FF_ROLE_NONE */

/* A principal that acts as a role. */
extern void ff_principal_init(FfPrincipal *principal, int32 tenant_id, FfRole role,
							  const char *actor);

/*
 * Serves what follows, until the end of the subtransaction, as this principal: sets
 * flowforge.tenant, flowforge.actor, flowforge.role, flowforge.scopes, flowforge.pass,
 * flowforge.request_id and flowforge.address.
 */
extern void ff_principal_enter(const FfPrincipal *principal, const char *request_id,
							   const char *address);

#endif
