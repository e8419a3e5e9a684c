/*
 * principal.c - scopes, roles and who asks (see principal.h).
 *
 * What SQL functions know of the principal are settings, so that they end with the request whatever
 * becomes of it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "team/pass.h"
#include "team/principal.h"
#include "util/errors.h"

int ff_auth = FF_AUTH_DEV;

/* Every scope there is, and the least role that has it. A set has a bit for each place. */
static const struct
{
	const char *name;
	FfRole		role;
} scopes[] = {{"events:send", FF_ROLE_MEMBER},	  {"events:read", FF_ROLE_VIEWER},
			  {"runs:read", FF_ROLE_VIEWER},	  {"runs:manage", FF_ROLE_MEMBER},
			  {"functions:read", FF_ROLE_VIEWER}, {"functions:manage", FF_ROLE_MEMBER},
			  {"workflows:read", FF_ROLE_VIEWER}, {"workflows:manage", FF_ROLE_MEMBER},
			  {"tools:read", FF_ROLE_VIEWER},	  {"tools:manage", FF_ROLE_MEMBER},
			  {"approvals:read", FF_ROLE_VIEWER}, {"approvals:manage", FF_ROLE_MEMBER},
			  {"schedules:read", FF_ROLE_VIEWER}, {"hooks:read", FF_ROLE_VIEWER},
			  {"hooks:manage", FF_ROLE_ADMIN},	  {"watches:read", FF_ROLE_VIEWER},
			  {"watches:manage", FF_ROLE_ADMIN},  {"team:read", FF_ROLE_VIEWER},
			  {"team:manage", FF_ROLE_ADMIN},	  {"audit:read", FF_ROLE_ADMIN},
			  {"tenant:read", FF_ROLE_VIEWER},	  {"tenant:manage", FF_ROLE_ADMIN},
			  {"metrics:read", FF_ROLE_VIEWER},	  {"secrets:read", FF_ROLE_VIEWER},
			  {"secrets:manage", FF_ROLE_ADMIN},  {"admin", FF_ROLE_ADMIN}};

static const char *const role_names[] = {"", "viewer", "member", "admin"};

FfScopes
ff_scope_named(const char *name)
{
	for (size_t at = 0; at < lengthof(scopes); at++)
	{
		if (strcmp(scopes[at].name, name) == 0)
			return (FfScopes) 1 << at;
	}
	return 0;
}

FfScopes
ff_scopes_of(FfRole role)
{
	FfScopes set = 0;

	for (size_t at = 0; at < lengthof(scopes); at++)
	{
		if (scopes[at].role <= role)
			set |= (FfScopes) 1 << at;
	}
	return set;
}

FfRole
ff_role_for(FfScopes set)
{
	FfRole role = FF_ROLE_VIEWER;

	for (size_t at = 0; at < lengthof(scopes); at++)
	{
		if (set & (FfScopes) 1 << at)
			role = Max(role, scopes[at].role);
	}
	return role;
}

FfRole
ff_role_named(const char *name)
{
	for (int role = FF_ROLE_VIEWER; role <= FF_ROLE_ADMIN; role++)
	{
		if (strcmp(role_names[role], name) == 0)
			return (FfRole) role;
	}
	return FF_ROLE_NONE;
}

const char *
ff_role_name(FfRole role)
{
	return role_names[role];
}

void
ff_principal_init(FfPrincipal *principal, int32 tenant_id, FfRole role, const char *actor)
{
	principal->tenant_id = tenant_id;
	principal->role = role;
	principal->scopes = ff_scopes_of(role);
	strlcpy(principal->actor, actor, sizeof(principal->actor));
	principal->credential[0] = '\0';
	principal->expires_at = DT_NOEND;
}

/* The subtransaction's end gives the setting its earlier value back. */
static void
set(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

static void
set_number(const char *name, uint32 value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	set(name, text);
}

void
ff_principal_enter(const FfPrincipal *principal, const char *request_id, const char *address)
{
	char pass[FF_PASS_SIZE];

	ff_pass_write(principal, pass);
	if (principal->tenant_id != 0)
		set_number("flowforge.tenant", (uint32) principal->tenant_id);
	set("flowforge.actor", principal->actor);
	set("flowforge.role", ff_role_name(principal->role));
	set_number("flowforge.scopes", principal->scopes);
	set("flowforge.pass", pass);
	set("flowforge.request_id", request_id);
	set("flowforge.address", address);
}

/* --- for SQL --- */

/* flowforge.may(scope): whether who asks has the scope; a session that serves no request has all.
 */
PG_FUNCTION_INFO_V1(ff_sql_may);
Datum
ff_sql_may(PG_FUNCTION_ARGS)
{
	const char *set = GetConfigOption("flowforge.scopes", true, false);
	FfScopes	wanted = ff_scope_named(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (set == NULL || set[0] == '\0')
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(wanted != 0 && (strtoul(set, NULL, 10) & wanted) != 0);
}

/* flowforge.scopes(): every scope and the least role that has it. */
PG_FUNCTION_INFO_V1(ff_sql_scopes);
Datum
ff_sql_scopes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (size_t at = 0; at < lengthof(scopes); at++)
	{
		Datum values[2] = {CStringGetTextDatum(scopes[at].name),
						   CStringGetTextDatum(ff_role_name(scopes[at].role))};
		bool  nulls[2] = {0};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
