/*
 * Which lane a request takes, and with which headers. The table is a copy of flowforge.route; when
 * it is old or empty requests take the call lane, and while it is empty all headers, which is never
 * wrong, only slower.
 */
#ifndef FF_ROUTE_H
#define FF_ROUTE_H

#include <stdbool.h>

#include "pg.h"

/* Empties the table; then one call per route. Segments in braces match any one segment. */
extern void ff_route_clear(void);
extern void ff_route_add(const char *method, const char *pattern, const char *lane,
						 const char *headers);

/* HEAD counts as GET. */
extern FfLane ff_route_lane(const char *method, const char *path);

/* Whether a route is to be told all headers, not only those the API knows. */
extern bool ff_route_takes_all_headers(const char *method, const char *path);

#endif
