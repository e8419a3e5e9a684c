/*
 * executor.h - what the parts of an executor share: what it knows of its runs (active.c), what is
 * due (timer.c), the calls under way (call.c), and what is to be written (group.c). The loop that
 * turns them is executor.c, its steps are told in turn.h. All of it is one process's memory;
 * nothing here survives it, nor needs to.
 */
#ifndef FF_WORKER_EXECUTOR_H
#define FF_WORKER_EXECUTOR_H

#include "postgres.h"

#include "run/run.h"
#include "slot/shared.h"
#include "worker/store.h"

extern int ff_max_in_flight; /* calls of an executor */
extern int ff_max_in_flight_per_app;
extern int ff_group_size;
extern int ff_group_wait;	  /* ms */
extern int ff_sweep_interval; /* ms */

extern FfDatabase	*ff_my_database;
extern FfExecutor	*ff_me;
extern int			 ff_my_number;
extern Datum		 ff_my_slots;	   /* smallint[] */
extern MemoryContext ff_runs_context;  /* parent of all runs in memory */
extern MemoryContext ff_group_context; /* of changes not yet written */

/* --- transaction.c --- */

typedef struct FfFailure
{
	int	 sqlstate;
	char message[FF_MESSAGE_SIZE];
} FfFailure;

/* Runs `work` in a transaction with SPI connected; false, with the error logged and kept in
 * `failure`, when it raises. */
extern bool ff_transaction(void (*work)(void *), void *arg, FfFailure *failure);

/* --- active.c: the runs in memory and those waiting to be read --- */

extern void	  ff_active_init(void);
extern FfRun *ff_active_find(const pg_uuid_t *id);
extern void	  ff_active_add(FfRun *run);
extern void	  ff_active_drop(FfRun *run);
extern long	  ff_active_count(void);
extern void	  ff_active_each(void (*visit)(FfRun *));

/* Queues a run to be read, unless it is in memory or queued; urgent ones go first. False when the
 * queue is full. */
extern bool ff_queue_push(const pg_uuid_t *id, bool urgent);
extern int	ff_queue_pop(pg_uuid_t *out, int limit);
extern long ff_queue_length(void);

/* --- timer.c: the runs that are due soon --- */

extern void		   ff_timer_push(TimestampTz due, const pg_uuid_t *id);
extern bool		   ff_timer_pop(TimestampTz now, pg_uuid_t *id);
extern TimestampTz ff_timer_next(void); /* DT_NOEND: none */
extern int		   ff_timer_count(void);
/* Up to when the heap knows every parked run that is due. */
extern TimestampTz ff_timer_horizon;
/* The earliest that is due after it, as far as is known: when it comes near the heap is filled
 * again. */
extern TimestampTz ff_timer_beyond;

/* --- call.c: the calls under way --- */

/* The version of the function a run is of, or NULL when it is gone. */
extern const struct FfFunction *ff_function_of(FfRun *run);

/* Calls what a run has to call, keeps it waiting for room, or lets it go when it has nothing to do.
 * The run has no change that calls must wait for. */
extern void ff_settle(FfRun *run);
/* Sets the timer for what is due next in a run whose calls are as they shall be. */
extern void ff_set_timer(FfRun *run);
/* Whether nothing of the run must be written before it may call. */
extern bool ff_may_call(const FfRun *run);
/* Whether the next call makes the app fetch what the run's steps left. */
extern bool ff_reads_rows(const FfRun *run);
/* Gives up the calls of a run that has ended. */
extern void ff_abandon(FfRun *run);
/* libcurl's finished calls. */
struct FfHttpCall;
extern void ff_call_done(struct FfHttpCall *call);
extern void ff_call_progress(struct FfHttpCall *call);
extern int	ff_calls_in_flight(void);
/* Handles calls that could not even be started, and those whose answers waited for messages. */
extern void ff_calls_finish(void);
extern bool ff_calls_unhandled(void);

/* --- checkpoint.c --- */

extern void ff_checkpoint_message(FfRun *run, Jsonb *payload, TimestampTz now);
/* Of a run that began in its app. */
extern void ff_report_message(FfRun *run, Jsonb *payload, TimestampTz now);

/* Shows a step somebody works on in flowforge.calls(); gives its place there, or -1. */
extern int	ff_call_publish(const FfRun *run, const FfItem *item);
extern void ff_call_unpublish(int place);

/* --- sql_dispatch.c: the statements under way in sql workers --- */

extern void ff_sql_init(void);
extern int	ff_sql_in_flight(void);
/* Has a sql worker run an item's statement, or keeps the run waiting for room. May change the run.
 */
extern void ff_sql_start(FfRun *run, FfItem *item);
/* Gives up an item's statement: its run has ended. */
extern void ff_sql_abandon(FfItem *item);
/* Each turn, after the inbox has been read: notices what is over, and lets in who waits. */
extern void ff_sql_watch(void);

/* --- model.c: calls to models --- */

struct FfAiProvider;
struct FfAnswer;
/* Makes the call of an item's step; gives its address and who is called, in the current context.
 * NULL when nobody can be called: then the step has failed. */
extern char *ff_model_request(struct FfHttpCall *call, FfRun *run, FfItem *item,
							  struct FfAiProvider **provider);
extern void	 ff_model_answer(struct FfAnswer *answer, const struct FfHttpCall *call,
							 const FfItem *item, const struct FfAiProvider *provider,
							 TimestampTz now);

/* --- group.c: what is to be written --- */

/* Notes that a run has a change to be written. */
extern void ff_group_add(FfRun *run);
/* Writes the group if it is full, old enough, or `now` is forced. */
extern void ff_group_flush(bool force);
/* Whether the group could not be written and is kept for later. */
extern bool ff_group_held(void);
/* Milliseconds until the group is old enough; -1 when it is empty. */
extern long ff_group_wait_left(void);

#endif
