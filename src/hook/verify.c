/*
 * verify.c - the schemes of senders of webhooks (see verify.h).
 *
 *   standard  Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature (or svix-*);
 * "v1," and the HMAC of "id.timestamp.body" in base64, keyed with the base64 after whsec_ github
 * x-hub-signature-256: "sha256=" and the HMAC of the body in hex stripe    stripe-signature:
 * "t=...,v1=..." with the HMAC of "t.body" in hex hmac      a header of the hook's with the HMAC of
 * the body, in hex or base64, after "sha256=" or not header    a header of the hook's that is the
 * secret itself none      nobody proves anything
 *
 * Every HMAC is of SHA-256. Every secret and every signature offered is compared, whether or not
 * one has matched, so that the time tells nothing.
 */
#include "postgres.h"

#include "hook/verify.h"
#include "util/json.h"
#include "util/sign.h"
#include "util/webhook.h"

#define MAX_SIGNATURES 16 /* that are looked at in one header */

static char *
hex_of(const uint8 digest[FF_DIGEST])
{
	char *hex = palloc(2 * FF_DIGEST + 1);

	for (int i = 0; i < FF_DIGEST; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return hex;
}

static const char *
lower(const char *text)
{
	char *copy = pstrdup(text);

	for (char *at = copy; *at != '\0'; at++)
		*at = (char) pg_ascii_tolower((unsigned char) *at);
	return copy;
}

/* Whether a time in seconds since 1970 is near enough to now. */
static bool
is_recent(const FfHookCheck *check, const char *time)
{
	char *end;
	int64 t;

	errno = 0;
	t = strtoll(time, &end, 10);
	return errno == 0 && end != time && *end == '\0' && t >= check->now - check->tolerance &&
		   t <= check->now + check->tolerance;
}

static const char *
header_of(const FfHookCheck *check, const char *name)
{
	const char *value = ff_json_text(check->headers, name);

	return value != NULL ? value : "";
}

/* Splits a header's list of signatures; at most MAX_SIGNATURES. */
static int
split(const char *text, const char *separator, char **out)
{
	char *rest = pstrdup(text);
	char *part;
	int	  count = 0;

	while (count < MAX_SIGNATURES && (part = strsep(&rest, separator)) != NULL)
		out[count++] = part + strspn(part, " ");
	return count;
}

static const char *
check_standard(const FfHookCheck *check)
{
	bool		svix = *header_of(check, "webhook-id") == '\0';
	const char *id = header_of(check, svix ? "svix-id" : "webhook-id");
	const char *time = header_of(check, svix ? "svix-timestamp" : "webhook-timestamp");
	char	   *offered[MAX_SIGNATURES];
	int			count =
		split(header_of(check, svix ? "svix-signature" : "webhook-signature"), " ", offered);
	bool found = false;

	if (*id == '\0' || *time == '\0')
		return "the headers webhook-id, webhook-timestamp and webhook-signature are needed";
	if (!is_recent(check, time))
		return "webhook-timestamp is not near enough to the present time";
	for (int s = 0; s < check->secret_count; s++)
	{
		uint8 *key;
		int	   length;
		char  *right;

		if (!ff_webhook_key(check->secrets[s], &key, &length))
			continue;
		right = ff_webhook_sign(key, length, id, time, check->body, check->length);
		for (int i = 0; i < count; i++)
			found |=
				strncmp(offered[i], "v1,", 3) == 0 && ff_equal_constant_time(right, offered[i] + 3);
	}
	return found ? NULL
				 : "the signature in webhook-signature is not that of the secret and the body";
}

static const char *
check_stripe(const FfHookCheck *check)
{
	char	   *fields[MAX_SIGNATURES];
	int			count = split(header_of(check, "stripe-signature"), ",", fields);
	const char *time = NULL;
	bool		found = false;

	for (int i = 0; i < count && time == NULL; i++)
	{
		if (strncmp(fields[i], "t=", 2) == 0)
			time = fields[i] + 2;
	}
	if (time == NULL)
		return "the header stripe-signature is needed";
	if (!is_recent(check, time))
		return "the time in stripe-signature is not near enough to the present time";
	for (int s = 0; s < check->secret_count; s++)
	{
		FfBytes parts[3] = {{time, strlen(time)}, {".", 1}, {check->body, check->length}};
		uint8	digest[FF_DIGEST];

		ff_hmac(check->secrets[s], strlen(check->secrets[s]), parts, 3, digest);
		for (int i = 0; i < count; i++)
			found |= strncmp(fields[i], "v1=", 3) == 0 &&
					 ff_equal_constant_time(hex_of(digest), lower(fields[i] + 3));
	}
	return found ? NULL
				 : "the signature in stripe-signature is not that of the secret and the body";
}

static const char *
check_hmac(const FfHookCheck *check, const char *header)
{
	const char *given = header_of(check, header);
	FfBytes		body = {check->body, check->length};
	bool		found = false;

	if (*given == '\0')
		return psprintf("the header %s is needed", header);
	if (pg_strncasecmp(given, "sha256=", 7) == 0)
		given += 7;
	for (int s = 0; s < check->secret_count; s++)
	{
		uint8 digest[FF_DIGEST];

		ff_hmac(check->secrets[s], strlen(check->secrets[s]), &body, 1, digest);
		found |= ff_equal_constant_time(hex_of(digest), lower(given)) |
				 ff_equal_constant_time(ff_digest_base64(digest), given);
	}
	return found ? NULL
				 : psprintf("the signature in %s is not that of the secret and the body", header);
}

static const char *
check_header(const FfHookCheck *check)
{
	const char *given = header_of(check, check->header);
	bool		found = false;

	if (*given == '\0')
		return psprintf("the header %s is needed", check->header);
	for (int s = 0; s < check->secret_count; s++)
		found |= ff_equal_constant_time(check->secrets[s], given);
	return found ? NULL : psprintf("the header %s is not the secret", check->header);
}

const char *
ff_hook_problem(const FfHookCheck *check)
{
	if (strcmp(check->scheme, "standard") == 0)
		return check_standard(check);
	if (strcmp(check->scheme, "github") == 0)
		return check_hmac(check, "x-hub-signature-256");
	if (strcmp(check->scheme, "stripe") == 0)
		return check_stripe(check);
	if (strcmp(check->scheme, "hmac") == 0)
		return check_hmac(check, check->header);
	if (strcmp(check->scheme, "header") == 0)
		return check_header(check);
	return strcmp(check->scheme, "none") == 0 ? NULL : "its way of verification is not known";
}

const char *
ff_hook_secret_problem(const char *scheme, const char *secret)
{
	uint8 *key;
	int	   length;

	if (*secret == '\0')
		return "a secret is empty";
	if (strcmp(scheme, "standard") == 0 && !ff_webhook_key(secret, &key, &length))
		return "a secret of Standard Webhooks is whsec_ and base64";
	return NULL;
}
