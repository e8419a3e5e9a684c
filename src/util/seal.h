/*
 * seal.h - secrets at rest: AES-256-GCM with the key in the file flowforge.secret_key_file, which
 * is never in the database nor in a dump.
 *
 * A sealed text opens only with the same key and for the same purpose, a text that says what it
 * belongs to, so that a row copied over another opens nothing.
 */
#ifndef FF_SEAL_H
#define FF_SEAL_H

#include "postgres.h"

extern char *ff_secret_key_file;

/* Raises FF410 when there is no usable key. */
extern bytea *ff_seal(const char *text, const char *purpose);

/* Raises FF410 when there is no usable key, and FF411 when it was sealed with another one or for
 * another purpose. */
extern char *ff_unseal(const bytea *sealed, const char *purpose);

#endif
