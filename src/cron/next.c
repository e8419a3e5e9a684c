/*
 * next.c - when a schedule is due (see cron.h).
 *
 * Local times are counted as seconds since 1970 as if there were no zones. Days are gone through
 * from the day of `after`; on most of them the zone has one offset, and the first time of the day
 * that matches is the first instant. On a day near a transition every time is asked what instants
 * it stands for, and the earliest counts.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/datetime.h"

#include "cron/cron.h"

#define DAY_S INT64CONST(86400)
#define MAX_DAYS (9 * 366) /* the 29th of February may be eight years away */
#define UNIX_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)
#define OFFSET_STEP_DAYS 7 /* when looking for the offsets a zone has in the coming two years */

/* A day, and the offsets of the zone before and after it. */
typedef struct Day
{
	int64 start; /* local */
	int64 before;
	int64 after;
} Day;

static int64
unix_of(TimestampTz at)
{
	int64 seconds = at / USECS_PER_SEC;

	if (at % USECS_PER_SEC < 0)
		seconds--;
	return seconds + UNIX_DAYS * DAY_S;
}

static TimestampTz
timestamp_of(int64 unix_seconds)
{
	return (unix_seconds - UNIX_DAYS * DAY_S) * USECS_PER_SEC;
}

static int64
offset_at(const FfCron *cron, int64 at)
{
	pg_time_t	  time = at;
	struct pg_tm *local = pg_localtime(&time, cron->zone);

	return local != NULL ? local->tm_gmtoff : 0;
}

static int
last_day_of(int year, int month)
{
	return day_tab[isleap(year)][month - 1];
}

static bool
weekday_matches(const FfCron *cron, int weekday, int day, int last)
{
	if (cron->weekdays & (UINT64CONST(1) << weekday))
		return true;
	if (cron->nth[weekday] & (1 << ((day - 1) / 7 + 1)))
		return true;
	return (cron->last_week & (1 << weekday)) != 0 && day + 7 > last;
}

/* As everywhere in cron: when both days are restricted, either will do. */
static bool
day_matches(const FfCron *cron, int64 day_number)
{
	int	 year;
	int	 month;
	int	 day;
	int	 julian = (int) day_number + UNIX_EPOCH_JDATE;
	bool by_day;
	bool by_weekday;
	int	 last;

	j2date(julian, &year, &month, &day);
	if ((cron->months & (UINT64CONST(1) << month)) == 0)
		return false;
	last = last_day_of(year, month);
	by_day = (cron->days & (UINT64CONST(1) << day)) != 0 || (cron->last_day && day == last);
	by_weekday = weekday_matches(cron, j2day(julian), day, last);
	if (cron->any_day || cron->any_weekday)
		return by_day && by_weekday;
	return by_day || by_weekday;
}

/* The instants a local time stands for: none, one or two; the number of them. */
static int
instants_of(const FfCron *cron, const Day *day, int64 local, int64 out[2])
{
	bool shows_first;
	bool shows_second;

	out[0] = local - day->before;
	if (day->before == day->after)
		return 1;
	out[1] = local - day->after;
	shows_first = offset_at(cron, out[0]) == day->before;
	shows_second = offset_at(cron, out[1]) == day->after;
	if (shows_first && shows_second)
		return cron->any_hour ? 2 : 1;
	if (shows_first)
		return 1;
	if (shows_second)
		out[0] = out[1];
	else if (cron->any_hour)
		return 0;
	return 1;
}

/* The earliest instant after `after` among the seconds of a minute. */
static bool
next_in_minute(const FfCron *cron, const Day *day, int64 start, int64 after, int64 *best)
{
	bool found = false;

	for (int s = 0; s < 60; s++)
	{
		int64 instants[2];
		int	  count;

		if ((cron->seconds & (UINT64CONST(1) << s)) == 0)
			continue;
		count = instants_of(cron, day, start + s, instants);
		for (int i = 0; i < count; i++)
		{
			if (instants[i] <= after || (*best > after && instants[i] >= *best))
				continue;
			*best = instants[i];
			found = true;
		}
		if (found && day->before == day->after)
			break;
	}
	return found;
}

