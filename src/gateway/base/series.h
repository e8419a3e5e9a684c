/*
 * How many requests were answered, and how fast, by what they count for.
 *
 * A request counts for its route's pattern, never for its path: a series for each run would be
 * without end.
 */
#ifndef FF_SERIES_H
#define FF_SERIES_H

#include <stdint.h>

#include "base/buffer.h"

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
extern int ff_series_of(const char *method, const char *pattern);

/* An answered request. */
extern void ff_series_answered(int series, int status, int64_t microseconds);

/* Adds the head of a family of figures: what Prometheus is told of it before its samples. */
extern void ff_series_head(FfBuffer *out, const char *name, const char *type, const char *help);

/* Adds what was counted. */
extern void ff_series_write(FfBuffer *out);

#endif
