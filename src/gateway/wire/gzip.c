/*
 * Compression of answers with zlib, at the level that costs least: most of the saving comes with
 * it, and meanwhile nobody else is served.
 */
#define _GNU_SOURCE
#include "wire/gzip.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define LEVEL 1
#define WINDOW_BITS (15 + 16) /* with the frame of gzip */

/* The weight that an item of the list gives (RFC 9110 section 12.4.2): 1 without one. */
static bool
is_refused(const char *parameters, size_t length)
{
	const char *weight = memmem(parameters, length, "q=", 2);

	if (weight == NULL)
		weight = memmem(parameters, length, "Q=", 2);
	return weight != NULL && strtod(weight + 2, NULL) <= 0;
}

bool
ff_gzip_accepted(const char *list)
{
	bool any = false;

	while (list != NULL && *list != '\0')
	{
		size_t item, name;

		list += strspn(list, " \t,");
		item = strcspn(list, ",");
		name = strcspn(list, " \t;,");
		if ((name == 4 && strncasecmp(list, "gzip", 4) == 0) ||
			(name == 6 && strncasecmp(list, "x-gzip", 6) == 0))
			return !is_refused(list + name, item - name);
		if (name == 1 && *list == '*')
			any = !is_refused(list + name, item - name);
		list += item;
	}
	return any;
}

bool
ff_gzip_suits(const char *type)
{
	size_t length = strcspn(type, "; \t\r\n");
	size_t at;

	if (length >= 5 && strncasecmp(type, "text/", 5) == 0)
		return strncasecmp(type, "text/event-stream", length) != 0;
	if (length == 13 && strncasecmp(type, "image/svg+xml", length) == 0)
		return true;
	if (length < 12 || strncasecmp(type, "application/", 12) != 0)
		return false;
	for (at = 12; at + 3 < length; at++)
	{
		if (strncasecmp(type + at, "json", 4) == 0)
			return true;
	}
	return (length == 15 && strncasecmp(type, "application/xml", 15) == 0) ||
		   (length == 16 && strncasecmp(type, "application/wasm", 16) == 0);
}

bool
ff_gzip(const char *bytes, size_t length, FfBuffer *out)
{
	z_stream stream = {0};
	uLong	 bound;
	int		 result;

	if (length > INT_MAX ||
		deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	bound = deflateBound(&stream, (uLong) length);
	stream.next_in = (Bytef *) bytes;
	stream.avail_in = (uInt) length;
	stream.next_out = (Bytef *) ff_buffer_room(out, bound);
	stream.avail_out = (uInt) bound;
	result = deflate(&stream, Z_FINISH);
	deflateEnd(&stream);
	if (result != Z_STREAM_END)
		return false;
	out->end += bound - stream.avail_out;
	return true;
}
