/*
 * Which lane a request takes, with which headers, and what it counts for. There are about a hundred
 * routes: they are searched in order, those of the ingest lane first.
 */
#define _GNU_SOURCE
#include "database/route.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/series.h"

#define MOST_ROUTES 400

typedef struct Route
{
	char	method[16];
	char	pattern[204];
	FfRoute is;
} Route;

static Route routes[MOST_ROUTES];
static int	 route_count;

void
ff_route_clear(void)
{
	route_count = 0;
}

void
ff_route_add(const char *method, const char *pattern, const char *lane, const char *headers)
{
	Route *route = &routes[route_count];

	if (route_count == MOST_ROUTES || strlen(method) >= sizeof(route->method) ||
		strlen(pattern) >= sizeof(route->pattern))
		return;
	strcpy(route->method, method);
	strcpy(route->pattern, pattern);
	route->is.lane = strcmp(lane, "ingest") == 0 ? FF_LANE_INGEST : FF_LANE_CALL;
	route->is.all_headers = route->is.lane == FF_LANE_INGEST && strcmp(headers, "all") == 0;
	route->is.series = ff_series_of(method, pattern);
	route_count++;
}

/* Segment by segment. */
static bool
matches(const char *pattern, const char *path)
{
	while (*pattern == '/' && *path == '/')
	{
		size_t wanted = strcspn(++pattern, "/");
		size_t given = strcspn(++path, "/");
		bool   is_any = wanted > 1 && pattern[0] == '{' && pattern[wanted - 1] == '}' && given > 0;

		if (!is_any && (wanted != given || memcmp(pattern, path, wanted) != 0))
			return false;
		pattern += wanted;
		path += given;
	}
	return *pattern == '\0' && *path == '\0';
}

FfRoute
ff_route_find(const char *method, const char *path)
{
	if (strcmp(method, "HEAD") == 0)
		method = "GET";
	for (int at = 0; at < route_count; at++)
	{
		if (strcmp(routes[at].method, method) == 0 && matches(routes[at].pattern, path))
			return routes[at].is;
	}
	return (FfRoute){FF_LANE_CALL, route_count == 0, FF_SERIES_OTHER};
}
