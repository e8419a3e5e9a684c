/*
 * url.c - see url.h.
 */
#include "postgres.h"

#include "util/url.h"

void
ff_url_put(StringInfo out, const char *text, int length, bool slashes)
{
	static const char plain[] =
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.~";

	for (int i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (strchr(plain, c) != NULL || (c == '/' && slashes))
			appendStringInfoChar(out, (char) c);
		else
			appendStringInfo(out, "%%%02X", c);
	}
}
