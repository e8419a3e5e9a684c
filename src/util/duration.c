/*
 * duration.c - time strings (see duration.h).
 */
#include "postgres.h"

#include <math.h>

#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

#include "util/duration.h"

static const struct
{
	const char *name;
	double		usec;
} units[] = {
	{"ns", 0.001}, {"us", 1},	  {"ms", 1000},	  {"s", 1e6},
	{"m", 60e6},   {"h", 3600e6}, {"d", 86400e6}, {"w", 7 * 86400e6},
};

bool
ff_duration_parse(const char *text, int64 *usec)
{
	double total = 0;

	if (*text == '\0')
		return false;
	while (*text != '\0')
	{
		int	   number = (int) strspn(text, "0123456789.");
		int	   unit = (int) strspn(text + number, "abcdefghijklmnopqrstuvwxyz");
		char  *end;
		double value = strtod(text, &end);
		int	   u;

		if (number == 0 || number > 20 || end != text + number)
			return false;
		for (u = 0; u < (int) lengthof(units); u++)
		{
			if ((int) strlen(units[u].name) == unit &&
				strncmp(units[u].name, text + number, unit) == 0)
				break;
		}
		if (u == (int) lengthof(units))
			return false;
		total += value * units[u].usec;
		text += number + unit;
	}
	if (total > 9e18)
		return false;
	*usec = (int64) llround(total);
	return true;
}

/* Reads exactly `digits` digits; -1 when they are not there. */
static int
number_at(const char **text, int digits)
{
	int value = 0;

	for (int i = 0; i < digits; i++)
	{
		if (**text < '0' || **text > '9')
			return -1;
		value = value * 10 + (*(*text)++ - '0');
	}
	return value;
}

static bool
expect(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

static bool
make_instant(int year, int month, int day, int hour, int minute, int second, int64 usec,
			 int offset_minutes, TimestampTz *out)
{
	struct pg_tm tm = {.tm_year = year, .tm_mon = month, .tm_mday = day};

	if (month < 1 || month > 12 || day < 1 || day > day_tab[isleap(year)][month - 1] || hour < 0 ||
		hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 || year < 1)
		return false;
	*out =
		(int64) (date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY +
		((int64) hour * 3600 + (minute - offset_minutes) * 60 + second) * USECS_PER_SEC + usec;
	return IS_VALID_TIMESTAMP(*out);
}

/* Z, +hh:mm, -hhmm or nothing; false when something else stands there. */
static bool
parse_zone(const char *text, int *offset_minutes)
{
	int sign = *text == '-' ? -1 : 1;
	int hours;
	int minutes;

	*offset_minutes = 0;
	if (*text == '\0' || ((*text == 'Z' || *text == 'z') && text[1] == '\0'))
		return true;
	if (*text != '+' && *text != '-')
		return false;
	text++;
	hours = number_at(&text, 2);
	if (*text == ':')
		text++;
	minutes = *text == '\0' ? 0 : number_at(&text, 2);
	*offset_minutes = sign * (hours * 60 + minutes);
	return hours >= 0 && hours < 16 && minutes >= 0 && minutes < 60 && *text == '\0';
}

static int64
parse_fraction(const char **text)
{
	int64 usec = 0;
	int64 scale = 100000;

	if (**text != '.')
		return 0;
	for ((*text)++; **text >= '0' && **text <= '9'; (*text)++, scale /= 10)
		usec += (**text - '0') * scale;
	return usec;
}

static bool
parse_rfc3339(const char *text, TimestampTz *out)
{
	int	  year = number_at(&text, 4);
	int	  month = expect(&text, '-') ? number_at(&text, 2) : -1;
	int	  day = expect(&text, '-') ? number_at(&text, 2) : -1;
	int	  hour = 0;
	int	  minute = 0;
	int	  second = 0;
	int64 usec = 0;
	int	  offset;

	if (year < 0 || month < 0 || day < 0)
		return false;
	if (*text == 'T' || *text == 't' || *text == ' ')
	{
		text++;
		hour = number_at(&text, 2);
		minute = expect(&text, ':') ? number_at(&text, 2) : -1;
		if (expect(&text, ':'))
		{
			second = number_at(&text, 2);
			if (*text == '.' && (text[1] < '0' || text[1] > '9'))
				return false;
			usec = parse_fraction(&text);
		}
	}
	return parse_zone(text, &offset) &&
		   make_instant(year, month, day, hour, minute, second, usec, offset, out);
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool
parse_http_date(const char *text, TimestampTz *out)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int				  day;
	int				  month = 0;
	int				  year;
	int				  hour;
	int				  minute;
	int				  second;

	if (strlen(text) != 29 || text[3] != ',' || text[4] != ' ' || text[7] != ' ' ||
		text[11] != ' ' || text[16] != ' ' || strcmp(text + 25, " GMT") != 0)
		return false;
	text += 5;
	day = number_at(&text, 2);
	for (int m = 0; m < 12; m++)
	{
		if (strncmp(text + 1, names + 3 * m, 3) == 0)
			month = m + 1;
	}
	text += 5;
	year = number_at(&text, 4);
	text++;
	hour = number_at(&text, 2);
	minute = expect(&text, ':') ? number_at(&text, 2) : -1;
	second = expect(&text, ':') ? number_at(&text, 2) : -1;
	return make_instant(year, month, day, hour, minute, second, 0, 0, out);
}

bool
ff_instant_parse(const char *text, TimestampTz *out)
{
	return parse_rfc3339(text, out) || parse_http_date(text, out);
}

bool
ff_when_parse(const char *text, TimestampTz now, TimestampTz *out)
{
	int64 usec;

	if (ff_duration_parse(text, &usec))
	{
		*out = now + Min(usec, FF_MAX_DURATION_US + 1);
		return true;
	}
	return ff_instant_parse(text, out);
}

bool
ff_when_too_far(TimestampTz at, TimestampTz now)
{
	return at > now && at - now > FF_MAX_DURATION_US;
}

bool
ff_retry_after_parse(const char *text, TimestampTz now, int64 *delay_usec)
{
	size_t		length = strlen(text);
	TimestampTz at;
	int64		delay;

	if (length > 0 && length <= 7 && strspn(text, "0123456789") == length)
		delay = (int64) atol(text) * USECS_PER_SEC;
	else if (ff_instant_parse(text, &at))
		delay = at - now;
	else
		return false;
	*delay_usec = Min(Max(delay, USECS_PER_SEC), USECS_PER_DAY);
	return true;
}

PG_FUNCTION_INFO_V1(ff_sql_duration);
Datum
ff_sql_duration(PG_FUNCTION_ARGS)
{
	char	 *input = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Interval *result = palloc0(sizeof(Interval));

	if (!ff_duration_parse(input, &result->time))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" is not a duration", input),
						errhint("Write numbers with units: 500ms, 10s, 5m, 1h30m, 2d, 1w.")));
	PG_RETURN_INTERVAL_P(result);
}
