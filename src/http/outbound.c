/*
 * outbound.c - the guard's judgement, as SQL asks for it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/inet.h"

#include "http/guard.h"
#include "util/compat.h"
#include "util/errors.h"

/* What a setting of this text would allow; in the caller's memory. */
static void *
read_setting(const char *name, char *text, bool (*check)(char **, void **, GucSource))
{
	void *read = NULL;

	if (check(&text, &read, PGC_S_SESSION))
		return read;
	ereport(ERROR,
			(errcode(FF_ERR_BAD_PARAMETER), errmsg("\"%s\" is no value of %s", text, name),
			 GUC_check_errdetail_string ? errdetail_internal("%s", GUC_check_errdetail_string) : 0,
			 GUC_check_errhint_string ? errhint("%s", GUC_check_errhint_string) : 0));
	return NULL;
}

static const char *
problem(const FfGuard *guard, const char *url, const char *address_text, FfRefusal *why)
{
	FfNet net;
	char  host[256];
	int	  port;

	if (!ff_guard_admits_url(guard, FF_REACH_OUTSIDE, url, why))
		return why->message;
	if (address_text == NULL)
		return NULL;
	if (!ff_net_parse(address_text, &net) || strchr(address_text, '/') != NULL)
		ereport(ERROR, (errcode(FF_ERR_BAD_PARAMETER),
						errmsg("\"%s\" is not an IP address", address_text)));
	ff_address_unmap(&net.base);
	port = ff_guard_port(url);
	(void) ff_guard_host(url, host, sizeof(host));
	return ff_guard_admits(guard, FF_REACH_OUTSIDE, host, &net.base, port, why) ? NULL
																				: why->message;
}

/* flowforge.outbound_problem(url, address, allow, ports) */
PG_FUNCTION_INFO_V1(ff_sql_outbound_problem);
Datum
ff_sql_outbound_problem(PG_FUNCTION_ARGS)
{
	FfGuard		guard = ff_guard;
	FfRefusal	why = {""};
	const char *found;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(2))
		guard.allow = read_setting("flowforge.outbound_allow",
								   text_to_cstring(PG_GETARG_TEXT_PP(2)), ff_guard_check_allow);
	if (!PG_ARGISNULL(3))
		guard.ports = read_setting("flowforge.outbound_ports",
								   text_to_cstring(PG_GETARG_TEXT_PP(3)), ff_guard_check_ports);
	found = problem(&guard, text_to_cstring(PG_GETARG_TEXT_PP(0)),
					PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)), &why);
	if (!PG_ARGISNULL(2))
		ff_guc_free(unconstify(FfAllowList *, guard.allow));
	if (!PG_ARGISNULL(3))
		ff_guc_free(unconstify(FfPortList *, guard.ports));
	if (found == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(found));
}