static bool
next_in_day(const FfCron *cron, const Day *day, int64 after, int64 *best)
{
	int64 least = Min(day->before, day->after);
	int64 most = Max(day->before, day->after);
	bool  found = false;

	*best = after;
	for (int m = 0; m < 24 * 60; m++)
	{
		int64 start = day->start + m * 60;

		if ((cron->hours & (UINT64CONST(1) << (m / 60))) == 0)
		{
			m += 59;
			continue;
		}
		if ((cron->minutes & (UINT64CONST(1) << (m % 60))) == 0 || start + 59 - least <= after)
			continue;
		if (found && start - most > *best)
			break;
		found |= next_in_minute(cron, day, start, after, best);
	}
	return found;
}

static int64
day_number_of(int64 local)
{
	return local >= 0 ? local / DAY_S : -((DAY_S - 1 - local) / DAY_S);
}

bool
ff_cron_next(const FfCron *cron, TimestampTz after, TimestampTz *next)
{
	int64 from = unix_of(after);
	int64 first = day_number_of(from + offset_at(cron, from)) - 1;
	int64 best;

	for (int64 number = first; number < first + MAX_DAYS; number++)
	{
		Day day = {number * DAY_S, 0, 0};

		CHECK_FOR_INTERRUPTS();
		if (!day_matches(cron, number))
			continue;
		day.before = offset_at(cron, day.start - DAY_S);
		day.after = offset_at(cron, day.start + 2 * DAY_S);
		if (!next_in_day(cron, &day, from, &best))
			continue;
		*next = timestamp_of(best);
		return true;
	}
	return false;
}

/* --- the same in UTC --- */

/* Appends a field: * or the values of the mask. */
static void
append_field(StringInfo out, uint64 mask, int low, int high)
{
	const char *comma = out->len > 0 ? " " : "";
	uint64		full = (~UINT64CONST(0) >> (63 - high)) & (~UINT64CONST(0) << low);

	if ((mask & full) == full)
	{
		appendStringInfo(out, "%s*", comma);
		return;
	}
	for (int i = low; i <= high; i++)
	{
		if ((mask & (UINT64CONST(1) << i)) == 0)
			continue;
		appendStringInfo(out, "%s%d", comma, i);
		comma = ",";
	}
}

/* Adds the times of day in UTC that the schedule's times are under one offset. */
static void
add_offset(const FfCron *cron, int64 offset, uint64 *minutes, uint64 *hours)
{
	for (int m = 0; m < 24 * 60; m++)
	{
		int utc = (int) (((m * 60 - offset) / 60 + 2 * 24 * 60) % (24 * 60));

		if ((cron->hours & (UINT64CONST(1) << (m / 60))) == 0 ||
			(cron->minutes & (UINT64CONST(1) << (m % 60))) == 0)
			continue;
		*minutes |= UINT64CONST(1) << (utc % 60);
		*hours |= UINT64CONST(1) << (utc / 60);
	}
}

char *
ff_cron_in_utc(const FfCron *cron, TimestampTz now)
{
	int64		   start = unix_of(now);
	uint64		   minutes = 0;
	uint64		   hours = 0;
	bool		   utc = true;
	bool		   plain = !cron->last_day && cron->last_week == 0;
	StringInfoData out;

	for (int day = 0; day < 2 * 366; day += OFFSET_STEP_DAYS)
	{
		int64 offset = offset_at(cron, start + day * DAY_S);

		add_offset(cron, offset, &minutes, &hours);
		utc &= offset == 0;
	}
	for (int i = 0; i < 7; i++)
		plain &= cron->nth[i] == 0;
	initStringInfo(&out);
	append_field(&out, minutes, 0, 59);
	append_field(&out, hours, 0, 23);
	append_field(&out, utc && plain ? cron->days : ~UINT64CONST(0), 1, 31);
	append_field(&out, utc ? cron->months : ~UINT64CONST(0), 1, 12);
	append_field(&out, utc && plain ? cron->weekdays : ~UINT64CONST(0), 0, 6);
	return out.data;
}
