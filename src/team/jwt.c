/*
 * jwt.c - JSON Web Tokens (see jwt.h).
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "team/jwt.h"
#include "team/principal.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/sign.h"

#define CLAIMS_DEPTH 4
#define ISSUED_EARLY 60 /* seconds by which another gateway's clock may be ahead */

static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *ff_jwt_secret = NULL;

bool
ff_jwt_has_secret(void)
{
	return ff_jwt_secret != NULL && ff_jwt_secret[0] != '\0';
}

/* --- base64url without padding (RFC 4648 section 5) --- */

static void
append_base64url(StringInfo out, const uint8 *bytes, size_t length)
{
	uint32 bits = 0;
	int	   held = 0;

	for (size_t at = 0; at < length; at++)
	{
		bits = (bits << 8) | bytes[at];
		held += 8;
		for (; held >= 6; held -= 6)
			appendStringInfoChar(out, word[(bits >> (held - 6)) & 63]);
	}
	if (held > 0)
		appendStringInfoChar(out, word[(bits << (6 - held)) & 63]);
}

/* False for anything append_base64url does not write: two texts never mean the same bytes. */
static bool
read_base64url(const char *text, size_t length, StringInfo out)
{
	uint32 bits = 0;
	int	   held = 0;

	initStringInfo(out);
	for (size_t at = 0; at < length; at++)
	{
		const char *place = text[at] != '\0' ? strchr(word, text[at]) : NULL;

		if (place == NULL)
			return false;
		bits = (bits << 6) | (uint32) (place - word);
		held += 6;
		if (held >= 8)
		{
			held -= 8;
			appendStringInfoChar(out, (char) (bits >> held));
		}
	}
	return held < 6 && (bits & ((1u << held) - 1)) == 0;
}

/* --- making --- */

static void
sign(const char *input, size_t length, uint8 out[FF_DIGEST])
{
	FfBytes piece = {input, length};

	ff_hmac(ff_jwt_secret, strlen(ff_jwt_secret), &piece, 1, out);
}

char *
ff_jwt_make(const char *claims)
{
	static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
	StringInfoData	  token;
	uint8			  digest[FF_DIGEST];

	initStringInfo(&token);
	append_base64url(&token, (const uint8 *) header, sizeof(header) - 1);
	appendStringInfoChar(&token, '.');
	append_base64url(&token, (const uint8 *) claims, strlen(claims));
	sign(token.data, token.len, digest);
	appendStringInfoChar(&token, '.');
	append_base64url(&token, digest, sizeof(digest));
	return token.data;
}

/* --- reading --- */

bool
ff_jwt_is_one(const char *text)
{
	size_t first = strspn(text, word);

	return first > 0 && text[first] == '.' && strchr(text + first + 1, '.') != NULL;
}

/* The members a JSON object's text has at its first level, repeated ones counted again. The text is
 * known to be JSON. */
static int
count_members(const char *json)
{
	int	 depth = 0;
	int	 members = 0;
	bool quoted = false;

	for (; *json != '\0'; json++)
	{
		if (quoted && *json == '\\')
			json++;
		else if (*json == '"')
			quoted = !quoted;
		else if (!quoted && (*json == '{' || *json == '['))
			depth++;
		else if (!quoted && (*json == '}' || *json == ']'))
			depth--;
		else if (!quoted && *json == ':' && depth == 1)
			members++;
	}
	return members;
}

/* An object, each of its members there once; else NULL. */
static Jsonb *
read_object(const StringInfoData *text, const char **problem)
{
	FfJsonError error;
	Jsonb	   *object = ff_json_parse(text->data, text->len, CLAIMS_DEPTH, &error);

	if (object == NULL || !ff_json_is_object(object))
		*problem = "a part of it is no JSON object";
	else if (count_members(text->data) != (int) JB_ROOT_COUNT(object))
		*problem = "a claim is there twice";
	else
		return object;
	return NULL;
}

static bool
is_text(Jsonb *object, const char *name, const char *wanted)
{
	const char *text = ff_json_text(object, name);

	return text != NULL && strcmp(text, wanted) == 0;
}

static const char *
header_problem(Jsonb *header)
{
	if (!is_text(header, "alg", "HS256"))
		return "its algorithm is not HS256";
	if (ff_json_get(header, "typ") != NULL && !is_text(header, "typ", "JWT"))
		return "its type is not JWT";
	return ff_json_get(header, "crit") != NULL ? "it asks for what is not known here" : NULL;
}

static const char *
time_problem(Jsonb *claims, int64 now)
{
	int64 expires;
	int64 issued;
	int64 begins;

	if (!ff_json_int64(claims, "exp", &expires) || !ff_json_int64(claims, "iat", &issued))
		return "exp or iat is missing or no number of seconds";
	if (expires <= now)
		return "it has expired";
	if (issued > now + ISSUED_EARLY)
		return "it was issued in the future";
	if (ff_json_get(claims, "nbf") == NULL)
		return NULL;
	if (!ff_json_int64(claims, "nbf", &begins))
		return "nbf is no number of seconds";
	return begins > now ? "it is not valid yet" : NULL;
}

