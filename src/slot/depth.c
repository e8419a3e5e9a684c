/*
 * depth.c - how many runs of a tenant have not begun (see depth.h).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "slot/depth.h"
#include "slot/shared.h"
#include "team/caller.h"
#include "util/spi.h"

#define COUNT_EVERY (10 * USECS_PER_SEC)
#define COUNT_AGAIN USECS_PER_SEC /* when the queue seems full */
#define COUNT_SHARE 50			  /* at most this part of the time goes into counting */
#define COUNT_GIVEN_UP (60 * USECS_PER_SEC)
#define MAX_NOTES 256 /* tenants of one transaction; more are found by the next count */

/* What this transaction has added. */
typedef struct Note
{
	SubTransactionId sub;
	int32			 tenant_id;
	uint32			 birth;
	int64			 made;
	int64			 begun;
	bool			 told; /* `begun` is in the place */
} Note;

static Note notes[MAX_NOTES];
static int	notes_count = 0;

void
ff_depths_init(FfDepths *depths)
{
	memset(depths, 0, sizeof(*depths));
	pg_atomic_init_u32(&depths->used, 0);
	for (int i = 0; i < FF_DEPTH_GROUPS; i++)
		SpinLockInit(&depths->groups[i].lock);
}

static bool
nobody_is_limited(void)
{
	return ff_shared == NULL || pg_atomic_read_u32(&ff_shared->depths.used) == 0;
}

static FfDepthGroup *
group_of(int32 tenant_id)
{
	return &ff_shared->depths.groups[hash_bytes_uint32((uint32) tenant_id) % FF_DEPTH_GROUPS];
}

static FfDepthPlace *
find(FfDepthGroup *group, int32 tenant_id)
{
	for (int i = 0; i < FF_DEPTH_PLACES; i++)
	{
		FfDepthPlace *place = &group->places[i];

		if (place->tenant_id == tenant_id && place->database == MyDatabaseId)
			return place;
	}
	return NULL;
}

/* The tenant's place; a new one is free, or that of whoever was counted longest ago. */
static FfDepthPlace *
find_or_take(FfDepthGroup *group, int32 tenant_id)
{
	FfDepthPlace *place = find(group, tenant_id);
	uint32		  birth;

	if (place != NULL)
		return place;
	place = &group->places[0];
	for (int i = 1; i < FF_DEPTH_PLACES; i++)
	{
		if (group->places[i].counted_at < place->counted_at)
			place = &group->places[i];
	}
	birth = place->birth;
	memset(place, 0, sizeof(*place));
	place->database = MyDatabaseId;
	place->tenant_id = tenant_id;
	place->birth = birth + 1;
	pg_atomic_write_u32(&ff_shared->depths.used, 1);
	return place;
}

/* The place a note is about, if it is still there. */
static FfDepthPlace *
place_of(FfDepthGroup *group, const Note *note)
{
	FfDepthPlace *place = find(group, note->tenant_id);

	return place != NULL && (note->birth == 0 || place->birth == note->birth) ? place : NULL;
}

/* --- what a transaction adds --- */

/* NULL when there are too many. `birth` 0: whatever place there is when it is told. */
static Note *
note_for(int32 tenant_id, uint32 birth)
{
	SubTransactionId sub = GetCurrentSubTransactionId();
	Note			*note;

	for (int i = notes_count - 1; i >= 0 && notes[i].sub == sub; i--)
	{
		if (notes[i].tenant_id == tenant_id && notes[i].birth == birth)
			return &notes[i];
	}
	if (notes_count == MAX_NOTES)
		return NULL;
	note = &notes[notes_count++];
	*note = (Note){.sub = sub, .tenant_id = tenant_id, .birth = birth};
	return note;
}

static int64
made_here(int32 tenant_id, uint32 birth)
{
	int64 made = 0;

	for (int i = 0; i < notes_count; i++)
	{
		if (notes[i].tenant_id == tenant_id && notes[i].birth == birth)
			made += notes[i].made;
	}
	return made;
}

