/*
 * maintain.c - the housekeeping of executor 0, once an hour: partitions ahead and beyond retention,
 * what has expired, the roles of a restored dump, and pg_cron's jobs; and the audit log's seals.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "audit/audit.h"
#include "util/spi.h"
#include "worker/executor.h"
#include "worker/turn.h"
#include "worker/worker.h"

#define MAINTENANCE_S 3600
#define RETRY_S 60 /* after a failure */

int ff_partitions_ahead = 3;
int ff_retention = 30;

static TimestampTz next_maintenance = 0;
static TimestampTz next_seal = 0;

static void
maintain_table(void *arg)
{
	static FfPlan plan = {"select flowforge.maintain($1, $2, make_interval(days => $3))",
						  3,
						  {TEXTOID, INT4OID, INT4OID}};
	Datum		  values[3] = {CStringGetTextDatum(arg), Int32GetDatum(ff_partitions_ahead),
							   Int32GetDatum(ff_retention)};

	ff_spi_run(&plan, values, NULL, false);
}

static void
forget_keys(void *arg)
{
	static FfPlan plan = {"with e as (delete from flowforge.event_key where expires_at < now()), "
						  "t as (delete from flowforge.ticket where expires_at < now()) "
						  "delete from flowforge.request_key where expires_at < now()",
						  0,
						  {0}};

	ff_spi_run(&plan, NULL, NULL, false);
}

static void
forget_flows(void *arg)
{
	static FfPlan plan = {"select flowforge.forget_flows()", 0, {0}};

	ff_spi_run(&plan, NULL, NULL, false);
}

static void
forget_approvals(void *arg)
{
	static FfPlan plan = {
		"select flowforge.forget_approvals(make_interval(days => $1))", 1, {INT4OID}};
	Datum values[1] = {Int32GetDatum(ff_retention)};

	ff_spi_run(&plan, values, NULL, false);
}

static void
forget_snapshots(void *arg)
{
	static FfPlan plan = {
		"select flowforge.forget_snapshots(make_interval(days => $1))", 1, {INT4OID}};
	Datum values[1] = {Int32GetDatum(ff_retention)};

	ff_spi_run(&plan, values, NULL, false);
}

static void
forget_sessions(void *arg)
{
	static FfPlan plan = {"select flowforge.forget_sessions()", 0, {0}};

	ff_spi_run(&plan, NULL, NULL, false);
}

/* Whole days (UTC): the log is cut once a day at most. */
static void
forget_audit(void *arg)
{
	static FfPlan plan = {
		"select flowforge.forget_audit(((now() at time zone 'UTC')::date - $1)::timestamp at time zone 'UTC')",
		1,
		{INT4OID}};
	Datum values[1] = {Int32GetDatum(ff_audit_retention)};

	if (ff_audit_retention > 0)
		ff_spi_run(&plan, values, NULL, false);
}

/* The database may have been restored from a dump. */
static void
bind_roles(void *arg)
{
	static FfPlan plan = {"select flowforge.bind_roles()", 0, {0}};

	ff_spi_run(&plan, NULL, NULL, false);
}

/* pg_cron may have come or gone. */
static void
sync_jobs(void *arg)
{
	static FfPlan plan = {"select flowforge.sync_jobs()", 0, {0}};

	ff_spi_run(&plan, NULL, NULL, false);
}

static void
seal_audit(void *arg)
{
	static FfPlan plan = {"select flowforge.seal_audit()", 0, {0}};

	ff_spi_run(&plan, NULL, NULL, false);
}

/* With a key, the audit log's ends are signed more often than once an hour. */
static void
seal_turn(void)
{
	FfFailure failure;

	if (GetCurrentTimestamp() < next_seal)
		return;
	next_seal = GetCurrentTimestamp() + ff_audit_seal_interval * USECS_PER_SEC;
	if (*ff_audit_key_file != '\0')
		ff_transaction(seal_audit, NULL, &failure);
}

/* Executor 0 makes partitions ahead and drops old ones, a table a transaction. */
void
ff_maintain_turn(void)
{
	static char *const tables[] = {"event",			  "run",	  "run_batch", "step", "run_end",
								   "run_event_batch", "run_skip", "feed"};
	FfFailure		   failure;

	if (ff_my_number != 0)
		return;
	seal_turn();
	if (GetCurrentTimestamp() < next_maintenance)
		return;
	next_maintenance = GetCurrentTimestamp() + MAINTENANCE_S * USECS_PER_SEC;
	for (int i = 0; i < (int) lengthof(tables); i++)
	{
		if (!ff_transaction(maintain_table, tables[i], &failure))
			next_maintenance = GetCurrentTimestamp() + RETRY_S * USECS_PER_SEC;
	}
	ff_transaction(forget_keys, NULL, &failure);
	ff_transaction(forget_flows, NULL, &failure);
	ff_transaction(forget_approvals, NULL, &failure);
	ff_transaction(forget_snapshots, NULL, &failure);
	ff_transaction(forget_sessions, NULL, &failure);
	ff_transaction(forget_audit, NULL, &failure);
	ff_transaction(bind_roles, NULL, &failure);
	ff_transaction(sync_jobs, NULL, &failure);
}

TimestampTz
ff_maintain_next(void)
{
	return ff_my_number == 0 ? Min(next_maintenance, next_seal) : DT_NOEND;
}
