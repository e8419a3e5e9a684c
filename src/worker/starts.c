/*
 * starts.c - executor 0 starts what flow control held back (src/flow/held.h) when it is due.
 *
 * Shared memory knows when rows are to be looked at next: a transaction that holds something back
 * says so at its commit, and wakes us if it is sooner than what was known. Until then nothing is
 * asked. What fails holds up nothing else: the rows are tried one by one, and the one at fault
 * waits a while.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "util/spi.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define AT_ONCE 256	 /* rows of a transaction */
#define PUT_OFF_S 10 /* what could not be started */
#define RETRY_S 1	 /* when not even that could be written */

static bool looked = false;
static int	most = AT_ONCE;

static void
start_due(void *arg)
{
	static FfPlan plan = {"select d.next_at from flowforge.start_due($1) d", 1, {INT4OID}};
	Datum		  values[1] = {Int32GetDatum(most)};
	TimestampTz	 *next = arg;
	bool		  isnull;

	ff_spi_run(&plan, values, NULL, false);
	*next = DatumGetTimestampTz(ff_spi_value(0, 1, &isnull));
	if (isnull)
		*next = DT_NOEND;
}

static void
put_off(void *arg)
{
	static FfPlan plan = {
		"select flowforge.put_off_start(make_interval(secs => $1))", 1, {FLOAT8OID}};
	Datum values[1] = {Float8GetDatum(PUT_OFF_S)};

	ff_spi_run(&plan, values, NULL, false);
}

/* When to look next, after rows could not be started. */
static TimestampTz
after_failure(void)
{
	FfFailure failure;

	if (most == 1 && !ff_transaction(put_off, NULL, &failure))
		return GetCurrentTimestamp() + RETRY_S * USECS_PER_SEC;
	most = 1;
	return GetCurrentTimestamp();
}

void
ff_starts_turn(void)
{
	TimestampTz next = DT_NOEND;
	FfFailure	failure;

	if (ff_my_number != 0 || (looked && GetCurrentTimestamp() < ff_starts_next()))
		return;
	looked = true;
	/* Before the rows are read: what is committed from now on is said anew. */
	pg_atomic_exchange_u64(&ff_my_database->starts, (uint64) DT_NOEND);
	if (ff_transaction(start_due, &next, &failure))
		most = AT_ONCE;
	else
		next = after_failure();
	ff_shared_starts_at(ff_my_database, next);
}

TimestampTz
ff_starts_next(void)
{
	return ff_my_number == 0 ? (TimestampTz) pg_atomic_read_u64(&ff_my_database->starts) : DT_NOEND;
}
