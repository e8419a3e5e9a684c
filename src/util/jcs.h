/*
 * jcs.h - jsonb as RFC 8785 (JSON Canonicalization Scheme) text: the bytes every signature of ours
 * is made over.
 */
#ifndef FF_JCS_H
#define FF_JCS_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* Appends a document. Numbers become the nearest IEEE doubles, those beyond their range the largest
 * finite one. */
extern void ff_jcs_append(StringInfo out, Jsonb *value);

/* Appends one string with its quotes. */
extern void ff_jcs_append_string(StringInfo out, const char *text, int length);

/* The text of a document, palloc'ed. */
extern char *ff_jcs_text(Jsonb *value);

#endif
