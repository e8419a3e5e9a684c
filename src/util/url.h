/*
 * url.h - writing URLs.
 */
#ifndef FF_UTIL_URL_H
#define FF_UTIL_URL_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* Text as part of a path, percent-encoded (RFC 3986, in capitals); slashes stay if they are to
 * separate segments. */
extern void ff_url_put(StringInfo out, const char *text, int length, bool slashes);

#endif
