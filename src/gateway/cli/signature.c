/*
 * By what the API and apps know who asks: see signature.h.
 */
#define _GNU_SOURCE
#include "cli/signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of a signing key before its secret: "signkey-prod-" of "signkey-prod-abc". */
static size_t
key_prefix(const char *key)
{
	const char *dash;

	if (strncmp(key, "signkey-", 8) != 0)
		return 0;
	dash = strchr(key + 8, '-');
	return dash != NULL ? (size_t) (dash - key) + 1 : 0;
}

static char *
hexadecimal(const unsigned char *bytes, size_t length)
{
	char *text = ff_alloc(length * 2 + 1);

	for (size_t at = 0; at < length; at++)
		sprintf(text + at * 2, "%02x", bytes[at]);
	return text;
}

char *
ff_api_authorization(const FfServer *server)
{
	const char	  *key = server->signing_key;
	unsigned char  digest[SHA256_DIGEST_LENGTH];
	unsigned char *secret;
	size_t		   prefix;
	size_t		   length;
	char		  *hash;
	char		  *header;

	if (server->api_key != NULL)
		return ff_text("authorization: Bearer %s", server->api_key);
	if (key == NULL)
		return NULL;
	prefix = key_prefix(key);
	length = strlen(key + prefix) / 2;
	secret = ff_alloc(length);
	for (size_t at = 0; at < length; at++)
	{
		char pair[3] = {key[prefix + at * 2], key[prefix + at * 2 + 1], '\0'};

		secret[at] = (unsigned char) strtoul(pair, NULL, 16);
	}
	SHA256(secret, length, digest);
	hash = hexadecimal(digest, sizeof(digest));
	header = ff_text("authorization: Bearer %.*s%s", (int) prefix, key, hash);
	free(hash);
	free(secret);
	return header;
}

char *
ff_app_signature(const char *key, const char *body, int64_t seconds)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int  length = sizeof(digest);
	const char	 *secret;
	char		 *message;
	char		 *hash;
	char		 *header;

	if (key == NULL)
		return ff_text("x-inngest-signature;");
	secret = key + key_prefix(key);
	message = ff_text("%s%lld", body, (long long) seconds);
	HMAC(EVP_sha256(), secret, (int) strlen(secret), (unsigned char *) message, strlen(message),
		 digest, &length);
	hash = hexadecimal(digest, length);
	header = ff_text("x-inngest-signature: t=%lld&s=%s", (long long) seconds, hash);
	free(hash);
	free(message);
	return header;
}
