/*
 * access.c - see access.h.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "api/access.h"
#include "api/ticket.h"
#include "team/jwt.h"
#include "team/key.h"
#include "team/known.h"
#include "team/pass.h"
#include "team/principal.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/json.h"
#include "util/sign.h"

#define FOR_EVER INT64CONST(100000000000) /* seconds */

static const char no_secret[] = "flowforge.auth is on, but flowforge.jwt_secret is not set";

/* A setting that is text; "" when it is not set. */
static const char *
setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value != NULL ? value : "";
}

static bool
is_open(void)
{
	return ff_auth == FF_AUTH_DEV && setting("flowforge.signing_key")[0] == '\0';
}

const char *
ff_server_kind(void)
{
	return is_open() ? "dev" : "cloud";
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

/* What the request shows: the bearer, or else the API key of x-flowforge-api-key; "" for nothing.
 */
static const char *
credential(Jsonb *headers)
{
	const char *token = bearer(headers);
	const char *key = ff_json_text(headers, "x-flowforge-api-key");

	return token[0] == '\0' && key != NULL ? key : token;
}

/* Tickets open WebSockets only. */
static const char *
ticket_of(Jsonb *headers)
{
	return ff_json_text(headers, "upgrade") != NULL ? ff_json_text(headers, "x-flowforge-ticket")
													: NULL;
}

static const char *
address_of(Jsonb *headers)
{
	const char *address = ff_json_text(headers, "x-flowforge-address");

	return address != NULL ? address : "";
}

/* No address: serve is called in SQL, by somebody who may. */
static bool
is_loopback(const char *address)
{
	if (pg_strncasecmp(address, "::ffff:", 7) == 0)
		address += 7;
	return address[0] == '\0' || strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* --- pages of others --- */

/* The host of "host", "host:port" or "[address]:port", in brackets if it has them. */
static char *
host_of(const char *authority)
{
	size_t length = authority[0] == '[' ? strcspn(authority, "]") + 1 : strcspn(authority, ":");

	return pnstrdup(authority, length);
}

static bool
is_localhost(const char *host)
{
	size_t length = strlen(host);

	return pg_strcasecmp(host, "localhost") == 0 ||
		   (length > 10 && pg_strcasecmp(host + length - 10, ".localhost") == 0);
}

static bool
is_literal(const char *host)
{
	return host[0] == '[' || (host[0] != '\0' && strspn(host, "0123456789.") == strlen(host));
}

static bool
is_local_origin(const char *origin)
{
	const char *authority = strstr(origin, "://");
	char	   *host = authority != NULL ? host_of(authority + 3) : "";

	return is_localhost(host) || strcmp(host, "[::1]") == 0 ||
		   (is_literal(host) && strncmp(host, "127.", 4) == 0);
}

/*
 * A browser on this machine asks for whatever page it shows. A page of elsewhere says so in Origin,
 * or its own name, which now leads to this machine, in Host. The gateway vouches for the origins it
 * was given.
 */
static const char *
foreign_page(Jsonb *headers)
{
	const char *origin = ff_json_text(headers, "origin");
	const char *host = ff_json_text(headers, "host");
	char	   *name = host != NULL ? host_of(host) : NULL;

	if (ff_json_text(headers, "x-flowforge-origin") != NULL)
		return NULL;
	if (origin != NULL && !is_local_origin(origin))
		return origin;
	return name != NULL && !is_localhost(name) && !is_literal(name) ? host : NULL;
}

/* --- who asks --- */

static void
take_key(const char *key, FfPrincipal *who)
{
	uint8 digest[FF_DIGEST];

	if (!ff_key_is_whole(key))
		ereport(ERROR, (errcode(FF_ERR_UNAUTHORIZED), errmsg("the API key has a typing error"),
						errdetail("Its checksum does not fit."),
						errhint("Copy the whole key again, as it was shown when it was made.")));
	ff_key_digest(key, digest);
	if (!ff_known_key(digest, who))
		ereport(ERROR, (errcode(FF_ERR_UNAUTHORIZED), errmsg("the API key is not valid here"),
						errdetail("It is unknown, expired or revoked."),
						errhint("POST /api/v1/api-keys and flowforge keys create make keys.")));
}

static void
refuse_token(const char *problem)
{
	ereport(ERROR,
			(errcode(FF_ERR_TOKEN), errmsg("the token is not valid"),
			 errdetail("With this token, %s.", problem),
			 errhint("Ask for another one: POST /api/v1/auth/refresh or /api/v1/auth/login.")));
}

/* The key a token was made for is named by its digest. */
static bool
take_token_of_key(Jsonb *claims, FfPrincipal *who)
{
	const char *hex = ff_json_text(claims, "key");
	uint8		digest[FF_DIGEST];

	return hex != NULL && strlen(hex) == 2 * FF_DIGEST &&
		   hex_decode(hex, 2 * FF_DIGEST, (char *) digest) == FF_DIGEST &&
		   ff_known_key(digest, who);
}

static bool
take_token_of_user(Jsonb *claims, FfPrincipal *who)
{
	pg_uuid_t user;
	int64	  version;

	return ff_id_parse(ff_json_text(claims, "sub"), &user) &&
		   ff_json_int64(claims, "ver", &version) && version == (int32) version &&
		   ff_known_user(&user, (int32) version, who);
}

/* A token says who signed in; what they may is what is known of them now. */
static void
take_token(const char *token, FfPrincipal *who)
{
	int64		now = ff_unix_us(GetCurrentTimestamp()) / 1000000;
	const char *problem = NULL;
	Jsonb	   *claims = ff_jwt_read(token, now, &problem);
	bool		of_key;
	int64		expires;

	if (claims == NULL)
		refuse_token(problem);
	if (strcmp(ff_json_text(claims, "type"), "access") != 0)
		refuse_token("its type is not access");
	of_key = ff_json_get(claims, "key") != NULL;
	if (!(of_key ? take_token_of_key(claims, who) : take_token_of_user(claims, who)))
		refuse_token("whom it was made for is no longer known by it");
	if (ff_json_int64(claims, "exp", &expires) && expires - now < FOR_EVER)
		who->expires_at =
			Min(who->expires_at, GetCurrentTimestamp() + (expires - now) * USECS_PER_SEC);
}

static bool
is_signing_key(const char *token)
{
	bool current = is_hash_of(setting("flowforge.signing_key"), token);
	bool fallback = is_hash_of(setting("flowforge.signing_key_fallback"), token);

	return current || fallback;
}

static void
be_open(FfPrincipal *who)
{
	ff_principal_init(who, 0, FF_ROLE_ADMIN, "dev");
	ff_pass_of_dev(who->credential);
}

/* Events are taken from any page, which has an event key for it. */
static void
take_open(const FfMatch *match, Jsonb *headers, FfPrincipal *who)
{
	const char *address = address_of(headers);
	const char *page = match->scope != FF_SCOPE_EVENT_KEY ? foreign_page(headers) : NULL;

	if (!is_loopback(address))
		ereport(ERROR, (errcode(FF_ERR_LOOPBACK),
						errmsg("this development server answers its own machine only"),
						errdetail("The request comes from %s.", address),
						errhint("For others set flowforge.auth = on and flowforge.jwt_secret, or "
								"flowforge.signing_key, and make them keys or users.")));
	if (page != NULL)
		ereport(ERROR, (errcode(FF_ERR_LOOPBACK),
						errmsg("this development server answers no pages of others"),
						errdetail("The request comes from a page of %s.", page),
						errhint("Ask for it at http://localhost, or start it with --cors-origin "
								"and the origin of the page.")));
	be_open(who);
}

static void
take_event_key(const FfMatch *match, FfPrincipal *who)
{
	if (!is_event_key(param(match, "key")))
		ereport(
			ERROR,
			(errcode(FF_ERR_UNAUTHORIZED), errmsg("the event key is not known here"),
			 errhint("Use one of the keys in flowforge.event_keys, or an API key with the scope "
					 "events:send, as the last part of the path (INNGEST_EVENT_KEY).")));
	ff_principal_init(who, 1, FF_ROLE_NONE, "event-key");
	who->scopes = ff_scope_named("events:send");
}

static void
be_app(const uint8 digest[FF_DIGEST], FfPrincipal *who)
{
	ff_principal_init(who, 1, FF_ROLE_ADMIN, "app");
	ff_pass_of_app(digest, who->credential);
}

static void
take_app(const char *token, FfPrincipal *who)
{
	uint8 digest[FF_DIGEST];

	if (!is_signing_key(token))
		ereport(ERROR,
				(errcode(FF_ERR_UNAUTHORIZED),
				 token[0] == '\0' ? errmsg("this needs a bearer token")
								  : errmsg("the bearer token is not valid here"),
				 errhint("Send \"Authorization: Bearer\" with an API key, with a token of "
						 "POST /api/v1/auth/login, or with the hash of flowforge.signing_key, "
						 "as SDKs with INNGEST_SIGNING_KEY do.")));
	ff_key_digest(token, digest);
	be_app(digest, who);
}

/* --- who asked before --- */

/* Whether a signing key's hash, in either form, has this digest. */
static bool
is_digest_of(const char *key, const uint8 digest[FF_DIGEST])
{
	char *hash = key[0] != '\0' ? ff_key_hash(key) : NULL;
	uint8 whole[FF_DIGEST];
	uint8 secret[FF_DIGEST];

	if (hash == NULL)
		return false;
	ff_key_digest(hash, whole);
	ff_key_digest(ff_key_hash(ff_key_secret(key)), secret);
	return memcmp(digest, whole, FF_DIGEST) == 0 || memcmp(digest, secret, FF_DIGEST) == 0;
}

/* Passes of an app (its bearer's digest) and of an open server (NULL). */
static bool
take_other_pass(const uint8 *digest, FfPrincipal *who)
{
	if (digest == NULL && is_open())
		be_open(who);
	else if (digest != NULL && (is_digest_of(setting("flowforge.signing_key"), digest) ||
								is_digest_of(setting("flowforge.signing_key_fallback"), digest)))
		be_app(digest, who);
	else
		return false;
	return true;
}

bool
ff_access_by_pass(const char *pass, FfPrincipal *who)
{
	return ff_pass_read(pass, take_other_pass, who);
}

static void
take_pass(const char *pass, FfPrincipal *who)
{
	if (!ff_access_by_pass(pass, who))
		ereport(ERROR,
				(errcode(FF_ERR_UNAUTHORIZED), errmsg("whoever began this is no longer known here"),
				 errdetail("The key, the user or the token it began with counts no more."),
				 errhint("Sign in again and connect anew.")));
}

static void
take_ticket(const char *ticket, FfPrincipal *who)
{
	const char *pass = ff_ticket_take(ticket);

	if (pass == NULL || !ff_access_by_pass(pass, who))
		ereport(ERROR, (errcode(FF_ERR_TICKET), errmsg("the ticket is not valid"),
						errdetail("It is unknown, used or older than a minute, or who asked for it "
								  "is no longer known."),
						errhint("POST /api/v1/ws/ticket gives one for each connection.")));
}

/* A credential of our own is looked at even by an open server, so that people can try theirs. */
static void
identify(const FfMatch *match, Jsonb *headers, FfPrincipal *who)
{
	const char *token = credential(headers);
	const char *pass = ff_json_text(headers, "x-flowforge-pass");
	const char *ticket = ticket_of(headers);

	if (pass != NULL)
		take_pass(pass, who);
	else if (token[0] == '\0' && ticket != NULL)
		take_ticket(ticket, who);
	else if (ff_key_is_api(token))
		take_key(token, who);
	else if (token[0] == '\0' && match->scope == FF_SCOPE_EVENT_KEY &&
			 ff_key_is_api(param(match, "key")))
		take_key(param(match, "key"), who);
	else if (ff_jwt_is_one(token) && (ff_jwt_has_secret() || !is_open()))
		take_token(token, who);
	else if (is_open())
		take_open(match, headers, who);
	else if (match->scope == FF_SCOPE_EVENT_KEY)
		take_event_key(match, who);
	else
		take_app(token, who);
}

/* --- whether they may --- */

static bool
may_call(const FfMatch *match, const FfPrincipal *who)
{
	const char *scope = match->scope == FF_SCOPE_EVENT_KEY ? "events:send" : match->scope_name;

	return match->scope == FF_SCOPE_USER || (who->scopes & ff_scope_named(scope)) != 0;
}

static void
refuse_scope(const FfMatch *match, const FfPrincipal *who)
{
	const char *scope = match->scope == FF_SCOPE_EVENT_KEY ? "events:send" : match->scope_name;

	ereport(ERROR,
			(errcode(FF_ERR_FORBIDDEN), errmsg("who asks may not do this"),
			 errdetail("%s has not the scope %s.", who->actor, scope),
			 errhint("Use a key with the scope %s, or have an administrator change your role.",
					 scope)));
}

static bool
is_configured(void)
{
	return ff_auth == FF_AUTH_DEV || ff_jwt_has_secret();
}

static void
check_configured(void)
{
	if (is_configured())
		return;
	ereport(ERROR, (errcode(FF_ERR_NOT_CONFIGURED), errmsg("%s", no_secret),
					errhint("Set it to at least %d random characters (openssl rand -hex 32) and "
							"reload the server.",
							FF_JWT_SECRET_MIN)));
}

void
ff_access_grant(const FfMatch *match, Jsonb *headers, const char *request_id, FfPrincipal *who)
{
	ff_principal_init(who, 0, FF_ROLE_NONE, "anonymous");
	if (match->scope != FF_SCOPE_PUBLIC)
	{
		check_configured();
		identify(match, headers, who);
		if (!may_call(match, who))
			refuse_scope(match, who);
	}
	ff_principal_enter(who, request_id, address_of(headers));
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

/* flowforge.serve_problem() */
PG_FUNCTION_INFO_V1(ff_sql_serve_problem);
Datum
ff_sql_serve_problem(PG_FUNCTION_ARGS)
{
	if (is_configured())
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(no_secret));
}
