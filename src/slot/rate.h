/*
 * rate.h - how many events a second a tenant may send, in shared memory: the generic cell rate
 * algorithm (ITU-T I.371), which needs one number a tenant, the time at which all that it has sent
 * would have been due. A tenant may send a second's worth at once.
 *
 * What a transaction has taken it does not give back when it is rolled back. A restart forgets what
 * was sent, so a tenant may send a second's worth again.
 */
#ifndef FF_SLOT_RATE_H
#define FF_SLOT_RATE_H

#include "postgres.h"

#include "storage/spin.h"
#include "utils/timestamp.h"

#define FF_RATE_GROUPS 64
#define FF_RATE_PLACES 16

typedef struct FfRatePlace
{
	Oid			database; /* with the tenant, the key */
	int32		tenant_id;
	TimestampTz due; /* of what it has sent; in the past: the same as not being here */
} FfRatePlace;

typedef struct FfRateGroup
{
	slock_t		lock;
	FfRatePlace places[FF_RATE_PLACES];
} FfRateGroup;

typedef struct FfRates
{
	FfRateGroup groups[FF_RATE_GROUPS];
} FfRates;

extern void ff_rate_init(FfRates *rates);

/* Takes room for `count` events; false when there is none, and then nothing is taken. */
extern bool ff_rate_take(int32 tenant_id, int per_second, int count);

#endif
