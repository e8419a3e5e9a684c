/*
 * follow.c - which runs somebody follows live (see follow.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "slot/follow.h"
#include "slot/shared.h"

#define FOLLOWED_FOR (40 * USECS_PER_SEC) /* whoever follows asks again every 15 seconds */
#define TOKEN_BYTES 16

void
ff_follow_init(FfFollowed *followed)
{
	for (int i = 0; i < FF_FOLLOWED; i++)
		pg_atomic_init_u64(&followed->until[i], 0);
}

void
ff_channel_make(char channel[FF_CHANNEL_SIZE])
{
	unsigned char token[TOKEN_BYTES];
	int			  at = snprintf(channel, FF_CHANNEL_SIZE, "flowforge_");

	if (!pg_strong_random(token, sizeof(token)))
		elog(ERROR, "could not make random bytes");
	for (int i = 0; i < TOKEN_BYTES; i++)
		at += snprintf(channel + at, FF_CHANNEL_SIZE - at, "%02x", token[i]);
}

static pg_atomic_uint64 *
place_of(FfFollowed *followed, const pg_uuid_t *run)
{
	return &followed->until[hash_bytes(run->data, UUID_LEN) % FF_FOLLOWED];
}

bool
ff_is_followed(FfFollowed *followed, const pg_uuid_t *run)
{
	return (TimestampTz) pg_atomic_read_u64(place_of(followed, run)) > GetCurrentTimestamp();
}

PG_FUNCTION_INFO_V1(ff_stream_follow);
Datum
ff_stream_follow(PG_FUNCTION_ARGS)
{
	FfDatabase *database = ff_shared_database();
	Datum	   *runs;
	bool	   *nulls;
	int			count;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &runs,
					  &nulls, &count);
	for (int i = 0; database != NULL && i < count; i++)
	{
		if (!nulls[i])
			pg_atomic_write_u64(place_of(&database->followed, DatumGetUUIDP(runs[i])),
								(uint64) (GetCurrentTimestamp() + FOLLOWED_FOR));
	}
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ff_stream_listen);
Datum
ff_stream_listen(PG_FUNCTION_ARGS)
{
	if (ff_shared != NULL)
		Async_Listen(ff_shared->live_channel);
	PG_RETURN_VOID();
}

int64
ff_life(void)
{
	return ff_shared != NULL ? ff_shared->life : 0;
}

PG_FUNCTION_INFO_V1(ff_server_life);
Datum
ff_server_life(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(ff_life());
}
