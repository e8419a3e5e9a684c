/*
 * sign.h - the SDK protocol's keys and signatures.
 */
#ifndef FF_SIGN_H
#define FF_SIGN_H

#include "postgres.h"

#include "common/sha2.h"

#define FF_SIGNATURE_TOLERANCE 300 /* seconds a signature may be old or early */

typedef enum FfSignature
{
	FF_SIGNATURE_OK,
	FF_SIGNATURE_MISSING,
	FF_SIGNATURE_MALFORMED,
	FF_SIGNATURE_EXPIRED,
	FF_SIGNATURE_WRONG
} FfSignature;

typedef struct FfBytes
{
	const void *data;
	size_t		length;
} FfBytes;

#define FF_DIGEST PG_SHA256_DIGEST_LENGTH

/* The HMAC-SHA-256 of several pieces, one after another; also between transactions. */
extern void	 ff_hmac(const void *key, size_t key_length, const FfBytes *pieces, int count,
					 uint8 out[FF_DIGEST]);
extern char *ff_digest_base64(const uint8 digest[FF_DIGEST]);

/* The header "t=<seconds>&s=<hex>": HMAC-SHA-256 keyed with the text of the key after its
 * signkey-...- prefix over body and t. */
extern char *ff_sign_header(const char *key, const char *body, size_t length, int64 t);

/* Checks such a header at time `now` (seconds since 1970), comparing in constant time. */
extern FfSignature ff_sign_verify(const char *key, const char *header, const char *body,
								  size_t length, int64 now);

/* The part of a key after "signkey-<word>-", or all of it. */
extern const char *ff_key_secret(const char *key);

/* Whether a signing key is of the form SDKs take: hex after an optional signkey-<word>-. */
extern bool ff_key_is_valid(const char *key);

/* What an SDK sends as its bearer: the prefix and the SHA-256 of the decoded hex. NULL when the
 * rest of the key is not hex. */
extern char *ff_key_hash(const char *key);

extern bool ff_equal_constant_time(const char *a, const char *b);

#endif
