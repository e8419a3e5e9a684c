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

#include "lang/lang.h"

typedef struct FfFunction
{
	int32	  tenant_id;
	int32	  function_id;
	int32	  version;
	int32	  max_attempts; /* of each step: retries + 1 */
	pg_uuid_t app_id;
	char	 *slug;
	char	 *url;		/* of the current version: code lives where the app is now */
	bool	  endpoint; /* an HTTP handler of the app, whose runs begin in the app */
} FfFunction;

typedef struct FfTrigger
{
	int32	function_id;
	int32	version;
	FfExpr *filter; /* NULL: none */
} FfTrigger;

/* A version of a function, or NULL; valid until the next call of anything that may process
 * invalidations. */
extern const FfFunction *ff_function_get(int32 tenant_id, int32 function_id, int32 version);

/* The same, but only if the cache has it: needs neither SPI nor a transaction. */
extern const FfFunction *ff_function_cached(int32 tenant_id, int32 function_id, int32 version);

/* The current version of the function with this slug, or NULL. */
extern const FfFunction *ff_function_by_slug(int32 tenant_id, const char *slug);

/* The triggers that an event of this name meets, filters not yet applied. */
extern int ff_triggers_for(int32 tenant_id, const char *event_name, const FfTrigger **triggers);

/* Registers the invalidation callback; once per process, in _PG_init. */
extern void ff_function_init(void);

#endif
