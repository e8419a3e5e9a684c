/*
 * depth.h - how many runs of a tenant have not begun, in shared memory: for tenants that may have
 * no more than so many (max_queued).
 *
 * A place holds what was once counted in rows and numbers that say what has come and gone since, so
 * nobody who sends counts rows: `made` grows when runs are inserted, before their transaction
 * commits, `begun` when their owner is about to commit that they have begun or ended. What a
 * transaction has added is taken back when it, or its subtransaction, is rolled back.
 *
 * Between two counts nothing is lost, so a queue never grows beyond its limit, whoever sends at the
 * same time. A count itself may take what commits in its very instant for twice as much: a queue
 * that seems full is counted again, a second later at the soonest, before anybody is refused. Too
 * little may be counted of what is prepared (PREPARE TRANSACTION) and not yet committed, until the
 * next count, at the latest COUNT_EVERY later.
 */
#ifndef FF_SLOT_DEPTH_H
#define FF_SLOT_DEPTH_H

#include "postgres.h"

#include "port/atomics.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#define FF_DEPTH_GROUPS 64
#define FF_DEPTH_PLACES 16

typedef struct FfDepthPlace
{
	Oid			database; /* with the tenant, the key; InvalidOid: free */
	int32		tenant_id;
	uint32		birth;		 /* grows whenever the place is given to another tenant */
	TimestampTz counted_at;	 /* 0: never, and then the numbers mean nothing */
	int64		count_took;	 /* microseconds */
	TimestampTz counting_at; /* somebody counts since then */
	int64		base;		 /* depth = base + made - begun */
	int64		made;
	int64		begun;
	int64		open; /* of `made`: in transactions that are not over */
	int64		refused;
} FfDepthPlace;

typedef struct FfDepthGroup
{
	slock_t		 lock;
	FfDepthPlace places[FF_DEPTH_PLACES];
} FfDepthGroup;

typedef struct FfDepths
{
	pg_atomic_uint32 used; /* 0: nobody has a limit, nothing is counted */
	FfDepthGroup	 groups[FF_DEPTH_GROUPS];
} FfDepths;

extern void ff_depths_init(FfDepths *depths);

/* Registers the callbacks of transactions; once per process, in _PG_init. */
extern void ff_depth_init(void);

/* Adds runs that this transaction makes. With a limit (not 0), false when there would be more than
 * that, and then nothing is added; `depth` is how many there are. Needs SPI. */
extern bool ff_depth_add(int32 tenant_id, int count, int limit, int64 *depth);

/* A run of the tenant has begun, or has ended without: as this transaction is about to commit. */
extern void ff_depth_begun(int32 tenant_id);

#endif
