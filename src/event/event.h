/*
 * event.h - receiving events: the only way a run starts.
 *
 * All of it works in the caller's transaction and needs SPI connected: an event, the runs it starts
 * and the waits it resolves commit together or not at all.
 */
#ifndef FF_EVENT_H
#define FF_EVENT_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

typedef struct FfEvent
{
	pg_uuid_t	id; /* given by ff_event_record unless has_id */
	bool		has_id;
	bool		duplicate; /* out: already received; id is then the first one's */
	int32		tenant_id;
	const char *name;
	Jsonb	   *data;		 /* an object */
	Jsonb	   *user;		 /* an object, or NULL */
	const char *external_id; /* the sender's id, or NULL */
	const char *dedupe_key;	 /* what makes a repeat harmless, or NULL */
	const char *v;			 /* the sender's version of the event's form, or NULL */
	Jsonb	   *meta;		 /* from ff_event_read_meta, or NULL */
	TimestampTz ts;
	bool		bounded; /* its sender is refused when its runs are more than the tenant may have */
} FfEvent;

/* A run to be started by ff_run_insert. */
typedef struct FfNewRun
{
	int32			 tenant_id;
	int32			 function_id;
	int32			 version;
	pg_uuid_t		 event_id;
	pg_uuid_t		 parent_run_id;
	const char		*parent_step_id; /* NULL: no parent */
	int				 depth;			 /* of invocation: 0 when an event started it */
	const FfEvent	*event;			 /* event_id's, or NULL: it is read when it is needed */
	const pg_uuid_t *batch; /* of a run for several events: all of them, event_id first; or NULL */
	int				 batch_count;
	bool	  unlimited; /* nothing limits its steps, as is known without a look at its function */
	bool	  uncancelled; /* no event cancels it, as is known without a look at its function */
	bool	  bounded; /* refused when the tenant has too many that have not begun (slot/depth.h) */
	bool	  has_run_id;
	pg_uuid_t run_id;	 /* out, unless has_run_id */
	TimestampTz rank;	 /* when it counts as made among others that wait; 0: when it is made */
	TimestampTz created; /* 0: now */
} FfNewRun;

extern int ff_event_size_limit; /* bytes of data and user together */
extern int ff_json_depth_limit;
extern int ff_event_dedupe_window; /* seconds */

/* Checks what a sender may send; raises FF001 to FF007. Internal events may use the reserved names.
 */
extern void ff_event_check(const FfEvent *event, bool internal);

/* The bytes of data and user together, as they are kept. */
extern size_t ff_event_size(const FfEvent *event);

/* Reads an event or a list of them as senders write them; raises FF001 to FF007. */
extern FfEvent *ff_events_read(Jsonb *list, int32 tenant_id, int *count);

/* Records events, starts the runs they trigger and resolves the waits for them. */
extern void ff_event_record(FfEvent *events, int count);

/* Records an event without matching triggers or waits (the event an invocation makes). */
extern void ff_event_insert(FfEvent *events, int count);

/* Marks the events that were received before, in this call or earlier, and gives them the first
 * one's id. */
extern void ff_event_dedupe(FfEvent *events, int count);

/* Inserts runs and hints their owners at commit. */
extern void ff_run_insert(FfNewRun *runs, int count);

/* Whether a trigger or a wait would see an event of a name; asked for many at once. */
typedef struct FfWanted
{
	int32		tenant_id;
	const char *name;
	bool		wanted; /* out */
} FfWanted;

extern void ff_events_wanted(FfWanted *names, int count);

/* The event as functions and expressions see it: {data, id, meta?, name, ts (ms), user, v?}. */
extern Jsonb *ff_event_json(const FfEvent *event);

/* Reads the n-th row of SPI_tuptable, whose columns from `column` on are event_id, name, data,
 * user_data, external_id, v, ts, meta. */
extern void ff_event_read(FfEvent *event, uint64 row, int column);
#define FF_EVENT_COLUMNS \
	"ev.event_id, ev.name, ev.data, ev.user_data, ev.external_id, ev.v, ev.ts, ev.meta"

/* The trace an event belongs to (util/trace.h); NULLs: none. */
typedef struct FfTrace
{
	const char *parent;
	const char *state;
} FfTrace;

/* What is kept of an event's meta as its sender gave it: {sessions, traceparent, tracestate}, or
 * NULL when it has none; `trace` is that of an event that does not name one itself. Gives what is
 * wrong with meta, or NULL. */
extern const char *ff_event_read_meta(Jsonb *meta, FfTrace trace, Jsonb **kept);
/* The trace of who sends now. */
extern FfTrace ff_event_trace_now(void);

/* --- waits (wait.c) --- */

/* Registers a wait of a run's step; the filter may name `event` (the run's own) and `async` (the
 * awaited one). */
typedef struct FfWait
{
	int32		tenant_id;
	const char *event_name;
	pg_uuid_t	run_id;
	const char *step_id;
	const char *expression; /* NULL: any event of that name */
	pg_uuid_t	event_id;	/* the run's own event */
	Jsonb	   *event;		/* and its JSON */
	TimestampTz expires;	/* what comes later does not count; 0: while the wait is there */
} FfWait;

extern void ff_wait_insert(const FfWait *wait);
extern void ff_wait_insert_all(List *waits);			 /* of FfWait */
extern void ff_waits_exist(FfWanted *names, int count);	 /* those not known to be wanted */
extern void ff_wait_resolve(FfEvent *events, int count); /* those that are not repeats */

/* --- cancelOn (cancel.c) --- */

/* Registers, for runs just made, the waits for the events that cancel them. */
extern void ff_cancel_register(const FfNewRun *runs, int count);

/* The n-th of them has this step id; and whether a step id is one of these. */
extern char *ff_cancel_step_id(int n);
extern bool	 ff_cancel_step(const char *step_id);

/* --- signals (signal.c) --- */

/* A run's step waits for a signal, for which no other run may wait at the same time. */
typedef struct FfSignal
{
	int32		tenant_id;
	const char *name;
	pg_uuid_t	run_id;
	const char *step_id;
	bool		replace; /* takes the name from the run that waits for it now */
} FfSignal;

/* False when another run waits for it and is not to be replaced. */
extern bool ff_signal_insert(const FfSignal *signal);

/* The order in which executors insert signals, so that two of them cannot wait for each other. */
extern int ff_signal_compare(const ListCell *a, const ListCell *b);

#endif
