/*
 * key.h - API keys as texts: ff_{live|test|ro}_, 32 characters of 160 random bits and 7 of their
 * checksum, in Crockford's base32 in lower case.
 *
 * The checksum is the CRC-32 of all before it, so that a key with a typing error is known as such
 * without looking it up. What is stored is the SHA-256 of the whole.
 */
#ifndef FF_KEY_H
#define FF_KEY_H

#include "postgres.h"

#include "util/sign.h"

/* Whether a text claims to be an API key, by how it begins. */
extern bool ff_key_is_api(const char *text);
/* Whether it has the form of one, and its checksum fits. */
extern bool ff_key_is_whole(const char *text);
/* A new one; type is live, test or ro. */
extern char *ff_key_make(const char *type);
extern void	 ff_key_digest(const char *text, uint8 out[FF_DIGEST]);

/* Bytes in the base32 of RFC 4648 without padding, as authenticator apps read secrets. */
extern char *ff_base32(const uint8 *bytes, size_t length);

#endif
