/*
 * driver.h - who says what comes next in a run whose function lives in the server.
 *
 * The function of most runs lives in an app: it is called, and its answer says what comes next. A
 * function that lives here, a graph, is driven instead: the item of the empty id means that its
 * driver is to advance the run, what happens to its other items is told to the driver, and the
 * driver says how a step's end is recorded. Runs know drivers only by this table.
 */
#ifndef FF_RUN_DRIVER_H
#define FF_RUN_DRIVER_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "run/actor.h"
#include "run/answer.h"
#include "run/run.h"

typedef struct FfDriver
{
	/* Takes the run as far as it goes without waiting for anybody: ends what is done, and starts
	 * what is ready if it may. In a transaction, with SPI connected; the item of the empty id has
	 * been removed. */
	void (*advance)(FfRun *run, bool may_start, TimestampTz now);

	/* A checkpoint read from its row: all of them, in order of completion. `memo` is NULL when it
	 * was too large to be read before it is wanted. */
	void (*restore)(FfRun *run, const char *step_id, const char *status, Jsonb *memo);

	/* An item that has failed is about to be called again: that is logged. */
	void (*begin)(FfRun *run, const FfItem *item, TimestampTz now);

	/* The call of an item has been answered. */
	void (*answer)(FfRun *run, FfItem *item, const FfAnswer *answer, TimestampTz now);

	/* An item is over: completed with {data} or null, or failed with {error}. Writes its checkpoint
	 * and removes it. */
	void (*finish)(FfRun *run, FfItem *item, const char *status, Jsonb *memo, TimestampTz now);

	/* A step's checkpoint that somebody else makes: says in the row what it is of. */
	void (*describe)(FfRun *run, FfStepRow *row);

	/* Microseconds until what failed at an attempt (from 0) is tried again. */
	int64 (*backoff)(FfRun *run, const FfItem *item, int attempt);

	/* Something is to be logged: the driver logs it in its own words (ff_run_log_event). */
	void (*log)(FfRun *run, const char *type, const char *step_id, const char *name, int attempt,
				Jsonb *data, TimestampTz at);

	/* The run is about to end; its items are still there. */
	void (*end)(FfRun *run, const char *status, TimestampTz now);

	/* Writes what an item's code sees: {"input": ..., "context": ...} without the braces. False
	 * when the run has to be advanced before. In a transaction, with SPI connected. */
	bool (*context)(FfRun *run, const FfItem *item, StringInfo json);

	/* A step that was under way at the end turns out, while that is written, to have completed
	 * before it. The run's last event has been taken away for a moment. */
	void (*settle)(FfRun *run, const FfItem *item, Jsonb *memo, TimestampTz started);

	/* The run's memory is wanted for others: what has been written may be read again. */
	void (*shrink)(FfRun *run);
} FfDriver;

/* Appends to the run's log as it is: type, step id and name (or NULL), attempt (or -1), data. */
extern void ff_run_log_event(FfRun *run, const char *type, const char *step_id, const char *name,
							 int attempt, Jsonb *data, TimestampTz at);

/* The same with data that is a tree yet, which must live until the change has been written. */
extern void ff_run_log_tree(FfRun *run, const char *type, const char *step_id, const char *name,
							int attempt, const JsonbValue *data, TimestampTz at);

/* Begins what an operation says, which the driver has made; true when it is finished already. */
extern bool ff_run_begin(FfRun *run, const FfOp *op, int max_attempts, TimestampTz now);

/* An attempt of an item has failed: it is tried again, or else it has failed for good. */
extern void ff_run_attempt_failed(FfRun *run, FfItem *item, Jsonb *error, bool retry,
								  int64 retry_after, int max_attempts, TimestampTz now);

/* Gives back what the run's items held that are over: nothing may be unwritten or about to arrive.
 */
extern void ff_items_forget(FfRun *run);

/* Whether the driver is to advance the run. */
extern bool ff_run_advances(const FfRun *run);

#endif
