/*
 * pass.c - passes (see pass.h).
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "team/known.h"
#include "team/pass.h"
#include "util/id.h"

/* --- writing --- */

void
ff_pass_write(const FfPrincipal *who, char pass[FF_PASS_SIZE])
{
	int64 expires = who->expires_at == DT_NOEND ? 0 : who->expires_at;

	pass[0] = '\0';
	if (who->credential[0] != '\0')
		snprintf(pass, FF_PASS_SIZE, INT64_FORMAT " %d %s", expires, who->tenant_id,
				 who->credential);
}

static void
write_digest(const char *kind, const uint8 digest[FF_DIGEST], char credential[FF_CREDENTIAL_SIZE])
{
	size_t length = strlcpy(credential, kind, FF_CREDENTIAL_SIZE);

	length += hex_encode((const char *) digest, FF_DIGEST, credential + length);
	credential[length] = '\0';
}

void
ff_pass_of_key(const uint8 digest[FF_DIGEST], char credential[FF_CREDENTIAL_SIZE])
{
	write_digest("key:", digest, credential);
}

void
ff_pass_of_app(const uint8 digest[FF_DIGEST], char credential[FF_CREDENTIAL_SIZE])
{
	write_digest("app:", digest, credential);
}

void
ff_pass_of_user(const pg_uuid_t *user_id, int32 version, char credential[FF_CREDENTIAL_SIZE])
{
	char ulid[FF_ULID_SIZE];

	ff_ulid_encode(user_id, ulid);
	snprintf(credential, FF_CREDENTIAL_SIZE, "user:%s:%d", ulid, version);
}

void
ff_pass_of_dev(char credential[FF_CREDENTIAL_SIZE])
{
	strlcpy(credential, "dev", FF_CREDENTIAL_SIZE);
}

/* --- reading --- */

static bool
read_digest(const char *hex, uint8 digest[FF_DIGEST])
{
	return strlen(hex) == 2 * FF_DIGEST && strspn(hex, "0123456789abcdef") == 2 * FF_DIGEST &&
		   hex_decode(hex, 2 * FF_DIGEST, (char *) digest) == FF_DIGEST;
}

static bool
read_user(const char *rest, FfPrincipal *who)
{
	char	  ulid[FF_ULID_SIZE];
	pg_uuid_t user;
	int32	  version;

	if (strlen(rest) < FF_ULID_SIZE || rest[FF_ULID_SIZE - 1] != ':')
		return false;
	strlcpy(ulid, rest, sizeof(ulid));
	version = (int32) strtol(rest + FF_ULID_SIZE, NULL, 10);
	return ff_id_parse(ulid, &user) && ff_known_user(&user, version, who);
}

static bool
read_credential(const char *credential, FfPassOther other, FfPrincipal *who)
{
	uint8 digest[FF_DIGEST];

	if (strncmp(credential, "key:", 4) == 0)
		return read_digest(credential + 4, digest) && ff_known_key(digest, who);
	if (strncmp(credential, "user:", 5) == 0)
		return read_user(credential + 5, who);
	if (strncmp(credential, "app:", 4) == 0)
		return read_digest(credential + 4, digest) && other(digest, who);
	return strcmp(credential, "dev") == 0 && other(NULL, who);
}

/* A key that was given to another tenant is another's. */
bool
ff_pass_read(const char *pass, FfPassOther other, FfPrincipal *who)
{
	char *rest;
	int64 expires = strtoi64(pass, &rest, 10);
	int32 tenant = (int32) strtol(rest, &rest, 10);

	if (*rest != ' ' || !read_credential(rest + 1, other, who) || who->tenant_id != tenant)
		return false;
	if (expires != 0)
		who->expires_at = Min(who->expires_at, expires);
	return who->expires_at > GetCurrentTimestamp();
}
