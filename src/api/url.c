/*
 * url.c - see url.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

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

/* What text is taken apart: its name in errors, and their code. */
typedef struct Source
{
	const char *name;
	int			sqlstate;
} Source;

static const Source url_source = {"the request's URL", FF_ERR_BAD_PARAMETER};
static const Source form_source = {"the form", FF_ERR_BAD_JSON};

static void
refuse(const Source *source, const char *problem, const char *text, int length)
{
	ereport(ERROR, (errcode(source->sqlstate), errmsg("%s %s", source->name, problem),
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

/* A copy of a part of a URL or form without its percent-encoding. */
static char *
decode(const Source *source, const char *text, int length, bool plus_is_space)
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
				refuse(source, "has a % without two hexadecimal digits", text, length);
			at += 2;
		}
		decoded[size++] = (char) byte;
	}
	decoded[size] = '\0';
	if (strlen(decoded) < (size_t) size)
		refuse(source, "has the character U+0000", text, length);
	if (!pg_verify_mbstr(PG_UTF8, decoded, size, true))
		refuse(source, "is not UTF-8", text, length);
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
		segments->texts[segments->count++] = decode(&url_source, start, (int) length, false);
		path = start + length;
	} while (path[0] == '/');
	return true;
}

void
ff_pairs_add(FfPairs *pairs, char *name, char *value)
{
	if (pairs->count == pairs->capacity)
	{
		pairs->capacity = pairs->capacity * 2 + 8;
		pairs->names = pairs->names == NULL
						   ? palloc(sizeof(char *) * pairs->capacity)
						   : repalloc(pairs->names, sizeof(char *) * pairs->capacity);
		pairs->values = pairs->values == NULL
							? palloc(sizeof(char *) * pairs->capacity)
							: repalloc(pairs->values, sizeof(char *) * pairs->capacity);
	}
	pairs->names[pairs->count] = name;
	pairs->values[pairs->count++] = value;
}

static void
split_pairs(const Source *source, const char *text, int length, int most, FfPairs *pairs)
{
	const char *end = text + length;

	memset(pairs, 0, sizeof(*pairs));
	for (const char *at = text; at < end;)
	{
		const char *amp = memchr(at, '&', end - at);
		const char *stop = amp != NULL ? amp : end;
		const char *equals = memchr(at, '=', stop - at);
		const char *name_end = equals != NULL ? equals : stop;
		const char *value = equals != NULL ? equals + 1 : stop;

		CHECK_FOR_INTERRUPTS();
		if (pairs->count == most)
			refuse(source, "has too many parameters", text, length);
		if (stop > at)
			ff_pairs_add(pairs, decode(source, at, (int) (name_end - at), true),
						 decode(source, value, (int) (stop - value), true));
		at = stop + 1;
	}
}

void
ff_url_query(const char *query, FfPairs *pairs)
{
	split_pairs(&url_source, query, (int) strlen(query), FF_MAX_PAIRS, pairs);
}

void
ff_url_form(const char *text, int length, int most, FfPairs *pairs)
{
	split_pairs(&form_source, text, length, most, pairs);
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
