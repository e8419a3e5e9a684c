/*
 * url.c - see url.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "api/url.h"
#include "util/errors.h"
#include "util/json.h"

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static void
refuse(const char *problem, const char *text, int length)
{
	ereport(ERROR, (errcode(FF_ERR_BAD_PARAMETER), errmsg("the request's URL %s", problem),
					errdetail("It is in \"%.*s\".", pg_mbcliplen(text, length, 200), text),
					errhint("Percent-encode UTF-8 text.")));
}

/* The byte that the two digits at `text` mean, or -1. */
static int
hex_byte(const char *text, const char *end)
{
	int high = end - text >= 2 ? hex_value(text[0]) : -1;
	int low = end - text >= 2 ? hex_value(text[1]) : -1;

	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* A copy of a part of a URL without its percent-encoding. */
static char *
decode(const char *text, int length, bool plus_is_space)
{
	const char *end = text + length;
	char	   *decoded = palloc(length + 1);
	int			size = 0;

	for (const char *at = text; at < end; at++)
	{
		int byte = *at;

		if (byte == '+' && plus_is_space)
			byte = ' ';
		else if (byte == '%')
		{
			byte = hex_byte(at + 1, end);
			if (byte < 0)
				refuse("has a % without two hexadecimal digits", text, length);
			at += 2;
		}
		decoded[size++] = (char) byte;
	}
	decoded[size] = '\0';
	if (strlen(decoded) < (size_t) size)
		refuse("has the character U+0000", text, length);
	if (!pg_verify_mbstr(PG_UTF8, decoded, size, true))
		refuse("is not UTF-8", text, length);
	return decoded;
}

bool
ff_url_segments(const char *path, FfSegments *segments)
{
	segments->count = 0;
	if (path[0] != '/')
		return false;
	do
	{
		const char *start = path + 1;
		size_t		length = strcspn(start, "/");

		if (segments->count == FF_MAX_SEGMENTS)
			return false;
		segments->texts[segments->count++] = decode(start, (int) length, false);
		path = start + length;
	} while (path[0] == '/');
	return true;
}

void
ff_url_query(const char *query, FfPairs *pairs)
{
	pairs->count = 0;
	while (query[0] != '\0')
	{
		size_t		length = strcspn(query, "&");
		const char *equals = memchr(query, '=', length);
		size_t		name = equals != NULL ? (size_t) (equals - query) : length;

		if (pairs->count == FF_MAX_PAIRS)
			refuse("has too many parameters", query, (int) strlen(query));
		if (length > 0)
		{
			size_t value = equals != NULL ? name + 1 : length;

			pairs->names[pairs->count] = decode(query, (int) name, true);
			pairs->values[pairs->count++] = decode(query + value, (int) (length - value), true);
		}
		query += length;
		query += query[0] == '&';
	}
}

Jsonb *
ff_url_json(const FfPairs *pairs)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	for (int i = 0; i < pairs->count; i++)
	{
		ff_jb_key(&builder, pairs->names[i]);
		ff_jb_text(&builder, pairs->values[i]);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}
