/*
 * redact.c - see redact.h.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "util/redact.h"

#define MIN_SECRET_BYTES 8 /* shorter ones would be found in innocent words */

static bool
contains_word(const char *name, int length, const char *word)
{
	int size = (int) strlen(word);

	for (int i = 0; i + size <= length; i++)
	{
		if (pg_strncasecmp(name + i, word, size) == 0)
			return true;
	}
	return false;
}

bool
ff_is_secret_name(const char *name, int length)
{
	static const char *const words[] = {"auth",		  "key",	   "token",
										"secret",	  "cookie",	   "password",
										"credential", "signature", "passphrase"};

	for (int i = 0; i < (int) lengthof(words); i++)
	{
		if (contains_word(name, length, words[i]))
			return true;
	}
	return false;
}

static void
remember(List **secrets, const char *text, int length)
{
	if (secrets != NULL && length > 0)
		*secrets = lappend(*secrets, pnstrdup(text, length));
}

/* "user:password@" after the scheme. Gives where the host begins. */
static const char *
skip_user(StringInfo out, const char *url, List **secrets)
{
	const char *host = strstr(url, "://");
	const char *at;
	const char *colon;

	if (host == NULL)
		return url;
	host += 3;
	appendBinaryStringInfo(out, url, (int) (host - url));
	at = host + strcspn(host, "@/?#");
	if (*at != '@')
		return host;
	colon = memchr(host, ':', at - host);
	remember(secrets, host, (int) (at - host));
	if (colon != NULL)
		remember(secrets, colon + 1, (int) (at - colon - 1));
	appendStringInfoString(out, FF_REDACTED "@");
	return at + 1;
}

static void
copy_parameter(StringInfo out, const char *text, int length, List **secrets)
{
	const char *equals = memchr(text, '=', length);
	int			name = equals ? (int) (equals - text) : length;

	if (equals == NULL || !ff_is_secret_name(text, name))
	{
		appendBinaryStringInfo(out, text, length);
		return;
	}
	appendBinaryStringInfo(out, text, name + 1);
	appendStringInfoString(out, FF_REDACTED);
	remember(secrets, equals + 1, length - name - 1);
}

char *
ff_redact_url(const char *url, List **secrets)
{
	StringInfoData out;
	const char	  *rest;
	int			   path;

	initStringInfo(&out);
	rest = skip_user(&out, url, secrets);
	path = (int) strcspn(rest, "?");
	appendBinaryStringInfo(&out, rest, path);
	rest += path;
	while (*rest != '\0')
	{
		int length;

		appendStringInfoChar(&out, *rest++); /* ? or & */
		length = (int) strcspn(rest, "&");
		copy_parameter(&out, rest, length, secrets);
		rest += length;
	}
	return out.data;
}

static char *
replace(const char *text, const char *secret)
{
	StringInfoData out;
	const char	  *found;

	initStringInfo(&out);
	while ((found = strstr(text, secret)) != NULL)
	{
		appendBinaryStringInfo(&out, text, (int) (found - text));
		appendStringInfoString(&out, FF_REDACTED);
		text = found + strlen(secret);
	}
	appendStringInfoString(&out, text);
	return out.data;
}

char *
ff_redact_text(const char *text, List *secrets)
{
	char	 *clean = pstrdup(text);
	ListCell *cell;

	foreach (cell, secrets)
	{
		const char *secret = lfirst(cell);

		if (strlen(secret) >= MIN_SECRET_BYTES && strstr(clean, secret) != NULL)
			clean = replace(clean, secret);
	}
	return clean;
}
