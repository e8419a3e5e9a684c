/*
 * redact.h - keeping secrets out of what is stored.
 *
 * A secret is found by the name it goes under (a header, a parameter of a query), or is one of the
 * tenant's (secret/secret.h), and remembered, so that an answer that repeats it can be cleaned too.
 */
#ifndef FF_REDACT_H
#define FF_REDACT_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#define FF_REDACTED "[redacted]"
#define FF_MIN_SECRET_BYTES 6 /* shorter ones would be found in innocent words */

/* Whether what goes under this name is a secret: authorization, x-api-key, token, cookie, ... */
extern bool ff_is_secret_name(const char *name, int length);

/* A URL without its user, password and secret parameters; these are appended to `secrets` (of char
 * *), which may be NULL. */
extern char *ff_redact_url(const char *url, List **secrets);

/* Remembers a secret, and how JSON and URLs write it where that differs. */
extern void ff_redact_add(List **secrets, const char *secret);

/* A text in which no secret of at least FF_MIN_SECRET_BYTES is left; so bytes and documents, in
 * whose keys there is none either. */
extern char	 *ff_redact_text(const char *text, List *secrets);
extern char	 *ff_redact_bytes(const char *bytes, int *length, List *secrets);
extern Jsonb *ff_redact_json(Jsonb *document, List *secrets);

#endif
