/*
 * cron.h - schedules written as cron expressions: reading them, and when they are next due.
 *
 * Five fields (minute, hour, day of the month, month, day of the week), or six with seconds first,
 * or @hourly, @daily, @weekly, @monthly, @yearly; after an optional TZ=Area/City. Without a zone
 * they mean UTC.
 */
#ifndef FF_CRON_CRON_H
#define FF_CRON_CRON_H

#include "postgres.h"

#include "pgtime.h"
#include "utils/timestamp.h"

/* Which values of each field are due: bit n for the value n. */
typedef struct FfCron
{
	uint64 seconds;
	uint64 minutes;
	uint64 hours;
	uint64 days;		/* of the month, 1 to 31 */
	uint64 months;		/* 1 to 12 */
	uint64 weekdays;	/* 0, Sunday, to 6 */
	bool   last_day;	/* L: the last day of the month */
	uint8  nth[7];		/* by day of the week: bit n for the n-th of the month (5#2) */
	uint8  last_week;	/* by day of the week: the last of the month (5L) */
	bool   any_day;		/* the field of the days is * */
	bool   any_weekday; /* the field of the days of the week is * */
	bool   any_hour;	/* the field of the hours is *: time that passes counts, not the clock */
	pg_tz *zone;
} FfCron;

/* Reads a schedule; false with what is wrong in `problem` (palloc'ed). */
extern bool ff_cron_parse(const char *text, FfCron *cron, char **problem);

/*
 * The first instant after `after`; false when there is none within nine years. A local time that
 * the zone's clocks skip is due when as much time has passed as if they had not; one that they show
 * twice is due the first time only, unless the hour is *.
 */
extern bool ff_cron_next(const FfCron *cron, TimestampTz after, TimestampTz *next);

/* The schedule in five fields of UTC whose instants include all of this one's (but for seconds). */
extern char *ff_cron_in_utc(const FfCron *cron, TimestampTz now);

/* Removes the schedules' jobs from pg_cron, in the caller's transaction. */
extern void ff_cron_drop_jobs(void);

#endif
