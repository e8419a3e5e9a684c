/*
 * caller.c - whom this session works for (see caller.h).
 *
 * Three roles are looked at: the current one, which is the owner's inside functions that act for
 * it, the session's, and the one taken by SET ROLE. The current one comes first, so that code of a
 * tied role that somebody else's session runs (an index's, a view's) sees what its owner may see.
 * What was found for three roles is remembered until a tie, a role or a membership changes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "team/caller.h"
#include "util/errors.h"
#include "util/recall.h"

#define MAX_REMEMBERED 1024 /* then it starts anew */

typedef struct Roles
{
	Oid	   current;
	Oid	   session;
	Oid	   taken;
	uint32 restricted;
} Roles;

typedef struct Remembered
{
	Roles	   roles;
	FfStanding standing;
	int32	   tenant_id; /* of a tied caller, as is its role in it */
	FfRole	   role;
} Remembered;

int ff_tenant_setting = 1;

static HTAB	   *remembered = NULL;
static FfRecall recall = {"role_tenant"};

static void
forget_roles(Datum arg, int cache, uint32 hash)
{
	recall.stale = true;
}

void
ff_caller_init(void)
{
	ff_recall_register(&recall);
	CacheRegisterSyscacheCallback(AUTHOID, forget_roles, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_roles, (Datum) 0);
	CacheRegisterSyscacheCallback(PARAMETERACLNAME, forget_roles, (Datum) 0);
}

/* --- finding out --- */

/*
 * Reads with a snapshot of this moment, as catalogs are read: a tie that was taken away counts no
 * more even where the transaction's own snapshot still has it. A superuser's tie counts nowhere.
 */
static bool
find_tie(Oid role, Remembered *caller)
{
	Oid			schema = get_namespace_oid("flowforge", false);
	Oid			index = get_relname_relid("role_tenant_pkey", schema);
	Relation	table;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		isnull;

	if (!OidIsValid(recall.relid) || !OidIsValid(index) || superuser_arg(role))
		return false;
	table = table_open(recall.relid, AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(table, index, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		TupleDesc desc = RelationGetDescr(table);

		caller->standing = FF_STANDING_TIED;
		caller->tenant_id = DatumGetInt32(heap_getattr(tuple, 2, desc, &isnull));
		caller->role = ff_role_named(TextDatumGetCString(heap_getattr(tuple, 3, desc, &isnull)));
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return caller->standing == FF_STANDING_TIED;
}

static bool
may_set_tenant(Oid role)
{
	return superuser_arg(role) ||
		   pg_parameter_aclcheck("flowforge.tenant", role, ACL_SET) == ACLCHECK_OK;
}

/* Who has the privileges of tied roles without being tied here may not use them. */
static bool
in_group(Oid role)
{
	Oid group = get_role_oid("flowforge_viewer", true);

	return OidIsValid(group) && is_member_of_role_nosuper(role, group);
}

/*
 * While a table is indexed, analyzed or refreshed its owner's code runs in another one's session,
 * whose rights are not meant for it.
 */
static FfStanding
untied_standing(const Roles *roles)
{
	if (may_set_tenant(roles->taken))
		return roles->restricted && roles->current != roles->taken ? FF_STANDING_BARRED
																   : FF_STANDING_TRUSTED;
	return in_group(roles->taken) ? FF_STANDING_BARRED : FF_STANDING_OTHER;
}

static void
find_out(const Roles *roles, Remembered *caller)
{
	caller->standing = FF_STANDING_OTHER;
	caller->tenant_id = 0;
	caller->role = FF_ROLE_NONE;
	if (!find_tie(roles->current, caller) && !find_tie(roles->session, caller) &&
		!find_tie(roles->taken, caller))
		caller->standing = untied_standing(roles);
}

/* --- remembering it --- */

static void
renew_memory(void)
{
	HASHCTL control = {0};

	if (!ff_recall_expired(&recall) && hash_get_num_entries(remembered) < MAX_REMEMBERED)
		return;
	if (remembered != NULL)
		hash_destroy(remembered);
	remembered = NULL;
	control.keysize = sizeof(Roles);
	control.entrysize = sizeof(Remembered);
	control.hcxt = TopMemoryContext;
	remembered =
		hash_create("flowforge callers", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ff_recall_renewed(&recall);
}

static Remembered
recall_caller(void)
{
	Roles		roles = {GetUserId(), GetSessionUserId(), GetOuterUserId(),
						 InSecurityRestrictedOperation()};
	Remembered *entry;
	Remembered	found = {roles};

	renew_memory();
	entry = hash_search(remembered, &roles, HASH_FIND, NULL);
	if (entry != NULL)
		return *entry;
	find_out(&roles, &found);
	entry = hash_search(remembered, &roles, HASH_ENTER, NULL);
	*entry = found;
	return found;
}

/* --- asking --- */

static const char *
text_setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value != NULL ? value : "";
}

/* While a request is served its principal's role counts; who has none may do nothing here. */
static FfRole
trusted_role(void)
{
	const char *role = text_setting("flowforge.role");

	if (role[0] == '\0' && text_setting("flowforge.actor")[0] == '\0')
		return FF_ROLE_ADMIN;
	return ff_role_named(role);
}

FfCaller
ff_caller(void)
{
	Remembered found = recall_caller();
	FfCaller   caller = {found.standing, ff_tenant_setting, found.role};

	if (found.standing == FF_STANDING_TIED)
		caller.tenant_id = found.tenant_id;
	else if (found.standing == FF_STANDING_TRUSTED)
		caller.role = trusted_role();
	return caller;
}

int32
ff_current_tenant(void)
{
	Remembered found = recall_caller();

	return found.standing == FF_STANDING_TIED ? found.tenant_id : ff_tenant_setting;
}

bool
ff_caller_sees(const FfCaller *caller, int32 tenant_id)
{
	return caller->standing == FF_STANDING_TRUSTED ||
		   (caller->standing != FF_STANDING_BARRED && caller->tenant_id == tenant_id);
}

/*
 * Whoever asks is told apart by the session's roles, which are not those of the code that runs
 * while a table is indexed, analyzed or refreshed.
 */
static void
refuse_maintenance(void)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR, (errcode(FF_ERR_ROLE_UNTIED),
						errmsg("this cannot be asked for within a security-restricted operation"),
						errhint("Call the function in a statement of its own, not while a table is "
								"indexed, analyzed or refreshed.")));
}

