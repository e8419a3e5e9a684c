/*
 * parse.c - reading cron expressions (see cron.h).
 */
#include "postgres.h"

#include "common/string.h"
#include "lib/stringinfo.h"

#include "cron/cron.h"

#define MAX_LENGTH 255
#define MAX_FIELDS 6

typedef struct Field
{
	const char *what;
	int			low;
	int			high;
	const char *names; /* of three letters each, the first for `low` */
} Field;

static const Field fields[MAX_FIELDS] = {
	{"second", 0, 59, NULL},
	{"minute", 0, 59, NULL},
	{"hour", 0, 23, NULL},
	{"day of the month", 1, 31, NULL},
	{"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
	{"day of the week", 0, 7, "sunmontuewedthufrisat"},
};

enum
{
	SECOND,
	MINUTE,
	HOUR,
	DAY,
	MONTH,
	WEEKDAY
};

static const struct
{
	const char *name;
	const char *fields;
} descriptors[] = {
	{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
	{"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},	  {"@midnight", "0 0 * * *"},
	{"@hourly", "0 * * * *"},
};

/* What is being read: the item of a list within a field. */
typedef struct Reader
{
	FfCron *cron;
	int		field;
	char   *problem; /* the first one */
} Reader;

static bool
fail(Reader *reader, const char *item, const char *what)
{
	if (reader->problem == NULL)
		reader->problem =
			psprintf("\"%.40s\" in the field of the %s %s", item, fields[reader->field].what, what);
	return false;
}

/* Reads a number or a name at *at and moves behind it. */
static bool
read_value(Reader *reader, const char *item, const char **at, int *value)
{
	const Field *field = &fields[reader->field];
	const char	*start = *at;

	*value = 0;
	if (field->names != NULL && isalpha((unsigned char) start[0]))
	{
		for (int i = 0; field->names[3 * i] != '\0'; i++)
		{
			if (pg_strncasecmp(start, field->names + 3 * i, 3) == 0)
			{
				*value = field->low + i;
				*at = start + 3;
				return true;
			}
		}
	}
	while (isdigit((unsigned char) **at) && *at - start < 3)
		*value = *value * 10 + (*(*at)++ - '0');
	if (*at == start || *value < field->low || *value > field->high)
		return fail(reader, item, psprintf("is not from %d to %d", field->low, field->high));
	return true;
}

static uint64 *
mask_of(FfCron *cron, int field)
{
	switch (field)
	{
		case SECOND:
			return &cron->seconds;
		case MINUTE:
			return &cron->minutes;
		case HOUR:
			return &cron->hours;
		case DAY:
			return &cron->days;
		case MONTH:
			return &cron->months;
		default:
			return &cron->weekdays;
	}
}

static void
add_range(Reader *reader, int low, int high, int step)
{
	uint64 *mask = mask_of(reader->cron, reader->field);

	for (int i = low; i <= high; i += step)
		*mask |= UINT64CONST(1) << (reader->field == WEEKDAY ? i % 7 : i);
}

static bool
read_step(Reader *reader, const char *item, const char *at, int *step)
{
	char *end;
	long  number = strtol(at, &end, 10);

	if (!isdigit((unsigned char) at[0]) || *end != '\0' || number < 1 || number > 60)
		return fail(reader, item, "has a step that is not from 1 to 60");
	*step = (int) number;
	return true;
}

/* 5#2, the second Friday, and 5L, the last one; false when the item is something else. */
static bool
read_week_of_month(Reader *reader, const char *at, int weekday)
{
	if (reader->field != WEEKDAY)
		return false;
	if (at[0] == '#' && at[1] >= '1' && at[1] <= '5' && at[2] == '\0')
		reader->cron->nth[weekday % 7] |= 1 << (at[1] - '0');
	else if ((at[0] == 'L' || at[0] == 'l') && at[1] == '\0')
		reader->cron->last_week |= 1 << (weekday % 7);
	else
		return false;
	return true;
}

/* A value, a range, either with a step, or one of the special forms. */
static bool
read_item(Reader *reader, const char *item)
{
	const Field *field = &fields[reader->field];
	const char	*at = item;
	int			 low;
	int			 high;
	int			 step = 1;

	if (reader->field == DAY && pg_strcasecmp(item, "L") == 0)
		return reader->cron->last_day = true;
	if (*at == '*' || *at == '?')
	{
		at++;
		low = field->low;
		high = reader->field == WEEKDAY ? 6 : field->high;
	}
	else
	{
		if (!read_value(reader, item, &at, &low))
			return false;
		if (read_week_of_month(reader, at, low))
			return true;
		high = *at == '/' ? field->high : low;
		if (*at == '-')
		{
			at++;
			if (!read_value(reader, item, &at, &high))
				return false;
		}
		if (high < low)
			return fail(reader, item, "ends before it begins");
	}
	if (*at == '/' && !read_step(reader, item, at + 1, &step))
		return false;
	if (*at != '/' && *at != '\0')
		return fail(reader, item, "is not a value, a range or a step");
	add_range(reader, low, high, step);
	return true;
}

static bool
read_field(Reader *reader, char *text)
{
	char *item;

	while ((item = strsep(&text, ",")) != NULL)
	{
		if (!read_item(reader, item))
			return false;
	}
	return true;
}

/* Splits at white space; the number of fields, or more than there can be. */
static int
split(char *text, char **out)
{
	int	  count = 0;
	char *word;

	while ((word = strsep(&text, " \t")) != NULL)
	{
		if (*word == '\0')
			continue;
		if (count == MAX_FIELDS)
			return MAX_FIELDS + 1;
		out[count++] = word;
	}
	return count;
}

/* Takes TZ=Area/City off the front; NULL when there is no such zone. */
static const char *
take_zone(const char *text, FfCron *cron, char **problem)
{
	const char *name = text;
	char	   *zone;
	size_t		length;

	cron->zone = pg_tzset("UTC");
	if (strncmp(text, "CRON_TZ=", 8) == 0)
		name = text + 8;
	else if (strncmp(text, "TZ=", 3) == 0)
		name = text + 3;
	else
		return text;
	length = strcspn(name, " \t");
	zone = pnstrdup(name, length);
	cron->zone = length > 0 && length <= TZ_STRLEN_MAX ? pg_tzset(zone) : NULL;
	if (cron->zone != NULL)
		return name + length;
	*problem = psprintf("\"%.40s\" is not a time zone", zone);
	return NULL;
}

static const char *
expand(const char *text, char **problem)
{
	text += strspn(text, " \t");
	if (text[0] != '@')
		return text;
	for (int i = 0; i < (int) lengthof(descriptors); i++)
	{
		if (pg_strcasecmp(text, descriptors[i].name) == 0)
			return descriptors[i].fields;
	}
	*problem =
		psprintf("\"%.40s\" is not one of @hourly, @daily, @weekly, @monthly and @yearly", text);
	return NULL;
}

static bool
read_fields(FfCron *cron, char *text, char **problem)
{
	char  *words[MAX_FIELDS];
	int	   count = split(text, words);
	int	   first = MAX_FIELDS - count;
	Reader reader = {cron, 0, NULL};

	if (count < 5 || count > MAX_FIELDS)
	{
		*problem = psprintf("it has %s than 5 fields (or 6 with seconds first)",
							count > MAX_FIELDS ? "more" : "less");
		return false;
	}
	if (count == 5)
		cron->seconds = 1;
	cron->any_hour = words[HOUR - first][0] == '*';
	cron->any_day = strchr("*?", words[DAY - first][0]) != NULL;
	cron->any_weekday = strchr("*?", words[WEEKDAY - first][0]) != NULL;
	for (int i = 0; i < count; i++)
	{
		reader.field = first + i;
		if (!read_field(&reader, words[i]))
		{
			*problem = reader.problem;
			return false;
		}
	}
	return true;
}

bool
ff_cron_parse(const char *text, FfCron *cron, char **problem)
{
	char	   *copy = pstrdup(text);
	TimestampTz next;

	memset(cron, 0, sizeof(*cron));
	*problem = NULL;
	if (strlen(text) > MAX_LENGTH)
	{
		*problem = psprintf("it is longer than %d bytes", MAX_LENGTH);
		return false;
	}
	pg_strip_crlf(copy);
	for (size_t end = strlen(copy); end > 0 && isspace((unsigned char) copy[end - 1]); end--)
		copy[end - 1] = '\0';
	text = take_zone(copy + strspn(copy, " \t"), cron, problem);
	text = text == NULL ? NULL : expand(text, problem);
	if (text == NULL || !read_fields(cron, pstrdup(text), problem))
		return false;
	if (ff_cron_next(cron, GetCurrentTimestamp(), &next))
		return true;
	*problem = pstrdup("it never comes to pass");
	return false;
}
