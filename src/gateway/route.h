/*
 * Which lane a request takes. The table is a copy of flowforge.route; when it is old or empty
 * requests take the call lane, which is never wrong, only slower.
 */
#ifndef FF_ROUTE_H
#define FF_ROUTE_H

#include "pg.h"

/* Empties the table; then one call per route. Segments in braces match any one segment. */
extern void ff_route_clear(void);
extern void ff_route_add(const char *method, const char *pattern, const char *lane);

/* HEAD counts as GET. */
extern FfLane ff_route_lane(const char *method, const char *path);

#endif
