/*
 * format.c - the formats that are checked: date-time, date, time (RFC 3339), email, uri, uuid.
 */
#include "postgres.h"

#include <ctype.h>

#include "utils/datetime.h"

#include "schema/keyword.h"

/* A text that is read from the left. */
typedef struct Reader
{
	const char *at;
	const char *end;
} Reader;

static bool
accept(Reader *r, const char *any)
{
	if (r->at == r->end || *r->at == '\0' || strchr(any, *r->at) == NULL)
		return false;
	r->at++;
	return true;
}

static bool
number(Reader *r, int count, int low, int high, int *out)
{
	*out = 0;
	for (int i = 0; i < count; i++, r->at++)
	{
		if (r->at == r->end || *r->at < '0' || *r->at > '9')
			return false;
		*out = *out * 10 + (*r->at - '0');
	}
	return *out >= low && *out <= high;
}

static bool
read_date(Reader *r)
{
	int year, month, day;

	return number(r, 4, 0, 9999, &year) && accept(r, "-") && number(r, 2, 1, 12, &month) &&
		   accept(r, "-") && number(r, 2, 1, 31, &day) &&
		   day <= day_tab[isleap(year) ? 1 : 0][month - 1];
}

/* A leap second ends a minute that is the last of a day of UTC. */
static bool
is_leap_minute(int hour, int minute, int offset)
{
	return (hour * 60 + minute - offset + 2 * 1440) % 1440 == 1439;
}

static bool
read_time(Reader *r)
{
	int hour, minute, second, zone_hour = 0, zone_minute = 0, sign = 1, digit;

	if (!number(r, 2, 0, 23, &hour) || !accept(r, ":") || !number(r, 2, 0, 59, &minute) ||
		!accept(r, ":") || !number(r, 2, 0, 60, &second))
		return false;
	if (accept(r, "."))
	{
		if (!number(r, 1, 0, 9, &digit))
			return false;
		while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
			r->at++;
	}
	if (!accept(r, "zZ"))
	{
		sign = r->at < r->end && *r->at == '-' ? -1 : 1;
		if (!accept(r, "+-") || !number(r, 2, 0, 23, &zone_hour) || !accept(r, ":") ||
			!number(r, 2, 0, 59, &zone_minute))
			return false;
	}
	return second < 60 || is_leap_minute(hour, minute, sign * (zone_hour * 60 + zone_minute));
}

static bool
is_date(Reader *r)
{
	return read_date(r);
}

static bool
is_date_time(Reader *r)
{
	return read_date(r) && accept(r, "tT") && read_time(r);
}

static bool
is_uuid(Reader *r)
{
	static const int groups[] = {8, 4, 4, 4, 12};

	for (int g = 0; g < lengthof(groups); g++)
	{
		if (g > 0 && !accept(r, "-"))
			return false;
		for (int i = 0; i < groups[g]; i++)
		{
			if (!accept(r, "0123456789abcdefABCDEF"))
				return false;
		}
	}
	return true;
}

/* Labels of letters, digits and hyphens, with dots between them; bytes beyond ASCII are letters of
 * other languages. */
static bool
read_domain(Reader *r)
{
	const char *label = r->at;

	for (;; r->at++)
	{
		bool over = r->at == r->end || *r->at == '.';

		if (over && (r->at == label || r->at - label > 63 || r->at[-1] == '-'))
			return false;
		if (r->at == r->end)
			return true;
		if (over)
			label = r->at + 1;
		else if (!isalnum((unsigned char) *r->at) && !IS_HIGHBIT_SET(*r->at) &&
				 (*r->at != '-' || r->at == label))
			return false;
	}
}

static bool
is_email(Reader *r)
{
	const char *start = r->at;

	while (r->at < r->end && *r->at != '@')
	{
		unsigned char c = *r->at;

		if (!isalnum(c) && !IS_HIGHBIT_SET(c) && strchr("!#$%&'*+/=?^_`{|}~-.", c) == NULL)
			return false;
		if (c == '.' && (r->at == start || r->at[-1] == '.'))
			return false;
		r->at++;
	}
	if (r->at == start || r->at - start > 64 || r->at[-1] == '.' || !accept(r, "@"))
		return false;
	return read_domain(r);
}

/* A scheme, and characters an address may have; %hh for the others. */
static bool
is_uri(Reader *r)
{
	if (r->at == r->end || !isalpha((unsigned char) *r->at))
		return false;
	while (r->at < r->end && (isalnum((unsigned char) *r->at) || strchr("+-.", *r->at) != NULL))
		r->at++;
	if (!accept(r, ":") || r->at == r->end)
		return false;
	while (r->at < r->end)
	{
		unsigned char c = *r->at++;

		if (c == '%' && (r->end - r->at < 2 || !isxdigit((unsigned char) r->at[0]) ||
						 !isxdigit((unsigned char) r->at[1])))
			return false;
		if (!isalnum(c) && (IS_HIGHBIT_SET(c) || strchr("-._~:/?#[]@!$&'()*+,;=%", c) == NULL))
			return false;
	}
	return true;
}

static const struct
{
	const char *name;
	bool (*test)(Reader *r);
} formats[] = {
	{"date-time", is_date_time}, {"date", is_date}, {"time", read_time},
	{"email", is_email},		 {"uri", is_uri},	{"uuid", is_uuid},
};

bool
ff_schema_format(const JsonbValue *format, const char *text, int length)
{
	for (int i = 0; i < lengthof(formats); i++)
	{
		if (strlen(formats[i].name) == format->val.string.len &&
			memcmp(formats[i].name, format->val.string.val, format->val.string.len) == 0)
		{
			Reader reader = {.at = text, .end = text + length};

			return formats[i].test(&reader) && reader.at == reader.end;
		}
	}
	return true;
}
