/*
 * Which lane a request takes, and with which headers. Only the routes of the ingest lane are kept:
 * there are a handful, so they are searched in order.
 */
#define _GNU_SOURCE
#include "route.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MOST_ROUTES 64

typedef struct Route
{
	char method[16];
	char pattern[204];
	bool all_headers;
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

	if (strcmp(lane, "ingest") != 0 || route_count == MOST_ROUTES ||
		strlen(method) >= sizeof(route->method) || strlen(pattern) >= sizeof(route->pattern))
		return;
	strcpy(route->method, method);
	strcpy(route->pattern, pattern);
	route->all_headers = strcmp(headers, "all") == 0;
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

static const Route *
find(const char *method, const char *path)
{
	if (strcmp(method, "HEAD") == 0)
		method = "GET";
	for (int at = 0; at < route_count; at++)
	{
		if (strcmp(routes[at].method, method) == 0 && matches(routes[at].pattern, path))
			return &routes[at];
	}
	return NULL;
}

FfLane
ff_route_lane(const char *method, const char *path)
{
	return find(method, path) != NULL ? FF_LANE_INGEST : FF_LANE_CALL;
}

bool
ff_route_takes_all_headers(const char *method, const char *path)
{
	const Route *route = find(method, path);

	return route_count == 0 || (route != NULL && route->all_headers);
}
