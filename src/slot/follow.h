/*
 * follow.h - which runs somebody follows live: what sessions that read live streams tell executors,
 * so that what is only for watching is said to nobody in vain.
 *
 * A run is followed for a while after it has last been asked for. Runs share places, so one may
 * count as followed that is not; what is then said, nobody hears.
 */
#ifndef FF_SLOT_FOLLOW_H
#define FF_SLOT_FOLLOW_H

#include "postgres.h"

#include "port/atomics.h"
#include "utils/uuid.h"

#define FF_FOLLOWED 1024
#define FF_CHANNEL_SIZE 43

typedef struct FfFollowed
{
	pg_atomic_uint64 until[FF_FOLLOWED]; /* a TimestampTz */
} FfFollowed;

extern void ff_follow_init(FfFollowed *followed);
extern bool ff_is_followed(FfFollowed *followed, const pg_uuid_t *run);

/* When shared memory was last made anew, in microseconds since 1970: two lives of a server may give
 * the same number to different transactions. */
extern int64 ff_life(void);

/* A channel's name that nobody can guess: whoever may listen is told it. */
extern void ff_channel_make(char channel[FF_CHANNEL_SIZE]);

#endif
