/*
 * ticket.c - see ticket.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/access.h"
#include "api/ticket.h"
#include "util/spi.h"

/* Of two who delete the same row one waits, and then finds none. */
const char *
ff_ticket_take(const char *ticket)
{
	static FfPlan plan = {
		"delete from flowforge.ticket t "
		"where t.digest = sha256(convert_to($1, 'UTF8')) and t.expires_at > now() "
		"returning t.pass",
		1,
		{TEXTOID}};
	Datum		  values[1] = {CStringGetTextDatum(ticket)};
	MemoryContext caller = CurrentMemoryContext;
	char		 *pass = NULL;
	bool		  isnull;

	SPI_connect();
	if (ff_spi_run(&plan, values, NULL, false) > 0)
		pass = MemoryContextStrdup(caller, TextDatumGetCString(ff_spi_value(0, 1, &isnull)));
	SPI_finish();
	return pass;
}

/* flowforge.pass_lifetime(pass, scope): milliseconds; null without end, 0 when it is worth nothing.
 */
PG_FUNCTION_INFO_V1(ff_sql_pass_lifetime);
Datum
ff_sql_pass_lifetime(PG_FUNCTION_ARGS)
{
	char	   *pass = text_to_cstring(PG_GETARG_TEXT_PP(0));
	FfScopes	scope = ff_scope_named(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	FfPrincipal who;

	if (!ff_access_by_pass(pass, &who) || (who.scopes & scope) == 0)
		PG_RETURN_INT64(0);
	if (who.expires_at == DT_NOEND)
		PG_RETURN_NULL();
	PG_RETURN_INT64(Max((who.expires_at - GetCurrentTimestamp()) / 1000, 1));
}
