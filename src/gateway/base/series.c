/*
 * Series of answered requests (see series.h). One is made when its route is first heard of and
 * never freed; there are as many as routes have ever been, up to a bound, beyond which they count
 * together.
 */
#define _GNU_SOURCE
#include "base/series.h"

#include <string.h>

#include "base/memory.h"

#define MOST_SERIES 512
#define CLASSES 6 /* of status: 1xx is 1; 0 is none */

static const int64_t limits_us[] = {500,	1000,	2500,	5000,	 10000,	  25000,   50000,
									100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

#define LIMITS ((int) (sizeof(limits_us) / sizeof(limits_us[0])))

typedef struct Series
{
	char	*method;
	char	*pattern;
	uint64_t answers[CLASSES];
	uint64_t took[LIMITS + 1]; /* up to each limit and above the one before; the last: longer */
	uint64_t took_us;
} Series;

static Series series[MOST_SERIES] = {
	[FF_SERIES_OTHER] = {"other", "other"},
	[FF_SERIES_REFUSED] = {"other", "refused"},
	[FF_SERIES_STATIC] = {"GET", "static"},
	[FF_SERIES_PREFLIGHT] = {"OPTIONS", "preflight"},
};
static int series_count = FF_SERIES_FIRST_ROUTE;

int
ff_series_of(const char *method, const char *pattern)
{
	for (int at = FF_SERIES_FIRST_ROUTE; at < series_count; at++)
	{
		if (strcmp(series[at].method, method) == 0 && strcmp(series[at].pattern, pattern) == 0)
			return at;
	}
	if (series_count == MOST_SERIES)
		return FF_SERIES_OTHER;
	series[series_count].method = ff_copy(method);
	series[series_count].pattern = ff_copy(pattern);
	return series_count++;
}

void
ff_series_answered(int which, int status, int64_t microseconds)
{
	Series *one = &series[which];
	int		limit = 0;

	one->answers[status >= 100 && status < 600 ? status / 100 : 0]++;
	while (limit < LIMITS && microseconds > limits_us[limit])
		limit++;
	one->took[limit]++;
	one->took_us += (uint64_t) microseconds;
}

/* ---- the page ---- */

void
ff_series_head(FfBuffer *out, const char *name, const char *type, const char *help)
{
	ff_buffer_format(out, "# HELP flowforge_%s %s\n# TYPE flowforge_%s %s\n", name, help, name,
					 type);
}

/* The labels of a series, without braces, escaped: a backslash or a quote in a pattern ends none.
 */
static void
add_labels(FfBuffer *out, const Series *one)
{
	ff_buffer_format(out, "method=\"%s\",route=\"", one->method);
	for (const char *at = one->pattern; *at != '\0'; at++)
	{
		if (*at == '"' || *at == '\\')
			ff_buffer_text(out, "\\");
		ff_buffer_add(out, at, 1);
	}
	ff_buffer_text(out, "\"");
}

static uint64_t
answers_of(const Series *one)
{
	uint64_t sum = 0;

	for (int at = 0; at < CLASSES; at++)
		sum += one->answers[at];
	return sum;
}

static void
add_requests(FfBuffer *out)
{
	ff_series_head(out, "http_requests_total", "counter",
				   "Requests answered, by route and class of status.");
	for (int which = 0; which < series_count; which++)
	{
		for (int at = 1; at < CLASSES; at++)
		{
			if (series[which].answers[at] == 0)
				continue;
			ff_buffer_text(out, "flowforge_http_requests_total{");
			add_labels(out, &series[which]);
			ff_buffer_format(out, ",status=\"%dxx\"} %llu\n", at,
							 (unsigned long long) series[which].answers[at]);
		}
	}
}

static void
add_histogram(FfBuffer *out, const Series *one)
{
	static const char name[] = "flowforge_http_request_duration_seconds";
	uint64_t		  sum = 0;

	for (int at = 0; at <= LIMITS; at++)
	{
		sum += one->took[at];
		ff_buffer_format(out, "%s_bucket{", name);
		add_labels(out, one);
		if (at < LIMITS)
			ff_buffer_format(out, ",le=\"%g\"} %llu\n", (double) limits_us[at] / 1e6,
							 (unsigned long long) sum);
		else
			ff_buffer_format(out, ",le=\"+Inf\"} %llu\n", (unsigned long long) sum);
	}
	ff_buffer_format(out, "%s_sum{", name);
	add_labels(out, one);
	ff_buffer_format(out, "} %.6f\n%s_count{", (double) one->took_us / 1e6, name);
	add_labels(out, one);
	ff_buffer_format(out, "} %llu\n", (unsigned long long) sum);
}

static void
add_durations(FfBuffer *out)
{
	ff_series_head(out, "http_request_duration_seconds", "histogram",
				   "From the first byte of a request to its answer, by route.");
	for (int which = 0; which < series_count; which++)
	{
		if (answers_of(&series[which]) > 0)
			add_histogram(out, &series[which]);
	}
}

void
ff_series_write(FfBuffer *out)
{
	add_requests(out);
	add_durations(out);
}
