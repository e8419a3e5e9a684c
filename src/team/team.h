/*
 * team.h - what a backend remembers of tenants: their share and their limits.
 *
 * The cache forgets everything when flowforge.tenant changes (relcache invalidation, sent by a
 * trigger on that table). A tenant without a row has the weight 1 and no limits.
 */
#ifndef FF_TEAM_H
#define FF_TEAM_H

#include "postgres.h"

#define FF_TENANT_WEIGHT_MAX 1000

typedef struct FfTenant
{
	int32 tenant_id;
	int	  weight;				 /* its share of the executors beside other tenants' */
	int	  max_running;			 /* steps at once; 0: any number */
	int	  max_events_per_second; /* 0: any number */
	int	  max_queued;			 /* runs that have not begun; 0: any number */
	int	  max_payload_bytes;	 /* of an event's data and user; 0: what the server allows */
} FfTenant;

/* Once per process, in _PG_init. */
extern void ff_tenant_init(void);

/* Needs SPI connected. Valid until the next call of anything that may process invalidations. */
extern const FfTenant *ff_tenant_get(int32 tenant_id);

/* Another number whenever what the cache holds may have changed. */
extern uint64 ff_tenant_generation(void);

/* The same, but NULL when the cache has it not: needs neither SPI nor a transaction. */
extern const FfTenant *ff_tenant_cached(int32 tenant_id);

#endif