FfCaller
ff_require_role(FfRole role)
{
	FfCaller caller = ff_caller();

	refuse_maintenance();
	if (caller.standing == FF_STANDING_BARRED)
		ereport(ERROR,
				(errcode(FF_ERR_ROLE_UNTIED), errmsg("this role is tied to no tenant here"),
				 errdetail("What members of flowforge_viewer, flowforge_member and flowforge_admin "
						   "may do they do in the tenant they are tied to, in statements of their "
						   "own."),
				 errhint("An administrator of the database ties it: select ff_grant('role', "
						 "tenant, 'member').")));
	if (caller.standing != FF_STANDING_OTHER && caller.role < role)
		ereport(ERROR, (errcode(FF_ERR_ROLE_LEVEL), errmsg("this is for a %s", ff_role_name(role)),
						caller.role == FF_ROLE_NONE
							? errdetail("Whoever asks has no role in tenant %d.", caller.tenant_id)
							: errdetail("Whoever asks is a %s of tenant %d.",
										ff_role_name(caller.role), caller.tenant_id),
						errhint("Ask an administrator of the tenant to do it, or to be given the "
								"role.")));
	return caller;
}

PG_FUNCTION_INFO_V1(ff_sql_current_tenant);
Datum
ff_sql_current_tenant(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(ff_current_tenant());
}

PG_FUNCTION_INFO_V1(ff_sql_visible_tenant);
Datum
ff_sql_visible_tenant(PG_FUNCTION_ARGS)
{
	FfCaller caller = ff_caller();

	if (caller.standing != FF_STANDING_TIED && caller.standing != FF_STANDING_TRUSTED)
		PG_RETURN_NULL();
	PG_RETURN_INT32(caller.tenant_id);
}

PG_FUNCTION_INFO_V1(ff_sql_sees_tenant);
Datum
ff_sql_sees_tenant(PG_FUNCTION_ARGS)
{
	FfCaller caller = ff_caller();

	PG_RETURN_BOOL(ff_caller_sees(&caller, PG_GETARG_INT32(0)));
}

PG_FUNCTION_INFO_V1(ff_sql_require_role);
Datum
ff_sql_require_role(PG_FUNCTION_ARGS)
{
	char  *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	FfRole role = ff_role_named(name);

	if (role == FF_ROLE_NONE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("there is no role \"%s\" in a tenant", name),
						errhint("Roles are viewer, member and admin.")));
	ff_require_role(role);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ff_sql_caller_is_tied);
Datum
ff_sql_caller_is_tied(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(ff_caller().standing == FF_STANDING_TIED);
}