/* The transaction is about to commit: what has begun is told before anybody sees it in rows. */
static void
tell_begun(void)
{
	for (int i = 0; i < notes_count; i++)
	{
		FfDepthGroup *group = group_of(notes[i].tenant_id);
		FfDepthPlace *place;

		if (notes[i].begun == 0 || notes[i].told)
			continue;
		SpinLockAcquire(&group->lock);
		place = place_of(group, &notes[i]);
		if (place != NULL)
		{
			place->begun += notes[i].begun;
			notes[i].birth = place->birth;
			notes[i].told = true;
		}
		SpinLockRelease(&group->lock);
	}
}

/* What the note added is no longer of an open transaction; it stays if that has committed. */
static void
settle(const Note *note, bool committed)
{
	FfDepthGroup *group = group_of(note->tenant_id);
	FfDepthPlace *place;

	SpinLockAcquire(&group->lock);
	place = place_of(group, note);
	if (place != NULL && (note->made > 0 || note->told))
	{
		place->open -= note->made;
		if (!committed)
		{
			place->made -= note->made;
			place->begun -= note->told ? note->begun : 0;
		}
	}
	SpinLockRelease(&group->lock);
}

static void
settle_all(bool committed)
{
	for (int i = 0; i < notes_count; i++)
		settle(&notes[i], committed);
	notes_count = 0;
}

static void
at_transaction_event(XactEvent event, void *arg)
{
	if (notes_count == 0)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			tell_begun();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PREPARE:
			settle_all(true);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			settle_all(false);
			break;
	}
}

/* Ids of subtransactions grow, and those that are in one have greater ones than it. */
static void
at_subtransaction_event(SubXactEvent event, SubTransactionId sub, SubTransactionId parent,
						void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (notes_count > 0 && notes[notes_count - 1].sub >= sub)
		settle(&notes[--notes_count], false);
}

void
ff_depth_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
}

/* --- counting --- */

/* A run has not begun while its state has no start. */
static int64
count_rows(int32 tenant_id)
{
	static FfPlan plan = {
		"select (select count(*) from generate_series(0, 63) as s (slot) cross join lateral ("
		"select from flowforge.run_hot h where h.slot = s.slot and h.tenant_id = $1 and (h.state -> 'start') is null) q) + "
		"(select count(*) from flowforge.run_parked p where p.tenant_id = $1 and (p.state -> 'start') is null)",
		1,
		{INT4OID}};
	Datum values[1] = {Int32GetDatum(tenant_id)};
	bool  isnull;
	int64 rows;

	/* As it is now, whatever the transaction sees. */
	PushActiveSnapshot(GetLatestSnapshot());
	ff_spi_run(&plan, values, NULL, true);
	rows = DatumGetInt64(ff_spi_value(0, 1, &isnull));
	PopActiveSnapshot();
	return rows;
}

/* Counts the tenant's rows and sets its place by what has come and gone meanwhile. */
static void
count_again(int32 tenant_id)
{
	FfDepthGroup *group = group_of(tenant_id);
	TimestampTz	  began = GetCurrentTimestamp();
	FfDepthPlace  before;
	FfDepthPlace *place;
	int64		  rows;

	SpinLockAcquire(&group->lock);
	place = find_or_take(group, tenant_id);
	place->counting_at = began;
	before = *place;
	SpinLockRelease(&group->lock);
	/* Rows of open transactions are not seen, but for one's own. */
	rows = count_rows(tenant_id) + before.open - made_here(tenant_id, before.birth);
	SpinLockAcquire(&group->lock);
	place = find(group, tenant_id);
	if (place != NULL && place->birth == before.birth)
	{
		place->base = rows - before.made + before.begun;
		place->counted_at = GetCurrentTimestamp();
		place->count_took = place->counted_at - began;
		place->counting_at = 0;
	}
	SpinLockRelease(&group->lock);
}

static bool
is_old(const FfDepthPlace *place, int64 age, TimestampTz now)
{
	return place->counting_at + COUNT_GIVEN_UP < now &&
		   place->counted_at + Max(age, place->count_took * COUNT_SHARE) < now;
}

