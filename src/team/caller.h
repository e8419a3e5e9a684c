/*
 * caller.h - whom this session works for: the tenant, and what it may do there.
 *
 * A database role is tied to a tenant, with a role in it, by ff_grant (flowforge.role_tenant). A
 * tied session works for that tenant whatever it sets and whichever role it takes. A session that
 * may set flowforge.tenant (a superuser, the gateway) is trusted: it works for the tenant it has
 * set, as an administrator, or with the role flowforge.role says while a request is served. Anybody
 * else works for the tenant of the setting, sees no row, and may call what its role was granted by
 * name.
 */
#ifndef FF_CALLER_H
#define FF_CALLER_H

#include "postgres.h"

#include "team/principal.h"

typedef enum FfStanding
{
	FF_STANDING_OTHER,	/* neither tied nor trusted */
	FF_STANDING_BARRED, /* has what a tied role has without being tied, or cannot be told */
	FF_STANDING_TIED,
	FF_STANDING_TRUSTED
} FfStanding;

typedef struct FfCaller
{
	FfStanding standing;
	int32	   tenant_id;
	FfRole	   role; /* in the tenant */
} FfCaller;

extern int ff_tenant_setting;

/* Once per process, in _PG_init. */
extern void ff_caller_init(void);

extern FfCaller ff_caller(void);
extern int32	ff_current_tenant(void);

/* Whether the caller may know of what this tenant has: for functions that read shared memory. */
extern bool ff_caller_sees(const FfCaller *caller, int32 tenant_id);

/* The caller. Raises FF640 when its role is less, FF641 when it is barred. */
extern FfCaller ff_require_role(FfRole role);

#endif
