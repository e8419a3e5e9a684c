/*
 * route.h - the routes of the HTTP API as a backend remembers them.
 *
 * They are the rows of flowforge.route, read when first needed and again after any change (the
 * table's trigger sends a relcache invalidation).
 */
#ifndef FF_ROUTE_H
#define FF_ROUTE_H

#include "postgres.h"

#include "api/url.h"

typedef enum FfScope
{
	FF_SCOPE_PUBLIC,	/* anybody */
	FF_SCOPE_EVENT_KEY, /* whoever names an event key in the path, or may send events */
	FF_SCOPE_USER,		/* whoever is signed in */
	FF_SCOPE_NAMED		/* whoever has the scope of this name */
} FfScope;

typedef enum FfStyle
{
	FF_STYLE_PROBLEM, /* application/problem+json, RFC 9457 */
	FF_STYLE_SDK,	  /* {"error", "status"} */
	FF_STYLE_EVENT,	  /* {"ids": [], "status", "error"} */
	FF_STYLE_PAGE	  /* HTML to those who accept it, else as FF_STYLE_PROBLEM; takes forms */
} FfStyle;

/* How a request's path and method meet the routes. A copy: it outlives changes of the routes. */
typedef struct FfMatch
{
	bool	path_known;	  /* a route has this path */
	bool	method_known; /* and this method; what follows is then set */
	Oid		handler;	  /* function(request) returns response; invalid when missing */
	Oid		request_type;
	FfScope scope;
	char   *scope_name;
	FfStyle style; /* set when path_known */
	bool	needs_body;
	bool	raw_body; /* the body is not read as JSON: its schema names a contentMediaType */
	char   *pattern;
	FfPairs params; /* what the path has in place of {name}s */
	char   *allow;	/* the methods of the path, comma separated; when path_known */
} FfMatch;

/* Finds the route of a request; path holds the decoded segments. */
extern void ff_route_match(const char *method, const FfSegments *path, FfMatch *match);

#endif
