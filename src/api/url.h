/*
 * url.h - taking paths and query strings apart (RFC 3986).
 */
#ifndef FF_URL_H
#define FF_URL_H

#include "postgres.h"

#include "utils/jsonb.h"

#define FF_MAX_SEGMENTS 16
#define FF_MAX_PAIRS 64 /* of a query string */

typedef struct FfSegments
{
	int	  count;
	char *texts[FF_MAX_SEGMENTS];
} FfSegments;

typedef struct FfPairs
{
	int	   count;
	int	   capacity;
	char **names;
	char **values;
} FfPairs;

/*
 * The segments of a path, percent-decoded one by one. False for a path that does not begin with /
 * or has more than FF_MAX_SEGMENTS; raises FF204 for a bad %XX, U+0000 or what is not UTF-8.
 */
extern bool ff_url_segments(const char *path, FfSegments *segments);

/*
 * The pairs of a query string (no '?'), in which + is a space. Raises FF204 as above and for more
 * than FF_MAX_PAIRS.
 */
extern void ff_url_query(const char *query, FfPairs *pairs);

/* The pairs of a form sent as application/x-www-form-urlencoded, at most `most`. Raises FF203. */
extern void ff_url_form(const char *text, int length, int most, FfPairs *pairs);

extern void ff_pairs_add(FfPairs *pairs, char *name, char *value);

/* As an object of texts; of a name that comes twice the last value counts. */
extern Jsonb *ff_url_json(const FfPairs *pairs);

#endif
