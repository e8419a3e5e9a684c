/*
 * deadline.c - how long a run may wait to start and take to finish (see run.h).
 *
 * `timeouts.start` counts from when the run was enqueued to its first call, `timeouts.finish` from
 * its first call that reached the app; a run of an app is cancelled, one of a graph fails. A call
 * under way counts as a start: only whether it reached the app is not known yet.
 */
#include "postgres.h"

#include "run/actor.h"

/* When the run started; 0: not yet. */
static TimestampTz
started_at(const FfRun *run)
{
	TimestampTz first = run->started;
	ListCell   *cell;

	if (first != 0)
		return first;
	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		if (item->call != NULL && (first == 0 || item->called_at < first))
			first = item->called_at;
	}
	return first;
}

TimestampTz
ff_run_deadline(const FfRun *run)
{
	TimestampTz started;

	if (run->policy.start_timeout == 0 && run->policy.finish_timeout == 0)
		return DT_NOEND;
	started = started_at(run);
	if (started == 0)
		return run->policy.start_timeout > 0 ? run->queued + run->policy.start_timeout : DT_NOEND;
	return run->policy.finish_timeout > 0 ? started + run->policy.finish_timeout : DT_NOEND;
}

bool
ff_run_expire(FfRun *run, TimestampTz now)
{
	bool  started;
	int64 limit;

	if (ff_run_deadline(run) > now)
		return false;
	started = started_at(run) != 0;
	limit = started ? run->policy.finish_timeout : run->policy.start_timeout;
	ff_run_end(run, run->driver != NULL ? "failed" : "cancelled", NULL,
			   ff_run_error("Timeout", psprintf("the run did not %s within %g s (timeouts.%s)",
												started ? "end" : "start", limit / 1e6,
												started ? "finish" : "start")),
			   now);
	return true;
}

int64
ff_item_timeout(const FfRun *run, const FfItem *item)
{
	return item->timeout > 0 ? item->timeout
							 : ff_step_timeout(item->terms, run->policy.step_timeout);
}
