/*
 * seal.h - secrets at rest: AES-256-GCM with the key in the file flowforge.secret_key_file, which
 * is never in the database nor in a dump.
 *
 * A sealed text opens only with the same key and for the same purpose, a text that says what it
 * belongs to, so that a row copied over another opens nothing. While the key is changed, what the
 * key of flowforge.secret_key_file_old has sealed opens, too.
 */
#ifndef FF_SEAL_H
#define FF_SEAL_H

#include "postgres.h"

extern char *ff_secret_key_file;
extern char *ff_secret_key_file_old;

/* Raises FF410 when there is no usable key. */
extern bytea *ff_seal(const char *text, const char *purpose);

/* Raises FF410 when there is no usable key, and FF411 when it was sealed with another one or for
 * another purpose. */
extern char *ff_unseal(const bytea *sealed, const char *purpose);

/* The same sealed with the key of today, or NULL when it is already. Raises likewise. */
extern bytea *ff_reseal(const bytea *sealed, const char *purpose);

/* A name for the key of today, from which nothing of it can be told: 16 hexadecimal digits.
 * Raises FF410. */
extern char *ff_seal_key_id(void);

#endif
