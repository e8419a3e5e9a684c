/*
 * rank.c - see rank.h.
 *
 * The user id is changed as SECURITY DEFINER functions change it: not by SET ROLE, which would stay
 * with the session, and with SECURITY_LOCAL_USERID_CHANGE, so that nothing in between takes another
 * role. The session's own roles stay what they are, by which ff_caller tells that the request came
 * by the gateway and works for the tenant it says.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"

#include "api/rank.h"
#include "util/errors.h"

static const char *const ranks[] = {"flowforge_http_nobody", "flowforge_http_viewer",
									"flowforge_http_member", "flowforge_http_admin"};
static const char		 sender[] = "flowforge_http_sender";

static const char *
rank_name(const FfPrincipal *principal)
{
	if (principal->role == FF_ROLE_NONE && principal->scopes & ff_scope_named("events:send"))
		return sender;
	return ranks[principal->role];
}

static void
refuse_rank(const char *name, const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(FF_ERR_NO_RANK), errmsg("the database role %s %s", name, problem),
					errdetail("What answers requests over HTTP runs as it, bound by policies."),
					errhint("%s", hint)));
}

/* By name, for roles are dropped and made anew; the catalogue's cache has it. */
static Oid
rank_of(const char *name)
{
	Oid rank = get_role_oid(name, true);

	if (!OidIsValid(rank))
		refuse_rank(name, "does not exist", "Make the extension's roles anew, as its script does.");
	if (superuser_arg(rank) || has_bypassrls_privilege(rank))
		refuse_rank(name, "is bound by no policy", "alter role ... nosuperuser nobypassrls;");
	return rank;
}

static void
check_execute(Oid function, Oid rank, const char *actor)
{
	if (pg_proc_aclcheck(function, rank, ACL_EXECUTE) == ACLCHECK_OK)
		return;
	ereport(ERROR, (errcode(FF_ERR_FORBIDDEN), errmsg("who asks may not do this"),
					errdetail("%s may not call what answers this route.", actor),
					errhint("Have an administrator change your role.")));
}

FfRank
ff_rank_take(const FfPrincipal *principal, Oid function)
{
	Oid	   rank = rank_of(rank_name(principal));
	FfRank before;

	check_execute(function, rank, principal->actor);
	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(rank, before.context | SECURITY_LOCAL_USERID_CHANGE);
	return before;
}

void
ff_rank_end(const FfRank *before)
{
	SetUserIdAndSecContext(before->user, before->context);
}
