/*
 * redact.c - see redact.h.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/json.h"

#include "util/json.h"
#include "util/redact.h"

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

/* --- cleaning by value --- */

static void
remember_once(List **secrets, const char *text)
{
	ListCell *cell;

	foreach (cell, *secrets)
	{
		if (strcmp(lfirst(cell), text) == 0)
			return;
	}
	*secrets = lappend(*secrets, pstrdup(text));
}

static char *
in_url(const char *text, const char *format)
{
	StringInfoData out;

	initStringInfo(&out);
	for (; *text != '\0'; text++)
	{
		if (isalnum((unsigned char) *text) || strchr("-._~", *text) != NULL)
			appendStringInfoChar(&out, *text);
		else
			appendStringInfo(&out, format, (unsigned char) *text);
	}
	return out.data;
}

void
ff_redact_add(List **secrets, const char *secret)
{
	StringInfoData json;

	initStringInfo(&json);
	escape_json(&json, secret);
	json.data[json.len - 1] = '\0';
	remember_once(secrets, secret);
	remember_once(secrets, json.data + 1);
	remember_once(secrets, in_url(secret, "%%%02X"));
	remember_once(secrets, in_url(secret, "%%%02x"));
}

/* A secret may be a part of another: the longer one is taken first. */
static int
longer_first(const ListCell *a, const ListCell *b)
{
	size_t left = strlen(lfirst(a));
	size_t right = strlen(lfirst(b));

	return left > right ? -1 : left < right;
}

static char *
replace(const char *bytes, int *length, const char *secret, int size)
{
	const char	  *end = bytes + *length;
	const char	  *found;
	StringInfoData out;

	initStringInfo(&out);
	while ((found = memmem(bytes, end - bytes, secret, size)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		appendBinaryStringInfo(&out, bytes, (int) (found - bytes));
		appendStringInfoString(&out, FF_REDACTED);
		bytes = found + size;
	}
	appendBinaryStringInfo(&out, bytes, (int) (end - bytes));
	*length = out.len;
	return out.data;
}

char *
ff_redact_bytes(const char *bytes, int *length, List *secrets)
{
	List	 *sorted = list_copy(secrets);
	char	 *clean = palloc(*length + 1);
	ListCell *cell;

	memcpy(clean, bytes, *length);
	clean[*length] = '\0';
	list_sort(sorted, longer_first);
	foreach (cell, sorted)
	{
		const char *secret = lfirst(cell);
		int			size = (int) strlen(secret);

		if (size >= FF_MIN_SECRET_BYTES && memmem(clean, *length, secret, size) != NULL)
			clean = replace(clean, length, secret, size);
	}
	list_free(sorted);
	return clean;
}

char *
ff_redact_text(const char *text, List *secrets)
{
	int length = (int) strlen(text);

	return ff_redact_bytes(text, &length, secrets);
}

static char *
clean_text(const char *text, int *length, void *secrets)
{
	return ff_redact_bytes(text, length, secrets);
}

Jsonb *
ff_redact_json(Jsonb *document, List *secrets)
{
	return secrets == NIL ? document : ff_json_map(document, clean_text, secrets, true);
}
