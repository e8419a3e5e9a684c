/*
 * aws.h - requests signed as AWS wants them: Signature Version 4.
 *
 * libcurl can sign too, but until 8.10 it signs the path as it is sent, and every service but S3
 * wants it encoded once more: of a path with a colon, as the names of models have one, it makes a
 * signature that is refused.
 */
#ifndef FF_AWS_H
#define FF_AWS_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

typedef struct FfAwsKey
{
	char *id;
	char *secret;
	char *token; /* of a session, or NULL */
} FfAwsKey;

/* "id:secret" or "id:secret:token" in its parts; false when it is neither. */
extern bool ff_aws_key(FfAwsKey *key, const char *text);

/*
 * The headers (of char *, "name: value") that a POST needs beside those given, which are signed
 * with it: host, x-amz-date, x-amz-security-token and authorization. NIL when the URL has no host
 * or OpenSSL refuses.
 */
extern List *ff_aws_sign(const FfAwsKey *key, const char *region, const char *service,
						 const char *url, List *headers, const char *body, int length,
						 TimestampTz now);

#endif
