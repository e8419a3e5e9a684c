/*
 * acting.c - becoming the extension's owner for the engine's own statements (see acting.h).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "util/acting.h"

FfActing
ff_act_as(Oid owner)
{
	FfActing before;

	GetUserIdAndSecContext(&before.user, &before.context);
	before.settings = NewGUCNestLevel();
	SetUserIdAndSecContext(owner, before.context | SECURITY_LOCAL_USERID_CHANGE |
									  SECURITY_RESTRICTED_OPERATION);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return before;
}

void
ff_act_end(const FfActing *before)
{
	AtEOXact_GUC(false, before->settings);
	SetUserIdAndSecContext(before->user, before->context);
}
