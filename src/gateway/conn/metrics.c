/*
 * The page of figures (see metrics.h).
 */
#define _GNU_SOURCE
#include "conn/metrics.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/series.h"
#include "base/version.h"
#include "conn/conn.h"
#include "database/pg.h"

#define KEPT_MS 1000

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

/* One figure without labels. */
static void
add_figure(FfBuffer *out, const char *name, const char *type, const char *help, uint64_t value)
{
	ff_series_head(out, name, type, help);
	ff_buffer_format(out, "flowforge_%s %llu\n", name, (unsigned long long) value);
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
	ff_series_head(out, "gateway_lane_connections", "gauge",
				   "Connections to the database, by lane.");
	for (int at = 0; at < FF_LANE_COUNT; at++)
		ff_buffer_format(out,
						 "flowforge_gateway_lane_connections{lane=\"%s\",state=\"idle\"} %d\n"
						 "flowforge_gateway_lane_connections{lane=\"%s\",state=\"busy\"} %d\n",
						 names[at], lanes[at].idle, names[at], lanes[at].busy);
	ff_series_head(out, "gateway_lane_queued", "gauge",
				   "Requests that wait for a connection, by lane.");
	for (int at = 0; at < FF_LANE_COUNT; at++)
		ff_buffer_format(out, "flowforge_gateway_lane_queued{lane=\"%s\"} %d\n", names[at],
						 lanes[at].queued);
	ff_series_head(out, "gateway_lane_transactions_total", "counter",
				   "Transactions sent to the database, by lane.");
	for (int at = 0; at < FF_LANE_COUNT; at++)
		ff_buffer_format(out, "flowforge_gateway_lane_transactions_total{lane=\"%s\"} %llu\n",
						 names[at], (unsigned long long) lanes[at].transactions);
	ff_series_head(out, "gateway_lane_calls_total", "counter",
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
	ff_series_head(out, "gateway_info", "gauge", "The gateway that answers.");
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
	ff_series_write(out);
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
