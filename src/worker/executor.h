/*
 * executor.h - what the parts of an executor share: what it knows of its runs (active.c), what is
 * due (timer.c), and what is to be written (group.c). The loop that turns them is executor.c, its
 * steps are told in turn.h, and calls in call.h. All of it is one process's memory;
 * nothing here survives it, nor needs to.
 */
#ifndef FF_WORKER_EXECUTOR_H
#define FF_WORKER_EXECUTOR_H

#include "postgres.h"

#include "run/run.h"
#include "slot/shared.h"
#include "worker/store.h"

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

/* --- active.c: the runs in memory --- */

extern void	  ff_active_init(void);
extern FfRun *ff_active_find(const pg_uuid_t *id);
extern void	  ff_active_add(FfRun *run);
extern void	  ff_active_drop(FfRun *run);
extern long	  ff_active_count(void);
extern void	  ff_active_each(void (*visit)(FfRun *));

/* --- queue.c: the runs waiting to be read, each tenant's in a line --- */

extern void ff_queue_init(void);
/* A run is ready: it is queued, unless it is in memory or queued. Urgent ones go before their
 * tenant's others. */
extern void ff_queue_push(const FfReady *ready, bool urgent);
/* Hints have been lost: rows are looked at from there on. */
extern void ff_queue_lost(const FfReady *from);
/* The same for all runs of these tenants. */
extern void ff_queue_sweep(const int32 *tenants, int count);
/* The next so many to be read, as far as there is room for them. Each counts as in memory until
 * ff_queue_count has been told that it is not. */
extern int	ff_queue_pop(FfRunKey *out, int limit);
extern void ff_queue_count(int32 tenant_id, int change);
/* When something is to be taken: in the past, if there is something; DT_NOEND: never. */
extern TimestampTz ff_queue_next(void);
/* Ids in memory. */
extern long ff_queue_length(void);

/* --- timer.c: the runs that are due soon --- */

extern void ff_timer_push(TimestampTz due, int32 tenant_id, const pg_uuid_t *id);
/* When a run that is not in memory is to be read, so that it is there when it is due. */
extern TimestampTz ff_timer_ahead(TimestampTz due);
extern bool		   ff_timer_pop(TimestampTz now, FfRunKey *run);
extern TimestampTz ff_timer_next(void); /* DT_NOEND: none */
extern int		   ff_timer_count(void);
/* Up to when the heap knows every parked run that is due. */
extern TimestampTz ff_timer_horizon;
/* The earliest that is due after it, as far as is known: when it comes near the heap is filled
 * again. */
extern TimestampTz ff_timer_beyond;

/* --- group.c: what is to be written --- */

/* Notes that a run has a change to be written, and may have to advance before it is. */
extern void ff_group_add(FfRun *run);
/* The same for a run that has advanced. */
extern void ff_group_keep(FfRun *run);
/* A run could not go on: it fails, if that is because of what is in it, and is still in memory
 * then (true); otherwise it leaves memory unwritten and is read again in a while. */
extern bool ff_group_refuse(FfRun *run, const FfFailure *failure);
/* Writes the group if it is full, old enough, or `now` is forced. */
extern void ff_group_flush(bool force);
/* Whether the group could not be written and is kept for later. */
extern bool ff_group_held(void);
/* Milliseconds until the group is old enough; -1 when it is empty. */
extern long ff_group_wait_left(void);

#endif
