/*
 * redact.h - keeping secrets out of what is stored.
 *
 * A secret is found by the name it goes under (a header, a parameter of a query) and remembered, so
 * that an answer that repeats it can be cleaned too.
 */
#ifndef FF_REDACT_H
#define FF_REDACT_H

#include "postgres.h"

#include "nodes/pg_list.h"

#define FF_REDACTED "[redacted]"

/* Whether what goes under this name is a secret: authorization, x-api-key, token, cookie, ... */
extern bool ff_is_secret_name(const char *name, int length);

/* A URL without its user, password and secret parameters; these are appended to `secrets` (of char
 * *), which may be NULL. */
extern char *ff_redact_url(const char *url, List **secrets);

/* A text in which no secret of at least eight bytes is left. */
extern char *ff_redact_text(const char *text, List *secrets);

#endif
