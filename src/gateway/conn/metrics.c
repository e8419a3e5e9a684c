/*
 * Counters and their page. A series is made when its route is first heard of and never freed; there
 * are as many as routes have ever been, up to a bound, beyond which they count together.
 */
#define _GNU_SOURCE
#include "conn/metrics.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "cli/cli.h"
#include "conn/conn.h"
#include "database/pg.h"

#define MOST_SERIES 512
#define KEPT_MS 1000
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
static int		series_count = FF_SERIES_FIRST_ROUTE;
static uint64_t received;
static uint64_t sent;

/* What the database told last. */
static struct
{
	FfMetricsKey key;
	int64_t		 at; /* 0: never */
	char		*text;
	size_t		 length;
} kept;

int
ff_metrics_series(const char *method, const char *pattern)
{
	for (int at = FF_SERIES_FIRST_ROUTE; at < series_count; at++)
	{
		if (strcmp(series[at].method, method) == 0 && strcmp(series[at].pattern, pattern) == 0)
			return at;
	}
	if (series_count == MOST_SERIES)
		return FF_SERIES_OTHER;
	series[series_count].method = ff_text("%s", method);
	series[series_count].pattern = ff_text("%s", pattern);
	return series_count++;
}

void
ff_metrics_answered(int which, int status, int64_t microseconds)
{
	Series *one = &series[which];
	int		limit = 0;

	one->answers[status >= 100 && status < 600 ? status / 100 : 0]++;
	while (limit < LIMITS && microseconds > limits_us[limit])
		limit++;
	one->took[limit]++;
	one->took_us += (uint64_t) microseconds;
}

void
ff_metrics_received(size_t length)
{
	received += length;
}

void
ff_metrics_sent(size_t length)
{
	sent += length;
}

/* ---- the page ---- */

static void
head(FfBuffer *out, const char *name, const char *type, const char *help)
{
	ff_buffer_format(out, "# HELP flowforge_%s %s\n# TYPE flowforge_%s %s\n", name, help, name,
					 type);
}

/* One figure without labels. */
static void
add_figure(FfBuffer *out, const char *name, const char *type, const char *help, uint64_t value)
{
	head(out, name, type, help);
	ff_buffer_format(out, "flowforge_%s %llu\n", name, (unsigned long long) value);
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
	head(out, "http_requests_total", "counter", "Requests answered, by route and class of status.");
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
	head(out, "http_request_duration_seconds", "histogram",
		 "From the first byte of a request to its answer, by route.");
	for (int which = 0; which < series_count; which++)
	{
		if (answers_of(&series[which]) > 0)
			add_histogram(out, &series[which]);
	}
}

static void
add_lanes(FfBuffer *out)
{
	static const char *const names[FF_LANE_COUNT] = {
		[FF_LANE_INGEST] = "ingest",
		[FF_LANE_CALL] = "call",
	};
	FfLaneFigures lanes[FF_LANE_COUNT];

	for (int at = 0; at < FF_LANE_COUNT; at++)
		ff_pg_figures((FfLane) at, &lanes[at]);
	head(out, "gateway_lane_connections", "gauge", "Connections to the database, by lane.");
	for (int at = 0; at < FF_LANE_COUNT; at++)
		ff_buffer_format(out,
						 "flowforge_gateway_lane_connections{lane=\"%s\",state=\"idle\"} %d\n"
						 "flowforge_gateway_lane_connections{lane=\"%s\",state=\"busy\"} %d\n",
						 names[at], lanes[at].idle, names[at], lanes[at].busy);
	head(out, "gateway_lane_queued", "gauge", "Requests that wait for a connection, by lane.");
	for (int at = 0; at < FF_LANE_COUNT; at++)
		ff_buffer_format(out, "flowforge_gateway_lane_queued{lane=\"%s\"} %d\n", names[at],
						 lanes[at].queued);
	head(out, "gateway_lane_transactions_total", "counter",
		 "Transactions sent to the database, by lane.");
	for (int at = 0; at < FF_LANE_COUNT; at++)
		ff_buffer_format(out, "flowforge_gateway_lane_transactions_total{lane=\"%s\"} %llu\n",
						 names[at], (unsigned long long) lanes[at].transactions);
	head(out, "gateway_lane_calls_total", "counter",
		 "Requests sent in these transactions, by lane.");
	for (int at = 0; at < FF_LANE_COUNT; at++)
		ff_buffer_format(out, "flowforge_gateway_lane_calls_total{lane=\"%s\"} %llu\n", names[at],
						 (unsigned long long) lanes[at].calls);
}

void
ff_metrics_write(FfBuffer *out, bool is_up)
{
	FfConnFigures conns;

	ff_conn_figures(&conns);
	head(out, "gateway_info", "gauge", "The gateway that answers.");
	ff_buffer_text(out, "flowforge_gateway_info{version=\"" FF_VERSION "\"} 1\n");
	add_figure(out, "up", "gauge", "Whether the database answers.", is_up);
	add_figure(out, "http_connections", "gauge", "Open connections of clients.",
			   (uint64_t) conns.open);
	add_figure(out, "http_streams", "gauge", "Connections that follow a run.",
			   (uint64_t) conns.streams);
	add_figure(out, "http_connections_total", "counter", "Connections accepted.", conns.accepted);
	add_figure(out, "http_received_bytes_total", "counter", "Bytes read from clients.", received);
	add_figure(out, "http_sent_bytes_total", "counter", "Bytes written to clients.", sent);
	add_lanes(out);
	add_requests(out);
	add_durations(out);
}

/* ---- what the database tells ---- */

void
ff_metrics_key(FfMetricsKey *key, const FfHttpHead *request)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
		abort();
	for (int at = 0; at < request->header_count; at++)
	{
		const FfHttpHeader *header = &request->header[at];

		if (strcmp(header->name, "authorization") != 0 &&
			strcmp(header->name, "x-flowforge-api-key") != 0)
			continue;
		/* With their NULs: one header's end is not another one's beginning. */
		EVP_DigestUpdate(context, header->name, strlen(header->name) + 1);
		EVP_DigestUpdate(context, header->value, strlen(header->value) + 1);
	}
	EVP_DigestFinal_ex(context, key->digest, NULL);
	EVP_MD_CTX_free(context);
}

void
ff_metrics_keep(const FfMetricsKey *key, const char *text, size_t length)
{
	free(kept.text);
	kept.text = ff_alloc(length + 1);
	memcpy(kept.text, text, length);
	kept.length = length;
	kept.key = *key;
	kept.at = ff_log_clock();
}

bool
ff_metrics_page(FfBuffer *out, const FfMetricsKey *key, bool is_away)
{
	if (kept.at == 0 || memcmp(&kept.key, key, sizeof(*key)) != 0)
		return false;
	if (!is_away && ff_log_clock() - kept.at > KEPT_MS)
		return false;
	ff_metrics_write(out, !is_away);
	if (!is_away)
		ff_buffer_add(out, kept.text, kept.length);
	return true;
}