/* --- adding --- */

typedef enum Added
{
	ADDED,
	FULL,
	COUNT_FIRST
} Added;

static Added
try_add(int32 tenant_id, int count, int limit, int64 *depth)
{
	FfDepthGroup *group = group_of(tenant_id);
	TimestampTz	  now = GetCurrentTimestamp();
	FfDepthPlace *place;
	Added		  added = ADDED;
	uint32		  birth = 0;
	Note		 *note;

	SpinLockAcquire(&group->lock);
	place = limit == 0 ? find(group, tenant_id) : find_or_take(group, tenant_id);
	if (place != NULL)
	{
		*depth = place->base + place->made - place->begun;
		birth = place->birth;
		if (limit > 0 && (place->counted_at == 0 || is_old(place, COUNT_EVERY, now)))
			added = COUNT_FIRST;
		else if (limit > 0 && *depth + count > limit)
			added = is_old(place, COUNT_AGAIN, now) ? COUNT_FIRST : FULL;
		else
		{
			place->made += count;
			place->open += count;
		}
		place->refused += added == FULL;
	}
	SpinLockRelease(&group->lock);
	if (place == NULL || added != ADDED)
		return added;
	note = note_for(tenant_id, birth);
	if (note != NULL)
		note->made += count;
	return ADDED;
}

bool
ff_depth_add(int32 tenant_id, int count, int limit, int64 *depth)
{
	Added added;

	*depth = 0;
	if (ff_shared == NULL || (limit == 0 && nobody_is_limited()))
		return true;
	added = try_add(tenant_id, count, limit, depth);
	if (added == COUNT_FIRST)
	{
		count_again(tenant_id);
		added = try_add(tenant_id, count, limit, depth);
	}
	return added != FULL;
}

void
ff_depth_begun(int32 tenant_id)
{
	Note *note = nobody_is_limited() ? NULL : note_for(tenant_id, 0);

	if (note != NULL)
		note->begun++;
}

/* flowforge.run_begins_later(tenant): a run was written in SQL that has not begun. */
PG_FUNCTION_INFO_V1(ff_slot_depth_add);
Datum
ff_slot_depth_add(PG_FUNCTION_ARGS)
{
	int64 depth;

	(void) ff_depth_add(PG_GETARG_INT32(0), 1, 0, &depth);
	PG_RETURN_VOID();
}

#define COLUMNS 7

/* Copies, so that no lock is held while rows are made. */
static int
copy_group(FfDepthGroup *group, FfDepthPlace *copies)
{
	int count = 0;

	SpinLockAcquire(&group->lock);
	for (int i = 0; i < FF_DEPTH_PLACES; i++)
	{
		if (group->places[i].database == MyDatabaseId && group->places[i].counted_at != 0)
			copies[count++] = group->places[i];
	}
	SpinLockRelease(&group->lock);
	return count;
}

/* flowforge.queue_depths() */
PG_FUNCTION_INFO_V1(ff_slot_depths);
Datum
ff_slot_depths(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FfCaller	   caller = ff_caller();
	FfDepthPlace   copies[FF_DEPTH_PLACES];

	InitMaterializedSRF(fcinfo, 0);
	for (int g = 0; ff_shared != NULL && g < FF_DEPTH_GROUPS; g++)
	{
		int count = copy_group(&ff_shared->depths.groups[g], copies);

		for (int i = 0; i < count; i++)
		{
			const FfDepthPlace *place = &copies[i];
			Datum				values[COLUMNS] = {Int32GetDatum(place->tenant_id),
												   Int64GetDatum(place->base + place->made - place->begun),
												   Int64GetDatum(place->made),
												   Int64GetDatum(place->begun),
												   Int64GetDatum(place->open),
												   Int64GetDatum(place->refused),
												   TimestampTzGetDatum(place->counted_at)};
			bool				nulls[COLUMNS] = {false};

			if (ff_caller_sees(&caller, place->tenant_id))
				tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
