/*
 * flow.h - flow control: which events start a run, when a run may start, and how many of its steps
 * may run at once.
 *
 * A version's configuration says it, at its top (functions of apps) or in its settings (workflows):
 * concurrency, rateLimit, throttle, debounce, batchEvents, priority, singleton, idempotency. It was
 * checked when it was registered (flow.sql): here, what cannot be read is as if it were not there.
 *
 * What is decided when an event comes is decided in the sender's transaction (start.c). What is
 * decided later, and again and again, is decided by one process for the whole database, the gate
 * (src/worker/gate.c): it alone grants room to claims (claim.c).
 */
#ifndef FF_FLOW_H
#define FF_FLOW_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "lang/lang.h"

#define FF_MAX_LIMITS 2			/* of concurrency */
#define FF_MAX_HEAD_START_S 600 /* of a priority, either way */
#define FF_ONCE_PERIOD_S 86400	/* of an idempotency key */
#define FF_MAX_THROTTLE_TOLERANCE_US (INT64CONST(366) * 86400 * 1000000) /* of a burst */
#define FF_MAX_BATCH 1000												 /* events of one run */

typedef enum FfFlowScope
{
	FF_SCOPE_FUNCTION,
	FF_SCOPE_TENANT /* "env" and "account": a tenant is both */
} FfFlowScope;

/* How many steps with one value of the key may run at once. */
typedef struct FfLimit
{
	int32		limit;
	FfFlowScope scope;
	char	   *key_text; /* canonical; NULL: one key for all */
	FfExpr	   *key;
} FfLimit;

/* So many in a period (microseconds); limit 0: no such rule. */
typedef struct FfRate
{
	int64	limit;
	int64	period;
	int64	burst; /* of a throttle: so many may start at once, at least 1 */
	FfExpr *key;   /* NULL: one for all */
} FfRate;

typedef struct FfDebounce
{
	int64	period;	 /* microseconds of quiet; 0: no such rule */
	int64	timeout; /* at most so long after the first event; 0: no bound */
	FfExpr *key;
} FfDebounce;

typedef struct FfBatching
{
	int32	max_size; /* events; 0: no such rule */
	int64	timeout;  /* microseconds after the first event */
	FfExpr *key;
	FfExpr *filter; /* events for which it is false start a run of their own; NULL: none do */
} FfBatching;

typedef struct FfSingleton
{
	bool	on;
	bool	cancels; /* the new run ends the old one; else it does not start */
	FfExpr *key;
} FfSingleton;

typedef struct FfFlow
{
	int			limits;
	FfLimit		limit[FF_MAX_LIMITS];
	FfRate		throttle;
	FfRate		rate;
	FfDebounce	debounce;
	FfBatching	batch;
	FfSingleton singleton;
	FfExpr	   *priority;	 /* seconds of head start */
	FfExpr	   *idempotency; /* one run a value in 24 hours */
} FfFlow;

/* The members of a configuration that are flow control, as an SQL array. */
#define FF_FLOW_MEMBERS \
	"array['concurrency', 'rateLimit', 'rate', 'throttle', 'debounce', 'batchEvents', 'priority', 'singleton', 'idempotency']"

/* Reads a version's configuration; NULL when it has no flow control. All of it is in `context`. */
extern FfFlow *ff_flow_read(Jsonb *config, MemoryContext context);

/* Whether something of it is decided when an event comes (start.c). */
extern bool ff_flow_starts(const FfFlow *flow);

/* --- key.c: what a run's keys are --- */

/* The places of a run's keys; a key of 0 is none. */
typedef enum FfKeyPlace
{
	FF_KEY_THROTTLE, /* until the run has started */
	FF_KEY_LIMIT,	 /* and the one after it */
	FF_KEY_TENANT = FF_KEY_LIMIT + FF_MAX_LIMITS,
	FF_KEYS
} FfKeyPlace;

typedef struct FfKeys
{
	int64 key[FF_KEYS];
} FfKeys;

/* The value of a key expression over the event ({data, id, name, ts, user}), as canonical JSON;
 * what cannot be evaluated is null, and without an expression the value is the empty text. */
extern char *ff_flow_key_value(const FfExpr *key, Jsonb *event);

/* A 64-bit name for a key of a function (or, with function 0, of the tenant): the kind of the rule,
 * how its key is written (or NULL), and the key's value. Never 0. */
extern int64 ff_flow_key_name(int32 tenant_id, int32 function_id, char kind, const char *key_text,
							  const char *value);

/* The keys under which a run waits and runs; `tenant_limited`: its tenant's max_running counts. */
extern FfKeys ff_flow_keys(const FfFlow *flow, int32 tenant_id, int32 function_id, Jsonb *event,
						   bool started, bool tenant_limited);
extern bool	  ff_flow_keyed(const FfKeys *keys);

/* The queue of all waiting runs of a function that have the same keys. */
extern int64 ff_flow_queue(int32 function_id, const FfKeys *keys);

/* When the run counts as made: its age less its head start. */
extern TimestampTz ff_flow_rank(const FfFlow *flow, Jsonb *event, TimestampTz created);

#endif
