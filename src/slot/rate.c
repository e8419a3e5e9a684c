/*
 * rate.c - how many events a second a tenant may send (see rate.h).
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"

#include "slot/rate.h"
#include "slot/shared.h"

void
ff_rate_init(FfRates *rates)
{
	memset(rates, 0, sizeof(*rates));
	for (int i = 0; i < FF_RATE_GROUPS; i++)
		SpinLockInit(&rates->groups[i].lock);
}

/* The tenant's place, or one of those whose time is past, or else the one whose time is nearest:
 * its tenant then starts anew. */
static FfRatePlace *
place_of(FfRateGroup *group, int32 tenant_id)
{
	FfRatePlace *least = &group->places[0];

	for (int i = 0; i < FF_RATE_PLACES; i++)
	{
		FfRatePlace *place = &group->places[i];

		if (place->tenant_id == tenant_id && place->database == MyDatabaseId)
			return place;
		if (place->due < least->due)
			least = place;
	}
	least->database = MyDatabaseId;
	least->tenant_id = tenant_id;
	least->due = 0;
	return least;
}

bool
ff_rate_take(int32 tenant_id, int per_second, int count)
{
	TimestampTz	 now = GetCurrentTimestamp();
	TimestampTz	 due;
	FfRateGroup *group;
	FfRatePlace *place;
	bool		 taken;

	if (ff_shared == NULL)
		return true;
	group = &ff_shared->rates.groups[hash_bytes_uint32((uint32) tenant_id) % FF_RATE_GROUPS];
	SpinLockAcquire(&group->lock);
	place = place_of(group, tenant_id);
	due = Max(place->due, now) + (USECS_PER_SEC * (int64) count + per_second - 1) / per_second;
	taken = due <= now + USECS_PER_SEC;
	if (taken)
		place->due = due;
	SpinLockRelease(&group->lock);
	return taken;
}
