/*
 * clock.c - executor 0 keeps the clock of the schedules (src/cron).
 *
 * Where pg_cron is there it starts what is due, and the clock only sees to what pg_cron missed and
 * to what needs finer time than minutes; without it the clock starts everything. Whoever comes
 * first, an instant is fired once: the schedule's row says how far it has got. The clock sleeps
 * until the earliest schedule is due, and looks anew when a schedule changed.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "util/spi.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define RETRY_S 10 /* after a failure */

static TimestampTz next_due = 0; /* at once, when the executor starts */
static uint32	   seen = 0;

static void
run_due(void *arg)
{
	static FfPlan plan = {"select flowforge.run_schedules()", 0, {0}};
	TimestampTz	 *next = arg;
	bool		  isnull;

	ff_spi_run(&plan, NULL, NULL, false);
	*next = DatumGetTimestampTz(ff_spi_value(0, 1, &isnull));
	if (isnull)
		*next = DT_NOEND;
}

void
ff_clock_turn(void)
{
	uint32	  changed = pg_atomic_read_u32(&ff_my_database->schedules);
	FfFailure failure;

	if (ff_my_number != 0 || (changed == seen && GetCurrentTimestamp() < next_due))
		return;
	seen = changed;
	if (!ff_transaction(run_due, &next_due, &failure))
		next_due = GetCurrentTimestamp() + RETRY_S * USECS_PER_SEC;
}

TimestampTz
ff_clock_next(void)
{
	return ff_my_number == 0 ? next_due : DT_NOEND;
}
