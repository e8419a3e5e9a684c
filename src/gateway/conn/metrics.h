/*
 * What the gateway has done and is doing, in the text format of Prometheus.
 *
 * A request counts for its route's pattern, never for its path: a series for each run would be
 * without end.
 */
#ifndef FF_METRICS_H
#define FF_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "wire/http.h"

/* What a request counts for. Routes have numbers after these. */
typedef enum FfSeries
{
	FF_SERIES_OTHER,	 /* no route, or one not known yet */
	FF_SERIES_REFUSED,	 /* what was no request, or too slow or too much to be one */
	FF_SERIES_STATIC,	 /* files */
	FF_SERIES_PREFLIGHT, /* a browser's question whether it may */
	FF_SERIES_FIRST_ROUTE
} FfSeries;

/* The number of a route, the same whenever it is asked for: counts survive a new table of routes.
 */
extern int ff_metrics_series(const char *method, const char *pattern);

/* An answered request. */
extern void ff_metrics_answered(int series, int status, int64_t microseconds);

/* Bytes from and to clients. */
extern void ff_metrics_received(size_t length);
extern void ff_metrics_sent(size_t length);

/* Adds everything the gateway knows. `is_up`: the database answers. */
extern void ff_metrics_write(FfBuffer *out, bool is_up);

/*
 * GET /metrics is a route of the database like others, whose answer is put behind what the gateway
 * knows. It is kept for a second, for whoever comes with the same credentials.
 */
#define FF_METRICS_PATH "/metrics"

/* What stands for the credentials of a request. */
typedef struct FfMetricsKey
{
	unsigned char digest[32];
} FfMetricsKey;

extern void ff_metrics_key(FfMetricsKey *key, const FfHttpHead *head);

/* Keeps what the database has told to this key. */
extern void ff_metrics_keep(const FfMetricsKey *key, const char *text, size_t length);

/* Adds the whole page: from what was kept, if it is still fresh; or, when the database is away,
 * what the gateway alone knows, for who was let in before. False: it is to be asked. */
extern bool ff_metrics_page(FfBuffer *out, const FfMetricsKey *key, bool is_away);

#endif
