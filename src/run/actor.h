/*
 * actor.h - what the files of this folder share: how a run's log, items and checkpoints are changed
 * (item.c), what is tried again (run.c), and what operations do (op.c).
 *
 * Everything notes what must be written in the run's change; the caller has made the change's
 * context current.
 */
#ifndef FF_RUN_ACTOR_H
#define FF_RUN_ACTOR_H

#include "postgres.h"

#include "run/answer.h"
#include "run/run.h"
#include "util/json.h"

/* --- item.c --- */

/* Appends an event to the run's log; step id, name and data may be NULL, attempt -1. */
extern void ff_run_log(FfRun *run, const char *type, const char *step_id, const char *name,
					   int attempt, Jsonb *data, TimestampTz at);

/* {key: value} */
extern Jsonb *ff_run_wrap(const char *key, Jsonb *value);

/* A copy that lives as long as the run. */
extern Jsonb *ff_run_keep_json(FfRun *run, Jsonb *value);

extern FfItem *ff_item_add(FfRun *run, FfItemKind kind, const char *id, const char *name, int group,
						   TimestampTz now);
extern void	   ff_item_remove(FfRun *run, FfItem *item);
/* Puts back an item that was removed for a moment. */
extern void	   ff_item_restore(FfRun *run, FfItem *item);
extern FfItem *ff_item_find(const FfRun *run, const char *id);

/* Logs that an item has begun, and until when it takes if that is known. */
extern void ff_item_note(FfRun *run, FfItem *item, const char *type, TimestampTz now);

/* A step that was not a call is over: its memo is known. */
extern void ff_item_finish(FfRun *run, FfItem *item, const char *status, Jsonb *memo,
						   TimestampTz now);

/* Lets go of what an item holds beyond its run: a wait, for example. */
extern void ff_item_release(FfRun *run, const FfItem *item);

/* The word people read for an item's kind. */
extern const char *ff_item_op(const FfItem *item);

extern bool ff_memo_exists(const FfRun *run, const char *id);

/* A step has finished: its memo, its row and its event. `data` or `error` is wrapped in the memo.
 */
extern FfStepRow *ff_step_checkpoint(FfRun *run, const char *id, const char *op, const char *name,
									 const char *status, int attempt, Jsonb *memo,
									 TimestampTz started, TimestampTz now);

/* Asks the function what comes next: at once, or again after the call that asks it now. */
extern void ff_run_ask_next(FfRun *run, TimestampTz now);

/* Something of a group has finished: whether the function is asked what comes next. */
extern void ff_run_decide_next(FfRun *run, int group, bool race, TimestampTz now);

/* Says, while its effect is being written, what the memo of a finished step is. */
extern void ff_step_set_memo(FfRun *run, FfStepRow *row, Jsonb *memo);

/* --- kind.c --- */

/* The item of an operation of a kind of the server's; to be noted in the log by the kind. */
extern FfItem *ff_kind_item(FfRun *run, const FfOp *op, int group, int max_attempts,
							TimestampTz now);

/* Adds an effect to the run's change. */
extern FfEffect *ff_run_effect(FfRun *run, FfEffectWrite write, void *detail);

/* --- run.c --- */

/* The step of an item, or the function when it has no id, is tried again: when the answer says, or
 * after the usual delay. */
extern void ff_run_retry(FfRun *run, FfItem *item, const char *step_id, const char *name,
						 Jsonb *error, const FfAnswer *answer, TimestampTz now);
extern void ff_run_retry_or_fail(FfRun *run, FfItem *item, const FfAnswer *answer, int max_attempts,
								 TimestampTz now);

/* The app has answered for the first time, to a call made at that time. */
extern void ff_run_note_start(FfRun *run, TimestampTz at);

/* The function has returned: the run is completed, unless the result is too large. */
extern void ff_run_return(FfRun *run, Jsonb *output, TimestampTz now);

/* --- limit.c --- */

/* What is wrong with a result, as an error: NULL when it is small enough. The same of one that
 * has at least so many bytes. */
extern Jsonb *ff_limit_output(Jsonb *output, const char *whose);
extern Jsonb *ff_limit_size(Size size, const char *whose);
/* Ends a run that keeps more than it may. */
extern void ff_limit_run(FfRun *run, TimestampTz now);

/* --- defer.c --- */

extern FfDefer *ff_defer_find(const FfRun *run, const char *id);
extern void		ff_defer_add(FfRun *run, const FfOp *op, TimestampTz now);
extern void		ff_defer_abort(FfRun *run, const FfOp *op, TimestampTz now);
/* A run's defers in its state: a member of the object being built, and its value. */
extern void ff_defer_write(FfJsonBuilder *builder, const FfRun *run);
extern void ff_defer_read(FfRun *run, Jsonb *list);
/* --- deadline.c --- */

/* Cancels a run whose time is up; true when it was. */
extern bool ff_run_expire(FfRun *run, TimestampTz now);

/* --- op.c --- */

/* The operations of an answer to an item's call. */
extern void ff_run_apply_ops(FfRun *run, FfItem *item, const FfAnswer *answer, int max_attempts,
							 TimestampTz now);

#endif
