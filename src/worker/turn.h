/*
 * turn.h - the steps of an executor's turn (executor.c), each a file. Those that have a time to be
 * taken again say when: DT_NOEND is never.
 */
#ifndef FF_WORKER_TURN_H
#define FF_WORKER_TURN_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "http/client.h"
#include "run/run.h"
#include "worker/store.h"

/* --- find.c: ids of runs that are ready --- */

/* Empties the rings of this executor's slots into the queue. */
extern void ff_take_hints(void);
/* Looks into run_hot for what no hint told, if it is time to. */
extern void		   ff_sweep_turn(void);
extern TimestampTz ff_sweep_next(void);

/* --- admit.c: from ids to runs in memory --- */

/* Reads the live runs among these and does what was due of them. Gives a list of FfRun, to be
 * freed. */
extern List *ff_admit(const FfRunKey *keys, int count);
/* Reads queued runs as there is room, and has them call. */
extern void ff_admit_turn(void);
/* Runs that have gone to sleep leave holes: before a pause, in ms, the pages in them go back to the
 * system. */
extern void ff_give_memory_back(long pause);

/* --- inbox.c: messages --- */

extern void ff_inbox_init(void);
/* The inbox is to be read in the next turn. */
extern void ff_inbox_look(void);
/* Whether messages are known to have been committed that have not been read. */
extern bool ff_inbox_waiting(void);
/* Reads a batch of messages and writes their effects. */
extern void ff_inbox_turn(void);

/* --- wake.c: what is due --- */

/* Does what is due of a run in memory. */
extern void ff_wake(FfRun *run, TimestampTz now);
/* Fills the heap of timers from run_parked. */
extern void ff_timers_turn(void);
/* Wakes what is due. */
extern void		   ff_wake_turn(void);
extern TimestampTz ff_wake_next(void); /* when either is to be done */

/* --- advance.c: runs whose functions live in the server --- */

/* The run's driver is to say what comes next. */
extern void ff_advance_push(FfRun *run);
/* It leaves memory. */
extern void ff_advance_forget(FfRun *run);
extern bool ff_advance_waiting(void);
/* Advances all of them; what they do joins the group. */
extern void ff_advance_turn(void);

/* Gives memory back when runs have more of it than flowforge.executor_memory. */
extern void ff_advance_spare(void);

/* --- gate.c: room for steps that limits bound, in executor 0 --- */

/* Grants room to who waits for it. */
extern void		   ff_gate_turn(void);
extern bool		   ff_gate_waiting(void);
extern TimestampTz ff_gate_next(void);
/* Queues are to be looked for that no note told of. */
extern void ff_gate_sweep(void);

/* --- claim.c: the claims of runs in memory --- */

/* A hint came for a run in memory: if it has a claim, that is read again. */
extern void ff_claim_look(FfRun *run);
/* It leaves memory. */
extern void ff_claim_forget(FfRun *run);
extern void ff_claims_turn(void);

/* --- starts.c: what was held back and is due --- */

extern void		   ff_starts_turn(void);
extern TimestampTz ff_starts_next(void);

/* --- clock.c: the schedules --- */

/* Starts what is due by a schedule, in executor 0. */
extern void		   ff_clock_turn(void);
extern TimestampTz ff_clock_next(void);

/* --- maintain.c: housekeeping, in executor 0 --- */

extern void		   ff_maintain_turn(void);
extern TimestampTz ff_maintain_next(void);

/* --- export.c: spans for a collector, in executor 0 --- */

extern char		  *ff_otlp_headers; /* the setting */
extern void		   ff_export_turn(void);
extern TimestampTz ff_export_next(void);
/* Whether a call that is over was one of the exporter's. */
extern bool ff_export_done(FfHttpCall *over);

/* --- delta.c: what those who follow runs see of calls under way --- */

/* Says what calls have brought; and when it wants to again (DT_NOEND: never). */
extern void		   ff_news_turn(void);
extern TimestampTz ff_news_next(void);

#endif
