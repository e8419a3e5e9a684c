/*
 * aws.c - AWS Signature Version 4 (see aws.h), as "Create a signed AWS API request" in AWS's IAM
 * user guide describes it.
 */
#include "postgres.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <time.h>

#include "lib/stringinfo.h"

#include "util/aws.h"
#include "util/json.h"
#include "util/url.h"

#define DIGEST_BYTES 32
#define DIGEST_HEX (2 * DIGEST_BYTES + 1)
#define DATE_BYTES 17 /* 20260101T000000Z */

bool
ff_aws_key(FfAwsKey *key, const char *text)
{
	char *rest = pstrdup(text);

	key->id = strsep(&rest, ":");
	key->secret = rest != NULL ? strsep(&rest, ":") : NULL;
	key->token = rest;
	return *key->id != '\0' && key->secret != NULL && *key->secret != '\0' &&
		   (key->token == NULL || *key->token != '\0');
}

static void
to_hex(const unsigned char digest[DIGEST_BYTES], char hex[DIGEST_HEX])
{
	for (int i = 0; i < DIGEST_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static bool
hash(const char *data, int length, char hex[DIGEST_HEX])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int  size;

	if (EVP_Digest(data, length, digest, &size, EVP_sha256(), NULL) != 1)
		return false;
	to_hex(digest, hex);
	return true;
}

/* Replaces the key by the HMAC of the text under it. */
static bool
derive(unsigned char key[DIGEST_BYTES], int key_length, const char *text)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int  size;

	if (HMAC(EVP_sha256(), key, key_length, (const unsigned char *) text, strlen(text), digest,
			 &size) == NULL)
		return false;
	memcpy(key, digest, DIGEST_BYTES);
	return true;
}

static bool
sign(const char *secret, const char *date, const char *region, const char *service,
	 const char *text, char hex[DIGEST_HEX])
{
	char		 *first = psprintf("AWS4%s", secret);
	int			  length = (int) strlen(first);
	unsigned char key[DIGEST_BYTES];
	unsigned char start[EVP_MAX_MD_SIZE];
	unsigned int  size;

	if (HMAC(EVP_sha256(), first, length, (const unsigned char *) date, strlen(date), start,
			 &size) == NULL)
		return false;
	memcpy(key, start, DIGEST_BYTES);
	if (!derive(key, DIGEST_BYTES, region) || !derive(key, DIGEST_BYTES, service) ||
		!derive(key, DIGEST_BYTES, "aws4_request") || !derive(key, DIGEST_BYTES, text))
		return false;
	to_hex(key, hex);
	return true;
}

/* Lines "name: value", the names in lower case, by name. */
static int
compare_lines(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

static List *
signed_lines(List *headers)
{
	List	 *lines = NIL;
	ListCell *cell;

	foreach (cell, headers)
	{
		char *line = pstrdup(lfirst(cell));
		char *colon = strchr(line, ':');

		for (char *c = line; c < colon; c++)
			*c = (char) pg_tolower((unsigned char) *c);
		memmove(colon + 1, colon + 1 + strspn(colon + 1, " "),
				strlen(colon + 1 + strspn(colon + 1, " ")) + 1);
		lines = lappend(lines, line);
	}
	list_sort(lines, compare_lines);
	return lines;
}

/* The request as it is signed, its path encoded once more; gives the names of the headers. */
static char *
put_request(StringInfo out, const char *path, int path_length, List *lines, const char *body_hash)
{
	StringInfoData names;
	ListCell	  *cell;

	initStringInfo(&names);
	appendStringInfoString(out, "POST\n");
	ff_url_put(out, path_length > 0 ? path : "/", Max(path_length, 1), true);
	appendStringInfoString(out, "\n\n");
	foreach (cell, lines)
	{
		const char *line = lfirst(cell);

		appendStringInfo(out, "%s\n", line);
		appendStringInfo(&names, "%s%.*s", names.len > 0 ? ";" : "", (int) strcspn(line, ":"),
						 line);
	}
	appendStringInfo(out, "\n%s\n%s", names.data, body_hash);
	return names.data;
}

static void
format_date(TimestampTz now, char date[DATE_BYTES])
{
	time_t	  seconds = (time_t) (ff_unix_us(now) / USECS_PER_SEC);
	struct tm parts;

	gmtime_r(&seconds, &parts);
	strftime(date, DATE_BYTES, "%Y%m%dT%H%M%SZ", &parts);
}

List *
ff_aws_sign(const FfAwsKey *key, const char *region, const char *service, const char *url,
			List *headers, const char *body, int length, TimestampTz now)
{
	const char	  *host = strstr(url, "://");
	const char	  *path;
	char		   date[DATE_BYTES];
	char		   hex[DIGEST_HEX];
	char		  *scope;
	char		  *names;
	List		  *added;
	StringInfoData request;

	if (host == NULL || !hash(body, length, hex))
		return NIL;
	host += 3;
	path = host + strcspn(host, "/?#");
	format_date(now, date);
	added = list_make2(psprintf("host: %.*s", (int) (path - host), host),
					   psprintf("x-amz-date: %s", date));
	if (key->token != NULL)
		added = lappend(added, psprintf("x-amz-security-token: %s", key->token));
	initStringInfo(&request);
	names = put_request(&request, path, (int) strcspn(path, "?#"),
						signed_lines(list_concat_copy(headers, added)), hex);
	scope = psprintf("%.8s/%s/%s/aws4_request", date, region, service);
	if (!hash(request.data, request.len, hex) ||
		!sign(key->secret, psprintf("%.8s", date), region, service,
			  psprintf("AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, hex), hex))
		return NIL;
	return lappend(added,
				   psprintf("authorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, "
							"Signature=%s",
							key->id, scope, names, hex));
}
