/*
 * Which lane a request takes, with which headers, and what it counts for. The table is a copy of
 * flowforge.route; when it is old or empty requests take the call lane, and while it is empty all
 * headers, which is never wrong, only slower.
 */
#ifndef FF_ROUTE_H
#define FF_ROUTE_H

#include <stdbool.h>

#include "database/pg.h"

typedef struct FfRoute
{
	FfLane lane;
	bool   all_headers; /* it is to be told all headers, not only those the API knows */
	int	   series;		/* what it counts for: see base/series.h */
} FfRoute;

/* Empties the table; then one call per route: of two that match the same path the first counts.
 * Segments in braces match any one segment. */
extern void ff_route_clear(void);
extern void ff_route_add(const char *method, const char *pattern, const char *lane,
						 const char *headers);

/* HEAD counts as GET. */
extern FfRoute ff_route_find(const char *method, const char *path);

#endif