static const char *
claims_problem(Jsonb *claims, int64 now)
{
	static const char *const texts[] = {"sub", "type", "jti", "role"};
	int64					 tenant;

	if (!is_text(claims, "iss", "flowforge"))
		return "iss is not flowforge";
	if (!is_text(claims, "aud", "flowforge"))
		return "aud is not flowforge";
	for (size_t at = 0; at < lengthof(texts); at++)
	{
		const char *text = ff_json_text(claims, texts[at]);

		if (text == NULL || text[0] == '\0')
			return psprintf("%s is missing or no text", texts[at]);
	}
	if (ff_role_named(ff_json_text(claims, "role")) == FF_ROLE_NONE)
		return "role is none";
	if (!ff_json_int64(claims, "tenant_id", &tenant) || tenant <= 0 || tenant > PG_INT32_MAX)
		return "tenant_id is missing or no tenant";
	return time_problem(claims, now);
}

/* Whether the part after the last point is the signature of what stands before it. */
static bool
is_signed(const char *token, const char *signature)
{
	uint8		   digest[FF_DIGEST];
	StringInfoData expected;

	sign(token, (size_t) (signature - 1 - token), digest);
	initStringInfo(&expected);
	append_base64url(&expected, digest, sizeof(digest));
	return ff_equal_constant_time(expected.data, signature);
}

/* What is wrong with a token whose three parts begin here, or NULL and its claims. */
static const char *
read_parts(const char *token, const char *payload, const char *signature, int64 now, Jsonb **claims)
{
	StringInfoData header_text;
	StringInfoData claims_text;
	Jsonb		  *header;
	const char	  *problem = NULL;

	if (!read_base64url(token, (size_t) (payload - 1 - token), &header_text) ||
		!read_base64url(payload, (size_t) (signature - 1 - payload), &claims_text))
		return "a part of it is not base64url";
	if (!is_signed(token, signature))
		return "its signature is wrong";
	header = read_object(&header_text, &problem);
	if (header == NULL || (problem = header_problem(header)) != NULL)
		return problem;
	*claims = read_object(&claims_text, &problem);
	return *claims != NULL ? claims_problem(*claims, now) : problem;
}

Jsonb *
ff_jwt_read(const char *token, int64 now, const char **problem)
{
	const char *payload = strchr(token, '.');
	const char *signature = payload != NULL ? strchr(payload + 1, '.') : NULL;
	Jsonb	   *claims = NULL;

	if (!ff_jwt_has_secret())
		*problem = "this server has no flowforge.jwt_secret";
	else if (strlen(token) > FF_JWT_LIMIT)
		*problem = "it is too long";
	else if (signature == NULL || strchr(signature + 1, '.') != NULL)
		*problem = "it has not three parts";
	else
		*problem = read_parts(token, payload + 1, signature + 1, now, &claims);
	return *problem == NULL ? claims : NULL;
}

/* --- for SQL --- */

static int64
seconds_of(TimestampTz at)
{
	return ff_unix_us(at) / 1000000;
}

static void
require_secret(void)
{
	if (ff_jwt_has_secret())
		return;
	ereport(ERROR, (errcode(FF_ERR_NOT_CONFIGURED),
					errmsg("flowforge.jwt_secret is not set, so nobody can sign in"),
					errhint("Set it to at least %d random characters (openssl rand -hex 32) and "
							"reload the server.",
							FF_JWT_SECRET_MIN)));
}

/* flowforge.jwt_sign(claims) */
PG_FUNCTION_INFO_V1(ff_sql_jwt_sign);
Datum
ff_sql_jwt_sign(PG_FUNCTION_ARGS)
{
	Jsonb *claims = PG_GETARG_JSONB_P(0);

	require_secret();
	PG_RETURN_TEXT_P(
		cstring_to_text(ff_jwt_make(JsonbToCString(NULL, &claims->root, VARSIZE(claims)))));
}

/* flowforge.jwt_claims(token, type, at) */
PG_FUNCTION_INFO_V1(ff_sql_jwt_claims);
Datum
ff_sql_jwt_claims(PG_FUNCTION_ARGS)
{
	const char *type = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const char *problem = NULL;
	Jsonb	   *claims;

	require_secret();
	claims = ff_jwt_read(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						 seconds_of(PG_GETARG_TIMESTAMPTZ(2)), &problem);
	if (claims != NULL && !is_text(claims, "type", type))
		problem = psprintf("its type is not %s", type);
	if (problem != NULL)
		ereport(ERROR, (errcode(FF_ERR_TOKEN), errmsg("the token is not valid"),
						errdetail("With this token, %s.", problem), errhint("Sign in again.")));
	PG_RETURN_JSONB_P(claims);
}
