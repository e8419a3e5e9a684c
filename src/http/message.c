/*
 * message.c - what HTTP messages are made of (see message.h).
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "http/message.h"
#include "util/redact.h"

bool
ff_http_is_value(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < 0x20 && *text != '\t')
			return false;
	}
	return true;
}

bool
ff_http_is_token(const char *text)
{
	return *text != '\0' && strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
										 "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(text);
}

char *
ff_http_text(const char *bytes, int length)
{
	StringInfoData out;
	int			   at = 0;

	initStringInfo(&out);
	while (at < length)
	{
		int size = pg_utf_mblen((const unsigned char *) bytes + at);

		if (bytes[at] != '\0' && at + size <= length &&
			pg_utf8_islegal((const unsigned char *) bytes + at, size))
		{
			appendBinaryStringInfo(&out, bytes + at, size);
			at += size;
		}
		else
		{
			appendStringInfoString(&out, "\xef\xbf\xbd");
			at++;
		}
	}
	return out.data;
}

void
ff_http_put_headers(FfJsonBuilder *builder, const FfHttpCall *call, List *secrets)
{
	char *lines = ff_http_text(call->all_headers.data, call->all_headers.len);
	char *line;

	ff_jb_object(builder);
	while ((line = strsep(&lines, "\n")) != NULL)
	{
		char  *colon = strchr(line, ':');
		size_t end = strlen(line);

		if (colon == NULL)
			continue;
		while (end > 0 && strchr("\r \t", line[end - 1]) != NULL)
			line[--end] = '\0';
		*colon = '\0';
		for (char *c = line; c < colon; c++)
			*c = (char) pg_ascii_tolower((unsigned char) *c);
		/* The body is handed on unpacked. */
		if (strcmp(line, "content-encoding") == 0 || strcmp(line, "content-length") == 0 ||
			strcmp(line, "transfer-encoding") == 0)
			continue;
		ff_jb_key(builder, line);
		ff_jb_text(builder, ff_redact_text(colon + 1 + strspn(colon + 1, " \t"), secrets));
	}
	ff_jb_end(builder);
}
