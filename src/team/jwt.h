/*
 * jwt.h - JSON Web Tokens (RFC 7519) of one kind: HS256 with flowforge.jwt_secret, issued by and
 * for "flowforge".
 *
 * What is read is what was written here and nothing else: one header, every claim once, each of its
 * type. The signature is checked before anything is believed, in constant time.
 */
#ifndef FF_JWT_H
#define FF_JWT_H

#include "postgres.h"

#include "utils/jsonb.h"

#define FF_JWT_SECRET_MIN 32
#define FF_JWT_LIMIT 4096 /* bytes of a token */

extern char *ff_jwt_secret; /* NULL or empty: there is none */

extern bool ff_jwt_has_secret(void);

/* Whether a bearer is meant as one, by its form. */
extern bool ff_jwt_is_one(const char *text);

/* A token with these claims, an object in JSON. */
extern char *ff_jwt_make(const char *claims);

/* The claims of a token at a time (seconds since 1970), or NULL and what is wrong with it. */
extern Jsonb *ff_jwt_read(const char *token, int64 now, const char **problem);

#endif
