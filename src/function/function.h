/*
 * function.h - what a backend remembers of functions and triggers.
 *
 * Both caches forget everything when flowforge.function, function_version or trigger changes
 * (relcache invalidation, sent by triggers on these tables). Needs SPI connected.
 */
#ifndef FF_FUNCTION_H
#define FF_FUNCTION_H

#include "postgres.h"

#include "utils/uuid.h"

#include "flow/flow.h"
#include "function/policy.h"
#include "lang/lang.h"

/* An event that cancels the runs of a function. */
typedef struct FfCancelOn
{
	char *event;
	char *filter; /* over event, the run's own, and async, the one that comes; NULL: any */
	char *
		timeout; /* a duration from the run's beginning, or an instant; NULL: as long as it lives */
} FfCancelOn;

typedef struct FfFunction
{
	int32	  tenant_id;
	int32	  function_id;
	int32	  version;
	int32	  max_attempts; /* of each step: retries + 1 */
	pg_uuid_t app_id;
	char	 *slug;
	char	 *url;		/* of the current version: code lives where the app is now */
	bool	  graph;	/* it lives here: its version's configuration is a graph (src/graph) */
	bool	  endpoint; /* an HTTP handler of the app, whose runs begin in the app */
	int64 read_timeout; /* microseconds a call to its app may take; 0: flowforge.request_timeout */
	bool  paused;		/* it or its app: nothing is called */
	FfPolicy	policy;
	FfCancelOn *cancels; /* policy.cancels of them */
	FfFlow	   *flow;	 /* NULL: no flow control */
} FfFunction;

typedef struct FfTrigger
{
	int32	function_id;
	int32	version;
	bool	cancels; /* events cancel the runs it starts */
	bool	flows;	 /* its function has flow control */
	FfExpr *filter;	 /* NULL: none */
} FfTrigger;

/* The triggers that an event of some name meets, filters not yet applied, by function. */
typedef struct FfTriggerSet
{
	int					   count;
	FfTrigger			  *triggers;
	struct FfTriggerIndex *index; /* NULL: they are few */
} FfTriggerSet;

/* A version of a function, or NULL; valid until the next call of anything that may process
 * invalidations. */
extern const FfFunction *ff_function_get(int32 tenant_id, int32 function_id, int32 version);

/* The same, but only if the cache has it: needs neither SPI nor a transaction. */
extern const FfFunction *ff_function_cached(int32 tenant_id, int32 function_id, int32 version);

/* Another number whenever what the cache holds may have changed. */
extern uint64 ff_function_generation(void);

/* The current version of a function, archived or not, or NULL. */
extern const FfFunction *ff_function_current(int32 tenant_id, int32 function_id);

/* The current version of the function with this slug, or NULL. */
extern const FfFunction *ff_function_by_slug(int32 tenant_id, const char *slug);

/* The triggers that an event of this name meets; valid as long as ff_function_get's answer. */
extern const FfTriggerSet *ff_triggers_for(int32 tenant_id, const char *event_name);

/* Reads the triggers of many names at once, so that ff_triggers_for finds them; at most 5,000. */
extern void ff_triggers_prepare(int32 tenant_id, const char **names, int count);

/* --- index.c --- */

/* Sorts triggers by the text that their filters demand of a member of the event; NULL when there
 * are too few for it to matter. In `context`. */
extern struct FfTriggerIndex *ff_trigger_index_make(const FfTriggerSet *set, MemoryContext context);

/* The numbers, ascending, of the triggers whose filters the event may pass (palloc'ed). */
extern int *ff_trigger_index_look(const struct FfTriggerIndex *index, Jsonb *event, int *count);

/* Registers the invalidation callback; once per process, in _PG_init. */
extern void ff_function_init(void);

#endif
