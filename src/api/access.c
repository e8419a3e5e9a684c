/*
 * access.c - see access.h.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "api/access.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/sign.h"

/* A setting that is text; "" when it is not set. */
static const char *
setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value != NULL ? value : "";
}

const char *
ff_server_kind(void)
{
	return setting("flowforge.signing_key")[0] == '\0' ? "dev" : "cloud";
}

static const char *
param(const FfMatch *match, const char *name)
{
	for (int i = 0; i < match->params.count; i++)
	{
		if (strcmp(match->params.names[i], name) == 0)
			return match->params.values[i];
	}
	return "";
}

/* Every key is compared, so that the time tells nothing. */
static bool
is_event_key(const char *given)
{
	char *rest = pstrdup(setting("flowforge.event_keys"));
	char *key;
	bool  found = false;

	while ((key = strsep(&rest, ",")) != NULL)
	{
		key += strspn(key, " ");
		key[strcspn(key, " ")] = '\0';
		found |= key[0] != '\0' && ff_equal_constant_time(key, given);
	}
	return found;
}

/* The SDK for Python leaves the prefix of the key out, the others send it before the hash. */
static bool
is_hash_of(const char *key, const char *given)
{
	char *hash = key[0] != '\0' ? ff_key_hash(key) : NULL;
	bool  whole;

	if (hash == NULL)
		return false;
	whole = ff_equal_constant_time(hash, given);
	return ff_equal_constant_time(ff_key_hash(ff_key_secret(key)), given) || whole;
}

/* The token of "Authorization: Bearer TOKEN", or "". */
static const char *
bearer(Jsonb *headers)
{
	const char *value = ff_json_text(headers, "authorization");

	if (value == NULL || pg_strncasecmp(value, "bearer ", 7) != 0)
		return "";
	return value + 7 + strspn(value + 7, " ");
}

static void
check_event_key(const FfMatch *match)
{
	if (is_event_key(param(match, "key")))
		return;
	ereport(ERROR,
			(errcode(FF_ERR_UNAUTHORIZED), errmsg("the event key is not known here"),
			 errhint("Use one of the keys in flowforge.event_keys as the last part of the path"
					 " (INNGEST_EVENT_KEY).")));
}

static void
check_bearer(Jsonb *headers)
{
	const char *token = bearer(headers);
	bool		current = is_hash_of(setting("flowforge.signing_key"), token);
	bool		fallback = is_hash_of(setting("flowforge.signing_key_fallback"), token);

	if (current || fallback)
		return;
	ereport(ERROR, (errcode(FF_ERR_UNAUTHORIZED),
					token[0] == '\0' ? errmsg("this needs a bearer token")
									 : errmsg("the bearer token is not valid here"),
					errhint("Send \"Authorization: Bearer\" with the hash of flowforge.signing_key,"
							" as SDKs with INNGEST_SIGNING_KEY do.")));
}

void
ff_access_check(const FfMatch *match, Jsonb *headers)
{
	if (match->scope == FF_SCOPE_PUBLIC || strcmp(ff_server_kind(), "dev") == 0)
		return;
	if (match->scope == FF_SCOPE_EVENT_KEY)
		check_event_key(match);
	else
		check_bearer(headers);
}

void
ff_access_check_kind(Jsonb *headers)
{
	const char *expected = ff_json_text(headers, "x-inngest-expected-server-kind");

	if (expected == NULL || expected[0] == '\0' || strcmp(expected, ff_server_kind()) == 0)
		return;
	ereport(ERROR, (errcode(FF_ERR_SERVER_KIND),
					errmsg("Expected server kind %.20s, got %s", expected, ff_server_kind())));
}
